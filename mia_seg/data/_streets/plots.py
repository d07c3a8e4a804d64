"""The rows along a street: houses, walls, fences, hedges, lawns and trees on either side, and what lies behind."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mia_seg.data._streets.canvas import BUILDING, FENCE, PAVEMENT, TERRAIN, VEGETATION, WALL, Canvas, Floats
from mia_seg.data._streets.dice import RGB, Dice, mixed, scaled
from mia_seg.data._streets.green import paint_bush, paint_tree
from mia_seg.data._streets.ground import GRASS, PAVING, strip
from mia_seg.data._streets.houses import WALLS, draw_house, paint_house
from mia_seg.data._streets.plan import FAR, Plan

# How often a plot of each kind follows in each kind of street.
PLOTS: dict[str, dict[str, float]] = {
    "centre": {"block": 10, "gap": 0.5, "wall": 0.8, "fence": 0.7, "park": 0.9},
    "suburb": {"house": 6, "hedge": 1, "wall": 0.8, "fence": 1, "park": 1.6, "gap": 0.4},
    "avenue": {"block": 4, "house": 1.5, "park": 3, "hedge": 1, "wall": 0.7, "fence": 1, "gap": 0.6},
    "edge": {"hall": 2, "park": 3, "wall": 1.6, "fence": 2, "gap": 2.5, "hedge": 1, "house": 0.8},
}
FENCES: tuple[RGB, ...] = ((70, 74, 72), (120, 116, 110), (150, 120, 84), (190, 190, 186), (60, 80, 60), (96, 70, 50))
STONES: tuple[RGB, ...] = ((140, 134, 126), (160, 154, 146), (120, 108, 98), (150, 96, 78), (176, 168, 150))


@dataclass(frozen=True)
class Plot:
    """A piece of one side of the street, from depth `near` to `far`."""

    kind: str
    side: int
    near: float
    far: float
    front: float  # distance of its street edge from the road's middle line


def _draw(dice: Dice, street: Plan) -> list[Plot]:
    """Both sides' plots, from far to near."""
    plots = [plot for side in (-1, 1) for plot in _row(dice, street, side)]
    return sorted(plots, key=lambda plot: -plot.near)


def _row(dice: Dice, street: Plan, side: int) -> list[Plot]:
    plots, z, kind = [], dice.between(-12, 2), "park"
    while z < FAR:
        # A plot tends to be like its neighbour, as rows of houses and long fences are.
        kind = kind if dice.chance(0.35) else dice.weighted(PLOTS[street.kind])
        long = dice.between(9, 26) if kind in ("block", "hall") else dice.between(7, 18)
        alley = dice.between(1.5, 5) if kind == "house" else 0.0
        cut = z < street.junction + 8 and z + long > street.junction
        far = street.junction if cut else z + long
        if far > z + 2:
            plots.append(Plot(kind, side, z, far, street.front))
        z = street.junction + 8 if cut else far + alley
    return plots


def _lawn(canvas: Canvas, dice: Dice, plot: Plot, *, paved: float = 0.15) -> None:
    label, colours = (PAVEMENT, PAVING) if dice.chance(paved) else (TERRAIN, GRASS)
    near = max(plot.near, 0.4)
    ground = strip(plot.side * plot.front, plot.side * (plot.front + 150), near, far=plot.far)
    canvas.ground(ground, dice.near(dice.pick(colours)), label)


def _block(canvas: Canvas, dice: Dice, plot: Plot) -> None:
    paint_house(canvas, dice, draw_house(dice, plot.side, plot.near, far=plot.far, front=plot.front, tall=True))


def _hall(canvas: Canvas, dice: Dice, plot: Plot) -> None:
    """A low, long building behind a yard: a warehouse, a petrol station."""
    _lawn(canvas, dice, plot, paved=0.6)
    setback = plot.front + dice.between(2, 12)
    paint_house(canvas, dice, draw_house(dice, plot.side, plot.near, far=plot.far, front=setback, tall=False))


def _garden_house(canvas: Canvas, dice: Dice, plot: Plot) -> None:
    _lawn(canvas, dice, plot)
    setback = dice.between(1.5, 6)
    paint_house(
        canvas, dice, draw_house(dice, plot.side, plot.near, far=plot.far, front=plot.front + setback, tall=False)
    )
    for _ in range(dice.whole(0, 2)):
        x = plot.front + dice.between(0.6, setback)
        paint_bush(canvas, dice, plot.side * x, z=dice.between(plot.near, plot.far), size=dice.between(0.6, 2.2))
    dice.pick((_hedge_row, _fence_row, _wall_row, _nothing))(canvas, dice, plot, height=1.1)


def _nothing(canvas: Canvas, dice: Dice, plot: Plot, *, height: float) -> None:
    """An open front garden."""
    del canvas, dice, plot, height


def _walled(canvas: Canvas, dice: Dice, plot: Plot) -> None:
    _park(canvas, dice, plot)
    _wall_row(canvas, dice, plot, height=dice.between(1.2, 4.0))


def _fenced(canvas: Canvas, dice: Dice, plot: Plot) -> None:
    _park(canvas, dice, plot)
    _fence_row(canvas, dice, plot, height=dice.between(0.9, 2.2))


def _hedge(canvas: Canvas, dice: Dice, plot: Plot) -> None:
    _lawn(canvas, dice, plot)
    _hedge_row(canvas, dice, plot, height=dice.between(1.0, 3.0))


def _gap(canvas: Canvas, dice: Dice, plot: Plot) -> None:
    _lawn(canvas, dice, plot, paved=0.4)


def _park(canvas: Canvas, dice: Dice, plot: Plot) -> None:
    _lawn(canvas, dice, plot)
    spots = [(dice.between(2, 22), dice.between(plot.near, plot.far)) for _ in range(dice.whole(1, 5))]
    for x, z in sorted(spots, key=lambda spot: -spot[1]):
        if z < 2:
            continue
        if dice.chance(0.3):
            paint_bush(canvas, dice, plot.side * (plot.front + x), z=z, size=dice.between(0.8, 2.5))
        else:
            paint_tree(canvas, dice, plot.side * (plot.front + x), z=z, height=dice.between(5, 14))


def _edge(plot: Plot, near: float, far: float, *, low: float, high: float) -> Floats:
    """An upright rectangle along the plot's street edge."""
    x = plot.side * (plot.front + 0.1)
    return np.array(((x, low, near), (x, low, far), (x, high, far), (x, high, near)))


def _along(canvas: Canvas, plot: Plot) -> float:
    return 0.92 - 0.3 * canvas.air.sun * canvas.air.sunny * plot.side


def _wall_row(canvas: Canvas, dice: Dice, plot: Plot, *, height: float) -> None:
    """A free-standing wall with courses, a cap, and sometimes the plaster or graffiti of a house."""
    light, near = _along(canvas, plot), max(plot.near, 0.5)
    stone = dice.near(dice.pick(WALLS if dice.chance(0.3) else STONES))
    canvas.face(_edge(plot, near, plot.far, low=0, high=height), stone, WALL, light=light)
    for y in np.arange(0.4, height, dice.between(0.4, 0.9)).tolist():
        canvas.face(_edge(plot, near, plot.far, low=y, high=y + 0.05), scaled(stone, 0.8), None, light=light)
    canvas.face(_edge(plot, near, plot.far, low=height - 0.12, high=height), scaled(stone, 1.2), None, light=light)
    if dice.chance(0.3):
        z = dice.between(near, plot.far)
        tag = dice.near((128, 90, 140), 50)
        canvas.face(_edge(plot, z, z + 2, low=0.3, high=height * 0.7), tag, None, light=light, alpha=150)


def _fence_row(canvas: Canvas, dice: Dice, plot: Plot, *, height: float) -> None:
    """Boards, or bars that leave the garden visible: all of it is labelled fence."""
    light, near = _along(canvas, plot), max(plot.near, 0.8)
    colour = dice.near(dice.pick(FENCES))
    area = _edge(plot, near, plot.far, low=0, high=height)
    if dice.chance(0.3):
        canvas.face(area, colour, FENCE, light=light)
    else:
        canvas.mark(area, FENCE)
        canvas.face(area, colour, None, light=light, alpha=dice.whole(50, 130))
    for y in (height * 0.15, height - 0.1):
        canvas.face(_edge(plot, near, plot.far, low=y, high=y + 0.08), colour, None, light=light)
    step = dice.between(0.25, 0.6)
    for z in np.arange(near, min(plot.far, 45), step).tolist():
        shade = scaled(colour, dice.between(0.6, 1.1))
        canvas.face(_edge(plot, z, z + 0.35 * step, low=0, high=height), shade, None, light=light)


def _hedge_row(canvas: Canvas, dice: Dice, plot: Plot, *, height: float) -> None:
    light, near = _along(canvas, plot), max(plot.near, 0.8)
    green = dice.near(canvas.air.green, 10)
    canvas.face(_edge(plot, near, plot.far, low=0, high=height * 0.9), scaled(green, 0.75), VEGETATION, light=light)
    # Further away the tufts merge, so they may stand further apart.
    z = plot.far
    while z > max(near, 1.5):
        tuft = dice.between(0.3, 0.5) * height
        paint_bush(canvas, dice, plot.side * (plot.front + 0.2), z=z, size=tuft, base=height - tuft, green=green)
        z -= 0.4 + z / 12


def paint_skyline(canvas: Canvas, dice: Dice, street: Plan) -> None:
    """What closes the view at the end of the street: hills, roofs or woods."""
    label, colour = dice.weighted(
        {
            (VEGETATION, canvas.air.green): 3.0,
            (BUILDING, dice.pick(WALLS)): 4.0 if street.kind == "centre" else 2.0,
            (TERRAIN, (110, 116, 84)): 0.4,
        }
    )
    n, depth = 26, FAR * 1.15
    x = np.linspace(-2.2, 2.2, n) * depth
    rough = dice.rng.uniform(4, 22, n) if label == BUILDING else 8 + np.cumsum(dice.rng.normal(0, 1.6, n))
    top = np.maximum(rough, 2.0)
    if label == BUILDING:
        x, top = np.repeat(x, 2)[1:], np.repeat(top, 2)[:-1]
    crest = np.stack((x, top, np.full_like(x, depth)), -1)
    foot = np.array(((x[-1], -6.0, depth), (x[0], -6.0, depth)))
    canvas.face(np.concatenate((crest, foot)), mixed(colour, canvas.air.haze, 0.1), label, light=0.84)


PAINT: dict[str, Callable[[Canvas, Dice, Plot], None]] = {
    "block": _block,
    "hall": _hall,
    "house": _garden_house,
    "wall": _walled,
    "fence": _fenced,
    "hedge": _hedge,
    "park": _park,
    "gap": _gap,
}


def paint_plots(canvas: Canvas, dice: Dice, street: Plan) -> None:
    """Both sides of the street, from far to near; plots behind the camera are not seen."""
    for plot in _draw(dice, street):
        if plot.far > 1:
            PAINT[plot.kind](canvas, dice, plot)
