"""Locks that save double work. No artefact rests on one: without one, the same is made twice and dropped once."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLease, Timeout

LEASE = 30.0  # seconds after which a lease that nobody renews may be taken


@contextmanager
def locked(path: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold the lock; `waiting` is called once where another process has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        lock: BaseFileLock = FileLock(path, fallback_to_soft=False)
        _acquire(lock, waiting)
    except NotImplementedError:
        # A file system without flock: a lease runs out where its holder was killed.
        lock = SoftFileLease(path.with_suffix(".lease"), lease_duration=LEASE)
        _acquire(lock, waiting)
    try:
        yield
    finally:
        lock.release()


def is_locked(path: Path) -> bool:
    """Whether a process has the lock now."""
    if path.with_suffix(".lease").exists():
        return True
    if not path.exists():
        return False
    try:
        with FileLock(path, timeout=0, fallback_to_soft=False):
            return False
    except (Timeout, NotImplementedError, OSError):
        return True


def _acquire(lock: BaseFileLock, waiting: Callable[[], None]) -> None:
    try:
        lock.acquire(timeout=0)
    except Timeout:
        waiting()
        lock.acquire()
