"""Compares defenses at the same AUC: how many more points of mIoU one leaves than another, seed by seed."""

from collections.abc import Sequence

import numpy as np

from mia_seg.evaluate.scores import one_split
from mia_seg.metrics.paired import over_seeds
from mia_seg.report.cells import UNDEFENDED, Estimate, Row, defense_name
from mia_seg.report.changes import signed
from mia_seg.report.frontier import Point
from mia_seg.report.tables import Table

READING = (
    "Each row compares one setting of a defense with another defense at the same AUC. Straight lines join the "
    "settings of the other defense and the undefended model, and the mIoU is read off these lines. This is done in "
    "each seed. The interval is Student's over the differences of the seeds. A setting is left out if the other "
    "defense does not reach its AUC in some seed. With one seed or one split there is no table."
)


def equal_table(found: Sequence[Point]) -> list[Table]:
    """A row for each setting and each other defense that reaches its AUC in every seed; empty if none does.

    Also empty for seeds of one split: the interval is that of other splits.
    """
    plain = next((one for one in found if one.defense == UNDEFENDED), None)
    settings = [one for one in found if one.defense != UNDEFENDED]
    if plain is None or len(plain.cell.seeds) < 2 or one_split(run.get("scores") for run in plain.cell.runs):
        return []
    families = {one.family: [plain, *(other for other in settings if other.family == one.family)] for one in settings}
    rows, anchors = [], []
    for one in settings:
        for family, others in families.items():
            gain = above(one, others) if family != one.family else None
            if gain is not None:
                seeds = ", ".join(map(str, one.cell.seeds))
                rows.append(
                    [defense_name(one.defense), defense_name(family), str(one.auc), signed(gain, 100, 1), seeds]
                )
                anchors.append(one.cell.anchor)
    columns = ["Defense", "Compared with", "AUC [95%]", "mIoU minus the other's, points [95%]", "Seeds"]
    return [Table("Defenses at the same AUC", READING, columns, rows, texts=2, anchors=anchors)] if rows else []


def above(one: Point, others: Sequence[Point]) -> Estimate | None:
    """The mIoU of a point minus that of `others` at its AUC; None if they lack a seed or do not reach that AUC in one.

    The value is the mean over seeds of the difference from the line through the others' points (AUC, mIoU). The
    interval is that of `over_seeds`, with no error within seeds.
    """
    if any(not set(one.cell.seeds) <= set(other.cell.seeds) for other in others):
        return None
    gains = []
    for seed in one.cell.seeds:
        auc, miou = _place(one, seed)
        aucs, mious = np.array(sorted(_place(other, seed) for other in others)).T
        if not aucs[0] <= auc <= aucs[-1]:
            return None
        gains.append(miou - float(np.interp(auc, aucs, mious)))
    pooled = over_seeds([{"value": gain, "low": gain, "high": gain} for gain in gains])
    return Estimate(pooled["value"], pooled["low"], pooled["high"])


def _place(point: Point, seed: int) -> tuple[float, float]:
    run: Row = next(run for run in point.cell.runs if run["seed"] == seed)
    return run["auc"], run["miou_nonmembers"]
