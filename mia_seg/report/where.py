"""Where in the scenes the leak is: the AUC of the image loss on each class, band, object size and region alone."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from mia_seg.metrics.intervals import Floats
from mia_seg.metrics.membership import CHANCE
from mia_seg.report.cells import UNDEFENDED, Estimate, Row, pooled, shared
from mia_seg.report.galleries import EVIDENCE
from mia_seg.report.style import GREY, INK, figure, named
from mia_seg.report.tables import OVER_SEEDS, Table

CUTS = {"class": "By class", "band": "By distance to label edges", "size": "By size of object"}
REGION = "region"
MEANS = (
    "AUC of the image loss on the undefended model, on one part of each scene alone. Parts are the pixels of a class, "
    "those near label edges (boundary) or away from them (interior), those of small, medium or large objects, and "
    "ninths of the image. "
)
LIMITS = (
    "Only scenes with a pixel of the part are compared. Intervals are not corrected for their number: of twenty parts "
    "that leak nothing, one interval is expected to miss 0.5. Few pixels make a noisy loss, so a lower AUC is not "
    "always a smaller leak."
)
READING = (
    f"{MEANS}Dotted: 0.5, a coin flip. Dashed: whole scenes. In parentheses: the members + non-members that have the "
    f"part. {LIMITS} Small dots are single seeds."
)
TABLE = (
    f"{MEANS}{LIMITS} A dash: fewer than two independent scenes on a side have the part, too few for an interval. "
    f"Members and non-members are the scenes that have the part, from the seed with the fewest to the seed with the "
    "most. "
    f"{OVER_SEEDS}"
)
LONGEST = 40  # characters of a class's name
LEFT, RIGHT = 0.35, 1.02
NARROWEST = 0.05  # the smallest half range of the colours of regions: chance alone must not look like a leak


@dataclass(frozen=True)
class Part:
    """A part of the scenes. runs: by seed, its entry in the results' `where`. auc: over seeds; None if none has any."""

    cut: str
    name: str
    runs: dict[int, Row]
    auc: Estimate | None

    @property
    def measured(self) -> dict[int, Row]:
        """The runs with enough scenes for an interval."""
        return {seed: run for seed, run in self.runs.items() if run["auc"] is not None}

    @property
    def words(self) -> str:
        """The part in words: 'region 00' of an image is its 'upper left'."""
        if self.cut != REGION:
            return self.name
        row, column = (int(digit) for digit in self.name[-2:])
        return f"{('upper', 'middle', 'lower')[row]} {('left', 'centre', 'right')[column]}"

    @property
    def counts(self) -> tuple[str, str]:
        """The numbers of members and of non-members that have the part, in words."""
        sides = [[run[side] for run in self.runs.values()] for side in ("members", "nonmembers")]
        members, nonmembers = (f"{min(n)}–{max(n)}" if min(n) < max(n) else str(n[0]) for n in sides)
        return members, nonmembers


def shown(rows: Iterable[Row]) -> list[Row]:
    """The rows of one victim with its parts, one for each seed: the image loss on the undefended model.

    The shadow only sets the threshold of the image loss, which an AUC does not need. But an A2 shadow may lack classes,
    so A1 is preferred. Empty if all results are older than the measurement of parts.
    """
    kept = [
        row
        for row in rows
        if (row["attack"], row["representation"], row["defense"]) == ("image_loss", "", UNDEFENDED) and row["where"]
    ]
    by_seed = {row["seed"]: row for row in sorted(kept, key=lambda r: (r["adversary"], r["shadow"]), reverse=True)}
    return [by_seed[seed] for seed in sorted(by_seed)]


def parts(rows: Sequence[Row]) -> list[Part]:
    """The parts, cut by cut. In each cut the largest AUC comes first, and parts without one come last."""
    runs: dict[tuple[str, str], dict[int, Row]] = {}
    for row in rows:
        for one in row["where"]:
            runs.setdefault((one["cut"], one["part"]), {})[row["seed"]] = one
    order = [*CUTS, REGION]
    related = shared(rows)
    found = [Part(cut, name, mine, _over_seeds(rows, mine, related)) for (cut, name), mine in runs.items()]
    return sorted(found, key=lambda part: (order.index(part.cut), -part.auc.value if part.auc else 0.0, part.name))


def _over_seeds(rows: Sequence[Row], mine: dict[int, Row], related: Floats | None) -> Estimate | None:
    """The AUC of a part over the seeds with enough scenes for an interval; None if there are none."""
    seeds = [row["seed"] for row in rows]
    kept = [k for k, seed in enumerate(seeds) if seed in mine and mine[seed]["auc"] is not None]
    found = [mine[seeds[k]] for k in kept]
    those = None if related is None else related[np.ix_(kept, kept)]
    return pooled([Estimate(one["auc"], one["low"], one["high"]) for one in found], those) if kept else None


def named_part(part: Part) -> str:
    """The part and its cut in words: 'upper left (region)'."""
    return f"{part.words} ({part.cut})"


def where_figure(rows: list[Row]) -> Figure:
    """The figure of parts: intervals of classes, bands and sizes below each other, a grid of regions beside them."""
    found, whole = [part for part in parts(rows) if part.auc], _whole(rows)
    by_cut = {cut: [part for part in found if part.cut == cut] for cut in CUTS}
    heights = [max(1, len(mine)) + 1 for mine in by_cut.values()]
    drawn = figure(8.6, 0.9 + 0.19 * sum(heights))
    grid = drawn.add_gridspec(len(CUTS), 2, height_ratios=heights, width_ratios=(1.6, 1))
    first = None
    for place, (cut, mine) in enumerate(by_cut.items()):
        ax = first = drawn.add_subplot(grid[place, 0], sharex=first)
        _intervals(ax, mine, whole)
        ax.set_title(CUTS[cut], fontweight="bold", loc="left")
        ax.tick_params(labelbottom=place == len(CUTS) - 1)
    ax.set_xlim(min([LEFT, *(part.auc.low - 0.02 for part in found if part.auc)]), RIGHT)
    ax.set_xlabel("AUC")
    _regions(drawn.add_subplot(grid[:, 1]), [part for part in found if part.cut == REGION])
    return drawn


def where_tables(rows: list[Row]) -> list[Table]:
    """The table of the figure's numbers, with the parts that had too few scenes; empty without rows."""
    if not rows:
        return []
    body = [
        [part.cut, part.words, str(part.auc or "–"), *part.counts, ", ".join(map(str, part.measured)) or "–"]
        for part in parts(rows)
    ]
    columns = ["Cut", "Part", "AUC [95%]", "Members", "Non-members", "Seeds"]
    return [Table("The image loss, part by part", TABLE, columns, body, texts=2)]


def note(rows: list[Row]) -> str:
    """The note below the figure: its seeds, the AUC of whole scenes, and the parts that it leaves out."""
    seeds = ", ".join(str(row["seed"]) for row in rows)
    few = [part.words for part in parts(rows) if not part.auc]
    left_out = f" In too few scenes for an interval: {', '.join(few)}." if few else ""
    kind = f"Seed {seeds}." if len(rows) == 1 else f"Mean of seeds {seeds}."
    return f"{kind} Whole scenes: AUC {_whole(rows)}.{left_out}"


def _whole(rows: list[Row]) -> Estimate:
    return pooled([Estimate(row["auc"], row["auc_low"], row["auc_high"]) for row in rows], shared(rows))


def _intervals(ax: Axes, mine: list[Part], whole: Estimate) -> None:
    ax.axvline(CHANCE, color=GREY, linestyle=":", linewidth=1)
    ax.axvline(whole.value, color=INK, linestyle="--", linewidth=1)
    for y, part in enumerate(mine):
        assert part.auc is not None
        ax.plot([part.auc.low, part.auc.high], [y, y], color=INK, linewidth=1.6, solid_capstyle="butt")
        ax.plot(part.auc.value, y, "o", color=INK, markersize=5)
        if len(part.measured) > 1:
            ax.plot(
                [run["auc"] for run in part.measured.values()], [y] * len(part.measured), ".", color=GREY, markersize=4
            )
    ax.set_yticks(range(len(mine)), [f"{named(part.name, LONGEST)} ({' + '.join(part.counts)})" for part in mine])
    ax.set_ylim(max(1, len(mine)) - 0.5, -0.5)
    ax.grid(axis="y", color="#eeeeee")
    ax.set_axisbelow(True)


def _regions(ax: Axes, mine: list[Part]) -> None:
    """Draws the ninths of the image in their places, with AUC and interval; grey if there are too few scenes."""
    values, aucs = np.full((3, 3), np.nan), {part.name[-2:]: part.auc for part in mine if part.auc}
    for place, auc in aucs.items():
        values[int(place[0]), int(place[1])] = auc.value
    end = max([NARROWEST, *(abs(auc.value - CHANCE) for auc in aucs.values())])
    ax.imshow(values, cmap=colormaps[EVIDENCE].with_extremes(bad="#eeeeee"), norm=Normalize(CHANCE - end, CHANCE + end))
    for row, column in np.ndindex(3, 3):
        told = aucs.get(f"{row}{column}")
        text = str(told).replace(" [", "\n[") if told else "–"
        dark = told and abs(told.value - CHANCE) > 0.7 * end
        ax.text(column, row, text, ha="center", va="center", fontsize=8, color="white" if dark else INK)
    ax.set(xticks=[], yticks=[])
    ax.set_title("By region of the image", fontweight="bold", loc="left")
