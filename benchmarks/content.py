"""The time to hash a data set's files, compared with reading them, and with a second call when nothing changed.

Run: python benchmarks/content.py [--files 3000] [--megabytes 2] [--rounds 3] [--folder FOLDER]
The files are read from the disk's cache. Variants take turns, A B A B, so a change of the machine's speed slows both;
the median ratio counts. Reading is one thread that reads each file whole, as a loader must at least. The second call is
the first one of a new process: it reads the cache of hashes from a file, and checks the state of each file.

300 files of 2 MB on 2 cores of x86_64 (shared), Python 3.11: reading 0.07 s from memory, hashing 0.53 s (1.1 GB/s), the
second call 0.001 s; hashing / reading 7.2, second call / reading 0.02. A disk slower than 1 GB/s hides the hashing.
"""

import argparse
import os
import platform
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from mia_seg.store import content
from mia_seg.store.content import Content

SPARE = 2  # of the disk's free room this share may be taken: one half


def written(folder: Path, count: int, size: int) -> list[Path]:
    """Files of random bytes; a disk that compresses would otherwise read them faster than pictures."""
    paths = [folder / f"{k:05d}.png" for k in range(count)]
    for path in paths:
        path.write_bytes(os.urandom(size))
    return paths


def read(paths: Sequence[Path]) -> None:
    for path in paths:
        path.read_bytes()


def seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def again(paths: Sequence[Path], cache: Path) -> None:
    found = Content(cache)
    found.of(paths)
    found.save()


def measure(folder: Path, count: int, size: int, *, rounds: int) -> None:
    paths, cache = written(folder, count, size), folder / "content.json"
    read(paths)
    plain, hashed, second = [], [], []
    for _ in range(rounds):
        plain.append(seconds(lambda: read(paths)))
        cache.unlink(missing_ok=True)
        hashed.append(seconds(lambda: again(paths, cache)))
        second.append(seconds(lambda: again(paths, cache)))
    rate = count * size / 1e6 / statistics.median(hashed)
    print(f"{statistics.median(plain):8.3f} s  reading {count} files of {size / 1e6:g} MB")
    print(f"{statistics.median(hashed):8.3f} s  hashing them, {rate:.0f} MB/s, {content.THREADS} threads")
    print(f"{statistics.median(second):8.3f} s  the second call")
    print(f"hashing / reading {_ratio(hashed, plain):.2f}; second call / reading {_ratio(second, plain):.3f}")


def _ratio(some: Sequence[float], others: Sequence[float]) -> float:
    return statistics.median(a / b for a, b in zip(some, others, strict=True))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--files", type=int, default=3000)
    options.add_argument("--megabytes", type=float, default=2.0)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--folder", type=Path, help="where the files are written; default: a temporary folder")
    given = options.parse_args()
    size = int(given.megabytes * 1e6)
    print(f"{os.cpu_count()} cores of {platform.machine()}, Python {platform.python_version()}")
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        room = shutil.disk_usage(folder).free // SPARE
        count = min(given.files, room // size)
        if count < given.files:
            print(f"the disk has room for {count} of {given.files} files")
        content.RACY = -1  # the files were written just now, and nobody changes them
        measure(Path(folder), count, size, rounds=given.rounds)


if __name__ == "__main__":
    main()
