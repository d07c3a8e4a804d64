"""What belongs to this machine and not to a recipe."""

import logging
import sys
from dataclasses import dataclass
from pathlib import Path

import torch.distributed as dist
from lightning_fabric import Fabric
from lightning_fabric.utilities.exceptions import MisconfigurationException

from mia_seg import launch
from mia_seg.errors import MiaSegError
from mia_seg.recipes import Precision, Recipe
from mia_seg.store import Store

# Fabric says at each start which precision it runs in; the recipe says so already.
logging.getLogger("lightning_fabric").setLevel(logging.WARNING)


@dataclass(frozen=True)
class Workspace:
    """What belongs to this machine and not to a recipe: where things lie, and what computes."""

    store: Store
    data_root: Path | None
    reports: Path
    device: str = "auto"
    devices: int = 1
    workers: int = 0
    precision: Precision | None = None

    def at_precision(self, settings: Recipe) -> Recipe:
        """The recipe at the precision that `--precision` asks for; it shapes the model, and so its digest."""
        if self.precision is None:
            return settings
        train_ = settings.train.model_copy(update={"precision": self.precision})
        return settings.model_copy(update={"train": train_})

    def fabric(self, precision: str, joint: bool = False) -> Fabric:
        """Lightning Fabric on one device, or `joint`ly on all that --devices, torchrun or SLURM give."""
        if not joint and launch.rank() > 0:
            sys.exit(0)  # devices share the training alone; the first process does the rest
        devices, nodes = launch.devices_and_nodes(self.devices) if joint else (1, 1)
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
