"""Sentences and tables on controls: does the split give members away without the model, and is chance at 0.5?"""

from collections.abc import Iterable, Sequence

from mia_seg.evaluate.results import SHARED, Result, material
from mia_seg.evaluate.schema import Blind, Controls, Halves, Untested
from mia_seg.metrics.intervals import widened
from mia_seg.metrics.membership import CHANCE
from mia_seg.report.cells import (
    UNDEFENDED,
    Cell,
    Estimate,
    Row,
    attack_name,
    attacker_name,
    by_strength,
    defense_name,
    shadow_name,
)
from mia_seg.report.tables import Table

Results = Sequence[Result]
SIDES = ("members", "members"), ("nonmembers", "non-members")
MANY_LOST = 0.01  # the share of a side; an audit that loses more scenes says so first
NAMED = 3  # pairs of near twins that the sentence names
SURE = 5  # 95% intervals that all hold at once are 99% ones each
P = "p is the share of shuffled memberships by which such an attacker reaches as much."
MISSING = (
    "It is not known whether members and non-members differ without the model: these results are older than that "
    "control. Delete them and run the same command again; the models are reused."
)


def told_by_labels(found: Iterable[Cell]) -> list[tuple[Cell, str]]:
    """What each attack that sees labels alone and never the model says of the split; the one that strays most is first.

    found: cells; the controls on images and the undefended model count, one a shadow. 'confounded' if the 99% interval
    leaves out 0.5, 'doubtful' if the 95% interval does, else 'sound'. All share these levels (Bonferroni): the more
    shadows a data set has, the more often chance would flag its split.
    """
    labels = [c for c in found if c.control and c.defense == UNDEFENDED and c.level == "image"]
    levels = {"confounded": SURE * len(labels), "doubtful": len(labels)}

    def says(auc: Estimate) -> str:
        wide = ((state, widened(auc.value, (auc.low, auc.high), tried)) for state, tried in levels.items())
        return next((state for state, (low, high) in wide if not low <= CHANCE <= high), "sound")

    return [(cell, says(cell.auc)) for cell in sorted(labels, key=lambda cell: -_away(cell.auc))]


def _away(auc: Estimate) -> float:
    """The distance of an AUC from 0.5, in half widths of its interval on that side."""
    reach = auc.value - auc.low if auc.value > CHANCE else auc.high - auc.value
    return abs(auc.value - CHANCE) / max(reach, 1e-12)


def blind_sentence(rows: Iterable[Row]) -> str:
    """The sentence on an attacker who never sees the model, with the AUC on each seed's split."""
    # A seed may have old results without controls beside new ones.
    runs = list({row["seed"]: row for row in sorted(rows, key=lambda row: row["blind_auc"] is not None)}.values())
    runs.sort(key=lambda row: int(row["seed"]))
    tested = [row for row in runs if row["blind_auc"] is not None]
    if not tested:
        reasons = (row["untested"] for row in runs if row.get("untested"))
        return next((f"An attacker who never sees the model was not tested: {reason}." for reason in reasons), MISSING)
    told = "; ".join(f"{row['blind_auc']:.2f} (p {row['blind_p']:.2g})" for row in tested)
    opening = f"An attacker who never sees the model reaches AUC {told}{_rest(runs, tested)}"
    if confounded(tested):
        return (
            f"{opening}: CONFOUNDED. {_material(runs).capitalize()} alone tell members from non-members. Only what an "
            f"attack's AUC has above that can be a leak."
        )
    if doubtful(tested):
        return f"{opening}. Chance seldom gives as much, but p is too large to call the split confounded. {P}"
    return f"{opening}. Simple features of the scenes are not shown to give members away. {P}"


def confounded(rows: Iterable[Row]) -> list[Row]:
    """A row of each seed whose split gives members away without the model.

    Of a hundred sound audits of one seed one has such a row, of five seeds five. More seeds share these five.
    """
    return [row for row in doubtful(rows) if row["confounded"]]


def doubtful(rows: Iterable[Row]) -> list[Row]:
    """A row of each seed on whose split an attacker who never sees the model does better than chance usually gives.

    Of a hundred sound audits five have such a row, whatever the number of seeds.
    """
    tested = {row["seed"]: row for row in rows if row["blind_p"] is not None}
    return [row for row in tested.values() if row["blind_p"] <= SHARED / len(tested)]


def _material(runs: Sequence[Row]) -> str:
    return material(all(row["miou_members"] is not None for row in runs))


def left_out(rows: Iterable[Row]) -> tuple[str, bool]:
    """The sentence about scenes that no attack could score, in the seed that lost most; and whether they are many."""
    images = [row for row in rows if row["level"] == "image"]
    worst = max(images, key=_lost, default=None)
    if worst is None or not _lost(worst):
        return "", False
    lost = {name: (worst[f"left_out_{side}"], worst[f"n_{side}"]) for side, name in SIDES}
    counts = ", ".join(f"{out} of {out + scored} {name}" for name, (out, scored) in lost.items())
    return f"Left out, because they have no labelled pixel and so no loss: {counts}.", _lost(worst) > MANY_LOST


def _lost(row: Row) -> float:
    """The share of scenes that were left out, on the side that lost more."""
    return max(row[f"left_out_{side}"] / (row[f"left_out_{side}"] + row[f"n_{side}"]) for side, _ in SIDES)


def near_twins(results: Results) -> str:
    """The sentence on members that have a near twin among the non-members, seed by seed; '' if none has."""
    found = {result.seed: result.near_twins for result in results if result.near_twins}
    if not found:
        return ""
    counts = ", ".join(f"{one.members} of {one.of} members (seed {seed})" for seed, one in sorted(found.items()))
    pairs = found[min(found)].pairs[:NAMED]
    named = "; ".join(f"'{pair.member}' and '{pair.nonmember}'" for pair in pairs)
    return (
        f"Near twins: {counts} look nearly like a non-member. The most similar are {named}. No attack can be expected "
        "to tell near twins apart, so AUC shows less than what leaks. Remove one of each pair. If mia-seg draws the "
        "split, [split] rule = 'blocks' or 'groups' keeps look-alikes on one side."
    )


def control_tables(results: Results) -> list[Table]:
    """The tables of the blind attacker and of the shuffled memberships; empty for results without controls."""
    kept = sorted((result for result in results if result.controls), key=_order)
    return [_split_table(kept), _null_table(kept)] if kept else []


def _split_table(results: Results) -> Table:
    """The table of the blind attacker, with a line for each seed."""
    found = {result.seed: result.controls.blind for result in results if result.controls}
    labelled = all(result.utility for result in results)
    of_labels = ", and shares, pieces and boundaries of labels" if labelled else ""
    return Table(
        "The split without the model",
        f"A linear classifier sees the {material(labelled)}, never the model. Its features are colours, edges, "
        f"brightness and size of images{of_labels}. It learns from the true memberships, which no attacker has: the "
        "best case for finding that a split is confounded. “Null 95%” is the middle 95% of its AUCs after "
        "memberships were shuffled. Confounded means p at or below 0.01, which one sound split in a hundred reaches "
        "by chance.",
        ["Seed", "Verdict", "AUC", "Null 95%", "p", "Folds", "Features"],
        [_split(seed, blind) for seed, blind in sorted(found.items())],
        texts=2,
    )


def _null_table(results: Results) -> Table:
    """The table of each attack's scores under meaningless memberships."""
    return Table(
        "Chance, measured on the attacks' own scores",
        "“Above blind” is the AUC minus the blind attacker's, for confounded splits. “Shuffled” is the AUC after "
        "memberships were shuffled among the groups, 1,000 times. Its mean should be 0.5; p says how often shuffles "
        "reach the attack's AUC. Halves compare non-members with non-members. Random halves show how far an AUC is "
        "from 0.5 by chance: the mean distance, and the middle 95% of their AUCs. The first half of the ids against "
        "the second shows whether scores drift along the ids.",
        [
            "Shadow", "Attack", "Defense", "Attacker", "Seed", "AUC", "Above blind", "Shuffled: mean [95%]", "p",
            "Random halves: distance [95%]", "Halves of the ids", "p",
        ],
        [_null(result, result.controls) for result in results if result.controls],
        texts=4,
    )  # fmt: skip


def _rest(runs: list[Row], tested: list[Row]) -> str:
    return f" ({len(runs) - len(tested)} of {len(runs)} seeds not tested)" if len(tested) < len(runs) else ""


def _split(seed: int, blind: Blind | Untested) -> list[str]:
    if isinstance(blind, Untested):
        return [str(seed), f"not tested: {blind.untested}", "–", "–", "–", "–", "–"]
    verdict = "CONFOUNDED" if blind.confounded else "sound"
    null = f"[{blind.low:.2f}, {blind.high:.2f}]"
    numbers = [f"{blind.auc:.2f}", null, f"{blind.p:.2g}", str(blind.folds), str(blind.features)]
    return [str(seed), verdict, *numbers]


def _null(result: Result, found: Controls) -> list[str]:
    blind, shuffle = found.blind, found.shuffle
    above = "–" if isinstance(blind, Untested) or blind.above is None else f"{blind.above:+.2f}"
    return [
        shadow_name(result.shadow),
        attack_name(result.attack, result.representation),
        defense_name(result.defense),
        attacker_name(result.defense, result.adaptive),
        str(result.seed),
        f"{result.levels['image'].auc:.2f}",
        above,
        f"{shuffle.mean:.2f} [{shuffle.low:.2f}, {shuffle.high:.2f}]",
        f"{shuffle.p:.2g}",
        *_halves(found.halves),
    ]


def _halves(halves: Halves | Untested) -> list[str]:
    if isinstance(halves, Untested):
        return [f"not tested: {halves.untested}", "–", "–"]
    spread = f"{halves.distance:.2f} [{halves.low:.2f}, {halves.high:.2f}]"
    return [spread, f"{halves.by_order:.2f}", f"{halves.p_order:.2g}"]


def _order(result: Result) -> tuple[object, ...]:
    attack = (result.attack, result.representation)
    return result.shadow, attack, by_strength(result.defense), result.adaptive, result.seed
