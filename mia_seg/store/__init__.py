"""The store: artefacts on disk, in folders named by the digest of their inputs. A folder that exists is complete.

An artefact is written into a temporary folder beside its place, flushed to the disk, and renamed. A process that finds
the place taken uses what is there. `made.json` keeps the inputs, and size and SHA-256 of every file.
"""

import errno
import glob
import hashlib
import json
import os
import re
import shlex
import shutil
import socket
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from mia_seg.errors import MiaSegError
from mia_seg.store._files import hash_of, reading, replace, settle, shortened, write_json, writing
from mia_seg.store._locks import locked
from mia_seg.texts import is_hidden

__all__ = [
    "Artefact",
    "Draft",
    "Store",
    "digest",
    "reading",
    "replace",
    "shortened",
    "upkeep_command",
    "write_json",
    "writing",
]

FORMAT = 2
MADE, STORE, JOURNAL = "made.json", "store.json", "journal.jsonl"
WORK, LOCKS = "work", "locks"
USUAL = Path("runs")  # where the command line keeps a store unless it is told
ASKED = "asked"  # what was paid for: no run can make it again, so upkeep leaves it alone
BROUGHT = "brought"  # scenes that came as arrays, through Python: nobody else has them
Build = Callable[[Sequence["Draft"]], None]

_verified: set[tuple[str, int, int, int, int]] = set()  # files whose hash this process has seen to be right


def digest(parts: object) -> str:
    """Twelve hex digits of SHA-256 over the canonical JSON of `parts`."""
    return hashlib.sha256(_canonical(parts).encode()).hexdigest()[:12]


def seed_of(seed: int, epoch: int, what: str) -> int:
    """A 48-bit seed for one use of the seed in one epoch."""
    return int(digest([seed, epoch, what]), 16)


def _canonical(parts: object) -> str:
    return json.dumps(parts, sort_keys=True)


@dataclass(frozen=True)
class Artefact:
    """A folder of a store, with the inputs that shape its content (JSON)."""

    store: "Store"
    kind: str
    name: str
    inputs: dict[str, Any]

    @cached_property
    def digest(self) -> str:
        """Twelve hex digits over everything that shapes the content."""
        return digest(self.inputs)

    @property
    def path(self) -> Path:
        """Its folder, whether or not it exists."""
        return self.store.root / self.kind / f"{shortened(self.name)}-{self.digest}"

    @property
    def whole(self) -> bool:
        """Whether it exists. Raises MiaSegError if its folder was made from other inputs."""
        self.store.check_format()
        try:
            made = self._made()
        except (FileNotFoundError, NotADirectoryError):
            return False
        if made.get("format") != FORMAT:
            raise _altered(self.path, MADE, "was written by another version of mia-seg")
        # As text: a tuple comes back as a list, and NaN is not equal to itself.
        if _canonical(made.get("inputs")) != _canonical(self.inputs):
            raise _altered(self.path, MADE, "was made from other inputs than those its name stands for")
        return True

    def check(self) -> Path:
        """The folder, after comparing every file with its hash. Raises MiaSegError naming an altered file.

        Each file is read for this once a process, and again when it has changed.
        """
        if not self.whole:
            raise MiaSegError(f"{self.path} is not there. Run the command that makes it again.")
        files = self._files()
        if strays := sorted(set(_names(self.path)) ^ set(files)):
            raise _altered(self.path, strays[0], "is not one of the files that were written, or is missing")
        for name, (size, known) in files.items():
            _verify(self.path, name, size, known=known)
        return self.path

    @property
    def lock(self) -> Path:
        """The file of its lock."""
        return self.store.root / LOCKS / f"{self.kind}-{self.digest}.lock"

    @property
    def scratch(self) -> Path:
        """The folder of the state to resume from, while it is made."""
        return self.store.root / WORK / f"{self.kind}-{self.digest}"

    def _made(self) -> dict[str, Any]:
        try:
            with _readable(self.path / MADE):
                made = json.loads((self.path / MADE).read_text(encoding="utf-8"))
        except ValueError as error:
            raise _altered(self.path, MADE, f"is no whole file ({error})") from None
        if not isinstance(made, dict):
            raise _altered(self.path, MADE, "is no whole file")
        return made

    def _files(self) -> dict[str, tuple[int, str]]:
        try:
            return {name: (int(size), str(known)) for name, (size, known) in self._made()["files"].items()}
        except (KeyError, ValueError, TypeError, AttributeError):
            raise _altered(self.path, MADE, "does not say which files were written") from None


@dataclass(frozen=True)
class Draft:
    """An artefact that is being made: `folder` to write into."""

    artefact: Artefact
    folder: Path

    @property
    def scratch(self) -> Path:
        """A folder for state to resume from. It survives a kill, and is removed once the artefact is complete."""
        self.artefact.scratch.mkdir(parents=True, exist_ok=True)
        return self.artefact.scratch


@dataclass(frozen=True)
class Store:
    """The root of all artefacts; the same inputs give the same folder."""

    root: Path

    def artefact(self, kind: str, name: str, inputs: dict[str, Any]) -> Artefact:
        """The artefact of a kind that these inputs shape, whether or not it exists."""
        return Artefact(self, kind, name, inputs)

    def make(
        self, artefacts: Sequence[Artefact], build: Build, waiting: Callable[[Artefact], None] | None = None
    ) -> list[Artefact]:
        """Make the artefacts that do not exist: `build` fills their drafts. Returns those that were made here.

        waiting: called if another process is making one. Raises Unwritable if the disk cannot be written. If all exist,
        nothing is written.
        """
        self.check_format()
        lacking = _lacking(artefacts)
        if not lacking:
            return []
        with writing(self.root), ExitStack() as held:
            self._mark()
            for lock, artefact in sorted({one.lock: one for one in lacking}.items()):
                held.enter_context(locked(lock, partial(waiting or _nobody, artefact)))
            drafts = [_draft(artefact) for artefact in _lacking(lacking)]
            for draft in drafts:
                _check_free(draft.artefact.path)
            return self._fill(drafts, build) if drafts else []

    def journal(self) -> list[dict[str, Any]]:
        """The cost of each artefact made in this store: {kind, name, digest, seconds, bytes}, the oldest first."""
        try:
            lines = (self.root / JOURNAL).read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return []
        return [row for row in map(_row, lines) if row]

    def check_format(self) -> None:
        """Raise MiaSegError for a store that a later version wrote."""
        if self._format > FORMAT:
            raise MiaSegError(
                f"{self.root} was written by a later version of mia-seg (format {self._format}; this one knows "
                f"{FORMAT}). Update mia-seg, or choose another --store."
            )

    @cached_property
    def _format(self) -> int:
        try:
            return int(json.loads((self.root / STORE).read_text(encoding="utf-8"))["format"])
        except (OSError, ValueError, KeyError, TypeError):
            return FORMAT

    def _mark(self) -> None:
        if not (self.root / STORE).is_file():
            self.root.mkdir(parents=True, exist_ok=True)
            write_json(self.root / STORE, {"format": FORMAT})

    def _fill(self, drafts: Sequence[Draft], build: Build) -> list[Artefact]:
        started = time.monotonic()
        try:
            with writing(drafts[0].artefact.path):
                for draft in drafts:
                    _clear(draft.artefact)
                    draft.folder.mkdir(parents=True)
                build(drafts)
                sizes = [_seal(draft) for draft in drafts]
                made = [(draft.artefact, size) for draft, size in zip(drafts, sizes, strict=True) if _place(draft)]
        finally:
            for draft in drafts:
                shutil.rmtree(draft.folder, ignore_errors=True)
        seconds = (time.monotonic() - started) / len(drafts)
        for artefact, size in made:
            self._note(artefact, seconds, size)
        for draft in drafts:
            shutil.rmtree(draft.artefact.scratch, ignore_errors=True)
        return [artefact for artefact, _ in made]

    def _note(self, artefact: Artefact, seconds: float, size: int) -> None:
        row = {"kind": artefact.kind, "name": artefact.name, "digest": artefact.digest, "seconds": round(seconds, 3)}
        line = ("\n" + json.dumps(row | {"bytes": size})).encode()  # ends what a full disk left of an earlier one
        with (self.root / JOURNAL).open("ab", buffering=0) as file:
            file.write(line)  # in one piece: two processes do not mix their lines


def _lacking(artefacts: Sequence[Artefact]) -> list[Artefact]:
    """Those that are not whole, each once."""
    return [artefact for artefact in {one.path: one for one in artefacts}.values() if not artefact.whole]


def _draft(artefact: Artefact) -> Draft:
    """A name that no other process, thread or host gives."""
    who = f"{_host()}.{os.getpid()}.{uuid.uuid4().hex[:8]}"
    return Draft(artefact, artefact.path.with_name(f".{artefact.path.name}.{who}.part"))


def _host() -> str:
    return re.sub(r"[^\w-]", "-", socket.gethostname()) or "host"


def _clear(artefact: Artefact) -> None:
    """Remove what processes of this host left of the artefact that are no more."""
    for folder in stale_drafts(artefact.path.parent, artefact.path.name):
        shutil.rmtree(folder, ignore_errors=True)


def stale_drafts(kind: Path, name: str = "") -> list[Path]:
    """Drafts below a kind's folder (or of one artefact) whose process on this host has ended."""
    found = []
    for folder in kind.glob(f".{glob.escape(name) if name else '*'}.{_host()}.*.part"):
        pid = folder.name.split(".")[-3]
        if pid.isdecimal() and not _alive(int(pid)):
            found.append(folder)
    return found


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _seal(draft: Draft) -> int:
    """Bring every file to the disk, note what it holds; how many bytes there are."""
    files: dict[str, tuple[int, str]] = {}
    for name in _names(draft.folder):
        path = draft.folder / name
        settle(path)
        files[name] = path.stat().st_size, hash_of(path)
    # No times in here: two runs of one request end with the same bytes.
    write_json(draft.folder / MADE, {"format": FORMAT, "inputs": draft.artefact.inputs, "files": files})
    settle(draft.folder / MADE)
    for folder in (draft.folder, *filter(Path.is_dir, draft.folder.rglob("*"))):
        settle(folder)
    return sum(size for size, _ in files.values())


def _place(draft: Draft) -> bool:
    """Rename the draft into its place; False where another process was faster, whose artefact is then used."""
    target = draft.artefact.path
    try:
        os.rename(draft.folder, target)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        if not draft.artefact.whole:
            _check_free(target)
            raise
        return False
    settle(target.parent)
    return True


def _check_free(target: Path) -> None:
    """Refuse what lies in the place of an artefact, before hours go into making it."""
    if target.is_file() or (target.is_dir() and any(target.iterdir())):
        raise MiaSegError(
            f"{target} is in the way: it has no {MADE}, so it is no artefact of mia-seg. Remove it and run the "
            f"same command again."
        )


def _names(folder: Path) -> list[str]:
    """The files of an artefact, those in folders too, without `made.json` and what a look into the folder left."""
    found = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    return sorted(name.as_posix() for name in found if name != Path(MADE) and not is_hidden(name))


def _verify(folder: Path, name: str, size: int, *, known: str) -> None:
    path = folder / name
    stat = path.stat()
    key = (str(path), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)
    if stat.st_size != size:
        raise _altered(folder, name, f"has {stat.st_size} bytes, and {size} were written")
    if key in _verified:
        return
    with _readable(path):
        found = hash_of(path)
    if found != known:
        raise _altered(folder, name, "holds other bytes than were written")
    _verified.add(key)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Name a file that the disk or its permissions keep; one that is not there is another matter."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        raise MiaSegError(
            f"{path} cannot be read ({error.strerror or error}). Make it readable, or choose another --store."
        ) from None


def upkeep_command(what: str, root: Path) -> str:
    """'mia-seg store rm victims/a-0123', with the option --store if this store needs it."""
    return f"mia-seg store {what}" + ("" if root == USUAL else f" --store {shlex.quote(str(root))}")


def _altered(folder: Path, name: str, what: str) -> MiaSegError:
    removal = upkeep_command(f"rm {folder.parent.name}/{folder.name}", folder.parents[1])
    return MiaSegError(
        f"{folder / name} {what}. Remove it with '{removal}' and run the same command again: it is made anew."
    )


def _row(line: str) -> dict[str, Any] | None:
    """A line of the journal; None for what a full disk left of one."""
    try:
        row = json.loads(line)
        return {"kind": row["kind"], "name": row["name"], "digest": row["digest"]} | {
            "seconds": float(row["seconds"]), "bytes": int(row["bytes"])
        }  # fmt: skip
    except (ValueError, KeyError, TypeError):
        return None


def _nobody(artefact: Artefact) -> None:
    del artefact
