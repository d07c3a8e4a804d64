"""`mia-seg check --all`: every file of every data set below a root is read once."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np

from mia_seg.data import _alike
from mia_seg.data._files import entries
from mia_seg.data._inspect import Pair, look_into, pixels
from mia_seg.data._paired import Paired, pairs
from mia_seg.errors import AbsentData, AbsentPart, MiaSegError
from mia_seg.progress import track
from mia_seg.recipes._tally import Files, Listed, across, part_of, unknown_in
from mia_seg.recipes.catalogue import datasets
from mia_seg.recipes.inspected import Inspection

T = TypeVar("T")
R = TypeVar("R")


@dataclass
class Listing:
    """What lies below a root, before any file is opened."""

    parts: list[Listed] = field(default_factory=list)
    roots: list[Path] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    nowhere: list[str] = field(default_factory=list)


def inspect(data_root: Path, *, workers: int) -> Inspection:
    """Read all files below a root, `workers` at once. Raises MiaSegError where there is nothing to read."""
    if not data_root.is_dir():
        raise MiaSegError(f"{data_root} is no folder. Point --data-root (or MIA_SEG_DATA) to one.")
    listing = _list(data_root)
    unnamed = _unnamed(data_root, listing.roots)
    if not listing.parts and not listing.problems:
        raise MiaSegError(_nothing(data_root, unnamed))
    files = _read([pair for part in listing.parts for pair in part.pairs.values()], workers)
    exact, near = across(listing.parts, files)
    told = [part_of(part, files) for part in listing.parts]
    unknown = (line for part, row in zip(listing.parts, told, strict=True) for line in unknown_in(part, row))
    return Inspection(
        data_root=str(data_root),
        parts=told,
        exact_across=exact,
        near_across=near,
        problems=[*listing.problems, *unknown],
        absent=[*listing.absent, *_nowhere(data_root, listing.nowhere)],
        unnamed=unnamed,
    )


# What there is to read.


def _list(data_root: Path) -> Listing:
    """The pairs of every part of every data set, whatever the recipes use of it."""
    listing = Listing()
    for name, dataset in datasets():
        if isinstance(dataset, Paired):  # the scenes of others are made, not read
            with _noted(listing, name):
                root = dataset.root(data_root)
                listing.roots.append(root)
                for variant, reader in dataset.variants().items():
                    for part in reader.parts():
                        _list_part(listing, Listed(name, part, variant, reader, {}), root)
    return listing


def _list_part(listing: Listing, part: Listed, root: Path) -> None:
    with _noted(listing, part.title):
        stored = part.reader.stored_as()
        for stem, (image, labels) in pairs(part.reader, root, part.folder).items():
            part.pairs[stem] = Pair(image, labels, stored, part.reader.white())
        _check_table(part.reader, next(iter(part.pairs.values())))
        listing.parts.append(part)


@contextmanager
def _noted(listing: Listing, title: str) -> Iterator[None]:
    try:
        yield
    except AbsentData:
        listing.nowhere.append(title)
    except AbsentPart as error:
        listing.absent.append(f"{title}: {error}")
    except MiaSegError as error:
        listing.problems.append(f"{title}: {error}")


def _check_table(reader: Paired, first: Pair) -> None:
    """A table that knows no id at all is at fault itself, and not every label file; it says why."""
    if first.stored != "colours" and all(reader.meanings([value], first.labels) == [None] for value in range(256)):
        reader.decode(np.zeros((1, 1), np.uint8), first.labels)


def _unnamed(data_root: Path, roots: Sequence[Path]) -> list[str]:
    """The folders below a root that no data set lies in."""
    folders = (data_root / name for name in entries(data_root) if (data_root / name).is_dir())
    return [path.name for path in folders if not any(path in (r, *r.parents) or r in path.parents for r in roots)]


def _nowhere(data_root: Path, names: Sequence[str]) -> list[str]:
    return [f"not below {data_root}: {', '.join(names)}"] if names else []


def _nothing(data_root: Path, unnamed: Sequence[str]) -> str:
    others = f" It holds {', '.join(unnamed)}, which no data set and no recipe names." if unnamed else ""
    return (
        f"No data set lies in {data_root}.{others} Point --data-root (or MIA_SEG_DATA) to the folder that holds the "
        f"data sets' folders; one of your own is read once a recipe names it in [data] path."
    )


# Reading it.


def _read(found: Sequence[Pair], workers: int) -> Files:
    """Look into each file once, however many parts share it, and compare the images."""
    todo = list(dict.fromkeys(found))
    first = {pair.image: pair for pair in reversed(todo)}
    looks = _parallel(lambda pair: look_into(pair, image=first[pair.image] is pair), todo, workers=workers)
    seen = dict(zip(todo, looks, strict=True))
    images = {image: seen[pair] for image, pair in first.items()}
    pictures = {image: look.picture for image, look in images.items() if look.picture is not None}

    def digests(paths: Sequence[Path]) -> list[str]:
        return _parallel(pixels, paths, workers=workers, title="comparing")

    faults = {image: look.image_faults for image, look in images.items()}
    return Files(seen, pictures, faults, _alike.equal(pictures, digests))


def _parallel(function: Callable[[T], R], items: Sequence[T], *, workers: int, title: str = "reading") -> list[R]:
    """In threads: they decode side by side as processes do, and start at once. Ctrl-C leaves the rest undone."""
    pool = ThreadPoolExecutor(workers)
    try:
        return list(track(pool.map(function, items), f"  {title}", len(items)))
    finally:
        pool.shutdown(cancel_futures=True)
