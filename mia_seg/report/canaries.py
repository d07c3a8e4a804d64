"""Canaries: how well attacks find the scenes that are easy to memorise, beside the natural ones."""

from collections.abc import Sequence

from mia_seg.data._canaries import SAID
from mia_seg.evaluate.results import Result
from mia_seg.evaluate.schema import Canaries
from mia_seg.report import charts
from mia_seg.report.cells import Cell, Estimate, attack_name, over_runs
from mia_seg.report.tables import Table, at_least

READING = (
    "Canaries are scenes that a model is likely to memorise: the worst case, which a mean over natural scenes hides. "
    "They count in no other number here. Epsilon is a lower bound with 95% confidence for each line by "
    "itself. A dash: members were not drawn by fair coins."
)


def canary_table(found: Sequence[Cell]) -> Table | None:
    """A line for each attack and defense, on images; None if no victim trained on canaries."""
    shown = [cell for cell in found if cell.level == "image" and all(run["result"].canaries for run in cell.runs)]
    if not shown:
        return None
    rows = [[charts.named(cell, defense=True), *_told(cell), str(cell.auc)] for cell in shown]
    columns = ["Attack", "Kind", "Canaries", "Their AUC [95%]", "Epsilon at least", "AUC of natural scenes [95%]"]
    return Table("Canaries", READING, columns, rows, texts=2)


def canary_sentence(results: Sequence[Result]) -> str:
    """The sentence on the attack with the highest AUC on a victim's canaries; '' if there are none."""
    found = [(auc, of.kind, result) for result in results if (of := result.canaries) and (auc := _auc(of))]
    if not found:
        return ""
    auc, kind, best = max(found, key=lambda one: one[0].value)
    natural = best.levels["image"]
    return (
        f"Canaries, {SAID[kind]}: AUC {auc} by {attack_name(best.attack, best.representation)}; natural "
        f"scenes have {Estimate(natural.auc, natural.auc_low, natural.auc_high)}."
    )


def _told(cell: Cell) -> list[str]:
    """Kind, counts, AUC and epsilon of the canaries over the seeds, as texts."""
    kept: list[Canaries] = [run["result"].canaries for run in cell.runs]
    found = [one._asdict() if (one := _auc(of)) else "too few" for of in kept]
    auc = over_runs(found, cell.shared)
    return [
        kept[0].kind,
        " / ".join(dict.fromkeys(f"{of.members} + {of.nonmembers}" for of in kept)),
        str(auc) if auc else "too few",
        at_least([of.epsilon.low for of in kept]),
    ]


def _auc(of: Canaries | None) -> Estimate | None:
    if of is None or of.auc is None or of.low is None or of.high is None:
        return None
    return Estimate(of.auc, of.low, of.high)
