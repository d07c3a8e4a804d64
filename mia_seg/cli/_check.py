"""`mia-seg check`: what lies below a root and whether it is sound, at a glance or from every file."""

import json
import os
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mia_seg.cli import _screen as screen
from mia_seg.cli._options import AsJson, DataRoot
from mia_seg.errors import MiaSegError

if TYPE_CHECKING:
    from mia_seg.recipes.inspected import DataPart, Inspection, LabelValue, Scenes, TwinScenes

COLUMNS = (
    "data set", "pairs", "height x width", "images", "labels", "values", "classes", "ignored", "unknown",
    "unlabelled", "exact twins", "near twins", "broken",
)  # fmt: skip
LISTED = 24  # values that a line holds; JSON has all
STYLES = {"values": "dim", "scenes": "yellow", "twins": "yellow", "absent": "dim", "problem": "red"}


def check(
    data_root: DataRoot = None,
    *,
    every: Annotated[
        bool,
        typer.Option("--all", help="Read every image and label file instead, and print a table."),
    ] = False,
    as_json: AsJson = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="With --all: files read at once. Default: one per CPU core.")
    ] = None,
) -> None:
    """Check every recipe and the folders below the data root, in seconds. Says how to mend each fault.

    With --all it reads every image and label file instead. It reports sizes and modes, label values and those without
    a class, scenes without a label, images that occur twice, and broken files.
    """
    if every:
        return _read(data_root, as_json, workers)
    if workers is not None:
        raise MiaSegError("--workers belongs to 'mia-seg check --all'. Add --all, or leave it out.")
    _look(data_root, as_json)


def _look(data_root: Path | None, as_json: bool) -> None:
    from mia_seg.recipes import catalogue
    from mia_seg.stages import checks, limits

    faults, told = 0, list[dict[str, str]]()
    tell = partial(screen.found_in, told) if as_json else screen.findings
    if data_root is not None:
        screen.says(f"which data sets lie in {data_root}: every folder's pairs, and the classes in a few label files")
        faults += tell(catalogue.survey(data_root))
        screen.says("every recipe: its keys, its data set, its split, its sizes and the first scene of its members")
    sizes = partial(limits.check_recipe, data_root=data_root)
    faults += tell(catalogue.check(checks.recipe_of, data_root, sizes))
    if as_json:
        print(json.dumps(told, indent=1))
    if faults:
        raise MiaSegError(
            f"{faults} of the above have a problem. A recipe marked ok can be run if its data set has none."
        )
    others = "" if data_root is None else "mia-seg check --all, to read every file, or "
    screen.following([], f"{others}mia-seg run VICTIM SHADOW")


def _read(data_root: Path | None, as_json: bool, workers: int | None) -> None:
    from mia_seg.recipes.inspection import inspect

    if data_root is None:
        raise MiaSegError("--all reads data sets: pass --data-root FOLDER (or set MIA_SEG_DATA), which holds them.")
    try:
        found = inspect(data_root, workers=workers or os.cpu_count() or 1)
    except KeyboardInterrupt:
        print("\nStopped. Nothing was written.", file=sys.stderr)
        raise typer.Exit(130) from None
    print(json.dumps(found.dump(), indent=1)) if as_json else _show(found)
    if faults := found.faults():
        raise MiaSegError(f"Faults below {data_root}: {len(faults)}. The first: {faults[0]}")
    if not as_json:
        screen.following([], "mia-seg check, or mia-seg run VICTIM SHADOW")


def _show(found: "Inspection") -> None:
    """The table, the lines of what has names, and every fault."""
    from rich.markup import escape
    from rich.table import Column, Table
    from rich.text import Text

    table = Table(*[Column(name, overflow="fold") for name in COLUMNS], box=None, pad_edge=False)
    for part in found.parts:
        table.add_row(*map(Text, _row(part)))
    screen.out().print(table)
    for kind, line in _lines(found):
        shown = f"[dim]{escape(line)}[/]" if STYLES[kind] == "dim" else escape(line)
        screen.out().print(f"[{STYLES[kind]}]{kind:<7}[/]  {shown}")


def _row(part: "DataPart") -> list[str]:
    from mia_seg.data._values import percent

    known = {value.name for value in part.values} - {None}
    twins = [str(part.exact.count), str(part.near.count)]
    return [
        part.title, str(part.scenes), _sizes(part), _forms(part.images), _forms(part.labels), str(len(part.values)),
        f"{len(known)} of {part.classes}", percent(part.ignored), percent(part.unknown), str(part.unlabelled.count),
        *twins, str(len(part.unreadable)),
    ]  # fmt: skip


def _sizes(part: "DataPart") -> str:
    """'48x64', or 'from 48x64 to 96x128, 3 sizes'."""
    if part.sizes is None:
        return ""
    smallest, largest = (f"{height}x{width}" for height, width in (part.sizes.smallest, part.sizes.largest))
    return smallest if part.sizes.distinct == 1 else f"{smallest} to {largest}, {part.sizes.distinct} sizes"


def _forms(forms: dict[str, int]) -> str:
    """'JPEG RGB 8-bit', with counts where there are several."""
    return next(iter(forms)) if len(forms) == 1 else ", ".join(f"{count} {form}" for form, count in forms.items())


def _lines(found: "Inspection") -> Iterator[tuple[str, str]]:
    for part in found.parts:
        yield "values", f"{part.title}: {_values(part.values)}"
        yield from (("scenes", f"{part.title}: {line}") for line in _scenes(part.unlabelled))
        yield from (("twins", f"{part.title}: {line}") for line in _twins(part.exact, part.near, "in it"))
    yield from (("twins", line) for line in _twins(found.exact_across, found.near_across, "in another part"))
    yield from (("absent", line) for line in found.absent)
    if found.unnamed:
        yield "absent", f"not read, as no data set and no recipe names them: {', '.join(found.unnamed)}"
    yield from (("problem", line) for line in found.faults())


def _values(values: "list[LabelValue]") -> str:
    """'0 sky 12%, 11 ignored 3%, 77 unknown 0.2%'."""
    from mia_seg.data._values import percent
    from mia_seg.recipes._tally import said

    listed = (
        f"{said(value.value)} {value.name or ('unknown' if value.unknown else 'ignored')} {percent(value.share)}"
        for value in values[:LISTED]
    )
    more = [f"and {len(values) - LISTED} more (all in --json)"] if len(values) > LISTED else []
    return ", ".join([*listed, *more])


def _scenes(unlabelled: "Scenes") -> Iterator[str]:
    if unlabelled.count:
        more = ", ..." if unlabelled.count > len(unlabelled.first) else ""
        yield f"no pixel has a class in {unlabelled.count}: {', '.join(unlabelled.first)}{more}"


def _twins(exact: "TwinScenes", near: "TwinScenes", where: str) -> Iterator[str]:
    for twins, how in ((exact, "has the pixels of"), (near, "looks like")):
        if twins.count:
            more = twins.count > len({name for pair in twins.first for name in pair})
            pairs = ", ".join(" and ".join(pair) for pair in twins.first) + (", ..." if more else "")
            yield f"{twins.count} images, each of which {how} another {where}: {pairs}"
