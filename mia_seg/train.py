"""One training loop for victims and shadows, on Lightning Fabric; nothing here knows which one it trains."""

import csv
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torchvision.transforms.v2.functional as tvf
from lightning_fabric import Fabric
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from mia_seg import plugins, segmenters
from mia_seg.data import IGNORE, Scene, Scenes
from mia_seg.errors import MiaSegError
from mia_seg.metrics.segmentation import utility
from mia_seg.progress import Bar
from mia_seg.recipe import Recipe, Train, digest
from mia_seg.segmenters import Network, Segmenter
from mia_seg.store import reading, replace

VERSION = 1
WEIGHTS, STATE, LOG = "model.safetensors", "state.safetensors", "log.csv"
SAVE_EVERY = 60.0


def train(recipe: Recipe, scenes: Scenes, seed: int, folder: Path, fabric: Fabric, workers: int, title: str) -> None:
    """Train the recipe's segmenter on `scenes`; write weights and `log.csv` into `folder`.

    Resumes from the last saved epoch; on the CPU a resumed run ends with the same bits as an unbroken one.
    Raises MiaSegError where there are fewer scenes than a batch needs.
    """
    settings = recipe.train
    if len(scenes) < settings.batch:
        raise MiaSegError(
            f"{title}: {len(scenes)} scenes do not fill a batch of {settings.batch}. Lower [train] batch."
        )
    network, optimizer = _fresh(recipe, scenes, seed)
    with reading(folder):
        first, rows = _restore(folder, network, optimizer)
    objective, optimizer = fabric.setup(Objective(network), optimizer)
    crops = Crops(scenes, settings, seed)
    loader = fabric.setup_dataloaders(_loader(crops, settings, workers))
    saved = time.monotonic()
    with Bar(title, settings.epochs, first) as bar:
        for epoch in range(first, settings.epochs):
            crops.epoch = epoch
            rows.append(_epoch(objective, optimizer, loader, settings, epoch, seed, fabric))
            if not fabric.is_global_zero:
                continue
            _write_log(folder, rows)
            if time.monotonic() - saved > SAVE_EVERY:
                _save_state(folder, network, optimizer, epoch + 1)
                saved = time.monotonic()
            bar.step(f"loss {rows[-1]['loss']:.3f}  mIoU {rows[-1]['miou']:.3f}")
    if not fabric.is_global_zero:
        sys.exit(0)  # devices share the training alone; the first process goes on with the rest
    # One entry, because safetensors writes several in random order.
    made_by = json.dumps({"recipe": recipe.model_dump(mode="json"), "seed": seed}, sort_keys=True)
    replace(folder / WEIGHTS, _packed(network.state_dict(), {"made_by": made_by}))
    (folder / STATE).unlink(missing_ok=True)


def load_network(recipe: Recipe, classes: int, path: Path) -> Network:
    """The trained network in evaluation mode. Raises MiaSegError for weights of another architecture.

    Reads safetensors: nothing in the file is executed.
    """
    # The file holds every weight: those that the training started from need not be at hand.
    settings = {key: value for key, value in recipe.segmenter.items() if key != "pretrained"}
    network = _build(settings, classes)
    try:
        with safe_open(path, "pt") as file:
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        network.load_state_dict(weights)
    except FileNotFoundError:
        raise MiaSegError(f"{path} is missing. Delete its folder and train again, or restore the file.") from None
    except SafetensorError as error:
        raise MiaSegError(
            f"{path} is not a whole safetensors file ({error}). Delete its folder and train again."
        ) from None
    except RuntimeError as error:
        fault = str(error).splitlines()[-1].strip()[:200]
        raise MiaSegError(
            f"{path} holds another architecture than the recipe's [segmenter] ({fault}). "
            f"Delete its folder and train again, or correct the recipe."
        ) from None
    return network.to(memory_format=torch.channels_last).eval()


class Crops(Dataset[tuple[Tensor, Tensor]]):
    """Augmented crops; the draw of each depends on seed, epoch and scene alone, whatever the number of workers."""

    def __init__(self, scenes: Scenes, settings: Train, seed: int) -> None:
        self.scenes, self.settings, self.seed, self.epoch = scenes, settings, seed, 0

    def __len__(self) -> int:
        return len(self.scenes)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        scene = self.scenes[index]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(_seed_of(self.seed, self.epoch, scene.id))
            return crop(scene, self.settings)


class Objective(nn.Module):
    """The loss as a forward pass, because that alone runs in Fabric's precision and under its strategies."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, image_N3HW: Tensor, labels_NHW: Tensor) -> tuple[Tensor, Tensor]:
        """Loss and logits of a batch."""
        return self.network.loss(image_N3HW, labels_NHW)


def crop(scene: Scene, settings: Train) -> tuple[Tensor, Tensor]:
    """A randomly scaled, cropped and mirrored view: float [3, *crop] in 0..1 and int64 [*crop], padded with ignore."""
    image = torch.from_numpy(scene.image_HWC.copy()).permute(2, 0, 1)
    labels = torch.from_numpy(scene.labels_HW.copy())[None]
    factor = settings.scale[0] + (settings.scale[1] - settings.scale[0]) * torch.rand(()).item()
    if factor != 1:
        size = [max(1, round(s * factor)) for s in labels.shape[1:]]
        image = tvf.resize(image, size, tvf.InterpolationMode.BILINEAR, antialias=True)
        labels = tvf.resize(labels, size, tvf.InterpolationMode.NEAREST)
    lacking = [max(0, c - s) for c, s in zip(settings.crop, labels.shape[1:], strict=True)]
    padding = [0, 0, lacking[1], lacking[0]]
    image, labels = tvf.pad(image, padding, 0), tvf.pad(labels, padding, IGNORE)
    top, left = (int(torch.randint(s - c + 1, ())) for c, s in zip(settings.crop, labels.shape[1:], strict=True))
    image, labels = (tvf.crop(x, top, left, *settings.crop) for x in (image, labels))
    if settings.flip and torch.rand(()) < 0.5:
        image, labels = image.flip(-1), labels.flip(-1)
    return image.float() / 255, labels[0].long()


def poly(settings: Train, step: int, steps: int) -> float:
    """Learning rate at `step` of `steps`: lr * (1 - step/steps)^power."""
    return settings.lr * (1 - step / steps) ** settings.power


def _build(section: dict[str, Any], classes: int) -> Network:
    return plugins.from_section(segmenters, Segmenter, section, "[segmenter]").build(classes)


def _fresh(recipe: Recipe, scenes: Scenes, seed: int) -> tuple[Network, torch.optim.SGD]:
    torch.manual_seed(seed)
    network = _build(recipe.segmenter, len(scenes.dataset.classes()))
    network = network.to(memory_format=torch.channels_last)
    settings, backbone = recipe.train, network.backbone_parameters()
    heads = [p for p in network.parameters() if id(p) not in {id(b) for b in backbone}]
    groups = [{"params": backbone, "factor": 1.0}, {"params": heads, "factor": settings.head_lr}]
    optimizer = torch.optim.SGD(groups, settings.lr, settings.momentum, weight_decay=settings.weight_decay)
    return network, optimizer


def _loader(crops: Crops, settings: Train, workers: int) -> DataLoader[tuple[Tensor, Tensor]]:
    # A last batch of one scene would break batch normalisation of the 1x1 bin: the rest waits for another epoch.
    return DataLoader(crops, settings.batch, shuffle=True, drop_last=True, num_workers=workers)


def _epoch(
    objective: Any, optimizer: Any, loader: Any, settings: Train, epoch: int, seed: int, fabric: Fabric
) -> dict[str, float]:
    """One pass over the scenes; a row of the log."""
    start, total, confusion = time.monotonic(), 0.0, None
    torch.manual_seed(_seed_of(seed, epoch, f"rank {fabric.global_rank}"))
    objective.train()
    for step, (images, labels) in enumerate(_placed(loader), epoch * len(loader)):
        rate = poly(settings, step, settings.epochs * len(loader))
        for group in optimizer.param_groups:
            group["lr"] = rate * group["factor"]
        loss, logits = objective(images, labels)
        optimizer.zero_grad()
        fabric.backward(loss)
        optimizer.step()
        total += loss.item()
        counts = _confusion(logits.detach(), labels)
        confusion = counts if confusion is None else confusion + counts
    assert confusion is not None
    miou = utility(confusion.cpu().numpy())["miou"]
    return {
        "epoch": epoch + 1, "lr": rate, "loss": total / len(loader), "miou": miou, "seconds": time.monotonic() - start,
    }  # fmt: skip


def _placed(loader: Any) -> Iterator[tuple[Tensor, Tensor]]:
    for images, labels in loader:
        yield images.contiguous(memory_format=torch.channels_last), labels


def _confusion(logits_NKHW: Tensor, labels_NHW: Tensor) -> Tensor:
    """Counts [K, K] (label, prediction) of a batch: the running training mIoU, which costs nothing extra to see."""
    classes, known = logits_NKHW.shape[1], labels_NHW != IGNORE
    pairs = labels_NHW[known] * classes + logits_NKHW.argmax(1)[known]
    return torch.bincount(pairs, minlength=classes**2).view(classes, classes)


def _seed_of(seed: int, epoch: int, what: str) -> int:
    return int(digest([seed, epoch, what]), 16)


def _save_state(folder: Path, network: nn.Module, optimizer: Any, epochs: int) -> None:
    """Weights and momentum in one file, replaced in one step: a kill leaves the previous epoch or this one."""
    tensors = {f"model.{name}": tensor for name, tensor in network.state_dict().items()}
    for name, parameter in network.named_parameters():
        tensors[f"momentum.{name}"] = optimizer.state[parameter]["momentum_buffer"]
    replace(folder / STATE, _packed(tensors, {"epochs": str(epochs)}))


def _packed(tensors: dict[str, Tensor], metadata: dict[str, str]) -> bytes:
    """Safetensors bytes; it takes no channels-last tensors."""
    return save({name: tensor.contiguous() for name, tensor in tensors.items()}, metadata)


def _restore(folder: Path, network: Network, optimizer: torch.optim.SGD) -> tuple[int, list[dict[str, float]]]:
    """Epochs already done and their log, with `network` and `optimizer` brought to that point."""
    if not (folder / STATE).is_file():
        return 0, []
    with safe_open(folder / STATE, "pt") as file:
        epochs = int(file.metadata()["epochs"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    network.load_state_dict({n[6:]: t for n, t in tensors.items() if n.startswith("model.")})
    for name, parameter in network.named_parameters():
        buffer = torch.empty_like(parameter).copy_(tensors[f"momentum.{name}"])
        optimizer.state[parameter]["momentum_buffer"] = buffer
    with (folder / LOG).open(encoding="utf-8") as log:
        rows = [{k: json.loads(v) for k, v in row.items()} for row in csv.DictReader(log)]
    return epochs, rows[:epochs]


def _write_log(folder: Path, rows: list[dict[str, float]]) -> None:
    lines = [",".join(rows[0]), *(",".join(json.dumps(v) for v in row.values()) for row in rows)]
    replace(folder / LOG, ("\n".join(lines) + "\n").encode())
