"""A function and scenes that Python has in hand, as a recipe: arrays become files, and the function a door."""

import hashlib
import io
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image

from mia_seg import plugins, recipes
from mia_seg.brought import check_name, recipe, toml
from mia_seg.data import IGNORE, Part
from mia_seg.data._read import read_image
from mia_seg.data.table import Row, table
from mia_seg.errors import MiaSegError
from mia_seg.oracles import doors
from mia_seg.oracles.door import prepare
from mia_seg.oracles.doors import Door
from mia_seg.oracles.doors._kept import sha256
from mia_seg.oracles.doors._models import scaled
from mia_seg.oracles.doors.callable import HELD, Held, asking
from mia_seg.recipes import DoorRecipe
from mia_seg.store import BROUGHT, digest, replace, writing

Picture = np.ndarray | str | Path
Kind = Literal["images", "labels"]
HEAD = """\
# {name}: a function that Python had in hand, asked through mia.audit(predict, ...). Written by it, and overwritten.
"""
TEN = 10  # scenes, the answers to which are the function's identity
SIDES: dict[bool | None, Part] = {True: "members", False: "nonmembers", None: "pool"}


def scenes(
    images: Sequence[Picture], labels: Sequence[Picture] | None, *, members: Sequence[bool | None],
    groups: Sequence[str] | None, ids: Sequence[str] | None, root: Path,
) -> tuple[Path, list[Row]]:  # fmt: skip
    """The table of scenes that come as arrays or paths, and its rows; arrays become PNG files below `root`, a store's.

    images: uint8 RGB [H, W, 3] or files. labels: class ids [H, W] (255: ignored) or files; None: there are none.
    members: True, False, or None for the pool. Raises MiaSegError for lists of different lengths and arrays of another
    kind.
    """
    if isinstance(images, str | Path):
        raise MiaSegError(f"scenes is {plugins.shown(str(images))}. Give a list of image files or of arrays.")
    count = len(images)
    given = {"labels": labels, "members": members, "groups": groups, "ids": ids}
    for name, values in given.items():
        if values is not None and len(values) != count:
            raise MiaSegError(f"{name} has {len(values)} entries for {count} scenes. Give one for each scene.")
    names = [str(i) for i in ids] if ids is not None else _names(images)
    place = root.absolute() / BROUGHT
    rows = [
        Row(
            id=names[k], image=_file(images[k], "images", place),
            labels=None if labels is None else _file(labels[k], "labels", place),
            part=_side(members[k], k), group=names[k] if groups is None else str(groups[k]),
        )
        for k in range(count)
    ]  # fmt: skip
    text = table(rows, place)
    path = place / f"{digest(text)}.csv"
    with writing(place):
        replace(path, text.encode())
    return path, rows


def hold(predict: Any, rows: Sequence[Row], section: dict[str, Any]) -> tuple[Held, dict[str, Any]]:
    """A function behind `[door]`, known by what it answers to the first ten scenes; keep what comes first.

    section: settings of the door `callable`, without a function. Raises MiaSegError where it cannot be asked.
    """
    if isinstance(predict, torch.nn.Module):
        section = {"input": {"layout": "NCHW"} | section.pop("input", {}), **section}
        section["output"] = {"layout": "NCHW"} | section.pop("output", {})
    elif not callable(predict):
        raise MiaSegError(
            f"predict is of type {type(predict).__name__}. Give a function of one image, or an nn.Module."
        )
    door = plugins.from_section(doors, Door, section | {"held": ""}, where="mia.audit")
    if isinstance(predict, torch.nn.Module):
        scaled(door)
    ask, seen = asking(predict, "predict"), hashlib.sha256()
    for row in rows[:TEN]:
        seen.update(sha256(ask(prepare(_shown(row), door.input), 0)).encode())
    held, known = Held(predict), seen.hexdigest()[:12]
    HELD[known] = held
    return held, section | {"held": known}


def _shown(row: Row) -> np.ndarray:
    return read_image(row.image, row.labels or row.image)  # which beside itself has the right size


def write(name: str, place: Path, meaning: dict[str, Any], *, door: dict[str, Any]) -> None:
    """Write the recipe; one that this wrote before is overwritten, any other is left alone and refused."""
    check_name(name)
    path = Path.cwd() / "victims" / f"{name}.toml"
    if path.exists():
        with suppress(MiaSegError):
            there = recipes.load_victim(name)
            if isinstance(there, DoorRecipe) and "held" in there.door:
                path.unlink()
        if path.exists():
            raise MiaSegError(f"{path} is a recipe that mia.audit did not write. Give mia.audit another name=.")
    text = HEAD.format(name=name) + toml(recipe(str(place), meaning, door))
    path.parent.mkdir(parents=True, exist_ok=True)
    replace(path, text.encode())


def _names(images: Sequence[Picture]) -> list[str]:
    """The stems of files where these tell them apart, else the paths; of arrays the numbers."""
    stems = [Path(image).stem for image in images if not isinstance(image, np.ndarray)]
    if len(set(stems)) == len(images):
        return stems
    width = len(str(len(images)))
    return [
        f"{k:0{width}}" if isinstance(image, np.ndarray) else Path(image).with_suffix("").as_posix()
        for k, image in enumerate(images)
    ]


def _side(member: bool | None, k: int) -> Part:
    if member is not None and not isinstance(member, bool | np.bool_) and member not in (0, 1):
        raise MiaSegError(f"members[{k}] is {plugins.shown(member)}. Give True, False, or None for the pool.")
    return SIDES[None if member is None else bool(member)]


def _file(given: Picture, kind: Kind, place: Path) -> Path:
    """The file of an image or labels; an array becomes one, called by its content."""
    if not isinstance(given, np.ndarray):
        return Path(given).absolute()
    array = _checked(given, kind)
    path = place / kind / f"{sha256(array)[:16]}.png"
    if not path.exists():
        file = io.BytesIO()
        Image.fromarray(array).save(file, "png", compress_level=1)
        with writing(path.parent):
            replace(path, file.getvalue())
    return path


def _checked(array: np.ndarray, kind: Kind) -> np.ndarray:
    if kind == "images":
        if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3:
            raise MiaSegError(
                f"An image is an array of {array.dtype} {list(array.shape)}. Give uint8 RGB [height, width, 3], from 0 "
                f"to 255."
            )
        return array
    whole = array.dtype.kind in "iu" and array.ndim == 2 and array.size and array.min() >= 0 and array.max() <= IGNORE
    if not whole:
        raise MiaSegError(
            f"Labels are an array of {array.dtype} {list(array.shape)}. Give class ids from 0, [height, width], with "
            f"255 where nothing is labelled."
        )
    return array.astype(np.uint8)
