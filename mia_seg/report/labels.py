"""Short texts beside the points of a figure, placed so that they overlap no points, lines or each other."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from matplotlib.transforms import Bbox

HALO = [withStroke(linewidth=2.5, foreground="white")]
# Offsets of a label from its point, in points of type. The first one that is free is taken.
PLACES = ((6, 5), (6, -11), (-6, 5), (-6, -11), (0, 9), (0, -15), (12, -3), (-12, -3))
WIDE, HIGH = 5.6, 9.0  # the size of a character, in points of type
FAR = 1e4


def write_beside(
    ax: Axes, points: npt.ArrayLike, texts: Sequence[str], *, colours: Sequence[str], line: npt.ArrayLike = ()
) -> None:
    """Write a text beside each point [P, 2]. line: the corners [C, 2] of a line that texts must not overlap.

    Limits and size of the axes must be final, because both are used. An empty text takes no room.
    """
    scale = 72 / ax.figure.dpi
    spots, corners = (
        scale * ax.transData.transform(np.reshape(np.asarray(of, np.float64), (-1, 2))) for of in (points, line)
    )
    taken = [Bbox.from_bounds(x - 4, y - 4, 8, 8) for x, y in spots]
    taken += [Bbox([np.minimum(a, b) - 1, np.maximum(a, b) + 1]) for a, b in pairwise(corners)]
    left, right = scale * ax.bbox.x0, scale * ax.bbox.x1  # beyond them stand the legend and the numbers of the axis
    taken += [Bbox.from_extents(-FAR, -FAR, left, FAR), Bbox.from_extents(right, -FAR, FAR, FAR)]
    for point, (x, y), text, colour in zip(np.asarray(points), spots, texts, colours, strict=True):
        if not text:
            continue
        boxes = [_box(x + dx, y + dy, dx, text=text) for dx, dy in PLACES]
        place = min(range(len(PLACES)), key=lambda i: boxes[i].count_overlaps(taken))
        taken.append(boxes[place])
        written = ax.annotate(
            text, point, PLACES[place], textcoords="offset points", ha=_side(PLACES[place][0]), fontsize=8,
            color=colour, path_effects=HALO,
        )  # fmt: skip
        written.set_in_layout(False)


def _box(x: float, y: float, dx: float, *, text: str) -> Bbox:
    """The box of a text at a place, in points of type."""
    width = WIDE * len(text)
    return Bbox.from_bounds(x - {"left": 0, "center": width / 2, "right": width}[_side(dx)], y, width, HIGH)


def _side(dx: float) -> str:
    return "center" if dx == 0 else "left" if dx > 0 else "right"
