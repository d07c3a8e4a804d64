"""Who is a member, as people bring it: lists of ids, folders, or a CSV beside folders. All of it becomes one table."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from mia_seg.data import Part
from mia_seg.data._files import entries, inside, paired
from mia_seg.data._folders import content, listed_images, listed_pairs
from mia_seg.data._lists import Index, read_list, shown
from mia_seg.data.table import COLUMNS, Row, lines, side
from mia_seg.errors import MiaSegError

Pairs = dict[str, tuple[Path, ...]]  # image and labels by id, or the image alone
SAID: dict[Part, str] = {"members": "--members", "nonmembers": "--nonmembers", "pool": "--pool"}
WANTS = "beside --images and --labels it needs member, and id or image, and may have group"


def of_folders(folders: Mapping[Part, Path]) -> list[Row]:
    """The scenes of one folder for each side. Folders hold images/ and labels/, or all hold only images/.

    Ids are stems. If two sides share a stem, ids are '<folder>/<stem>'.
    """
    if len({root.resolve() for root in folders.values()}) < len(folders):
        named = ", ".join(f"{SAID[part]} {root}" for part, root in folders.items())
        raise MiaSegError(f"{named}: a folder is on two sides. A scene is on one side: name a folder for each.")
    kinds = ("images",) if all(map(_images_alone, folders.values())) else ("images", "labels")
    found = {part: _pairs(*(inside(root, kind, _needs(root)) for kind in kinds)) for part, root in folders.items()}
    counts = Counter(stem for pairs in found.values() for stem in pairs)
    apart = max(counts.values(), default=1) == 1
    rows = [
        _row(stem if apart else f"{folders[part].name}/{stem}", files, part)
        for part, pairs in found.items()
        for stem, files in pairs.items()
    ]
    for scene, count in Counter(row.id for row in rows).items():
        if count > 1:
            alike = [part for part, root in folders.items() if scene.startswith(f"{root.name}/")]
            named = " and ".join(f"{SAID[part]} {folders[part]}" for part in alike)
            raise MiaSegError(
                f"{named} have one name, and each has a scene '{scene.partition('/')[2]}': both would be '{scene}'. "
                f"Rename one of these folders."
            )
    return rows


def of_lists(images: Path, labels: Path | None, lists: Mapping[Part, Path]) -> list[Row]:
    """The scenes that the lists name, one list for each side. Other scenes of the folders are left out."""
    pairs = _pairs(images, labels)
    named = {part: _listed(path, pairs, part) for part, path in lists.items()}
    for scene, count in Counter(i for ids in named.values() for i in ids).items():
        if count > 1:
            both = " and ".join(str(lists[part]) for part, ids in named.items() if scene in ids)
            raise MiaSegError(f"Scene '{scene}' stands in {both}. A scene is on one side: take it out of the others.")
    return [_row(scene, pairs[scene], part) for part, ids in named.items() for scene in ids]


def of_csv(images: Path, labels: Path | None, path: Path) -> list[Row]:
    """The scenes that a CSV names: columns id or image, member (1, 0, empty for the pool), and optionally group."""
    pairs, rows = _pairs(images, labels), {}
    index = Index(pairs, lambda scene: pairs[scene])
    for where, cells in lines(path, _fits, WANTS):
        scene = _scene(cells.get("id") or cells.get("image", ""), index, where)
        part = side(where, cells["member"])
        if scene in rows:
            raise MiaSegError(f"{where}: scene '{scene}' comes twice. Name each scene once.")
        rows[scene] = _row(scene, pairs[scene], part, group=cells.get("group", ""))
    return list(rows.values())


def _row(scene: str, files: tuple[Path, ...], part: Part, *, group: str = "") -> Row:
    return Row(id=scene, image=files[0], labels=next(iter(files[1:]), None), part=part, group=group or scene)


def _pairs(images: Path, labels: Path | None = None) -> Pairs:
    for option, folder in (("--images", images), ("--labels", labels)):
        if folder is not None and not folder.is_dir():
            raise MiaSegError(f"{option} {folder} is no folder. Name the folder that holds them.")
    if labels is not None and labels.resolve() == images.resolve():
        raise MiaSegError(
            f"--images and --labels are one folder, {labels}: an image and its labels are told apart by their folders. "
            f"Move the label files into a folder of their own; or leave out both options, and give --members a CSV "
            f"with the columns image, labels and member."
        )
    if labels is not None:
        return {**paired(*listed_pairs(images, labels), images)}
    alone = listed_images(images)
    return {stem: pair[:1] for stem, pair in paired(alone, alone, images).items()}


def _images_alone(root: Path) -> bool:
    """Whether no other folder lies beside images/, under whatever name: one with labels is not passed over."""
    return root.is_dir() and [name for name in entries(root) if (root / name).is_dir()] == ["images"]


def _needs(root: Path) -> str:
    there = content(root) if root.is_dir() else "no such folder"
    return (
        f"Each folder holds images/, and all or none of them hold labels/; in {root.name} there is: {there}. Add what "
        f"is missing, or name another folder."
    )


def _listed(path: Path, pairs: Pairs, part: Part) -> list[str]:
    if not path.is_file():
        raise MiaSegError(
            f"{SAID[part]} {path} is no file. With --images and --labels, name a list of scenes or a CSV."
        )
    ids, lacking = read_list(path, pairs, lambda scene: pairs[scene])
    if lacking or not ids:
        what = f"{len(lacking)} of its lines name no image: {shown(lacking)}" if lacking else "it names no scene"
        raise MiaSegError(f"{path}: {what}. Write one image a line, by its name; the first is '{min(pairs)}'.")
    return ids


def _fits(names: set[str]) -> bool:
    return "member" in names and bool(names & {"id", "image"}) and names.issubset(COLUMNS)


def _scene(text: str, index: Index, where: str) -> str:
    hits = sorted(index.named(text)) if text else []
    if len(hits) != 1:
        what = f"'{text}' may be '{hits[0]}' or '{hits[1]}'" if hits else f"'{text}' names no image"
        raise MiaSegError(f"{where}: {what}. Name one image of --images.")
    return hits[0]
