"""A single figure of some results, for a notebook."""

from collections.abc import Callable, Sequence

from matplotlib.figure import Figure

from mia_seg.errors import MiaSegError
from mia_seg.evaluate.results import Result
from mia_seg.report import curves, plots, style
from mia_seg.report.budgets import once
from mia_seg.report.cells import Cell, cells, defenses_of, enriched
from mia_seg.report.style import Look, look

FIGURES: dict[str, Callable[[list[Cell], Look], Figure]] = {
    "roc": curves.roc_figure,
    "pr": curves.pr_figure,
    "forest": plots.forest_figure,
    "joint": plots.joint_figure,
}


def drawn(name: str, results: Sequence[Result]) -> Figure:
    """The figure `name` of whole images. Raises MiaSegError for an unknown name."""
    if name not in FIGURES:
        raise MiaSegError(f"No figure is called '{name}'. There are: {', '.join(FIGURES)}.")
    found = cells(enriched(once(results)))
    shown = [cell for cell in found if cell.level == "image" and (name == "forest" or not cell.control)]
    with style.styled():
        return FIGURES[name](shown, look(defenses_of(found)))
