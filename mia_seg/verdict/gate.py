"""The gate: whether a model's results stay below limits, fail them, or cannot tell. docs/gate.md has the rules."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
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
    """What an attack achieved. for_all: the same with an interval widened for all attacks that were tried."""

    result: Result
    rate: Interval
    for_all: Interval

    @property
    def allowing(self) -> "Tried":
        """Itself with the widened interval."""
        return replace(self, rate=self.for_all)


def judged(found: Sequence[Result], victim: str, defense: str, *, limits: Sequence[Limit]) -> list[Verdict]:
    """A verdict for each limit, from all results of all victims."""
    mine = [result for result in found if result.victim == victim]
    deployed = [result for result in mine if result.defense == defense]
    untold = lacking(found, victim, defense) or unreadable(mine)
    return [
        Verdict(victim, defense, str(limit), "cannot tell", f"cannot tell, because {untold}.")
        if untold
        else _judge(deployed, limit)
        for limit in limits
    ]


def lacking(found: Sequence[Result], victim: str, defense: str) -> str:
    """Why no result can be judged; empty if one can."""
    there: dict[str, set[str]] = {result.victim: set() for result in found}
    for result in seeing(found):
        there[result.victim].add(result.defense)
    if defense in there.get(victim, ()):
        return ""
    if victim not in there:
        others = f", only of {', '.join(sorted(there))}" if there else ""
        return f"there are no results of it{others}. Run 'mia-seg audit {victim}' first, or name their folder"
    tried = ", ".join(sorted(there[victim])) or "none that sees the model"
    return (
        f"no attack was tried on it with defense {defense}, only with {tried}. Name one of these by --defense, or "
        f"attack this one first"
    )


def overall(verdicts: Sequence[Verdict]) -> State:
    """Fail where one does; pass where all do."""
    states = {verdict.state for verdict in verdicts}
    return "fail" if "fail" in states else "pass" if states == {"pass"} else "cannot tell"


def defended(defense: str) -> str:
    """'no defense', 'defense argmax'."""
    return "no defense" if defense == UNDEFENDED else f"defense {defense}"


def _judge(deployed: Sequence[Result], limit: Limit) -> Verdict:
    """Each of several intervals may be too high by chance, so that a failure allows for their number.

    A pass need not: it asks for every one to lie below the limit, whichever of them is the strongest.
    """
    seen = seeing(deployed)
    tried = _tried(seen, limit)
    surest = max((one.allowing for one in tried), key=lambda one: one.rate.low, default=None)
    if surest and surest.rate.low > limit.most:
        said = f"lies above {limit.most:g}{_allowance(tried)}. {REMEDY}"
        return _verdict(surest, deployed, limit, state="fail", said=said)
    if len(tried) < len(seen):
        return _verdict(None, deployed, limit, state="cannot tell", said=_unknown(seen, limit))
    highest = max(tried, key=lambda one: one.rate.high)
    if highest.rate.high >= limit.most:
        above = highest.rate.low > limit.most  # by itself, and not among so many
        said = f"lies on both sides of {limit.most:g}{_allowance(tried) if above else ''}: {_more(highest, limit.most)}"
        return _verdict(highest.allowing if above else highest, deployed, limit, state="cannot tell", said=said)
    if doubt := unproven(deployed):
        said = f"lies below {limit.most:g}, but that clears nothing: {doubt}."
        return _verdict(highest, deployed, limit, state="cannot tell", said=said)
    return _verdict(highest, deployed, limit, state="pass", said=f"lies below {limit.most:g}.")


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
    """All that is known."""
    found = []
    for result in seen:
        if not isinstance(rate := limit.of(result), str):
            low, high = widened(rate.value, (rate.low, rate.high), len(seen))
            found.append(Tried(result, rate, Interval(rate.value, max(low, 0.0), min(high, 1.0))))
    return found


def _allowance(tried: Sequence[Tried]) -> str:
    return f" with an interval that allows for all {len(tried)}" if len(tried) > 1 else ""


def _unknown(seen: Sequence[Result], limit: Limit) -> str:
    reason = next(reason for result in seen if isinstance(reason := limit.of(result), str))
    return f"cannot tell the {limit.measure}, because {reason}."


def _more(tried: Tried, most: float) -> str:
    """How many more scenes would do if the estimate stayed: widths fall with the square root of their number."""
    value = tried.rate.value
    reach = tried.rate.high - value if value < most else value - tried.for_all.low
    times = math.ceil((reach / abs(most - value)) ** 2 - 1e-9) if value != most else math.inf
    if times > MANY_TIMES:
        return "the best estimate lies at it. Audit many more scenes of both sides."
    return f"too few scenes to tell. Audit about {max(times, 2)} times as many scenes of both sides."
