"""What to do after an audit, by its verdict."""

from collections.abc import Sequence

from mia_seg.metrics.membership import CHANCE
from mia_seg.report.cells import SCREEN, UNDEFENDED, Estimate, Row, defense_name
from mia_seg.report.verdicts import Standing, Verdict, groups, standings, verdict

STEPS = {
    "leaks": "{defend}",
    "leaks, size open": "Act as if it leaks. To learn how much, audit {more}.",
    "too few to tell": "Audit {more}.",
    "inverted": "Treat it as a leak, because an attacker can reverse the scores. {defend}",
    "confounded": "Draw members and non-members by chance from one source, and audit again.",
    "not measured": "Run the attacks without a defense too (--defense none).",
}
DRAWN = "Audit more members and non-members, drawn by chance from one source, to see whether the split gives them away."
STRONGER = "Before you rely on it, try an attacker who trains models of its own (--shadows 8)."
OTHERS = "Before you rely on it, try other attacks and further seeds."
TRAIN = "train the model so that it overfits less, and audit it again"


def next_step(said: Verdict, standing: Sequence[Standing], rows: Sequence[Row]) -> str:
    """The next step in a sentence or two. rows: those of the audit, by which it is seen what was tried already."""
    if said.state == "no leak shown":
        return STRONGER if all(row["adversary"] == SCREEN for row in rows) else OTHERS
    members, others = groups(said.best) if said.best else (0, 0)
    more = f"more groups of scenes than {members} of members and {others} of others"
    told = STEPS[said.state].format(more=more, defend=_defend(standing))
    # Leaks of known size alone: the others ask for more scenes, or for other ones, already.
    return f"{DRAWN} {told}" if said.controls == "doubtful" and said.state in ("leaks", "inverted") else told


def told(rows: Sequence[Row]) -> str:
    """The verdict on one victim and the next step, as text."""
    said = verdict(rows)
    return f"{said} Next: {next_step(said, standings(rows), rows)}"


def _defend(standing: Sequence[Standing]) -> str:
    """What to do about a leak, which hangs on the defenses that were tried."""
    tried = [one for one in standing if one.defense != UNDEFENDED]
    if not tried:
        return f"Try defenses of the answers (--defense argmax --defense gaussian:1.0), or {TRAIN}."
    quiet = [one for one in tried if one.judged.auc.verdict == "not shown"]
    # An interval that includes both 0.5 and the leak says nothing of the defense. Scores below 0.5 can be reversed.
    leak = next((_far(one.judged.auc.value) for one in standing if one.defense == UNDEFENDED), CHANCE)
    if held := [one for one in quiet if _reach(one.judged.auc) < leak and not one.judged.auc.wide]:
        return f"Weigh the price of what no attack got through: {_names(held)}. Or {TRAIN}."
    if quiet:
        return f"Audit more scenes to tell whether these defenses stop it: {_names(quiet)}. Or {TRAIN}."
    return f"No defense that was tried stops it: {TRAIN}."


def _names(found: Sequence[Standing]) -> str:
    return ", ".join(defense_name(one.defense) for one in found)


def _reach(auc: Estimate) -> float:
    """How far from chance the interval's farther end is."""
    return max(_far(auc.low), _far(auc.high))


def _far(auc: float) -> float:
    return abs(auc - CHANCE)
