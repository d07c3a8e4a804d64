"""A Python function: image in, answer out. A few lines around any toolkit's model make one."""

import importlib
import importlib.util
import re
import sys
from collections.abc import Callable as Function
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self
from weakref import WeakValueDictionary

import numpy as np
import torch
from pydantic import Field, model_validator

from mia_seg.errors import MiaSegError
from mia_seg.oracles.doors import Ask, Door
from mia_seg.oracles.doors._models import asked, fault


class Held:
    """A function passed to `mia.audit`. It can be asked as long as the caller keeps this object."""

    def __init__(self, function: Any) -> None:
        self.function = function


HELD: WeakValueDictionary[str, Held] = WeakValueDictionary()


class Callable(Door):
    """`target` names a function of one image, by default uint8 RGB [H, W, 3], that returns an array or a tensor.

    An nn.Module is one too. It runs in this process: name only code that you would run yourself.
    """

    outside: ClassVar[frozenset[str]] = Door.outside | {"loads"}

    target: str | None = Field(default=None, description="the function, as package.module:function")
    held: str | None = Field(
        default=None, description="instead of target: digest of a function that mia.audit was given"
    )
    loads: tuple[str, ...] = Field(
        default=(), description="files that its module loads, such as weights; a changed file is another model"
    )

    @model_validator(mode="after")
    def _one_function(self) -> Self:
        if (self.target is None) == (self.held is None):
            raise ValueError("give target: 'package.module:function'")
        if self.target is not None and not re.fullmatch(r"(?!.*\.py:)\w+(\.\w+)*:\w+(\.\w+)*", self.target):
            raise ValueError(
                f"target = '{self.target}' names no function: write 'module:function', as 'own:predict' for predict in "
                f"own.py"
            )
        return self

    def open(self, base: Path, scenes: Mapping[int, str]) -> Ask:
        del scenes
        name = "the function in hand" if self.target is None else f"'{self.target}'"
        return asking(self._found(base) if self.target else self._in_hand(), name)

    def files(self, base: Path) -> tuple[Path, ...]:
        """The module's file and those in `loads`. What else it imports or reads is not looked at."""
        if self.target is None:
            return ()
        try:
            with _importable(base):
                spec = importlib.util.find_spec(self._module)
        except Exception:  # the packages around it are imported; `open` says what is wrong with them
            return ()
        own = (Path(spec.origin),) if spec and spec.origin and Path(spec.origin).is_file() else ()
        return (*own, *(base / name for name in self.loads))

    @property
    def _module(self) -> str:
        return str(self.target).partition(":")[0]

    def _in_hand(self) -> Any:
        held = HELD.get(str(self.held))
        if held is None:
            raise MiaSegError(
                "Door 'callable': this process does not have the function that mia.audit was given. Call "
                "mia.audit(predict, ...) again, or name the function in [door] target = 'module:function'."
            )
        return held.function

    def _found(self, base: Path) -> Any:
        try:
            with _importable(base):
                found: Any = importlib.import_module(self._module)
            self._check_place(base, found)
            for name in str(self.target).partition(":")[2].split("."):
                found = getattr(found, name)
        except MiaSegError:
            raise
        except Exception as error:  # a module may do anything when it is imported
            raise MiaSegError(
                f"Door 'callable': '{self.target}' cannot be imported from {base.resolve()} "
                f"({type(error).__name__}: {fault(error)}). Correct [door] target or the module."
            ) from error
        if not callable(found):
            raise MiaSegError(f"Door 'callable': '{self.target}' is no function. Name one in [door] target.")
        return found

    def _check_place(self, base: Path, module: Any) -> None:
        """The file here is meant, and not a module of that name that was imported before."""
        place = base.resolve().joinpath(*self._module.split("."))
        here = next((p for p in (place / "__init__.py", place.with_suffix(".py")) if p.is_file()), None)
        there = getattr(module, "__file__", None)
        if here and there and Path(there).resolve() != here.resolve():
            raise MiaSegError(
                f"Door 'callable': {here} is hidden by the module '{self._module}' of {there}. Give it another name."
            )


def asking(function: Any, name: str) -> Ask:
    """A function or an nn.Module as a door asks it."""
    return asked(_of_arrays(function) if isinstance(function, torch.nn.Module) else function, "callable", name)


def _of_arrays(module: torch.nn.Module) -> Function[[np.ndarray], Any]:
    """A module as a function of arrays, asked where its weights are."""
    module.eval()
    device = next((weight.device for weight in module.parameters()), torch.device("cpu"))
    return lambda given: module(torch.from_numpy(given).to(device))


class _importable:
    """The working directory among the places that modules are found in."""

    def __init__(self, base: Path) -> None:
        self.place = str(base.resolve())

    def __enter__(self) -> None:
        sys.path.insert(0, self.place)
        importlib.invalidate_caches()  # the file may be seconds old

    def __exit__(self, *_: object) -> None:
        sys.path.remove(self.place)
