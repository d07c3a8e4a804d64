"""Any `images/` + `labels/` tree whose file stems match, read through a small class map."""

from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from mia_seg.data import IGNORE
from mia_seg.data._example import save_pair, squares
from mia_seg.data._files import folder, inside
from mia_seg.data._folders import check_one_meaning, content, listed_pairs
from mia_seg.data._labels import CITYSCAPES
from mia_seg.data._paired import Found, Paired, Value
from mia_seg.data._pixels import Stored
from mia_seg.errors import MiaSegError
from mia_seg.plugins import explain
from mia_seg.texts import files_below, read_toml
from mia_seg.values import Below, Byte

CLASS_MAPS = Path(__file__).parent / "class_maps"
Place = Annotated[Below, AfterValidator(lambda path: Path(path).as_posix())]  # 'toy/' and './toy' are 'toy'


class Rule(BaseModel):
    """One stored value (an RGB colour or a grey id) and the class that it means."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    colour: tuple[Byte, Byte, Byte] | None = None
    id: Byte | None = None

    @property
    def value(self) -> str:
        """The stored value as a message calls it."""
        return f"colour {self.colour}" if self.colour else f"id {self.id}"

    @property
    def packed(self) -> int:
        """The stored value as `_packed` has it."""
        return int.from_bytes(self.colour) if self.colour else int(self.id or 0)


class ClassMap(BaseModel):
    """`classes`: names in the order of their ids, or 'cityscapes'; `map`: stored value -> class.

    In a map of ids, 255 is ignored unless a rule names it. Any other value without a rule is an error of the files or
    of the map, unless `other = "ignore"`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    classes: tuple[str, ...] | Literal["cityscapes"]
    map: tuple[Rule, ...] = Field(min_length=1)
    other: Literal["ignore"] | None = Field(default=None, description="values without a rule: an error, or ignored")

    @model_validator(mode="after")
    def _one_kind(self) -> "ClassMap":
        strays = [rule.name for rule in self.map if rule.name not in self.names()]
        if strays:
            raise ValueError(f"the map names {', '.join(strays)}; the classes are {', '.join(self.names())}")
        if {(rule.colour is None, rule.id is None) for rule in self.map} not in ({(False, True)}, {(True, False)}):
            raise ValueError("every rule must have a colour, or every rule must have an id")
        return self

    @model_validator(mode="after")
    def _one_meaning(self) -> "ClassMap":
        names, values = self.names(), [rule.value for rule in self.map]
        for what, given in (("the classes name", names), ("the map has", values)):
            if twice := [each for each, count in Counter(given).items() if count > 1]:
                raise ValueError(f"{what} {twice[0]} twice; leave one out")
        if not 2 <= len(names) <= IGNORE - 1:
            raise ValueError(
                f"there are {len(names)} classes; a segmenter tells 2 to {IGNORE - 1} apart, 255 is ignore"
            )
        return self

    def names(self) -> tuple[str, ...]:
        """Class names; the position is the id."""
        return tuple(CITYSCAPES) if self.classes == "cityscapes" else self.classes

    def by_colour(self) -> bool:
        """Whether the stored labels are RGB colours (else grey or palette ids)."""
        return self.map[0].colour is not None


class Folder(Paired):
    """`<data root>/<path>/images/` with `labels/` beside it, whose files have the same stems: docs/files.md.

    PNG, TIFF, BMP and WebP, images also JPEG. Both may lie in folders of one or two levels, which are part of the ids.
    """

    listing: ClassVar[frozenset[str]] = frozenset({"path", "class_map", "names"})
    either: ClassVar[frozenset[str]] = frozenset({"class_map", "names"})

    path: Place = Field(description="folder below the data root")
    class_map: Below | None = Field(
        default=None,
        description="class map by name (packaged), or a file ending in .toml below the working directory; or `names`",
    )
    names: tuple[str, ...] | None = Field(
        default=None, description="class names, where label files hold ids 0, 1, 2, ... in their order (255: ignored)"
    )

    @model_validator(mode="after")
    def _one_map(self) -> Self:
        if (self.class_map is None) == (self.names is None):
            raise ValueError("give class_map or names, one of the two: what the values in label files mean")
        if self.names is not None:
            try:
                _numbered(self.names)
            except ValidationError as error:
                raise ValueError(error.errors()[0]["msg"].removeprefix("Value error, ")) from None
        return self

    def classes(self) -> tuple[str, ...]:
        return self._map().names()

    def origin(self) -> dict[str, Any]:
        """The class map counts by what it says."""
        said = self._map().model_dump(mode="json", exclude_defaults=True, exclude={"other"})  # `other` changes no label
        return super().origin() | {"map": said}

    def parts(self) -> tuple[str, ...]:
        return ("",)

    def root(self, data_root: Path | None) -> Path:
        return folder(data_root, self.path)

    def find(self, root: Path, part: str) -> Found:
        images, labels = _side(root, "images"), _side(root, "labels")
        pictures, drawn = listed_pairs(images, labels)
        if self.stored_as() == "ids":
            check_one_meaning(drawn, labels)
        return images, pictures, drawn

    def white(self) -> int | None:
        """255 if the map has a rule for it, else 1; None if it has different rules for both."""
        names = {rule.id: rule.name for rule in self._map().map}
        if 255 not in names:
            return 1
        return 255 if names.get(1, names[255]) == names[255] else None

    @classmethod
    def example(cls, data_root: Path) -> Self:
        """LabelMeFacade: photographs of several sizes; some labels carry an alpha channel, as the originals do."""
        rules = _read_map(CLASS_MAPS / "labelmefacade.toml").map
        colours = np.array([(0, 0, 0), *(rule.colour for rule in rules)], np.uint8)
        for k in range(24):
            below = data_root / "labelmefacade"
            stem = f"static_street_{('boston', 'madrid', 'palma')[k % 3]}__img_{k:04d}"
            stored = colours[squares(range(len(colours)), (40 + 8 * (k % 4), 64 + 8 * (k % 3)), k, side=8)]
            mode = "RGBA" if k % 2 else "RGB"
            save_pair(below / f"images/{stem}.jpg", below / f"labels/{stem}.png", stored, seed=k, mode=mode)
        return cls(path="labelmefacade", class_map="labelmefacade")

    def stored_as(self) -> Stored:
        return "colours" if self._map().by_colour() else "ids"

    def decode(self, stored: np.ndarray, path: Path) -> np.ndarray:
        del path
        labels_HW = np.full(stored.shape[:2], IGNORE, np.uint8)
        packed_HW, names = _packed(stored), self._map().names()
        for rule in self._map().map:
            labels_HW[packed_HW == rule.packed] = names.index(rule.name)
        return labels_HW

    def unknown(self, stored: np.ndarray, labels_HW: np.ndarray) -> dict[str, int]:
        values, counts = np.unique(_packed(stored)[labels_HW == IGNORE], return_counts=True)
        found = dict(zip(values.tolist(), counts.tolist(), strict=True))
        if not self._map().by_colour():
            found.pop(IGNORE, None)
            return {str(value): count for value, count in found.items()}
        return {str((v >> 16, v >> 8 & 255, v & 255)): count for v, count in found.items()}

    @property
    def ignores_unknown(self) -> bool:
        return self._map().other == "ignore"

    def meanings(self, values: Sequence[Value], path: Path) -> list[int | None]:
        """By the rules. A value without a rule is None, unless the map ignores it."""
        del path
        names = self._map().names()
        known = {rule.colour if rule.id is None else rule.id: names.index(rule.name) for rule in self._map().map}
        return [known.get(v, IGNORE if v == IGNORE or self.ignores_unknown else None) for v in values]

    def _map(self) -> ClassMap:
        if self.class_map is None:
            return _numbered(self.names or ())
        if not self.class_map.endswith(".toml"):
            return _read_map(CLASS_MAPS / f"{self.class_map}.toml")
        return _read_map(Path.cwd() / self.class_map)


def _side(root: Path, name: str) -> Path:
    if (root / name).is_dir():
        return root / name
    return inside(root, name, f"A folder data set needs images/ and labels/ side by side; there: {content(root)}.")


@cache
def _numbered(names: tuple[str, ...]) -> ClassMap:
    """The class map of labels that are class ids already."""
    return ClassMap(classes=names, map=tuple(Rule(name=name, id=k) for k, name in enumerate(names[:IGNORE])))


@cache
def _read_map(path: Path) -> ClassMap:
    try:
        return ClassMap(**read_toml(path))
    except FileNotFoundError:
        known = ", ".join(p.stem for p in files_below(CLASS_MAPS, "*.toml"))
        raise MiaSegError(
            f"{path} is missing. Name a packaged class map ({known}) or a .toml below the working directory."
        ) from None
    except ValidationError as error:
        raise MiaSegError(explain(error, ClassMap, str(path))) from None


def _packed(stored: np.ndarray) -> np.ndarray:
    """Colours [H, W, 3] as one number each [H, W], so that one comparison tells them apart; ids as they are."""
    if stored.ndim == 2:
        return stored
    red, green, blue = np.moveaxis(stored.astype(np.uint32), 2, 0)
    return red << 16 | green << 8 | blue
