"""Results of two audits held against each other: which measure the same, and on which scenes."""

from collections.abc import Sequence
from dataclasses import dataclass

from mia_seg.evaluate.results import Result
from mia_seg.evaluate.scores import Common
from mia_seg.verdict.found import SAME, identity

Pair = tuple[Result, Result]  # before, after


@dataclass(frozen=True)
class Matched:
    """Pairs, and what of either audit has no counterpart."""

    pairs: list[Pair]
    before: list[Result]
    after: list[Result]


def strictly(before: Sequence[Result], after: Sequence[Result]) -> Matched:
    """By all that tells the results of one audit apart."""
    return _matched(before, after, SAME)


def loosely(before: Sequence[Result], after: Sequence[Result]) -> Matched:
    """The same but for what each side has one of: two files are a pair, whatever they measure."""
    several = (name for name in SAME if any(len({getattr(r, name) for r in side}) > 1 for side in (before, after)))
    return _matched(before, after, tuple(several))


def common(pair: Pair) -> Common | None:
    """The scores of the scenes of both, those of the later result first; None where they cannot be paired.

    Scenes of two data sets may have a name in common by chance: they are the same where all names are.
    Raises MiaSegError for two splits of the same scenes.
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
