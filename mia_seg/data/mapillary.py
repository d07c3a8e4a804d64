"""Mapillary Vistas (Neuhold et al., ICCV 2017) in Cityscapes' 19 classes, merged as He et al. (ECCV 2020) do."""

import json
from pathlib import Path
from typing import ClassVar, Literal, Self, get_args

import numpy as np
from pydantic import Field, model_validator

from mia_seg.data import IGNORE
from mia_seg.data._example import save, save_pair, squares, write
from mia_seg.data._files import by_stem, check_case, folder, inside
from mia_seg.data._labels import CITYSCAPES
from mia_seg.data._labels_mapillary import NAMES, merge
from mia_seg.data._paired import Found, Paired, look_up
from mia_seg.data._pixels import Stored
from mia_seg.errors import MiaSegError
from mia_seg.texts import read_json
from mia_seg.values import Side

FIX = "Extract the archive that has this version there, or choose the other version in [data]."
Version = Literal["v1.2", "v2.0"]


class Mapillary(Paired):
    """`<data root>/mapillary/<folder>/images/<key>.jpg` and `<folder>/<version>/labels/<key>.png`.

    Also at the root: `config_v1.2.json` or `config_v2.0.json`. From mapillary.com/dataset/vistas, with an account; the
    archive with v2.0 has v1.2 too. The older archive, v1.2 alone with `<folder>/labels/` and `config.json`, is read as
    well. Label values are positions in the config's list, whose names decide what is merged.
    """

    official: ClassVar[dict[str, int]] = {"training": 18_000, "validation": 2000}

    folders: tuple[Literal["training", "validation"], ...] = Field(
        default=("training", "validation"), description="which folders; testing has no labels"
    )
    version: Version = Field(
        default="v1.2",
        description="version of the labels; the merge of v1.2 is He et al.'s, that of v2.0 is derived from it",
    )
    long_side: Side | None = Field(default=None, description="shrink so that the longer side is at most this")

    @model_validator(mode="after")
    def _one_size(self) -> "Mapillary":
        if self.size is not None and self.long_side is not None:
            raise ValueError("size and long_side exclude each other; give one of them")
        return self

    def classes(self) -> tuple[str, ...]:
        return tuple(CITYSCAPES)

    def parts(self) -> tuple[str, ...]:
        return self.folders

    def root(self, data_root: Path | None) -> Path:
        return folder(data_root, "mapillary", "mapillary-vistas", "mapillary_vistas")

    def find(self, root: Path, part: str) -> Found:
        check_case(root, f"{part}/images")
        old = self._in_old_layout(root)
        below = "labels" if old else f"{self.version}/labels"
        where, labels = inside(root, f"{part}/images"), inside(root, f"{part}/{below}", FIX)
        _table(_config(root, self.version, old), self.version)
        return where, by_stem(where, ".jpg"), by_stem(labels, ".png")

    def files(self, data_root: Path | None, scene_id: str) -> tuple[Path, ...]:
        """The config too: its names decide what a label value means."""
        image, labels = super().files(data_root, scene_id)
        return image, labels, self._config_of(labels)

    @classmethod
    def example(cls, data_root: Path) -> Self:
        """The archive with v1.2 and v2.0; photographs of several sizes."""
        root = data_root / "mapillary"
        keys = (
            "training/--NSVcUgfVhFd6uzkqHOOg",
            "training/zDZ-0pmuW1X2XyjwGfjT9w",
            "validation/-3-MmXdwhyIQhtb4-8NqHQ",
        )
        for version, names in NAMES.items():
            labels = [{"name": name.lower(), "readable": name} for name in names]
            write(root / f"config_{version}.json", json.dumps({"labels": labels}))
            for k, key in enumerate(keys):
                image, below = (root / key.replace("/", f"/{part}/") for part in ("images", f"{version}/labels"))
                stored = squares(range(len(names)), (12 + 4 * (k % 2), 24), k)
                save_pair(image.with_suffix(".jpg"), below.with_suffix(".png"), stored, seed=k, mode="P")
        save(root / "testing/images/AAAAAAAAAAAAAAAAAAAAAA.jpg", np.zeros((8, 16, 3), np.uint8))
        return cls()

    def stored_as(self) -> Stored:
        return "palette ids"

    def decode(self, stored: np.ndarray, path: Path) -> np.ndarray:
        count = {version: len(names) for version, names in NAMES.items()}
        if self.version == "v1.2" and count["v1.2"] <= stored.max() < count["v2.0"]:
            raise MiaSegError(
                f"{path}: value {stored.max()} is none of the {count['v1.2']} labels of v1.2; it looks like v2.0. "
                f"Put these files into v2.0/labels/ and set [data] version, or extract those of v1.2."
            )
        return look_up(stored, _table(self._config_of(path), self.version), path)

    def resized(self, stored: tuple[int, int]) -> tuple[int, int]:
        if self.long_side is None or max(stored) <= self.long_side:
            return super().resized(stored)
        height, width = (max(1, round(side * self.long_side / max(stored))) for side in stored)
        return height, width

    def variants(self) -> dict[str, Paired]:
        return {version: Mapillary(version=version) for version in get_args(Version)}

    def _config_of(self, labels: Path) -> Path:
        """The config that names the values of a label file."""
        old = labels.parents[1].name != self.version
        return _config(labels.parents[2 if old else 3], self.version, old)

    def _in_old_layout(self, root: Path) -> bool:
        """Whether `labels/` lies beside `images/`: so it does in the archive that had v1.2 alone."""
        return (
            self.version == "v1.2"
            and not any((root / part / "v1.2").is_dir() for part in self.folders)
            and any((root / part / "labels").is_dir() for part in self.folders)
        )


def _config(root: Path, version: Version, old: bool) -> Path:
    return root / ("config.json" if old else f"config_{version}.json")


def _table(config: Path, version: Version) -> dict[int, int]:
    """Pixel value -> train id, by the names in the user's config; one of another version is refused."""
    names = _names(config)
    if len(names) != len(NAMES[version]):
        like = next((known for known, theirs in NAMES.items() if len(theirs) == len(names)), "no known version")
        raise MiaSegError(
            f"{config} lists {len(names)} labels, and {version} has {len(NAMES[version])}: it looks like {like}. "
            f"Extract the config that belongs to these labels, or set [data] version."
        )
    merged = [merge(name, version) for name in names]
    lacking = sorted(CITYSCAPES.keys() - set(merged))
    if lacking:
        raise MiaSegError(
            f"{config}: by the names of {version} no label is {', '.join(lacking)}. Extract the original config."
        )
    order = list(CITYSCAPES)
    return {value: IGNORE if name is None else order.index(name) for value, name in enumerate(merged)}


def _names(config: Path) -> list[str]:
    try:
        return [str(label["readable"]) for label in read_json(config)["labels"]]
    except FileNotFoundError:
        raise MiaSegError(f"{config} is missing. Extract it from the archive: it names the label values.") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MiaSegError(
            f"{config} is not a list of labels as Mapillary writes it ({error!r}). Extract it again."
        ) from None
