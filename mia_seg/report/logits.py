"""Histograms of an attack's scores of members and of non-members behind each defense (thesis figure 7.8)."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from mia_seg.report.cells import (
    SCREEN,
    UNDEFENDED,
    Cell,
    attack_name,
    attacker_name,
    defense_name,
    defenses_of,
    strongest,
)
from mia_seg.report.histograms import Panel, histogram_figure
from mia_seg.report.style import wrapped

PATCH = "patch_resnet50"
BINS = 20
# The share of scores at each end that the outermost bins take in: a single score far out would narrow all others.
TAIL = 0.005
READING = (
    "An attack's score (right), and the share of members and of non-members that have it (up). The further the two "
    "histograms lie apart, the larger the leak. AUC measures this on any scale. The patch attack's score is the mean "
    "log-odds of “member” over patches, before the softmax, unless it averages probabilities. The dotted line, one "
    "for each seed, is the threshold: to the right of it the attacker says “member”. The attacker chose the threshold "
    "on its own shadow, so on a defended victim it may lie outside. Every panel has its own scale, and its outermost "
    "bins hold all scores beyond them."
)


def shown(cells: Sequence[Cell]) -> list[Cell]:
    """The image-level cells of one attack, in their order: the strongest patch attack, or the strongest attack at all.

    cells: of one shadow. The strongest is that on the undefended model. Empty if no result keeps scores.
    """
    kept = [cell for cell in cells if cell.level == "image" and all(run["scores"] is not None for run in cell.runs)]
    bare = [cell for cell in kept if cell.defense == UNDEFENDED]
    best = strongest(bare, lambda cell: cell.attack == PATCH) or strongest(bare)
    return [c for c in kept if best and (c.attack, c.representation) == (best.attack, best.representation)]


def left_out(found: Sequence[Cell], cells: Sequence[Cell]) -> str:
    """Names the defenses on which the attack was tried, but whose results keep no scores; '' if there are none."""
    attack, there = (found[0].attack, found[0].representation), {cell.defense for cell in found}
    met = (cell for cell in cells if cell.level == "image" and (cell.attack, cell.representation) == attack)
    missing = [defense_name(name) for name in defenses_of(met) if name not in there]
    return f"Measured before scores were kept: {', '.join(missing)}." if missing else ""


def logits_figure(found: Sequence[Cell]) -> Figure:
    """A panel for each cell of `shown`, with means over seeds."""
    name = attack_name(found[0].attack, found[0].representation)
    return histogram_figure([_panel(cell) for cell in found], wrapped(f"Score of a scene by {name}", 44), "Scenes, %")


def _panel(cell: Cell) -> Panel:
    scores = [run["scores"] for run in cell.runs]
    edges = _edges(np.concatenate([one.scores_N for one in scores]))
    sides = [[_shares(one.scores_N[one.members_N == side], edges) for one in scores] for side in (True, False)]
    title = defense_name(cell.defense)
    if cell.defense != UNDEFENDED:
        title += f"\n{attacker_name(cell.defense, cell.adaptive)}"
    # Without a shadow each scene has a threshold of its own, so there is no line to draw.
    marks = [run["threshold"] for run in cell.runs if run["adversary"] != SCREEN]
    return Panel(title, f"AUC\n{cell.auc}", np.mean(sides, 1), edges, marks)


def _edges(scores: np.ndarray) -> np.ndarray:
    low, high = np.quantile(scores, [TAIL, 1 - TAIL])
    if low == high:
        low, high = low - 0.5, high + 0.5
    return np.linspace(low, high, BINS + 1)


def _shares(scores_N: np.ndarray, edges: np.ndarray) -> np.ndarray:
    counts = np.histogram(scores_N.clip(edges[0], edges[-1]), edges)[0]
    return np.asarray(counts / len(scores_N))
