"""The options and arguments that several commands share."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mia_seg.api import ATTACKS, DEFENSES, LARGEST_SEED


class Kept(StrEnum):
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
Devices = Annotated[int, typer.Option(min=1, max=64, help="How many devices.")]
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
Keep = Annotated[
    Kept,
    typer.Option(
        "--keep", help="What stays of a fleet's shadows: all; their answers and no weights; or the statistics that "
        "attacks have read. What a later run needs again is made anew.",
    ),
]  # fmt: skip
Yes = Annotated[bool, typer.Option("--yes", help="Go on where a run takes a month or more.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="List every stage, whole or missing, and make nothing.")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON, for scripts.")]
Victim = Annotated[str, typer.Argument(help="A victim recipe: see 'mia-seg list'.")]
Shadow = Annotated[str, typer.Argument(help="A shadow recipe: see 'mia-seg list'.")]
