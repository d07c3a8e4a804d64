"""A TorchScript file. It is a program and not only weights, so it is opened only where the recipe says so."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import Field

from mia_seg.errors import MiaSegError
from mia_seg.oracles.doors import Ask, Door
from mia_seg.oracles.doors._models import Batched, BatchedOutput, existing, fault, network, scaled


class Torchscript(Door):
    """`path` is what `torch.jit.save` wrote. PyTorch has deprecated it; ONNX and safetensors run no code."""

    path: str = Field(description="the file, from the working directory on")
    trust: bool = Field(default=False, description="run the program that the file holds: true where you know its maker")
    part: str | None = Field(default=None, description="key of the scores, where the model answers a dictionary")
    input: Batched = Field(default=Batched(), description="what it is given of an image")
    output: BatchedOutput = Field(default=BatchedOutput(), description="what its answer means")

    def open(self, base: Path, scenes: Mapping[int, str]) -> Ask:
        del scenes
        (path,) = self.files(base)
        if not self.trust:
            raise MiaSegError(
                f"Door 'torchscript': {path} holds a program that runs as you. Set [door] trust = true if you know who "
                f"made it, or ask for the model as ONNX or safetensors, which run nothing."
            )
        scaled(self)
        try:
            with warnings.catch_warnings(action="ignore"):  # that the format is deprecated
                model = torch.jit.load(path, map_location="cpu")  # type: ignore[no-untyped-call]
        except (RuntimeError, ValueError, OSError) as error:
            raise MiaSegError(
                f"{path} cannot be read as TorchScript ({fault(error)}). Save it again with torch.jit.save; for a "
                f"state_dict there is the door 'torchvision'."
            ) from None
        return network(model, "torchscript", self._part)

    def files(self, base: Path) -> tuple[Path, ...]:
        """The program with its weights."""
        return (existing(base / self.path, "torchscript", "the file that torch.jit.save wrote"),)

    def _part(self, answer: Any, given: np.ndarray) -> Any:
        del given
        return answer if self.part is None else answer[self.part]
