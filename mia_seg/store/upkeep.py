"""Upkeep of a store: list its folders, verify them, and find what is no longer needed."""

import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from mia_seg.errors import MiaSegError
from mia_seg.progress import track
from mia_seg.store import ASKED, BROUGHT, LOCKS, MADE, WORK, Artefact, Store, stale_drafts, upkeep_command, writing
from mia_seg.store._locks import if_free, is_locked
from mia_seg.texts import files_below, read_json

# whole: an artefact. older: one of an earlier format, which no run reuses. draft: left by a process that is no more, or
# being written by one. scratch: state to resume from. trash: what a stopped removal left.
State = Literal["whole", "older", "draft", "scratch", "trash"]
DAY = 86400.0
# Of a draft of another host nobody here knows whether its process lives; a training may not touch it for days.
DEAD = 7 * DAY
DIGEST = r"[0-9a-f]{12}"


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
        """The digest in its name; empty where there is none."""
        found = re.search(rf"-({DIGEST})(\.[\w-]+\.\d+\.\w+\.part|\.\w+\.trash)?$", self.path.name)
        return found[1] if found else ""

    @property
    def label(self) -> str:
        """`<kind>/<folder>`, as the command line takes it."""
        return f"{self.kind}/{self.path.name}"

    @property
    def lock(self) -> Path:
        """The lock of the process that makes it."""
        name = self.path.name if self.state == "scratch" else f"{self.kind}-{self.digest}"
        return self.path.parents[1] / LOCKS / f"{name}.lock"


@dataclass(frozen=True)
class Needless:
    """What may be removed: folders, and lock files. spared: why all finished artefacts stay; empty if they need not."""

    entries: list[Entry]
    locks: list[Path]
    spared: str


def entries(store: Store) -> list[Entry]:
    """Every folder of the store, by kind and name."""
    store.check_format()
    others = (ASKED, BROUGHT, LOCKS)
    kinds = sorted(path for path in store.root.glob("[!.]*") if path.is_dir() and path.name not in others)
    return [_entry(kind.name, path) for kind in kinds for path in sorted(kind.iterdir()) if _is_ours(path)]


def damaged(store: Store) -> Iterator[tuple[Entry, str]]:
    """Each finished artefact with an altered file, and the error; every file is read."""
    whole = [entry for entry in entries(store) if entry.state == "whole"]
    for entry in track(whole, "reading artefacts", len(whole)):
        if sentence := _fault(store, entry):
            yield entry, sentence


def needless(store: Store, reports: Path, older_than: float = 0.0) -> Needless:
    """What no result needs, no process works on, and nobody changed for `older_than` days.

    Needed are artefacts that a result below `reports` was made from, and state of unfinished ones. Raises MiaSegError
    for a file below `reports` that cannot be read, because it may need more.
    """
    found, published = entries(store), _published(reports)
    whole = {entry.digest for entry in found if entry.state == "whole"}
    stale = {path for kind in {entry.path.parent for entry in found} for path in stale_drafts(kind)}
    spared = _spared(store, found, reports, published=bool(published))
    needed = whole if spared else _reached(found, published)

    def serves(entry: Entry) -> bool:
        if entry.state == "draft":
            return entry.path not in stale and entry.age < DEAD
        if entry.state == "scratch":
            return entry.digest not in whole
        return entry.state != "trash" and entry.digest in needed

    old = [entry for entry in found if entry.age >= older_than * DAY]
    unlocked = [lock for lock in _locks(store) if not is_locked(lock)]
    return Needless([entry for entry in old if not serves(entry) and not is_locked(entry.lock)], unlocked, spared)


def remove(store: Store, entries: Sequence[Entry], locks: Sequence[Path] = ()) -> list[Entry]:
    """Remove folders and lock files, unless a process works on them; returns the removed folders.

    A folder is renamed away before anything in it is deleted.
    """
    with writing(store.root):
        gone = [entry for entry in entries if _remove(entry)]
        for lock in locks:
            with if_free(lock) as free:
                if free:
                    lock.unlink(missing_ok=True)
    return gone


def drop(store: Store, artefact: Artefact) -> None:
    """Remove an artefact if it exists and no process works on it."""
    if artefact.path.is_dir():
        remove(store, [_entry(artefact.kind, artefact.path)])


def named(store: Store, names: Sequence[str]) -> list[Entry]:
    """The entries named `<kind>/<folder>`. Raises MiaSegError if one does not exist, or if a process works on it."""
    there = {entry.label: entry for entry in entries(store)}
    wanted = list(dict.fromkeys(name.rstrip("/") for name in names))
    for name in wanted:
        if name not in there:
            close = get_close_matches(name, there, n=1)
            hint = (
                f" Did you mean '{close[0]}'?"
                if close
                else f" '{upkeep_command('ls', store.root)}' lists what is there."
            )
            raise MiaSegError(f"{store.root} has no '{name}'.{hint}")
        if is_locked(there[name].lock):
            raise MiaSegError(f"Another process works on {there[name].path}. Wait for it, or stop it.")
    return [there[name] for name in wanted]


def _spared(store: Store, found: Sequence[Entry], reports: Path, *, published: bool) -> str:
    if not published:
        return (
            f"{reports} holds no results, so that whole artefacts stay. Name the folder of the results with --reports."
        )
    if busy := [lock.stem for lock in _locks(store) if is_locked(lock)]:
        return f"A process makes {busy[0]}, so that whole artefacts stay: it may need them. Wait for it."
    if silent := [entry.label for entry in found if entry.state == "whole" and entry.inputs is None]:
        look = upkeep_command("verify", store.root)
        return f"What {silent[0]} came from cannot be read, so that whole artefacts stay. Run '{look}'."
    return ""


def _remove(entry: Entry) -> bool:
    with if_free(entry.lock) as free:
        if free:
            trash = entry.path.with_name(f".{entry.path.name.lstrip('.')}.{uuid.uuid4().hex[:8]}.trash")
            entry.path.rename(trash)
            shutil.rmtree(trash)
            entry.lock.unlink(missing_ok=True)
    return free


def _locks(store: Store) -> list[Path]:
    """The places of all locks: a file system without any has leases beside them."""
    found = {path.with_suffix(".lock") for end in ("lock", "lease") for path in (store.root / LOCKS).glob(f"*.{end}")}
    return sorted(found)


def _is_ours(path: Path) -> bool:
    """A folder that the store made: of the hidden ones, drafts and trash."""
    return path.is_dir() and (not path.name.startswith(".") or path.suffix in (".part", ".trash"))


def _entry(kind: str, path: Path) -> Entry:
    files = list(_stats(path))
    changed = max((stat.st_mtime for stat in files), default=time.time())
    state, inputs = _state(kind, path)
    return Entry(kind, path, state, sum(stat.st_size for stat in files), max(0.0, time.time() - changed), inputs)


def _stats(folder: Path) -> Iterator[os.stat_result]:
    """Of a folder and all in it; what goes meanwhile is passed over. A folder's own bytes are nobody's."""
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                yield os.lstat(os.path.join(place, name))


def _state(kind: str, path: Path) -> tuple[State, dict[str, Any] | None]:
    if path.name.startswith("."):
        return ("trash" if path.suffix == ".trash" else "draft"), None
    if kind == WORK:
        return "scratch", None
    try:
        made = json.loads((path / MADE).read_text(encoding="utf-8"))
        return ("whole", made["inputs"]) if "format" in made else ("older", None)
    except FileNotFoundError:
        return "older", None  # an earlier format was written in place
    except (OSError, ValueError, KeyError, TypeError):
        return "whole", None  # `verify` says what is wrong with it


def _fault(store: Store, entry: Entry) -> str:
    artefact = store.artefact(entry.kind, entry.path.name.rpartition("-")[0], entry.inputs or {})
    if artefact.path != entry.path:
        return (
            f"{entry.path / MADE} does not hold the inputs that the folder's name stands for. Remove it with "
            f"'{upkeep_command(f'rm {entry.label}', store.root)}'."
        )
    try:
        artefact.check()
    except MiaSegError as error:
        return str(error)
    return ""


def _published(reports: Path) -> list[dict[str, str]]:
    """The digests that each result and each generator's score names."""
    return [row for path in files_below(reports, "**/*.json") if (row := _digests_of(path))]


def _digests_of(path: Path) -> dict[str, str]:
    try:
        given = read_json(path)
    except (OSError, ValueError) as error:
        raise MiaSegError(
            f"{path} is no whole file ({error}), and what it came from is not known. Restore it, or delete it."
        ) from None
    named = given.get("digests") if isinstance(given, dict) else None
    return {k: v for k, v in named.items() if isinstance(v, str)} if isinstance(named, dict) else {}


def _reached(found: Sequence[Entry], published: Sequence[dict[str, str]]) -> set[str]:
    """What published results name, the artefacts that these were copied from, and all that either came from."""
    inputs = {entry.digest: set(_digests(entry.inputs)) for entry in found if entry.inputs}
    measured = [{row[k] for k in ("attacker", "victim_answers") if k in row} for row in published]
    copied = {
        entry.digest
        for entry in found
        if entry.kind == "results" and any(row and row <= inputs.get(entry.digest, set()) for row in measured)
    }
    reached: set[str] = set()
    waiting = copied.union(*(row.values() for row in published))
    while waiting:
        digest = waiting.pop()
        if digest not in reached:
            reached.add(digest)
            waiting |= inputs.get(digest, set())
    return reached


def _digests(inputs: Any) -> Iterator[str]:
    """Every text in JSON that looks like a digest."""
    if isinstance(inputs, str):
        if re.fullmatch(DIGEST, inputs):
            yield inputs
    elif isinstance(inputs, dict | list):
        for inner in inputs.values() if isinstance(inputs, dict) else inputs:
            yield from _digests(inner)
