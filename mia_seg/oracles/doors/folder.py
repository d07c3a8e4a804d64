"""A folder of answers that a model gave earlier, one file a scene: scores as .npy or .npz, labels as .png or .npy."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
from PIL import Image
from pydantic import Field

from mia_seg.errors import MiaSegError
from mia_seg.oracles.doors import Ask, Door

SUFFIXES = (".npy", ".npz", ".png")


class Folder(Door):
    """`path` holds `<scene id>.npy`, `.npz` (one array) or `.png` (an index image). Nothing else can be asked."""

    outside: ClassVar[frozenset[str]] = Door.outside | {"path"}

    path: str = Field(description="folder, from the working directory on")

    def files(self, base: Path) -> tuple[Path, ...]:
        """Every answer."""
        return tuple(sorted(path for path in (base / self.path).rglob("*") if path.suffix in SUFFIXES))

    def open(self, base: Path, scenes: Mapping[int, str]) -> Ask:
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
            return _array(found[0])
        except (OSError, ValueError, SyntaxError, EOFError) as error:
            raise MiaSegError(f"{found[0]} cannot be read ({error}). Write it again, as numpy.save does.") from None


def _array(path: Path) -> np.ndarray:
    if path.suffix == ".png":
        with Image.open(path) as image:
            return np.array(image)
    found = np.load(path, allow_pickle=False)
    if not isinstance(found, np.lib.npyio.NpzFile):
        return np.asarray(found)
    with found:
        if len(found.files) != 1:
            raise ValueError(f"{len(found.files)} arrays, one is expected")
        return np.asarray(found[found.files[0]])
