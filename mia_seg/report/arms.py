"""Leak against overfitting, plain fleets of several lengths as a line; and leak against what a training is good for."""

from collections.abc import Mapping
from typing import Any

import seaborn as sns
from matplotlib.axes import Axes

from mia_seg.report import style
from mia_seg.report.style import GREY, HUES, INK, MARKERS


def arms_png(facts: Mapping[str, Any]) -> bytes:
    """A panel an attack, whose bars are 95% intervals of the distance from the line; and one of all trainings.

    There the strongest attack counts. What another training dominates, by the points alone, is hollow.
    """
    attacks = list(facts["plain"][0]["auc"])
    with style.styled():
        drawn = style.figure(3.4 * (len(attacks) + 1), 3.9)
        *panels, last = drawn.subplots(1, len(attacks) + 1, squeeze=False)[0]
        for ax, attack in zip(panels, attacks, strict=True):
            _panel(ax, facts, attack)
        _worth(last, facts)
        handles, labels = panels[0].get_legend_handles_labels()
        drawn.legend(handles, labels, loc="outside upper center", ncols=3)
        return style.png(style.settle(drawn))


def _panel(ax: Axes, facts: Mapping[str, Any], attack: str) -> None:
    palette = sns.color_palette("colorblind").as_hex()
    points = sorted([(0.0, 0.5), *((one["miou"]["gap"], one["auc"][attack]) for one in facts["plain"])])
    ax.plot(*zip(*points, strict=True), "-", color=GREY, zorder=1)
    ax.plot(*zip(*points[1:], strict=True), "o", color=INK, markersize=4, label="plain, shorter and longer")
    for k, one in enumerate(facts["others"]):
        gap, auc, above = one["miou"]["gap"], one["auc"][attack], one["above"][attack]
        error = None
        if above["low"] is not None:
            error = [[above["value"] - above["low"]], [above["high"] - above["value"]]]
        ax.errorbar(
            [gap], [auc], yerr=error, fmt=MARKERS[k % len(MARKERS)], color=palette[HUES[k % len(HUES)]], markersize=5,
            capsize=2, linewidth=1, label=one["title"],
        )  # fmt: skip
    ax.set(xlabel="mIoU on members less that on others", ylabel=f"AUC of {attack}")


def _worth(ax: Axes, facts: Mapping[str, Any]) -> None:
    """The strongest attack's AUC and the mIoU on others of every training."""
    palette = sns.color_palette("colorblind").as_hex()
    looks = [("o", INK)] * len(facts["plain"])
    looks += [(MARKERS[k % len(MARKERS)], palette[HUES[k % len(HUES)]]) for k in range(len(facts["others"]))]
    for one, (marker, colour) in zip([*facts["plain"], *facts["others"]], looks, strict=True):
        face = "white" if one["dominated_by"] else colour
        auc, miou = max(one["auc"].values()), one["miou"]["others"]
        ax.plot(auc, miou, marker, color=colour, markerfacecolor=face, markersize=5)
    ax.set(xlabel="AUC of the strongest attack (left is better)", ylabel="mIoU on others")
