"""Limits of the leak: the largest AUC, or TPR at a low FPR, that any attack may reach."""

import math
from dataclasses import dataclass
from typing import NamedTuple

from mia_seg.errors import MiaSegError
from mia_seg.evaluate.results import Result
from mia_seg.metrics.membership import CHANCE, TARGETS, ranked


class Interval(NamedTuple):
    """A rate in [0, 1] and its 95% interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return "{} [{}, {}]".format(*map(digits, self))


@dataclass(frozen=True)
class Limit:
    """The most that a measure may be. at: the FPR of a TPR as results write it; empty for the AUC."""

    most: float
    at: str = ""

    def __str__(self) -> str:
        return f"{self.measure} below {self.most:g}"

    @property
    def measure(self) -> str:
        """'AUC', or 'TPR at 1% FPR'."""
        return f"TPR at {100 * float(self.at):g}% FPR" if self.at else "AUC"

    @property
    def chance(self) -> float:
        """The value that guessing reaches."""
        return float(self.at) if self.at else CHANCE

    def backwards(self, result: Result) -> bool:
        """Whether the attack ranks non-members higher, so that turning it around finds members.

        An AUC is turned around if below 0.5. That may be chance, which matters little to an AUC and much to a TPR, so a
        TPR is turned only if the AUC's whole interval is below 0.5.
        """
        return surely_backwards(result) if self.at else result.levels["image"].auc < CHANCE

    def of(self, result: Result) -> Interval | str:
        """The measure on whole images, with a backward ranking turned around; or a text why it is not known."""
        level, turned = result.levels["image"], self.backwards(result)
        if not self.at:
            ends = Interval(level.auc, level.auc_low, level.auc_high)
            return Interval(1 - ends.value, 1 - ends.high, 1 - ends.low) if turned else ends
        rate = level.tpr_at_fpr.get(self.at, "")
        if isinstance(rate, str):
            needed = math.ceil(1 / float(self.at) - 1e-9)
            return (
                f"{level.n_nonmember_groups} groups of non-members do not resolve it. Audit at least {needed} "
                f"non-members that are independent of each other"
            )
        return self._turned(result) if turned else Interval(rate.tpr, rate.low, rate.high)

    def _turned(self, result: Result) -> Interval | str:
        """The TPR of turned scores."""
        seen = result.scores
        if seen is None:
            return "an attack ranks backwards, and no scores lie beside its result to turn around (.scores.csv)"
        rate = ranked(-seen.scores_N, seen.members_N, groups=seen.groups)["tpr_at_fpr"][self.at]
        return Interval(rate["tpr"], rate["low"], rate["high"])


def surely_backwards(result: Result) -> bool:
    """Whether the AUC's whole interval lies below 0.5."""
    return result.levels["image"].auc_high < CHANCE


def limits(auc: float | None, tprs: list[str]) -> list[Limit]:
    """The limits of --max-auc 0.6 and --max-tpr 0.05@0.01. Raises MiaSegError for limits outside (chance, 1)."""
    found = [] if auc is None else [_checked(Limit(auc), f"--max-auc {auc:g}")]
    return found + [_checked(_tpr(text), f"--max-tpr {text}") for text in tprs]


def digits(value: float) -> str:
    """A number with three digits after the point, one more than limits have, so that it is seen on which side it is."""
    return f"{value:.3f}"


def _tpr(text: str) -> Limit:
    there = [f"{target:g}" for target in TARGETS]
    try:
        most, at = map(float, text.split("@"))
    except ValueError:
        raise MiaSegError(f"--max-tpr {text} is no limit. Write TPR@FPR, as 0.05@0.01.") from None
    if f"{at:g}" not in there:
        raise MiaSegError(f"--max-tpr {text}: results hold no TPR at FPR {at:g}. Choose one of {', '.join(there)}.")
    return Limit(most, f"{at:g}")


def _checked(limit: Limit, said: str) -> Limit:
    if limit.chance < limit.most < 1:
        return limit
    raise MiaSegError(
        f"{said}: the limit must lie above {limit.chance:g}, which is chance and so what a model without any leak has, "
        f"and below 1, which no attack exceeds."
    )
