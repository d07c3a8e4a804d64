"""The figure of compared trainings: AUC over the gap, with plain training as a line, and mIoU over AUC."""

from collections.abc import Mapping
from typing import Any

import seaborn as sns
from matplotlib.axes import Axes

from mia_seg.metrics.equal_gap import UNTRAINED
from mia_seg.report import style
from mia_seg.report.style import GREY, HUES, INK, MARKERS

WIDE = 4  # panels side by side at the most


def arms_png(facts: Mapping[str, Any]) -> bytes:
    """The figure as a PNG: a panel for each attack, and a last one of mIoU over the strongest attack's AUC.

    Bars in an attack's panel are 95% intervals of the distance from plain training's line; those of the last panel are
    of the AUC itself. A training that another dominates, going by the points, is hollow there.
    """
    attacks = list(facts["plain"][0]["auc"])
    count = len(attacks) + 1
    rows = -(-count // WIDE)
    columns = -(-count // rows)
    with style.styled():
        drawn = style.figure(3.4 * columns, 0.6 + 3.3 * rows)
        panels = drawn.subplots(rows, columns, squeeze=False).ravel()
        for ax, attack in zip(panels, attacks, strict=False):
            _panel(ax, facts, attack)
        _worth(panels[len(attacks)], facts)
        for ax in panels[len(attacks) + 1 :]:
            ax.set_axis_off()
        handles, labels = panels[0].get_legend_handles_labels()
        drawn.legend(handles, labels, loc="outside upper center", ncols=3)
        return style.png(style.settle(drawn))


def family(facts: Mapping[str, Any]) -> str:
    """The victim recipe that the trainings are variants of; '' if there is none or several."""
    bases = {one.get("variant_of") for one in (*facts["plain"], *facts["others"])} - {None}
    return str(*bases) if len(bases) == 1 else ""


def _panel(ax: Axes, facts: Mapping[str, Any], attack: str) -> None:
    palette = sns.color_palette("colorblind").as_hex()
    points = sorted([UNTRAINED, *((one["miou"]["gap"], one["auc"][attack]) for one in facts["plain"])])
    ax.plot(*zip(*points[:2], strict=True), ":", color=GREY, zorder=1)  # from chance: no training was measured there
    ax.plot(*zip(*points[1:], strict=True), "-", color=GREY, zorder=1)
    ax.plot(*zip(*points[1:], strict=True), "o", color=INK, markersize=4, label="plain, shorter and longer")
    for k, one in enumerate(facts["others"]):
        gap, auc, above = one["miou"]["gap"], one["auc"][attack], one["above"][attack]
        ax.errorbar(
            [gap], [auc], yerr=reach(above), fmt=MARKERS[k % len(MARKERS)], color=palette[HUES[k % len(HUES)]],
            markersize=5, capsize=2, linewidth=1, label=one["title"],
        )  # fmt: skip
    ax.set(xlabel="gap: mIoU, members minus others", ylabel=f"AUC of {attack}")


def _worth(ax: Axes, facts: Mapping[str, Any]) -> None:
    """Draws the mIoU on others over the strongest attack's AUC, for every training."""
    palette = sns.color_palette("colorblind").as_hex()
    looks = [("o", INK)] * len(facts["plain"])
    looks += [(MARKERS[k % len(MARKERS)], palette[HUES[k % len(HUES)]]) for k in range(len(facts["others"]))]
    for one, (marker, colour) in zip([*facts["plain"], *facts["others"]], looks, strict=True):
        face = "white" if one["dominated_by"] else colour
        best, miou = one["strongest"], one["miou"]["others"]
        ax.errorbar(
            [best["value"]], [miou], xerr=reach(best), fmt=marker, color=colour, markerfacecolor=face, markersize=5,
            capsize=2, linewidth=1,
        )  # fmt: skip
    ax.set(xlabel="AUC of the strongest attack (left is better)", ylabel="mIoU on others")


def reach(of: Mapping[str, Any]) -> list[list[float]] | None:
    """The distances of an interval's ends from its value, as error bars take them; None if there is no interval."""
    return None if of["low"] is None else [[of["value"] - of["low"]], [of["high"] - of["value"]]]
