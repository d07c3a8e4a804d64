"""A file of torch.export. Reading it unpickles, so it is opened only where the recipe says so."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mia_seg.errors import MiaSegError
from mia_seg.oracles.doors import Ask
from mia_seg.oracles.doors._models import Program, asked, existing, fault


class Pt2(Program):
    """`path` is what `torch.export.save` wrote of a model in evaluation mode. It takes the sizes of its export."""

    def open(self, base: Path, scenes: Mapping[int, str]) -> Ask:
        del scenes
        path = self.trusted(base, "can hold pickled objects, which run code when they are read")
        try:
            with _silent("torch.export"):
                model = torch.export.load(path).module()
        except Exception as error:  # of zip files, of pickles, of programs of other versions
            raise MiaSegError(
                f"{path} cannot be read as an exported program ({fault(error)}). Save it again with torch.export.save."
            ) from None

        def answer(given: np.ndarray) -> Any:
            # On the CPU: where its constants lie is fixed in the program.
            return self.scores(model(torch.from_numpy(given)))

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
