"""Compares defenses at the same AUC: how many more points of mIoU one leaves than another, seed by seed."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mia_seg.evaluate.scores import Common
from mia_seg.metrics.intervals import Floats
from mia_seg.metrics.membership import Rate
from mia_seg.metrics.paired import auc_above, difference_correlations
from mia_seg.report.cells import UNDEFENDED, Estimate, Row, defense_name
from mia_seg.report.changes import mean_change, signed
from mia_seg.report.frontier import Point
from mia_seg.report.tables import Table

READING = (
    "Each row compares one setting of a defense with another defense at the same AUC. Straight lines join the "
    "settings of the other defense and the undefended model, and the mIoU is read off these lines. This is done in "
    "each seed. The interval allows for errors of both mIoUs and both AUCs; over several seeds also for other seeds, "
    "and for images that splits share. A setting is left out if the other defense does not reach its AUC in some "
    "seed. Results without kept scores or a change of mIoU are not compared."
)
NEVER_ZERO = float(np.finfo(np.float64).tiny)


@dataclass(frozen=True)
class Gain:
    """What a run leaves more of mIoU than others at its AUC.

    miou, auc: half widths of the intervals that errors of mIoU and of the AUC alone would give the gain; that of the
    AUC has the sign of the line's slope. pair: the run's scores and those of the nearer end of the line.
    """

    value: float
    miou: float
    auc: float
    pair: Common

    @property
    def rate(self) -> Rate:
        """The gain with its interval."""
        half = float(np.hypot(self.miou, self.auc))
        return {"value": self.value, "low": self.value - half, "high": self.value + half}


def equal_table(found: Sequence[Point]) -> list[Table]:
    """A row for each setting and each other defense that reaches its AUC in every seed; empty if none does."""
    plain = next((one for one in found if one.defense == UNDEFENDED), None)
    settings = [one for one in found if one.defense != UNDEFENDED]
    if plain is None:
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

    Also None for old results without scores or changes of mIoU. The value is the mean over seeds of the difference from
    the line through the others' points (AUC, mIoU). The interval is that of `over_seeds`.
    """
    seeds, overlap = one.cell.seeds, one.cell.overlap
    if overlap is None or any(not set(seeds) <= set(other.cell.seeds) for other in others):
        return None
    every = [_gain(_run(one, seed), [_run(other, seed) for other in others]) for seed in seeds]
    found = [gain for gain in every if gain is not None]
    if len(found) < len(every):
        return None
    return mean_change([gain.rate for gain in found], _related(found, overlap))


def _gain(one: Row, others: Sequence[Row]) -> Gain | None:
    """The gain of one seed; None as in `above`.

    To the first order its error is that of the mIoU minus the slope of the line times that of the AUC. Each is the
    run's minus those of the two ends of the line, by their weights. A result holds no mIoU of single scenes, so both
    parts count as independent. So does what two defenses change, which errs on the wide side, because the same scenes
    are often hard for both. What the two ends change counts as the same, which does so too.
    """
    line = sorted(others, key=lambda run: (run["auc"], run["miou_nonmembers"]))
    if not (all(map(_whole, (one, *line))) and line[0]["auc"] <= one["auc"] <= line[-1]["auc"]):
        return None
    ends, weights_2, slope = _around(one["auc"], line)
    pairs = [pair for run in ends if (pair := one["scores"].common(run["scores"])) is not None]
    if len(pairs) < len(ends):
        return None
    return Gain(
        one["miou_nonmembers"] - float(weights_2 @ [run["miou_nonmembers"] for run in ends]),
        float(np.hypot(_miou_half(one), weights_2 @ [_miou_half(run) for run in ends])),
        slope * float(weights_2 @ [_auc_half(pair) for pair in pairs]),
        pairs[int(np.argmax(weights_2))],
    )


def _around(auc: float, line: Sequence[Row]) -> tuple[Sequence[Row], Floats, float]:
    """The two runs of a line between which an AUC lies, the weight of each, and the slope: mIoU by AUC."""
    last = min(bisect_right([run["auc"] for run in line], auc), len(line) - 1)
    low, high = line[last - 1], line[last]
    width, rise = high["auc"] - low["auc"], high["miou_nonmembers"] - low["miou_nonmembers"]
    share = (auc - low["auc"]) / width if width else 1.0
    return (low, high), np.array([1 - share, share]), rise / width if width else 0.0


def _related(found: Sequence[Gain], overlap_SS: Floats) -> Floats:
    """How the errors of gains are related over seeds [S, S]: each part as in other differences of its kind."""
    miou_S, auc_S = np.array([(gain.miou, gain.auc) for gain in found]).T
    pairs = [(pair.scores_N, pair.others_N, pair.members_N, pair.groups) for pair in (gain.pair for gain in found)]
    parts = np.outer(miou_S, miou_S) * overlap_SS + np.outer(auc_S, auc_S) * difference_correlations(pairs)
    whole_S = np.hypot(miou_S, auc_S)
    return np.asarray(parts / np.maximum(np.outer(whole_S, whole_S), NEVER_ZERO))


def _whole(run: Row) -> bool:
    """Whether a result keeps what its errors are told by."""
    return run.get("scores") is not None and (run["defense"] == UNDEFENDED or run.get("utility_change") is not None)


def _miou_half(run: Row) -> float:
    """Half the width of the change of mIoU that a run's defense makes."""
    return 0.0 if run["defense"] == UNDEFENDED else _half(run["utility_change"]["nonmembers"])


def _auc_half(pair: Common) -> float:
    return _half(auc_above(pair.scores_N, pair.others_N, pair.members_N, groups=pair.groups))


def _half(rate: Rate) -> float:
    return (rate["high"] - rate["low"]) / 2


def _run(point: Point, seed: int) -> Row:
    return next(run for run in point.cell.runs if run["seed"] == seed)
