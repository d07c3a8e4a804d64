"""The command line: parse, call, print. Everything heavy is imported inside the commands."""

import json
import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args

import typer
from typer.core import TyperGroup

from mia_seg.api import ATTACKS, DEFENSES, Audit
from mia_seg.cli import _screen as screen
from mia_seg.cli._serve import serve
from mia_seg.cli._store import store as store_commands
from mia_seg.errors import MiaSegError

if TYPE_CHECKING:
    from mia_seg.stages import Stage
    from mia_seg.workspace import Workspace


class Commands(TyperGroup):
    """The commands; Ctrl-C says how to go on and gives 130 (typer would give 130 and say nothing)."""

    def invoke(self, ctx: Any) -> Any:  # noqa: D102
        from mia_seg import progress

        progress.show()
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            print("\nStopped. The same command goes on from the last saved step.", file=sys.stderr)
            raise typer.Exit(130) from None


app = typer.Typer(
    cls=Commands,
    help="Can someone who only sees a segmentation model's predictions tell which images it was trained on, "
    "and what would a defense cost?\n\nStart with 'mia-seg demo': it needs no data and takes a few minutes.",
    no_args_is_help=True,
    rich_markup_mode=None,  # boxes of rich would cost as much as all the rest of --help
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)


class Form(StrEnum):
    """How results are printed."""

    TEXT = "text"
    JSON = "json"
    CSV = "csv"
    LATEX = "latex"


app.add_typer(store_commands, name="store")
app.command()(serve)

Seeds = Annotated[
    list[int] | None,
    typer.Option("--seed", min=0, help="Seed of split, weights and noise; repeat for several. Default: 0."),
]
DataRoot = Annotated[
    Path | None,
    typer.Option(envvar="MIA_SEG_DATA", help="Folder that holds the data sets' folders, as labelmefacade/ or camvid/."),
]
StoreRoot = Annotated[
    Path, typer.Option("--store", envvar="MIA_SEG_STORE", help="Where models and answers are kept and reused.")
]
Reports = Annotated[Path, typer.Option(help="Where results and the page are written.")]
Device = Annotated[str, typer.Option(help="cpu, cuda, mps or auto.")]
Devices = Annotated[int, typer.Option(min=1, help="How many devices.")]
Workers = Annotated[int, typer.Option(min=0, help="Processes that read and augment; results do not depend on it.")]
PrecisionName = Annotated[
    str | None,
    typer.Option("--precision", help="32-true, bf16-mixed or 16-mixed for training, in place of the recipe's."),
]
DefenseNames = Annotated[
    list[str] | None,
    typer.Option("--defense", help=f"name or name:value; repeat for several. Default: {', '.join(DEFENSES)}."),
]
AttackNames = Annotated[
    list[str] | None,
    typer.Option(
        "--attack",
        help=f"name or name:value; repeat for several. Default: {', '.join(ATTACKS)}; through a fleet, those that "
        f"compare with many shadows.",
    ),
]
Repeats = Annotated[
    int,
    typer.Option(min=1, help="How often the attacker asks about each scene, averaging the answers."),
]
GeneratorName = Annotated[
    str | None,
    typer.Option("--generator", help="name or name:value in place of the recipe's, its other settings kept."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="List every stage, whole or missing, and make nothing.")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON, for scripts.")]
Victim = Annotated[str, typer.Argument(help="A victim recipe: see 'mia-seg list'.")]
Shadow = Annotated[str, typer.Argument(help="A shadow recipe: see 'mia-seg list'.")]

STORE, REPORTS = Path("runs"), Path("reports")
# The toy that is a first-class citizen: the whole line on made-up streets.
DEMO = "demo", "demo_a1", ("none", "argmax")
DEMO_ATTACKS = ("image_loss", "patch_resnet50:concat", "patch_resnet50:labels")


@app.command()
def demo(store: StoreRoot = STORE, reports: Reports = Path("demo_report"), device: Device = "auto") -> None:
    """Attack a small segmenter of made-up streets, end to end, in minutes: no data, no network, two CPU cores."""
    from mia_seg.evaluate import results as results_
    from mia_seg.report import words

    audit = Audit(*DEMO, attacks=DEMO_ATTACKS, seeds=[0], workspace=_workspace(store, None, reports, device=device))
    audit.run(screen.say)
    audit.report()
    screen.out().print(words.leak(list(results_.rows(audit.results))), markup=False)
    screen.following([reports / "index.html"], "mia-seg list, then mia-seg run VICTIM SHADOW --data-root FOLDER")


@app.command()
def train_victim(
    name: Victim,
    seed: Seeds = None,
    data_root: DataRoot = None,
    *,
    store: StoreRoot = STORE,
    device: Device = "auto",
    devices: Devices = 1,
    workers: Workers = 0,
    precision: PrecisionName = None,
    dry_run: DryRun = False,
) -> None:
    """Train the segmenter under attack (or say that it exists). A killed run resumes."""
    from mia_seg.pipeline import Pipeline

    workspace = _workspace(
        store, data_root, REPORTS, device=device, devices=devices, workers=workers, precision=precision
    )
    pipeline = Pipeline(workspace)
    victims = [pipeline.victim(name, s) for s in seed or [0]]
    if _train(victims, workspace, dry_run):
        screen.following(_places(victims, workspace), f"mia-seg run {name} SHADOW")


@app.command()
def train_shadow(
    name: Shadow,
    seed: Seeds = None,
    data_root: DataRoot = None,
    *,
    store: StoreRoot = STORE,
    device: Device = "auto",
    devices: Devices = 1,
    workers: Workers = 0,
    precision: PrecisionName = None,
    dry_run: DryRun = False,
) -> None:
    """Train the attacker's own segmenter, whose membership it knows; a missing victim is trained first."""
    from mia_seg.pipeline import Pipeline

    workspace = _workspace(
        store, data_root, REPORTS, device=device, devices=devices, workers=workers, precision=precision
    )
    pipeline = Pipeline(workspace)
    shadows = [model for s in seed or [0] for model in pipeline.shadows(name, s)]
    if _train(shadows, workspace, dry_run):
        screen.following(_places(shadows, workspace), f"mia-seg run {_victim_of(name)} {name}")


@app.command()
def train_generator(
    name: Victim,
    generator: GeneratorName = None,
    seed: Seeds = None,
    *,
    data_root: DataRoot = None,
    store: StoreRoot = STORE,
    reports: Reports = REPORTS,
    device: Device = "auto",
    workers: Workers = 0,
    precision: PrecisionName = None,
    dry_run: DryRun = False,
) -> None:
    """Train the generator of a victim's features, for the defense 'synfeat'; a missing victim is trained first."""
    from mia_seg.evaluate import results as results_
    from mia_seg.pipeline import Pipeline
    from mia_seg.stages.generators import TrainedGenerator, with_generator

    workspace = _workspace(store, data_root, reports, device=device, devices=1, workers=workers, precision=precision)
    pipeline = Pipeline(workspace)
    victims = [pipeline.victim(name, s) for s in seed or [0]]
    made = [TrainedGenerator(victim, with_generator(victim.recipe, generator)) for victim in victims]
    if _train(made, workspace, dry_run):
        scores = [results_.write_generator(reports, stage.score(workspace.store)) for stage in made]
        then = f"mia-seg run {name} SHADOW --defense none --defense synfeat:0.75"
        screen.following([*_places(made, workspace), *scores], then)


@app.command()
def attack(
    victim: Victim,
    shadow: Shadow,
    defense: DefenseNames = None,
    *,
    attack: AttackNames = None,
    seed: Seeds = None,
    repeats: Repeats = 1,
    data_root: DataRoot = None,
    store: StoreRoot = STORE,
    reports: Reports = REPORTS,
    device: Device = "auto",
    workers: Workers = 0,
    precision: PrecisionName = None,
    dry_run: DryRun = False,
) -> None:
    """Ask, attack and measure; trains what is missing. One JSON a result, a line each on the screen."""
    workspace = _workspace(store, data_root, reports, device=device, devices=1, workers=workers, precision=precision)
    audit = Audit(
        victim, shadow, defense or (), attacks=attack or (), seeds=seed or [0], repeats=repeats, workspace=workspace
    )
    if dry_run:
        return screen.plan(audit.plan())
    if _audit(audit):
        screen.following(list(audit.written[-1:]), f"mia-seg report --reports {reports}")


@app.command()
def run(
    victim: Victim,
    shadow: Shadow,
    defense: DefenseNames = None,
    *,
    attack: AttackNames = None,
    seed: Seeds = None,
    repeats: Repeats = 1,
    data_root: DataRoot = None,
    store: StoreRoot = STORE,
    reports: Reports = REPORTS,
    device: Device = "auto",
    workers: Workers = 0,
    precision: PrecisionName = None,
    dry_run: DryRun = False,
) -> None:
    """All stages, reusing what exists: train victim and shadow, ask, attack, measure, report."""
    workspace = _workspace(store, data_root, reports, device=device, devices=1, workers=workers, precision=precision)
    audit = Audit(
        victim, shadow, defense or (), attacks=attack or (), seeds=seed or [0], repeats=repeats, workspace=workspace
    )
    if dry_run:
        return screen.plan(audit.plan())
    if _audit(audit):
        screen.following(screen.pages(_report(workspace)), "mia-seg results, or open the page")


@app.command()
def plan(
    victim: Victim,
    shadow: Shadow,
    defense: DefenseNames = None,
    *,
    attack: AttackNames = None,
    seed: Seeds = None,
    repeats: Repeats = 1,
    data_root: DataRoot = None,
    store: StoreRoot = STORE,
    reports: Reports = REPORTS,
    as_json: AsJson = False,
) -> None:
    """List every stage of a run: whole or missing, and what earlier runs say of minutes and bytes."""
    workspace = _workspace(store, data_root, reports, device="cpu")
    audit = Audit(
        victim, shadow, defense or (), attacks=attack or (), seeds=seed or [0], repeats=repeats, workspace=workspace
    )
    screen.plan(audit.plan(), as_json)


@app.command()
def report(
    data_root: DataRoot = None, store: StoreRoot = STORE, reports: Reports = REPORTS, *, device: Device = "auto"
) -> None:
    """Draw figures, tables and the page again from the results; CAM maps where models and images are at hand."""
    workspace = _workspace(store, data_root, reports, device=device)
    screen.following(screen.pages(_report(workspace)), f"open {reports / 'index.html'}")


@app.command("list")
def list_() -> None:
    """What there is: recipes, data sets, segmenters, defenses, attacks."""
    from rich.markup import escape
    from rich.table import Table

    from mia_seg.recipes.catalogue import catalogue

    for kind, entries in catalogue().items():
        table = Table("name", "what", title=kind, title_justify="left", box=None, pad_edge=False)
        for name, what in entries:
            table.add_row(name, escape(what))
        screen.out().print(table, "")


@app.command()
def check(data_root: DataRoot = None) -> None:
    """Read every recipe and look at the data root, in seconds; says what to do about each fault."""
    from mia_seg.recipes import catalogue
    from mia_seg.stages import checks

    faults = 0
    if data_root is not None:
        screen.says(f"which data sets lie in {data_root}: every folder's pairs, and the classes in a few label files")
        faults += screen.findings(catalogue.survey(data_root))
        screen.says("every recipe: its keys, its data set, its split and the first scene of its members")
    faults += screen.findings(catalogue.check(checks.recipe_of, data_root))
    if faults:
        raise MiaSegError(f"{faults} of the above need attention. Recipes with an ok can be run as they are.")
    screen.following([], "mia-seg run VICTIM SHADOW")


@app.command()
def results(
    reports: Reports = REPORTS,
    form: Annotated[
        Form,
        typer.Option("--format", help="text and latex: some columns. json and csv: all."),
    ] = Form.TEXT,
    as_json: Annotated[bool, typer.Option("--json", help="Short for --format json.")] = False,
    *,
    schema: Annotated[
        bool, typer.Option("--schema", help="The JSON schema of a result's file, and nothing else.")
    ] = False,
) -> None:
    """Every result in a folder and those below it as a list, a row a result and level: what scripts and CI read."""
    from mia_seg.evaluate import results as results_

    if schema:
        return print(json.dumps(results_.json_schema(), indent=1))
    found, form = results_.read_all(reports), Form.JSON if as_json else form
    if not found and form is not Form.JSON:
        raise MiaSegError(f"{reports} holds no results. Run 'mia-seg run VICTIM SHADOW', or point --reports to them.")
    screen.FORMS[form](found)


def _workspace(
    store: Path, data_root: Path | None, reports: Path, *, device: str, devices: int = 1, workers: int = 0,
    precision: str | None = None,
) -> "Workspace":  # fmt: skip
    from mia_seg.recipes import Precision
    from mia_seg.store import Store
    from mia_seg.workspace import Workspace

    if precision not in (None, *get_args(Precision)):
        raise MiaSegError(f"--precision {precision}: choose one of {', '.join(get_args(Precision))}.")
    return Workspace(Store(store), data_root, reports, device, devices, workers, cast("Precision | None", precision))


def _train(stages: "Sequence[Stage[Path]]", workspace: "Workspace", dry_run: bool) -> bool:
    """Make these stages and what they need, or list them; whether they are there now, and this is the first process."""
    from mia_seg.stages.plan import Plan
    from mia_seg.stages.run import run as run_plan

    planned = Plan(tuple(stages), workspace.store)
    if dry_run:
        screen.plan(planned)
        return False
    outcome = run_plan(planned, workspace, screen.say)
    outcome.check()
    return outcome.first


def _places(stages: "Sequence[Stage[Path]]", workspace: "Workspace") -> list[Path]:
    return [stage.artefact(workspace.store).path for stage in stages]


def _audit(audit: Audit) -> bool:
    """Run with a line a stage, and show what could be made even where something failed; whether all is in hand here.

    Of several processes that share a training only the first has the results.
    """
    try:
        audit.run(screen.say)
    finally:
        screen.results(audit.made)
    return bool(audit.written)


def _victim_of(shadow: str) -> str:
    from mia_seg import recipes
    from mia_seg.recipes.adversaries import A2

    adversary = recipes.load_shadow(shadow).adversary
    return "VICTIM" if isinstance(adversary, A2) else adversary.victim


def _report(workspace: "Workspace") -> list[Path]:
    from mia_seg.report.from_store import report

    return report(workspace.reports, workspace.store, workspace.data_root)


def main() -> None:
    """Console entry: a user's mistake is one sentence and exit code 2."""
    try:
        app(prog_name="mia-seg")
    except MiaSegError as error:
        screen.fault(str(error))
        sys.exit(2)
