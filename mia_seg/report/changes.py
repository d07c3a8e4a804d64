"""The changes that a defense makes on the same scenes: differences of two cells over their common seeds."""

from dataclasses import replace

from mia_seg.evaluate.scores import SceneScores
from mia_seg.metrics.intervals import Floats, widened
from mia_seg.metrics.membership import CHANCE, Rate
from mia_seg.metrics.paired import auc_above, difference_correlations, over_seeds
from mia_seg.report.cells import UNDEFENDED, Cell, Estimate, attack_name, attacker_name, defense_name, over_common_seeds
from mia_seg.report.tables import Table

LABELS = "argmax"
READING = (
    "Each row compares the same attack with and without the defense on the same images. A change is the value with the "
    "defense minus the value without it. Its interval is that of the difference, which shows smaller changes than two "
    "intervals side by side do. Over several seeds the difference is a mean, and its interval allows for other seeds. "
    "Splits that share images share errors too, and it allows for that."
)
BESIDE = (
    "The same against labels alone (argmax) in place of no defense, for attackers who adapt. Labels alone cost no "
    "mIoU, so that another defense is worth its price only if it hides more than they do."
)
UNPAIRED = "The two were not compared on the same images: the results share no seed, or an old one keeps no scores."
TITLES = {
    UNDEFENDED: ("What each defense changes", READING),
    LABELS: ("What each defense changes beside labels alone", BESIDE),
}


def auc_change(mine: Cell, other: Cell, turned: tuple[bool, bool] = (False, False)) -> Estimate | None:
    """The AUC of `mine` minus that of `other`; None if they share no seed or lack the scores of one that they share.

    turned: whether the scores of each are reversed first.
    """
    pairs = [
        (own.get("scores"), run.get("scores")) for own in mine.runs for run in other.runs if own["seed"] == run["seed"]
    ]
    kept = [(first, second) for first, second in pairs if first is not None and second is not None]
    if len(kept) < len(pairs):
        return None
    every = [_reversed(first, turned[0]).common(_reversed(second, turned[1])) for first, second in kept]
    found = [(one.scores_N, one.others_N, one.members_N, one.groups) for one in every if one is not None]
    rates = [auc_above(scores_N, others_N, members_N, groups=groups) for scores_N, others_N, members_N, groups in found]
    return mean_change(rates, difference_correlations(found))


def miou_change(mine: Cell) -> Estimate | None:
    """The change of mIoU on unseen scenes by the cell's defense; None for old results without it."""
    found = [run["utility_change"] for run in mine.runs if run.get("utility_change") is not None]
    if len(found) < len(mine.runs):
        return None
    return mean_change([one["nonmembers"] for one in found], mine.overlap)


def mean_change(found: list[Rate], related: Floats | None) -> Estimate | None:
    """The mean difference over seeds (`paired.over_seeds`); None without any. related: how their errors are."""
    if not found:
        return None
    pooled = over_seeds(found, related=related)
    return Estimate(pooled["value"], pooled["low"], pooled["high"])


def common_mious(one: Cell, other: Cell) -> tuple[float, float] | None:
    """The mean mIoU of both on unseen scenes, over the seeds that both have; None if there is none, or no label."""
    first, second = over_common_seeds(one, other)
    if second is None or not (first.labelled and second.labelled):
        return None
    return first.mean("miou_nonmembers"), second.mean("miou_nonmembers")


def of_many(change: Estimate, tried: int) -> Estimate:
    """The difference with a wider interval, since the strongest of `tried` attacks stands for all (Bonferroni).

    Student's quantile would be exact, but with three seeds and eight attacks nothing could be shown. Attacks agree, so
    that words are seldom wrong as it is (benchmarks/verdicts.md).
    """
    return Estimate(change.value, *widened(change.value, (change.low, change.high), tried))


def effect(judged: Cell, reference: Cell, tried: int = 1) -> tuple[int, str]:
    """Whether the judged AUC lies below the other (-1), above it (1) or neither is shown (0), and the reason in words.

    The reason is the paired difference on the same images; nothing is shown without one. tried: the number of attacks
    among which `judged` is the strongest. An AUC below 0.5 is turned around first, since an attacker may reverse the
    scores: from 0.1 to 0.7 the leak falls, and from 0.56 to 0.46 it hardly changes.
    """
    turned = judged.auc.value < CHANCE, reference.auc.value < CHANCE
    change = auc_change(judged, reference, turned)
    if change is None:
        return 0, UNPAIRED
    change = of_many(change, tried)
    side = 1 if change.low > 0 else -1 if change.high < 0 else 0
    chosen = f" The interval allows for choosing the strongest of {tried} attacks." if tried > 1 else ""
    around = ", turned around where it lies below 0.5," if any(turned) else ""
    return side, f"On the same images the AUC{around} changes by {signed(change)}.{chosen}"


def signed(change: Estimate, unit: float = 1, digits: int = 3) -> str:
    """A difference in words, '−0.034 [−0.050, −0.018]'. unit: 100 gives points."""
    value, low, high = (f"{unit * end:+.{digits}f}".replace("-", "−") for end in change)
    return f"{value} [{low}, {high}]"


def change_table(found: list[Cell]) -> list[Table]:
    """What each defense changes for each attack, and what it changes beside labels alone, which cost nothing.

    Without the tables for which results keep no scores, or have no defense.
    """
    image = [cell for cell in found if cell.level == "image" and not cell.control]
    aware = [cell for cell in image if cell.adaptive and cell.defense not in (UNDEFENDED, LABELS)]
    return [*_table(image, image, UNDEFENDED), *_table(aware, image, LABELS)]


def _table(shown: list[Cell], image: list[Cell], reference: str) -> list[Table]:
    """One of the tables, of cells against those of the same attack on another defense; empty without scores."""
    before = {
        (c.attack, c.representation): c
        for c in image
        if c.defense == reference and (c.adaptive or reference == UNDEFENDED)
    }
    rows, anchors = [], []
    for cell in shown:
        other = before.get((cell.attack, cell.representation))
        change = auc_change(cell, other) if other is not None and cell is not other else None
        if other is not None and change is not None:
            rows.append(_row(cell, other, change))
            anchors.append(cell.anchor)
    without = "AUC without" if reference == UNDEFENDED else "AUC, labels alone"
    columns = [
        "Attack", "Defense", "Attacker", without, "AUC with", "Change [95%]", "Change of mIoU, points", "Seeds",
    ]  # fmt: skip
    return [Table(*TITLES[reference], columns, rows, texts=3, anchors=anchors)] if rows else []


def _reversed(scores: SceneScores, turn: bool) -> SceneScores:
    return replace(scores, scores_N=-scores.scores_N) if turn else scores


def _row(cell: Cell, other: Cell, change: Estimate) -> list[str]:
    seeds = sorted(set(cell.seeds) & set(other.seeds))
    utility = miou_change(cell.of(seeds))
    aucs = [sum(run["auc"] for run in each.runs if run["seed"] in seeds) / len(seeds) for each in (other, cell)]
    return [
        attack_name(cell.attack, cell.representation), defense_name(cell.defense),
        attacker_name(cell.defense, cell.adaptive), *(f"{auc:.2f}" for auc in aucs), signed(change),
        signed(utility, 100, 1) if utility else "–", ", ".join(map(str, seeds)),
    ]  # fmt: skip
