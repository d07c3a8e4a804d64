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
        help="html: one page per audit and an index. md: READMEs with figures. csv, json, latex: all numbers in one "
        "file. pdf: the pages, printed by Chromium. Repeatable. Default: html and md.",
    ),
]
Seeds = Annotated[
    list[int] | None,
    typer.Option("--seed", min=0, max=LARGEST_SEED, help="Seed of split, weights and noise; repeatable. Default: 0."),
]
DataRoot = Annotated[
    Path | None,
    typer.Option(envvar="MIA_SEG_DATA", help="Folder that holds the data sets, such as labelmefacade/ or camvid/."),
]
StoreRoot = Annotated[
    Path, typer.Option("--store", envvar="MIA_SEG_STORE", help="Where models and answers are kept and reused.")
]
Reports = Annotated[Path, typer.Option(help="Where results and the page are written.")]
Device = Annotated[str, typer.Option(help="Device to compute on: cpu, cuda, mps or auto.")]
# One process each: more than a machine has would only stand in each other's way.
DeviceCount = Annotated[int, typer.Option(min=1, max=64, help="Number of devices that train one model together.")]
Jobs = Annotated[
    int, typer.Option(min=1, help="Number of stages (trainings, queries, ...) made at once, each in its own process.")
]
On = Annotated[str | None, typer.Option("--on", help="Make stages on a cluster: ray, ray://HOST:PORT or slurm.")]
Workers = Annotated[
    int,
    typer.Option(
        min=0, max=256, help="Processes that read and augment scenes, per device; results do not depend on it."
    ),
]
PrecisionName = Annotated[
    str | None,
    typer.Option("--precision", help="Precision of training instead of the recipes': 32-true, bf16-mixed or 16-mixed."),
]
DefenseNames = Annotated[
    list[str] | None,
    typer.Option(
        "--defense",
        help=f"Defense as name or name:value; repeatable. Default: {', '.join(DEFENSES)}.",
        autocompletion=complete.DEFENSES,
    ),
]
AttackNames = Annotated[
    list[str] | None,
    typer.Option(
        "--attack",
        help=f"Attack as name or name:value; repeatable. Default: {', '.join(ATTACKS)}; with a fleet, those that "
        f"compare with many shadows.",
        autocompletion=complete.ATTACKS,
    ),
]
Repeats = Annotated[
    int,
    typer.Option(min=1, help="How often the attacker asks about each scene; the answers are averaged."),
]
Quick = Annotated[
    bool, typer.Option("--quick", help="Leave out SynFeat, the one usual defense that has to be trained.")
]
GeneratorName = Annotated[
    str | None,
    typer.Option(
        "--generator",
        help="Generator as name or name:value, instead of the recipe's. Its other settings are kept.",
        autocompletion=complete.GENERATORS,
    ),
]
Keep = Annotated[
    Keeping,
    typer.Option(
        "--keep", help="What to keep of a fleet's shadows, to save disk space. all; answers: no weights; statistics: "
        "only what attacks have read of the answers. A later run makes again what it needs.",
    ),
]  # fmt: skip
Yes = Annotated[bool, typer.Option("--yes", help="Start the run even if it takes a month or more.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="List every stage and its cost, and make nothing.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
Measured = Annotated[list[Path] | None, typer.Argument(help="Files or folders of results. Default: reports.")]
Victim = Annotated[
    str,
    typer.Argument(help="Recipe of the model under attack: see 'mia-seg list'.", autocompletion=complete.VICTIMS),
]
Shadow = Annotated[
    str,
    typer.Argument(help="Recipe of the attacker's own model: see 'mia-seg list'.", autocompletion=complete.SHADOWS),
]


VictimOrGrid = Annotated[
    str | None,
    typer.Argument(
        show_default=False,
        help="Recipe of the model under attack, unless --grid is given.",
        autocompletion=complete.VICTIMS,
    ),
]
ShadowOrGrid = Annotated[
    str | None,
    typer.Argument(
        show_default=False,
        help="Recipe of the attacker's own model, unless --grid is given.",
        autocompletion=complete.SHADOWS,
    ),
]
GridName = Annotated[
    str | None, typer.Option("--grid", help="Name of a file in grids/, which lists many audits. They share models.")
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
