"""The verdict on one audit: a headline with its bound, what was not shown, and the state of the controls."""

from collections.abc import Sequence
from dataclasses import dataclass

from mia_seg.evaluate.results import material
from mia_seg.metrics.membership import CHANCE
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
    tpr_over_runs,
)
from mia_seg.report.changes import common_mious, miou_change
from mia_seg.report.controls import confounded, doubtful, left_out, told_by_labels
from mia_seg.report.tables import percent
from mia_seg.report.words import reference

RARE = "0.01"
HEADLINES = {
    "leaks": "This model leaks which images it was trained on.",
    "leaks, size open": "This model leaks. Too few independent scenes were measured to tell how much.",
    "too few to tell": "Too few independent scenes were measured to tell whether this model leaks.",
    "no leak shown": "No leak was shown by the attacks that were tried.",
    "inverted": "The strongest attack ranks members below non-members, which still tells them apart.",
    "confounded": "Not resolved: members and non-members differ even without the model.",
    "not measured": "No attack was measured on the undefended model.",
}
UNSHOWN = {
    "leaks": "how much more a stronger attack would find",
    "no leak shown": "that the model is private, because a stronger attack may find what these did not",
    "inverted": "what an attacker gains by reversing the scores",
    "confounded": "any leak beyond what {material} alone give away",
    "not measured": "what this model leaks without a defense",
}
OPEN = ("leaks, size open", "too few to tell")
NO_LEAK = ("too few to tell", "no leak shown")
DOUBT = "that the model alone gives members away, because an attacker who {who} reaches AUC {auc}"
UNTESTED = "that the split is sound, because its controls are incomplete"


@dataclass(frozen=True)
class Verdict:
    """The verdict in sentences: what was measured, and what was not shown.

    state: a key of HEADLINES. controls: a result of `control_state`. best: the strongest attack on the undefended
    model. worth: the share of members among the accused if members are rare; '' if that is not known.
    """

    state: str
    measured: list[str]
    unshown: list[str]
    controls: str
    best: Cell | None
    worth: str = ""

    @property
    def headline(self) -> str:
        """The verdict in one sentence."""
        return HEADLINES[self.state]

    def __str__(self) -> str:
        unshown = f"Not shown: {'; '.join(self.unshown)}." if self.unshown else ""
        told = [self.headline, *self.measured, self.worth, unshown]
        return " ".join(part for part in told if part)


@dataclass(frozen=True)
class Standing:
    """One defense under the strongest attack that adapts to it and the strongest that ignores it.

    miou: of unseen scenes. change: the mIoU with the defense minus that without; None for the undefended model.
    """

    defense: str
    adaptive: Cell | None
    ignoring: Cell | None
    miou: Estimate | None
    change: Estimate | float | None

    @property
    def judged(self) -> Cell:
        """The stronger of the two attackers. A defense is judged by it."""
        return strongest([cell for cell in (self.adaptive, self.ignoring) if cell]) or self._any

    @property
    def _any(self) -> Cell:
        found = self.adaptive or self.ignoring
        assert found is not None
        return found


def verdict(rows: Sequence[Row]) -> Verdict:
    """The verdict on one victim. rows: those of all its shadows."""
    found = [cell for cell in cells(rows) if cell.level == "image"]
    best = reference([cell for cell in found if cell.defense == UNDEFENDED])
    controls = control_state(rows)
    if best is None:
        return Verdict("not measured", [], [UNSHOWN["not measured"]], controls, None)
    blind, by_labels = next(iter(told_by_labels(found)), (None, ""))
    state = _state(best, by_labels)
    lost, many = left_out(rows)
    told = [
        *([lost] if many else []),
        *_measured(best, state),
        *_beside(found, state),
        *_behind(found, state),
        *_split(best, blind if by_labels == "confounded" else None),
    ]
    doubt = blind if by_labels == "doubtful" else None
    return Verdict(
        state, told, [*_unshown(best, state), *_unsound(best, controls, doubt)], controls, best, _worth(best)
    )


def control_state(rows: Sequence[Row]) -> str:
    """Can members be told from non-members without the model? A key of `audits.CONTROLS`."""
    tested = {row["seed"] for row in rows if row["confounded"] is not None}
    _, by_labels = next(iter(told_by_labels(cells(rows))), (None, ""))
    if confounded(rows) or by_labels == "confounded":
        return "confounded"
    if tested == {row["seed"] for row in rows}:
        return "doubtful" if doubtful(rows) or by_labels == "doubtful" else "sound"
    return "partly tested" if tested or by_labels else "untested"


def standings(rows: Sequence[Row]) -> list[Standing]:
    """Each defense under the strongest attack of either kind, over all shadows; the undefended model first."""
    image = [cell for cell in cells(rows) if cell.level == "image"]
    mine = {name: [cell for cell in image if cell.defense == name] for name in defenses_of(image)}
    bare = next((cell for cell in mine.get(UNDEFENDED, [])), None)
    return [one for name, found in mine.items() if (one := _standing(name, found, bare))]


def _standing(name: str, found: list[Cell], bare: Cell | None) -> Standing | None:
    chosen = [cell for cell in found if not cell.at_random] or found
    adaptive, ignoring = strongest(chosen, _adapts), strongest(chosen, lambda cell: not cell.adaptive)
    known = adaptive or ignoring
    if known is None:
        return None
    change = None if name == UNDEFENDED else _change(known, bare)
    return Standing(name, adaptive, ignoring, known.miou, change)


def _adapts(cell: Cell) -> bool:
    return cell.adaptive


def _change(cell: Cell, bare: Cell | None) -> Estimate | float | None:
    """The change of mIoU on unseen scenes."""
    if (paired := miou_change(cell)) is not None:
        return paired
    means = common_mious(cell, bare) if bare else None
    return None if means is None else means[0] - means[1]


def points(change: Estimate | float | None) -> str:
    """The points of mIoU as text: '−3.9', or a dash."""
    if change is None:
        return "–"
    value = change.value if isinstance(change, Estimate) else change
    return f"{100 * value:+.1f}".replace("-", "−").replace("+0.0", "0.0").replace("−0.0", "0.0")


def strongest_defense(found: Sequence[Standing], state: str) -> Standing | None:
    """The defense whose AUC is closest to 0.5; None if none was tried, or if there is no leak that it could stop."""
    tried = [one for one in found if one.defense != UNDEFENDED]
    return None if state in NO_LEAK else min(tried, key=lambda one: abs(one.judged.auc.value - CHANCE), default=None)


def price(found: Sequence[Standing], state: str) -> tuple[str, str]:
    """The cost and the name of the strongest defense; two texts for the first screen. state: a key of HEADLINES."""
    tried = [one for one in found if one.defense != UNDEFENDED]
    if not tried:
        return "no defense tried", "What a defense would cost was not measured."
    best = strongest_defense(found, state)
    if best is None:
        return "no leak shown", "No leak was shown that a defense could stop. The price of each is below."
    kind = "" if best.adaptive else " No attacker who adapts was tried on it."
    miou = f"mIoU on unseen images is {percent(best.miou.value)}%." if best.miou else "Without labels there is no mIoU."
    return (
        f"{points(best.change)} points",
        f"{defense_name(best.defense)}, the strongest of {len(tried)} tried: AUC {best.judged.auc}. {miou}{kind}",
    )


def rare(cell: Cell) -> str:
    """The TPR at 1% FPR with its interval, or 'not resolvable' if non-members are too few."""
    found = tpr_over_runs([run["tpr_at_fpr"][RARE] for run in cell.runs])
    return "not resolvable" if found is None else f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"


def groups(cell: Cell) -> tuple[int, int]:
    """The numbers of groups of members and of non-members, in the seed that has the fewest."""
    return min(run["n_member_groups"] for run in cell.runs), min(run["n_nonmember_groups"] for run in cell.runs)


def _state(best: Cell, by_labels: str) -> str:
    auc = best.auc
    if confounded(best.runs) or by_labels == "confounded":
        return "confounded"
    if auc.verdict == "leaks":
        return "leaks, size open" if auc.wide else "leaks"
    if auc.verdict == "inverted":
        return "inverted"
    return "too few to tell" if auc.wide else "no leak shown"


def _by_themselves(best: Cell) -> list[str]:
    """The sentence on seeds that leak, if not all do."""
    shown = [seed for seed in best.seeds if best.of([seed]).auc.verdict == "leaks"]
    if not 0 < len(shown) < len(best.seeds):
        return []
    return [f"On {len(shown)} of {len(best.seeds)} seeds the interval lies above 0.5 by itself."]


def _measured(best: Cell, state: str) -> list[str]:
    auc, name = best.auc, attack_name(best.attack, best.representation)
    pairs = f"It ranks a random training image above a random other image in {100 * auc.value:.0f} of 100 pairs."
    bound = {
        "leaks": f"With 95% confidence its AUC is at least {auc.low:.2f}. This is a lower bound on the leak.",
        "not shown": "The interval includes 0.5, which is a coin flip.",
        "inverted": f"The whole interval lies below 0.5. With 95% confidence its AUC is at most {auc.high:.2f}.",
    }
    return [
        f"The strongest attack, {name}, reaches AUC {auc}.",
        *([] if state in OPEN else [pairs]),
        bound[auc.verdict],
        *_by_themselves(best),
    ]


def _beside(found: Sequence[Cell], state: str) -> list[str]:
    """The sentence on a lower AUC that excludes 0.5, where the strongest attack's interval includes it."""
    tried = [c for c in found if c.defense == UNDEFENDED and not c.control and not c.at_random]
    shown = strongest(tried, lambda cell: cell.auc.verdict != "not shown")
    if shown is None or state not in NO_LEAK:
        return []
    return [
        f"Another attack, {attack_name(shown.attack, shown.representation)}, reaches AUC {shown.auc}, which excludes "
        f"0.5. It was picked among {len(tried)} tried without a defense, so chance may have made it."
    ]


def _behind(found: Sequence[Cell], state: str) -> list[str]:
    """The sentence on a leak that was shown behind a defense alone. The verdict is on the undefended model."""
    tried = [cell for cell in found if cell.defense != UNDEFENDED and not cell.control]
    leaky = strongest(tried, lambda cell: cell.auc.verdict == "leaks")
    if leaky is None or state not in NO_LEAK:
        return []
    many = len(tried) > 1
    chosen = f" It was picked among {len(tried)} tried behind defenses, so chance may have made it." if many else ""
    return [f"Behind {defense_name(leaky.defense)} an attack reaches AUC {leaky.auc}, which excludes 0.5.{chosen}"]


def _worth(best: Cell) -> str:
    """The share of members among the accused if members are rare.

    An audit asks about as many members as non-members, which makes accusations look better than they are elsewhere.
    """
    worth = best.ppv(RARE)
    if worth is None or best.auc.verdict != "leaks":
        return ""
    value, low, high = (100 * end for end in worth)
    accused = f"{value:.0f} [{low:.0f}, {high:.0f}] of 100 accused images"
    return f"At the attack's own threshold, if one image in a hundred were a member, {accused} would be members."


def _split(best: Cell, blind: Cell | None) -> list[str]:
    """What an attacker without the model reaches, if the split is confounded. blind: by labels alone, if by that."""
    if runs := confounded(best.runs):
        mean = sum(run["blind_auc"] for run in runs) / len(runs)
        above = sum(run["auc"] - run["blind_auc"] for run in runs) / len(runs)
        told = f"An attacker who never sees the model reaches AUC {mean:.2f} by {material(best.labelled)} alone."
        return [told, f"The attack's AUC differs from that by {above:+.2f}."]
    if blind:
        return [f"An attacker who sees labels alone, never the model, reaches AUC {blind.auc}."]
    return []


def _unshown(best: Cell, state: str) -> list[str]:
    told = [UNSHOWN[state].format(material=material(best.labelled))] if state in UNSHOWN else []
    if rare(best) == "not resolvable":
        told.append("TPR at 1% FPR, which needs more non-members")
    return told


def _unsound(best: Cell, controls: str, doubt: Cell | None) -> list[str]:
    """Why a leak may be the split's, if that is not ruled out. doubt: an attack by labels alone that speaks for it."""
    if controls in ("untested", "partly tested"):
        return [UNTESTED]
    if controls != "doubtful":
        return []
    told = [DOUBT.format(who="never sees it", auc=f"{run['blind_auc']:.2f} (p {run['blind_p']:.2g})")
            for run in doubtful(best.runs)[:1]]  # fmt: skip
    return told + ([DOUBT.format(who="sees labels alone", auc=doubt.auc)] if doubt else [])
