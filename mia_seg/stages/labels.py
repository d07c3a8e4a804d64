"""Checks of the labels of all scenes before training; scenes without a label are left out by name."""

from collections.abc import Sequence
from dataclasses import replace

from mia_seg.data import Dataset
from mia_seg.data._values import LabelValues
from mia_seg.errors import MiaSegError
from mia_seg.recipes.splits import PARTS, SAID, Partition
from mia_seg.stages.scenes import Cut
from mia_seg.store import digest
from mia_seg.store.memo import Memo
from mia_seg.workspace import Workspace

VERSION = 1
SEVERAL = 5  # names in a sentence


def labelled(cut: Cut, workspace: Workspace) -> Cut:
    """The cut without the scenes that have no labelled pixel at the recipe's size: they have no loss.

    If there are no labels at all, the whole cut is returned. Each label file is read once, and remembered in the store.
    Raises MiaSegError for too many values without a class, if the members' labels show only one class, and if a part
    is left without scenes.
    """
    if not cut.content or not any(cut.content.values()):  # scenes that are made have the labels that they are made with
        return cut
    if not cut.dataset.has_labels(workspace.data_root):
        return replace(cut, unlabelled=True)
    found = _values(cut, workspace)
    every = LabelValues.total(found.values())
    every.check(cut.dataset.ignores_unknown, f"In the labels of {len(found)} scenes")
    lacking = {i for i, one in found.items() if not one.labelled}
    _check_parts(cut.parts, lacking)
    parts = cut.parts.only(cut.content.keys() - lacking)
    _check_classes(LabelValues.total(found[i] for i in parts.members), cut.dataset)
    left_out: dict[str, list[str]] = {part: [i for i in getattr(cut.parts, part) if i in lacking] for part in PARTS}
    return replace(cut, parts=parts, labels=every, left_out=left_out)


def _values(cut: Cut, workspace: Workspace) -> dict[str, LabelValues]:
    ids, dataset, root = list(cut.content), cut.dataset, workspace.data_root
    keys = [digest([VERSION, dataset.origin(), cut.content[i]]) for i in ids]
    rows = Memo(workspace.store.root / "labels.json").of(
        keys, lambda k: LabelValues.of(*dataset.labels_of(root, ids[k])).row(), "  reading the scenes' labels once"
    )
    return {i: LabelValues.read(row) for i, row in zip(ids, rows, strict=True)}


def _check_parts(parts: Partition, lacking: set[str]) -> None:
    for name in PARTS:
        ids: Sequence[str] = getattr(parts, name)
        if ids and lacking.issuperset(ids):
            raise MiaSegError(
                f"No pixel of the {SAID[name]} is labelled ({len(ids)} scenes: {', '.join(ids[:SEVERAL])}). "
                f"Check the label files, and in [data] the class map and the size."
            )


def _check_classes(members: LabelValues, dataset: Dataset) -> None:
    if len(members.classes) < 2:
        only = dataset.classes()[next(iter(members.classes))]
        raise MiaSegError(
            f"The members' labels show one class alone ('{only}'; {members.says()}), and a segmenter tells two apart. "
            f"Check the label files and the class map: 255 is ignored where no rule of the map has id = 255."
        )
