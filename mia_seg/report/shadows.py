"""Attacks with a fleet of shadows: their gain with the number of shadows, and their difference from the image loss."""

from collections.abc import Sequence
from typing import Any

import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mia_seg.metrics.membership import CHANCE
from mia_seg.report.cells import (
    UNDEFENDED,
    Cell,
    Estimate,
    attack_name,
    attacker_name,
    defense_name,
    pooled,
    tpr_over_runs,
)
from mia_seg.report.changes import mean_change
from mia_seg.report.style import GREY, HUES, INK, MARKERS, figure
from mia_seg.report.tables import Table, rate

TARGETS = {"0.1": "TPR at FPR 10%", "0.01": "TPR at FPR 1%"}
READING = (
    "The same attacks on the undefended model with fewer shadows, with 95% intervals. To the right: the number of "
    "shadows trained, in pairs on the two halves of the audited scenes. An online attack compares a scene with all "
    "shadows, any other attack with the half of them that did not train on the scene. A line begins at the fewest "
    "shadows that its attack can use. Grey: the image loss, which needs no shadow, with its 95% band. Dotted: a coin "
    "flip. All points are of the same scenes, and each point's shadows are among those of the next, so errors of "
    "neighbouring points are alike."
)
TABLE = (
    "The attacker trains many shadows, each on a random half of the audited scenes. “Shadows” is the number that a "
    "scene is compared with, of those trained. “Above” is the attack's value minus that of the image loss on the same "
    "answers, with a paired 95% interval. An interval above 0 shows that the shadows helped. Queries are of the "
    "victim; a shadow costs a training and no query."
)
AXIS = "shadows trained (an online attack compares a scene with all, another with the half not trained on it)"
DODGE = 0.07


def fleet(cells: list[Cell]) -> list[Cell]:
    """The image-level cells of attacks with a fleet; without old results that were not compared with the image loss."""
    return [cell for cell in cells if all(run["above_loss"] for run in cell.runs)]


def grown(cells: list[Cell]) -> list[Cell]:
    """The image-level cells without a defense that were measured with several numbers of shadows."""
    return [cell for cell in fleet(cells) if cell.defense == UNDEFENDED and len(curve(cell)) > 1]


def curve(cell: Cell) -> dict[int, list[dict[str, Any]]]:
    """By the number of shadows trained, the metrics of each run; only numbers that every run has."""
    by_run = [{point["trained"]: point for point in run["by_shadows"]} for run in cell.runs]
    shared = set(by_run[0]).intersection(*by_run)
    return {trained: [points[trained] for points in by_run] for trained in sorted(shared)}


def shadows_figure(found: list[Cell]) -> Figure:
    """AUC and TPRs over the number of shadows, with a line for each attack."""
    drawn = figure(9, 3.9)
    axes = drawn.subplots(1, 1 + len(TARGETS), sharex=True)
    for ax, (target, title) in zip(axes, {"": "AUC", **TARGETS}.items(), strict=True):
        for place, cell in enumerate(found):
            _line(ax, cell, target, place=place, count=len(found))
        _loss(ax, found[0], target)
        ax.axhline(float(target or CHANCE), color=GREY, linestyle=":", linewidth=1)
        ax.set_title(title, fontweight="bold")
    trained = sorted({number for cell in found for number in curve(cell)})
    axes[0].set_xscale("log", base=2)
    axes[0].set_xticks(trained, [str(number) for number in trained])
    axes[0].minorticks_off()
    drawn.supxlabel(AXIS, fontsize=9)
    handles, labels = axes[0].get_legend_handles_labels()
    drawn.legend(handles, labels, loc="outside upper center", ncols=4)
    return drawn


def shadows_table(found: list[Cell]) -> Table:
    """The table of attacks with a fleet, with a line for each cell."""
    columns = [
        "Attack", "Defense", "Attacker", "Shadows", "AUC [95%]", *(f"{title} [95%]" for title in TARGETS.values()),
        "AUC above the image loss", *(f"{title}, above" for title in TARGETS.values()), "Queries", "Seeds",
    ]  # fmt: skip
    rows, anchors = [_row(cell) for cell in found], [cell.anchor for cell in found]
    return Table("Many shadows", TABLE, columns, rows, texts=4, anchors=anchors)


def _row(cell: Cell) -> list[str]:
    above = [run["above_loss"] for run in cell.runs]
    rates = [[one["auc"] for one in above], *([one["tpr_at_fpr"][target] for one in above] for target in TARGETS)]
    differences = [
        None if any(isinstance(one, str) for one in every) else mean_change(every, cell.overlap) for every in rates
    ]
    return [
        _name(cell),
        defense_name(cell.defense),
        attacker_name(cell.defense, cell.adaptive),
        _most(cell),
        str(cell.auc),
        *(rate(cell, target) for target in TARGETS),
        *(_signed(difference) for difference in differences),
        ", ".join(str(queries) for queries in sorted({run["queries"] for run in cell.runs})),
        ", ".join(map(str, cell.seeds)),
    ]


def _name(cell: Cell) -> str:
    """The attack's name with its mode, even if that is its default."""
    mode = cell.runs[0]["mode"]
    kinds = [cell.representation] if cell.representation else []
    return attack_name(cell.attack, ",".join(kinds if cell.representation.startswith(mode) else [mode, *kinds]))


def _most(cell: Cell) -> str:
    """'8 of 16': the shadows that a scene is compared with, and those trained; 'none' for attacks without shadows."""
    points = curve(cell)
    return f"{points[max(points)][0]['compared']} of {max(points)}" if points else "none"


def _signed(difference: Estimate | None) -> str:
    if difference is None:
        return "not resolvable"
    return f"{difference.value:+.2f} [{difference.low:+.2f}, {difference.high:+.2f}]"


def measure(cell: Cell, measured: Sequence[dict[str, Any]], target: str = "") -> Estimate | None:
    """The TPR at the target over the runs of a cell, or the AUC if the target is ''.

    measured: what each run has. None if a TPR is not resolvable.
    """
    if not target:
        return pooled([Estimate(one["auc"], one["auc_low"], one["auc_high"]) for one in measured], cell.shared)
    return tpr_over_runs([one["tpr_at_fpr"][target] for one in measured])


def _line(ax: Axes, cell: Cell, target: str, *, place: int, count: int) -> None:
    """Draws one attack. Attacks are shifted sideways so that their intervals do not overlap."""
    colour = sns.color_palette("colorblind").as_hex()[HUES[place % len(HUES)]]
    points = {trained: measure(cell, measured, target) for trained, measured in curve(cell).items()}
    shown = [(t * 2 ** (DODGE * (place - (count - 1) / 2)), one) for t, one in points.items() if one]
    for x, one in shown:
        ax.plot([x, x], [one.low, one.high], color=colour, linewidth=0.9, alpha=0.5)
    marker = f"{MARKERS[place % len(MARKERS)]}-"
    values = [one.value for _, one in shown]
    ax.plot([x for x, _ in shown], values, marker, color=colour, linewidth=1.2, markersize=5, label=_name(cell))


def _loss(ax: Axes, cell: Cell, target: str) -> None:
    """Draws the image loss on the same answers, which all attacks through one shadow share."""
    if one := measure(cell, [run["image_loss"] for run in cell.runs], target):
        ax.axhspan(one.low, one.high, color="#ececec", zorder=0)
        ax.axhline(one.value, color=INK, linewidth=1, linestyle=(0, (4, 2)), label="image loss")
