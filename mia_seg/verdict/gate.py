"""The gate: whether a model's results stay below limits, fail them, or cannot tell. docs/gate.md has the rules."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from mia_seg.evaluate.results import Result
from mia_seg.metrics.intervals import widened
from mia_seg.verdict.found import called, seeing
from mia_seg.verdict.limits import Interval, Limit
from mia_seg.verdict.soundness import UNDEFENDED, unproven, unreadable

State = Literal["pass", "fail", "cannot tell"]
CODES: dict[State, int] = {"pass": 0, "fail": 1, "cannot tell": 2}
# Beyond so many times as many scenes the number says no more than 'many'.
MANY_TIMES = 100


REMEDY = (
    "Do not release it: train it to overfit less (fewer epochs, more images) or put a defense before it, then audit "
    "again."
)


@dataclass(frozen=True)
class Verdict:
    """One limit of one victim under one defense. attack, seed and interval are those that decided; None without any."""

    victim: str
    defense: str
    limit: str
    state: State
    said: str
    attack: str = ""
    seed: int | None = None
    tried: int = 0
    interval: Interval | None = None

    def __str__(self) -> str:
        return f"{self.victim}, {defended(self.defense)}: {self.said}"

    def dump(self) -> dict[str, Any]:
        """Plain JSON; the interval as {value, low, high}."""
        return asdict(self) | {"interval": self.interval and self.interval._asdict()}


@dataclass(frozen=True)
class Tried:
    """What an attack achieved, with an interval that allows for all that were tried beside it."""

    result: Result
    rate: Interval


def judged(found: Sequence[Result], victim: str, defense: str, *, limits: Sequence[Limit]) -> list[Verdict]:
    """A verdict for each limit, from all results of all victims."""
    mine = [result for result in found if result.victim == victim]
    deployed = [result for result in mine if result.defense == defense]
    untold = lacking(mine, deployed, victim, defense=defense) or unreadable(mine)
    return [
        Verdict(victim, defense, str(limit), "cannot tell", f"cannot tell, because {untold}.")
        if untold
        else _judge(deployed, limit)
        for limit in limits
    ]


def lacking(mine: Sequence[Result], deployed: Sequence[Result], victim: str, *, defense: str) -> str:
    """Why there is nothing to judge; empty where there is."""
    if seeing(deployed):
        return ""
    if not mine:
        return f"there are no results of it. Run 'mia-seg audit {victim}' first, or name their folder"
    there = ", ".join(sorted({result.defense for result in seeing(mine)}))
    return f"no attack was tried on it with defense {defense}, only with {there or 'none that sees the model'}. Try one"


def overall(verdicts: Sequence[Verdict]) -> State:
    """Fail where one does; pass where all do."""
    states = {verdict.state for verdict in verdicts}
    return "fail" if "fail" in states else "pass" if states == {"pass"} else "cannot tell"


def defended(defense: str) -> str:
    """'no defense', 'defense argmax'."""
    return "no defense" if defense == UNDEFENDED else f"defense {defense}"


def _judge(deployed: Sequence[Result], limit: Limit) -> Verdict:
    seen = seeing(deployed)
    tried = _tried(seen, limit)
    if failed := _failed(deployed, tried, limit):
        return failed
    if len(tried) < len(seen):
        return _verdict(None, deployed, limit, state="cannot tell", said=_unresolved(seen, limit))
    highest, strongest = _top(tried, "high"), _top(tried, "value")
    if highest.rate.high >= limit.most:
        straddling = strongest if strongest.rate.high >= limit.most else highest
        return _verdict(straddling, deployed, limit, state="cannot tell", said=_straddles(straddling.rate, limit))
    if doubt := unproven(deployed):
        said = f"lies below {limit.most:g}, but that clears nothing: {doubt}."
        return _verdict(highest, deployed, limit, state="cannot tell", said=said)
    return _verdict(highest, deployed, limit, state="pass", said=f"lies below {limit.most:g}.")


def _failed(deployed: Sequence[Result], tried: Sequence[Tried], limit: Limit) -> Verdict | None:
    """Where an interval lies above the limit, or a leak is shown whose best estimate does."""
    if not tried:
        return None
    lowest, strongest = _top(tried, "low"), _top(tried, "value")
    if lowest.rate.low > limit.most:
        return _verdict(lowest, deployed, limit, state="fail", said=f"lies above {limit.most:g}. {REMEDY}")
    if strongest.rate.value > limit.most and strongest.rate.low > limit.chance:
        return _verdict(strongest, deployed, limit, state="fail", said=_likely(strongest.rate, limit))
    return None


def _top(tried: Sequence[Tried], end: str) -> Tried:
    """The one whose 'low', 'value' or 'high' is the largest."""
    return max(tried, key=lambda one: (getattr(one.rate, end), one.rate.value))


def _verdict(decided: Tried | None, deployed: Sequence[Result], limit: Limit, *, state: State, said: str) -> Verdict:
    first = deployed[0]
    if decided is None:
        return Verdict(first.victim, first.defense, str(limit), state, said)
    result, tried = decided.result, len(seeing(deployed))
    one = f"one of {tried} results" if tried > 1 else "the only one tried"
    knows = "" if result.defense == UNDEFENDED else ", which knows the defense" if result.adaptive else ", unaware"
    turned = " turned around" if limit.backwards(result) else ""
    by = f"by {called(result)}{turned}{knows} (shadow {result.shadow}, seed {result.seed}; {one})"
    sentence = f"{limit.measure} {decided.rate} {by} {said}"
    return Verdict(
        first.victim, first.defense, str(limit), state, sentence, called(result), result.seed, tried, decided.rate
    )


def _tried(seen: Sequence[Result], limit: Limit) -> list[Tried]:
    """All that is resolved; intervals hold together, however many were tried."""
    found = []
    for result in seen:
        if rate := limit.of(result):
            low, high = widened(rate.value, (rate.low, rate.high), len(seen))
            found.append(Tried(result, Interval(rate.value, max(low, 0.0), min(high, 1.0))))
    return found


def _unresolved(seen: Sequence[Result], limit: Limit) -> str:
    few = min(result.levels["image"].n_nonmember_groups for result in seen if limit.of(result) is None)
    needed = math.ceil(1 / float(limit.at) - 1e-9)
    return (
        f"cannot tell the {limit.measure}, because {few} groups of non-members do not resolve it. Audit at least "
        f"{needed} non-members that are independent of each other."
    )


def _likely(rate: Interval, limit: Limit) -> str:
    return (
        f"shows a leak, since its interval lies above {limit.chance:g}, and its best estimate is above {limit.most:g}. "
        f"{REMEDY}"
    )


def _straddles(rate: Interval, limit: Limit) -> str:
    return f"lies on both sides of {limit.most:g}: too few scenes to tell. {_more(rate, limit.most)}"


def _more(rate: Interval, most: float) -> str:
    """How many more scenes would do if the estimate stayed: widths fall with the square root of their number."""
    reach, distance = (rate.high - rate.value, most - rate.value) if rate.value < most else (
        rate.value - rate.low, rate.value - most)  # fmt: skip
    times = math.ceil((reach / distance) ** 2 - 1e-9) if distance > 0 else math.inf
    if times > MANY_TIMES:
        return "Audit many more scenes of both sides: the best estimate lies at the limit."
    return f"Audit about {max(times, 2)} times as many scenes of both sides."
