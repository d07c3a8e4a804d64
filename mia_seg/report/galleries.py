"""Sheets of scenes with maps over them: where the attacker looks (thesis figure 7.9), and what the model lost where."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from PIL import Image

from mia_seg.data import IGNORE
from mia_seg.data._labels import CITYSCAPES
from mia_seg.report.cells import by_strength, defense_name
from mia_seg.report.style import figure, named

if TYPE_CHECKING:  # its module imports torch, and a report is made from files
    from mia_seg.report.cam import CamSheet

EVIDENCE, LOSS = "RdBu_r", "Oranges"
WIDTH = 1.45
PALE = 0.5
# Above this share of all cells the colour saturates: a single hot cell would leave the rest white.
SHOWN = 20  # characters of a scene's id that fit below its image
SATURATES = 0.995


@dataclass(frozen=True)
class LossSheet:
    """What the sheet of losses shows: scenes as rows, and whether the victim was trained on them.

    images, labels: as in `CamSheet`. losses: the victim's -log p of the label [h, w] at the size of the answer, 0 where
    ignored. outside: the mean of the same over the shadows of a fleet that left the scene out; None without a fleet.
    """

    scene_ids: list[str]
    members: list[bool]
    images: list[np.ndarray]
    labels: list[np.ndarray]
    losses: list[np.ndarray]
    outside: list[np.ndarray] | None


def sheet_figure(sheet: "CamSheet") -> Figure:
    """Rows are scenes; columns the image, its labels, and the maps by defense on one scale."""
    defenses = sorted(sheet.maps, key=by_strength)
    end = _end(chain.from_iterable(sheet.maps.values()))
    norm = Normalize(-end, end)
    columns = {
        defense_name(name): _overlays(sheet.images, sheet.maps[name], norm, colours=EVIDENCE) for name in defenses
    }
    drawn, axes = _grid(sheet, [named(i, SHOWN) for i in sheet.scene_ids], columns)
    for column, name in zip(axes.T[2:], defenses, strict=True):
        for ax, score in zip(column, sheet.scores[name], strict=True):
            _write(ax, f"score {score:+.1f}")
    note = f"\n{sheet.note}" if sheet.note else ""
    _bar(
        drawn,
        axes,
        norm,
        colours=EVIDENCE,
        label=f"evidence for “non-member” (blue) and “member” (red), log-odds{note}",
    )
    return drawn


def loss_figure(sheet: LossSheet) -> Figure:
    """Rows are scenes; columns the image, its labels, the victim's loss; with a fleet its loss and the difference."""
    outside = sheet.outside or []
    above = [theirs - mine for theirs, mine in zip(outside, sheet.losses, strict=False)]
    end = _end(above) if above else 1.0
    loss, known = Normalize(0, _end([*sheet.losses, *outside])), Normalize(-end, end)
    columns = {"victim's loss": _overlays(sheet.images, sheet.losses, loss, colours=LOSS)}
    if outside:
        columns["shadows' loss"] = _overlays(sheet.images, outside, loss, colours=LOSS)
        columns["difference"] = _overlays(sheet.images, above, known, colours=EVIDENCE)
    sides = ["member" if member else "non-member" for member in sheet.members]
    drawn, axes = _grid(
        sheet, [f"{s}\n{named(i, SHOWN)}" for s, i in zip(sides, sheet.scene_ids, strict=True)], columns
    )
    _bar(drawn, axes[:, :4], loss, colours=LOSS, label="loss: -log p of the label")
    if outside:
        _bar(drawn, axes[:, 4:], known, colours=EVIDENCE, label="shadows' less victim's")
    return drawn


def _grid(
    sheet: "CamSheet | LossSheet", below: list[str], columns: dict[str, Iterator[np.ndarray]]
) -> tuple[Figure, np.ndarray]:
    """A row a scene: its image with what stands below it, its labels, and its picture of each column; all axes."""
    heights = [WIDTH * image.shape[0] / image.shape[1] + 0.24 for image in sheet.images]
    drawn = figure(WIDTH * (2 + len(columns)) + 0.5, sum(heights) + 1.1)
    drawn.set_layout_engine("compressed")
    axes = drawn.subplots(len(heights), 2 + len(columns), squeeze=False, height_ratios=heights)
    labels = (_coloured(one, image) for one, image in zip(sheet.labels, sheet.images, strict=True))
    every = {"image": iter(sheet.images), "labels": labels} | columns
    for column, (title, pictures) in zip(axes.T, every.items(), strict=True):
        column[0].set_title(title, fontweight="bold")
        for ax, picture in zip(column, pictures, strict=True):
            _picture(ax, picture)
    for ax, text in zip(axes[:, 0], below, strict=True):
        _write(ax, text)
    return drawn, axes


def _end(maps: Iterable[np.ndarray]) -> float:
    """Where the colours of some maps end."""
    return float(np.quantile(np.concatenate([np.abs(one).ravel() for one in maps]), SATURATES)) or 1.0


def _write(ax: Axes, below: str) -> None:
    ax.set_xlabel(below, fontsize=8, labelpad=2)


def _picture(ax: Axes, image: np.ndarray) -> None:
    ax.imshow(image, interpolation="antialiased")
    ax.set(xticks=[], yticks=[])
    for spine in ax.spines.values():
        spine.set_visible(False)


def _coloured(labels: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Labels in Cityscapes' colours, by id, at the image's size; ignored pixels black."""
    palette = np.zeros((256, 3), np.uint8)
    colours = list(CITYSCAPES.values())
    palette[:IGNORE] = [colours[i % len(colours)] for i in range(IGNORE)]
    small = Image.fromarray(palette[labels])
    return np.asarray(small.resize(image.shape[1::-1], Image.Resampling.NEAREST))


def _overlays(
    images: list[np.ndarray], maps: list[np.ndarray], norm: Normalize, *, colours: str
) -> Iterator[np.ndarray]:
    """The images in pale grey, each tinted by its map: no colour where the map is 0."""
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
