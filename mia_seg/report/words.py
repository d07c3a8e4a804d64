"""Sentences that are made from the numbers alone. If an interval shows nothing, its sentence says so."""

from collections.abc import Iterable

from mia_seg.report.cells import (
    SCREEN,
    UNDEFENDED,
    Cell,
    Estimate,
    Row,
    attack_name,
    cells,
    defense_name,
    defenses_of,
    over_common_seeds,
    strongest,
    strongest_like,
)
from mia_seg.report.changes import common_mious, effect, miou_change, signed
from mia_seg.report.controls import blind_sentence, left_out, told_by_labels

FLIP = "An attacker who reverses these scores is right where this attack is wrong."
SCREENED = (
    "No shadow was trained. Each attack reads one number from the victim's answers. Its threshold for a scene is the "
    "best one on the other half of the scenes. AUC needs no threshold. An attacker with shadows may do better."
)


def defended(rows: Iterable[Row]) -> list[str]:
    """One paragraph for each defense, from the rows of one shadow: the strongest attack on it, and its cost."""
    found = _image(rows)
    undefended = [cell for cell in found if cell.defense == UNDEFENDED]
    names = [name for name in defenses_of(found) if name != UNDEFENDED]
    texts = [on_defense([cell for cell in found if cell.defense == name], undefended) for name in names]
    return [text for text in texts if text]


def controls(rows: Iterable[Row]) -> list[str]:
    """The sentences on controls: attacks without the model, lost scenes, and shadows that train on random scenes."""
    kept = list(rows)
    found = _image(kept)
    blind = [_blind(cell, state) for cell, state in told_by_labels(found)]
    lost, many = left_out(kept)
    return [*blind, blind_sentence(kept), *([lost] if lost and not many else []), *_choices(found)]


def adversary(rows: Iterable[Row]) -> str:
    """The sentences on the attacker behind one shadow."""
    row = next(iter(rows))
    if row["adversary"] == SCREEN:
        return SCREENED
    knows = {
        "A1": "knows the architecture and has data of the same kind (adversary A1)",
        "A2": "knows the task and the classes only (adversary A2). It has other data and asked the victim nothing "
        "before the attack",
    }.get(row["adversary"], f"is adversary {row['adversary']}")
    if row["victim_segmenter"].endswith(" door"):
        behind, own = row["victim_segmenter"].removesuffix(" door"), row["shadow_segmenter"]
        knows = f"asks the model through the door '{behind}' and trains its own {own} on data of the same kind"
    chosen = {
        "confidence": " It asked the victim about scenes of its own, and trained its shadow on those of which the "
        "victim is surest.",
        "random": " As a control, it trained its shadow on random scenes of its own.",
        "halves": " It trained many shadows, each on a random half of the audited scenes.",
    }.get(row["choose"], "")
    trained = {
        "training": " Its shadow has the victim's own objective and update.",
        "nothing": " The victim's objective or update is not the plain one, and the shadow has another. An attacker "
        "who knows of it may do better.",
    }.get(row["knows"], "")
    return f"The attacker {knows}.{chosen}{trained}{_independent(row) if row['adversary'] == 'A2' else ''}"


def drawn_from(found: list[Cell]) -> str:
    """The note below a figure: its seeds, and the numbers of members and non-members."""
    seeds = sorted({seed for cell in found for seed in cell.seeds})
    first = next(cell for cell in found if cell.level == "image").runs[0]
    scenes = f"{first['n_members']} members and {first['n_nonmembers']} non-members"
    if len(seeds) == 1:
        return f"One seed ({seeds[0]}), {scenes}."
    return f"Mean of {len(seeds)} seeds ({', '.join(map(str, seeds))}), each with {scenes}."


def over_seeds(cell: Cell) -> str:
    """'seed 1' or 'mean of 3 seeds'."""
    return f"seed {cell.seeds[0]}" if len(cell.seeds) == 1 else f"mean of {len(cell.seeds)} seeds"


def _independent(row: Row) -> str:
    """The sentences on adversary A2's models and data, and on the classes that only one side has."""
    models = (
        f" The shadow is {row['shadow_segmenter']} on {row['shadow_dataset']}, the victim {row['victim_segmenter']} on "
        f"{row['dataset']}."
    )
    both = row["classes_both"].split(", ")
    missing = [
        f"{row[f'classes_{mine}']} (only in the {mine}'s scenes)"
        for mine in ("victim", "shadow")
        if row[f"classes_{mine}"]
    ]
    if not missing:
        shown = f"All {len(both)} classes occur" if len(both) > 1 else "The one class occurs"
        return f"{models} {shown} in the scenes of both."
    return f"{models} The attack uses the {len(both)} classes in the scenes of both. Left out: {'; '.join(missing)}."


def _image(rows: Iterable[Row]) -> list[Cell]:
    return [cell for cell in cells(rows) if cell.level == "image"]


def reference(undefended: list[Cell]) -> Cell | None:
    """The strongest attack. Shadows that train on random scenes are a control, and count only if there is no other."""
    return strongest(undefended, lambda cell: not cell.at_random) or strongest(undefended)


def on_defense(mine: list[Cell], undefended: list[Cell]) -> str:
    """The paragraph on one defense. It is compared by the attacks and over the seeds that were tried on it alone."""
    judged, reference = strongest(mine), strongest_like(undefended, mine)
    if judged is None:
        return ""
    kind, tried = judged.adaptive, sum(not cell.control for cell in mine)
    other = strongest(mine, lambda cell: cell.adaptive is not kind)
    further = [_backwards(mine, judged), _untried(strongest(undefended), reference)]
    if reference is not None:
        judged, reference = over_common_seeds(judged, reference)
    parts = [_verdict(judged, reference, tried), _other_kind(judged, other), *further, _cost(judged, reference)]
    text = " ".join(part for part in parts if part)
    return text[0].upper() + text[1:]


def _verdict(judged: Cell, reference: Cell | None, tried: int) -> str:
    """The defense's effect on the leak. tried: the number of attacks among which `judged` is the strongest."""
    name, reached = defense_name(judged.defense), _reached(judged)
    if judged.auc.verdict == "inverted":
        return f"{name}: scores rank backwards. {reached}, wholly below 0.5. {FLIP}"
    if judged.auc.verdict == "not shown":
        return _at_chance(judged, reference, tried)
    if reference is None:
        return f"{name}: does not stop the attack. {reached}."
    side, told = effect(judged, reference, tried)
    says = {-1: "lowers the leak but does not stop it", 0: "no effect shown", 1: "makes the leak larger"}
    return f"{name}: {says[side]}. {reached}, {_without(reference)} {told}"


def _reached(cell: Cell) -> str:
    who = "adapts" if cell.adaptive else "ignores the defense"
    return f"An attacker who {who} reaches AUC {cell.auc} by {attack_name(cell.attack, cell.representation)}"


def _without(reference: Cell) -> str:
    backwards = ", where scores rank backwards" if reference.auc.verdict == "inverted" else ""
    return f"against {reference.auc} without the defense{backwards}."


def _at_chance(judged: Cell, reference: Cell | None, tried: int) -> str:
    """The effect of a defense behind which no leak is shown. It counts only if there was a leak without the defense."""
    name, reached = defense_name(judged.defense), f"{_reached(judged)}, which includes 0.5"
    if reference is None:
        return f"{name}: no leak shown. {reached}."
    without = f"{reached}, {_without(reference)}"
    if reference.auc.verdict == "not shown":
        return f"{name}: no leak to stop. {without}"
    side, told = effect(judged, reference, tried)
    says = "effect not shown" if side >= 0 else "makes the strongest attack fail"
    return f"{name}: {says}. {without} {told}"


def _other_kind(judged: Cell, other: Cell | None) -> str:
    """What the other kind of attacker reaches: one who ignores the defense, or one who trains against it."""
    if other is None:
        return f"No attacker who {'ignores it' if judged.adaptive else 'adapts'} was tried."
    side, _ = effect(judged, other)
    reached = f"An attacker who {'adapts' if other.adaptive else 'ignores it'} reaches {other.auc}"
    if not side:
        return f"{reached}: no difference shown."
    gained = "Adapting wins back what the defense hid." if judged.adaptive else "Adapting weakens the attack."
    return f"{reached}. {gained}"


def _untried(best: Cell | None, reference: Cell | None) -> str:
    """Names a stronger attack on the undefended model that was not tried on the defense."""
    if best is None or best == reference:
        return ""
    return (
        f"The strongest attack without a defense, {attack_name(best.attack, best.representation)}, was not tried on it."
    )


def _backwards(mine: list[Cell], judged: Cell) -> str:
    """Names the weaker attacks that rank backwards. An AUC near 0 would otherwise look like the defense's success."""
    inverted = [c for c in mine if c is not judged and not c.control and c.auc.verdict == "inverted"]
    named = [f"{attack_name(c.attack, c.representation)} by an attacker who {_does(c)} ({c.auc})" for c in inverted]
    return f"These attacks rank members below non-members: {'; '.join(named)}. {FLIP}" if named else ""


def _does(cell: Cell) -> str:
    return "adapts" if cell.adaptive else "ignores it"


def _cost(judged: Cell, reference: Cell | None) -> str:
    if reference is None:
        return ""
    if (change := miou_change(judged)) is not None:
        return _changed_utility(change)
    if (means := common_mious(reference, judged)) is None:
        return ""
    before, after = (100 * mean for mean in means)
    if abs(after - before) < 0.05:
        return f"mIoU on unseen images stays at {before:.1f}%."
    verb = "It costs" if after < before else "It adds"
    return f"{verb} {abs(before - after):.1f} points of mIoU on unseen images ({before:.1f}% to {after:.1f}%)."


def _changed_utility(change: Estimate) -> str:
    """The cost of a defense on the same scenes."""
    if change == (0.0, 0.0, 0.0):
        return "mIoU on unseen images stays as it was."
    told = f"mIoU on unseen images changes by {signed(change, 100, 1)} points"
    if change.low <= 0 <= change.high:
        return f"{told}: no cost shown."
    return f"{told}: it {'costs' if change.high < 0 else 'adds'} quality."


def _blind(cell: Cell, state: str) -> str:
    """The sentence on one attack by labels alone. state: what it says of the split."""
    opening = f"Control: an attacker who sees labels and never the model reaches AUC {cell.auc} ({cell.shadow})"
    if cell.auc.verdict == "not shown":
        told = "too few scenes to tell" if cell.auc.wide else "members were not told from others"
        return f"{opening}. The interval includes 0.5: {told}."
    if state != "confounded":
        return f"{opening}. The interval leaves out 0.5, but not by enough to call the split confounded."
    if cell.auc.verdict == "leaks":
        return (
            f"{opening}. That is above 0.5: the split itself tells members apart. Only what an AUC has above "
            f"{cell.auc.value:.2f} can be a leak."
        )
    return f"{opening}. That is below 0.5: the split itself tells members apart, backwards."


def _choices(found: list[Cell]) -> list[str]:
    """The sentences that compare shadows that train on random scenes with those that train on chosen ones.

    Attacks whose scores do not depend on the shadow are left out.
    """
    undefended = [cell for cell in found if cell.defense == UNDEFENDED and not cell.control]
    pairs = [(a, b) for a in undefended for b in undefended if _differ_in_choice(a, b) and a.auc != b.auc]
    return [_choice(chosen, drawn) for chosen, drawn in pairs]


def _differ_in_choice(chosen: Cell, drawn: Cell) -> bool:
    same = (chosen.attack, chosen.representation) == (drawn.attack, drawn.representation)
    return same and drawn.at_random and chosen.runs[0]["choose"] == "confidence"


def _choice(chosen: Cell, drawn: Cell) -> str:
    name = attack_name(drawn.attack, drawn.representation)
    text = (
        f"Control: with a shadow that trained on random scenes ({drawn.shadow}), {name} reaches AUC {drawn.auc}. With "
        f"scenes chosen by the victim's confidence ({chosen.shadow}) it reaches {chosen.auc}."
    )
    side, told = effect(drawn, chosen)
    says = {-1: "Asking the victim helped.", 0: "No difference was shown.", 1: "The random choice attacks better."}
    return f"{text} {told} {says[side]}"
