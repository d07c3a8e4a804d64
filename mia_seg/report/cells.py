"""Cells of an audit's grid: one attack on one defense at one level. The runs of a cell differ in their seed alone."""

import hashlib
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from typing import Any, NamedTuple

from mia_seg.evaluate import results as results_
from mia_seg.evaluate.results import Result
from mia_seg.evaluate.scores import related
from mia_seg.metrics.intervals import Floats, mean_of
from mia_seg.metrics.membership import CHANCE
from mia_seg.metrics.paired import correlations

Row = dict[str, Any]

UNDEFENDED = "none"
SCREEN = "screen"  # an adversary who trains nothing, and its shadow's name in results
OF_IMAGES = {"exposed", "where"}
CONTROL = "labels"
ONE_SIDED = {"tpr", "fpr"}  # of members or of non-members alone
WIDE = 0.2  # an AUC's interval that is wider than this does not say how large the leak is
ROUNDING = 1e-6  # an end that is as near to chance lies on it
KEYS = ("victim", "shadow", "level", "attack", "representation", "defense", "adaptive")


class Estimate(NamedTuple):
    """A rate with its 95% interval. Over seeds the mean of these models, with its own (`pooled`, `widest`)."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        # More digits if an end would otherwise be rounded to 0.5: the verdict depends on which side of it the end lies.
        digits = 2
        beside = [end for end in (self.low, self.high) if abs(end - CHANCE) > ROUNDING]
        while any(round(end, digits) == CHANCE for end in beside):
            digits += 1
        return f"{self.value:.{digits}f} [{self.low:.{digits}f}, {self.high:.{digits}f}]"

    @property
    def wide(self) -> bool:
        """Whether the interval of an AUC is too wide to say how large the leak is."""
        return self.high - self.low > WIDE

    @property
    def verdict(self) -> str:
        """'leaks' if the interval of an AUC lies above 0.5, 'inverted' if below, 'not shown' if it includes 0.5."""
        if self.low > CHANCE + ROUNDING:
            return "leaks"
        return "inverted" if self.high < CHANCE - ROUNDING else "not shown"


@dataclass(frozen=True)
class Cell:
    """One attack on one defense at one level, with its runs. adaptive: the attacker trained against the defense."""

    victim: str
    shadow: str
    level: str
    attack: str
    representation: str
    defense: str
    adaptive: bool
    runs: tuple[Row, ...]

    @property
    def seeds(self) -> list[int]:
        return [run["seed"] for run in self.runs]

    @property
    def control(self) -> bool:
        """Whether the attack never sees the model."""
        return self.representation == CONTROL

    @property
    def at_random(self) -> bool:
        """Whether the shadow's members were drawn at random, without queries of the victim."""
        return bool(self.runs[0]["choose"] == "random")

    @property
    def labelled(self) -> bool:
        """Whether the scenes have labels, so that mIoU was measured."""
        return all(run["miou_nonmembers"] is not None for run in self.runs)

    def of(self, seeds: Collection[int]) -> "Cell":
        """The cell with the runs of these seeds alone."""
        kept = tuple(run for run in self.runs if run["seed"] in seeds)
        return replace(self, runs=kept) if len(kept) < len(self.runs) else self

    def mean(self, name: str) -> float:
        """The mean of a column over the runs."""
        return float(sum(run[name] for run in self.runs) / len(self.runs))

    def estimate(self, name: str, side: str = "") -> Estimate:
        """A metric with its interval over the runs. side: 'members' or 'nonmembers' for metrics of utility."""
        end = f"_{side}" if side else ""
        names = [f"{name}{which}{end}" for which in ("", "_low", "_high")]
        rates = [Estimate(*(run[each] for each in names)) for run in self.runs]
        # Splits of one data set share scenes, and what these add to a rate of one side does not cancel.
        return widest(rates) if side or name in ONE_SIDED else pooled(rates, self.shared)

    @cached_property
    def shared(self) -> Floats | None:
        """How the errors of the runs' AUCs are related (`shared`)."""
        return shared(self.runs)

    @cached_property
    def overlap(self) -> Floats | None:
        """How far the errors of a rate of one side may be related (`related`); None if a run keeps no scores."""
        return related(run.get("scores") for run in self.runs)

    def ppv(self, base: str) -> Estimate | None:
        """The predictive value at a base rate; None if a run called nobody, and for old results without it."""
        return over_runs([run["ppv"][base] if run["ppv"] else "" for run in self.runs], self.shared)

    @cached_property
    def auc(self) -> Estimate:
        return self.estimate("auc")

    @property
    def miou(self) -> Estimate | None:
        """The mIoU on unseen scenes; None if they have no labels."""
        return self.estimate("miou", "nonmembers") if self.labelled else None

    @property
    def anchor(self) -> str:
        """The place on the page that lists the cell's sources; the same for all levels of a result."""
        return anchor_of(vars(self))


def anchor_of(run: Row) -> str:
    """The anchor of the cell to which a row belongs. run: a row, or the fields of a cell."""
    key = [run[name] for name in KEYS if name != "level"]
    return f"r-{hashlib.sha256(repr(key).encode()).hexdigest()[:10]}"


def shared(runs: Sequence[Row]) -> Floats | None:
    """How the errors of the runs' AUCs are related [S, S], by the scores that results keep (`correlations`).

    None, as if splits shared no scene, if one of them keeps none. Patches and groups count as related as images are.
    """
    kept = [(one.scores_N, one.members_N, one.groups) for run in runs if (one := run.get("scores")) is not None]
    return correlations(kept) if len(kept) == len(runs) else None


def pooled(rates: Sequence[Estimate], related: Floats | None) -> Estimate:
    """The mean of rates over runs, with its 95% interval for these models and other scenes (`mean_of`).

    related: how their errors are (`shared`).
    """
    return Estimate(*mean_of(rates, related))


def widest(rates: Sequence[Estimate]) -> Estimate:
    """The mean of rates of one side over runs. Its interval runs from the lowest lower to the highest upper end."""
    value = sum(rate.value for rate in rates) / len(rates)
    return Estimate(value, min(rate.low for rate in rates), max(rate.high for rate in rates))


def tpr_over_runs(rates: Sequence[dict[str, float] | str]) -> Estimate | None:
    """The mean TPR at a target FPR over runs as in `widest`; None if one of them is not resolvable."""
    found = [Estimate(rate["tpr"], rate["low"], rate["high"]) for rate in rates if not isinstance(rate, str)]
    return widest(found) if len(found) == len(rates) else None


def over_runs(rates: Sequence[dict[str, float] | str], related: Floats | None) -> Estimate | None:
    """The mean of rates (value, low, high) over runs as in `pooled`; None if one of them is not resolvable."""
    found = [Estimate(rate["value"], rate["low"], rate["high"]) for rate in rates if not isinstance(rate, str)]
    return pooled(found, related) if len(found) == len(rates) else None


def enriched(results: Iterable[Result]) -> list[Row]:
    """The flat rows of results, with further columns that only reports need: curves, confidences, exposed scenes."""
    return [
        results_.row(result, level)
        | {name: getattr(result.levels[level], name) for name in results_.CURVES}
        | result.model_dump(include={"confidence", "by_shadows", "image_loss", "above_loss", "utility_change"})
        | {"scores": result.scores, "result": result}
        | {"mode": result.settings.get("mode", "")}
        | {name: found if level == "image" else None for name, found in result.model_dump(include=OF_IMAGES).items()}
        | {"untested": getattr(result.controls and result.controls.blind, "untested", None)}
        for result in results
        for level in results_.LEVELS
        if level in result.levels
    ]


def cells(rows: Iterable[Row]) -> list[Cell]:
    """The cells of some rows. Undefended cells come first among defenses, controls last; runs are sorted by seed."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in sorted(rows, key=lambda row: int(row["seed"])):
        groups.setdefault(tuple(row[key] for key in KEYS), []).append(row)
    found = [Cell(**dict(zip(KEYS, key, strict=True)), runs=tuple(runs)) for key, runs in groups.items()]
    return sorted(found, key=_place)


def by_strength(defense: str) -> tuple[bool, str, float, str]:
    """The sort key of a defense: none first, then by name and number, so that 'gaussian:10' follows 'gaussian:2'."""
    family, _, value = defense.partition(":")
    return defense != UNDEFENDED, family, _number(value.partition(",")[0]), value


def defenses_of(found: Iterable[Cell]) -> list[str]:
    """The defenses of some cells, each once, in their order."""
    return sorted({cell.defense for cell in found}, key=by_strength)


def attacks_of(found: Iterable[Cell]) -> list[tuple[str, str]]:
    """The (attack, representation) pairs of some cells, in the cells' order."""
    return list(dict.fromkeys((cell.attack, cell.representation) for cell in found))


def strongest(found: Iterable[Cell], where: Callable[[Cell], bool] = lambda cell: True) -> Cell | None:
    """The cell with the largest AUC among attacks that see the model; of equal ones that of more seeds.

    Two are compared over the seeds that both have, if there are any: another seed is another model. An AUC whose whole
    interval is below 0.5 counts as 1 - AUC, because an attacker would reverse its scores.
    """
    candidates = [cell for cell in found if not cell.control and where(cell)]
    candidates.sort(key=lambda cell: -len(cell.seeds))
    return reduce(_stronger, candidates) if candidates else None


def _stronger(one: Cell, other: Cell) -> Cell:
    mine, theirs = over_common_seeds(one, other)
    if theirs is None:
        mine, theirs = one, other
    return other if _reach(theirs) > _reach(mine) else one


def _reach(cell: Cell) -> tuple[float, bool]:
    """The AUC that counts, and of equal ones whether the attacker adapts."""
    auc = cell.auc
    return 1 - auc.value if auc.verdict == "inverted" else auc.value, cell.adaptive


def strongest_like(found: Iterable[Cell], others: Iterable[Cell]) -> Cell | None:
    """The strongest of the cells whose attacks were also tried in `others`, so that both may be compared."""
    tried = set(attacks_of(others))
    return strongest(found, lambda cell: (cell.attack, cell.representation) in tried)


def over_common_seeds(one: Cell, other: Cell) -> tuple[Cell, Cell | None]:
    """Both cells over the seeds that both have, since another seed is another model; no other if there is none."""
    seeds = set(one.seeds) & set(other.seeds)
    return (one.of(seeds), other.of(seeds)) if seeds else (one, None)


def comparable(found: Iterable[Cell]) -> list[Cell]:
    """A selection of cells in which every attack was tried on every defense; without controls.

    It has the defenses on which the most widely tried attack was tried, and the attacks that were tried on all of
    these. A defense on which only weak attacks were tried would look strong beside one on which all were.
    """
    seen = [cell for cell in found if not cell.control]
    met = defenses_met(seen)
    widest = max(met.values(), key=len, default=set())
    return [c for c in seen if c.defense in widest and widest <= met[c.attack, c.representation]]


def defenses_met(found: Sequence[Cell]) -> dict[tuple[str, str], set[str]]:
    """The defenses on which each (attack, representation) pair was tried."""
    attacks = attacks_of(found)
    return {pair: {cell.defense for cell in found if (cell.attack, cell.representation) == pair} for pair in attacks}


def shadow_name(shadow: str) -> str:
    """A shadow's name in tables: 'none' for an attacker who trains no model."""
    return "none" if shadow == SCREEN else shadow


def through_shadow(shadow: str) -> str:
    """'through NAME', or 'without a shadow'."""
    return "without a shadow" if shadow == SCREEN else f"through {shadow}"


def defense_name(defense: str) -> str:
    """A defense's name in reports: 'none' -> 'no defense', 'gaussian_std:0.5' -> 'gaussian std 0.5'."""
    return "no defense" if defense == UNDEFENDED else defense.translate(str.maketrans(":_,=", "    "))


def attack_name(attack: str, representation: str) -> str:
    """An attack's name in reports: 'patch_resnet50', 'concat' -> 'patch resnet50 (concat)'. Controls are marked."""
    kind = "labels only: control" if representation == CONTROL else representation
    return attack.replace("_", " ") + (f" ({kind})" if kind else "")


def attacker_name(defense: str, adaptive: bool) -> str:
    """'adapts' if the attacker trained against the defense, else 'ignores it'; a dash without a defense."""
    if defense == UNDEFENDED:
        return "–"
    return "adapts" if adaptive else "ignores it"


def _place(cell: Cell) -> tuple[Any, ...]:
    return (
        cell.victim, cell.shadow, cell.level, cell.control, cell.attack, cell.representation,
        by_strength(cell.defense), cell.adaptive,
    )  # fmt: skip


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
