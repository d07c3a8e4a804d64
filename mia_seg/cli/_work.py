"""What commands have in common once their options are parsed."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast, get_args

from mia_seg.api import Audit
from mia_seg.cli import _screen as screen
from mia_seg.errors import MiaSegError

if TYPE_CHECKING:
    from mia_seg.recipes import Precision
    from mia_seg.stages import Stage
    from mia_seg.stages.keep import Keep
    from mia_seg.workspace import Workspace


def opened(
    store: Path, data_root: Path | None, reports: Path, *, device: str, devices: int = 1, workers: int = 0,
    precision: str | None = None,
) -> "Workspace":  # fmt: skip
    """What the options of a command come to."""
    from mia_seg.recipes import Precision
    from mia_seg.store import Store
    from mia_seg.workspace import Workspace

    if precision not in (None, *get_args(Precision)):
        raise MiaSegError(f"--precision {precision}: choose one of {', '.join(get_args(Precision))}.")
    return Workspace(Store(store), data_root, reports, device, devices, workers, cast("Precision | None", precision))


def made(
    stages: "Sequence[Stage[Path]]", workspace: "Workspace", *, dry_run: bool, yes: bool, jobs: int = 1,
    on: str | None = None,
) -> bool:  # fmt: skip
    """Make these stages and what they need, or list them; whether they are there now, and this is the first process."""
    from mia_seg import engines
    from mia_seg.stages import length, limits
    from mia_seg.stages.plan import Plan
    from mia_seg.stages.run import run as run_plan

    plan = Plan(tuple(stages), workspace.store)
    limits.check(plan, workspace)
    if dry_run:
        screen.plan(plan, length.warning(plan, workspace), asked=length.questions(plan, workspace.data_root))
        return False
    engine = engines.chosen(workspace, jobs=jobs, on=on)
    length.check(plan, workspace, yes=yes)
    outcome = run_plan(plan, workspace, screen.say, engine=engine)
    outcome.check()
    return outcome.first


def places(stages: "Sequence[Stage[Path]]", workspace: "Workspace") -> list[Path]:
    """Where stages lie in the store."""
    return [stage.artefact(workspace.store).path for stage in stages]


def planned(audit: Audit, as_json: bool = False) -> None:
    """List what an audit needs."""
    from mia_seg.stages import length

    screen.left_out(audit.left_out)
    found, workspace = audit.plan(), audit.workspace
    asked = length.questions(found, workspace.data_root)
    screen.plan(found, length.warning(found, workspace), asked=asked, as_json=as_json)


def audited(audit: Audit, yes: bool, *, jobs: int = 1, on: str | None = None, keep: "Keep" = "all") -> bool:
    """Run with a line a stage, and show what could be made even where something failed; whether all is in hand here.

    Of several processes that share a training only the first has the results.
    """
    from mia_seg import engines

    engine = engines.chosen(audit.workspace, jobs=jobs, on=on)
    screen.left_out(audit.left_out)
    try:
        audit.run(screen.say, long=yes, engine=engine, keep=keep)
    finally:
        screen.results(audit.made)
    return bool(audit.written)


def victim_of(shadow: str) -> str:
    """The victim that a shadow was made for."""
    from mia_seg import recipes
    from mia_seg.recipes.adversaries import A2

    adversary = recipes.load_shadow(shadow).adversary
    return "VICTIM" if isinstance(adversary, A2) else adversary.victim


def drawn(workspace: "Workspace") -> list[Path]:
    """Draw the report; what was written."""
    from mia_seg.report.from_store import report

    return report(workspace.reports, workspace.store, workspace.data_root)
