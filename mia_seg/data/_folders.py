"""Pairs of a folder data set: in which formats, how deep, and by which endings of their names they match."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from mia_seg.data._files import by_stem, entries
from mia_seg.data._read import is_one_bit
from mia_seg.errors import MiaSegError

LABELS = (".png", ".tif", ".tiff", ".bmp", ".webp")
IMAGES = (".jpg", ".jpeg", *LABELS)
DEPTH = 2  # folders below images/ and labels/: 'train/', 'train/city/'
# Endings of stems, where those of images and labels differ: nnU-Net's first channel, and common marks of labels.
IMAGE_ENDINGS = ("", "_0000")
LABEL_ENDINGS = (
    "", "_mask", "_masks", "_label", "_labels", "_labelids", "_gt", "_groundtruth", "_seg", "_segmentation",
    "_annotation", "_target", "_l",
)  # fmt: skip
ONE = {"folders": "folder", "files without suffix": "file without suffix"}  # the kinds that `content` counts in words
Files = dict[str, Path]  # by 'stem', 'folder/stem' or 'folder/folder/stem'


def listed_pairs(images: Path, labels: Path) -> tuple[Files, Files]:
    """Images and label files by their common stems; what does not match is left to the caller.

    Raises MiaSegError if no file of a folder is of a format that is read, or if unread files have counterparts.
    """
    sides = _listed(images, IMAGES), _listed(labels, LABELS)
    for folder, found, readable in zip((images, labels), sides, (IMAGES, LABELS), strict=True):
        if not found:
            _refuse_unread(folder, readable)
    matched = _matched(*sides)
    if matched is None:
        alone = sides[0].keys() ^ sides[1].keys()
        for folder, readable in ((images, IMAGES), (labels, LABELS)):
            _refuse_unread_partners(folder, readable, alone)
    return matched or sides


def listed_images(images: Path) -> Files:
    """Images by their stems. Raises MiaSegError where the folder holds files and none that is read."""
    found = _listed(images, IMAGES)
    if not found:
        _refuse_unread(images, IMAGES)
    return found


def check_one_meaning(labels: Files, where: Path) -> None:
    """Refuse label files of which some are one-bit masks and some are not; reads the beginning of each file."""
    one_bit = {stem: is_one_bit(path) for stem, path in labels.items()}
    narrow, wide = ([stem for stem, narrow in one_bit.items() if narrow is side] for side in (True, False))
    if narrow and wide:
        raise MiaSegError(
            f"{where} holds {len(narrow)} one-bit masks ({labels[narrow[0]].name}, ...) and {len(wide)} label files of "
            f"more bits ({labels[wide[0]].name}, ...): white may be 1 in the ones and 255 in the others. "
            f"Save all of them in one form, best as 8-bit grey images of class ids."
        )


def content(folder: Path) -> str:
    """What lies in a folder, in words: '24 .gif, 2 folders'."""
    kinds = Counter(_kind(folder / name) for name in entries(folder))
    said = (f"{count} {ONE.get(kind, kind) if count == 1 else kind}" for kind, count in sorted(kinds.items()))
    return ", ".join(said) or "nothing"


def _listed(folder: Path, suffixes: tuple[str, ...]) -> Files:
    """The readable files of a folder and of those below it."""
    return {
        "/".join([*below, stem]): path
        for below in _below(folder)
        for stem, path in by_stem(folder.joinpath(*below), *suffixes).items()
    }


def _below(folder: Path, steps: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The folder itself, (), and those below it. One that lies too deep is refused."""
    if len(steps) > DEPTH:
        raise MiaSegError(
            f"{folder.joinpath(*steps)} lies too deep: files are read from {folder} and from {DEPTH} levels of folders "
            f"below it. Move its files up, or point 'path' in [data] further down."
        )
    yield steps
    here = folder.joinpath(*steps)
    for name in entries(here):
        if not name.lower().endswith(IMAGES) and (here / name).is_dir():
            yield from _below(folder, (*steps, name))


def _matched(images: Files, labels: Files) -> tuple[Files, Files] | None:
    """Both by stems without their endings, for the first endings under which every file has its counterpart."""
    for image_ending in IMAGE_ENDINGS:
        for label_ending in LABEL_ENDINGS:
            pictures, drawn = _cut(images, image_ending), _cut(labels, label_ending)
            if pictures and drawn and pictures.keys() == drawn.keys():
                return pictures, drawn
    return None


def _cut(files: Mapping[str, Path], ending: str) -> Files | None:
    """The files by stems without an ending that all of them have; None where one has another."""
    if not all(stem.lower().endswith(ending) for stem in files):
        return None
    return {stem.removesuffix(stem[len(stem) - len(ending) :]): path for stem, path in files.items()}


def _refuse_unread(folder: Path, readable: tuple[str, ...]) -> None:
    lying = content(folder)
    if lying != "nothing":
        what = "images" if readable == IMAGES else "label files"
        raise MiaSegError(
            f"{folder} holds no {what}: {lying} here; readable are {', '.join(readable)}. {_fix(readable)}"
        )


def _refuse_unread_partners(folder: Path, readable: tuple[str, ...], alone: Iterable[str]) -> None:
    """Say that the counterparts of single files are there, in a format that is not read."""
    wanted = set(alone)
    for below in _below(folder):
        here = folder.joinpath(*below)
        unread = [
            name
            for name in entries(here)
            if not name.lower().endswith(readable) and "/".join([*below, Path(name).stem]) in wanted
        ]
        if unread:
            raise MiaSegError(
                f"{here} holds {len(unread)} files that are not read ({unread[0]}, ...); "
                f"readable are {', '.join(readable)}. {_fix(readable)}"
            )


def _fix(readable: tuple[str, ...]) -> str:
    if readable == IMAGES:
        return "Save the images in one of these formats."
    return "Save the original labels as PNG; JPEG would change their values."


def _kind(path: Path) -> str:
    if path.suffix.lower() not in IMAGES and path.is_dir():
        return "folders"
    return path.suffix.lower() or "files without suffix"
