"""Lists of scenes as people bring and publish them: ids, names of files, paths, or an image and its labels a line."""

import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import cached_property
from pathlib import Path

from mia_seg.errors import MiaSegError
from mia_seg.texts import read_lines

READ = "A line is read that is a scene id, a file name, a path, or an image and its labels"
IMAGES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp", ".gif", ".npy")
LONGEST = 80
Files = Callable[[str], Iterable[Path]]
BETWEEN = re.compile(r"[\s,;]+")


def no_files(scene_id: str) -> Iterable[Path]:
    """No files: for data sets whose lists name ids only."""
    del scene_id
    return ()


def read_list(path: Path, ids: Collection[str], files: Files = no_files) -> tuple[list[str], list[str]]:
    """The ids that a list names, and the lines that name no id; both sorted, each once.

    A line that begins with '#' is a comment, unless an id begins so too. files: id -> paths by which a line may name
    it. Raises FileNotFoundError, and MiaSegError for a file that is no text or a line that fits several ids.
    """
    known, comments = set(ids), not any(i.startswith("#") for i in ids)
    exact, others = set[str](), set[str]()
    for line in read_lines(path):
        text = line if line in known else line.strip()
        if text in known:
            exact.add(text)
        elif not (comments and text.startswith("#")):
            others.add(text)
    index = Index(known, files) if others else None
    named = {text: index.named(text) for text in others} if index else {}
    for text, hits in sorted(named.items()):
        if len(hits) > 1:
            first, second, *_ = sorted(hits)
            raise MiaSegError(f"{path}: '{text}' may be '{first}' or '{second}'. Write one whole scene id a line.")
    return sorted(exact.union(*named.values())), sorted(text for text, hits in named.items() if not hits)


def shown(lines: Sequence[str]) -> str:
    """The beginnings of the first five lines, for an error."""
    return ", ".join(line if len(line) <= LONGEST else f"{line[:LONGEST]}..." for line in lines[:5])


class Index:
    """Ids by how a list may spell them. Composed and decomposed accents (macOS) count as equal."""

    def __init__(self, ids: Collection[str], files: Files = no_files) -> None:
        self._ids, self._listed = ids, files
        self._whole: dict[str, set[str]] = {}
        self._ends: dict[str, set[str]] = {}
        for one in ids:
            steps = _composed(one).split("/")
            self._whole.setdefault("/".join(steps), set()).add(one)
            for k in range(1, len(steps)):
                self._ends.setdefault("/".join(steps[k:]), set()).add(one)
        # Where an id holds what parts columns, the beginning of a line may be another id by chance.
        self._one_column = any(BETWEEN.search(one) for one in ids)

    def named(self, text: str) -> set[str]:
        """The ids that a line may mean; empty for none."""
        first, *others = BETWEEN.split(text)
        if self._one_column or not others:
            return self._of(text)
        hits = self._of(first) if all(map(_is_file, others)) else set()
        return hits.union(*map(self._of, others)) if hits else set()

    def _of(self, text: str) -> set[str]:
        """One spelling: the path ends in an id, or it is the end of an id; with or without the ending of an image."""
        for spelt in dict.fromkeys((text, text.replace("\\", "/").removeprefix("./"))):
            for form in dict.fromkeys((spelt, _bare(spelt))):
                steps = _composed(form).split("/")
                # A blank in the folders may be one between columns.
                heads = [k for k in range(len(steps)) if not BETWEEN.search("/".join(steps[:k]))]
                tails = ["/".join(steps[k:]) for k in heads]
                hits = next((self._whole[tail] for tail in tails if tail in self._whole), None)
                if hits := hits or self._ends.get(tails[0]):
                    return hits
        return self._of_file(text.replace("\\", "/"))

    def _of_file(self, text: str) -> set[str]:
        """The ids of whose files the text is the path, or as much of its end as either has."""
        steps = [step for step in _composed(text).split("/") if step not in ("", ".")]
        there = self._files.get(steps[-1], []) if steps else []
        return {one for one, path in there if all(a == b for a, b in zip(steps[::-1], path[::-1], strict=False))}

    @cached_property
    def _files(self) -> dict[str, list[tuple[str, tuple[str, ...]]]]:
        """Name of a file -> the id that it belongs to, with the steps of its path."""
        found: dict[str, list[tuple[str, tuple[str, ...]]]] = {}
        for one in self._ids:
            for path in self._listed(one):
                steps = tuple(map(_composed, path.parts))
                found.setdefault(steps[-1], []).append((one, steps))
        return found


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _bare(text: str) -> str:
    return text[: text.rindex(".")] if _is_file(text) else text


def _is_file(text: str) -> bool:
    return text.lower().endswith(IMAGES)
