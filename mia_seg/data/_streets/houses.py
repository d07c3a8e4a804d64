"""Houses: blocks with rows of windows, shops, roofs and chimneys, seen from the street they stand along."""

from dataclasses import dataclass, replace

import numpy as np

from mia_seg.data._streets.canvas import BUILDING, Canvas, Floats
from mia_seg.data._streets.dice import RGB, Dice, mixed, scaled

Spot = tuple[float, float]  # (x, z) on the ground

# fmt: off
WALLS: tuple[RGB, ...] = (
    (196, 182, 150), (176, 146, 110), (150, 92, 74), (134, 128, 122), (204, 198, 186), (120, 112, 104),
    (172, 158, 138), (110, 80, 66), (158, 160, 160), (206, 184, 130), (146, 160, 168), (188, 150, 132),
)
ROOFS: tuple[RGB, ...] = ((122, 66, 50), (88, 62, 54), (80, 80, 84), (104, 100, 96), (64, 62, 66))
SIGNS: tuple[RGB, ...] = ((180, 40, 36), (30, 70, 150), (30, 110, 60), (220, 180, 40), (230, 230, 226), (40, 40, 44))
LIT: tuple[RGB, ...] = ((255, 214, 140), (255, 232, 190), (226, 236, 255), (255, 190, 110))
# fmt: on


@dataclass(frozen=True)
class House:
    """One building on its plot: `near` and `far` are its street corners' depths, `x` its front, `back` its rear."""

    near: float
    far: float
    x: float
    back: float
    eaves: float  # height of the walls
    ridge: float  # height of the roof above them; 0 = flat
    wall: RGB
    roof: RGB
    glass: RGB
    trim: RGB
    storey: float
    bay: float  # metres a window axis
    pane: Spot  # a window's share of its bay and storey
    shop: bool
    balconies: bool


def draw_house(dice: Dice, side: int, near: float, *, far: float, front: float, tall: bool) -> House:
    """Roll a building for a plot on the left (-1) or right (1)."""
    storey = dice.between(2.7, 3.9)
    storeys = dice.whole(3, 8) if tall else dice.whole(1, 3)
    wall = dice.near(dice.pick(WALLS))
    flat = dice.chance(0.45 if tall else 0.15)
    band = dice.chance(0.15)
    return House(
        near=near,
        far=far,
        x=side * front,
        back=side * (front + dice.between(8, 14)),
        eaves=storey * storeys + dice.between(0.2, 1.0),
        ridge=0.0 if flat else dice.between(2, 5),
        wall=wall,
        roof=dice.near(dice.pick(ROOFS)),
        glass=dice.near(dice.pick(((52, 58, 66), (70, 84, 100), (40, 42, 44), (96, 110, 124), (128, 148, 168)))),
        trim=mixed(wall, (236, 234, 228) if dice.chance(0.6) else (60, 54, 50), dice.between(0.3, 0.9)),
        storey=storey,
        bay=dice.between(1.8, 4.2),
        pane=(0.92 if band else dice.between(0.3, 0.62), dice.between(0.4, 0.66)),
        shop=tall and dice.chance(0.55),
        balconies=tall and dice.chance(0.25),
    )


def paint_house(canvas: Canvas, dice: Dice, house: House) -> None:
    """Gable, roof and front, in the order in which they hide one another."""
    side = 1 if house.x > 0 else -1
    sun = canvas.air.sun * canvas.air.sunny
    facing, along = 0.84 - 0.1 * abs(sun), 0.92 - 0.3 * sun * side
    blank = replace(house, shop=False, balconies=False)
    _gable(canvas, house, facing)
    _front(canvas, dice, blank, a=(house.x, house.near), b=(house.back, house.near), light=facing)
    _roof(canvas, dice, house, light=along)
    _front(canvas, dice, house, a=(house.x, house.near), b=(house.x, house.far), light=along)


def _quad(a: Spot, b: Spot, low: float, *, high: float) -> Floats:
    """An upright rectangle from a to b."""
    return np.array(((a[0], low, a[1]), (b[0], low, b[1]), (b[0], high, b[1]), (a[0], high, a[1])))


def _gable(canvas: Canvas, house: House, light: float) -> None:
    top = house.eaves + house.ridge
    peak = ((house.x, house.eaves), (house.back, house.eaves), ((house.x + house.back) / 2, top))
    canvas.face(np.array([(x, y, house.near) for x, y in peak]), house.wall, BUILDING, light=light)


def _roof(canvas: Canvas, dice: Dice, house: House, *, light: float) -> None:
    middle, top = (house.x + house.back) / 2, house.eaves + house.ridge
    slope = ((house.x, house.eaves, house.near), (house.x, house.eaves, house.far))
    canvas.face(
        np.array((*slope, (middle, top, house.far), (middle, top, house.near))), house.roof, BUILDING, light=light
    )
    for _ in range(dice.whole(0, 3)):
        z, share = dice.between(house.near, house.far), dice.between(0.3, 1.0)
        x, y = house.x + (middle - house.x) * share, house.eaves + house.ridge * share
        stack = _quad((x, z), (x + 0.7, z), y - 0.5, high=y + dice.between(0.5, 1.5))
        canvas.face(stack, scaled(house.wall, 0.7), BUILDING)


def _front(canvas: Canvas, dice: Dice, house: House, *, a: Spot, b: Spot, light: float) -> None:
    """One wall from a to b with all that hangs on it."""
    canvas.face(_quad(a, b, 0, high=house.eaves), house.wall, BUILDING, light=light)
    canvas.face(_quad(a, b, house.eaves - 0.35, high=house.eaves), house.trim, None, light=light)
    canvas.face(_quad(a, b, 0, high=0.6), scaled(house.wall, 0.75), None, light=light)
    base = house.storey if house.shop else 0.0
    if house.shop:
        _shop(canvas, dice, house, a=a, b=b, light=light)
    wide = float(np.hypot(b[0] - a[0], b[1] - a[1]))
    columns, rows = max(1, int(wide / house.bay)), max(1, int((house.eaves - base) / house.storey))
    _windows(canvas, dice, house, corners=_grid(house, a, b, base=base, columns=columns, rows=rows), light=light)


def _grid(house: House, a: Spot, b: Spot, *, base: float, columns: int, rows: int) -> Floats:
    """Corners of all windows of a wall: (N, 4, 3), from the lower left round."""
    s = (np.arange(columns) + 0.5)[:, None] / columns + np.array((-1, 1, 1, -1)) * house.pane[0] / 2 / columns
    t = base + house.storey * ((np.arange(rows) + 0.55)[:, None] + np.array((-1, -1, 1, 1)) * house.pane[1] / 2)
    corners = np.empty((rows, columns, 4, 3))
    corners[..., 0] = a[0] + (b[0] - a[0]) * s
    corners[..., 1] = t[:, None]
    corners[..., 2] = a[1] + (b[1] - a[1]) * s
    return corners.reshape(-1, 4, 3)


def _windows(canvas: Canvas, dice: Dice, house: House, *, corners: Floats, light: float) -> None:
    """Every window with its own reflection, blind or lamp; those too small to tell apart are left out."""
    uv = canvas.camera.project(corners)
    low, high = uv.min(axis=1), uv.max(axis=1)
    size = high - low
    inside = (high > 0).all(axis=1) & (low < (canvas.camera.width, canvas.camera.height)).all(axis=1)
    seen = np.flatnonzero(inside & (size > 1.2).all(axis=1) & (corners[..., 2].min(axis=1) > 0.6))
    for n in seen.tolist():
        z = float(corners[n, 0, 2])
        if size[n].min() > 5:
            _frame(canvas, uv[n], canvas.air.shade(house.trim, z, light))
        canvas.polygon(uv[n], _glass(canvas, dice, house, z=z, light=light))
        if house.balconies and size[n].min() > 3:
            _balcony(canvas, corners[n], house.trim, light=light)


def _frame(canvas: Canvas, uv: Floats, pixel: tuple[int, int, int]) -> None:
    middle = uv.mean(axis=0)
    canvas.polygon(middle + (uv - middle) * 1.28, pixel)


def _glass(canvas: Canvas, dice: Dice, house: House, *, z: float, light: float) -> tuple[int, int, int]:
    if dice.chance(0.3 * canvas.air.dark):
        return canvas.air.shade(scaled(dice.pick(LIT), dice.between(0.4, 1.0) / max(canvas.air.ambient)), z)
    blind = 0.75 * dice.chance(0.2)
    return canvas.air.shade(mixed(scaled(house.glass, dice.between(0.5, 1.5)), house.trim, blind), z, light)


def _balcony(canvas: Canvas, corners: Floats, trim: RGB, *, light: float) -> None:
    rail = corners.copy()
    rail[2:, 1] = rail[0, 1] + 0.5
    rail[:2, 1] -= 0.5
    rail[:, 0] *= 0.93  # it stands out into the street
    canvas.face(rail, scaled(trim, 0.75), BUILDING, light=light)


def _shop(canvas: Canvas, dice: Dice, house: House, *, a: Spot, b: Spot, light: float) -> None:
    """A ground floor of shop windows, name boards and awnings."""
    wide = float(np.hypot(b[0] - a[0], b[1] - a[1]))
    units = max(1, int(wide / dice.between(4, 9)))
    for n in range(units):
        left, right = (_along(a, b, (n + share) / units) for share in (0.06, 0.94))
        if max(left[1], right[1]) < 1:
            continue
        board = dice.near(dice.pick(SIGNS))
        glow = dice.between(0.4, 1.0) / max(canvas.air.ambient) if dice.chance(canvas.air.dark * 0.6) else 0.0
        _display(canvas, dice, house, left=left, right=right, light=light, glow=glow)
        canvas.face(_quad(left, right, 2.55, high=3.1), scaled(board, max(1.0, glow)), None, light=light)
        if dice.chance(0.3):
            _awning(canvas, left, right, colour=dice.near(dice.pick(SIGNS)), light=light)


def _display(canvas: Canvas, dice: Dice, house: House, *, left: Spot, right: Spot, light: float, glow: float) -> None:
    """Panes with goods behind them, one of them a door; `glow` is the shop's own light, 0 without."""
    panes = dice.whole(2, 5)
    for n in range(panes):
        a, b = _along(left, right, (n + 0.04) / panes), _along(left, right, (n + 0.96) / panes)
        pane = (
            scaled(dice.pick(LIT), glow * dice.between(0.7, 1)) if glow else scaled(house.glass, dice.between(0.6, 1.7))
        )
        canvas.face(_quad(a, b, 0.1 if dice.chance(0.3) else 0.5, high=2.5), pane, None, light=light)
        goods = mixed(pane, dice.near(dice.pick(SIGNS), 20), 0.55)
        canvas.face(
            _quad(_along(a, b, 0.15), _along(a, b, 0.8), 0.6, high=dice.between(0.8, 1.6)), goods, None, light=light
        )


def _along(a: Spot, b: Spot, share: float) -> Spot:
    return a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share


def _awning(canvas: Canvas, left: Spot, right: Spot, *, colour: RGB, light: float) -> None:
    awning = _quad(left, right, 2.0, high=2.7)
    awning[:2, 0] *= 0.86
    canvas.face(awning, colour, BUILDING, light=light)
