"""Training of a generator on (layout, feature) pairs of the scenes that its segmenter was trained on, and no others."""

import json
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from mia_seg import generators as generators_
from mia_seg import plugins
from mia_seg.data import IGNORE, Scenes
from mia_seg.errors import MiaSegError
from mia_seg.gan.objectives import Objective
from mia_seg.gan.objectives.bicycle import Bicycle
from mia_seg.gan.objectives.regression import Regression
from mia_seg.generators import Generator, GeneratorNetwork, cut_of
from mia_seg.generators.stochastic import Stochastic
from mia_seg.metrics.segmentation import confusion, utility
from mia_seg.progress import Bar
from mia_seg.recipes import Recipe, TrainGenerator
from mia_seg.segmenters import Network
from mia_seg.store import reading, replace, seed_of
from mia_seg.train import LOG, STATE, WEIGHTS, Crops
from mia_seg.train._finite import Place, all_finite, check_loss
from mia_seg.train._order import order_of
from mia_seg.train._state import packed, read_log, take_weights, write_log

__all__ = [
    "LOG", "STATE", "WEIGHTS", "check", "crops_of", "load", "pair", "rate", "read_log", "score", "set_aside", "train",
]  # fmt: skip

VERSION = 1
SAVE_EVERY = 60.0
RIDGE = 10.0
OBJECTIVES: dict[str, Callable[..., Objective]] = {"bicycle": Bicycle, "regression": Regression}
SMALLEST = 1e-6  # a channel that never changes has no deviation to divide by


def train(
    recipe: Recipe,
    network: Network,
    scenes: Scenes,
    *,
    aside: Scenes,
    seed: int,
    folder: Path,
    title: str,
    model: str,
    scratch: Path | None = None,
) -> None:
    """Train the recipe's generator for `network` on `scenes`, score it on `aside` after every epoch.

    model: the digest of the segmenter, which is written into the weights' file. scratch: folder of the state to resume
    from; None: `folder`. Resumes from the last saved epoch; on the CPU a resumed run ends with the same bits as an
    uninterrupted one. Raises MiaSegError if the scenes do not fill a batch.
    """
    settings, place = recipe.train_generator, scratch or folder
    if len(scenes) < settings.batch:
        raise MiaSegError(
            f"{title}: {len(scenes)} scenes do not fill a batch of {settings.batch}. Lower [train_generator] batch."
        )
    crops, held = crops_of(recipe, scenes, seed), list(_held(recipe, network, aside, seed=seed))
    objective = _fresh(recipe, network, len(scenes.dataset.classes()), crops=crops, seed=seed)
    with reading(place):
        rows = _restore(place, objective)
    if not held:
        raise MiaSegError(
            f"{title}: none of the {len(aside)} scenes kept aside for its score has a labelled pixel. Raise "
            f"[train_generator] held_out."
        )
    real, saved = score(network, None, held, seed=seed), time.monotonic()
    with Bar(title, settings.epochs, len(rows)) as bar:
        for epoch in range(len(rows), settings.epochs):
            row = _epoch(objective, network, crops, settings=settings, epoch=epoch, seed=seed, title=title)
            generated = score(network, objective.generator, held, seed=seed)
            rows.append(row | generated | {f"real_{name}": value for name, value in real.items()})
            write_log(place, rows)
            if time.monotonic() - saved > SAVE_EVERY:
                _save(place, objective, rows)
                saved = time.monotonic()
            bar.step(f"L1 {row['reconstruction']:.3f}  mIoU {generated['miou']:.3f} of {real['miou']:.3f}")
    write_log(folder, rows)
    made_by = json.dumps({"model": model, "seed": seed} | recipe.inputs("generator"), sort_keys=True)
    replace(folder / WEIGHTS, packed(objective.generator.state_dict(), {"made_by": made_by}))
    (place / STATE).unlink(missing_ok=True)


def load(recipe: Recipe, network: Network, classes: int, *, path: Path, model: str) -> GeneratorNetwork:
    """The generator of `network` in evaluation mode. Raises MiaSegError for one of another segmenter or architecture.

    model: the digest of the segmenter.
    """
    generator = _settings(recipe).build(classes, *cut_of(network))
    try:
        with safe_open(path, "pt") as file:
            made_for = json.loads(file.metadata()["made_by"])["model"]
    except (FileNotFoundError, SafetensorError, KeyError, TypeError) as error:
        raise MiaSegError(f"{path} is no complete generator ({error}). Delete its folder and train it again.") from None
    if made_for != model:
        raise MiaSegError(
            f"{path} is the generator of the segmenter {made_for}, and this one is {model}: features of one mean "
            f"nothing to another. Delete its folder and train again: mia-seg train-generator."
        )
    unfit = f"{path} holds another architecture or cut than the recipe's [generator] and [segmenter]"
    take_weights(generator, path, unfit, fix="Delete its folder and train again.")
    return generator.eval()


def check(recipe: Recipe) -> None:
    """Raise MiaSegError if `[train_generator]` cannot train the generator that `[generator]` names."""
    settings, how = _settings(recipe), recipe.train_generator
    if how.objective != settings.objective:
        raise MiaSegError(
            f"[train_generator] objective = '{how.objective}' does not train generator '{recipe.generator['name']}'. "
            f"Set objective = '{settings.objective}', or choose another generator."
        )
    if how.neighbours and isinstance(settings, Stochastic) and settings.branches == 1:
        raise MiaSegError(
            f"[train_generator] neighbours = {how.neighbours} gives one layout several targets, and [generator] "
            f"branches = 1 has one code for them. Raise branches, or leave neighbours out."
        )


def set_aside(
    members: Sequence[str], group: Mapping[str, str], share: float, *, seed: int
) -> tuple[list[str], list[str]]:
    """A segmenter's members for training its generator, and those to score it: whole groups, at least one."""
    groups = sorted({group[i] for i in members})
    random.Random(seed).shuffle(groups)
    kept = set(groups[: max(1, round(share * len(groups)))])
    return [i for i in members if group[i] not in kept], [i for i in members if group[i] in kept]


@torch.no_grad()
def pair(network: Network, images_N3HW: Tensor, labels_NHW: Tensor, *, layout: str = "labels") -> tuple[Tensor, Tensor]:
    """One-hot layouts [N, K, H, W] and features at the cut [N, C, h, w], float32, on the network's device.

    layout: "labels", where ignored pixels take the network's prediction; "predictions", where all do.
    """
    device = next(network.parameters()).device
    images, labels = images_N3HW.to(device), labels_NHW.to(device)
    feature = network.encode(images)
    logits = network.decode(feature, (labels.shape[1], labels.shape[2]))
    filled = torch.full_like(labels, layout == "predictions", dtype=torch.bool) | (labels == IGNORE)
    shown = torch.where(filled, logits.argmax(1), labels)
    return one_hot(shown, logits.shape[1]), feature.float()


def one_hot(labels_NHW: Tensor, classes: int) -> Tensor:
    """Labels [N, H, W] -> float [N, K, H, W]."""
    return F.one_hot(labels_NHW, classes).permute(0, 3, 1, 2).float()


@torch.no_grad()
def score(
    network: Network, generator: GeneratorNetwork | None, held: Sequence[tuple[Tensor, Tensor, Tensor]], *, seed: int
) -> dict[str, float]:
    """The PSPNet-score (thesis, table 6.2): mIoU and accuracies of the network's answers to generated features.

    held: (layout, feature, labels) of each scene; labelled pixels count. generator: None scores the real features.
    """
    noise, total = torch.Generator().manual_seed(seed_of(seed, 0, "score")), None
    for layout, real, labels in held:
        feature = real
        if generator is not None:
            feature = generator(layout, torch.randn(1, generator.latent, generator=noise).to(layout.device))
        predicted = network.decode(feature, (labels.shape[1], labels.shape[2])).argmax(1)
        counts = confusion(labels[0].numpy(), predicted[0].cpu().numpy(), layout.shape[1])
        total = counts if total is None else total + counts
    assert total is not None
    return utility(total)


def rate(settings: TrainGenerator, epoch: int) -> float:
    """Learning rate of an epoch: constant, then falling linearly towards 0 over the last `decay` of them."""
    falling = settings.decay * settings.epochs
    return settings.lr * min(1.0, (settings.epochs - epoch) / (falling + 1))


def _settings(recipe: Recipe) -> Generator:
    return plugins.from_section(generators_, Generator, recipe.generator, where="[generator]")


def crops_of(recipe: Recipe, scenes: Scenes, seed: int, *, flip: bool = True) -> Crops:
    """The victim's crops without its rescaling: a service sees scenes at one scale."""
    flip = flip and recipe.train.flip
    return Crops(scenes, recipe.train.model_copy(update={"scale": (1.0, 1.0), "flip": flip}), seed)


def _held(recipe: Recipe, network: Network, aside: Scenes, *, seed: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Layout, feature and labels of one unmirrored crop of each scene kept aside, the same at every epoch."""
    crops = crops_of(recipe, aside, seed, flip=False)
    for index in range(len(crops)):
        image, labels = crops[index]
        if (labels != IGNORE).any():
            yield *pair(network, image[None], labels[None]), labels[None]


def _fresh(recipe: Recipe, network: Network, classes: int, *, crops: Crops, seed: int) -> Objective:
    torch.manual_seed(seed)
    settings, how, device = _settings(recipe), recipe.train_generator, next(network.parameters()).device
    generator = settings.build(classes, *cut_of(network))
    mean, deviation = _statistics(network, crops, device)
    generator.mean_C.copy_(mean)
    generator.deviation_C.copy_(deviation)
    if generator.linear is not None:
        _fit(generator, generator.linear, network, crops=crops, layout=how.layout)
    decode = _decoding(network, generator) if how.decoding else None
    return OBJECTIVES[how.objective](settings, how, classes, generator=generator, device=device, decode=decode)


def _decoding(network: Network, generator: GeneratorNetwork) -> Callable[[Tensor], Tensor]:
    """The segmenter's logits of standardised features, on the features' own grid: the layout's detail costs nothing."""
    return lambda standard: network.decode(generator.restore(standard), (standard.shape[2], standard.shape[3]))


@torch.no_grad()
def _statistics(network: Network, crops: Crops, device: torch.device) -> tuple[Tensor, Tensor]:
    """Mean and deviation [C] of the features of one crop of every scene."""
    sums, squares, places = torch.zeros(()).double(), torch.zeros(()).double(), 0
    for index in range(len(crops)):
        feature = network.encode(crops[index][0][None].to(device))[0].double().cpu()
        sums, squares = sums + feature.sum((1, 2)), squares + (feature**2).sum((1, 2))
        places += feature[0].numel()
    mean = sums / places
    deviation = (squares / places - mean**2).clamp(min=0).sqrt()
    return mean.float(), torch.where(deviation > SMALLEST, deviation, 1).float()


@torch.no_grad()
def _fit(generator: GeneratorNetwork, linear: nn.Conv2d, network: Network, *, crops: Crops, layout: str) -> None:
    """Begin with the ridge regression of standardised features on the layout's cells, over one crop of every scene."""
    side, rows = linear.kernel_size[0], linear.weight[0].numel() + 1
    square, cross = torch.zeros(rows, rows).double(), torch.zeros(rows, linear.out_channels).double()
    for index in range(len(crops)):
        image, labels = crops[index]
        shown, feature = (t.cpu() for t in pair(network, image[None], labels[None], layout=layout))
        # As the convolution pads: what lies beyond the edge holds no class.
        seen = F.unfold(generator.reader.cells(shown), side, padding=side // 2)[0].double()
        seen = torch.cat([seen, torch.ones(1, seen.shape[1]).double()])
        square += seen @ seen.T
        cross += seen @ generator.standardise(feature)[0].flatten(1).double().T
    weights = torch.linalg.solve(square + RIDGE * torch.eye(rows).double(), cross).float()
    linear.weight.copy_(weights[:-1].T.reshape(linear.weight.shape))
    linear.bias.copy_(weights[-1])  # type: ignore[union-attr]


def _epoch(
    objective: Objective, network: Network, crops: Crops, *, settings: TrainGenerator, epoch: int, seed: int, title: str
) -> dict[str, Any]:
    """One pass over the scenes; the mean of every loss. Raises MiaSegError where a loss or weight is not finite."""
    started, total, lr = time.monotonic(), dict[str, float](), rate(settings, epoch)
    crops.epoch = epoch
    objective.rate(lr)
    torch.manual_seed(seed_of(seed, epoch, "noise"))
    batches = list(_batches(order_of(len(crops), seed, epoch), settings.batch))
    steps = len(batches)
    place = partial(Place, title, steps=settings.epochs * steps, rate=lr, section="[train_generator]")
    for step, batch in enumerate(batches, epoch * steps + 1):
        images, labels = (torch.stack(part) for part in zip(*(crops[i] for i in batch), strict=True))
        layout, feature = pair(network, images, labels, layout=settings.layout)
        terms = objective.step(layout, objective.generator.standardise(feature))
        for name, value in terms.items():
            check_loss(value, place(step=step), f"the term '{name}'")
        total = {name: total.get(name, 0.0) + value for name, value in terms.items()}
    if not all_finite(objective.state().values()):
        raise place(step=(epoch + 1) * steps).diverged("a weight is not finite")
    losses = {name: value / steps for name, value in total.items()}
    return {"epoch": epoch + 1, "lr": lr, **losses, "seconds": time.monotonic() - started}


def _batches(order: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    """Whole batches; what does not fill one waits for another epoch."""
    return (order[k : k + size] for k in range(0, len(order) - size + 1, size))


def _save(folder: Path, objective: Objective, rows: list[dict[str, Any]]) -> None:
    replace(folder / STATE, packed(objective.state(), {"rows": json.dumps(rows)}))


def _restore(folder: Path, objective: Objective) -> list[dict[str, Any]]:
    """Bring all to the last saved epoch, if there is one; the log up to there."""
    if not (folder / STATE).is_file():
        return []
    with safe_open(folder / STATE, "pt") as file:
        rows: list[dict[str, Any]] = json.loads(file.metadata()["rows"])
        objective.load_state({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118 (no mapping)
    return rows
