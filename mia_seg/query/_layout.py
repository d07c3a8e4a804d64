"""How the labels of a scene divide its pixels: by class, band beside edges, size of object and region of the image."""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from mia_seg.data import IGNORE
from mia_seg.oracles.pixels import parts

BOUNDARY_RADIUS = 2
# An object is small below a thousandth of the image and large from a hundredth on.
SIZES = (1e-3, 1e-2)
CUT = (2, 3, 9)  # band or interior, size, region
CELLS = 2 * 3 * 9
LABELS = 256
STRETCH = 32


@dataclass(frozen=True)
class Layout:
    """A scene's labels, and how they divide its pixels into cells: label x boundary band x object size x region.

    labels_HW: uint8. A *stretch* is up to `STRETCH` consecutive pixels of one cell, within one of
    `oracles.pixels.parts`. first_C: where each stretch begins in the flattened image. cell_C: the cell of each stretch,
    its label times `CELLS` plus its place in `CUT`; 255 counts as a label. pixels: pixels of each cell, int64
    [LABELS, *CUT]. objects: the number of objects whose label is not IGNORE.
    """

    labels_HW: np.ndarray
    first_C: np.ndarray
    cell_C: np.ndarray
    pixels: np.ndarray
    objects: int


@dataclass(frozen=True)
class Runs:
    """Pixels of one label beside each other in a row, R of them in the image's order; row ends end them.

    first_R: the place of each run's first pixel in the flattened image. length_R: its pixels. object_R: its object,
    from 0; neighbours in a row or column with one label are one object.
    """

    first_R: np.ndarray
    length_R: np.ndarray
    object_R: np.ndarray


def layout(labels_HW: np.ndarray) -> Layout:
    """The layout of labels, uint8 [H, W]."""
    found = runs(labels_HW)
    cells = _cells(labels_HW, found).ravel()
    begins = np.append(True, cells[1:] != cells[:-1])
    begins[::STRETCH] = True
    begins[[rows.start * labels_HW.shape[1] for rows in parts(labels_HW.shape)]] = True
    first_C = np.flatnonzero(begins)
    cell_C = cells[first_C].astype(np.intp)
    length_C = np.diff(first_C, append=labels_HW.size)
    pixels = np.bincount(cell_C, length_C, LABELS * CELLS).astype(np.int64).reshape(LABELS, *CUT)
    objects = np.unique(found.object_R[labels_HW.ravel()[found.first_R] != IGNORE])
    return Layout(labels_HW, first_C, cell_C, pixels, len(objects))


def _cells(labels_HW: np.ndarray, found: Runs) -> np.ndarray:
    """Each pixel's cell: uint16 [H, W]."""
    height, width = labels_HW.shape
    share = np.bincount(found.object_R, found.length_R) / labels_HW.size
    size_R = np.searchsorted(SIZES, share, side="right")[found.object_R]
    label_R, row_R = labels_HW.ravel()[found.first_R].astype(np.intp), found.first_R // width
    cell_R = label_R * CELLS + 9 * size_R + 3 * (3 * row_R // height)
    cells_HW = np.repeat(cell_R.astype(np.uint16), found.length_R).reshape(height, width)
    cells_HW += (3 * np.arange(width) // width).astype(np.uint16)
    cells_HW += np.where(boundary_band(labels_HW), np.uint16(0), np.uint16(CELLS // 2))
    return cells_HW


def runs(labels_HW: np.ndarray) -> Runs:
    """The runs of labels, uint8 [H, W]. Objects join runs of neighbour rows: the cost grows with runs, not pixels."""
    starts = np.ones(labels_HW.shape, bool)
    starts[:, 1:] = labels_HW[:, 1:] != labels_HW[:, :-1]
    first_R = np.flatnonzero(starts)
    # A pair of runs touches from the column where the later of the two begins.
    place = np.flatnonzero((labels_HW[1:] == labels_HW[:-1]) & (starts[1:] | starts[:-1]))
    above, below = (np.searchsorted(first_R, row, side="right") - 1 for row in (place, place + labels_HW.shape[1]))
    graph = coo_matrix((np.ones(len(above), bool), (above, below)), (len(first_R), len(first_R)))
    object_R = connected_components(graph, directed=False)[1]
    return Runs(first_R, np.diff(first_R, append=labels_HW.size), object_R)


def boundary_band(labels_HW: np.ndarray) -> np.ndarray:
    """Pixels within two pixels (square neighbourhood) of another label: bool [H, W]."""
    around = np.pad(labels_HW, BOUNDARY_RADIUS, mode="edge")
    return _over_windows(np.maximum, around) != _over_windows(np.minimum, around)


def _over_windows(choose: np.ufunc, values: np.ndarray) -> np.ndarray:
    """The largest or smallest value of each window of five by five, which is a quarter as many steps as offsets."""
    for _ in range(2):  # along the rows, then, transposed, along the columns
        two = choose(values[:-1], values[1:])
        four = choose(two[:-2], two[2:])
        values = choose(four[:-1], values[2 * BOUNDARY_RADIUS :]).T
    return values
