"""The figure of exposed groups in a fleet's own audit: each group's AUC over victims, with its null band."""

import numpy as np
from matplotlib.figure import Figure

from mia_seg.evaluate.fleet import FleetAudit
from mia_seg.report import style
from mia_seg.report.style import GREY, INK

BAND, WITHIN, EXPOSED = "#e2e2e2", GREY, "#d55e00"


def exposure_figure(audit: FleetAudit) -> Figure:
    """The groups from the lowest AUC to the highest, on grey null bands: the middle 95% of AUCs after shuffles."""
    found = audit.found
    order_U, places_U = np.argsort(found.auc_U, kind="stable"), np.arange(len(found.auc_U))
    low_U, high_U = (end_U[order_U] for end_U in found.band_U)
    drawn = style.figure(7, 3.4)
    ax = drawn.subplots()
    ax.fill_between(places_U, low_U, high_U, step="mid", color=BAND, linewidth=0, label="95% of shuffles")
    for name, (colour, kept_U) in _kinds(audit).items():
        shown_U, label = kept_U[order_U], f"{name} ({kept_U.sum()})"
        ax.plot(places_U[shown_U], found.auc_U[order_U][shown_U], "o", color=colour, markersize=3, label=label)
    what = "scenes" if max(audit.described.scenes.values()) == 1 else "groups of scenes"
    ax.set(xlabel=f"{what}, sorted by AUC", ylabel="AUC, each model the victim in turn", ylim=(-0.03, 1.03))
    drawn.legend(loc="outside upper center", ncols=4)
    return drawn


def exposure_png(audit: FleetAudit) -> bytes:
    """The figure as a PNG."""
    with style.styled():
        return style.png(style.settle(exposure_figure(audit)))


def _kinds(audit: FleetAudit) -> dict[str, tuple[str, np.ndarray]]:
    """The groups within their band, above it, and exposed; a single kind if there are too few models to tell."""
    above_U, exposed_U = audit.found.above_U, audit.found.exposed_U()
    if exposed_U is None:
        return {"too few models to tell": (WITHIN, np.ones_like(above_U))}
    kinds = {"within": (WITHIN, ~above_U & ~exposed_U), "above": (INK, above_U & ~exposed_U)}
    return kinds | {"exposed": (EXPOSED, exposed_U)}
