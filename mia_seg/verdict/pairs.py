"""Two results held against each other: on the same scenes where both keep their scores, else by their intervals."""

from collections.abc import Sequence
from dataclasses import dataclass

from mia_seg.evaluate.results import Result
from mia_seg.evaluate.scores import Common
from mia_seg.metrics.membership import Rate
from mia_seg.metrics.paired import unpaired
from mia_seg.verdict.found import SAME, identity

Pair = tuple[Result, Result]  # before, after


@dataclass(frozen=True)
class Matched:
    """Results of two audits by what they measure. before, after: what the other has no counterpart of."""

    pairs: list[Pair]
    before: list[Result]
    after: list[Result]


def strictly(before: Sequence[Result], after: Sequence[Result]) -> Matched:
    """By all that tells the results of one audit apart."""
    return _matched(before, after, SAME)


def loosely(before: Sequence[Result], after: Sequence[Result]) -> Matched:
    """The same but for what each side has one of: two files are a pair, whatever they measure."""
    names = tuple(name for name in SAME if any(len({getattr(r, name) for r in side}) > 1 for side in (before, after)))
    return _matched(before, after, names)


def common(pair: Pair) -> Common | None:
    """The scores of the scenes of both, those of the later result first; None where they cannot be paired.

    Raises MiaSegError for two splits of the same scenes.
    """
    before, after = pair
    if before.scores is None or after.scores is None or before.dataset != after.dataset:
        return None
    return after.scores.common(before.scores)


def rate(value: float, low: float, high: float) -> Rate:
    """A rate and its interval."""
    return {"value": value, "low": low, "high": high}


def apart(before: Rate | None, after: Rate | None) -> Rate | None:
    """How far two rates are apart by their own intervals; None where there is none."""
    return None if before is None or after is None else unpaired(after, before)


def _matched(before: Sequence[Result], after: Sequence[Result], names: tuple[str, ...]) -> Matched:
    def by(side: Sequence[Result]) -> dict[tuple[object, ...], Result]:
        return {tuple(getattr(result, name) for name in names): result for result in side}

    first, second = by(before), by(after)
    pairs = [(first[key], second[key]) for key in first if key in second]
    lone = [[side[key] for key in side if key not in other] for side, other in ((first, second), (second, first))]
    return Matched(sorted(pairs, key=lambda pair: identity(pair[1])), *lone)
