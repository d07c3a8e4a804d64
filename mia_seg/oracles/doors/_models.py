"""Shared by doors to models in this process: finding files, importing a toolkit, asking a network."""

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from pydantic import Field

from mia_seg.errors import MiaSegError
from mia_seg.oracles.doors import Ask, Door, Input, Layout, Output


class Batched(Input):
    """An image as PyTorch's models take it."""

    layout: Layout = Field(default="NCHW", description="axes of the image; N is a batch of one")


class BatchedOutput(Output):
    """Scores as PyTorch's models give them."""

    layout: Layout = Field(default="NCHW", description="axes of scores; labels have only H and W, with or without N")


class Program(Door):
    """A door to a file that holds code, not only weights. It opens only with `trust = true` in the recipe."""

    path: str = Field(description="the file, relative to the working directory")
    trust: bool = Field(default=False, description="allow the code in the file to run: only if you know who made it")
    part: str | None = Field(default=None, description="key of the scores, if the model returns a dictionary")
    input: Batched = Field(default=Batched(), description="how an image is prepared for the model")
    output: BatchedOutput = Field(default=BatchedOutput(), description="what its answer means")

    def trusted(self, base: Path, why: str) -> Path:
        """The file, if the recipe trusts it; else raises MiaSegError. why: what opening it does."""
        (path,) = self.files(base)
        if not self.trust:
            name = type(self).__module__.rpartition(".")[2]
            raise MiaSegError(
                f"Door '{name}': {path} {why}. Set [door] trust = true if you know who made it, or ask for the model "
                f"as ONNX or safetensors, which run nothing."
            )
        scaled(self)
        return path

    def scores(self, answer: Any) -> Any:
        """The scores within an answer."""
        return answer if self.part is None else answer[self.part]


def existing(place: Path, door: str, holds: str) -> Path:
    """A path that must exist, else MiaSegError. holds: what it should hold, for the error."""
    if not place.exists():
        raise MiaSegError(f"Door '{door}': {place} does not exist. Let [door] path name {holds}.")
    return place


def toolkit(module: str, door: str) -> ModuleType:
    """Import a module that an extra of mia-seg installs. Raises MiaSegError if it is not installed."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MiaSegError(
            f"Door '{door}': {module} cannot be imported ({fault(error)}). Install it: pip install 'mia-seg[{door}]'."
        ) from None


def fault(error: Exception, words: str | None = None) -> str:
    """A library's error message on one line. words: the relevant part of it."""
    return " ".join((str(error) if words is None else words).split()).rstrip(".")[:300] or type(error).__name__


def scaled(door: Door, takes: str = "floats") -> None:
    """Raise MiaSegError if a model of floats would get bytes: the recipe has to say whether they go up to 255 or 1."""
    if not door.input.scales:
        raise MiaSegError(
            f"Door '{type(door).__module__.rpartition('.')[2]}': the model takes {takes}, and [door.input] does not "
            f"say which. Set scale = 255 for 0 to 1 or scale = 1 for 0 to 255, and mean and std where it has them."
        )


def network(module: torch.nn.Module, door: str, pick: Callable[[Any, np.ndarray], Any]) -> Ask:
    """An nn.Module as an `Ask`, on the GPU if there is one. pick: (output, input) -> scores.

    It runs in its own precision: half precision would be another model than its owner's.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    module = module.eval().to(device)

    def answer(given: np.ndarray) -> Any:
        return pick(module(torch.from_numpy(given).to(device)), given)

    return asked(answer, door, "the model")


def asked(function: Callable[[Any], Any], door: str, name: str) -> Ask:
    """A function as an `Ask`; it does not get the key."""

    def ask(given: np.ndarray, key: int) -> np.ndarray:
        del key
        try:
            with torch.inference_mode():
                answer = function(given)
        except Exception as error:  # whatever its author did not think of
            raise MiaSegError(
                f"Door '{door}': {name} failed on an image of {given.shape}, {given.dtype} "
                f"({type(error).__name__}: {fault(error)}). Mend it, or set [door.input] to what it takes."
            ) from error
        return array(answer, door, name)

    return ask


def array(answer: Any, door: str, name: str) -> np.ndarray:
    """A tensor or array as a numpy array. Raises MiaSegError for several, since none is guessed."""
    if isinstance(answer, torch.Tensor):
        answer = answer.detach().cpu()
        return (answer.float() if answer.dtype == torch.bfloat16 else answer).numpy()
    if not isinstance(answer, np.ndarray) or answer.dtype.kind not in "biuf":
        keys = f" with {', '.join(map(str, answer))}" if isinstance(answer, Mapping) else ""
        what = f"an array of {answer.dtype}" if isinstance(answer, np.ndarray) else f"a {type(answer).__name__}{keys}"
        raise MiaSegError(f"Door '{door}': {name} returns {what}. Let it return one array or tensor of numbers.")
    return answer
