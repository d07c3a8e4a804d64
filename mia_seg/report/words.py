"""Plain sentences made from the numbers alone. Where an interval says nothing, neither does the sentence."""

from collections.abc import Iterable

from mia_seg.report.cells import (
    UNDEFENDED,
    Cell,
    Estimate,
    Row,
    attack_name,
    cells,
    defense_name,
    defenses_of,
    strongest,
    strongest_like,
)
from mia_seg.report.changes import auc_change, miou_change, of_many, signed
from mia_seg.report.controls import blind_sentence, left_out, warning

FLIP = (
    "Scores that rank backwards still tell the two apart: whoever turns them around is right where this one is wrong."
)
SCREENED = (
    "No shadow was trained. Each attack reads one number of the victim's own answers, and its threshold for a scene is "
    "the best one on the other half of the scenes, whose membership is known: AUCs need no threshold at all. An "
    "attacker with shadows may do better."
)
LIMIT = "That is no proof of privacy: a better attack may find what these did not."


def leak(rows: Iterable[Row]) -> str:
    """The opening of a victim's section: what the strongest attack on the undefended model achieves."""
    kept = list(rows)
    lost, many = left_out(kept)
    return f"{lost} {_leak(_image(kept))}" if many else _leak(_image(kept))


def _leak(found: list[Cell]) -> str:
    undefended = [cell for cell in found if cell.defense == UNDEFENDED]
    best = _reference(undefended)
    if best is None:
        return "No attack was measured without a defense, so nothing is shown about what this model leaks."
    tried = len({(cell.shadow, cell.attack, cell.representation) for cell in undefended if not cell.control})
    measured, confounded = f"{_cases(best)} {_pairs(best, tried)}", warning(best)
    if confounded:
        return f"{confounded} {measured}"
    parts = [measured, _meaning(best, _control_of(found, best.shadow)), _rarely(best)]
    return " ".join(part for part in parts if part)


def defended(rows: Iterable[Row]) -> list[str]:
    """One paragraph a defense, from the rows of one shadow: against the strongest attacker, and what it costs."""
    found = _image(rows)
    undefended = [cell for cell in found if cell.defense == UNDEFENDED]
    names = [name for name in defenses_of(found) if name != UNDEFENDED]
    texts = [_defense([cell for cell in found if cell.defense == name], undefended) for name in names]
    return [text for text in texts if text]


def controls(rows: Iterable[Row]) -> list[str]:
    """What the controls say: labels, then images, without the model, and the shadow's members drawn at random."""
    kept = list(rows)
    found = _image(kept)
    blind = [_blind(cell) for cell in found if cell.control and cell.defense == UNDEFENDED]
    lost, many = left_out(kept)
    return [*blind, blind_sentence(kept), *([lost] if lost and not many else []), *_choices(found)]


def adversary(rows: Iterable[Row]) -> str:
    """Who attacks through one shadow."""
    row = next(iter(rows))
    if row["adversary"] == "screen":
        return SCREENED
    knows = {
        "A1": "knows the architecture and has data of the same kind (adversary A1)",
        "A2": "knows the task and the labels only: it has other data and never asked the victim before (adversary A2)",
    }.get(row["adversary"], f"is adversary {row['adversary']}")
    if row["victim_segmenter"].endswith(" door"):
        behind, own = row["victim_segmenter"], row["shadow_segmenter"]
        knows = f"asks the model behind a {behind} and trains its own {own} on such data"
    chosen = {
        "confidence": " It asked the victim about scenes of its own and trained its shadow on those that the victim is "
        "surest of.",
        "random": " It trained its shadow on scenes of its own that were drawn at random: a control.",
        "halves": " It trained many shadows, each on a random half of the scenes that are audited.",
    }.get(row["choose"], "")
    return f"The attacker {knows}.{chosen}{_independent(row) if row['adversary'] == 'A2' else ''}"


def drawn_from(found: list[Cell]) -> str:
    """The note below a figure: how much it was drawn from."""
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
    """What the two sides of adversary A2 have in common, and what they have not."""
    models = (
        f" The shadow is {row['shadow_segmenter']} on {row['shadow_dataset']}, the victim {row['victim_segmenter']} on "
        f"{row['dataset']}."
    )
    both = row["classes_both"].split(", ")
    missing = [
        f"{row[f'classes_{mine}']} only in the {mine}'s" for mine in ("victim", "shadow") if row[f"classes_{mine}"]
    ]
    if not missing:
        return f"{models} All {len(both)} classes occur in the scenes of both."
    return f"{models} It looks at the {len(both)} classes in the scenes of both alone; left out: {', '.join(missing)}."


def _image(rows: Iterable[Row]) -> list[Cell]:
    return [cell for cell in cells(rows) if cell.level == "image"]


def _reference(undefended: list[Cell]) -> Cell | None:
    """The strongest attack; a shadow made as a control speaks only where there is no other."""
    return strongest(undefended, lambda cell: not cell.at_random) or strongest(undefended)


def _control_of(found: list[Cell], shadow: str) -> Cell | None:
    blind = (c for c in found if c.control and c.shadow == shadow and c.defense == UNDEFENDED)
    return next(blind, None)


def _cases(best: Cell) -> str:
    right = 100 * best.mean("balanced_accuracy")
    beside = ", its labels and" if best.labelled else " and"
    return (
        f"Shown one photograph{beside} the model's answer, the attacker says correctly in {right:.0f} of 100 cases "
        f"whether the model was trained on it; a coin would be right in 50."
    )


def _pairs(best: Cell, tried: int) -> str:
    which = f"the strongest of {tried} attacks" if tried > 1 else "the only attack tried"
    name = attack_name(best.attack, best.representation)
    through = "no shadow" if best.runs[0]["adversary"] == "screen" else f"shadow {best.shadow}"
    return (
        f"Of a member and a non-member it ranks the member higher in {100 * best.auc.value:.0f} of 100 pairs: AUC "
        f"{best.auc} ({name}, {which}; {through}, {over_seeds(best)})."
    )


def _rarely(best: Cell) -> str:
    """An audit asks about as many members as others, which makes accusations look better than they are elsewhere."""
    worth = best.ppv("0.01")
    if worth is None or best.auc.verdict != "leaks":
        return ""
    value, low, high = (100 * end for end in worth)
    return (
        f"Were only one photograph in a hundred a member, {value:.0f} [{low:.0f}, {high:.0f}] of 100 that this "
        f"attacker accuses would be."
    )


def _meaning(best: Cell, blind: Cell | None) -> str:
    if best.auc.verdict == "inverted":
        return f"The whole interval lies below 0.5, which is chance: the ranking is inverted. {FLIP}"
    if best.auc.verdict == "not shown":
        return f"The interval includes 0.5, which is chance: no leak was shown. {LIMIT}"
    if blind is None or blind.auc.verdict != "leaks":
        return "The whole interval lies above 0.5, which is chance: the model leaks what it was trained on."
    beyond = "Only what exceeds that is a leak." if best.auc.above(blind.auc) else "A leak beyond that was not shown."
    split = f"the labels alone, without the model, already reach {blind.auc}: the split itself is recognisable"
    return f"But {split}. {beyond}"


def _defense(mine: list[Cell], undefended: list[Cell]) -> str:
    """A defense is held against the attacks that it met: others might be stronger without it, and with it too."""
    judged, reference = strongest(mine), strongest_like(undefended, mine)
    if judged is None:
        return ""
    other = strongest(mine, lambda cell: cell.adaptive is not judged.adaptive)
    tried = sum(not cell.control for cell in mine)
    parts = [_verdict(judged, reference, tried), _adapting(judged, other)]
    parts += [_backwards(mine, judged), _untried(strongest(undefended), reference), _cost(judged, reference)]
    text = " ".join(part for part in parts if part)
    return text[0].upper() + text[1:]


def _verdict(judged: Cell, reference: Cell | None, tried: int) -> str:
    """tried: attacks on the defense, of which the judged one is the strongest."""
    name, auc = defense_name(judged.defense), judged.auc
    who = f"an attacker who {_does(judged)}"
    reached = f"AUC {auc} by {attack_name(judged.attack, judged.representation)}"
    if auc.verdict == "inverted":
        return f"{name} turns the ranking of {who} around: {reached} lies wholly below 0.5. {FLIP}"
    if auc.verdict == "not shown":
        return _at_chance(
            name,
            f"{who} is at {reached}; the interval includes 0.5, a coin flip",
            judged,
            reference=reference,
            tried=tried,
        )
    if reference is None:
        return f"{name} does not stop {who}: {reached}."
    effect, told = _effect(judged, reference, tried)
    if not effect:
        return f"{name} does nothing that shows against {who}: {reached}, {reference.auc} without the defense; {told}."
    verb = "does not stop" if effect < 0 else "makes matters worse with"
    lowers = " lowers the leak but" if effect < 0 else ""
    return f"{name}{lowers} {verb} {who}: {reached}, {reference.auc} without the defense{_more(told)}."


def _effect(judged: Cell, reference: Cell, tried: int = 1) -> tuple[int, str]:
    """Whether the one AUC lies below (-1), above (1) or neither (0), and what shows it: the same photographs, where
    results keep their scores, else the two intervals. tried: of how many the judged one is the strongest."""
    change = auc_change(judged, reference)
    if change is None:
        if judged.auc.overlaps(reference.auc):
            return 0, "the intervals overlap"
        return (-1 if reference.auc.above(judged.auc) else 1), ""
    change = of_many(change, tried)
    side = 1 if change.low > 0 else -1 if change.high < 0 else 0
    chosen = f" (the interval allows for the strongest of {tried})" if tried > 1 else ""
    return side, f"on the same photographs the AUC changes by {signed(change)}{chosen}"


def _at_chance(name: str, reached: str, judged: Cell, *, reference: Cell | None, tried: int) -> str:
    """A defense gets credit only for a leak that was there and that visibly went."""
    if reference is None:
        return f"With {name}, no leak was shown: {reached}."
    without = reference.auc
    if without.verdict != "leaks":
        return f"{name} had no leak to stop: {reached}, as it does without the defense ({without})."
    effect, told = _effect(judged, reference, tried)
    both = f"{reached}, against {without} without the defense{_more(told)}"
    return (
        f"Whether {name} helps was not shown: {both}."
        if effect >= 0
        else f"{name} makes the strongest attack fail: {both}."
    )


def _more(told: str) -> str:
    return f"; {told}" if told else ""


def _adapting(judged: Cell, other: Cell | None) -> str:
    """How the other kind of attacker fares: the one who ignores the defense beside the one who trains against it."""
    if other is None:
        missing = "trains against it" if not judged.adaptive else "ignores it"
        return f"An attacker who {missing} was not tried."
    effect, _ = _effect(judged, other)
    if not effect:
        return f"One who {_does(other)} reaches {other.auc}: adapting makes no difference that shows."
    gained = "adapting wins back what the defense seemed to take" if judged.adaptive else "adapting only weakens it"
    return f"One who {_does(other)} reaches only {other.auc}: {gained}."


def _untried(best: Cell | None, reference: Cell | None) -> str:
    """Names a stronger attack on the undefended model that the defense never met."""
    if best is None or best == reference:
        return ""
    return (
        f"The strongest attack without a defense, {attack_name(best.attack, best.representation)}, was not tried on it."
    )


def _does(cell: Cell) -> str:
    return "adapts (trains against it)" if cell.adaptive else "ignores it"


def _backwards(mine: list[Cell], judged: Cell) -> str:
    """Names weaker attackers that rank backwards, which an AUC near 0 would otherwise hide as a success."""
    inverted = [c for c in mine if c is not judged and not c.control and c.auc.verdict == "inverted"]
    named = [f"{attack_name(c.attack, c.representation)} by one who {_does(c)} ({c.auc})" for c in inverted]
    return f"But below 0.5, the ranking inverted: {'; '.join(named)}. {FLIP}" if named else ""


def _cost(judged: Cell, reference: Cell | None) -> str:
    if reference is None or not judged.labelled:
        return ""
    if (change := miou_change(judged)) is not None:
        return _changed_utility(change)
    before, after = (100 * cell.mean("miou_nonmembers") for cell in (reference, judged))
    if abs(after - before) < 0.05:
        return f"It costs no utility: mIoU on unseen scenes stays at {before:.1f}%."
    verb = "It costs" if after < before else "It adds"
    return f"{verb} {abs(before - after):.1f} points of mIoU on unseen scenes ({before:.1f}% to {after:.1f}%)."


def _changed_utility(change: Estimate) -> str:
    """What a defense costs, on the same scenes."""
    if change == (0.0, 0.0, 0.0):
        return "It costs no utility: mIoU on unseen scenes stays as it was."
    told = f"mIoU on unseen scenes changes by {signed(change, 100, 1)} points"
    if change.low <= 0 <= change.high:
        return f"No cost was shown: {told}."
    return f"It {'costs utility' if change.high < 0 else 'adds utility'}: {told}."


def _blind(cell: Cell) -> str:
    opening = (
        f"Control: an attacker who sees the labels and never the model is at AUC {cell.auc} (shadow {cell.shadow})"
    )
    if cell.auc.verdict == "not shown":
        return f"{opening}. The interval includes 0.5: without the model, members were not told from others."
    if cell.auc.verdict == "leaks":
        return (
            f"{opening}. That is above 0.5: the split itself is recognisable, without any model. "
            f"Subtract it: read every AUC as what it has over {cell.auc.value:.2f}."
        )
    return f"{opening}. That is below 0.5: the split itself is recognisable, if backwards, without any model."


def _choices(found: list[Cell]) -> list[str]:
    """Attacks with a random choice beside the same with a chosen one, where the shadow matters to the scores at all."""
    undefended = [cell for cell in found if cell.defense == UNDEFENDED and not cell.control]
    pairs = [(a, b) for a in undefended for b in undefended if _differ_in_choice(a, b) and a.auc != b.auc]
    return [_choice(chosen, drawn) for chosen, drawn in pairs]


def _differ_in_choice(chosen: Cell, drawn: Cell) -> bool:
    same = (chosen.attack, chosen.representation) == (drawn.attack, drawn.representation)
    return same and drawn.at_random and chosen.runs[0]["choose"] == "confidence"


def _choice(chosen: Cell, drawn: Cell) -> str:
    text = (
        f"Control: with a shadow whose members were drawn at random ({drawn.shadow}) instead of chosen by the victim's "
        f"confidence ({chosen.shadow}), {attack_name(drawn.attack, drawn.representation)} reaches AUC {drawn.auc} "
        f"against {chosen.auc}"
    )
    effect, told = _effect(drawn, chosen)
    told = told or "the intervals do not overlap"
    if not effect:
        return f"{text}; {told}: how the members were chosen makes no difference that shows."
    better = "a random choice makes the better attacker" if effect > 0 else "asking the victim helped"
    return f"{text}; {told}: {better}."
