"""Each setting of each defense under its strongest attack: AUC, mIoU, and which settings are dominated."""

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mia_seg.metrics.equal_miou import better
from mia_seg.metrics.membership import CHANCE
from mia_seg.report.cells import (
    UNDEFENDED,
    Cell,
    Estimate,
    attack_name,
    attacks_of,
    comparable,
    defense_name,
    defenses_of,
    strongest,
)
from mia_seg.report.changes import effect
from mia_seg.report.labels import write_beside
from mia_seg.report.plots import optimum
from mia_seg.report.style import GREY, MARKERS, Look, figure
from mia_seg.report.tables import Table, percent

CHOICE = (
    "The strongest attack was chosen on the victim itself, after the fact. No attacker could have known it. This makes "
    "the attacker look stronger than it is, the more so the more attacks were tried. "
)
READING = (
    "A point is one setting of a defense. To the right, the AUC of the strongest attack that adapts to it (less is "
    "better). Up, the mIoU that is left (more is better). Bars are 95% intervals. Only attacks that were tried on all "
    f"settings count. Lines join the settings of one defense; the number beside a point is its strength. {CHOICE}The "
    "dashed line is the front. Settings in the grey area below and right of it are dominated: another setting leaks "
    "no more and segments no worse. This goes by the points, not by the intervals. An AUC below 0.5 counts as its "
    "mirror image above."
)
TABLE = (
    "Each setting of a defense under the strongest attack that adapts to it. Only attacks that were tried on all "
    f"settings count, and only the seeds that all settings share. {CHOICE}“Dominated by” names settings that leak no "
    "more and segment no worse, and are better in one of the two. This goes by the numbers. A star follows a setting "
    "that is shown to leak less: on the same images the interval of the difference leaves out zero. It allows for the "
    "choice of the attack. Each star stands by itself. Without kept scores there is none."
)
LEFT, RIGHT = 0.46, 1.02


@dataclass(frozen=True)
class Point:
    """One setting of a defense under the strongest attack that adapts to it. tried: how many attacks that was among."""

    cell: Cell
    auc: Estimate
    miou: Estimate
    tried: int

    @property
    def defense(self) -> str:
        return self.cell.defense

    @property
    def family(self) -> str:
        """The defense without its strength: 'synfeat,z=fresh' for 'synfeat:0.5,z=fresh'."""
        name, _, values = self.defense.partition(":")
        return ",".join([name, *values.split(",")[1:]])

    @property
    def strength(self) -> str:
        """'0.5' for 'synfeat:0.5,z=fresh', '' for 'argmax'."""
        return self.defense.partition(":")[2].partition(",")[0]

    @property
    def miou_text(self) -> str:
        """The mIoU in percent, with its interval."""
        return f"{percent(self.miou.value)} [{percent(self.miou.low)}, {percent(self.miou.high)}]"

    @property
    def leak(self) -> float:
        """The distance of the AUC from 0.5. An attacker may reverse the scores of an attack that ranks backwards."""
        return abs(self.auc.value - CHANCE)

    def dominates(self, other: "Point") -> bool:
        """Whether this setting leaks no more and segments no worse than the other, and is better in one of the two."""
        return better(*((each.auc.value, each.miou.value) for each in (self, other)))

    def leaks_more(self, other: "Point") -> bool:
        """Whether this setting is shown to leak more than the other on the same images; False if not compared."""
        side, _ = effect(self.cell, other.cell, self.tried)
        return side > 0


def points(cells: list[Cell]) -> list[Point]:
    """One point for each defense that an attacker adapted to, and one for the undefended model; from image-level cells.

    Only attacks that were tried on all of them count (`comparable`). Points are over the same seeds, because another
    seed is another model with another mIoU. These are the seeds of the undefended model, and defenses that lack one are
    left out. If all defenses lack one, the seeds that all share count. If there are none, each point has its own.
    Empty if no attacker adapted to any defense.
    """
    cells = [cell for cell in cells if cell.labelled]
    if not any(cell.adaptive for cell in cells):
        return []
    kept = comparable(cell for cell in cells if cell.adaptive or cell.defense == UNDEFENDED)
    best = [strongest(c for c in kept if c.defense == name) for name in defenses_of(kept)]
    found = [cell for cell in best if cell]
    # A setting that was tried on one seed alone must not reduce all other settings to that seed.
    whole = [cell for cell in found if set(cell.seeds) >= set(found[0].seeds)]
    found = whole if len(whole) > 1 else found
    shared = set(found[0].seeds).intersection(*(cell.seeds for cell in found))
    tried = len(attacks_of(kept))
    return [point_of(cell.of(shared) if shared else cell, tried) for cell in found]


def front(found: list[Point]) -> list[Point]:
    """The points that no other dominates, from the lowest leak and utility to the highest."""
    kept = [one for one in found if not any(other.dominates(one) for other in found)]
    return sorted(kept, key=lambda one: one.leak)


def frontier_figure(found: list[Point], look: Look) -> Figure:
    """mIoU over AUC: all defenses in one picture, dominated settings in the grey area."""
    drawn = figure(7, 4.4)
    ax = drawn.subplots()
    for family, marker in _markers(found).items():
        _settings(ax, [one for one in found if one.family == family], marker, look=look)
    ax.margins(0.09)
    ax.set_xlim(min(LEFT, ax.get_xlim()[0]), min(RIGHT, ax.get_xlim()[1]))
    optimum(ax, [one.cell for one in found])
    _strengths(ax, found, _front(ax, front(found)), look=look)
    ax.axvline(CHANCE, color=GREY, linestyle=":", linewidth=1, zorder=0)
    ax.set_xlabel("AUC of the strongest attack that adapts (0.5 is best)")
    ax.set_ylabel("mIoU on non-members, % (more is better)")
    drawn.legend(loc="outside right upper")
    return drawn


def frontier_table(found: list[Point]) -> Table:
    """The numbers of the figure, and the settings that dominate each setting."""
    columns = [
        "Defense",
        "Strongest adaptive attack",
        "Dominated by",
        "AUC [95%]",
        "mIoU non-members, % [95%]",
        "Seeds",
    ]
    rows, anchors = [_row(one, found) for one in found], [one.cell.anchor for one in found]
    return Table("Each defense under its strongest attack", TABLE, columns, rows, texts=3, anchors=anchors)


def remark(cells: list[Cell]) -> str:
    """Which attacks, defenses and seeds the points are restricted to, in sentences; '' if to none."""
    found = points(cells)
    missing = [defense_name(name) for name in defenses_of(cells) if name not in {one.defense for one in found}]
    seeds, everywhere = {tuple(one.cell.seeds) for one in found}, {seed for cell in cells for seed in cell.seeds}
    tried = comparable(cell for cell in cells if cell.adaptive or cell.defense == UNDEFENDED)
    parts = []
    if len(attacks_of(tried)) < len(attacks_of(cell for cell in cells if not cell.control)):
        parts.append(f"Tried on all settings: {', '.join(attack_name(*attack) for attack in attacks_of(tried))}.")
    if missing:
        parts.append(f"Left out, because these attacks were not adapted to them on every seed: {', '.join(missing)}.")
    if len(seeds) > 1:
        parts.append("The settings share no seed, so they differ in the model too.")
    elif seeds and set(*seeds) != everywhere:
        parts.append(f"Only over what all settings share: seed {', '.join(map(str, *seeds))}.")
    return " ".join(parts)


def point_of(cell: Cell, tried: int) -> Point:
    """The point of the strongest of `tried` attacks on a defense."""
    return Point(cell, cell.auc, cell.estimate("miou", "nonmembers"), tried)


def _row(one: Point, found: list[Point]) -> list[str]:
    dominating = (other for other in found if other.dominates(one))
    better = ", ".join(f"{defense_name(other.defense)}{'*' * one.leaks_more(other)}" for other in dominating)
    attack = attack_name(one.cell.attack, one.cell.representation)
    seeds = ", ".join(map(str, one.cell.seeds))
    return [defense_name(one.defense), attack, better or "–", str(one.auc), one.miou_text, seeds]


def _markers(found: list[Point]) -> dict[str, str]:
    """One marker for each family of defenses; a circle for the undefended model."""
    families = [one.family for one in found if one.defense != UNDEFENDED]
    return {UNDEFENDED: "o"} | {name: MARKERS[i % len(MARKERS)] for i, name in enumerate(dict.fromkeys(families))}


def _settings(ax: Axes, found: list[Point], marker: str, *, look: Look) -> None:
    """Draws one family: its settings with their intervals, joined in order of strength."""
    places = [(one.auc.value, 100 * one.miou.value) for one in found]
    for one, (x, y) in zip(found, places, strict=True):
        colour = look.colours[one.defense]
        ax.plot([one.auc.low, one.auc.high], [y, y], color=colour, linewidth=0.8, alpha=0.45)
        ax.plot([x, x], [100 * one.miou.low, 100 * one.miou.high], color=colour, linewidth=0.8, alpha=0.45)
        ax.plot(x, y, marker, color=colour, markersize=7, markeredgecolor="white", markeredgewidth=0.6, zorder=3)
    for one in found[-1:]:  # the strongest
        colour, name = look.colours[one.defense], defense_name(one.family)
        ax.plot(*zip(*places, strict=True), color=colour, linewidth=0.9)
        ax.plot([], [], f"{marker}-" if places[1:] else marker, color=colour, linewidth=0.9, label=name)


def _front(ax: Axes, kept: list[Point]) -> np.ndarray:
    """Draws the staircase above all dominated settings, to the edges of the picture; returns its corners [C, 2]."""
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    x = [min(CHANCE + one.leak, right) for one in kept]
    y = [100 * one.miou.value for one in kept]
    corners = np.array([np.repeat([*x, right], 2)[:-1], np.repeat([bottom, *y], 2)[1:]]).T
    ax.plot(*corners.T, color=GREY, linestyle=(0, (4, 2)), linewidth=1, zorder=1, label="front")
    ax.fill_between(corners[:, 0], corners[:, 1], bottom, color="#f3f3f3", zorder=0, label="dominated")
    ax.set(xlim=(left, right), ylim=(bottom, top))
    return corners


def _strengths(ax: Axes, found: list[Point], corners: np.ndarray, *, look: Look) -> None:
    """Writes each point's strength beside it, in the colour of the strongest setting."""
    strongest_of = {one.family: one.defense for one in found}
    places = [(one.auc.value, 100 * one.miou.value) for one in found]
    colours = [look.colours[strongest_of[one.family]] for one in found]
    write_beside(ax, places, [one.strength for one in found], colours=colours, line=corners)
