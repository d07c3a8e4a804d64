"""Several processes as torchrun and SLURM start them: how many there are, and which one this is."""

import os

from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment

from mia_seg.errors import MiaSegError


def devices_and_nodes(asked: int) -> tuple[int, int]:
    """Devices a node, and nodes: those of the launcher, else what `--devices` asks for on this machine."""
    if TorchElasticEnvironment.detect():
        launcher, a_node, nodes = "torchrun", "LOCAL_WORLD_SIZE", "GROUP_WORLD_SIZE"
    elif SLURMEnvironment.detect():
        launcher, a_node, nodes = "srun", "SLURM_NTASKS_PER_NODE", "SLURM_NNODES"
    else:
        return asked, 1
    started = int(os.environ.get(a_node, "1"))
    if asked not in (1, started):
        raise MiaSegError(
            f"--devices {asked}: {launcher} started {started} processes on each node, one a device. "
            f"Leave --devices out, or start as many."
        )
    return started, int(os.environ.get(nodes, "1"))


def rank() -> int:
    """Which of the launcher's processes this is; 0 without one."""
    if TorchElasticEnvironment.detect():
        return TorchElasticEnvironment().global_rank()
    return SLURMEnvironment().global_rank() if SLURMEnvironment.detect() else 0
