"""The machine's side of a run, which no recipe holds: folders, devices, precisions, and which process this is."""

import logging
import os
import warnings
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import get_args

import torch
import torch.distributed as dist
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning_fabric.utilities.exceptions import MisconfigurationException

from mia_seg.errors import MiaSegError
from mia_seg.recipes import Precision
from mia_seg.store import Store

# Fabric says at each start which precision it runs in; the recipe says so already.
logging.getLogger("lightning_fabric").setLevel(logging.WARNING)


DEVICES = ("auto", "cpu", "cuda", "mps")


@dataclass(frozen=True)
class Workspace:
    """Folders and devices of a run. data_root: the folder of the data sets; None if none is read.

    Raises MiaSegError for an unknown device name.
    """

    store: Store
    data_root: Path | None = None
    reports: Path = Path("reports")
    device: str = "auto"
    devices: int = 1
    workers: int = 0
    precision: Precision | None = None

    def __post_init__(self) -> None:
        if self.device not in DEVICES:
            fix = " Say which one with the variable CUDA_VISIBLE_DEVICES." if self.device.startswith("cuda:") else ""
            raise MiaSegError(f"--device '{self.device}': choose one of {', '.join(DEVICES)}.{fix}")

    def check(self, precision: str = "32-true", section: str = "[train]", *, joint: bool = False) -> None:
        """Raise MiaSegError if the device is missing, or cannot compute in the precision of a recipe's section.

        joint: check all devices that --devices, torchrun or SLURM give.
        """
        kind = self._kind
        asked, here = devices_and_nodes(self.devices)[0] if joint else 1, count(kind)
        if asked > here:
            raise MiaSegError(_too_few(kind, asked, here))
        if precision not in (can := precisions(kind)):
            option = " or with --precision" if section == "[train]" else ""
            raise MiaSegError(
                f"precision = '{precision}' in {section} is none that {_named(kind)} computes in. "
                f"Choose {' or '.join(can)} there{option}, or another --device."
            )

    @property
    def fastest(self) -> Precision:
        """The precision in which its device trains fastest."""
        return fastest(self._kind)

    @property
    def _kind(self) -> str:
        """cpu, cuda or mps: 'auto' is the fastest that is here."""
        return next(k for k in ("cuda", "mps", "cpu") if count(k)) if self.device == "auto" else self.device

    def fabric(self, precision: str, joint: bool = False, *, staged: bool = False) -> Fabric:
        """Lightning Fabric on one device, or `joint`ly on all that --devices, torchrun or SLURM give.

        staged: whether a backward pass leaves out parameters, which joint devices have to know. Call `check` before:
        Fabric would replace an impossible precision, or fail during the training.
        """
        devices, nodes = devices_and_nodes(self.devices) if joint else (1, 1)
        if joint and dist.is_initialized():
            raise MiaSegError("Several devices train one model a command. Run the same command again for the next one.")
        strategy = "ddp_find_unused_parameters_true" if staged and devices * nodes > 1 else "auto"
        try:
            fabric = Fabric(
                accelerator=self._kind,
                strategy=strategy,
                devices=devices,
                num_nodes=nodes,
                precision=precision,  # type: ignore[arg-type]
            )
            fabric.launch()
        except (ValueError, RuntimeError, MisconfigurationException) as error:
            raise MiaSegError(f"--device {self.device} cannot be used: {error} Choose another, or 'auto'.") from None
        return fabric


def count(kind: str) -> float:
    """How many devices of a kind this machine has; the CPU takes any number of processes."""
    if kind == "cuda":
        return torch.cuda.device_count()
    return float(torch.backends.mps.is_available()) if kind == "mps" else float("inf")


@cache
def precisions(kind: str) -> list[str]:
    """The precisions of recipes that a device really computes in."""
    return [precision for precision in get_args(Precision) if _computes_in(precision, kind)]


def fastest(kind: str) -> Precision:
    """The precision in which a device trains fastest. A CPU without instructions for bfloat16 emulates it, slowly."""
    if kind == "cpu":
        able = torch.cpu.get_capabilities()
        known = any(able.get(name) for name in ("avx512_bf16", "amx_bf16", "arm_bf16", "bf16"))
        return "bf16-mixed" if known else "32-true"
    return "bf16-mixed" if "bf16-mixed" in precisions(kind) else "32-true"


def _computes_in(precision: str, kind: str) -> bool:
    if precision == "32-true":
        return True
    if kind == "cpu":
        return precision == "bf16-mixed"  # Fabric takes it in place of 16-mixed
    emulated = kind == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False)
    return not (precision == "bf16-mixed" and emulated) and steps_in(precision, kind)


def steps_in(precision: str, kind: str) -> bool:
    """Whether one tiny training step in a mixed precision works on a device; torch and drivers decide that."""
    dtype = torch.bfloat16 if precision == "bf16-mixed" else torch.float16
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # torch warns and goes on in float32
            mixed = MixedPrecision(precision, kind)  # type: ignore[arg-type]
            layer = torch.nn.Conv2d(1, 1, 1).to(kind)
            with mixed.forward_context():
                found = layer(torch.ones(1, 1, 1, 1, device=kind))
            mixed.backward(found.float().sum(), None)
            mixed.optimizer_step(torch.optim.SGD(layer.parameters(), 1e-3))
    except (RuntimeError, NotImplementedError, AssertionError, TypeError, Warning):
        return False
    return found.dtype == dtype


def _too_few(kind: str, asked: int, here: float) -> str:
    if here:
        return f"--devices {asked}: this machine has {here:.0f} of '{kind}'. Ask for no more than it has."
    why = "no GPU, no driver, or a PyTorch built without CUDA" if kind == "cuda" else "no Apple GPU"
    return f"--device {kind}: PyTorch finds none on this machine ({why}). Choose --device cpu or auto."


def _named(kind: str) -> str:
    return f"the device '{kind}' ({torch.cuda.get_device_name()})" if kind == "cuda" else f"the device '{kind}'"


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
