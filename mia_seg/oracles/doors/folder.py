"""A folder of answers that a model gave earlier, one file a scene: scores as .npy or .npz, labels as .png or .npy."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
from pydantic import Field, field_validator

from mia_seg.data._open import opened
from mia_seg.data._pixels import ids
from mia_seg.errors import MiaSegError
from mia_seg.oracles.doors import Ask, Door
from mia_seg.oracles.doors._models import fault

SUFFIXES = (".npy", ".npz", ".png")


class Folder(Door):
    """`path` holds `<scene id>.npy`, `.npz` (one array) or `.png` (an index image). Nothing else can be asked."""

    by_name: ClassVar[bool] = True

    path: str = Field(description="folder of answers, relative to the working directory")

    @field_validator("examples")
    @classmethod
    def _asks_no_model(cls, examples: str | None) -> str | None:
        if examples is not None:
            raise ValueError("a folder of answers cannot be asked about other images; leave this key out")
        return examples

    def files(self, base: Path) -> tuple[Path, ...]:
        """Every answer."""
        return tuple(sorted(path for path in (base / self.path).rglob("*") if path.suffix in SUFFIXES))

    def open(self, base: Path, scenes: Mapping[int, str]) -> Ask:
        if not (base / self.path).is_dir():
            raise MiaSegError(f"Door 'folder': {base / self.path} is no folder. Let [door] path name the answers.")

        def ask(given: np.ndarray, key: int) -> np.ndarray:
            del given
            if key not in scenes:
                raise MiaSegError(
                    f"Door 'folder': {base / self.path} holds answers to the scenes as they are, once each. Leave out "
                    f"repeats and attacks that ask about changed scenes."
                )
            return self._read(base, scenes[key])

        return ask

    def _read(self, base: Path, scene_id: str) -> np.ndarray:
        found = [path for path in (base / self.path / f"{scene_id}{suffix}" for suffix in SUFFIXES) if path.is_file()]
        if len(found) != 1:
            what = f"{len(found)} answers" if found else "no answer"
            raise MiaSegError(
                f"Door 'folder': {what} to scene '{scene_id}' in {base / self.path} ({' or '.join(SUFFIXES)}). "
                f"Give one file each."
            )
        try:
            return read(found[0])
        except MiaSegError as error:  # of an image; its own way out is that of a data set
            said = str(error).removeprefix(str(found[0])).partition(". ")[0]
            raise MiaSegError(f"{found[0]}{said}. Write it again, as an 8-bit grey or palette image.") from None
        except Exception as error:  # a damaged file lets numpy and zipfile raise whatever they run into
            raise MiaSegError(
                f"{found[0]} cannot be read ({fault(error)}). Write it again, as numpy.save does."
            ) from None


def read(path: Path) -> np.ndarray:
    """The one array of a file; pickled objects are not read, because reading them can run code."""
    if path.suffix == ".png":
        with opened(path, exact=True) as found:
            return np.array(ids(found, "ids"), np.uint8)
    with path.open("rb") as file:  # numpy leaves a broken archive open
        found = np.load(file, allow_pickle=False)
        if not isinstance(found, np.lib.npyio.NpzFile):
            return np.asarray(found)
        if len(found.files) != 1:
            raise ValueError(f"{len(found.files)} arrays, one is expected")
        return np.asarray(found[found.files[0]])
