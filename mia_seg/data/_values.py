"""Counts of label values: pixels with a class, ignored pixels, and pixels whose value has no rule."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from mia_seg.data import IGNORE
from mia_seg.errors import MiaSegError

EXAMPLES = 5  # unknown values that are named
FEW = 1e-3  # share of pixels up to which unknown values are said and no more


@dataclass(frozen=True)
class LabelValues:
    """Counts of one or several scenes. classes: ids that have a pixel. labelled, ignored, unknown: numbers of pixels.

    Unknown pixels are those ignored ones whose stored value has no rule. most: the most frequent of these values, with
    their numbers of pixels.
    """

    classes: frozenset[int] = frozenset()
    labelled: int = 0
    ignored: int = 0
    unknown: int = 0
    most: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, labels_HW: np.ndarray, unknown: dict[str, int]) -> Self:
        """Counts of labels uint8 [H, W]. unknown: stored values without a rule -> number of pixels."""
        counts_V = np.bincount(labels_HW.ravel(), minlength=IGNORE + 1)
        classes, ignored = np.flatnonzero(counts_V[:IGNORE]).tolist(), int(counts_V[IGNORE])
        total = sum(unknown.values())
        return cls(frozenset(classes), labels_HW.size - ignored, ignored, total, _most(unknown))

    @classmethod
    def total(cls, several: Iterable["LabelValues"]) -> Self:
        """The sums over several."""
        every, most = list(several), Counter[str]()
        for one in every:
            most.update(one.most)
        classes = frozenset[int]().union(*(one.classes for one in every))
        labelled, ignored, unknown = (
            sum(getattr(one, name) for one in every) for name in ("labelled", "ignored", "unknown")
        )
        return cls(classes, labelled, ignored, unknown, _most(most))

    def check(self, ignores_unknown: bool, what: str) -> None:
        """Raise MiaSegError if more than a few pixels are unknown, unless the data set ignores them."""
        if ignores_unknown or self.unknown <= FEW * self.pixels:
            return
        raise MiaSegError(
            f"{what}, {self.says()}. Correct the labels, or add rules for these values to the class map (names, if "
            f"classes are given by names, as with --classes); other = 'ignore' in a class map says that they are meant "
            f"to be ignored."
        )

    @property
    def pixels(self) -> int:
        """The number of all pixels."""
        return self.labelled + self.ignored

    def row(self) -> list[Any]:
        """JSON that `read` takes."""
        return [sorted(self.classes), self.labelled, self.ignored, self.unknown, self.most]

    @classmethod
    def read(cls, row: Sequence[Any]) -> Self:
        """What `row` gave."""
        classes, *counts = row
        return cls(frozenset(classes), *counts)

    def says(self) -> str:
        """'12% of pixels are ignored (0.2% as no rule of the class map names them: 7 (0.15%), 9 (0.05%))'."""
        said = f"{_share(self.ignored, self.pixels)} of pixels are ignored"
        if not self.unknown:
            return said
        named = ", ".join(f"{value} ({_share(count, self.pixels)})" for value, count in self.most.items())
        more = ", ..." if sum(self.most.values()) < self.unknown else ""
        return f"{said} ({_share(self.unknown, self.pixels)} as no rule of the class map names them: {named}{more})"


def _most(counts: dict[str, int]) -> dict[str, int]:
    return dict(Counter(counts).most_common(EXAMPLES))


def percent(share: float) -> str:
    """'12%', '0.3%', '<0.01%': two digits that are not lost in rounding."""
    if 0 < share < 0.0001:
        return "<0.01%"
    return f"{100 * share:.2g}%" if share < 0.0995 else f"{100 * share:.0f}%"


def _share(part: int, whole: int) -> str:
    return percent(part / max(whole, 1))
