"""Histograms of members and of non-members, with a panel for each defense; shared by thesis figures 7.7 and 7.8."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from mia_seg.report.style import GREY, figure

SIDES = {"members": ("members", "#b2182b"), "nonmembers": ("non-members", "#2166ac")}
COLUMNS = 4
ROOM = 1.4  # the height of the axis as a multiple of the highest bar, which leaves room for the text above


@dataclass(frozen=True)
class Panel:
    """The histograms of one panel: shares of members and of non-members [2, B], in bins between edges [B + 1].

    text: written above the bars. marks: values that dotted lines show.
    """

    title: str
    text: str
    shares_2B: np.ndarray
    edges: np.ndarray
    marks: Sequence[float] = ()


def histogram_figure(panels: Sequence[Panel], across: str, up: str) -> Figure:
    """The figure of some panels, in rows of four. across, up: names of the axes. Panels with equal bins share one."""
    columns = min(COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    shared = all(np.array_equal(one.edges, panels[0].edges) for one in panels)
    heading = 0.15 * max(one.title.count("\n") for one in panels)
    drawn = figure(0.5 + 1.9 * max(columns, 2), 0.7 + (1.65 + heading) * rows)
    axes = drawn.subplots(rows, columns, squeeze=False, sharex=shared)
    for ax, one in zip(axes.flat, panels, strict=False):
        _draw(ax, one)
    for ax in axes.flat[len(panels) :]:
        ax.set_visible(False)
    for ax in axes.flat[len(panels) - columns : len(panels)]:
        ax.tick_params(labelbottom=True)
    drawn.supxlabel(across, fontsize="medium")
    drawn.supylabel(up, fontsize="medium")
    handles = [Patch(facecolor=colour, alpha=0.5, edgecolor=colour, label=name) for name, colour in SIDES.values()]
    drawn.legend(handles=handles, loc="outside upper center", ncols=2)
    return drawn


def _draw(ax: Axes, one: Panel) -> None:
    percent_2B = 100 * one.shares_2B
    for percent_B, (_, colour) in zip(percent_2B, SIDES.values(), strict=True):
        ax.stairs(percent_B, one.edges, color=colour, fill=True, alpha=0.3)
        ax.stairs(percent_B, one.edges, color=colour, linewidth=1.2)
    for mark in one.marks:
        ax.axvline(mark, color=GREY, linestyle=":", linewidth=1)
    ax.set_title(one.title, fontweight="bold")
    ax.annotate(one.text, (0.05, 0.97), xycoords="axes fraction", va="top")
    ax.set_xlim(one.edges[0], one.edges[-1])
    ax.xaxis.set_major_locator(MaxNLocator(2))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.set_ylim(0, ROOM * percent_2B.max())
    ax.grid(axis="y", color="#eeeeee")
    ax.set_axisbelow(True)
    ax.tick_params(color=GREY)
