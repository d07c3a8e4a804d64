"""The command line: parse, call, print. Everything heavy is imported inside the commands."""

import json
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from mia_seg.api import Audit
from mia_seg.cli import _screen as screen
from mia_seg.cli import _work as work
from mia_seg.cli._audit import audit
from mia_seg.cli._check import check
from mia_seg.cli._compare import compare
from mia_seg.cli._declare import command
from mia_seg.cli._fleet import fleet
from mia_seg.cli._gate import gate
from mia_seg.cli._open import open_
from mia_seg.cli._options import (
    REPORTS,
    STORE,
    AsJson,
    Attacking,
    Device,
    Devices,
    Drawn,
    Form,
    GeneratorName,
    Kept,
    Machine,
    Making,
    Places,
    Reports,
    Seeds,
    Shadow,
    StoreRoot,
    Tried,
    TriedOrGrid,
    Victim,
)  # fmt: skip
from mia_seg.cli._score import score
from mia_seg.cli._serve import serve
from mia_seg.cli._store import store as store_commands
from mia_seg.errors import MiaSegError

if TYPE_CHECKING:
    from mia_seg.stages import Stage as Stage
    from mia_seg.workspace import Workspace as Workspace


ENDING = (signal.SIGTERM, signal.SIGUSR1)  # what schedulers send before they kill


class Ended(KeyboardInterrupt):
    """A scheduler's signal, by its number, which stops a command as Ctrl-C does.

    It is no error, because what a model's own code raises is told as its fault.
    """


class Commands(TyperGroup):
    """The commands; Ctrl-C says how to go on and gives 130 (typer would say nothing), signal N gives 128 + N."""

    def invoke(self, ctx: Any) -> Any:  # noqa: D102
        from mia_seg import progress

        progress.show()
        try:
            with _ending():
                return super().invoke(ctx)
        except KeyboardInterrupt as stop:
            print("\nStopped. The same command goes on from the last saved step.", file=sys.stderr)
            raise typer.Exit(128 + stop.args[0] if isinstance(stop, Ended) else 130) from None


@contextmanager
def _ending() -> Iterator[None]:
    """Raise Ended on a scheduler's signal. A training and a server have ways of their own to end."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _end) for number in ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(number: int, _: object) -> None:
    raise Ended(number)


app = typer.Typer(
    cls=Commands,
    help="Can someone who only sees a segmentation model's predictions tell which images it was trained on, "
    "and what would a defense cost?\n\nStart with 'mia-seg demo': it needs no data and takes a few minutes.",
    no_args_is_help=True,
    rich_markup_mode=None,  # boxes of rich would cost as much as all the rest of --help
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)


app.add_typer(store_commands, name="store")

# The toy that is a first-class citizen: the whole line on made-up streets.
DEMO = "demo", "demo_a1", ("none", "argmax")
DEMO_ATTACKS = ("image_loss", "patch_resnet50:concat", "patch_resnet50:labels")


@app.command()
@command
def demo(store: StoreRoot = STORE, reports: Reports = Path("demo_report"), device: Device = "auto") -> None:
    """Train and attack a small segmenter of generated street scenes, in minutes on two CPU cores. Needs no data."""
    workspace = work.opened(Places(store=store, reports=reports), Machine(device))
    workspace = replace(workspace, precision=workspace.fastest)
    audit = Audit(*DEMO, attacks=DEMO_ATTACKS, seeds=[0], workspace=workspace)
    audit.run(screen.say)
    audit.report()
    screen.verdict(audit.results)
    screen.following([reports / "index.html"], "mia-seg list, then mia-seg run VICTIM SHADOW --data-root FOLDER")


@app.command()
@command
def train_victim(name: Victim, seed: Seeds = None, *, places: Kept, machine: Devices, making: Making) -> None:
    """Train the segmenter under attack, unless it exists. A killed run resumes."""
    from mia_seg.pipeline import Pipeline

    workspace = work.opened(places, machine)
    pipeline = Pipeline(workspace)
    victims = [pipeline.trained_victim(name, s) for s in seed or [0]]
    if work.trained(victims, workspace, making):
        screen.following(work.places(victims, workspace), f"mia-seg run {name} SHADOW")


@app.command()
@command
def train_shadow(name: Shadow, seed: Seeds = None, *, places: Kept, machine: Devices, making: Making) -> None:
    """Train the attacker's own segmenter, whose training images it knows. A missing victim is trained first."""
    from mia_seg.pipeline import Pipeline

    workspace = work.opened(places, machine)
    pipeline = Pipeline(workspace)
    shadows = [model for s in seed or [0] for model in pipeline.shadows(name, s)]
    if work.trained(shadows, workspace, making):
        screen.following(work.places(shadows, workspace), f"mia-seg run {work.victim_of(name)} {name}")


@app.command()
@command
def train_generator(
    name: Victim,
    generator: GeneratorName = None,
    seed: Seeds = None,
    *,
    places: Places,
    machine: Machine,
    making: Making,
) -> None:
    """Train the generator that the defense 'synfeat' needs. A missing victim is trained first."""
    from mia_seg.evaluate import results as results_
    from mia_seg.pipeline import Pipeline
    from mia_seg.stages.generators import TrainedGenerator, with_generator

    workspace = work.opened(places, machine)
    pipeline = Pipeline(workspace)
    victims = [pipeline.trained_victim(name, s) for s in seed or [0]]
    made = [TrainedGenerator(victim, with_generator(victim.recipe, generator)) for victim in victims]
    if work.trained(made, workspace, making):
        scores = [results_.write_generator(places.reports, stage.score(workspace.store)) for stage in made]
        then = f"mia-seg run {name} SHADOW --defense none --defense synfeat:0.75"
        screen.following([*work.places(made, workspace), *scores], then)


@app.command()
@command
def attack(tried: Tried, places: Places, machine: Machine, *, making: Attacking) -> None:
    """Ask the models, attack and measure, without a report. Trains what is missing. Writes one JSON per result."""
    audit = work.one(tried, work.opened(places, machine))
    then = f"mia-seg report --reports {places.reports}"
    work.audited(audit, making, lambda: screen.following(list(audit.written[-1:]), then))


@app.command()
@command
def run(tried: TriedOrGrid, places: Places, machine: Machine, *, making: Attacking) -> None:
    """Run an audit: train victim and shadow, ask both, attack, measure, draw the report. Reuses what exists."""
    audit = work.asked(tried, work.opened(places, machine))

    def finish() -> None:
        screen.following(
            screen.pages(work.drawn(audit.workspace)), f"mia-seg results, or {work.opening(places.reports)}"
        )

    work.audited(audit, making, finish)


app.command()(command(audit))


@app.command()
@command
def plan(tried: TriedOrGrid, places: Places, as_json: AsJson = False) -> None:
    """List every stage of a run, whether it exists, and the minutes and bytes that earlier runs took."""
    work.planned(work.asked(tried, work.opened(places, Machine())), as_json)


@app.command()
@command
def report(
    places: Places,
    form: Drawn = None,
    thumbnails: Annotated[
        bool,
        typer.Option("--thumbnails", help="Also show the most exposed images, and predictions for a few."),
    ] = False,
) -> None:
    """Draw one page per audit, and an index, from the results. Pages whose results did not change stay as they are."""
    made = work.report(places.reports, places.store, places.data_root, forms=form, thumbnails=thumbnails)
    screen.following(screen.pages(made), f"open {made[-1]}" if form else work.opening(places.reports))


app.command("open")(command(open_))


@app.command("list")
@command
def list_(as_json: AsJson = False) -> None:
    """List all recipes, data sets, segmenters, defenses, attacks and other components."""
    from rich.markup import escape
    from rich.table import Table

    from mia_seg.recipes.catalogue import catalogue
    from mia_seg.texts import printable

    found = catalogue()
    if as_json:
        return print(json.dumps({kind: dict(entries) for kind, entries in found.items()}, indent=1))
    for kind, entries in found.items():
        table = Table("name", "what", title=kind, title_justify="left", box=None, pad_edge=False)
        for name, what in entries:
            table.add_row(*(escape(printable(text)) for text in (name, what)))
        screen.out().print(table, "")


app.command()(command(check))


@app.command()
@command
def results(
    reports: Reports = REPORTS,
    form: Annotated[
        Form,
        typer.Option("--format", help="text and latex print some columns, json and csv all."),
    ] = Form.TEXT,
    as_json: Annotated[bool, typer.Option("--json", help="Short for --format json.")] = False,
    *,
    schema: Annotated[bool, typer.Option("--schema", help="Print only the JSON schema of a result file.")] = False,
) -> None:
    """List every result below a folder, for scripts and CI: one row per result and level (image, group, patch)."""
    from mia_seg.evaluate import results as results_

    if schema:
        return print(json.dumps(results_.json_schema(), indent=1))
    found, form = results_.read_all(reports), Form.JSON if as_json else form
    if not found and form is not Form.JSON:
        raise MiaSegError(f"{reports} holds no results. Run 'mia-seg run VICTIM SHADOW', or point --reports to them.")
    screen.FORMS[form](found)


app.command()(command(compare))
app.command()(command(gate))
app.command()(command(fleet))
app.command()(command(score))
app.command()(command(serve))


def main() -> None:
    """Console entry: a user's mistake is one sentence and exit code 2."""
    screen.escaping()
    try:
        app(prog_name="mia-seg")
    except MiaSegError as error:
        screen.fault(str(error))
        sys.exit(2)
