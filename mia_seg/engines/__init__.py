"""Engines: where a plan's stages are made, other than one after the other in this process. One engine is one file."""

from typing import TYPE_CHECKING

from mia_seg.errors import MiaSegError

if TYPE_CHECKING:
    from mia_seg.stages.run import Engine
    from mia_seg.workspace import Workspace


def chosen(workspace: "Workspace", *, jobs: int = 1, on: str | None = None) -> "Engine | None":
    """The engine that the options ask for; None for one stage after the other in this process.

    jobs: how many stages at once, each in a process of this machine. on: 'ray', 'ray://HOST:PORT' or 'slurm'.
    Nothing is started yet. Raises MiaSegError for what is not known or installed, or does not go together.
    """
    from mia_seg.workspace import devices_and_nodes

    if jobs == 1 and on is None:
        return None
    asked = f"--jobs {jobs}" if on is None else f"--on {on}"
    if on is not None and jobs != 1:
        raise MiaSegError(f"--jobs {jobs} is for this machine, and --on {on} for others. Choose one of the two.")
    if devices_and_nodes(workspace.devices) != (1, 1):
        raise MiaSegError(
            f"{asked} makes several stages at once, and several devices (--devices, torchrun or srun) make one "
            f"together. Choose one of the two."
        )
    return _on(workspace, on) if on else _jobs(workspace, jobs)


def _on(workspace: "Workspace", on: str) -> "Engine":
    if on == "slurm":
        from mia_seg.engines.slurm import OnSlurm

        return OnSlurm(workspace)
    if on == "ray" or on.startswith("ray://"):
        from mia_seg.engines.ray import OnRay

        return OnRay(workspace, None if on == "ray" else on)
    raise MiaSegError(f"--on {on}: choose ray, ray://HOST:PORT or slurm.")


def _jobs(workspace: "Workspace", jobs: int) -> "Engine":
    from mia_seg.engines.jobs import Jobs

    return Jobs(workspace, jobs)
