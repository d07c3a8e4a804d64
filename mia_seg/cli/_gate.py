"""`mia-seg gate`: stop what is deployed from leaking more than a limit."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mia_seg.cli import _complete as complete
from mia_seg.cli import _screen as screen
from mia_seg.cli._options import AsJson, Measured
from mia_seg.errors import MiaSegError

if TYPE_CHECKING:
    from mia_seg.verdict.gate import Verdict
    from mia_seg.verdict.limits import Limit

STYLES = {"pass": "green", "fail": "red", "cannot tell": "yellow"}


def gate(
    results: Measured = None,
    max_auc: Annotated[
        float | None, typer.Option("--max-auc", help="Limit of every attack's AUC, such as 0.6 (0.5 is chance).")
    ] = None,
    max_tpr: Annotated[
        list[str] | None,
        typer.Option("--max-tpr", help="Limit of every attack's TPR at an FPR, such as 0.05@0.01; repeatable."),
    ] = None,
    *,
    baseline: Annotated[
        Path | None, typer.Option(help="Folder of an earlier audit's results: no AUC may rise by more than noise.")
    ] = None,
    victim: Annotated[
        list[str] | None,
        typer.Option(
            "--victim", help="Victim to judge, if there are several; repeatable.", autocompletion=complete.VICTIMS
        ),
    ] = None,
    defense: Annotated[
        list[str] | None,
        typer.Option(
            "--defense", help="Deployed defense; repeatable. Default: none.", autocompletion=complete.DEFENSES
        ),
    ] = None,
    junit: Annotated[Path | None, typer.Option(help="Write the verdicts to this file as JUnit XML.")] = None,
    badge: Annotated[Path | None, typer.Option(help="Write an SVG badge to this file: pass, fail or unknown.")] = None,
    as_json: AsJson = False,
) -> None:
    """Judge for a CI whether the deployed model leaks less than a limit. Exit code 0: yes, 1: no, 2: cannot tell.

    Confidence intervals decide, not estimates. docs/gate.md has the rules and an example.
    """
    from mia_seg.verdict.gate import CODES, Verdict, overall

    try:
        found = _judged(results or [Path("reports")], _limits(max_auc, max_tpr, baseline), baseline,
                        victims=victim or [], defenses=defense or ["none"])  # fmt: skip
    except MiaSegError as error:
        unknown = [
            Verdict(", ".join(victim or ["?"]), ", ".join(defense or ["none"]), "results", "cannot tell", f"{error}")
        ]
        _write(unknown, junit, badge, as_json=as_json)
        raise
    _write(found, junit, badge, as_json=as_json)
    if not as_json:
        _say(found)
    raise typer.Exit(CODES[overall(found)])


def _limits(auc: float | None, tprs: list[str] | None, baseline: Path | None) -> "list[Limit]":
    from mia_seg.verdict.limits import limits

    if auc is None and not tprs and baseline is None:
        raise MiaSegError("No limit is given. Pass --max-auc 0.6, --max-tpr 0.05@0.01 or --baseline FOLDER.")
    return limits(auc, tprs or [])


def _judged(
    places: Sequence[Path], limits: "Sequence[Limit]", baseline: Path | None, *, victims: Sequence[str],
    defenses: Sequence[str],
) -> "list[Verdict]":  # fmt: skip
    """A verdict for every victim, defense and limit."""
    from mia_seg.verdict.found import gathered, victims_of
    from mia_seg.verdict.gate import judged
    from mia_seg.verdict.rises import risen

    now = gathered(places)
    before = None if baseline is None else gathered([baseline])
    found = []
    for victim in victims_of(now, victims):
        for defense in dict.fromkeys(defenses):
            found += judged(now, victim, defense, limits=limits)
            found += [] if before is None else [risen(before, now, victim, defense=defense)]
    return found


def _write(found: "Sequence[Verdict]", junit: Path | None, badge: Path | None, *, as_json: bool) -> None:
    """The files that are asked for, and JSON on stdout."""
    from mia_seg.store import replace
    from mia_seg.verdict import files
    from mia_seg.verdict.gate import overall

    for path, text in ((junit, files.junit), (badge, files.badge)):
        if path is not None:
            try:
                replace(path, text(found).encode())
            except OSError as error:
                raise MiaSegError(f"{path} could not be written ({error.strerror}). Name another file.") from None
    if as_json:
        print(json.dumps({"verdict": overall(found), "judged": [verdict.dump() for verdict in found]}, indent=1))


def _say(found: "Sequence[Verdict]") -> None:
    """A line a verdict; what keeps all limits from being told is said once."""
    from rich.markup import escape

    from mia_seg.texts import printable

    for verdict in {f"{verdict}": verdict for verdict in found}.values():
        state = f"[{STYLES[verdict.state]}]{verdict.state:<11}[/]"
        screen.out().print(f"{state} {escape(printable(str(verdict)))}")
