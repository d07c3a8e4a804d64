"""Figures of scenes: the attacker's maps (thesis figure 7.9), the model's loss maps, and its predictions (7.10)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, hsv_to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from PIL import Image

from mia_seg.data import IGNORE
from mia_seg.data._labels import CITYSCAPES
from mia_seg.report.cells import by_strength, defense_name
from mia_seg.report.deletion import DeletionInput
from mia_seg.report.style import figure, named

if TYPE_CHECKING:  # its module imports torch, and a report is made from files
    from mia_seg.report.cam import CamInput

EVIDENCE, LOSS = "RdBu_r", "Oranges"
WIDTH = 1.45
PALE = 0.5
GOLDEN = 0.618034
SHOWN = 20  # characters of a scene's id that fit below its image
# Colours saturate at this quantile of all cells: a single extreme cell would leave the rest white.
SATURATES = 0.995


@dataclass(frozen=True)
class LossInput:
    """The input of the figure of losses, with one entry a scene.

    members: whether the victim was trained on the scene. images, labels, classes: as in `CamInput`. losses: the
    victim's -log p of the label, float [h, w] at the size of the answer, 0 where ignored. outside: the mean of the same
    over the fleet's shadows that were not trained on the scene; None without a fleet.
    """

    scene_ids: list[str]
    members: list[bool]
    images: list[np.ndarray]
    labels: list[np.ndarray]
    losses: list[np.ndarray]
    outside: list[np.ndarray] | None
    classes: tuple[str, ...] = ()


@dataclass(frozen=True)
class SegmentationInput:
    """The input of the figure of predictions behind each defense, with one entry a scene.

    members: whether the victim was trained on the scene. images, labels: as in `CamInput`. classes: names by id.
    predicted: by defense, class ids uint8 [h, w] at the size of the answer. quality: by defense, each scene's pixel
    accuracy and mIoU, in [0, 1] and at full resolution; None for a scene without labels. note: names the seed.
    """

    scene_ids: list[str]
    members: list[bool]
    images: list[np.ndarray]
    labels: list[np.ndarray]
    classes: tuple[str, ...]
    predicted: dict[str, list[np.ndarray]]
    quality: dict[str, list[tuple[float, float] | None]]
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class SceneInputs:
    """The inputs of one victim's figures of scenes; None for figures that cannot be drawn."""

    cam: "CamInput | None" = None
    deletion: DeletionInput | None = None
    losses: LossInput | None = None
    segmentation: SegmentationInput | None = None


def cam_figure(inputs: "CamInput") -> Figure:
    """The figure of the attacker's maps. Rows are scenes; columns are the image, its labels, and the map by defense."""
    defenses = sorted(inputs.maps, key=by_strength)
    end = _end(chain.from_iterable(inputs.maps.values()))
    norm = Normalize(-end, end)
    columns = {
        defense_name(name): _overlays(inputs.images, inputs.maps[name], norm, colours=EVIDENCE) for name in defenses
    }
    drawn, axes = _grid(inputs, [named(i, SHOWN) for i in inputs.scene_ids], columns)
    for column, name in zip(axes.T[2:], defenses, strict=True):
        for ax, score in zip(column, inputs.scores[name], strict=True):
            _write(ax, f"score {score:+.1f}")
    note = f"\n{inputs.note}" if inputs.note else ""
    _bar(
        drawn,
        axes,
        norm,
        colours=EVIDENCE,
        label=f"evidence for “non-member” (blue) and “member” (red), log-odds{note}",
    )
    return drawn


def loss_figure(inputs: LossInput) -> Figure:
    """The figure of losses. Rows are scenes; columns are the image, its labels and the victim's loss.

    With a fleet, two more columns are its shadows' loss and the difference of both.
    """
    outside = inputs.outside or []
    above = [theirs - mine for theirs, mine in zip(outside, inputs.losses, strict=False)]
    end = _end(above) if above else 1.0
    loss, known = Normalize(0, _end([*inputs.losses, *outside])), Normalize(-end, end)
    columns = {"victim's loss": _overlays(inputs.images, inputs.losses, loss, colours=LOSS)}
    if outside:
        columns["shadows' loss"] = _overlays(inputs.images, outside, loss, colours=LOSS)
        columns["difference"] = _overlays(inputs.images, above, known, colours=EVIDENCE)
    drawn, axes = _grid(inputs, _sided(inputs), columns)
    _bar(drawn, axes[:, :4], loss, colours=LOSS, label="loss: -log p of the label")
    if outside:
        _bar(drawn, axes[:, 4:], known, colours=EVIDENCE, label="shadows' minus victim's")
    return drawn


def segmentation_figure(inputs: SegmentationInput) -> Figure:
    """The figure of predictions. Rows are scenes; columns are the image, its labels, and the prediction by defense."""
    defenses = sorted(inputs.predicted, key=by_strength)
    colours = palette(inputs.classes)
    columns = {
        defense_name(name): (
            _coloured(one, image, colours) for one, image in zip(inputs.predicted[name], inputs.images, strict=True)
        )
        for name in defenses
    }
    drawn, axes = _grid(inputs, _sided(inputs), columns)
    for column, name in zip(axes.T[2:], defenses, strict=True):
        for ax, found in zip(column, inputs.quality[name], strict=True):
            if found is not None:
                _write(ax, f"{100 * found[0]:.1f} / {100 * found[1]:.1f} %")
    _classes(drawn, inputs, colours)
    if inputs.note:
        drawn.suptitle(inputs.note, fontsize="medium")
    return drawn


def palette(classes: Sequence[str] = ()) -> np.ndarray:
    """The colour of each class id, uint8 [256, 3]; black for ignored pixels.

    classes: names by id; without names Cityscapes' colours are used in order. A class that Cityscapes has too gets its
    colour there. The hues of other classes are a golden section apart.
    """
    if not classes:
        classes = [list(CITYSCAPES)[i % len(CITYSCAPES)] for i in range(IGNORE)]
    others = [name for name in classes if name not in CITYSCAPES]
    hues = {
        name: hsv_to_rgb((k * GOLDEN % 1, (0.9, 0.5)[k % 2], (0.95, 0.7)[k // 2 % 2])) for k, name in enumerate(others)
    }
    colours = np.zeros((256, 3), np.uint8)
    colours[: len(classes)] = [CITYSCAPES.get(name) or (255 * hues[name]).astype(int) for name in classes]
    return colours


def _classes(drawn: Figure, inputs: SegmentationInput, colours: np.ndarray) -> None:
    """Draws the legend of the classes that occur, in their order."""
    shown = set(np.unique(np.concatenate([one.ravel() for one in chain(inputs.labels, *inputs.predicted.values())])))
    handles = [
        Patch(facecolor=colours[k] / 255, label=named(name, SHOWN))
        for k, name in enumerate(inputs.classes)
        if k in shown
    ]
    columns = max(1, int(drawn.get_figwidth() / WIDTH))
    drawn.set_figheight(drawn.get_figheight() + 0.2 * -(-len(handles) // columns))
    drawn.legend(handles=handles, loc="outside lower center", ncols=columns)


def _sided(inputs: LossInput | SegmentationInput) -> list[str]:
    """The text below each image: its side and its id."""
    sides = ["member" if member else "non-member" for member in inputs.members]
    return [f"{side}\n{named(i, SHOWN)}" for side, i in zip(sides, inputs.scene_ids, strict=True)]


def _grid(
    inputs: "CamInput | LossInput | SegmentationInput",
    below: list[str],
    columns: Mapping[str, Iterator[np.ndarray]],
) -> tuple[Figure, np.ndarray]:
    """A figure with a row for each scene: its image with the text `below`, its labels, and its picture by column."""
    heights = [WIDTH * image.shape[0] / image.shape[1] + 0.24 for image in inputs.images]
    drawn = figure(WIDTH * (2 + len(columns)) + 0.5, sum(heights) + 1.1)
    drawn.set_layout_engine("compressed")
    axes = drawn.subplots(len(heights), 2 + len(columns), squeeze=False, height_ratios=heights)
    colours = palette(inputs.classes)
    labels = (_coloured(one, image, colours) for one, image in zip(inputs.labels, inputs.images, strict=True))
    every = {"image": iter(inputs.images), "labels": labels, **columns}
    for column, (title, pictures) in zip(axes.T, every.items(), strict=True):
        column[0].set_title(title, fontweight="bold")
        for ax, picture in zip(column, pictures, strict=True):
            _picture(ax, picture)
    for ax, text in zip(axes[:, 0], below, strict=True):
        _write(ax, text)
    return drawn, axes


def _end(maps: Iterable[np.ndarray]) -> float:
    """The largest value of the colour scale of some maps."""
    return float(np.quantile(np.concatenate([np.abs(one).ravel() for one in maps]), SATURATES)) or 1.0


def _write(ax: Axes, below: str) -> None:
    ax.set_xlabel(below, fontsize=8, labelpad=2)


def _picture(ax: Axes, image: np.ndarray) -> None:
    ax.imshow(image, interpolation="antialiased")
    ax.set(xticks=[], yticks=[])
    for spine in ax.spines.values():
        spine.set_visible(False)


def _coloured(labels: np.ndarray, image: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """Labels in their colours [256, 3], at the image's size."""
    small = Image.fromarray(colours[labels])
    return np.asarray(small.resize(image.shape[1::-1], Image.Resampling.NEAREST))


def _overlays(
    images: list[np.ndarray], maps: list[np.ndarray], norm: Normalize, *, colours: str
) -> Iterator[np.ndarray]:
    """The images in pale grey, each tinted by its map; there is no tint where the map is 0."""
    return (_overlay(image, one, norm, colours=colours) for image, one in zip(images, maps, strict=True))


def _overlay(image: np.ndarray, values: np.ndarray, norm: Normalize, *, colours: str) -> np.ndarray:
    raised = np.asarray(
        Image.fromarray(values.astype(np.float32)).resize(image.shape[1::-1], Image.Resampling.BILINEAR)
    )
    grey = PALE + (1 - PALE) * image.mean(2, keepdims=True) / 255
    return grey * mpl.colormaps[colours](norm(raised))[..., :3]


def _bar(drawn: Figure, axes: np.ndarray, norm: Normalize, *, colours: str, label: str) -> None:
    extend = "both" if norm.vmin else "max"
    bar = drawn.colorbar(
        ScalarMappable(norm, colours),
        ax=axes,
        location="bottom",
        extend=extend,
        aspect=12 * axes.shape[1],
        shrink=0.6,
        pad=0.02,
    )
    bar.set_label(label)
