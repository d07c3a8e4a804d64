"""A TorchScript file. It is a program and not only weights, so it is opened only where the recipe says so."""

import warnings
from collections.abc import Mapping
from pathlib import Path

import torch

from mia_seg.errors import MiaSegError
from mia_seg.oracles.doors import Ask
from mia_seg.oracles.doors._models import Program, existing, fault, network


class Torchscript(Program):
    """`path` is what `torch.jit.save` wrote. PyTorch has deprecated it; ONNX and safetensors run no code."""

    def open(self, base: Path, scenes: Mapping[int, str]) -> Ask:
        del scenes
        path = self.trusted(base, "holds a program that runs as you")
        try:
            with warnings.catch_warnings(action="ignore"):  # that the format is deprecated
                model = torch.jit.load(path, map_location="cpu")  # type: ignore[no-untyped-call]
        except (RuntimeError, ValueError, OSError) as error:
            raise MiaSegError(
                f"{path} cannot be read as TorchScript ({fault(error)}). Save it again with torch.jit.save; for a "
                f"state_dict there is the door 'torchvision'."
            ) from None
        return network(model, "torchscript", lambda answer, given: self.scores(answer))

    def files(self, base: Path) -> tuple[Path, ...]:
        """The program with its weights."""
        return (existing(base / self.path, "torchscript", "the file that torch.jit.save wrote"),)
