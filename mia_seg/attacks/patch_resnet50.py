"""The patch attack (He et al., ECCV 2020; thesis 7.2): a ResNet-50 from scratch calls a patch of an answer "member".

Needs labels and posteriors, one query a scene, and a shadow to train on. Without labels it sees the posteriors alone:
the weaker attacker who has no ground truth (Type-I of Chobola et al., AISec 2023).
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import timm
import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from pydantic import BeforeValidator, Field
from safetensors.torch import load_file, save
from scipy.special import expit
from torch import Tensor, nn

from mia_seg.attacks import Attack, Attacker, Membership, Scores, Thresholds
from mia_seg.data import IGNORE
from mia_seg.errors import MiaSegError
from mia_seg.metrics.membership import auc, best_threshold
from mia_seg.oracles.pixels import at_labels, one_hot
from mia_seg.plugins import settings_of
from mia_seg.progress import Bar, track
from mia_seg.query.answers import Answer, Answers
from mia_seg.segmenters._backbone import dilate
from mia_seg.segmenters._layout import laid, layout
from mia_seg.store import replace
from mia_seg.train._finite import Place, all_finite, check_loss
from mia_seg.values import Batch, Epochs, Rate, Weight, Whole
from mia_seg.values import Side as Cells

VALIDATION_SHARE = 0.2
FLOOR = 1e-6
Cut = tuple[slice, slice]
WHOLE: Cut = (slice(None), slice(None))
# All patches of an image are scored at once.
Patches = Annotated[Whole, Field(ge=1, le=10**4)]


def _square(given: object) -> object:
    """One number for a square, which a command line can write."""
    return (given, given) if isinstance(given, int) else given


class PatchResNet50(Attack):
    """Settings; the defaults are the published geometry (90 x 90 cells at stride 8, ten patches an image)."""

    representation: Literal["concat", "posterior", "loss", "labels"] = Field(
        default="concat",
        description="concat: posterior and one-hot labels; posterior: the posterior alone, for who has no labels; "
        "loss: -log p map; labels: one-hot labels alone, a control that never sees the model",
    )
    patch: Annotated[tuple[Cells, Cells], BeforeValidator(_square)] = Field(
        default=(90, 90), description="(height, width) of a patch, in cells of the answer; one number for a square"
    )
    fuse: Literal["random", "windows"] = Field(
        default="random", description="patches whose scores are averaged to an image's"
    )
    average: Literal["log_odds", "probability"] = Field(
        default="log_odds", description="what an image's score averages over patches; the thesis averages probabilities"
    )
    patches: Patches = Field(default=10, description="random patches an image")
    epochs: Epochs = 30
    batch: Batch = 32
    lr: Rate = 1e-3
    weight_decay: Weight = 1e-2
    precision: Literal["32-true", "bf16-mixed"] = "32-true"

    def fit(self, answers: Answers, known: Membership, seed: int, *, fabric: Fabric) -> "PatchAttacker":
        """Train on four fifths of the shadow's groups; the rest choose the epoch (by AUC) and the threshold."""
        draw = np.random.default_rng(seed)
        held = validation(known, draw)
        rows, what = (np.flatnonzero(~held), np.flatnonzero(held)), self.representation
        fit, check = (AnswerSide(answers, known, of, representation=what) for of in rows)
        return PatchAttacker(*learnt(fit, check, self, seed=seed, draw=draw, fabric=fabric))

    def load(self, folder: Path, fabric: Fabric) -> "PatchAttacker":
        weights = load_file(folder / "attacker.safetensors")
        network = resnet50(weights["conv1.0.weight"].shape[1])
        network.load_state_dict(weights)
        thresholds = Thresholds(**json.loads((folder / "attacker.json").read_text(encoding="utf-8")))
        return PatchAttacker(fabric.to_device(network), self, thresholds)


class Side(ABC):
    """Answers with memberships to fit or validate on, by place. They stay on disk until a patch is cut."""

    members: np.ndarray

    def __len__(self) -> int:
        return len(self.members)

    @abstractmethod
    def shape(self, place: int) -> tuple[int, int]:
        """Cells of the answer at a place."""

    @abstractmethod
    def inputs(self, place: int, cut: Cut) -> Tensor:
        """What the network sees of a part of it: cut first, so that no more is read and transformed."""

    def batch(self, places: np.ndarray, settings: PatchResNet50, draw: np.random.Generator) -> tuple[Tensor, Tensor]:
        """One random patch, mirrored half of the time, of each place; its class (1 = member)."""
        patches = [self.inputs(place, drawn(self.shape(place), settings.patch, draw)) for place in places.tolist()]
        patches = [p.flip(-1) if draw.random() < 0.5 else p for p in patches]
        targets = torch.from_numpy(self.members[places].astype(np.int64))
        return torch.stack(patches), targets


class AnswerSide(Side):
    """Some scenes of one shadow."""

    def __init__(self, answers: Answers, known: Membership, rows: np.ndarray, *, representation: str) -> None:
        self._answers, self._rows, self._representation = answers, rows, representation
        self.members = known.members_N[rows]

    def shape(self, place: int) -> tuple[int, int]:
        return self._answers.shapes[self._rows[place]]

    def inputs(self, place: int, cut: Cut) -> Tensor:
        return represent(self._answers.cut(self._rows[place], *cut), self._representation)


@dataclass(frozen=True)
class PatchAttacker(Attacker):
    """A patch's score is the log-odds of "member"; an image's the mean of these, or of their probabilities."""

    network: nn.Module
    settings: PatchResNet50
    thresholds: Thresholds

    def save(self, folder: Path) -> None:
        replace(
            folder / "attacker.safetensors",
            save({name: tensor.contiguous() for name, tensor in self.network.state_dict().items()}),
        )
        (folder / "attacker.json").write_text(json.dumps(asdict(self.thresholds)), encoding="utf-8")

    def score(self, answers: Answers, seed: int) -> Scores:
        inputs = (self.inputs(place, answer) for place, answer in enumerate(answers))
        return scored(self.network, inputs, len(answers), settings=self.settings, seed=seed)

    def inputs(self, place: int, answer: Answer) -> Tensor:
        """What the network sees of the answer at a place."""
        del place
        return represent(answer, self.settings.representation)


def learnt(
    fit: Side, check: Side, settings: PatchResNet50, *, seed: int, draw: np.random.Generator, fabric: Fabric
) -> tuple[nn.Module, PatchResNet50, Thresholds]:
    """Train a network on `fit`; `check` chooses the epoch and the thresholds."""
    torch.manual_seed(seed)
    network = resnet50(fit.inputs(0, WHOLE).shape[0])
    network.load_state_dict(_train(network, fit, check, settings=settings, draw=draw, fabric=fabric))
    inputs = (check.inputs(place, WHOLE) for place in range(len(check)))
    found = scored(network, inputs, len(check), settings=settings, seed=seed)
    assert found.patch_NP is not None
    members_NP = np.repeat(check.members[:, None], found.patch_NP.shape[1], 1)
    patch = best_threshold(found.patch_NP.ravel(), members_NP.ravel())
    return network, settings, Thresholds(best_threshold(found.image_N, check.members), patch)


@torch.inference_mode()
def scored(network: nn.Module, inputs: Iterable[Tensor], count: int, *, settings: PatchResNet50, seed: int) -> Scores:
    """The scores of `count` answers, of which `inputs` [C, h, w] are what the network sees."""
    network.eval()
    device, draw, rows = next(network.parameters()).device, np.random.default_rng(seed), []
    for whole in track(inputs, "  scoring", count):
        logits = network(laid(torch.stack(_patches(whole.to(device), settings, draw)))).float().cpu().numpy()
        rows.append(logits[:, 1].astype(np.float64) - logits[:, 0].astype(np.float64))
    # Windows of scenes of different sizes differ in number: short rows are filled with their own mean.
    width = max(len(row) for row in rows)
    patch_NP = np.stack([np.pad(r, (0, width - len(r)), constant_values=r.mean()) for r in rows])
    fused = expit if settings.average == "probability" else np.asarray
    return Scores(np.array([fused(row).mean() for row in rows]), patch_NP)


def _patches(input_CHW: Tensor, settings: PatchResNet50, draw: np.random.Generator) -> list[Tensor]:
    if settings.fuse == "windows":
        return sliding(input_CHW, settings.patch)
    return [random_patch(input_CHW, settings.patch, draw) for _ in range(settings.patches)]


def represent(answer: Answer, representation: str) -> Tensor:
    """The attacker's transform of an answer, float32 [C, h, w]; a function of the answer alone, whatever the defense.

    concat: posterior renormalised to sum one and one-hot labels, 2K channels, all-zero labels where ignored.
    posterior: the renormalised posterior alone, K channels. labels: the one-hot labels alone.
    loss: -log p of the label, floor 1e-6, scaled to 0..1; 0 where ignored.
    """
    posterior, labels_HW, classes = torch.from_numpy(answer.posterior_KHW), answer.labels_HW, len(answer.posterior_KHW)
    if representation == "posterior":
        return posterior / posterior.sum(0)
    if representation == "loss":
        p = torch.from_numpy(at_labels(answer.posterior_KHW, labels_HW)[None]).clamp_(min=FLOOR)
        return p.log_().div_(np.log(FLOOR)).masked_fill_(torch.from_numpy(labels_HW == IGNORE), 0)
    if representation == "labels":
        return torch.from_numpy(one_hot(labels_HW, np.empty_like(answer.posterior_KHW)))
    both = np.empty((2 * classes, *labels_HW.shape), np.float32)
    one_hot(labels_HW, both[classes:])
    torch.div(posterior, posterior.sum(0), out=torch.from_numpy(both)[:classes])
    return torch.from_numpy(both)


def resnet50(channels: int) -> nn.Module:
    """ResNet-50 as the published attacker has it: 3x3 stem of 64, 64, 128, conv4 and conv5 at stride 1, two logits.

    Source: SSAW14/segmentation_membership_inference, models/resnet.py (its default, without dilation).
    """
    network: Any = timm.create_model(
        "resnet50", in_chans=channels, num_classes=2, output_stride=8, stem_width=64, stem_type="deep"
    )
    dilate(network.layer3, 1)
    dilate(network.layer4, 1)
    return network.to(memory_format=layout())


def random_patch(input_CHW: Tensor, patch: tuple[int, int], draw: np.random.Generator) -> Tensor:
    """A crop at a uniformly drawn place, the last row and column included."""
    rows, columns = drawn((input_CHW.shape[1], input_CHW.shape[2]), patch, draw)
    return input_CHW[:, rows, columns]


def drawn(size: tuple[int, int], patch: tuple[int, int], draw: np.random.Generator) -> Cut:
    """Rows and columns of a patch at a uniformly drawn place."""
    top, left = (int(draw.integers(r + 1)) for r in _room(size, patch))
    return slice(top, top + patch[0]), slice(left, left + patch[1])


def sliding(input_CHW: Tensor, patch: tuple[int, int]) -> list[Tensor]:
    """The fewest evenly spread crops that cover the answer."""
    room = _room((input_CHW.shape[1], input_CHW.shape[2]), patch)
    starts = [np.linspace(0, r, 1 + -(-r // p)).round().astype(int) for r, p in zip(room, patch, strict=True)]
    return [input_CHW[:, t : t + patch[0], s : s + patch[1]] for t in starts[0] for s in starts[1]]


def validation(known: Membership, draw: np.random.Generator) -> np.ndarray:
    """Which scenes are held out: a fifth of the member groups and of the non-member groups, at least one each."""
    held = np.zeros(len(known.members_N), bool)
    for side in (True, False):
        groups = np.unique(known.groups_N[known.members_N == side])
        if len(groups) < 2:
            raise MiaSegError(
                f"The patch attack needs two groups of members and two of non-members, to learn and to validate, and "
                f"the shadow has {len(groups)} of {'members' if side else 'non-members'}. Give the shadow more scenes."
            )
        chosen = draw.permutation(groups)[: max(1, round(VALIDATION_SHARE * len(groups)))]
        held |= np.isin(known.groups_N, chosen) & (known.members_N == side)
    return held


def _train(
    network: nn.Module, fit: Side, check: Side, *, settings: PatchResNet50, draw: np.random.Generator, fabric: Fabric
) -> dict[str, Tensor]:
    """AdamW under a one-cycle schedule; the weights of the epoch with the largest AUC on the scenes held out.

    The loss would choose an epoch that knows nothing: on few scenes it rises while the ranking still gets better.
    Raises MiaSegError where a loss or a weight is not finite.
    """
    optimizer = torch.optim.AdamW(network.parameters(), settings.lr, weight_decay=settings.weight_decay)
    wrapped, optimizer = fabric.setup(network, optimizer)
    batches = max(1, len(fit) // settings.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.lr, total_steps=settings.epochs * batches)
    largest, best, check_seed = 0.0, network.state_dict(), int(draw.integers(2**32))
    with Bar(f"  attacker ({settings.representation})", settings.epochs) as bar:
        for epoch in range(settings.epochs):
            wrapped.train()
            losses, rates = list[Tensor](), list[float]()
            for places in np.array_split(draw.permutation(len(fit)), batches):
                inputs, targets = fit.batch(places, settings, draw)
                logits = wrapped(laid(fabric.to_device(inputs)))
                loss = F.cross_entropy(logits.float(), fabric.to_device(targets))
                optimizer.zero_grad()
                fabric.backward(loss)
                optimizer.step()
                losses.append(loss.detach())
                rates.append(float(schedule.get_last_lr()[0]))
                schedule.step()
            loss_now, auc_now = _validate(wrapped, check, settings, seed=check_seed, fabric=fabric)
            _check(network, losses, rates, validation=loss_now, first=epoch * batches, settings=settings)
            if auc_now >= largest:  # of equals the longest trained
                largest = auc_now
                best = {name: tensor.clone() for name, tensor in network.state_dict().items()}
            bar.step(f"validation AUC {auc_now:.3f}  loss {loss_now:.3f}")
    return best


def _check(
    network: nn.Module, losses: list[Tensor], rates: list[float], *, validation: float, first: int,
    settings: PatchResNet50,
) -> None:  # fmt: skip
    """Raise MiaSegError where an epoch's loss or the weights are not finite. first: steps before this epoch.

    Once an epoch: reading each step's loss would let the device wait for the next patches.
    """
    name, steps = settings_of(settings)["name"], settings.epochs * len(rates)
    places = [
        Place(f"Attack {name}", first + k, steps, rate, f"[attacks.{name}]", settings.precision)
        for k, rate in enumerate(rates, 1)
    ]
    for loss, place in zip(torch.stack(losses).tolist(), places, strict=True):
        check_loss(loss, place)
    check_loss(validation, places[-1], "the validation loss")
    if not all_finite(network.state_dict().values()):
        raise places[-1].diverged("a weight is not finite")


@torch.inference_mode()
def _validate(
    network: nn.Module, check: Side, settings: PatchResNet50, *, seed: int, fabric: Fabric
) -> tuple[float, float]:
    """Mean loss of four patches a held-out scene, the same after every epoch; AUC of their mean log-odds."""
    network.eval()
    draw, odds = np.random.default_rng(seed), list[Tensor]()
    places = np.tile(np.arange(len(check)), 4)
    for part in np.array_split(places, -(-len(places) // settings.batch)):
        inputs, _ = check.batch(part, settings, draw)
        logits = network(laid(fabric.to_device(inputs))).double().cpu()
        odds.append(logits[:, 1] - logits[:, 0])
    odds_4N = torch.cat(odds).reshape(4, len(check))
    members_4N = torch.from_numpy(check.members).double().expand(4, -1)
    loss = F.binary_cross_entropy_with_logits(odds_4N, members_4N).item()
    return loss, auc(odds_4N.mean(0).numpy(), check.members) if np.isfinite(loss) else 0.0


def _room(size: tuple[int, int], patch: tuple[int, int]) -> tuple[int, int]:
    height, width = size[0] - patch[0], size[1] - patch[1]
    if height < 0 or width < 0:
        raise MiaSegError(
            f"An answer of {size} cells is smaller than the attack's patch {patch}. "
            f"Lower 'patch' in [attacks.patch_resnet50] or 'stride' in [adversary]."
        )
    return height, width
