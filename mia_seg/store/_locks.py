"""Locks that avoid double work. Without them an artefact may be made twice, and one copy is dropped."""

import errno
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLease, Timeout

LEASE = 30.0  # seconds after which a lease that nobody renews may be taken
ABANDONED = 3600.0  # seconds after which one is nobody's for who only looks: the clocks of hosts differ
NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP}  # of file systems that know none


class _Busy(Exception):
    """Another process has the lock."""


@contextmanager
def locked(path: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold the lock; `waiting` is called once where another process has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = _taken(path, waiting)
    try:
        yield
    finally:
        lock.release()


@contextmanager
def if_free(path: Path) -> Iterator[bool]:
    """Hold the lock if no process has it, and say whether that is so."""
    if is_locked(path):
        yield False
        return
    _lease(path).unlink(missing_ok=True)  # an abandoned one
    try:
        with locked(path, _busy):
            yield True
    except _Busy:
        yield False


def is_locked(path: Path) -> bool:
    """Whether a process has the lock now."""
    try:
        return time.time() - _lease(path).stat().st_mtime < ABANDONED
    except FileNotFoundError:
        pass
    if not path.exists():
        return False
    try:
        with FileLock(path, timeout=0, fallback_to_soft=False):
            return False
    except Timeout:
        return True
    except (NotImplementedError, OSError) as error:
        return not _knows_none(error)


def _taken(path: Path, waiting: Callable[[], None]) -> BaseFileLock:
    try:
        return _acquire(FileLock(path, fallback_to_soft=False), waiting)
    except (NotImplementedError, OSError) as error:
        if not _knows_none(error):
            raise
    # A lease runs out where its holder was killed.
    return _acquire(SoftFileLease(_lease(path), lease_duration=LEASE), waiting)


def _acquire(lock: BaseFileLock, waiting: Callable[[], None]) -> BaseFileLock:
    try:
        lock.acquire(timeout=0)
    except Timeout:
        waiting()
        lock.acquire()
    return lock


def _knows_none(error: Exception) -> bool:
    return isinstance(error, NotImplementedError) or getattr(error, "errno", None) in NO_LOCKS


def _lease(path: Path) -> Path:
    return path.with_suffix(".lease")


def _busy() -> None:
    raise _Busy
