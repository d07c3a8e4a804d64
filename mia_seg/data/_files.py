"""Listing image and label files. Errors name what is missing and how to mend it."""

import os
from collections import Counter
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from mia_seg.errors import AbsentData, AbsentPart, MiaSegError
from mia_seg.texts import check_name, is_hidden


def folder(data_root: Path | None, name: str, *others: str) -> Path:
    """The existing folder `name` below the data root, or one of its `others` names."""
    if data_root is None:
        raise MiaSegError(
            f"Data set '{name}' needs a root: pass --data-root (or set MIA_SEG_DATA), the folder that has '{name}/'."
        )
    for known in (name, *others):
        if (data_root / known).is_dir():
            return data_root / known
    check_case(data_root, name)
    # A root that is not there hides every data set: that is a slip in the path, not an absent data set.
    raise (AbsentData if data_root.is_dir() else MiaSegError)(
        f"{data_root / name} does not exist. Put the data set there, or point --data-root (or MIA_SEG_DATA) "
        f"to the folder that has '{name}/'."
    )


def inside(root: Path, name: str, fix: str = "Put it there, or leave it out of [data] folders.") -> Path:
    """The existing folder `name` (perhaps 'a/b') of a data set."""
    if not (root / name).is_dir():
        check_case(root, name)
        raise AbsentPart(f"{root / name} does not exist. {fix}")
    return root / name


def check_case(parent: Path, name: str) -> None:
    """Raise MiaSegError if a folder of the path `name` exists in another case only: 'leftimg8bit' for 'leftImg8bit'."""
    for step in Path(name).parts:
        if not (parent / step).exists() and parent.is_dir():
            alike = [found for found in os.listdir(parent) if found != step and found.lower() == step.lower()]
            if alike:
                raise MiaSegError(f"{parent} has no '{step}'; found '{alike[0]}': rename it to '{step}'.")
        parent /= step


@cache
def entries(path: Path) -> tuple[str, ...]:
    """The names in a folder, sorted, without hidden ones ('._a.png' of a Mac); listed once a process.

    Raises MiaSegError if the folder cannot be listed or a name is not UTF-8.
    """
    try:
        with os.scandir(path) as found:
            names = sorted(entry.name for entry in found)
    except OSError as error:
        raise MiaSegError(f"{path} cannot be listed ({error}). Check that it is a folder and may be read.") from None
    kept = tuple(name for name in names if not is_hidden(Path(name)))
    for name in kept:
        check_name(name, path)
    return kept


def by_stem(path: Path, *tails: str) -> dict[str, Path]:
    """Stem -> file, for each name that ends in one of `tails`, in any case. The stem is the name without that tail."""
    found: dict[str, Path] = {}
    for name in entries(path):
        low = name.lower()
        tail = next((tail for tail in tails if low.endswith(tail.lower())), None)
        if tail is None:
            continue
        stem = name[: -len(tail)]
        if stem in found:
            raise MiaSegError(f"{found[stem]} and {name} have one stem. Remove one of the two.")
        found[stem] = path / name
    return found


def paired(images: Mapping[str, Path], labels: Mapping[str, Path], where: Path) -> dict[str, tuple[Path, Path]]:
    """Stem -> (image, labels). Raises MiaSegError for one without the other, and for an empty folder."""
    if not images:
        waiting = f" for {_some(sorted(labels))} label files" if labels else ""
        raise MiaSegError(
            f"{where} holds no images{waiting}{_lying(where)}. Check that the archive was extracted there."
        )
    alone = sorted(images.keys() ^ labels.keys())
    if alone:
        what = "image" if alone[0] in images else "label file"
        found = (images if alone[0] in images else labels)[alone[0]]
        raise MiaSegError(
            f"{found}: this {what} has no counterpart. In {where}, "
            f"{_some([s for s in alone if s in images])} without labels and "
            f"{_some([s for s in alone if s in labels])} without image. "
            f"Restore the missing files (was each archive extracted whole?) or remove the single ones."
        )
    return {stem: (images[stem], labels[stem]) for stem in sorted(images)}


def _lying(where: Path) -> str:
    """': 24 .jpg lie there, which are not read', where something does."""
    kinds = Counter(Path(name).suffix.lower() for name in entries(where) if Path(name).suffix) if where.is_dir() else {}
    listed = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    return f": {listed} lie there, which are not read" if listed else ""


def _some(stems: list[str]) -> str:
    """'2 (a, b)': how many, and the first five."""
    return f"{len(stems)} ({', '.join(stems[:5])}{', ...' if len(stems) > 5 else ''})" if stems else "0"
