"""The CAM sheet: where in a scene the attacker sees the signs of membership, defense by defense (thesis figure 7.9)."""

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
from mia_seg.report.style import figure

if TYPE_CHECKING:  # its module imports torch, and a report is made from files
    from mia_seg.report.cam import CamSheet

EVIDENCE = "RdBu_r"
WIDTH = 1.45
PALE = 0.5
# Above this share of all cells the colour saturates: a single hot cell would leave the rest white.
SHOWN = 20  # characters of a scene's id that fit below its image
SATURATES = 0.995


def sheet_figure(sheet: "CamSheet") -> Figure:
    """Rows are scenes; columns the image, its labels, and the maps by defense on one scale."""
    defenses = sorted(sheet.maps, key=by_strength)
    heights = [WIDTH * image.shape[0] / image.shape[1] + 0.24 for image in sheet.images]
    drawn = figure(WIDTH * (2 + len(defenses)) + 0.5, sum(heights) + 1.1)
    drawn.set_layout_engine("compressed")
    axes = drawn.subplots(len(heights), 2 + len(defenses), squeeze=False, height_ratios=heights)
    norm = Normalize(*_scale(sheet))
    for i, row in enumerate(axes):
        _picture(row[0], sheet.images[i], _short(sheet.scene_ids[i]))
        _picture(row[1], _coloured(sheet.labels[i], sheet.images[i]), "")
        for ax, name in zip(row[2:], defenses, strict=True):
            overlay = _overlay(sheet.images[i], sheet.maps[name][i], norm)
            _picture(ax, overlay, f"score {sheet.scores[name][i]:+.1f}")
    for ax, title in zip(axes[0], ["image", "labels", *map(defense_name, defenses)], strict=True):
        ax.set_title(title, fontweight="bold")
    _bar(drawn, axes, norm, sheet.note)
    return drawn


def _short(scene_id: str) -> str:
    """The end of a long id: what tells scenes of one series apart stands there."""
    return scene_id if len(scene_id) <= SHOWN else f"…{scene_id[-SHOWN:]}"


def _scale(sheet: "CamSheet") -> tuple[float, float]:
    values = np.concatenate([np.abs(m).ravel() for m in chain.from_iterable(sheet.maps.values())])
    end = float(np.quantile(values, SATURATES)) or 1.0
    return -end, end


def _picture(ax: Axes, image: np.ndarray, below: str) -> None:
    ax.imshow(image, interpolation="antialiased")
    ax.set(xticks=[], yticks=[])
    ax.set_xlabel(below, fontsize=8, labelpad=2)
    for spine in ax.spines.values():
        spine.set_visible(False)


def _coloured(labels: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Labels in Cityscapes' colours, by id, at the image's size; ignored pixels black."""
    palette = np.zeros((256, 3), np.uint8)
    colours = list(CITYSCAPES.values())
    palette[:IGNORE] = [colours[i % len(colours)] for i in range(IGNORE)]
    small = Image.fromarray(palette[labels])
    return np.asarray(small.resize(image.shape[1::-1], Image.Resampling.NEAREST))


def _overlay(image: np.ndarray, evidence: np.ndarray, norm: Normalize) -> np.ndarray:
    """The image in pale grey, tinted by the map: no colour, no evidence."""
    raised = np.asarray(
        Image.fromarray(evidence.astype(np.float32)).resize(image.shape[1::-1], Image.Resampling.BILINEAR)
    )
    grey = PALE + (1 - PALE) * image.mean(2, keepdims=True) / 255
    return grey * mpl.colormaps[EVIDENCE](norm(raised))[..., :3]


def _bar(drawn: Figure, axes: np.ndarray, norm: Normalize, note: str) -> None:
    bar = drawn.colorbar(
        ScalarMappable(norm, EVIDENCE), ax=axes, location="bottom", extend="both", aspect=60, shrink=0.6, pad=0.02
    )
    bar.set_label("evidence for “non-member” (blue) and “member” (red), log-odds" + (f"\n{note}" if note else ""))
