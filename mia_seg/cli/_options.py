"""The options and arguments that several commands share."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mia_seg.api import ATTACKS, DEFENSES, LARGEST_SEED
from mia_seg.cli import _complete as complete

STORE, REPORTS = Path("runs"), Path("reports")


class Keeping(StrEnum):
    """What stays of a fleet; `mia_seg.stages.keep.Keep`, which would import torch."""

    ALL = "all"
    ANSWERS = "answers"
    STATISTICS = "statistics"


class Form(StrEnum):
    """How results are printed."""

    TEXT = "text"
    JSON = "json"
    CSV = "csv"
    LATEX = "latex"


class ReportForm(StrEnum):
    """What a report is drawn as."""

    HTML = "html"
    MD = "md"
    CSV = "csv"
    JSON = "json"
    LATEX = "latex"
    PDF = "pdf"


Drawn = Annotated[
    list[ReportForm] | None,
    typer.Option(
        "--format",
        help="html: a page an audit and an index. md: READMEs with figures. csv, json, latex: all numbers in one "
        "file. pdf: the pages, printed by Chromium. Repeat for several. Default: html and md.",
    ),
]
Seeds = Annotated[
    list[int] | None,
    typer.Option("--seed", min=0, max=LARGEST_SEED, help="Seed of split, weights, noise; repeatable. Default: 0."),
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
# One process each: more than a machine has would only stand in each other's way.
DeviceCount = Annotated[int, typer.Option(min=1, max=64, help="How many devices.")]
Jobs = Annotated[
    int, typer.Option(min=1, help="How many stages are made at once, each in a process of its own on this machine.")
]
On = Annotated[
    str | None, typer.Option("--on", help="Where stages are made, many at once: ray, ray://HOST:PORT or slurm.")
]
Workers = Annotated[
    int, typer.Option(min=0, max=256, help="Processes that read and augment; results do not depend on it.")
]
PrecisionName = Annotated[
    str | None,
    typer.Option("--precision", help="32-true, bf16-mixed or 16-mixed for training, in place of the recipes'."),
]
DefenseNames = Annotated[
    list[str] | None,
    typer.Option(
        "--defense",
        help=f"name or name:value; repeat for several. Default: {', '.join(DEFENSES)}.",
        autocompletion=complete.DEFENSES,
    ),
]
AttackNames = Annotated[
    list[str] | None,
    typer.Option(
        "--attack",
        help=f"name or name:value; repeat for several. Default: {', '.join(ATTACKS)}; through a fleet, those that "
        f"compare with many shadows.",
        autocompletion=complete.ATTACKS,
    ),
]
Repeats = Annotated[
    int,
    typer.Option(min=1, help="How often the attacker asks about each scene, averaging the answers."),
]
Quick = Annotated[bool, typer.Option("--quick", help="Leave out those of the usual defenses that train: SynFeat.")]
GeneratorName = Annotated[
    str | None,
    typer.Option(
        "--generator",
        help="name or name:value in place of the recipe's, its other settings kept.",
        autocompletion=complete.GENERATORS,
    ),
]
Keep = Annotated[
    Keeping,
    typer.Option(
        "--keep", help="What stays of a fleet's shadows: all; their answers and no weights; or the statistics that "
        "attacks have read. What a later run needs again is made anew.",
    ),
]  # fmt: skip
Yes = Annotated[bool, typer.Option("--yes", help="Go on where a run takes a month or more.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="List every stage, whole or missing, and make nothing.")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON, for scripts.")]
Measured = Annotated[list[Path] | None, typer.Argument(help="Files or folders of results. Default: reports.")]
Victim = Annotated[str, typer.Argument(help="A victim recipe: see 'mia-seg list'.", autocompletion=complete.VICTIMS)]
Shadow = Annotated[str, typer.Argument(help="A shadow recipe: see 'mia-seg list'.", autocompletion=complete.SHADOWS)]


VictimOrGrid = Annotated[
    str | None,
    typer.Argument(
        show_default=False, help="A victim recipe, unless --grid is given.", autocompletion=complete.VICTIMS
    ),
]
ShadowOrGrid = Annotated[
    str | None, typer.Argument(show_default=False, help="A shadow recipe, likewise.", autocompletion=complete.SHADOWS)
]
GridName = Annotated[
    str | None, typer.Option("--grid", help="A file of grids/ by its name: many audits in one run, sharing models.")
]


@dataclass(frozen=True)
class Tried:
    """What is tried on a victim."""

    victim: Victim
    shadow: Shadow
    defense: DefenseNames = None
    attack: AttackNames = None
    seed: Seeds = None
    repeats: Repeats = 1
    quick: Quick = False


@dataclass(frozen=True)
class TriedOrGrid(Tried):
    """The same, or what a file lists."""

    victim: VictimOrGrid = None  # type: ignore[assignment]
    shadow: ShadowOrGrid = None  # type: ignore[assignment]
    grid: GridName = None


@dataclass(frozen=True)
class Kept:
    """Where scenes are read and models kept."""

    data_root: DataRoot = None
    store: StoreRoot = STORE


@dataclass(frozen=True)
class Places(Kept):
    """And where results go."""

    reports: Reports = REPORTS


@dataclass(frozen=True)
class Machine:
    """What computes, and how precisely."""

    device: Device = "auto"
    workers: Workers = 0
    precision: PrecisionName = None


@dataclass(frozen=True)
class Devices(Machine):
    """Several that share a training."""

    devices: DeviceCount = 1


@dataclass(frozen=True)
class Making:
    """How stages are made, or listed."""

    jobs: Jobs = 1
    on: On = None
    dry_run: DryRun = False
    as_json: AsJson = False
    yes: Yes = False


@dataclass(frozen=True)
class Attacking(Making):
    """The same, and what stays of it."""

    keep: Keep = Keeping.ALL
