"""The figure of all trainings behind all defenses: mIoU over the strongest attack's AUC."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from mia_seg.report import style
from mia_seg.report.arms import reach
from mia_seg.report.cells import defense_name
from mia_seg.report.labels import write_beside
from mia_seg.report.style import GREY

Facts = Mapping[str, Any]


def undominated(points: Sequence[Facts]) -> Sequence[Facts]:
    """Those that no other dominates, from the smallest leak to the largest."""
    kept = [one for one in points if not one["dominated_by"]]
    return sorted(kept, key=lambda one: float(one["strongest"]["value"]))


def worth_png(facts: Facts) -> bytes:
    """The figure as a PNG: a colour for each defense, and hollow points for what another dominates.

    facts: of a comparison behind several defenses (`mia_seg.evaluate.arms.frontier`).
    """
    points = facts["frontier"]
    look = style.look(one["defense"] for one in points)
    with style.styled():
        drawn = style.figure(7, 4.4)
        ax = drawn.subplots()
        for one in points:
            colour = look.colours[one["defense"]]
            ax.errorbar(
                [one["strongest"]["value"]], [one["miou"]["others"]], xerr=reach(one["strongest"]),
                fmt=look.markers[one["defense"]], color=colour, markersize=5, linewidth=0.8,
                markerfacecolor="white" if one["dominated_by"] else colour, elinewidth=0.6,
            )  # fmt: skip
        for defense in dict.fromkeys(one["defense"] for one in points):
            ax.plot([], [], look.markers[defense], color=look.colours[defense], label=defense_name(defense))
        ax.margins(0.12)
        ax.set(xlabel="AUC of the strongest attack (left is better)", ylabel="mIoU on others (more is better)")
        drawn.legend(loc="outside right upper")
        stairs = _stairs(facts)
        ax.plot(*stairs.T, color=GREY, linestyle=(0, (4, 2)), linewidth=1, zorder=0)
        style.settle(drawn)
        _name(ax, facts, stairs, look=look)
        return style.png(drawn)


def _stairs(facts: Facts) -> np.ndarray:
    """The corners [C, 2] of the staircase through the points that no other dominates."""
    kept = undominated(facts["frontier"])
    x, y = [one["strongest"]["value"] for one in kept], [one["miou"]["others"] for one in kept]
    return np.array([np.repeat(x, 2)[1:], np.repeat(y, 2)[:-1]]).T


def _name(ax: Axes, facts: Facts, stairs: np.ndarray, *, look: style.Look) -> None:
    points = facts["frontier"]
    places = [(one["strongest"]["value"], one["miou"]["others"]) for one in points]
    texts = ["" if one["dominated_by"] else one["title"] for one in points]
    write_beside(ax, places, texts, colours=[look.colours[one["defense"]] for one in points], line=stairs)
