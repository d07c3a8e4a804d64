"""What belongs to this machine and not to a recipe: where things lie, what computes, and which process this is."""

import logging
import os
from dataclasses import dataclass
from pathlib import Path

import torch.distributed as dist
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning_fabric.utilities.exceptions import MisconfigurationException

from mia_seg.errors import MiaSegError
from mia_seg.recipes import Precision
from mia_seg.store import Store

# Fabric says at each start which precision it runs in; the recipe says so already.
logging.getLogger("lightning_fabric").setLevel(logging.WARNING)


@dataclass(frozen=True)
class Workspace:
    """Where things lie, and what computes. data_root: the folder of the data sets, None where none is read."""

    store: Store
    data_root: Path | None = None
    reports: Path = Path("reports")
    device: str = "auto"
    devices: int = 1
    workers: int = 0
    precision: Precision | None = None

    def fabric(self, precision: str, joint: bool = False) -> Fabric:
        """Lightning Fabric on one device, or `joint`ly on all that --devices, torchrun or SLURM give."""
        devices, nodes = devices_and_nodes(self.devices) if joint else (1, 1)
        if joint and dist.is_initialized():
            raise MiaSegError("Several devices train one model a command. Run the same command again for the next one.")
        try:
            fabric = Fabric(
                accelerator=self.device,
                devices=devices,
                num_nodes=nodes,
                precision=precision,  # type: ignore[arg-type]
            )
            fabric.launch()
        except (ValueError, RuntimeError, MisconfigurationException) as error:
            raise MiaSegError(f"--device {self.device} cannot be used: {error} Choose another, or 'auto'.") from None
        return fabric


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
    """Which of several processes this is, as torchrun, SLURM or Fabric started them; 0 for one alone."""
    if TorchElasticEnvironment.detect():
        return TorchElasticEnvironment().global_rank()
    if SLURMEnvironment.detect():
        return SLURMEnvironment().global_rank()
    return int(os.environ.get("LOCAL_RANK", "0"))
