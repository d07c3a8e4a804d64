"""ROC and precision-recall curves: a row for each attack, a curve for each defense (thesis figures 7.5 and 7.6)."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from mia_seg.report.cells import UNDEFENDED, Cell, Row, attack_name, attacks_of
from mia_seg.report.style import GREY, Look, figure, legend, wrapped

# FPRs are denser where curves are steep. Recall 0 is left out: nobody is called there, and precision is 1 by
# definition.
LINEAR = np.linspace(0, 1, 36) ** 1.7
RECALL = np.linspace(0, 1, 51)[1:]
LOG_STEPS = 30
SIDES = {False: "attacker ignores\nthe defense (dashed)", True: "attacker trained\nagainst it (solid)"}


@dataclass(frozen=True)
class Panel:
    """One column of panels: the kind of attacker, and whether the false positive rate is on a log scale."""

    adaptive: bool
    log: bool


class Draw(Protocol):
    """Draws the cells of one panel."""

    def __call__(self, ax: Axes, cells: list[Cell], panel: Panel, *, look: Look) -> None: ...


def roc_figure(cells: list[Cell], look: Look) -> Figure:
    """The true over the false positive rate, on linear axes and then with the false positive rate on a log scale."""
    panels = [Panel(side, log) for log in (False, True) for side in _sides(cells)]
    return _grid(cells, panels, look, draw=_roc_panel)


def pr_figure(cells: list[Cell], look: Look) -> Figure:
    """Precision over recall."""
    return _grid(cells, [Panel(side, False) for side in _sides(cells)], look, draw=_pr_panel)


def _sides(cells: list[Cell]) -> list[bool]:
    """The kinds of attacker (adaptive or not) in some cells; without any defense, the one that is not adaptive."""
    return sorted({cell.adaptive for cell in cells if cell.defense != UNDEFENDED}) or [False]


def _grid(cells: list[Cell], panels: list[Panel], look: Look, *, draw: Draw) -> Figure:
    attacks = attacks_of(cells)
    drawn = figure(0.9 + 2.02 * len(panels), 1.2 + 1.9 * len(attacks))
    axes = drawn.subplots(len(attacks), len(panels), squeeze=False, sharex="col", sharey=True)
    for row, attack in zip(axes, attacks, strict=True):
        for ax, panel in zip(row, panels, strict=True):
            # The undefended model is drawn for both kinds of attacker, because defenses are compared with it.
            shown = [c for c in cells if (c.attack, c.representation) == attack and c.defense == UNDEFENDED]
            shown += [c for c in cells if (c.attack, c.representation) == attack and _belongs(c, panel)]
            draw(ax, shown, panel, look=look)
            ax.label_outer()
        _name_row(row[0], attack_name(*attack))
    if any(cell.defense != UNDEFENDED for cell in cells):
        for ax, panel in zip(axes[0], panels, strict=True):
            ax.set_title(SIDES[panel.adaptive])
    legend(drawn, cells, look, markers=False)
    return drawn


def _belongs(cell: Cell, panel: Panel) -> bool:
    return cell.defense != UNDEFENDED and cell.adaptive is panel.adaptive


def _name_row(ax: Axes, text: str) -> None:
    ax.annotate(
        wrapped(text), (-0.3, 0.5), xycoords=ax.yaxis.label, rotation=90, fontweight="bold", va="center", ha="right"
    )


def _roc_panel(ax: Axes, cells: list[Cell], panel: Panel, *, look: Look) -> None:
    lowest = min((1 / cell.runs[0]["n_nonmember_groups"] for cell in cells), default=0.01)
    grid = np.geomspace(lowest, 1, LOG_STEPS) if panel.log else LINEAR
    ax.plot(grid, grid, color=GREY, linestyle=":", linewidth=1)
    for cell in cells:
        _band(ax, grid, [tpr(run, grid) for run in cell.runs], cell=cell, look=look)
    ax.set_ylim(-0.02, 1.02)
    ax.set_xticks([0, 0.5, 1])
    ax.set_xlabel("False positive rate" + (", log scale" if panel.log else ""))
    ax.set_ylabel("True positive rate")
    if panel.log:
        ax.set_xscale("log")
        ax.xaxis.set_major_formatter("{x:g}")  # powers would be formulas, which no text of a figure is
        ax.xaxis.set_minor_formatter(NullFormatter())  # under a decade matplotlib would label every tick
        # No rate below a single non-member's can be measured.
        ax.set_xlim(min(lowest, 0.1), 1)


def _pr_panel(ax: Axes, cells: list[Cell], panel: Panel, *, look: Look) -> None:
    del panel
    for cell in cells:
        _band(ax, RECALL, [_precision(run, RECALL) for run in cell.runs], cell=cell, look=look)
    shares = [run["n_members"] / (run["n_members"] + run["n_nonmembers"]) for cell in cells for run in cell.runs]
    if shares:
        ax.axhline(float(np.mean(shares)), color=GREY, linestyle=":", linewidth=1)
    ax.set_xlim(0, 1)
    ax.set_xticks([0, 0.5, 1])
    ax.set_xlabel("Recall")
    ax.set_ylabel("Precision")


def _band(ax: Axes, grid: np.ndarray, curves: list[np.ndarray], *, cell: Cell, look: Look) -> None:
    """Draws the mean over seeds, and a band from the lowest to the highest seed."""
    stack, colour = np.stack(curves), look.colours[cell.defense]
    style = "-" if cell.adaptive or cell.defense == UNDEFENDED else (0, (4, 1.5))
    ax.plot(grid, stack.mean(0), color=colour, linestyle=style, linewidth=1.5)
    if len(curves) > 1:
        ax.fill_between(grid, stack.min(0), stack.max(0), color=colour, alpha=0.13, linewidth=0)


def tpr(run: Row, grid: np.ndarray) -> np.ndarray:
    """The TPR at the FPRs `grid`. Between operating points an attacker may toss a coin, which gives a straight line."""
    fpr, tpr = np.array(run["roc_points"]).T
    return np.asarray(np.interp(grid, fpr, tpr))


def _precision(run: Row, grid: np.ndarray) -> np.ndarray:
    """The precision of the first operating point that reaches each recall; precision is not linear between points."""
    recall, precision = np.array(run["pr_points"]).T
    # Grid and points may differ in their last bit.
    place = np.searchsorted(recall, grid - 1e-9, side="left")
    return precision[np.minimum(place, len(precision) - 1)]
