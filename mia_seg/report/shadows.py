"""Many shadows: what each attack on a fleet gains with their number, and how far it is above the image loss."""

from typing import Any

import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mia_seg.report.cells import CHANCE, UNDEFENDED, Cell, Estimate, attack_name, attacker_name, defense_name, over_runs
from mia_seg.report.style import GREY, HUES, INK, MARKERS, figure
from mia_seg.report.tables import Table, rate

TARGETS = {"0.1": "TPR at FPR 10%", "0.01": "TPR at FPR 1%"}
READING = (
    "The same attacks on the undefended model with fewer shadows, with 95% intervals. To the right: how many were "
    "trained, two at a time on the two halves of the audited scenes. An online attack compares a scene with all of "
    "them, any other with the half that left it out. A line begins where its attack has shadows enough. Grey: the "
    "image loss, which needs none, with its 95% band. Dotted: a coin flip. All points are of the same scenes and all "
    "shadows of a point are among those of the next, so their errors go together."
)
TABLE = (
    "The attacker trains many shadows, each on a random half of the audited scenes. Shadows says how many a scene is "
    "compared with, of those trained. Above is what the attack gains over the image loss on the same answers, paired, "
    "with its own 95% interval. Above 0, the shadows were worth something. Queries are of the victim; a shadow costs a "
    "training and no query."
)
AXIS = "shadows trained (online a scene is compared with all of them, else with the half that left it out)"
DODGE = 0.07


def fleet(cells: list[Cell]) -> list[Cell]:
    """Of image-level cells those of attacks on a fleet; none of results from before they were compared."""
    return [cell for cell in cells if all(run["above_loss"] for run in cell.runs)]


def grown(cells: list[Cell]) -> list[Cell]:
    """Of image-level cells without a defense those whose scenes were compared with several numbers of shadows."""
    return [cell for cell in fleet(cells) if cell.defense == UNDEFENDED and len(curve(cell)) > 1]


def curve(cell: Cell) -> dict[int, list[dict[str, Any]]]:
    """By how many shadows were trained, what was measured with them, one a run; numbers that every run has."""
    by_run = [{point["trained"]: point for point in run["by_shadows"]} for run in cell.runs]
    shared = set(by_run[0]).intersection(*by_run)
    return {trained: [points[trained] for points in by_run] for trained in sorted(shared)}


def shadows_figure(found: list[Cell]) -> Figure:
    """AUC and TPRs over the number of shadows: a line an attack."""
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
    """A line for each attack on a fleet."""
    columns = [
        "Attack", "Defense", "Attacker", "Shadows", "AUC [95%]", *(f"{title} [95%]" for title in TARGETS.values()),
        "AUC above the image loss", *(f"{title}, above" for title in TARGETS.values()), "Queries", "Seeds",
    ]  # fmt: skip
    rows, anchors = [_row(cell) for cell in found], [cell.anchor for cell in found]
    return Table("Many shadows", TABLE, columns, rows, texts=4, anchors=anchors)


def _row(cell: Cell) -> list[str]:
    above = [run["above_loss"] for run in cell.runs]
    differences = [over_runs([one["auc"] for one in above])]
    differences += [over_runs([one["tpr_at_fpr"][target] for one in above]) for target in TARGETS]
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
    """The attack with its mode, also where that is its default."""
    mode = cell.runs[0]["mode"]
    kinds = [cell.representation] if cell.representation else []
    return attack_name(cell.attack, ",".join(kinds if cell.representation.startswith(mode) else [mode, *kinds]))


def _most(cell: Cell) -> str:
    """'8 of 16': compared with and trained; attacks without shadows have them for their threshold alone."""
    points = curve(cell)
    return f"{points[max(points)][0]['compared']} of {max(points)}" if points else "none"


def _signed(difference: Estimate | None) -> str:
    if difference is None:
        return "not resolvable"
    return f"{difference.value:+.2f} [{difference.low:+.2f}, {difference.high:+.2f}]"


def _measure(measured: list[dict[str, Any]], target: str) -> Estimate | None:
    """The TPR at the target over runs, or the AUC where there is none."""
    if target:
        return over_runs([one["tpr_at_fpr"][target] for one in measured], "tpr")
    return over_runs([{"value": one["auc"], "low": one["auc_low"], "high": one["auc_high"]} for one in measured])


def _line(ax: Axes, cell: Cell, target: str, *, place: int, count: int) -> None:
    """Intervals stand beside each other where points would."""
    colour = sns.color_palette("colorblind").as_hex()[HUES[place % len(HUES)]]
    points = {trained: _measure(measured, target) for trained, measured in curve(cell).items()}
    shown = [(t * 2 ** (DODGE * (place - (count - 1) / 2)), one) for t, one in points.items() if one]
    for x, one in shown:
        ax.plot([x, x], [one.low, one.high], color=colour, linewidth=0.9, alpha=0.5)
    marker = f"{MARKERS[place % len(MARKERS)]}-"
    values = [one.value for _, one in shown]
    ax.plot([x for x, _ in shown], values, marker, color=colour, linewidth=1.2, markersize=5, label=_name(cell))


def _loss(ax: Axes, cell: Cell, target: str) -> None:
    """The image loss on the same answers: the same for all attacks of one shadow, whose seeds may differ."""
    if one := _measure([run["image_loss"] for run in cell.runs], target):
        ax.axhspan(one.low, one.high, color="#ececec", zorder=0)
        ax.axhline(one.value, color=INK, linewidth=1, linestyle=(0, (4, 2)), label="image loss")
