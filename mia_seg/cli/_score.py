"""`mia-seg score`: scores that someone else's attack gave, measured like ours."""

import csv
import json
import sys
from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mia_seg import progress
from mia_seg.cli import _screen as screen
from mia_seg.cli._options import STORE, AsJson, StoreRoot
from mia_seg.errors import MiaSegError

if TYPE_CHECKING:
    from mia_seg.evaluate.outside import Reference
    from mia_seg.query.answers import Answers

TARGETS = {"0.1": "TPR at FPR 10%", "0.01": "TPR at FPR 1%"}
HOW = "Give either FILE --against RESULT, to measure scores, or --ids RESULT, to list the scenes that want a score."

File = Annotated[
    Path | None,
    typer.Argument(help="CSV with the columns id, score (higher = more likely a member) and optionally group."),
]
Against = Annotated[
    Path | None,
    typer.Option(help="Result file (.json) whose scenes were scored, or a folder of results of one model and split."),
]
Ids = Annotated[Path | None, typer.Option(metavar="RESULT", help="Print the scenes of a result, without membership.")]
Handed = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.npz", help="With --ids: also write what the model answered, an array a scene, for the attacker."
    ),
]
Threshold = Annotated[float | None, typer.Option(help="A scene with this score or more is called a member.")]
Released = Annotated[
    str,
    typer.Option("--defense", help="Of a folder, take the results behind this defense."),
]

OfSeed = Annotated[int | None, typer.Option("--seed", help="Of a folder, take the results of this seed.")]


def score(
    file: File = None,
    against: Against = None,
    *,
    ids: Ids = None,
    answers: Handed = None,
    store: StoreRoot = STORE,
    threshold: Threshold = None,
    defense: Released = "none",
    seed: OfSeed = None,
    as_json: AsJson = False,
) -> None:
    """Measure somebody else's attack by its scores: AUC, TPR, and the difference from a result of mia-seg."""
    from mia_seg.evaluate import outside, submitted

    if ids is not None and file is None and against is None:
        known = outside.references(ids, defense, seed)
        if answers is not None:
            _handed_out(outside.hand_out(known[0], store, answers), answers)
        return _list(known)
    if answers is not None:
        raise MiaSegError("--answers needs --ids RESULT, which says whose answers and which scenes.")
    if file is None or against is None or ids is not None:
        raise MiaSegError(HOW)
    if threshold is not None and not isfinite(threshold):
        raise MiaSegError(f"--threshold {threshold} is no finite number. Give one, as 0.5.")
    results = outside.references(against, defense, seed)
    found = outside.measured(outside.joined(submitted.read(file), results[0]), results, threshold)
    if as_json:
        return print(json.dumps(found, indent=1))
    _show(file, found)


def _list(found: "Sequence[Reference]") -> None:
    """The scenes by id: whatever order a file had, theirs says nothing."""
    lines = csv.writer(sys.stdout, lineterminator="\n")
    lines.writerows([["id"], *([scene] for scene in sorted(found[0].known.ids))])


def _handed_out(found: "Answers", file: Path) -> None:
    """A line about the file on stderr, so that stdout is the list of ids."""
    height, width = found.shapes[0]
    progress.say(f"{file}: {len(found)} posteriors of {found.classes} classes, the first of {height} x {width} pixels")


def _show(file: Path, found: dict[str, Any]) -> None:
    columns = ("scores", "AUC [95%]", *(f"{title} [95%]" for title in TARGETS.values()))
    differences = ("yours less: AUC", *TARGETS.values())
    mine = [file.name, *_ranked(found["own"]), "", *("" for _ in TARGETS)]
    screen.table((*columns, *differences), [mine, *(_row(one) for one in found["against"])])
    if "balanced_accuracy" in found["own"]:
        screen.out().print(_at_threshold(found["own"]), markup=False)
    screen.out().print(said(found), markup=False)


def said(found: dict[str, Any]) -> str:
    """What was found, in one sentence."""
    own = found["own"]
    reached = f"AUC {_interval(own['auc'], own['auc_low'], own['auc_high'])} on {found['scenes']} scenes"
    chance = _side(own["auc_low"], own["auc_high"], 0.5)
    leak = {1: "above chance", -1: "below chance", 0: "the interval includes chance, 0.5"}[chance]
    sides = [_side(one["above"]["auc"]["low"], one["above"]["auc"]["high"], 0) for one in found["against"]]
    if len(sides) == 1:
        told = {1: "better than", -1: "worse than", 0: "not told apart from"}[sides[0]]
        return f"{reached}, {found['members']} of them members: {leak}, and {told} {_name(found['against'][0])}."
    counts = f"better than {sides.count(1)}, worse than {sides.count(-1)}, not told apart from {sides.count(0)}"
    return f"{reached}, {found['members']} of them members: {leak}; of {len(sides)} results {counts}."


def _row(one: dict[str, Any]) -> list[str]:
    above = one["above"]
    rates = [above["tpr_at_fpr"][target] for target in TARGETS]
    return [Path(one["result"]).stem, *_ranked(one), _difference(above["auc"]), *map(_difference, rates)]


def _ranked(found: dict[str, Any]) -> list[str]:
    rates = [found["tpr_at_fpr"][target] for target in TARGETS]
    shown = [rate if isinstance(rate, str) else _interval(rate["tpr"], rate["low"], rate["high"]) for rate in rates]
    return [_interval(found["auc"], found["auc_low"], found["auc_high"]), *shown]


def _at_threshold(own: dict[str, Any]) -> str:
    names = {"balanced_accuracy": "balanced accuracy", "tpr": "TPR", "fpr": "FPR"}
    told = (
        f"{said} {_interval(*(own[k] for k in (name, f'{name}_low', f'{name}_high')))}" for name, said in names.items()
    )
    return f"At the threshold {own['threshold']:g}: {', '.join(told)}."


def _name(one: dict[str, Any]) -> str:
    return f"{one['attack']}:{one['representation']}" if one["representation"] else str(one["attack"])


def _interval(value: float, low: float, high: float) -> str:
    return f"{value:.3f} [{low:.3f}, {high:.3f}]"


def _difference(rate: dict[str, float] | str) -> str:
    if isinstance(rate, str):
        return rate
    return f"{rate['value']:+.3f} [{rate['low']:+.3f}, {rate['high']:+.3f}]"


def _side(low: float, high: float, of: float) -> int:
    """1 where an interval lies above a number, -1 below, 0 around it."""
    return int(low > of) - int(high < of)
