"""A worker process: it makes stages for the main process."""

import multiprocessing
import os
import shutil
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch

from mia_seg import progress
from mia_seg.engines._share import THREADS
from mia_seg.errors import MiaSegError, Stopped
from mia_seg.stages.run import Batch, Ending, make
from mia_seg.store import writing
from mia_seg.train._state import STOPPING
from mia_seg.workspace import Workspace

LOG = "stage.log"
# Libraries take seconds and half a gigabyte to load: once for all, by a process that does nothing else and forks. Where
# Apple's frameworks do not survive that, each process loads its own.
START = "spawn" if sys.platform == "darwin" else "forkserver"


def begun(workspace: Workspace, environment: Mapping[str, str]) -> tuple[BaseProcess, Connection]:
    """Start a worker process with its own environment variables; the process and the pipe to it."""
    context: Any = multiprocessing.get_context(START)
    context.set_forkserver_preload([__name__])
    ours, its = context.Pipe()
    process = context.Process(target=serve, args=(its, workspace, environment))
    with _set(environment), _quiet_interrupts():  # what loads the libraries begins with them, too
        process.start()
    its.close()
    return process, ours


def died(batch: Batch, code: int, workspace: Workspace) -> str:
    """The error for a batch whose process was killed twice. code: its exit code, negative for a signal."""
    how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return (
        f"{batch[0].title}: its process was ended ({how}), and ended again when it ran by itself, as where memory runs "
        f"out. Lower batch, crop or [data] size; what it printed is in {log_of(batch, workspace)}."
    )


def serve(pipe: Connection, workspace: Workspace, environment: Mapping[str, str]) -> None:
    """Make batch after batch that comes through the pipe, and send back how each ended, until the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in STOPPING:
        signal.signal(number, signal.SIG_DFL)
    os.environ.update(environment)
    torch.set_num_threads(int(environment[THREADS[0]]))
    threading.Thread(target=_follow, daemon=True).start()
    progress.show()
    said: Ending | Exception = Ending()
    with suppress(EOFError, BrokenPipeError):  # the first process is no more
        while isinstance(said, Ending):  # the rest ends all
            said = answer(pipe.recv(), workspace)
            pipe.send(said)


def log_of(batch: Batch, workspace: Workspace) -> Path:
    """The log of making a batch, beside the saved state of its first stage. Both are removed once that is made."""
    return batch[0].artefact(workspace.store).scratch / LOG


@contextmanager
def _logged(path: Path) -> Iterator[None]:
    """Send to a file whatever is printed, by libraries below Python too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = [os.dup(1), os.dup(2)]
    with path.open("a", buffering=1, encoding="utf-8") as file, redirect_stdout(file), redirect_stderr(file):
        for number in (1, 2):
            os.dup2(file.fileno(), number)
        try:
            yield
        except MiaSegError:
            raise  # a sentence, which the first process says
        except Exception:
            traceback.print_exc()
            raise
        finally:
            for number, old in enumerate(kept, 1):
                os.dup2(old, number)
                os.close(old)


def answer(batch: Batch, workspace: Workspace) -> Ending | Exception:
    """Make a batch, its output in its log. Errors that end the whole run are returned: Stopped, Unwritable, bugs."""
    log = log_of(batch, workspace)
    try:
        with writing(workspace.store.root), _logged(log):
            ending = make(batch, workspace)
    except MiaSegError as error:
        return error
    except Exception:  # not every exception survives the way to another process
        return RuntimeError(traceback.format_exc())
    if not ending.said:
        shutil.rmtree(log.parent, ignore_errors=True)
    return ending


def _follow() -> None:
    """Stop as by a scheduler once the first process is no more: a training saves its state."""
    first = parent_process()
    assert first is not None
    wait([first.sentinel])
    os.kill(os.getpid(), signal.SIGTERM)


@contextmanager
def _set(environment: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


@contextmanager
def _quiet_interrupts() -> Iterator[None]:
    """What is begun here ignores Ctrl-C, which reaches all processes: the first one says what is to be done."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def raising() -> Iterator[None]:
    """Raise Stopped when a scheduler asks this process to stop. Only the main thread gets signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _stop) for number in STOPPING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop(number: int, _: object) -> None:
    raise Stopped(f"Stopped by {signal.Signals(number).name}. The same command goes on from the last saved step.")
