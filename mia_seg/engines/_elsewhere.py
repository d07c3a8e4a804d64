"""Work for other machines: stages are sent with digests of their inputs; models and answers stay in the store."""

import importlib
import math
import os
import pickle
import socket
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mia_seg import __version__
from mia_seg.engines._worker import answer
from mia_seg.errors import MiaSegError, Stopped
from mia_seg.stages.run import Batch, Ending, Engine
from mia_seg.store import Store
from mia_seg.workspace import Workspace

LAG = 60.0  # seconds until what one machine wrote to a shared folder is seen by another
POLL = 1.0


@dataclass(frozen=True)
class Parcel:
    """A batch of stages to send. version: of mia-seg. folder: the working directory. content: stages and workspace."""

    version: str
    folder: str
    content: bytes

    @classmethod
    def of(cls, batch: Batch, workspace: Workspace) -> "Parcel":
        """Pack a batch, with absolute paths: a worker may start in another folder."""
        root = None if workspace.data_root is None else workspace.data_root.resolve()
        there = replace(workspace, store=Store(workspace.store.root.resolve()), data_root=root)
        return cls(__version__, str(Path.cwd()), pickle.dumps((tuple(batch), there)))


def work(parcel: Parcel) -> Ending | Exception:
    """Make a parcel's stages. Errors that end the whole run are returned, because engines retry what is raised."""
    try:
        _check_machine(parcel)
        os.chdir(parcel.folder)
        batch, workspace = pickle.loads(parcel.content)
        _check_folders(batch, workspace)
        for stage in batch:
            stage.check(workspace)
    except MiaSegError as error:
        return Ending(said=str(error))
    return answer(batch, workspace)


class Again:
    """A job's work. The job is queued again when its time is up or its machine is preempted."""

    def __call__(self, parcel: Parcel) -> Ending | Exception:
        return work(parcel)

    def checkpoint(self, parcel: Parcel) -> Any:
        """Submit the same parcel again; the saved state is in the store."""
        return toolkit("submitit").helpers.DelayedSubmission(self, parcel)


class Elsewhere(Engine):
    """An engine on other machines that share the store's folder. Each checks what it can make."""

    width = math.inf

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace

    def check(self, stages: Batch, workspace: Workspace) -> None:
        """Connect to the machines, if there is a stage to make."""
        if stages:
            workspace.store.root.mkdir(parents=True, exist_ok=True)
            self.connect()

    def connect(self) -> None:
        """Raise MiaSegError where the machines cannot be reached."""

    def came_to(self, batch: Batch, found: Ending | Exception) -> tuple[Batch, Ending]:
        """A worker's answer, as seen here. A worker that was told to stop saved its state: its batch is tried again."""
        if isinstance(found, Stopped):
            return batch, Ending(again=True)
        if isinstance(found, Exception):
            raise found
        store = self.workspace.store
        if not found.said and not _appears(batch, store):
            place = batch[0].artefact(store).path
            return batch, Ending(
                said=f"{batch[0].title} was made, and {place} is not there: the workers have another {store.root}. "
                f"Give a --store on a folder that all machines share."
            )
        return batch, found


def toolkit(name: str) -> Any:
    """The module of an engine's extra. Raises MiaSegError where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        why = " ".join(str(error).split())
        extra = {"submitit": "slurm"}.get(name, name)
        raise MiaSegError(
            f"--on {extra}: {name} cannot be imported ({why}). Install it: pip install 'mia-seg[{extra}]'."
        ) from None


def _check_machine(parcel: Parcel) -> None:
    host = socket.gethostname()
    if parcel.version != __version__:
        raise MiaSegError(
            f"Worker {host} has mia-seg {__version__}, and the command is {parcel.version}. Install the same one there."
        )
    if not Path(parcel.folder).is_dir():
        raise MiaSegError(
            f"Worker {host} has no folder {parcel.folder}, where the command was given. Give it in a folder that all "
            f"machines share."
        )


def _check_folders(batch: Batch, workspace: Workspace) -> None:
    host, root = socket.gethostname(), workspace.data_root
    if root is not None and not root.is_dir():
        raise MiaSegError(f"Worker {host} has no folder {root}. Give a --data-root that all machines share.")
    needs = [other for stage in batch for other in stage.needs]
    if not workspace.store.root.is_dir() or not _appears(needs, workspace.store):
        raise MiaSegError(
            f"Worker {host} does not see in {workspace.store.root} what {batch[0].title} needs. Give a --store on a "
            f"folder that all machines share."
        )


def _appears(stages: Batch, store: Store) -> bool:
    end = time.monotonic() + LAG
    while not all(stage.artefact(store).whole for stage in stages):
        if time.monotonic() > end:
            return False
        time.sleep(POLL)
    return True
