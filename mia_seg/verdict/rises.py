"""Against a baseline: whether an AUC rose by more than noise since an earlier audit of the same scenes."""

from collections.abc import Sequence

from mia_seg.errors import MiaSegError
from mia_seg.evaluate.results import Result
from mia_seg.metrics.intervals import widened
from mia_seg.metrics.paired import auc_above
from mia_seg.verdict.found import called, seeing
from mia_seg.verdict.gate import Verdict, lacking
from mia_seg.verdict.limits import Interval, surely_backwards
from mia_seg.verdict.pairs import Pair, common, strictly
from mia_seg.verdict.soundness import unreadable

LIMIT = "AUC no higher than the baseline's"


def risen(before: Sequence[Result], after: Sequence[Result], victim: str, *, defense: str) -> Verdict:
    """Whether any attack's AUC on a victim under a defense rose, each on the scenes of both audits."""
    sides = [[result for result in side if result.victim == victim] for side in (before, after)]
    deployed = [[result for result in seeing(side) if result.defense == defense] for side in sides]
    for whole, side, where in zip((before, after), sides, ("in the baseline ", ""), strict=True):
        if untold := lacking(whole, victim, defense) or unreadable(side):
            return _unknown(victim, defense, f"{where}{untold}")
    matched = strictly(*deployed)
    if lost := matched.before:
        named = f"{called(lost[0])} (seed {lost[0].seed})"
        return _unknown(victim, defense, f"{named} of the baseline was not tried now. Run it, too")
    try:
        return _judge(matched.pairs, victim, defense)
    except MiaSegError as error:
        return _unknown(victim, defense, f"the scenes differ: {str(error).rstrip('.')}. Audit the baseline's split")


def _judge(pairs: Sequence[Pair], victim: str, defense: str) -> Verdict:
    changes = []
    for pair in pairs:
        if (change := _change(pair, len(pairs))) is None:
            said = f"{called(pair[1])} has no scores of scenes in common with the baseline's"
            return _unknown(victim, defense, f"{said}. Keep the .scores.csv beside each result")
        changes.append((change, pair[1]))
    change, result = max(changes, key=lambda one: one[0].low)
    if change.low > 0:
        return _verdict(change, result, len(pairs), risen=True)
    return _verdict(*max(changes, key=lambda one: one[0].value), len(pairs), risen=False)


def _change(pair: Pair, tried: int) -> Interval | None:
    """By how much the AUC rose, with an interval that allows for the largest rise of so many.

    A ranking that is surely backwards is turned around first: from 0.1 to 0.4 the leak falls.
    """
    both = common(pair)
    if both is None:
        return None
    before, after = (-1 if surely_backwards(result) else 1 for result in pair)
    found = auc_above(after * both.scores_N, before * both.others_N, both.members_N, groups=both.groups)
    return Interval(found["value"], *widened(found["value"], (found["low"], found["high"]), tried))


def _verdict(change: Interval, result: Result, tried: int, *, risen: bool) -> Verdict:
    told = "{:+.3f} [{:+.3f}, {:+.3f}]".format(*change)
    one = f"; the largest change of {tried}" if tried > 1 else ""
    turned = " turned around" if surely_backwards(result) else ""
    what = f"AUC of {called(result)}{turned} (seed {result.seed}{one})"
    rose = "rose by more" if risen else "did not rise by more"
    then = " Find what changed in the training, or go back." if risen else ""
    said = f"{what} {rose} than noise: {told} on the scenes of both.{then}"
    return Verdict(
        result.victim, result.defense, LIMIT, "fail" if risen else "pass", said, called(result), result.seed,
        tried, change,
    )  # fmt: skip


def _unknown(victim: str, defense: str, reason: str) -> Verdict:
    return Verdict(victim, defense, LIMIT, "cannot tell", f"cannot tell whether AUC rose, because {reason}.")
