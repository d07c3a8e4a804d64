"""Upkeep of a store: what lies there, whether it is as it was written, and what nothing needs any more."""

import json
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from mia_seg.errors import MiaSegError
from mia_seg.store import LOCKS, MADE, WORK, Store, stale_drafts, writing
from mia_seg.store._locks import is_locked

# whole: an artefact. older: one of an earlier format, which is not read. draft: left by a process that is no more, or
# being written by one. scratch: state to resume from.
State = Literal["whole", "older", "draft", "scratch"]
DAY = 86400.0


@dataclass(frozen=True)
class Entry:
    """A folder of a store. size: bytes of its files; age: seconds since it was last changed."""

    kind: str
    path: Path
    state: State
    size: int
    age: float
    inputs: dict[str, Any] | None = None

    @property
    def digest(self) -> str:
        """The end of its name."""
        return self.path.name.rpartition("-")[2]


def entries(store: Store) -> list[Entry]:
    """Every folder of the store, by kind and name."""
    store.check_format()
    kinds = sorted(path for path in store.root.glob("*") if path.is_dir() and path.name != LOCKS)
    return [_entry(kind.name, path) for kind in kinds for path in sorted(kind.iterdir()) if path.is_dir()]


def damaged(store: Store) -> Iterator[tuple[Entry, str]]:
    """Each whole artefact that is not as it was written, and what is wrong; every file is read."""
    for entry in entries(store):
        if entry.state == "whole" and (sentence := _fault(store, entry)):
            yield entry, sentence


def needless(store: Store, reports: Path, older_than: float = 0.0) -> list[Entry]:
    """What no result needs and no process works on, left alone for so many days.

    Needed is what a result below `reports` names or came from, and state to resume from for what is not there yet.
    """
    found = entries(store)
    whole = {entry.digest for entry in found if entry.state == "whole"}
    needed = _reached(found, _published(reports))
    stale = {path for kind in {entry.path.parent for entry in found} for path in stale_drafts(kind)}

    def serves(entry: Entry) -> bool:
        if entry.state == "draft":
            return entry.path not in stale
        if is_locked(store.root / LOCKS / f"{_key(entry)}.lock"):
            return True
        return entry.digest not in whole if entry.state == "scratch" else entry.digest in needed

    return [entry for entry in found if entry.age >= older_than * DAY and not serves(entry)]


def remove(store: Store, entries: list[Entry]) -> None:
    """Take folders away; each is gone from its place before anything in it is touched."""
    with writing(store.root):
        for entry in entries:
            trash = entry.path.with_name(f".{entry.path.name}.{uuid.uuid4().hex[:8]}.trash")
            entry.path.rename(trash)
            shutil.rmtree(trash)
            (store.root / LOCKS / f"{_key(entry)}.lock").unlink(missing_ok=True)


def named(store: Store, names: list[str]) -> list[Entry]:
    """The entries `<kind>/<folder>`. Raises MiaSegError for one that is not there, or that a process works on."""
    there = {f"{entry.kind}/{entry.path.name}": entry for entry in entries(store)}
    for name in names:
        if name.rstrip("/") not in there:
            close = get_close_matches(name, there, n=1)
            hint = f" Did you mean '{close[0]}'?" if close else " 'mia-seg store ls' lists what is there."
            raise MiaSegError(f"{store.root} has no '{name}'.{hint}")
    found = [there[name.rstrip("/")] for name in names]
    for entry in found:
        if is_locked(store.root / LOCKS / f"{_key(entry)}.lock"):
            raise MiaSegError(f"Another process works on {entry.path}. Wait for it, or stop it.")
    return found


def _entry(kind: str, path: Path) -> Entry:
    files = [file.stat() for file in path.rglob("*") if file.is_file()]
    changed = max((stat.st_mtime for stat in files), default=path.stat().st_mtime)
    state, inputs = _state(kind, path)
    return Entry(kind, path, state, sum(stat.st_size for stat in files), max(0.0, time.time() - changed), inputs)


def _state(kind: str, path: Path) -> tuple[State, dict[str, Any] | None]:
    if kind == WORK:
        return "scratch", None
    if path.name.startswith("."):
        return "draft", None
    try:
        made = json.loads((path / MADE).read_text(encoding="utf-8"))
        return ("whole", made["inputs"]) if "format" in made else ("older", None)
    except FileNotFoundError:
        return "older", None  # an earlier format was written in place
    except (OSError, ValueError, KeyError, TypeError):
        return "whole", {}  # `verify` says what is wrong with it


def _fault(store: Store, entry: Entry) -> str:
    artefact = store.artefact(entry.kind, entry.path.name.rpartition("-")[0], entry.inputs or {})
    if artefact.path != entry.path:
        return f"{entry.path / MADE} does not hold the inputs that the folder's name stands for."
    try:
        artefact.check()
    except MiaSegError as error:
        return str(error)
    return ""


def _key(entry: Entry) -> str:
    """What names its lock."""
    if entry.state == "scratch":
        return entry.path.name
    return f"{entry.kind}-{entry.digest}"


def _published(reports: Path) -> set[str]:
    """The digests that results and generators' scores name."""
    found: set[str] = set()
    for path in reports.rglob("*.s*.json"):
        try:
            found |= set(json.loads(path.read_text(encoding="utf-8"))["digests"].values())
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
    return found


def _reached(found: list[Entry], roots: set[str]) -> set[str]:
    """What roots came from, and what was measured from these alone."""
    inputs = {entry.digest: set(_digests(entry.inputs)) for entry in found if entry.inputs}
    results = {e.digest for e in found if e.kind == "results" and inputs.get(e.digest, set()) & roots}
    reached, waiting = set(), roots | results
    while waiting:
        digest = waiting.pop()
        if digest not in reached:
            reached.add(digest)
            waiting |= inputs.get(digest, set())
    return reached


def _digests(inputs: Any) -> Iterator[str]:
    """Every text in JSON that looks like a digest."""
    if isinstance(inputs, str):
        if re.fullmatch(r"[0-9a-f]{12}", inputs):
            yield inputs
    elif isinstance(inputs, dict | list):
        for inner in inputs.values() if isinstance(inputs, dict) else inputs:
            yield from _digests(inner)
