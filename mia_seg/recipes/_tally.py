"""Summaries of a data set's parts, from what `mia-seg check --all` found in its files."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mia_seg.data import IGNORE, _alike
from mia_seg.data._inspect import Drawn, Pair, Picture, Seen
from mia_seg.data._paired import Paired, Value
from mia_seg.data._values import percent
from mia_seg.recipes.inspected import DataPart, LabelValue, Scenes, Sizes, TwinScenes

FEW = 5  # scenes and values that are named; the others are counted


@dataclass(frozen=True)
class Listed:
    """One part of a data set, read one way. pairs: by stem."""

    dataset: str
    folder: str
    variant: str
    reader: Paired
    pairs: dict[str, Pair]

    @property
    def part(self) -> str:
        """'train, fine'."""
        return ", ".join(filter(None, [self.folder, self.variant]))

    @property
    def title(self) -> str:
        """'cityscapes: train, fine'."""
        return ": ".join(filter(None, [self.dataset, self.part]))


@dataclass(frozen=True)
class Files:
    """The contents of all files. keys: equal for images with equal pixels."""

    seen: dict[Pair, Seen]
    pictures: dict[Path, Picture]
    image_faults: dict[Path, tuple[str, ...]]
    keys: dict[Path, str]


@dataclass(frozen=True)
class Labels:
    """The label file of one scene. means: stored value -> class id, IGNORE, or None where unknown."""

    stem: str
    path: Path
    drawn: Drawn
    means: dict[Value, int | None]


def part_of(part: Listed, files: Files) -> DataPart:
    """The summary of one part."""
    pictures = {stem: files.pictures[p.image] for stem, p in part.pairs.items() if p.image in files.pictures}
    labels, classes = list(_labels(part, files)), part.reader.classes()
    values = _values(labels, classes)
    return DataPart(
        dataset=part.dataset,
        part=part.part,
        scenes=len(part.pairs),
        sizes=_sizes([picture.size for picture in pictures.values()]),
        images=_forms(picture.form for picture in pictures.values()),
        labels=_forms(each.drawn.form for each in labels),
        classes=len(classes),
        values=values,
        ignored=_share(values, lambda value: value.name is None and not value.unknown),
        unknown=_share(values, lambda value: value.unknown),
        with_unknown=_scenes(each.stem for each in labels if None in each.means.values()),
        unlabelled=_scenes(each.stem for each in labels if set(each.means.values()) <= {None, IGNORE}),
        exact=_named(_alike.exact(keys := [files.keys[part.pairs[stem].image] for stem in pictures]), list(pictures)),
        near=_named(_alike.near([picture.look for picture in pictures.values()], keys), list(pictures)),
        unreadable=_unreadable(part, files),
    )


def across(parts: Sequence[Listed], files: Files) -> tuple[TwinScenes, TwinScenes]:
    """Exact and near twins in different parts. An image counts for the first part that has it."""
    homes: dict[Path, tuple[int, str]] = {}
    for k, part in enumerate(parts):
        for stem, pair in part.pairs.items():
            homes.setdefault(pair.image, (k, stem))
    images = [image for image in homes if image in files.pictures]
    names = [f"{parts[homes[image][0]].title}: {homes[image][1]}" for image in images]
    keys, where = [files.keys[image] for image in images], [homes[image][0] for image in images]
    looks = [files.pictures[image].look for image in images]
    return _named(_alike.exact(keys, where), names), _named(_alike.near(looks, keys, where), names)


def unknown_in(part: Listed, told: DataPart) -> Iterator[str]:
    """A sentence about stored values that are no labels, if there are any."""
    values = [value for value in told.values if value.unknown]
    if values:
        listed = ", ".join(f"{said(value.value)} ({percent(value.share)} of all pixels)" for value in values[:FEW])
        more = f" and {len(values) - FEW} others" if len(values) > FEW else ""
        yield (
            f"{part.title}: {told.with_unknown.count} of {told.scenes} label files hold values that are none of the "
            f"labels: {listed}{more}; the first file is {part.pairs[told.with_unknown.first[0]].labels}. Correct these "
            f"files, or the class map that reads them."
        )


def said(value: Value) -> str:
    """'7', or '128:64:0' of a colour."""
    return str(value) if isinstance(value, int) else ":".join(map(str, value))


def _labels(part: Listed, files: Files) -> Iterator[Labels]:
    for stem, pair in part.pairs.items():
        drawn = files.seen[pair].drawn
        if drawn is not None:
            values = list(drawn.counts)
            means = part.reader.meanings(values, pair.labels)
            yield Labels(stem, pair.labels, drawn, dict(zip(values, means, strict=True)))


def _values(labels: Sequence[Labels], classes: Sequence[str]) -> list[LabelValue]:
    """Every stored value, as often as it means one thing; the files of one part may be of two kinds."""
    pixels = Counter[tuple[Value, int | None]]()
    for each in labels:
        for value, count in each.drawn.counts.items():
            pixels[value, each.means[value]] += count
    total = pixels.total()
    return [
        LabelValue(
            value=value,
            name=None if means is None or means == IGNORE else classes[means],
            unknown=means is None,
            pixels=count,
            share=count / total,
        )
        for (value, means), count in sorted(
            pixels.items(), key=lambda item: item[0][0] if isinstance(item[0][0], tuple) else item[0][:1]
        )
    ]


def _share(values: Sequence[LabelValue], counts: Callable[[LabelValue], bool]) -> float:
    return sum(value.pixels for value in values if counts(value)) / max(1, sum(value.pixels for value in values))


def _sizes(sizes: Sequence[tuple[int, int]]) -> Sizes | None:
    if not sizes:
        return None
    ordered = sorted(set(sizes), key=lambda size: (size[0] * size[1], size))
    return Sizes(smallest=ordered[0], largest=ordered[-1], distinct=len(ordered))


def _forms(forms: Iterable[str]) -> dict[str, int]:
    return dict(Counter(forms).most_common())


def _scenes(stems: Iterable[str]) -> Scenes:
    found = list(stems)
    return Scenes(count=len(found), first=found[:FEW])


def _named(twins: _alike.Twins, names: Sequence[str]) -> TwinScenes:
    return TwinScenes(count=twins.count, first=[(names[a], names[b]) for a, b in twins.first])


def _unreadable(part: Listed, files: Files) -> list[str]:
    each = (line for p in part.pairs.values() for line in (*files.seen[p].faults, *files.image_faults[p.image]))
    return list(dict.fromkeys(each))
