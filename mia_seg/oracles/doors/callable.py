"""A Python function: image in, answer out. Any toolkit's model is one with a few lines around it."""

import importlib
import importlib.util
import sys
from collections.abc import Callable as Function
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import Field

from mia_seg.errors import MiaSegError
from mia_seg.oracles.doors import Ask, Door


class Callable(Door):
    """`target` names a function of one image, by default uint8 RGB [H, W, 3], that returns an array or a tensor.

    An nn.Module is one too. It runs in this process: name only code that you would run yourself.
    """

    target: str = Field(pattern=r"^[\w.]+:[\w.]+$", description="package.module:function")

    def open(self, base: Path, scenes: Mapping[int, str]) -> Ask:
        del scenes
        return asked(self._found(base), f"'{self.target}'")

    def files(self, base: Path) -> tuple[Path, ...]:
        """The module's file. What that imports or loads is not looked at."""
        with _importable(base):
            spec = importlib.util.find_spec(self.target.partition(":")[0])
        return (Path(spec.origin),) if spec and spec.origin and Path(spec.origin).is_file() else ()

    def _found(self, base: Path) -> Any:
        module, _, names = self.target.partition(":")
        try:
            with _importable(base):
                found: Any = importlib.import_module(module)
            for name in names.split("."):
                found = getattr(found, name)
        except (ImportError, AttributeError) as error:
            raise MiaSegError(
                f"Door 'callable': '{self.target}' cannot be imported from {base} ({error}). Correct [door] target."
            ) from None
        if not callable(found):
            raise MiaSegError(f"Door 'callable': '{self.target}' is no function. Name one in [door] target.")
        return found


def asked(function: Function[[Any], Any], name: str) -> Ask:
    """A function as a door asks it: it gets arrays, or tensors where it is a module; the key says nothing to it."""
    if isinstance(function, torch.nn.Module):
        function.eval()

    def ask(given: np.ndarray, key: int) -> np.ndarray:
        del key
        try:
            with torch.inference_mode():
                answer = function(torch.from_numpy(given) if isinstance(function, torch.nn.Module) else given)
        except Exception as error:  # whatever the function's author did not think of
            raise MiaSegError(
                f"Door 'callable': {name} failed on an image of {given.shape} ({type(error).__name__}: {error}). "
                f"Mend it, or set [door.input] to what it takes."
            ) from error
        return answer.detach().cpu().numpy() if isinstance(answer, torch.Tensor) else np.asarray(answer)

    return ask


class _importable:
    """The working directory among the places that modules are found in."""

    def __init__(self, base: Path) -> None:
        self.place = str(base.resolve())

    def __enter__(self) -> None:
        sys.path.insert(0, self.place)

    def __exit__(self, *_: object) -> None:
        sys.path.remove(self.place)
