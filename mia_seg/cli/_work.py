"""What commands have in common once their options are parsed."""

import json
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args

from mia_seg.api import Audit, Audits, grid_of
from mia_seg.cli import _screen as screen
from mia_seg.cli._options import REPORTS, Attacking, Devices, Kept, Machine, Making, Tried, TriedOrGrid
from mia_seg.cli._spent import Spent
from mia_seg.errors import MiaSegError

if TYPE_CHECKING:
    from mia_seg.recipes import Precision
    from mia_seg.stages import Stage
    from mia_seg.workspace import Workspace


def opened(places: Kept, machine: Machine) -> "Workspace":
    """What the options of a command come to."""
    from mia_seg.recipes import Precision
    from mia_seg.store import Store
    from mia_seg.workspace import Workspace

    if machine.precision not in (None, *get_args(Precision)):
        raise MiaSegError(f"--precision {machine.precision}: choose one of {', '.join(get_args(Precision))}.")
    devices = machine.devices if isinstance(machine, Devices) else 1
    return Workspace(
        Store(places.store), places.data_root, getattr(places, "reports", REPORTS), machine.device, devices,
        machine.workers, cast("Precision | None", machine.precision),
    )  # fmt: skip


def made(stages: "Sequence[Stage[Any]]", workspace: "Workspace", making: Making) -> bool:
    """Make these stages and what they need, or list them; whether they are there now, and this is the first process."""
    from mia_seg import engines
    from mia_seg.stages import length, limits, queries
    from mia_seg.stages.plan import Plan
    from mia_seg.stages.run import run as run_plan

    plan = Plan(tuple(stages), workspace.store)
    limits.check(plan, workspace)
    if making.dry_run:
        asked = queries.queries(plan, workspace.data_root)
        screen.plan(plan, length.warning(plan, workspace), asked=asked, as_json=making.as_json)
        return False
    engine = engines.chosen(workspace, jobs=making.jobs, on=making.on)
    length.check(plan, workspace, yes=making.yes)
    outcome = run_plan(plan, workspace, screen.say, engine=engine)
    outcome.check()
    return outcome.first


def trained(stages: "Sequence[Stage[Path]]", workspace: "Workspace", making: Making) -> bool:
    """The same for a command that ends with them: as JSON, the folders that they lie in."""
    done = made(stages, workspace, making)
    if done and making.as_json:
        print(json.dumps([str(path) for path in places(stages, workspace)], indent=1))
    return done


def places(stages: "Sequence[Stage[Path]]", workspace: "Workspace") -> list[Path]:
    """Where stages lie in the store."""
    return [stage.artefact(workspace.store).path for stage in stages]


def one(tried: Tried, workspace: "Workspace") -> Audit:
    """The audit that options ask for."""
    return Audit(
        tried.victim, tried.shadow, tried.defense or (), attacks=tried.attack or (), seeds=tried.seed or [0],
        repeats=tried.repeats, quick=tried.quick, workspace=workspace,
    )  # fmt: skip


def asked(tried: TriedOrGrid, workspace: "Workspace") -> Audits:
    """The audit that options ask for, or those that a grid lists."""
    if tried.grid is None:
        if tried.victim is None or tried.shadow is None:
            raise MiaSegError("Name a victim and a shadow (see 'mia-seg list'), or a grid of them: --grid NAME.")
        return one(tried, workspace)
    if tried != TriedOrGrid(grid=tried.grid):
        raise MiaSegError(
            f"--grid {tried.grid} says what is audited, and how. Leave out VICTIM, SHADOW, --defense, --attack, "
            f"--seed, --repeats and --quick."
        )
    return grid_of(tried.grid, workspace)


def planned(audit: Audits, as_json: bool = False) -> None:
    """List what audits need."""
    from mia_seg.stages import length, queries

    screen.left_out(audit.left_out)
    found, workspace = audit.plan(), audit.workspace
    asked = queries.queries(found, workspace.data_root)
    screen.plan(found, length.warning(found, workspace), asked=asked, as_json=as_json)


def audited(audit: Audits, making: Attacking, finish: Callable[[], None]) -> None:
    """Run with a line a stage, or list the stages; show what could be made even where something failed.

    finish: what follows where all is in hand here. Of several processes that share a training only the first has it.
    """
    from mia_seg import engines

    if making.dry_run:
        return planned(audit, making.as_json)
    engine, spent = engines.chosen(audit.workspace, jobs=making.jobs, on=making.on), Spent()
    screen.left_out(audit.left_out)
    try:
        audit.run(spent.say, long=making.yes, engine=engine, keep=making.keep.value)
    finally:
        screen.FORMS["json" if making.as_json else "text"](audit.made)
    if audit.written:
        finish()
    screen.doing("spent", spent.told(audit.workspace.store.journal()))


def victim_of(shadow: str) -> str:
    """The victim that a shadow was made for."""
    from mia_seg import recipes
    from mia_seg.recipes.adversaries import A2

    adversary = recipes.load_shadow(shadow).adversary
    return "VICTIM" if isinstance(adversary, A2) else adversary.victim


def opening(reports: Path) -> str:
    """The command that opens the page of a folder of reports."""
    return "mia-seg open" + ("" if reports == REPORTS else f" --reports {shlex.quote(str(reports))}")


def drawn(workspace: "Workspace") -> list[Path]:
    """Draw the report, which takes a while; what was written."""
    screen.doing("drawing", "figures and pages")
    return report(workspace.reports, workspace.store.root, workspace.data_root)


def report(
    reports: Path, store: Path, data_root: Path | None, *, forms: Sequence[str] | None = None, thumbnails: bool = False
) -> list[Path]:
    """Draw the report in some forms, or in the usual ones; what was written. A workspace would import torch."""
    from mia_seg.report import USUAL
    from mia_seg.report.from_store import report as draw
    from mia_seg.store import Store

    return draw(reports, Store(store), data_root, forms=forms or USUAL, thumbnails=thumbnails)
