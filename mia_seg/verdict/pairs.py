"""Pairing results of two audits that measure the same, and their scenes."""

from collections.abc import Sequence
from dataclasses import dataclass

from mia_seg.evaluate.results import Result
from mia_seg.evaluate.scores import Common
from mia_seg.verdict.found import SAME, identity

Pair = tuple[Result, Result]  # before, after


@dataclass(frozen=True)
class Matched:
    """Pairs of results, and the results of either audit without a counterpart."""

    pairs: list[Pair]
    before: list[Result]
    after: list[Result]


def strictly(before: Sequence[Result], after: Sequence[Result]) -> Matched:
    """Pair results that are equal in everything that identifies a result."""
    return _matched(before, after, SAME)


def loosely(before: Sequence[Result], after: Sequence[Result]) -> Matched:
    """Pair results, ignoring fields of which each side has only one value: two single files are always a pair."""
    several = (name for name in SAME if any(len({getattr(r, name) for r in side}) > 1 for side in (before, after)))
    return _matched(before, after, tuple(several))


def common(pair: Pair) -> Common | None:
    """The scores of the scenes of both, those of the later result first; None if they cannot be paired.

    Scenes of two data sets may share an id by chance, so ids count as the same scenes only if all are equal. Raises
    MiaSegError for two splits of the same scenes.
    """
    before, after = pair
    if before.scores is None or after.scores is None:
        return None
    if before.dataset != after.dataset and set(before.scores.ids) != set(after.scores.ids):
        return None
    return after.scores.common(before.scores)


def _matched(before: Sequence[Result], after: Sequence[Result], names: tuple[str, ...]) -> Matched:
    def by(side: Sequence[Result]) -> dict[tuple[object, ...], Result]:
        return {tuple(getattr(result, name) for name in names): result for result in side}

    first, second = by(before), by(after)
    pairs = [(first[key], second[key]) for key in first if key in second]
    lone = [[side[key] for key in side if key not in other] for side, other in ((first, second), (second, first))]
    return Matched(sorted(pairs, key=lambda pair: identity(pair[1])), *lone)
