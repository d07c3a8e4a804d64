"""The drawings of a page: a bar for each row, ROC curves, and the defenses by leak and quality."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from mia_seg.metrics.membership import CHANCE
from mia_seg.report import svg
from mia_seg.report.cells import UNDEFENDED, Cell, Estimate, attack_name, attacker_name, defense_name
from mia_seg.report.curves import tpr
from mia_seg.report.frontier import Point, front
from mia_seg.report.shadows import curve, measure
from mia_seg.report.tables import percent

LEFT = 0.35  # where the axis of a bar starts, unless an interval reaches further
CURVES = 6  # the most curves in one drawing: one for each colour
WIDTH, HEIGHT = 400, 300
STEPS = 60


@dataclass(frozen=True)
class Chart:
    """A drawing with its title and how to read it. legend: each line or mark with its name."""

    title: str
    reading: str
    drawn: Markup
    legend: Sequence[tuple[Markup, str]] = ()


@dataclass(frozen=True)
class Mark:
    """One interval of a bar. place: the number of its shape and colour. filled: whether its mark is."""

    auc: Estimate
    place: int = 0
    filled: bool = True


def left_of(found: Sequence[Estimate]) -> float:
    """Where the axis of bars starts: left of 0.5, so that chance is not at the edge."""
    return min([LEFT, *(round(one.low - 0.02, 2) for one in found)])


def bar(marks: Sequence[Mark], left: float) -> Markup:
    """A bar of AUC intervals above each other, on an axis from `left` to 1. The row beside it holds the numbers."""
    lane = 16
    parts = [svg.line(_at(CHANCE, left), 0, _at(CHANCE, left), "100%", "chance")]
    for row, mark in enumerate(marks):
        y = lane * row + lane // 2 + 2
        interval = svg.line(_at(mark.auc.low, left), y, _at(mark.auc.high, left), y, "interval")
        shape = svg.shape(mark.place, _at(mark.auc.value, left), y, filled=mark.filled)
        parts.append(svg.tag("g", interval, shape, class_=svg.hue(mark.place)))
    height = lane * max(1, len(marks)) + 4
    return svg.tag("svg", *parts, class_="bar", width="100%", height=height, aria_hidden="true")


def scale(left: float) -> Markup:
    """The axis above bars."""
    texts = [svg.tag("text", f"{t:g}", x=_at(t, left), y=11, text_anchor="middle") for t in (0.5, 0.75)]
    texts.append(svg.tag("text", "1", x="100%", y=11, text_anchor="end"))
    return svg.tag("svg", *texts, class_="bar", width="100%", height=14, aria_hidden="true")


def roc(cells: Sequence[Cell], title: str, names: Sequence[str]) -> Chart:
    """ROC curves on logarithmic axes: a line for each cell, averaged over seeds; at most CURVES of them."""
    shown = list(cells)[:CURVES]
    least = min([0.1, *(1 / run["n_nonmember_groups"] for cell in shown for run in cell.runs)])
    x, y = svg.Axis(least, 1, 52, 390, log=True), svg.Axis(least, 1, HEIGHT - 44, 10, log=True)
    grid = np.geomspace(least, 1, STEPS)
    parts = [svg.axes(x, y, (_decades(least), _decades(least)), names=("False positive rate", "True positive rate"))]
    parts.append(svg.line(x(least), y(least), x(1), y(1), "chance"))
    for place, cell in enumerate(shown):
        mean = np.mean([tpr(run, grid) for run in cell.runs], 0)
        path = svg.polyline([x(v) for v in grid], [y(v) for v in mean], class_=f"curve d{place}")
        parts.append(svg.tag("g", path, class_=svg.hue(place)))
    told = "; ".join(f"{name}: AUC {cell.auc}" for name, cell in zip(names, shown, strict=False))
    legend = [(svg.swatch(place), name) for place, name in enumerate(names[: len(shown)])]
    reading = (
        "TPR over FPR, both on a logarithmic scale. The dotted line is a coin flip, and a curve above it finds "
        "members. The axis begins at one non-member: no smaller FPR can be measured."
    )
    return Chart(title, reading, svg.picture(WIDTH, HEIGHT, *parts, label=f"{title}. {told}."), legend)


def named(cell: Cell, *, defense: bool) -> str:
    """The name of the cell's attack; with `defense`, that of the defense and the attack on it."""
    attack = attack_name(cell.attack, cell.representation)
    if not defense:
        return attack
    kind = "" if cell.defense == UNDEFENDED else f", {attacker_name(cell.defense, cell.adaptive)}"
    return f"{defense_name(cell.defense)}: {attack}{kind}"


def frontier(points: Sequence[Point], remark: str = "") -> Chart:
    """mIoU over the AUC of the strongest adaptive attack: a point for each setting, a line for each defense.

    remark: a note on the attacks and seeds of the points.
    """
    families = list(dict.fromkeys(one.family for one in points if one.defense != UNDEFENDED))
    left = min([0.48, *(round(one.auc.low - 0.02, 2) for one in points)])
    mious = [100 * end for one in points for end in (one.miou.low, one.miou.high)]
    low, high = 5 * np.floor(min(mious) / 5), 5 * np.ceil(max(mious) / 5 + 0.1)
    x, y = svg.Axis(left, 1.02, 52, 390), svg.Axis(float(low), float(high), HEIGHT - 44, 10)
    ticks = [t / 10 for t in range(11) if t / 10 >= left], np.arange(low, high + 1, 5).tolist()
    parts = [svg.axes(x, y, ticks, names=("AUC of the strongest attack that adapts", "mIoU on unseen images, %"))]
    parts += [svg.line(x(CHANCE), y.start, x(CHANCE), y.end, "chance"), _front(list(points), x, y)]
    for place, family in enumerate([UNDEFENDED, *families]):
        parts.append(_family([one for one in points if _of(one, family)], place, (x, y)))
    label = "Leak against quality. " + "; ".join(told(one) for one in points)
    legend = [(svg.swatch(place, mark=True), defense_name(name)) for place, name in enumerate([UNDEFENDED, *families])]
    reading = (
        "Further left leaks less, further up segments better. A point is one setting of a defense, with 95% intervals. "
        "Lines join the settings of one defense. The dashed staircase is the front. Settings below and right of it are "
        "dominated: another leaks no more and segments no worse. The strongest attack was chosen after the fact, which "
        "makes the attacker look stronger than it is."
    )
    drawn = svg.picture(WIDTH, HEIGHT, *parts, label=label, role="group")
    return Chart("Defenses by leak and quality", f"{reading} {remark}".rstrip(), drawn, legend)


def grown(found: Sequence[Cell]) -> Chart:
    """AUC over the number of shadows trained, with a line for each attack."""
    shown = list(found)[:CURVES]
    names = [attack_name(cell.attack, cell.representation) for cell in shown]
    aucs = [{n: auc for n, measured in curve(cell).items() if (auc := measure(cell, measured))} for cell in shown]
    numbers = sorted({n for one in aucs for n in one})
    x, y = svg.Axis(numbers[0], numbers[-1], 52, 390, log=True), svg.Axis(0.4, 1, HEIGHT - 44, 10)
    parts = [svg.axes(x, y, (numbers, [0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1]), names=("Shadows trained", "AUC"))]
    parts.append(svg.line(x.start, y(CHANCE), x.end, y(CHANCE), "chance"))
    for place, one in enumerate(aucs):
        lines = [svg.line(x(n), y(auc.low), x(n), y(auc.high), "interval thin") for n, auc in one.items()]
        path = svg.polyline(map(x, one), [y(auc.value) for auc in one.values()], class_=f"curve d{place}")
        parts.append(svg.tag("g", *lines, path, class_=svg.hue(place)))
    told_ = "; ".join(f"{name}: {_by_number(one)}" for name, one in zip(names, aucs, strict=True))
    reading = (
        "AUC on the undefended model with fewer shadows, with 95% intervals. A line begins at the fewest shadows that "
        "its attack can use."
    )
    drawn = svg.picture(WIDTH, HEIGHT, *parts, label=f"What more shadows add. {told_}.")
    legend = [(svg.swatch(place), name) for place, name in enumerate(names)]
    return Chart("What more shadows add", reading, drawn, legend)


def _by_number(aucs: dict[int, Estimate]) -> str:
    return ", ".join(f"{n} shadows {auc}" for n, auc in aucs.items())


def sliders(points: Sequence[Point]) -> list[tuple[str, list[str], int]]:
    """For each defense of several strengths: its name, its settings in words, and its place among the defenses."""
    families = list(dict.fromkeys(one.family for one in points if one.defense != UNDEFENDED))
    mine = [[one for one in points if one.family == family] for family in families]
    return [
        (defense_name(family), [told(one) for one in found], place)
        for place, (family, found) in enumerate(zip(families, mine, strict=True), 1)
        if len(found) > 1
    ]


def told(one: Point) -> str:
    """A setting with its AUC and mIoU in words."""
    miou = f"[{percent(one.miou.low)}, {percent(one.miou.high)}]"
    return f"{defense_name(one.defense)}: AUC {one.auc}, mIoU {percent(one.miou.value)}% {miou}"


def _of(one: Point, family: str) -> bool:
    return one.defense == UNDEFENDED if family == UNDEFENDED else one.family == family and one.defense != UNDEFENDED


def _family(found: Sequence[Point], place: int, at: tuple[svg.Axis, svg.Axis]) -> Markup:
    x, y = at
    spots = [(x(one.auc.value), y(100 * one.miou.value)) for one in found]
    parts = [svg.polyline(*zip(*spots, strict=True), class_="joined")] if len(spots) > 1 else []
    for step, (one, (across, up)) in enumerate(zip(found, spots, strict=True)):
        lines = svg.line(x(one.auc.low), up, x(one.auc.high), up, "interval thin")
        lines += svg.line(across, y(100 * one.miou.low), across, y(100 * one.miou.high), "interval thin")
        text = _strength(one.strength, across, up, left=bool(place % 2))
        link = svg.tag("a", svg.shape(place, across, up), href=f"#{one.cell.anchor}", aria_label=told(one))
        parts.append(svg.tag("g", lines, link, text, class_="setting", data_at=f"{place}-{step}"))
    return svg.tag("g", *parts, class_=svg.hue(place))


def _strength(text: str, x: float, y: float, *, left: bool) -> Markup:
    """The strength of a setting beside its point. Neighbouring defenses write on different sides."""
    side = {"x": x - 8, "text_anchor": "end"} if left else {"x": x + 8}
    return svg.tag("text", text, y=y + (13 if left else -6), class_="strength", **side) if text else Markup("")


def _front(points: list[Point], x: svg.Axis, y: svg.Axis) -> Markup:
    kept = front(points)
    across = np.repeat([*(x(CHANCE + one.leak) for one in kept), x.end], 2)[:-1]
    up = np.repeat([y.start, *(y(100 * one.miou.value) for one in kept)], 2)[1:]
    return svg.polyline(across.tolist(), up.tolist(), class_="front")


def _decades(least: float) -> list[float]:
    return [value for value in (0.001, 0.01, 0.1, 1.0) if value >= least] or [1.0]


def _at(value: float, left: float) -> str:
    return f"{100 * (value - left) / (1 - left):.1f}%"
