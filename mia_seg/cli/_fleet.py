"""`mia-seg fleet`: a fleet audits its own recipe, without a victim."""

import json
from typing import Annotated, Any

import typer

from mia_seg.cli import _screen as screen
from mia_seg.cli import _work as work
from mia_seg.cli._options import Machine, Making, Places, Seeds, Shadow

# Members can only score higher with it. An attack that learns the sign too takes more models to tell a scene.
ATTACK = "base"
TARGETS = {"0.1": "TPR at FPR 10%", "0.01": "TPR at FPR 1%"}

AttackNames = Annotated[
    list[str] | None,
    typer.Option("--attack", help=f"An attack on a fleet, name or name:value; repeatable. Default: {ATTACK}."),
]
Rounds = Annotated[
    int, typer.Option(min=99, max=10**5, help="How often memberships are shuffled; no p-value is below 1 in so many.")
]


def fleet(
    name: Shadow,
    attack: AttackNames = None,
    *,
    seed: Seeds = None,
    rounds: Rounds = 999,
    places: Places,
    machine: Machine,
    making: Making,
) -> None:
    """Audit a fleet's own recipe, no victim needed: each model is the victim in turn. Which scenes are exposed?"""
    from mia_seg.pipeline import Pipeline
    from mia_seg.stages import fleets

    workspace = work.opened(places, machine)
    request, pipeline = fleets.request(name, attack or [ATTACK]), Pipeline(workspace)
    stages = [stage for s in seed or [0] for stage in pipeline.rehearsed(request, s)]
    if not work.made(stages, workspace, making):
        return
    found = [fleets.audit(stage, workspace.store, rounds) for stage in stages]
    written = [path for one in found for path in fleets.write(places.reports, one)]
    if making.as_json:
        return print(json.dumps([one.facts for one in found], indent=1))
    for one in found:
        _show(one.facts)
    screen.following(written, f"read the lines of {written[-1].name}, a group each")


def _show(facts: dict[str, Any]) -> None:
    """Two tables and one sentence."""
    pooled, null = facts["pooled"], facts["pooled"]["null"]
    columns = (
        "fleet",
        "attack",
        "seed",
        "models",
        "scenes",
        "AUC [95%]",
        "after shuffles",
        *(f"{t} [95%]" for t in TARGETS.values()),
    )
    rates = [pooled["tpr_at_fpr"][target] for target in TARGETS]
    row = [str(facts[key]) for key in ("shadow", "attack", "seed", "models", "scenes")]
    screen.table(columns, [[*row, _bounded(pooled["auc"]), _band(null), *map(_bounded, rates)]])
    screen.table(
        ("scenes that show", "", "groups", "mean AUC", "after shuffles", "p", "above their band", "exposed"),
        [_part(part) for part in facts["parts"]],
    )
    screen.out().print(said(facts), markup=False)


def said(facts: dict[str, Any]) -> str:
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


def _part(part: dict[str, Any]) -> list[str]:
    above, exposed = (
        f"needs {least} models" if part[name] is None else str(part[name])
        for name, least in (("above", 12), ("exposed", 10))
    )
    return [
        part["part"], "rare" if part["rare"] else "", str(part["groups"]), f"{part['value']:.3f}", _band(part),
        f"{part['p']:.3f}", above, exposed,
    ]  # fmt: skip


def _bounded(rate: dict[str, Any] | str) -> str:
    if isinstance(rate, str):
        return rate
    if rate["low"] is None:
        return f"{rate['value']:.3f} [needs 6 models]"
    return f"{rate['value']:.3f} [{rate['low']:.3f}, {rate['high']:.3f}]"


def _band(against: dict[str, Any]) -> str:
    return f"{against['low']:.3f} to {against['high']:.3f}"
