"""SHIM until the real store arrives."""

import errno
import hashlib
import json
import os
import shutil
import socket
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from safetensors import SafetensorError

from mia_seg.errors import MiaSegError, Unwritable

MADE = "made.json"
UNWRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EFBIG, errno.ENOTDIR}


def digest(parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Artefact:
    store: "Store"
    kind: str
    name: str
    inputs: dict[str, Any]

    @property
    def digest(self) -> str:
        return digest(self.inputs)

    @property
    def path(self) -> Path:
        return self.store.root / self.kind / f"{self.name}-{self.digest}"

    @property
    def whole(self) -> bool:
        return (self.path / MADE).is_file()

    def check(self) -> Path:
        made = json.loads((self.path / MADE).read_text())
        for name, (size, sha) in made["files"].items():
            if hashlib.sha256((self.path / name).read_bytes()).hexdigest() != sha:
                raise MiaSegError(f"{self.path / name} was altered.")
        return self.path


@dataclass(frozen=True)
class Draft:
    artefact: Artefact
    folder: Path

    @property
    def scratch(self) -> Path:
        path = self.artefact.store.root / "work" / f"{self.artefact.kind}-{self.artefact.digest}"
        path.mkdir(parents=True, exist_ok=True)
        return path


@dataclass(frozen=True)
class Store:
    root: Path

    def artefact(self, kind: str, name: str, inputs: dict[str, Any]) -> Artefact:
        return Artefact(self, kind, name, inputs)

    def make(
        self, artefacts: Sequence[Artefact], build: Callable[[Sequence[Draft]], None], waiting: Any = None
    ) -> list[Artefact]:
        drafts = []
        started = time.monotonic()
        for a in artefacts:
            if not a.whole:
                folder = a.path.with_name(f".{a.path.name}.{uuid.uuid4().hex}.part")
                folder.mkdir(parents=True)
                drafts.append(Draft(a, folder))
        try:
            if drafts:
                build(drafts)
        except BaseException:
            for d in drafts:
                shutil.rmtree(d.folder, ignore_errors=True)
            raise
        for d in drafts:
            files = {
                p.name: [p.stat().st_size, hashlib.sha256(p.read_bytes()).hexdigest()]
                for p in sorted(d.folder.iterdir())
            }
            write_json(d.folder / MADE, {"format": 2, "inputs": d.artefact.inputs, "files": files})
            os.rename(d.folder, d.artefact.path)
            shutil.rmtree(self.root / "work" / f"{d.artefact.kind}-{d.artefact.digest}", ignore_errors=True)
            with (self.root / "journal.jsonl").open("a") as j:
                j.write(
                    json.dumps(
                        {
                            "kind": d.artefact.kind,
                            "name": d.artefact.name,
                            "digest": d.artefact.digest,
                            "seconds": (time.monotonic() - started) / len(drafts),
                            "bytes": sum(s for s, _ in files.values()),
                        }
                    )
                    + "\n"
                )
        return [d.artefact for d in drafts]

    def journal(self) -> list[dict[str, Any]]:
        p = self.root / "journal.jsonl"
        return [json.loads(x) for x in p.read_text().splitlines()] if p.is_file() else []


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn a full or read-only disk, or a file where a folder should be, into one sentence."""
    try:
        yield
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        raise Unwritable(
            f"{path} could not be written ({error.strerror or error}). Free some room or choose another --store "
            f"or --reports, then run the same command again: it resumes."
        ) from error


@contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Turn what a damaged artefact makes its readers raise into one sentence."""
    try:
        yield
    except (OSError, ValueError, KeyError, EOFError, RuntimeError, BadZipFile, SafetensorError) as error:
        raise MiaSegError(
            f"{folder} is damaged ({error}). Delete this folder and run the same command again: it is made anew."
        ) from error


def write_json(path: Path, content: object) -> None:
    """Write JSON so that a reader sees the old file or the whole new one."""
    replace(path, (json.dumps(content, indent=1, sort_keys=True) + "\n").encode())


def replace(path: Path, content: bytes) -> None:
    """Write bytes beside `path`, then rename: a kill leaves no half file under the final name."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        temporary.write_bytes(content)
    except OSError:
        temporary.unlink(missing_ok=True)  # on a full disk the half file would take the room that is lacking
        raise
    os.replace(temporary, path)
