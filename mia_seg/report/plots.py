"""The leak and the cost of defenses: all AUCs with their intervals, and mIoU over AUC (thesis figures 7.11, 7.12)."""

from itertools import groupby
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from mia_seg.metrics.membership import CHANCE
from mia_seg.report.cells import UNDEFENDED, Cell, attack_name, attacks_of, defense_name, defenses_of
from mia_seg.report.style import GREY, INK, Look, figure, legend, wrapped

Place = Literal["outside upper center", "outside lower center"]
OPTIMAL = "#d55e00"
WIDEST = 6  # the most attacks side by side
SPREAD = 0.17
LINE = 0.17  # inches
LEFT = 0.35


def forest_figure(cells: list[Cell], look: Look) -> Figure:
    """AUCs of whole images with their intervals; filled marks are attackers who adapt.

    Defenses are rows and attacks are columns, or the reverse if there are many attacks: a page may be long, but not
    wide.
    """
    attacks, defenses = attacks_of(cells), defenses_of(cells)
    names = [wrapped(attack_name(*attack)) for attack in attacks], [wrapped(defense_name(name)) for name in defenses]
    places = [(attacks.index((cell.attack, cell.representation)), defenses.index(cell.defense)) for cell in cells]
    turned = len(attacks) > max(len(defenses), WIDEST)
    columns, rows = names[::-1] if turned else names
    high = (0.3 if turned else 0.42) + LINE * max(name.count("\n") for name in rows)
    drawn = figure((2.6 if turned else 1.4) + 2.0 * len(columns), 1.2 + high * len(rows))
    axes = drawn.subplots(1, len(columns), squeeze=False, sharex=True, sharey=True)[0]
    for cell, place in zip(cells, places, strict=True):
        column, row = place[::-1] if turned else place
        _interval(axes[column], row, cell, look=look)
    for ax, name in zip(axes, columns, strict=True):
        _chance(ax)
        _head(ax, name)
        ax.set_xlabel("AUC")
    axes[0].set_xlim(_left(cells), 1.02)
    axes[0].set_yticks(range(len(rows)), rows)
    axes[0].set_ylim(len(rows) - 0.5, -0.5)
    _attackers(drawn, cells, "outside upper center")
    return drawn


def joint_figure(cells: list[Cell], look: Look) -> Figure:
    """mIoU over AUC: a panel for each attack, a point for each defense, and the optimum without leak and cost."""
    attacks = attacks_of(cells)
    drawn = figure(0.8 + 2.8 * len(attacks), 4.4)
    axes = drawn.subplots(1, len(attacks), squeeze=False, sharex=True, sharey=True)[0]
    for ax, attack in zip(axes, attacks, strict=True):
        mine = [cell for cell in cells if (cell.attack, cell.representation) == attack]
        _chance(ax)
        for _, of_defense in groupby(mine, key=lambda cell: cell.defense):
            _points(ax, list(of_defense), look)
        optimum(ax, mine)
        _head(ax, wrapped(attack_name(*attack)))
        ax.set_xlabel("AUC of the attack (0.5 is best)")
    axes[0].set_xlim(_left(cells), 1.02)
    axes[0].set_ylabel("mIoU on non-members, % (more is better)")
    _attackers(drawn, cells, "outside lower center")
    legend(drawn, cells, look, markers=True)
    return drawn


def optimum(ax: Axes, cells: list[Cell]) -> None:
    """Draw the star at AUC 0.5 and the undefended mIoU, if one of `cells` is undefended."""
    undefended = [cell for cell in cells if cell.defense == UNDEFENDED]
    for cell in undefended[:1]:
        best = 100 * cell.mean("miou_nonmembers")
        ax.plot(CHANCE, best, "*", color=OPTIMAL, markersize=14, markeredgecolor="white", zorder=3)
        text = ax.annotate("optimal", (CHANCE, best), (0, 10), textcoords="offset points", color=OPTIMAL, ha="center")
        text.set_path_effects([withStroke(linewidth=3, foreground="white")])


def _interval(ax: Axes, place: int, cell: Cell, *, look: Look) -> None:
    shift = 0 if cell.defense == UNDEFENDED else SPREAD * (1 if cell.adaptive else -1)
    colour, auc, y = look.colours[cell.defense], cell.auc, place + shift
    ax.plot([auc.low, auc.high], [y, y], color=colour, linewidth=1.6, solid_capstyle="butt")
    if len(cell.runs) > 1:
        ax.plot([run["auc"] for run in cell.runs], [y] * len(cell.runs), ".", color=colour, markersize=3.5)
    ax.plot(auc.value, y, look.markers[cell.defense], color=colour, markersize=6, markerfacecolor=_face(cell, colour))


def _points(ax: Axes, cells: list[Cell], look: Look) -> None:
    """Draws both kinds of attacker on one defense. They share the defense's mIoU."""
    colour = look.colours[cells[0].defense]
    for cell in cells:
        auc, miou = cell.auc, cell.estimate("miou", "nonmembers")
        ax.plot([auc.low, auc.high], [100 * miou.value] * 2, color=colour, linewidth=1, alpha=0.6)
        ax.plot([auc.value] * 2, [100 * miou.low, 100 * miou.high], color=colour, linewidth=1, alpha=0.6)
        ax.plot(
            auc.value, 100 * miou.value, look.markers[cell.defense], color=colour, markersize=7,
            markerfacecolor=_face(cell, colour),
        )  # fmt: skip


def _head(ax: Axes, name: str) -> None:
    """Writes a panel's name, with what the attack sees on a second line."""
    ax.set_title(name.replace(" (", "\n("), fontweight="bold")


def _left(cells: list[Cell]) -> float:
    """Where the axis of AUC starts: left of 0.5, so that chance is not at the edge."""
    return min(LEFT, *(cell.auc.low - 0.02 for cell in cells))


def _face(cell: Cell, colour: str) -> str:
    """The face colour of a mark: filled if the attacker adapts, and for the undefended model."""
    return colour if cell.adaptive or cell.defense == UNDEFENDED else "white"


def _chance(ax: Axes) -> None:
    ax.axvline(CHANCE, color=GREY, linestyle=":", linewidth=1)
    ax.grid(axis="y", color="#eeeeee")
    ax.set_axisbelow(True)


def _attackers(drawn: Figure, cells: list[Cell], place: Place) -> None:
    """Draws the key to filled and hollow marks, if both occur."""
    if not any(cell.adaptive for cell in cells):
        return
    kinds = [("trained against the defense", INK), ("ignores the defense", "white")]
    handles = [
        Line2D([], [], marker="o", color=INK, markerfacecolor=face, linewidth=1.6, label=f"attacker {text}")
        for text, face in kinds
    ]
    drawn.legend(handles=handles, loc=place, ncols=2)
