"""SHA-256 of files, read once and remembered until the file changes."""

import json
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from mia_seg.errors import MiaSegError
from mia_seg.progress import track
from mia_seg.store._files import hash_of, replace

THREADS = 4
MANY = 200  # files that are read with a bar
RACY = 2_000_000_000  # nanoseconds in which a file may change once more without a later time
Key = tuple[int, int, int, int]  # size, times of change of content and of state in nanoseconds, inode


class Content:
    """Hashes of files. cache: the JSON file that keeps them between processes; None: nothing is kept."""

    def __init__(self, cache: Path | None) -> None:
        self.cache, self._fresh = cache, False
        self._known: dict[str, tuple[Key, str]] = _read(cache)

    def of(self, paths: Sequence[Path]) -> list[str]:
        """The hash of each file, 64 hex digits. Raises MiaSegError naming a file that cannot be read."""
        keys = {path: _key(path) for path in dict.fromkeys(paths)}
        found = {path: self._hash(path, key) for path, key in keys.items()}
        lacking = [path for path, known in found.items() if known is None]
        with ThreadPoolExecutor(THREADS) as pool:
            hashes = pool.map(hashed, lacking)
            if len(lacking) >= MANY:
                hashes = track(hashes, "  reading the scenes' files once", len(lacking))
            for path, known in zip(lacking, hashes, strict=True):
                found[path] = known
                self._keep(path, keys[path], known)
        return [str(found[path]) for path in paths]

    def save(self) -> None:
        """Write the hashes to the cache. If that fails, only time is lost."""
        if self.cache is None or not self._fresh:
            return
        both = _read(self.cache) | self._known  # another process may have kept other files meanwhile
        rows = {path: [*key, known] for path, (key, known) in both.items()}
        with suppress(OSError):
            replace(self.cache, json.dumps(rows).encode())
            self._fresh = False

    def _hash(self, path: Path, key: Key) -> str | None:
        known = self._known.get(os.path.abspath(path))
        return known[1] if known and known[0] == key else None

    def _keep(self, path: Path, key: Key, known: str) -> None:
        # As git has it: a file that was just written may change again within one tick of its clock.
        if _key(path) == key and time.time_ns() - max(key[1:3]) > RACY:
            self._known[os.path.abspath(path)] = (key, known)
            self._fresh = True


def _read(cache: Path | None) -> dict[str, tuple[Key, str]]:
    try:
        rows = json.loads(cache.read_text(encoding="utf-8")) if cache else {}
        return {
            path: ((size, changed, moved, inode), known) for path, (size, changed, moved, inode, known) in rows.items()
        }
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def _key(path: Path) -> Key:
    try:
        stat = path.stat()
    except OSError as error:
        raise MiaSegError(f"{path} cannot be read ({error.strerror}). Restore it, or remove its counterpart.") from None
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino


def hashed(path: Path) -> str:
    """The hash of one file, read now. Raises MiaSegError naming a file that cannot be read."""
    try:
        return hash_of(path)
    except OSError as error:
        raise MiaSegError(f"{path} cannot be read ({error.strerror}). Restore it, or remove its counterpart.") from None
