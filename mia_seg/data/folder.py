"""Any `images/` + `labels/` tree whose file stems match, read through a small class map."""

import tomllib
from functools import cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from mia_seg.data import IGNORE
from mia_seg.data._example import save_pair, squares
from mia_seg.data._files import Stored, by_stem, folder, inside
from mia_seg.data._labels import CITYSCAPES
from mia_seg.data._paired import Found, Paired
from mia_seg.errors import MiaSegError
from mia_seg.plugins import explain
from mia_seg.values import Below, Byte

CLASS_MAPS = Path(__file__).parent / "class_maps"
Place = Annotated[Below, AfterValidator(lambda path: Path(path).as_posix())]  # 'toy/' and './toy' are 'toy'


class Rule(BaseModel):
    """One stored value (an RGB colour or a grey id) and the class that it means."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    colour: tuple[Byte, Byte, Byte] | None = None
    id: Byte | None = None


class ClassMap(BaseModel):
    """`classes`: names in the order of their ids, or 'cityscapes'; `map`: stored value -> class, the rest ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    classes: tuple[str, ...] | Literal["cityscapes"]
    map: tuple[Rule, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _one_kind(self) -> "ClassMap":
        strays = [rule.name for rule in self.map if rule.name not in self.names()]
        if strays:
            raise ValueError(f"the map names {', '.join(strays)}; the classes are {', '.join(self.names())}")
        if {(rule.colour is None, rule.id is None) for rule in self.map} not in ({(False, True)}, {(True, False)}):
            raise ValueError("every rule must have a colour, or every rule must have an id")
        return self

    def names(self) -> tuple[str, ...]:
        """Class names; the position is the id."""
        return tuple(CITYSCAPES) if self.classes == "cityscapes" else self.classes

    def by_colour(self) -> bool:
        """Whether the stored labels are RGB colours (else grey or palette ids)."""
        return self.map[0].colour is not None


class Folder(Paired):
    """`<data root>/<path>/images/*.{jpg,png}` with `labels/<same stem>.png`."""

    listing: ClassVar[frozenset[str]] = frozenset({"path", "class_map"})

    path: Place = Field(description="folder below the data root")
    class_map: Below = Field(
        description="class map by name (packaged), or a file ending in .toml below the working directory"
    )

    def classes(self) -> tuple[str, ...]:
        return self._map().names()

    def origin(self) -> dict[str, Any]:
        """The class map counts by what it says."""
        return super().origin() | {"map": self._map().model_dump(mode="json", exclude_defaults=True)}

    def parts(self) -> tuple[str, ...]:
        return ("",)

    def root(self, data_root: Path | None) -> Path:
        return folder(data_root, self.path)

    def find(self, root: Path, part: str) -> Found:
        fix = "A folder data set needs images/ and labels/ side by side."
        images, labels = inside(root, "images", fix), inside(root, "labels", fix)
        return images, by_stem(images, ".jpg", ".jpeg", ".png"), by_stem(labels, ".png")

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
        labels = _decode(stored, self._map())
        if (labels == IGNORE).all():
            raise MiaSegError(
                f"{path}: no pixel has a value of class map '{self.class_map}'. Name the map that "
                f"these labels were made with in [data] class_map, or remove the pair."
            )
        return labels

    def _map(self) -> ClassMap:
        if not self.class_map.endswith(".toml"):
            return _read_map(CLASS_MAPS / f"{self.class_map}.toml")
        return _read_map(Path.cwd() / self.class_map)


@cache
def _read_map(path: Path) -> ClassMap:
    try:
        return ClassMap(**tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        known = ", ".join(sorted(p.stem for p in CLASS_MAPS.glob("*.toml")))
        raise MiaSegError(
            f"{path} is missing. Name a packaged class map ({known}) or a .toml below the working directory."
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise MiaSegError(f"{path} is not valid TOML: {error}.") from None
    except ValidationError as error:
        raise MiaSegError(explain(error, ClassMap, str(path))) from None


def _decode(stored: np.ndarray, class_map: ClassMap) -> np.ndarray:
    """Stored colours [H, W, 3] or ids [H, W] -> class ids [H, W]; one comparison a rule, never in place."""
    labels = np.full(stored.shape[:2], IGNORE, np.uint8)
    for rule in class_map.map:
        is_rule = (stored == rule.colour).all(-1) if rule.colour is not None else stored == rule.id
        labels[is_rule] = class_map.names().index(rule.name)
    return labels
