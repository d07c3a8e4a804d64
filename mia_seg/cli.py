"""The command line: parse, call, print. Everything heavy is imported inside the commands."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from typer.core import TyperGroup

from mia_seg.errors import MiaSegError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mia_seg.data import Finding
    from mia_seg.workspace import Workspace


class Commands(TyperGroup):
    """The commands; Ctrl-C says how to go on and gives 130 (typer would give 130 and say nothing)."""

    def invoke(self, ctx: Any) -> Any:  # noqa: D102
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            print("\nStopped. The same command goes on from the last saved step.", file=sys.stderr)
            raise typer.Exit(130) from None


app = typer.Typer(
    cls=Commands,
    help="Can someone who only sees a segmentation model's predictions tell which images it was trained on, "
    "and what would a defense cost?\n\nStart with [bold]mia-seg demo[/]: it needs no data and takes a few minutes.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
# A log has no width of its own, and a table folded to 80 columns cannot be read back.
out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 160)

DEFENSES = ["none", "argmax", "dropout:0.1", "dropout:0.9", "gaussian:0.5", "gaussian:1.0"]
FLEET_ATTACKS = ["image_loss", "label_only", "attack_p", "quantile_regression", "calibration", "attack_r", "base"]
FLEET_ATTACKS += ["lira", "lira:offline_cdf", "lira:statistic=vector", "rmia", "rmia:offline", "learned_calibration"]
ATTACKS = ["image_loss", "patch_resnet50:concat", "patch_resnet50:loss", "patch_resnet50:labels"]

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
    typer.Option("--attack", help=f"name or name:value; repeat for several. Default: {', '.join(ATTACKS)}."),
]
Repeats = Annotated[
    int,
    typer.Option(min=1, help="How often the attacker asks about each scene, averaging the answers."),
]
GeneratorName = Annotated[
    str | None,
    typer.Option("--generator", help="name or name:value in place of the recipe's, its other settings kept."),
]
Victim = Annotated[str, typer.Argument(help="A victim recipe: see 'mia-seg list'.")]
Shadow = Annotated[str, typer.Argument(help="A shadow recipe: see 'mia-seg list'.")]

STORE, REPORTS = Path("runs"), Path("reports")


@app.command()
def demo(store: StoreRoot = STORE, reports: Reports = Path("demo_report"), device: Device = "auto") -> None:
    """Attack a small segmenter of made-up streets, end to end, in minutes: no data, no network, two CPU cores."""
    from mia_seg.demo import demo as run_demo

    for line in run_demo(_space(store, None, reports, device)):
        out.print(line, markup=False)
    _next([reports / "index.html"], "mia-seg list, then mia-seg run VICTIM SHADOW --data-root FOLDER")


@app.command()
def train_victim(
    name: Victim,
    seed: Seeds = None,
    data_root: DataRoot = None,
    store: StoreRoot = STORE,
    device: Device = "auto",
    devices: Devices = 1,
    workers: Workers = 0,
    precision: PrecisionName = None,
) -> None:
    """Train the segmenter under attack (or say that it exists). A killed run resumes."""
    from mia_seg import pipeline

    space = _space(store, data_root, REPORTS, device, devices, workers, precision)
    made = [pipeline.train_victim(name, s, space) for s in seed or [0]]
    _next([model.artefact.path for model in made], f"mia-seg run {name} SHADOW")


@app.command()
def train_shadow(
    name: Shadow,
    seed: Seeds = None,
    data_root: DataRoot = None,
    store: StoreRoot = STORE,
    device: Device = "auto",
    devices: Devices = 1,
    workers: Workers = 0,
    precision: PrecisionName = None,
) -> None:
    """Train the attacker's own segmenter, whose membership it knows; a missing victim is trained first."""
    from mia_seg import pipeline

    space = _space(store, data_root, REPORTS, device, devices, workers, precision)
    made = [pipeline.train_shadow(name, s, space) for s in seed or [0]]
    _next([m.artefact.path for model in made for m in model.models], f"mia-seg run {_victim_of(name)} {name}")


@app.command()
def train_generator(
    name: Victim,
    generator: GeneratorName = None,
    seed: Seeds = None,
    data_root: DataRoot = None,
    store: StoreRoot = STORE,
    reports: Reports = REPORTS,
    device: Device = "auto",
    workers: Workers = 0,
    precision: PrecisionName = None,
) -> None:
    """Train the generator of a victim's features, for the defense 'synfeat'; a missing victim is trained first."""
    from mia_seg import pipeline

    space = _space(store, data_root, reports, device, 1, workers, precision)
    written, section = [], pipeline.generator_section(name, generator)
    for s in seed or [0]:
        model = pipeline.with_generator(pipeline.train_victim(name, s, space), section)
        artefact = pipeline.train_generator(model, space)
        written += [artefact.path, pipeline.write_score(model, artefact, space)]
    _next(written, f"mia-seg run {name} SHADOW --defense none --defense synfeat:0.75")


@app.command()
def attack(
    victim: Victim,
    shadow: Shadow,
    defense: DefenseNames = None,
    attack: AttackNames = None,
    seed: Seeds = None,
    repeats: Repeats = 1,
    data_root: DataRoot = None,
    store: StoreRoot = STORE,
    reports: Reports = REPORTS,
    device: Device = "auto",
    workers: Workers = 0,
    precision: PrecisionName = None,
) -> None:
    """Ask, attack and measure; trains what is missing. One JSON a result, a line each on the screen."""
    space = _space(store, data_root, reports, device, 1, workers, precision)
    written = _attack(victim, shadow, defense, attack, seed, space, repeats)
    _show(written)
    _next(written[-1:], f"mia-seg report --reports {reports}")


@app.command()
def run(
    victim: Victim,
    shadow: Shadow,
    defense: DefenseNames = None,
    attack: AttackNames = None,
    seed: Seeds = None,
    repeats: Repeats = 1,
    data_root: DataRoot = None,
    store: StoreRoot = STORE,
    reports: Reports = REPORTS,
    device: Device = "auto",
    workers: Workers = 0,
    precision: PrecisionName = None,
) -> None:
    """All stages, reusing what exists: train victim and shadow, ask, attack, measure, report."""
    from mia_seg import pipeline

    space = _space(store, data_root, reports, device, 1, workers, precision)
    _show(_attack(victim, shadow, defense, attack, seed, space, repeats))
    _next(_pages(pipeline.report(space)), "mia-seg results, or open the page")


@app.command()
def report(
    data_root: DataRoot = None, store: StoreRoot = STORE, reports: Reports = REPORTS, device: Device = "auto"
) -> None:
    """Draw figures, tables and the page again from the results; CAM maps where models and images are at hand."""
    from mia_seg import pipeline

    _next(_pages(pipeline.report(_space(store, data_root, reports, device))), f"open {reports / 'index.html'}")


@app.command("list")
def list_() -> None:
    """What there is: recipes, data sets, segmenters, defenses, attacks."""
    from mia_seg.recipes.catalogue import catalogue

    for kind, entries in catalogue().items():
        table = Table("name", "what", title=kind, title_justify="left", box=None, pad_edge=False)
        for name, what in entries:
            table.add_row(name, escape(what))
        out.print(table, "")


@app.command()
def check(data_root: DataRoot = None) -> None:
    """Read every recipe and look at the data root, in seconds; says what to do about each fault."""
    from mia_seg.recipes import catalogue
    from mia_seg.stages.checks import settings_of

    faults = 0
    if data_root is not None:
        _says(f"which data sets lie in {data_root}: every folder's pairs, and the classes in a few label files")
        faults += _findings(catalogue.survey(data_root))
        _says("every recipe: its keys, its data set, its split and the first scene of its members")
    faults += _findings(catalogue.check(settings_of, data_root))
    if faults:
        raise MiaSegError(f"{faults} of the above need attention. Recipes with an ok can be run as they are.")
    _next([], "mia-seg run VICTIM SHADOW")


@app.command()
def results(
    reports: Reports = REPORTS,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON list of flat rows.")] = False,
) -> None:
    """Every result as one flat list, a row a result and level: what scripts and CI read."""
    from mia_seg.evaluate import results as results_

    found = list(results_.rows(results_.read_all(reports)))
    if not found and not as_json:
        raise MiaSegError(f"{reports} holds no results. Run 'mia-seg run VICTIM SHADOW', or point --reports to them.")
    if as_json:
        print(json.dumps(found, indent=1))
    else:
        _table(found)


def _says(checks: str) -> None:
    out.print(f"[dim]checking[/] {escape(checks)}")


def _findings(found: "Iterable[Finding]") -> int:
    """A line a finding, as it is found; how many of them are faults."""
    faults = 0
    for state, line in found:
        style = {"ok": "green", "absent": "dim", "problem": "red"}[state]
        out.print(f"[{style}]{state:<7}[/]  " + (f"[dim]{escape(line)}[/]" if state == "absent" else escape(line)))
        faults += state == "problem"
    return faults


def _attack(
    victim: str,
    shadow: str,
    defense: list[str] | None,
    attack: list[str] | None,
    seed: list[int] | None,
    space: "Workspace",
    repeats: int,
) -> list[Path]:
    from mia_seg import pipeline, recipes

    adversary = recipes.load("shadow", shadow).adversary
    usual = FLEET_ATTACKS if adversary and adversary.models else ATTACKS
    return [
        path
        for s in seed or [0]
        for path in pipeline.run(victim, shadow, defense or DEFENSES, attack or usual, s, space, repeats)
    ]


def _space(
    store: Path,
    data_root: Path | None,
    reports: Path,
    device: str,
    devices: int = 1,
    workers: int = 0,
    precision: str | None = None,
) -> "Workspace":
    from mia_seg.recipes import Precision
    from mia_seg.store import Store
    from mia_seg.workspace import Workspace

    if precision not in (None, *get_args(Precision)):
        raise MiaSegError(f"--precision {precision}: choose one of {', '.join(get_args(Precision))}.")
    return Workspace(Store(store), data_root, reports, device, devices, workers, cast("Precision | None", precision))


def _victim_of(shadow: str) -> str:
    from mia_seg import recipes

    adversary = recipes.load("shadow", shadow).adversary
    return adversary.victim if adversary and adversary.victim else "VICTIM"


def _show(written: list[Path]) -> None:
    from mia_seg.evaluate import results as results_

    _table(list(results_.rows([results_.read(path) for path in written])))


def _table(rows: list[dict[str, Any]]) -> None:
    columns = ("victim", "shadow", "defense", "attack", "adaptive", "level", "seed", "AUC [95%]", "mIoU out")
    table = Table(*columns, box=None, pad_edge=False)
    for row in rows:
        method = f"{row['attack']}:{row['representation']}" if row["representation"] else row["attack"]
        auc = f"{row['auc']:.3f} [{row['auc_low']:.3f}, {row['auc_high']:.3f}]"
        table.add_row(
            row["victim"], row["shadow"], row["defense"], method, "yes" if row["adaptive"] else "no", row["level"],
            str(row["seed"]), auc, f"{row['miou_nonmembers']:.3f}",
        )  # fmt: skip
    out.print(table)


def _pages(written: list[Path]) -> list[Path]:
    """The pages among a report's files; the figures are counted, not listed."""
    pages = [path for path in written if path.suffix in (".html", ".md")]
    out.print(f"[dim]    drew[/] {len(written) - len(pages)} figures")
    return pages


def _next(wrote: list[Path], then: str) -> None:
    for path in wrote:
        out.print(f"[dim]   wrote[/] {escape(str(path))}")
    out.print(f"[dim]    next[/] {then}")


def main() -> None:
    """Console entry: a user's mistake is one sentence and exit code 2."""
    try:
        app(prog_name="mia-seg")
    except MiaSegError as error:
        # A sentence may name '[train] batch': that is no markup.
        Console(stderr=True, highlight=False, soft_wrap=True).print("mia-seg:", str(error), style="red", markup=False)
        sys.exit(2)
