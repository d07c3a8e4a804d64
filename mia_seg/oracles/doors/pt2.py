"""A file of torch.export. Reading it unpickles, so it is opened only where the recipe says so."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import Field

from mia_seg.errors import MiaSegError
from mia_seg.oracles.doors import Ask, Door
from mia_seg.oracles.doors._models import Batched, BatchedOutput, asked, existing, fault, scaled


class Pt2(Door):
    """`path` is what `torch.export.save` wrote of a model in evaluation mode. It takes the sizes of its export."""

    path: str = Field(description="the .pt2 file, from the working directory on")
    trust: bool = Field(default=False, description="run what the file holds: true where you know its maker")
    part: str | None = Field(default=None, description="key of the scores, where the model answers a dictionary")
    input: Batched = Field(default=Batched(), description="what it is given of an image")
    output: BatchedOutput = Field(default=BatchedOutput(), description="what its answer means")

    def open(self, base: Path, scenes: Mapping[int, str]) -> Ask:
        del scenes
        (path,) = self.files(base)
        if not self.trust:
            raise MiaSegError(
                f"Door 'pt2': {path} can hold pickled objects, which run code when they are read. Set [door] trust = "
                f"true if you know who made it, or ask for the model as ONNX or safetensors, which run nothing."
            )
        scaled(self)
        try:
            with _silent("torch.export"):
                model = torch.export.load(path).module()
        except Exception as error:  # of zip files, of pickles, of programs of other versions
            raise MiaSegError(
                f"{path} cannot be read as an exported program ({fault(error)}). Save it again with torch.export.save."
            ) from None

        def answer(given: np.ndarray) -> Any:
            found = model(torch.from_numpy(given))  # on the CPU: where its constants lie is fixed in the program
            return found if self.part is None else found[self.part]

        return asked(answer, "pt2", "the model")

    def files(self, base: Path) -> tuple[Path, ...]:
        """The program with its weights."""
        return (existing(base / self.path, "pt2", "the file that torch.export.save wrote"),)


@contextmanager
def _silent(name: str) -> Iterator[None]:
    """Without the tracebacks that a library writes before it raises."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)
