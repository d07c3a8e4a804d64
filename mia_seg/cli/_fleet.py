"""`mia-seg fleet`: a fleet audits its own recipe, without a victim."""

import json
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mia_seg.cli import _complete as complete
from mia_seg.cli import _screen as screen
from mia_seg.cli import _work as work
from mia_seg.cli._options import REPORTS, GridName, Machine, Making, Places, Seeds
from mia_seg.errors import MiaSegError

if TYPE_CHECKING:
    from mia_seg.evaluate.fleet import FleetAudit
    from mia_seg.pipeline import Pipeline
    from mia_seg.recipes.grids import Fleets as Comparison
    from mia_seg.stages.attackers import Rehearsed
    from mia_seg.store import Store

AttackNames = Annotated[
    list[str] | None,
    typer.Option("--attack", help="Attack that uses many shadows, as name or name:value; repeatable. Default: base."),
]
Fleets = Annotated[
    list[str] | None,
    typer.Argument(
        help="Shadow recipes with many models; or VICTIM_fleet, 16 models that train as VICTIM does.",
        show_default=False,
        autocompletion=complete.SHADOWS,
    ),
]
Rounds = Annotated[
    int | None,
    typer.Option(
        min=99, max=10**5, help="Shuffles of memberships; the smallest p-value is 1 / (shuffles + 1). Default: 999."
    ),
]


Curve = Annotated[
    list[str] | None,
    typer.Option(
        "--curve",
        help="Fleet of plain training; repeat for several lengths. The other fleets are compared with plain training "
        "that overfits as much.",
        autocompletion=complete.SHADOWS,
    ),
]
Defenses = Annotated[
    list[str] | None,
    typer.Option(
        "--defense",
        help="Defense of all models, each with its own generator; repeatable. Default: none.",
        autocompletion=complete.DEFENSES,
    ),
]
Also = Annotated[
    list[str] | None,
    typer.Option("--also", help="FLEET=DEFENSE: one more defense, of one fleet alone; repeatable."),
]
Models = Annotated[
    int | None,
    typer.Option(min=4, help="Number of models, an even number. Default: as many as the recipe says."),
]


def fleet(
    names: Fleets = None,
    attack: AttackNames = None,
    defense: Defenses = None,
    *,
    curve: Curve = None,
    also: Also = None,
    models: Models = None,
    seed: Seeds = None,
    rounds: Rounds = None,
    grid: GridName = None,
    places: Places,
    machine: Machine,
    making: Making,
) -> None:
    """Find exposed scenes, without a victim: many models of one recipe are trained, and each is the victim in turn."""
    from mia_seg.pipeline import Pipeline
    from mia_seg.stages import fleets

    workspace = work.opened(places, machine)
    given = {
        "names": names, "attacks": attack, "defenses": defense, "curve": curve,
        "also": also and _by_fleet(also), "models": models, "seeds": seed, "rounds": rounds,
    }  # fmt: skip
    asked = _asked({name: value for name, value in given.items() if value is not None}, grid)
    pipeline = Pipeline(workspace)
    rehearsed = [_rehearsed(one, pipeline) for one in asked]
    compared = (several for one, several in zip(asked, rehearsed, strict=True) if one.curve)
    fleets.check_apart(places.reports, compared)
    if not work.made([one.fitted for several in rehearsed for one in several], workspace, making):
        return
    found, arms = _measured(asked, rehearsed, workspace.store)
    written = [path for audit in found for path in fleets.write(places.reports, audit)]
    written += [path for facts in arms for path in fleets.write_compared(places.reports, facts)]
    if making.as_json:
        return print(json.dumps([audit.facts for audit in found] + arms, indent=1))
    for audit in found:
        _show(audit.facts)
    for facts in arms:
        _show_arms(facts)
    screen.following(written, _next(written, places.reports))


def _measured(
    asked: "Sequence[Comparison]", rehearsed: "Sequence[list[Rehearsed]]", store: "Store"
) -> "tuple[list[FleetAudit], list[dict[str, Any]]]":
    """The audits of the fleets that are named, and how those with a curve compare."""
    from mia_seg.stages import fleets

    found, arms = [], []
    for one, several in zip(asked, rehearsed, strict=True):
        mine = [each for each in several if each.fitted.shadow_name in one.names]
        found += [fleets.audit(each, store, one.rounds) for each in mine]
        arms += _compared(several, list(one.curve), store) if one.curve else []
    return found, arms


def _asked(given: dict[str, Any], grid: str | None) -> "tuple[Comparison, ...]":
    """The comparison that options ask for, or those that a grid lists.

    Raises MiaSegError for no fleet, both ways at once, and a number of models that is not one of pairs.
    """
    from mia_seg.recipes import grids

    if grid is not None:
        if given:
            raise MiaSegError(
                f"--grid {grid} says what is compared, and how. Leave out the fleets, --attack, --defense, --curve, "
                f"--also, --models, --seed and --rounds."
            )
        return grids.load_fleets(grid)
    if not given.get("names") and not given.get("curve"):
        raise MiaSegError(
            "No fleet is named. Name a shadow recipe with [adversary] choose = 'halves', or VICTIM_fleet."
        )
    if given.get("models", 0) % 2:
        raise MiaSegError(f"--models {given['models']}: models come in pairs. Give an even number.")
    listed = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    return (grids.Fleets.model_validate(listed),)


def _by_fleet(also: Sequence[str]) -> dict[str, list[str]]:
    """Defenses by fleet, of texts "FLEET=DEFENSE". Raises MiaSegError for another text."""
    found: dict[str, list[str]] = {}
    for text in also:
        name, equals, defense = text.partition("=")
        if not (name and equals and defense):
            raise MiaSegError(f"--also {text}: write FLEET=DEFENSE, as protect_none_fleet=synfeat:0.75.")
        found.setdefault(name, []).append(defense)
    return found


def _rehearsed(one: "Comparison", pipeline: "Pipeline") -> "list[Rehearsed]":
    """All attacks on all fleets of a comparison, those of plain training last.

    Raises MiaSegError where a further defense is of a fleet that is not compared, and for fleets of other scenes.
    """
    from mia_seg.stages import fleets

    if unknown := [name for name in one.also if name not in (*one.names, *one.curve)]:
        raise MiaSegError(f"--also, or also in a grid: fleet '{unknown[0]}' is not among those compared. Name it too.")
    others = [name for name in one.names if name not in one.curve]
    attacked, defended = list(dict.fromkeys(one.attacks)), list(dict.fromkeys(one.defenses))
    requests = [
        fleets.request(name, attacked, one.models, defended=list(dict.fromkeys([*defended, *one.also.get(name, ())])))
        for name in dict.fromkeys([*others, *one.curve])
    ]
    found = [
        each for seed in one.seeds for request in requests for each in pipeline.rehearsed(request, seed, one.models)
    ]
    if one.curve:
        fleets.check_alike(found)
        fleets.check_plain(found, one.curve)
    return found


def _compared(rehearsed: "list[Rehearsed]", plain: list[str], store: "Store") -> list[dict[str, Any]]:
    """One comparison for each seed and defense; that without a defense also has the frontier over all of them."""
    from mia_seg.evaluate import arms
    from mia_seg.stages import fleets

    by_fleet: dict[int, dict[str, list[Rehearsed]]] = {}
    for one in rehearsed:
        by_fleet.setdefault(one.fitted.shadows[0].seed, {}).setdefault(one.fitted.shadow_name, []).append(one)
    found = list[dict[str, Any]]()
    for alike in by_fleet.values():
        shared = set.intersection(*({one.defense for one in mine} for mine in alike.values()))
        told = {name: fleets.compared(mine, store, shared) for name, mine in alike.items()}
        mine, curves, every = dict[str, dict[str, Any]](), dict[str, list[Any]](), list[Any]()
        for defense in dict.fromkeys(defense for each in told.values() for defense in each):
            met = {name: each[defense] for name, each in told.items() if defense in each}
            others, curve = ([one for name, one in met.items() if (name in plain) == side] for side in (False, True))
            every += [*curve, *others]
            if len(met) == len(told):  # no defense of single fleets alone
                curves[defense] = curve
                mine[defense] = arms.compared(others, curve)
        if len(every) > len(told):
            base = "none" if "none" in mine else next(iter(mine))
            mine[base]["frontier"] = arms.frontier(every, curves[base])
        found += mine.values()
    return found


def _show_arms(facts: dict[str, Any]) -> None:
    """Tables of a comparison: what trainings are worth, what each attack reaches, and what it does on canaries."""
    every, first = (*facts["plain"], *facts["others"]), facts["plain"][0]
    if first["defense"] != "none":
        screen.out().print(f"Behind {first['defense']}:", markup=False)
    columns = (
        "training", "models", "mIoU on members", "on others", "gap", "AUC of the strongest [95%]",
        "above plain at that mIoU [95%]", "chosen", "minutes a model", "dominated by",
    )  # fmt: skip
    screen.table(columns, [_worth(one) for one in every])
    by_attack = ["training", "attack", "AUC", "above plain at that gap [95%]"]
    by_attack += ["AUC of canaries [95%]"] if "canaries" in every[0] else []
    screen.table(by_attack, [row for one in every for row in _by_attack(one)])
    for text in _remarks(facts):
        screen.out().print(text, markup=False)
    if "frontier" in facts:
        head = ("training", "defense", "mIoU on others", "AUC of the strongest [95%]", "above plain at that mIoU [95%]")
        screen.table((*head, "dominated"), [_point(one, facts) for one in facts["frontier"]])


def _remarks(facts: dict[str, Any]) -> Iterator[str]:
    first = facts["plain"][0]
    if len(first["strongest"]["chosen"]) < 2:
        named = first["strongest"]["chosen"][0]
        yield f"Of {first['models']} models no half is left to choose an attack on: {named} stands for the strongest."
    yield from _at_gaps(facts)
    behind = (by["leaks_less"] for point in facts.get("frontier", ()) for by in point["dominated_by"])
    if any(one["leaking_less"] for one in (*facts["plain"], *facts["others"])) or any(behind):
        yield "A star stands for a training that is shown to leak less: the interval of the difference leaves out zero."


def _at_gaps(facts: dict[str, Any]) -> Iterator[str]:
    """What the lines of plain training cannot tell, and which length of it would."""
    from mia_seg.evaluate.arms import beside_plain, outside

    narrow, wide = outside(facts)
    if narrow:
        yield (
            f"Narrower than any plain fleet's is the gap of {', '.join(narrow)}: there the line of plain training goes "
            f"straight to chance and lies too low, so nothing is tested. Name a shorter one with --curve."
        )
    if wide:
        yield (
            f"Wider than any plain fleet's is the gap of {', '.join(wide)}: there the line of plain training is only "
            f"drawn on. Name a longer one with --curve."
        )
    said = {one["title"]: [beside_plain(above) for above in one["above"].values()] for one in facts["others"]}
    if bent := [title for title, each in said.items() if "perhaps more" in each]:
        yield (
            f"An interval above 0 at the same gap may not show a larger leak: {', '.join(bent)}. Between two plain "
            f"fleets the leak of plain training bends above the straight line, at the most as far as the lines through "
            f"their neighbours. Name a fleet of a length between them with --curve."
        )


def _worth(one: dict[str, Any]) -> list[str]:
    miou, best = [f"{one['miou'][key]:.3f}" for key in ("members", "others", "gap")], one["strongest"]
    chosen = ", ".join(dict.fromkeys(best["chosen"]))
    minutes = "not kept" if one["minutes"] is None else f"{one['minutes']:.1f}"
    beside = _beside(one["worth"], one["models"]) if "above" in one else "plain"
    better = ", ".join(f"{of}{'*' * (of in one['leaking_less'])}" for of in one["dominated_by"])
    return [one["title"], str(one["models"]), *miou, _bounded(best), beside, chosen, minutes, better]


def _beside(worth: dict[str, Any] | None, models: int) -> str:
    return _signed(worth, models) if worth else "no plain one there"


def _point(one: dict[str, Any], facts: dict[str, Any]) -> list[str]:
    """A training behind a defense, of all of them."""
    from mia_seg.evaluate.arms import is_plain

    beside = "plain" if is_plain(one, facts) else _beside(one["worth"], facts["plain"][0]["models"])
    numbers = f"{one['miou']['others']:.3f}", _bounded(one["strongest"]), beside
    shown = any(by["leaks_less"] for by in one["dominated_by"])
    return [one["title"], one["defense"], *numbers, f"yes{'*' * shown}" if one["dominated_by"] else ""]


def _by_attack(one: dict[str, Any]) -> list[list[str]]:
    above, canaries = one.get("above", {}), one.get("canaries", {})
    return [
        [
            one["title"], attack, f"{auc:.3f}", _signed(above[attack], one["models"]) if above else "plain",
            *([_bounded(canaries[attack]["auc"])] if canaries else []),
        ]
        for attack, auc in one["auc"].items()
    ]  # fmt: skip


def _signed(above: dict[str, Any], models: int) -> str:
    if above["low"] is None:
        return f"{above['value']:+.3f} [{'needs 6 models' if models < 6 else 'not tested'}]"
    return f"{above['value']:+.3f} [{above['low']:+.3f}, {above['high']:+.3f}]"


def _bounded(rate: dict[str, Any]) -> str:
    from mia_seg.report.fleets import bounded

    return bounded(rate)


def _next(written: list[Path], reports: Path) -> str:
    named = "" if reports == REPORTS else f" --reports {shlex.quote(str(reports))}"
    if written[-1].name.startswith("arms."):
        return f"draw the page of the comparison: mia-seg report{named}"
    lines = [path for path in written if path.suffix == ".csv"]
    return f"read the lines of {lines[-1].name}, a group each, or draw the page: mia-seg report{named}"


def _show(facts: dict[str, Any]) -> None:
    """Two tables, and sentences."""
    from mia_seg.report.fleets import TARGETS, band, bounded, part_row, sentences

    pooled, null = facts["pooled"], facts["pooled"]["null"]
    columns = ("fleet", "defense", "attack", "seed", "models", "scenes", "AUC [95%]", "after shuffles")
    rates = [pooled["tpr_at_fpr"][target] for target in TARGETS]
    row = [str(facts[key]) for key in ("shadow", "defense", "attack", "seed", "models", "scenes")]
    targets = (f"{target} [95%]" for target in TARGETS.values())
    screen.table((*columns, *targets), [[*row, bounded(pooled["auc"]), band(null), *map(bounded, rates)]])
    screen.table(
        ("scenes that show", "", "groups", "mean AUC", "after shuffles", "p", "above their band", "exposed"),
        [part_row(part) for part in facts["parts"]],
    )
    for sentence in sentences(facts):
        screen.out().print(sentence, markup=False)
