"""Artefacts on disk: a folder whose name holds the digest of all that shaped it, whole once `made.json` lies in it."""

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from safetensors import SafetensorError

from mia_seg.errors import MiaSegError
from mia_seg.recipes import digest

MADE = "made.json"
UNWRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EFBIG, errno.ENOTDIR}


@dataclass(frozen=True)
class Artefact:
    """A folder of the store and what shaped its content."""

    path: Path
    parts: dict[str, Any]

    @property
    def digest(self) -> str:
        """Twelve hex digits over everything that shaped the content."""
        return digest(self.parts)

    @property
    def whole(self) -> bool:
        """Whether the work was finished; what a killed run left is not."""
        return (self.path / MADE).is_file()

    @contextmanager
    def make(self) -> Iterator[Path]:
        """The folder to write into; it becomes whole only if the block ends without an error."""
        with writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            yield self.path
            write_json(self.path / MADE, self.parts)


@dataclass(frozen=True)
class Store:
    """The root of all artefacts; the same parts give the same folder."""

    root: Path

    def artefact(self, stage: str, name: str, parts: dict[str, Any]) -> Artefact:
        """Where `stage` keeps what `parts` (JSON-able) shape, whether or not it exists yet."""
        return Artefact(self.root / stage / f"{name}-{digest(parts)}", parts)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn a full or read-only disk, or a file where a folder should be, into one sentence."""
    try:
        yield
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        raise MiaSegError(
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
