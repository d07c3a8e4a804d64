"""Writing files atomically, hashing them, and errors for disks that cannot be written."""

import errno
import hashlib
import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from zipfile import BadZipFile

from safetensors import SafetensorError

from mia_seg.errors import MiaSegError, Unwritable

LONGEST = 100  # bytes of a name
UNWRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG}
UNWRITABLE |= {errno.ENOTDIR, errno.EEXIST}  # a file where a folder should be
UNMADE = {errno.ENOENT, errno.ENAMETOOLONG, errno.ELOOP}  # a folder that cannot be: below /proc, or a link to itself


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raise Unwritable for a full or read-only disk, or a file where a folder should be.

    path: the file or folder that is written. Errors that name a file elsewhere pass, as they do not concern the store.
    """
    try:
        yield
    except OSError as error:
        known = UNWRITABLE | (UNMADE if _unmade(error, path) else set())
        if error.errno not in known or not _about(error, path):
            raise
        raise Unwritable(
            f"{path} could not be written ({error.strerror or error}). Free some room or choose another --store "
            f"or --reports, then run the same command again: it resumes."
        ) from error


@contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Turn errors of reading a damaged artefact into a MiaSegError that names its folder."""
    try:
        yield
    except (OSError, ValueError, KeyError, EOFError, RuntimeError, BadZipFile, SafetensorError) as error:
        raise MiaSegError(
            f"{folder} is damaged ({error}). Delete this folder and run the same command again: it is made anew."
        ) from error


def _unmade(error: OSError, path: Path) -> bool:
    """Whether an error is about the folder `path` or one above it, which are made where they are not there."""
    if not isinstance(error.filename, str | bytes):
        return False
    place = Path(os.path.abspath(path))
    return Path(os.path.abspath(os.fsdecode(error.filename))) in (place, *place.parents)


def _about(error: OSError, path: Path) -> bool:
    """Whether an error is about `path`: what lies in it, beside it or above it, or no file in particular."""
    if not isinstance(error.filename, str | bytes):
        return True
    named, place = Path(os.path.abspath(os.fsdecode(error.filename))), Path(os.path.abspath(path))
    return place in named.parents or place.parent == named.parent or named in (place, *place.parents)


def shortened(name: str) -> str:
    """A name of at most 100 bytes: a longer one is cut, and eight hex digits keep it distinct.

    File systems allow 255 bytes, and some file names contain several names.
    """
    raw = name.encode()
    if len(raw) <= LONGEST:
        return name
    return f"{raw[: LONGEST - 9].decode(errors='ignore')}~{hashlib.sha256(raw).hexdigest()[:8]}"


def write_json(path: Path, content: object) -> None:
    """Write JSON atomically: a reader sees the old file or the complete new one."""
    replace(path, (json.dumps(content, indent=1, sort_keys=True) + "\n").encode())


def replace(path: Path, content: bytes) -> None:
    """Write bytes beside `path`, then rename: a kill leaves no half file under the final name."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{uuid.uuid4().hex[:8]}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except OSError:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)  # on a full disk the half file would take the room that is lacking
        raise


def hash_of(path: Path) -> str:
    """SHA-256 of a file, in hex digits; read once, in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def settle(path: Path) -> None:
    """Flush a file or folder to the disk, so that a later rename never shows it empty."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
