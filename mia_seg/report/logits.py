"""What an attacker's scores of members and of others are behind each defense (thesis figure 7.8)."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from mia_seg.report.cells import UNDEFENDED, Cell, attack_name, attacker_name, defense_name, defenses_of, strongest
from mia_seg.report.histograms import Panel, histogram_figure

PATCH = "patch_resnet50"
BINS = 20
TAIL = 0.005  # of all scores on either side are drawn in the outermost bins: one far out would narrow the others
READING = (
    "The scores (right) that an attack gives to what share of members and of non-members (up). The further the two lie "
    "apart, the larger the leak; AUC measures that on any scale. The patch attack's score is the mean log-odds of "
    "“member” over patches, before the softmax, unless it averages probabilities. From the dotted line on, one a seed, "
    "the attacker says “member”: it chose that on its own shadow, and on a defended victim it may lie outside. Every "
    "panel has its own scale, and its outermost bins hold what lies beyond them."
)


def shown(cells: Sequence[Cell]) -> list[Cell]:
    """The cells of one attack on images, in their order: the patch attack where there is one, else the strongest.

    cells: of one shadow. Of several that qualify the strongest without a defense; empty where no result keeps scores.
    """
    kept = [cell for cell in cells if cell.level == "image" and all(run["scores"] is not None for run in cell.runs)]
    bare = [cell for cell in kept if cell.defense == UNDEFENDED]
    best = strongest(bare, lambda cell: cell.attack == PATCH) or strongest(bare)
    return [c for c in kept if best and (c.attack, c.representation) == (best.attack, best.representation)]


def left_out(found: Sequence[Cell], cells: Sequence[Cell]) -> str:
    """Names the defenses that the attack met and whose results keep no scores; empty where there are none."""
    attack, there = (found[0].attack, found[0].representation), {cell.defense for cell in found}
    met = (cell for cell in cells if cell.level == "image" and (cell.attack, cell.representation) == attack)
    missing = [defense_name(name) for name in defenses_of(met) if name not in there]
    return f"Measured before scores were kept: {', '.join(missing)}." if missing else ""


def logits_figure(found: Sequence[Cell]) -> Figure:
    """A panel a cell of `shown`; the mean over seeds."""
    name = attack_name(found[0].attack, found[0].representation)
    return histogram_figure([_panel(cell) for cell in found], f"Score of a scene by {name}", "Scenes, %")


def _panel(cell: Cell) -> Panel:
    scores = [run["scores"] for run in cell.runs]
    edges = _edges(np.concatenate([one.scores_N for one in scores]))
    sides = [[_shares(one.scores_N[one.members_N == side], edges) for one in scores] for side in (True, False)]
    title = defense_name(cell.defense)
    if cell.defense != UNDEFENDED:
        title += f"\n{attacker_name(cell.defense, cell.adaptive)}"
    # Without a shadow each scene is judged at a threshold of its own.
    marks = [run["threshold"] for run in cell.runs if run["adversary"] != "screen"]
    return Panel(title, f"AUC\n{cell.auc}", np.mean(sides, 1), edges, marks)


def _edges(scores: np.ndarray) -> np.ndarray:
    low, high = np.quantile(scores, [TAIL, 1 - TAIL])
    if low == high:
        low, high = low - 0.5, high + 0.5
    return np.linspace(low, high, BINS + 1)


def _shares(scores_N: np.ndarray, edges: np.ndarray) -> np.ndarray:
    counts = np.histogram(scores_N.clip(edges[0], edges[-1]), edges)[0]
    return np.asarray(counts / len(scores_N))
