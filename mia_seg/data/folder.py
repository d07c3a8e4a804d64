"""Any `images/` + `labels/` tree whose file stems match, read through a small class map."""

import tomllib
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from mia_seg.data import IGNORE, Dataset, Scene, Side
from mia_seg.data._files import folder, paired_stems, read_pair
from mia_seg.data._labels import CITYSCAPES
from mia_seg.errors import MiaSegError
from mia_seg.plugins import explain

CLASS_MAPS = Path(__file__).parent / "class_maps"
IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png"}
Byte = Annotated[int, Field(ge=0, le=255)]


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


class Folder(Dataset):
    """`<data root>/<path>/images/*.{jpg,png}` with `labels/<same stem>.png`."""

    path: str = Field(description="folder below the data root")
    class_map: str = Field(
        description="class map by name (packaged), or a file ending in .toml below the working directory"
    )
    size: tuple[Side, Side] | None = Field(default=None, description="resize to (height, width); none: as stored")

    def classes(self) -> tuple[str, ...]:
        return self._map().names()

    def fingerprint(self) -> dict[str, str]:
        own = self.class_map.endswith(".toml")
        return {"class_map": self._map().model_dump_json()} if own else {}

    def ids(self, data_root: Path | None) -> list[str]:
        root = folder(data_root, self.path)
        return paired_stems(_by_stem(root / "images"), _by_stem(root / "labels"), root)

    def scene(self, data_root: Path | None, scene_id: str) -> Scene:
        root = folder(data_root, self.path)
        image_path = _by_stem(root / "images").get(scene_id, root / "images" / f"{scene_id}.jpg")
        labels_path = root / "labels" / f"{scene_id}.png"
        class_map = self._map()
        image, stored = read_pair(image_path, labels_path, "RGB" if class_map.by_colour() else None, self.size)
        labels = _decode(stored, class_map)
        if (labels == IGNORE).all():
            raise MiaSegError(
                f"{labels_path}: no pixel has a value of class map '{self.class_map}'. Name the map that "
                f"these labels were made with in [data] class_map, or remove the pair."
            )
        return Scene(scene_id, image, labels)

    def _map(self) -> ClassMap:
        if not self.class_map.endswith(".toml"):
            return _read_map(CLASS_MAPS / f"{self.class_map}.toml")
        return _read_map(Path.cwd() / self.class_map)


@cache
def _by_stem(path: Path) -> dict[str, Path]:
    if not path.is_dir():
        raise MiaSegError(f"{path} does not exist. A folder data set needs images/ and labels/ side by side.")
    found = [f for f in sorted(path.iterdir()) if f.suffix.lower() in IMAGE_SUFFIXES]
    by_stem = {f.stem: f for f in found}
    twice = [f for f in found if by_stem[f.stem] != f]
    if twice:
        raise MiaSegError(f"{twice[0]} and {by_stem[twice[0].stem].name} have one stem. Remove one of the two.")
    return by_stem


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
