"""Leak against overfitting: plain fleets of several lengths as a line, other trainings beside it."""

from collections.abc import Mapping
from typing import Any

import seaborn as sns
from matplotlib.axes import Axes

from mia_seg.report import style
from mia_seg.report.style import GREY, HUES, INK, MARKERS


def arms_png(facts: Mapping[str, Any]) -> bytes:
    """A panel an attack; a bar is the 95% interval of the distance from the line."""
    attacks = list(facts["plain"][0]["auc"])
    with style.styled():
        drawn = style.figure(3.6 * len(attacks), 3.9)
        panels = drawn.subplots(1, len(attacks), sharex=True, squeeze=False)[0]
        for ax, attack in zip(panels, attacks, strict=True):
            _panel(ax, facts, attack)
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
