"""The page of a fleet's own audit, and the sentences that the page and the screen share."""

import csv
import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mia_seg.errors import MiaSegError
from mia_seg.metrics.auditing import allowed
from mia_seg.report.cells import UNDEFENDED, attack_name, defense_name
from mia_seg.report.glossary import glossary
from mia_seg.report.lines import data_root
from mia_seg.report.tables import Table
from mia_seg.texts import files_below, read_json

Facts = Mapping[str, Any]
TARGETS = {"0.1": "TPR at FPR 10%", "0.01": "TPR at FPR 1%"}
LISTED = 20  # groups that the page shows; the CSV has all
PARTS = (
    "The mean AUC of the groups that show a class. A class is rare if at most a quarter of all groups show it. "
    "“After shuffles” is the middle 95% of the same number after memberships were shuffled. Compare with it, not with "
    "0.5: the models share the shadows that they are compared with, and that moves the number even if nothing leaks. "
    "p is the share of shuffles that reach as much."
)
GROUPS = (
    "The groups with the smallest p-values; the CSV has all. The AUC of a group is the chance that a model that "
    "trained on it scores it higher than one that did not. Above its null band lies by chance at most one group in "
    "forty. Of all exposed groups at most 5% are false on average. The odds are those of what is true: the factor by "
    "which one score multiplies them, in the geometric mean."
)


def files(root: Path) -> list[Path]:
    """The files of all fleets' own audits in the tree below `root`, sorted."""
    return [path for path in files_below(root, "**/*.fleet.json") if not path.name.startswith("arms.")]


def read(path: Path) -> tuple[dict[str, Any], list[dict[str, str]]]:
    """The facts of a fleet's own audit in a file, and the lines of the CSV beside it.

    Raises MiaSegError for any other file, and without that CSV.
    """
    try:
        facts: dict[str, Any] = read_json(path)
        with path.with_suffix(".csv").open(encoding="utf-8", newline="") as file:
            lines = list(csv.DictReader(file))
        said(facts), _facts(facts), _exposed(lines, alone=_one_each(facts)), command(facts), facts["digests"]["shadow"]
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, OSError, csv.Error) as error:
        raise MiaSegError(
            f"{path}, with the CSV beside it, is no audit of a fleet ({error!r}). Delete both and run 'mia-seg fleet' "
            f"again."
        ) from None
    return facts, lines


def content(facts: Facts, groups: Sequence[Mapping[str, str]], *, name: str, depth: int) -> dict[str, Any]:
    """All values of the template.

    groups: the lines of the CSV. name: the file's name without suffix. depth: the folders between index and file.
    """
    attack, _, seen = facts["attack"].partition(":")
    named = facts["parts"][0]["exposed"] is not None  # few models cannot tell chance from a leak of one scene
    return {
        "back": "../" * depth + "index.html", "name": name, "called": called(facts), "verdict": verdict(facts),
        "others": [*sentences(facts)], "facts": _facts(facts), "unit": "scene" if _one_each(facts) else "group",
        "tables": [_parts(facts), *([_exposed(groups, alone=_one_each(facts))] if named else [])],
        "command": command(facts), "digests": facts["digests"], "versions": facts["versions"],
        "glossary": glossary([{"attack": attack, "defense": facts["defense"], "representation": seen}]),
        "data": facts["dataset"],
    }  # fmt: skip


def called(facts: Facts) -> str:
    """The audit's name in the index: 'town_fleet, by base, seed 0'."""
    behind = "" if facts["defense"] == UNDEFENDED else f" behind {defense_name(facts['defense'])}"
    attack = attack_name(facts["attack"], "").replace(":", " ")
    return f"{facts['shadow']}, by {attack}{behind}, seed {facts['seed']}"


def verdict(facts: Facts) -> str:
    """Whether the training leaks, by the scores of all models: against what shuffles of memberships give."""
    auc, null = facts["pooled"]["auc"], facts["pooled"]["null"]
    found = "This training leaks" if auc["value"] > null["high"] else "No leak is shown"
    return f"{found}: AUC {bounded(auc)}, where shuffled memberships give {band(null)}."


def sentences(facts: Facts) -> Iterator[str]:
    """What was found, in a sentence or two each: of single groups, odds, rare classes, own units, canaries, proofs."""
    yield said(facts)
    if "log_ratio_null" in facts["parts"][0]:  # old results have none
        yield odds(facts["parts"][0])
    if "under_represented" in facts:
        yield under_represented(facts["under_represented"])
    if "own_units" in facts:
        yield own_units(facts["own_units"]["tpr_at_fpr"])
    if "canaries" in facts:
        yield worst(facts["canaries"])
    if "privacy" in facts:
        yield proven(facts["privacy"])


def said(facts: Facts) -> str:
    """What was found of single scenes, in one sentence or two."""
    every, models = facts["parts"][0], facts["models"]
    if every["exposed"] is None:
        return f"{models} models cannot name any scene, whatever they find: that takes 10 or more, better 16."
    told = f"{every['exposed']} of {every['groups']} are exposed"
    if every["above"] is not None:
        chance = f"where {0.025 * every['groups']:.0f} would by chance"
        told = f"{every['above']} of {every['groups']} stand above their band, {chance}; {told}"
    if every["exposed"]:
        return f"{told}, false ones among them 5% on average at the most."
    return f"{told}. With {models} models {facts['fewest']} must stand out at once before any is named."


def odds(part: Facts) -> str:
    """How far a score moves the odds that its scene or group was trained on, in one sentence."""
    low, high = map(math.exp, part["log_ratio_null"])
    return (
        f"One score multiplies the odds of what is true, that the model trained on this or did not, by "
        f"{math.exp(part['log_ratio']):.3g} in the geometric mean (after shuffles {low:.2f} to {high:.2f}; so many "
        f"scores hold large ones down)."
    )


def under_represented(above: Facts) -> str:
    """Whether groups that show an under-represented class are told better than the others, in one sentence."""
    ends = "needs 6 models" if above["low"] is None else f"{above['low']:+.3f}, {above['high']:+.3f}"
    return f"Mean AUC with an under-represented class minus that without: {above['value']:+.3f} [{ends}]."


def own_units(rates: Facts) -> str:
    """What is told if no scene is accused more often than others, in one sentence."""
    found = "; ".join(f"{told} {bounded(rates[target])}" for target, told in TARGETS.items())
    return f"In units of each scene's own scores, so that all are accused about as often: {found}."


def worst(canaries: Facts) -> str:
    """How well canaries are told from one another, in one sentence."""
    rates = ", ".join(f"{told} {bounded(canaries['tpr_at_fpr'][target])}" for target, told in TARGETS.items())
    return f"Of the {canaries['scenes']} canaries, which count nowhere else: AUC {bounded(canaries['auc'])}, {rates}."


def proven(privacy: Facts) -> str:
    """What the training of each model promises, in one sentence."""
    if privacy["epsilon"] is None:
        return "Each model was trained by DP-SGD without noise: gradients are clipped, and nothing is proven."
    return (
        f"Each model was trained by DP-SGD: epsilon {privacy['epsilon']:.3g} at delta {privacy['delta']:.2g} for "
        f"adding or removing one scene, by {privacy['accountant']}. That allows an attack a TPR of "
        f"{allowed(privacy['epsilon'], privacy['delta'], 0.01):.4g} at FPR 1%."
    )


def exposed(facts: Facts) -> str:
    """'204 of 216', or how many models it takes to name any group."""
    every = facts["parts"][0]
    return part_row(every)[-1] if every["exposed"] is None else f"{every['exposed']} of {every['groups']}"


def part_row(part: Facts) -> list[str]:
    """A part in words: name, whether it is rare, groups, mean AUC, after shuffles, p, above their band, exposed."""
    above, exposed = (
        f"needs {least} models" if part[name] is None else str(part[name])
        for name, least in (("above", 12), ("exposed", 10))
    )
    return [
        part["part"], "rare" if part["rare"] else "", str(part["groups"]), f"{part['value']:.3f}", band(part),
        f"{part['p']:.3f}", above, exposed,
    ]  # fmt: skip


def bounded(rate: Facts | str) -> str:
    """A rate with its interval, or why it has none."""
    if isinstance(rate, str):
        return rate
    if rate["low"] is None:
        return f"{rate['value']:.3f} [needs 6 models]"
    return f"{rate['value']:.3f} [{rate['low']:.3f}, {rate['high']:.3f}]"


def band(against: Facts) -> str:
    """The middle 95% of a number after shuffles."""
    return f"{against['low']:.3f} to {against['high']:.3f}"


def command(facts: Facts) -> str:
    """The command that makes the audit again."""
    words = ["mia-seg", "fleet", facts["shadow"], "--attack", facts["attack"]]
    words += [] if facts["defense"] == UNDEFENDED else ["--defense", facts["defense"]]
    words += ["--models", str(facts["models"]), "--seed", str(facts["seed"]), "--rounds", str(facts["rounds"])]
    return shlex.join([*words, *data_root(facts["dataset"])])


def _one_each(facts: Facts) -> bool:
    """Whether each scene is its own group."""
    return bool(facts["scenes"] == facts["groups"])


def _facts(facts: Facts) -> list[tuple[str, str, str]]:
    """The numbers of the first screen: name, value and note of each."""
    pooled = facts["pooled"]
    groups = "Each is a group of its own." if _one_each(facts) else f"In {facts['groups']} groups, judged as wholes."
    return [
        ("AUC of all scores", bounded(pooled["auc"]), f"After shuffles {band(pooled['null'])}."),
        (TARGETS["0.01"], bounded(pooled["tpr_at_fpr"]["0.01"]), "Over all models."),
        ("Exposed", exposed(facts), "False ones among them 5% on average at the most."),
        ("Models", str(facts["models"]), "Each is the victim in turn."),
        ("Scenes", str(facts["scenes"]), groups),
    ]


def _parts(facts: Facts) -> Table:
    columns = ["Scenes that show", "", "Groups", "Mean AUC", "After shuffles", "p", "Above their band", "Exposed"]
    return Table("Parts of the scenes", PARTS, columns, [part_row(part) for part in facts["parts"]], texts=2)


def _exposed(groups: Sequence[Mapping[str, str]], *, alone: bool) -> Table:
    columns = [*(["Scene"] if alone else ["Group", "Scenes"]), "AUC", "Null band", "p", "Above", "Exposed"]
    kept = "log_ratio" in (groups[0] if groups else {})
    rows = []
    for one in sorted(groups, key=lambda one: (float(one["p"]), -float(one["auc"])))[:LISTED]:
        told = [{"1": "yes", "0": "no"}.get(one[name], "–") for name in ("above", "exposed")]
        numbers = [f"{float(one['auc']):.3f}", f"{float(one['null_low']):.3f} to {float(one['null_high']):.3f}"]
        size = [] if alone else [one["scenes"]]
        moved = [f"{math.exp(float(one['log_ratio'])):.3g}"] if kept else []
        rows.append([one["group"], *size, *numbers, f"{float(one['p']):.3f}", *told, *moved])
    title = "The most exposed scenes" if alone else "The most exposed groups"
    return Table(title, GROUPS, [*columns, *(["Odds times"] if kept else [])], rows)
