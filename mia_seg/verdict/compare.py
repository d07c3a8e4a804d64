"""Comparing two audits, A and B: differences, with intervals that say which are more than noise."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from mia_seg.errors import MiaSegError
from mia_seg.evaluate.results import Result
from mia_seg.evaluate.scores import Common, related
from mia_seg.metrics.intervals import Floats
from mia_seg.metrics.membership import CHANCE, TARGETS, Rate
from mia_seg.metrics.paired import above, accuracy_above, difference_correlations, over_seeds, unpaired
from mia_seg.progress import track
from mia_seg.verdict.found import SAME, called
from mia_seg.verdict.pairs import Matched, Pair, common, loosely

Reading = Literal["higher", "lower", "noise", "the same"]
AUC, ACCURACY, MIOU = "AUC", "balanced accuracy", "mIoU on non-members"
TPRS = {f"TPR at {100 * target:g}% FPR": f"{target:g}" for target in TARGETS}
EQUAL = 1e-9
NAUGHT: Rate = {"value": 0.0, "low": 0.0, "high": 0.0}
ONE_TRAINING = (
    "Each side is one training, and the intervals are over scenes alone: with other seeds the same training may "
    "differ by more. Compare several seeds to tell."
)


@dataclass(frozen=True)
class Row:
    """One measure of one attack in both audits, B less A; means over the seeds, with the widest ends.

    changes: the difference of each seed. related: how their errors are, since splits share scenes; None: not. scenes:
    how many are in both, of the seed with the fewest; 0 where the difference is not paired.
    """

    victim: str
    defense: str
    attack: str
    adaptive: bool
    seeds: tuple[int, ...]
    measure: str
    a: Rate
    b: Rate
    changes: tuple[Rate, ...]
    related: Floats | None = field(compare=False)
    scenes: int

    @property
    def change(self) -> Rate:
        """The difference over seeds (`over_seeds`)."""
        return self.among(1)

    def among(self, rows: int) -> Rate:
        """The difference, with an interval that holds together with those of so many rows."""
        return over_seeds(self.changes, related=self.related, tried=rows)

    @property
    def reading(self) -> Reading:
        """The reading of the difference's own interval."""
        return read(self.change)

    def dump(self) -> dict[str, Any]:
        """Plain JSON."""
        told = asdict(self) | {"change": self.change, "reading": self.reading}
        return {name: value for name, value in told.items() if name not in ("changes", "related")}


@dataclass(frozen=True)
class Comparison:
    """Rows of a comparison, with sentences on their basis and their outcome."""

    rows: list[Row]
    notes: list[str]

    def dump(self) -> dict[str, Any]:
        """Plain JSON."""
        return {"rows": [row.dump() for row in self.rows], "notes": self.notes}


def compared(a: Sequence[Result], b: Sequence[Result]) -> Comparison:
    """Compare B with A. Raises MiaSegError if they measure nothing in common."""
    matched = loosely(a, b)
    if not matched.pairs:
        raise MiaSegError(
            "A and B have no victim, defense, attack, shadow and seed in common. Name two results' files, which are "
            "compared whatever they measure."
        )
    rows, notes = [], list(_differing(a, b))
    attacks = _by_attack(matched.pairs)
    for pairs in track(attacks, "comparing", len(attacks)):
        shared, note = _shared(pairs)
        rows += _rows(pairs, shared)
        notes += [note] * bool(note)
    notes += [
        *_backwards(rows),
        *_lone(matched),
        *_one_training(matched.pairs),
        summary([row for row in rows if row.measure == AUC]),
    ]
    return Comparison(_miou_once(rows), list(dict.fromkeys(notes)))


def read(change: Rate) -> Reading:
    """What the interval of a difference says."""
    if change == NAUGHT:
        return "the same"
    return "higher" if change["low"] > 0 else "lower" if change["high"] < 0 else "noise"


def summary(rows: Sequence[Row]) -> str:
    """What differs in AUC by more than noise, with intervals that hold for all rows together."""
    wide = [(row, row.among(len(rows))) for row in rows]
    beyond = [(row, change) for row, change in wide if read(change) in ("higher", "lower")]
    if len(rows) == 1:
        end = "more than noise" if beyond else "within noise" if rows[0].reading == "noise" else "no difference"
        return f"B's AUC less A's is {signed(rows[0].change)}{_where(rows[0])}: {end}."
    if not beyond:
        return f"None of {len(rows)} differences of AUC is more than noise."
    told = "; ".join(f"{row.attack} ({row.defense}, {_knows(row)}) {signed(change)}" for row, change in beyond)
    return (
        f"More than noise, allowing for {len(rows)} differences of AUC: {told}. In the table each interval stands by "
        f"itself, and one in twenty strays by chance."
    )


def signed(change: Rate) -> str:
    """'-0.034 [-0.050, -0.018]'."""
    return "{value:+.3f} [{low:+.3f}, {high:+.3f}]".format(**change)


def _rows(pairs: Sequence[Pair], shared: Sequence[Common]) -> list[Row]:
    """Every measure that both sides resolve, of an attack over the seeds of both."""
    paired = [above(c.scores_N, c.others_N, c.members_N, groups=c.groups) for c in shared]
    changes: dict[str, list[Rate | str]] = {AUC: [one["auc"] for one in paired]}
    changes |= {measure: [one["tpr_at_fpr"][at] for one in paired] for measure, at in TPRS.items()}
    if shared and all(_one_threshold(result) for pair in pairs for result in pair):
        changes[ACCURACY] = [_accuracy(*both) for both in zip(pairs, shared, strict=True)]
    if all(before.digests.victim_answers == after.digests.victim_answers for before, after in pairs):
        changes[MIOU] = [NAUGHT] * len(pairs)
    scenes = min((len(c.scores_N) for c in shared), default=0)
    exact = difference_correlations([(c.scores_N, c.others_N, c.members_N, c.groups) for c in shared])
    at_most = related(after.scores for _, after in pairs)
    found = (
        _row(pairs, measure, changes.get(measure, []), shared=exact if shared and measure == AUC else at_most)
        for measure in (AUC, *TPRS, ACCURACY, MIOU)
    )
    return [replace(row, scenes=row.scenes and scenes) for row in found if row]


def _row(pairs: Sequence[Pair], measure: str, paired: Sequence[Rate | str], *, shared: Floats | None) -> Row | None:
    """None where a side does not resolve the measure. paired: a difference a seed; [] where there are none.

    shared: how the seeds' errors are related.
    """
    a, b = ([rate for pair in pairs if (rate := _rate(pair[k], measure))] for k in (0, 1))
    if len(a) < len(pairs) or len(b) < len(pairs):
        return None
    kept = [change for change in paired if not isinstance(change, str)]
    is_paired, (first, last) = len(kept) == len(pairs), pairs[0]
    changes = kept if is_paired else [unpaired(after, before) for before, after in zip(a, b, strict=True)]
    what = last.victim, _both(first.defense, last.defense), _both(called(first), called(last)), last.adaptive
    seeds = tuple(after.seed for _, after in pairs)
    return Row(*what, seeds, measure, _mean(a), _mean(b), changes=tuple(changes), related=shared, scenes=int(is_paired))


def _accuracy(pair: Pair, both: Common) -> Rate:
    before, after = (result.levels["image"].threshold for result in pair)
    return accuracy_above(both.scores_N >= after, both.others_N >= before, both.members_N, groups=both.groups)


def _one_threshold(result: Result) -> bool:
    """Whether the threshold that a result names makes its balanced accuracy: a screen's scenes have their own."""
    seen, level = result.scores, result.levels["image"]
    if seen is None:
        return False
    right_N = (seen.scores_N >= level.threshold) == seen.members_N
    found = (right_N[seen.members_N].mean() + right_N[~seen.members_N].mean()) / 2
    return bool(abs(found - level.balanced_accuracy) < EQUAL)


def _rate(result: Result, measure: str) -> Rate | None:
    level = result.levels["image"]
    if measure == MIOU and result.utility is None:  # scenes without labels
        return None
    if measure in TPRS:
        rate = level.tpr_at_fpr.get(TPRS[measure], "")
        return None if isinstance(rate, str) else {"value": rate.tpr, "low": rate.low, "high": rate.high}
    source: Any = result.utility.nonmembers if measure == MIOU and result.utility else level
    name = {AUC: "auc", ACCURACY: "balanced_accuracy", MIOU: "miou"}[measure]
    return {
        "value": getattr(source, name),
        "low": getattr(source, f"{name}_low"),
        "high": getattr(source, f"{name}_high"),
    }


def _both(a: str, b: str) -> str:
    return a if a == b else f"{a} / {b}"


def _mean(rates: Sequence[Rate]) -> Rate:
    value = sum(rate["value"] for rate in rates) / len(rates)
    return {"value": value, "low": min(r["low"] for r in rates), "high": max(r["high"] for r in rates)}


def _shared(pairs: Sequence[Pair]) -> tuple[list[Common], str]:
    """What every seed has in common, or none and why not."""
    try:
        found = [common(pair) for pair in pairs]
    except MiaSegError:
        return [], "Not paired: a member in A is none in B, so these are two splits. Their intervals are compared."
    if len(kept := [one for one in found if one is not None]) == len(pairs):
        return kept, ""
    return [], (
        "Not paired: results keep no scores of the same scenes (.scores.csv beside each). Intervals are compared, "
        "which shows less."
    )


def _by_attack(pairs: Sequence[Pair]) -> list[list[Pair]]:
    """Pairs that differ by their seed alone."""
    kept: dict[tuple[object, ...], list[Pair]] = {}
    for pair in pairs:
        kept.setdefault(tuple(getattr(pair[1], name) for name in SAME if name != "seed"), []).append(pair)
    return list(kept.values())


def _miou_once(rows: Sequence[Row]) -> list[Row]:
    """The model's own measure once for what several attacks saw of it."""
    once: dict[object, Row] = {}
    for row in rows:
        of_model = row.measure == MIOU
        key = (row.victim, row.defense, row.seeds, row.a["value"], row.b["value"]) if of_model else id(row)
        once.setdefault(key, replace(row, attack="", adaptive=False) if of_model else row)
    return list(once.values())


def _differing(a: Sequence[Result], b: Sequence[Result]) -> Iterator[str]:
    """What each side has one of, and which is not the same."""
    for name in (*SAME, "dataset"):
        values = [{str(getattr(result, name)) for result in side} for side in (a, b)]
        if max(map(len, values)) == 1 and values[0] != values[1]:
            yield f"A has {name} '{values[0].pop()}', B '{values[1].pop()}'."


def _lone(matched: Matched) -> Iterator[str]:
    for side, lone in (("A", matched.before), ("B", matched.after)):
        if lone:
            first = f"{called(lone[0])} on {lone[0].victim}, defense {lone[0].defense}, seed {lone[0].seed}"
            yield f"In {side} alone, and not compared: {len(lone)} results, such as {first}."


def _backwards(rows: Sequence[Row]) -> Iterator[str]:
    """Names AUCs that are low because the ranking is turned around, which is no protection."""
    for row in rows:
        for side, rate in (("A", row.a), ("B", row.b)):
            if row.measure == AUC and rate["high"] < CHANCE:
                yield f"In {side} {row.attack} ranks backwards: turned around its AUC is {1 - rate['value']:.3f}."


def _one_training(pairs: Sequence[Pair]) -> list[str]:
    retrained = any(before.digests.victim != after.digests.victim for before, after in pairs)
    return [ONE_TRAINING] if retrained and len({after.seed for _, after in pairs}) == 1 else []


def _where(row: Row) -> str:
    return f" on the {row.scenes} scenes of both" if row.scenes else " by the two intervals"


def _knows(row: Row) -> str:
    return "attacker knows it" if row.adaptive else "attacker unaware"
