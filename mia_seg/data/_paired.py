"""Base of all data sets of image and label files: ids from folder listings, scenes from pairs of files."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import chain
from pathlib import Path
from typing import ClassVar

import numpy as np
from PIL import Image
from pydantic import Field, field_validator

from mia_seg.data import IGNORE, Dataset, Finding, Scene
from mia_seg.data._files import paired
from mia_seg.data._pixels import Stored
from mia_seg.data._read import read_image, read_labels, read_pair, size_of
from mia_seg.data._values import LabelValues
from mia_seg.errors import AbsentPart, MiaSegError
from mia_seg.values import Side

SAMPLE = 20  # label files of a folder that a survey reads
LISTED = 21  # a survey names the classes of a space up to this size, and counts those of larger ones
OUTSIDE = 254  # no class and not IGNORE
Value = int | tuple[int, int, int]  # what a pixel of a label file holds: an id or a colour
Found = tuple[Path, dict[str, Path], dict[str, Path]]  # where the images lie, images by stem, label files by stem


class Paired(Dataset):
    """Image and label files. A subclass says where they lie (`root`, `parts`, `find`) and what they hold (`decode`).

    An id is '<part>/<stem>', or the stem alone if the data set has one part without a name.
    """

    listing: ClassVar[frozenset[str]] = frozenset({"folders", "group_by"})
    official: ClassVar[dict[str, int]] = {}  # pairs by the beginning of their ids, where the whole data set lies there

    size: tuple[Side, Side] | None = Field(default=None, description="resize to (height, width); none: as stored")

    @field_validator("folders", check_fields=False)  # which most data sets have
    @classmethod
    def _each_once(cls, folders: tuple[str, ...]) -> tuple[str, ...]:
        if not folders or len(set(folders)) < len(folders):
            raise ValueError("name one folder or several, each once")
        return folders

    def root(self, data_root: Path | None) -> Path:
        """The data set's own folder. Raises AbsentData where there is none below the data root."""
        raise NotImplementedError

    def parts(self) -> tuple[str, ...]:
        """The folders that the settings choose."""
        raise NotImplementedError

    def find(self, root: Path, part: str) -> Found:
        """The folder with the images of one part, its images and its label files. Asked once a process."""
        raise NotImplementedError

    def decode(self, stored: np.ndarray, path: Path) -> np.ndarray:
        """Stored values -> class ids [H, W] with IGNORE; `path` is the label file, for the sentence."""
        raise NotImplementedError

    def unknown(self, stored: np.ndarray, labels_HW: np.ndarray) -> dict[str, int]:
        """Stored values without a class that `decode` ignored: value -> pixels. Most data sets refuse them instead."""
        del stored, labels_HW
        return {}

    def meanings(self, values: Sequence[Value], path: Path) -> list[int | None]:
        """The class id of each stored value: IGNORE if it is ignored, None if it is no label. path: the label file."""
        try:
            return self.decode(np.array([values], np.uint8), path)[0].tolist()
        except MiaSegError:
            alone = len(values) == 1
            return [None] if alone else [means for value in values for means in self.meanings([value], path)]

    def stored_as(self) -> Stored:
        """The form that label files must have, before `decode`."""
        return "grey ids"

    def white(self) -> int | None:
        """The id of white in a one-bit label file; None if it may be 1 or 255, so that such files are refused."""
        return 1

    def resized(self, stored: tuple[int, int]) -> tuple[int, int]:
        """The (height, width) that a scene of a stored size is given."""
        return self.size or stored

    def variants(self) -> dict[str, "Paired"]:
        """Settings that a survey tries, by title. Together they cover everything that may lie below a root."""
        return {"": self}

    def ids(self, data_root: Path | None) -> list[str]:
        root = self.root(data_root)
        return sorted(_id(part, stem) for part in self.parts() for stem in pairs(self, root, part))

    def files(self, data_root: Path | None, scene_id: str) -> tuple[Path, ...]:
        parts = self.parts()
        part, _, stem = scene_id.partition("/") if parts != ("",) else ("", "", scene_id)
        pair = pairs_below(self, data_root, part).get(stem) if part in parts else None
        if pair is None:
            root = self.root(data_root)
            raise MiaSegError(f"{root} has no scene '{scene_id}' under these settings. Correct the id or [data].")
        return pair

    def shape(self, data_root: Path | None, scene_id: str) -> tuple[int, int]:
        """Read from the headers of the files."""
        return self.size or self.resized(size_of(self.files(data_root, scene_id)[1]))

    def scene(self, data_root: Path | None, scene_id: str) -> Scene:
        image, labels = self.files(data_root, scene_id)[:2]
        image_HWC, stored = read_pair(image, labels, self.stored_as(), resized=self.resized, white=self.white())
        return Scene(scene_id, image_HWC, self.decode(stored, labels))

    def image(self, data_root: Path | None, scene_id: str) -> np.ndarray:
        return read_image(*self.files(data_root, scene_id)[:2])

    def labels_of(self, data_root: Path | None, scene_id: str) -> tuple[np.ndarray, dict[str, int]]:
        return self._labels(*self.files(data_root, scene_id)[:2])

    def _labels(self, image: Path, labels: Path) -> tuple[np.ndarray, dict[str, int]]:
        stored = read_labels(image, labels, self.stored_as(), resized=self.resized, white=self.white())
        labels_HW = self.decode(stored, labels)
        return labels_HW, self.unknown(stored, labels_HW)

    def survey(self, data_root: Path) -> list[Finding]:
        root = self.root(data_root)
        looks = [v._look(root, name, part) for name, v in self.variants().items() for part in v.parts()]
        return [("ok", f"found in {root}"), *chain.from_iterable(looks)]

    def _look(self, root: Path, variant: str, part: str) -> Iterator[Finding]:
        what = ", ".join(name for name in (part, variant) if name)
        what = f"{what}: " if what else ""
        try:
            found = pairs(self, root, part)
            image, labels = (path.relative_to(root) for path in next(iter(found.values())))
            yield "ok", f"{what}{len(found)} pairs, as {image} with {labels}; {self._labels_in(found)}"
            if short := self._short(part, found):
                yield "absent", f"{what}fewer pairs than the whole data set has: {short}"
        except AbsentPart as error:
            yield "absent", f"{what}{error}"
        except MiaSegError as error:
            yield "problem", f"{what}{error}"

    def _labels_in(self, found: dict[str, tuple[Path, Path]]) -> str:
        """What some label files hold, spread evenly over the listing."""
        every = list(found.values())
        sample = [every[i] for i in np.unique(np.linspace(0, len(every) - 1, SAMPLE).astype(int))]
        values = LabelValues.total(LabelValues.of(*self._labels(*pair)) for pair in sample)
        values.check(self.ignores_unknown, f"In a sample of {len(sample)} label files")
        names = [name for k, name in enumerate(self.classes()) if k in values.classes]
        listed = f": {', '.join(names)}" if len(self.classes()) <= LISTED and names else ""
        return (
            f"in a sample of {len(sample)}, {values.says()} and {len(names)} of {len(self.classes())} classes "
            f"occur{listed}"
        )

    def lacks(self, data_root: Path | None) -> str:
        said = (self._short(part, pairs_below(self, data_root, part)) for part in self.parts())
        return ", ".join(short for short in said if short)

    def _short(self, part: str, found: Iterable[str]) -> str:
        counts = Counter(start for stem in found for start in _starts(_id(part, stem)))
        return ", ".join(
            f"{start.rpartition('/')[2]} {counts[start]} of {whole}"
            for start, whole in self.official.items()
            if start.partition("/")[0] == part and counts[start] < whole
        )


@cache
def pairs_below(dataset: Paired, data_root: Path | None, part: str) -> dict[str, tuple[Path, Path]]:
    """`pairs` of the data set below a data root; its folder is looked up once a process."""
    return pairs(dataset, dataset.root(data_root), part)


@cache
def pairs(dataset: Paired, root: Path, part: str) -> dict[str, tuple[Path, Path]]:
    """Stem -> (image, labels) of one part; listed once a process."""
    where, images, labels = dataset.find(root, part)
    return paired(images, labels, where)


def look_up(stored: np.ndarray, table: dict[int, int], path: Path) -> np.ndarray:
    """Stored values [H, W] -> class ids by a table. Raises MiaSegError for a value that the table lacks."""
    to_id = [table.get(value, OUTSIDE) for value in range(256)]
    # Pillow looks bytes up several times as fast as numpy, which makes indices of 8 bytes of them first.
    ids = np.array(Image.fromarray(stored.astype(np.uint8, copy=False), "L").point(to_id))
    outside = ids == OUTSIDE
    if outside.any():
        value = stored[outside][0]
        raise MiaSegError(
            f"{path}: value {value} is none of this data set's labels ({_spans(table)}). "
            f"Correct the label image or extract it again."
        )
    return ids


def same(count: int) -> dict[int, int]:
    """The table of labels that are class ids already, 0 to `count` - 1, and IGNORE."""
    return {k: k for k in range(count)} | {IGNORE: IGNORE}


def _spans(values: Iterable[int]) -> str:
    """'0-18, 255'."""
    ordered = sorted(values)
    starts = [k for i, k in enumerate(ordered) if i == 0 or ordered[i - 1] != k - 1]
    ends = [k for i, k in enumerate(ordered) if i == len(ordered) - 1 or ordered[i + 1] != k + 1]
    return ", ".join(f"{a}-{b}" if a != b else f"{a}" for a, b in zip(starts, ends, strict=True))


def _id(part: str, stem: str) -> str:
    return f"{part}/{stem}" if part else stem


def _starts(scene_id: str) -> list[str]:
    """'train/aachen/x' -> 'train', 'train/aachen'."""
    steps = scene_id.split("/")
    return ["/".join(steps[:k]) for k in range(1, len(steps))]
