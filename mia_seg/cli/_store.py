"""`mia-seg store`: look after what is kept."""

import json
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mia_seg.cli import _screen as screen
from mia_seg.cli._declare import command
from mia_seg.cli._options import REPORTS, STORE, AsJson, StoreRoot
from mia_seg.errors import MiaSegError

if TYPE_CHECKING:
    from mia_seg.store import Store
    from mia_seg.store.upkeep import Entry

store = typer.Typer(help="Look after the store of models and answers: list, check, clean up.", no_args_is_help=True)


@store.command()
@command
def ls(root: StoreRoot = STORE, as_json: AsJson = False) -> None:
    """List everything in the store (models, answers, ...) with size and age."""
    from mia_seg.store.upkeep import entries

    found = entries(_opened(root))
    print(json.dumps([_row(entry) for entry in found], indent=1)) if as_json else _show(found)


@store.command()
@command
def verify(root: StoreRoot = STORE) -> None:
    """Compare every file with its hash. Exit code 2 if one differs."""
    from mia_seg.store.upkeep import damaged, entries

    opened = _opened(root)
    count = sum(entry.state == "whole" for entry in entries(opened))
    found = list(damaged(opened))
    for _, sentence in found:
        screen.out().print(sentence, markup=False)
    if found:
        raise MiaSegError(f"{len(found)} of {count} artefacts are not as they were written. Follow the lines above.")
    screen.out().print(f"{count} artefacts are as they were written.", markup=False)


@store.command()
@command
def gc(
    root: StoreRoot = STORE,
    reports: Annotated[Path, typer.Option(help="Folder of results; whatever they were made from is kept.")] = REPORTS,
    older_than: Annotated[
        float, typer.Option(min=0, help="List only folders that were not changed for so many days.")
    ] = 1.0,
    *,
    yes: Annotated[
        bool, typer.Option("--yes", help="Remove what is listed. Without this, nothing is removed.")
    ] = False,
) -> None:
    """List what no result was made from and no process works on. With --yes, remove it."""
    from mia_seg.store.upkeep import needless, remove

    if isnan(older_than):  # which is neither less nor more than any age
        raise MiaSegError("--older-than nan is no number of days. Give one, as 1.0.")
    opened = _opened(root)
    found = needless(opened, reports, older_than)
    gone = remove(opened, found.entries, found.locks) if yes else found.entries
    _show(gone)
    for sentence in filter(None, [f"{len(found.locks)} files of locks." if found.locks else "", found.spared]):
        screen.out().print(sentence, markup=False)
    if yes:
        screen.out().print("Removed.")
    elif found.entries or found.locks:
        screen.following([], "the same command with --yes removes these")


@store.command()
@command
def rm(
    names: Annotated[list[str], typer.Argument(help="KIND/FOLDER, as 'mia-seg store ls' prints them.")],
    root: StoreRoot = STORE,
) -> None:
    """Remove things from the store by name. The next run that needs one makes it again."""
    from mia_seg.store.upkeep import named, remove

    opened = _opened(root)
    found = named(opened, names)
    _show(remove(opened, found))
    screen.out().print("Removed.")


def _opened(root: Path) -> "Store":
    from mia_seg.store import Store

    if not root.is_dir():
        raise MiaSegError(f"{root} is no folder. Name the store with --store (or MIA_SEG_STORE).")
    return Store(root)


def _row(entry: "Entry") -> dict[str, Any]:
    return {
        "state": entry.state, "artefact": entry.label, "digest": entry.digest, "bytes": entry.size,
        "seconds": round(entry.age),
    }  # fmt: skip


def _show(found: "list[Entry]") -> None:
    lines = [(entry.state, entry.label, screen.size(entry.size), screen.age(entry.age)) for entry in found]
    screen.table(("state", "artefact", "size", "age"), lines)
    states = dict.fromkeys(entry.state for entry in found)
    parts = [f"{_total([e for e in found if e.state == state])} {state}" for state in states]
    screen.out().print(f"{len(found)} folders, {_total(found)}{': ' if parts else ''}{', '.join(parts)}.", markup=False)


def _total(found: "list[Entry]") -> str:
    return screen.size(sum(entry.size for entry in found))
