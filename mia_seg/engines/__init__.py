"""Engines: where a plan's stages are made, other than one after the other in this process. One engine is one file."""

from mia_seg.errors import MiaSegError
from mia_seg.stages.run import Engine
from mia_seg.workspace import Workspace, devices_and_nodes


def chosen(workspace: Workspace, *, jobs: int = 1) -> Engine | None:
    """The engine that the options ask for; None for one stage after the other in this process.

    jobs: how many stages at once, each in a process of this machine. Raises MiaSegError for what does not go together.
    """
    if jobs == 1:
        return None
    if devices_and_nodes(workspace.devices) != (1, 1):
        raise MiaSegError(
            f"--jobs {jobs} makes several stages at once, and several devices (--devices, torchrun or srun) make one "
            f"together. Choose one of the two."
        )
    from mia_seg.engines.jobs import Jobs  # noqa: PLC0415 (an engine is loaded where it is asked for)

    return Jobs(workspace, jobs)
