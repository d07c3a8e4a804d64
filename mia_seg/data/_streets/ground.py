"""What a street stands on: road with its markings, kerbs, pavements, verges, tram rails, side streets."""

import math

import numpy as np

from mia_seg.data._streets.canvas import NEAR, PAVEMENT, ROAD, TERRAIN, Canvas, Floats
from mia_seg.data._streets.dice import RGB, Dice, mixed, scaled
from mia_seg.data._streets.plan import FAR, Plan

DEPTHS = np.geomspace(NEAR, FAR, 18)
WHITE: RGB = (222, 222, 216)
ASPHALT: tuple[RGB, ...] = ((96, 96, 98), (118, 116, 114), (82, 84, 88), (132, 126, 118), (108, 104, 104))
PAVING: tuple[RGB, ...] = ((150, 146, 140), (168, 160, 150), (134, 134, 136), (160, 140, 126), (120, 116, 114))
GRASS: tuple[RGB, ...] = ((104, 118, 62), (128, 130, 78), (150, 138, 100), (88, 108, 58), (142, 120, 88))


def strip(left: float, right: float, near: float = NEAR, *, far: float = FAR) -> Floats:
    """A band of ground between two x, as a polygon with enough corners to follow the bend."""
    if far < near + 8:  # too short to bend
        return np.array(((left, 0.0, near), (left, 0.0, far), (right, 0.0, far), (right, 0.0, near)))
    inside = DEPTHS[(near < DEPTHS) & (far > DEPTHS)]
    z = np.concatenate(((near,), inside, (far,)))
    edges = [np.stack((np.full_like(z, x), np.zeros_like(z), z), -1) for x in (left, right)]
    return np.concatenate((edges[0], edges[1][::-1]))


def paint_ground(canvas: Canvas, dice: Dice, street: Plan) -> None:
    asphalt = dice.near(dice.pick(ASPHALT))
    _plain(canvas, dice, paved=street.kind == "centre" or dice.chance(0.3))
    _sides(canvas, dice, street)
    canvas.ground(strip(-street.kerb, street.kerb), asphalt, ROAD)
    if math.isfinite(street.junction):
        canvas.ground(strip(-120, 120, street.junction, far=street.junction + 8), asphalt, ROAD)
    _wear(canvas, dice, street, asphalt=asphalt)
    _markings(canvas, dice, street)
    if street.tram:
        _rails(canvas, street)
    if math.isfinite(street.crossing):
        _zebra(canvas, dice, street)
    _shadows(canvas, dice, street)


def _plain(canvas: Canvas, dice: Dice, paved: bool) -> None:
    """Everything below the horizon, for what no plot covers."""
    camera = canvas.camera
    edge = camera.project(np.array(((-400.0, 0.0, FAR), (400.0, 0.0, FAR))))
    below = ((edge[1, 0], 3.0 * camera.height), (edge[0, 0], 3.0 * camera.height))
    colour = canvas.air.shade(dice.near(dice.pick(PAVING if paved else GRASS)), 0)
    canvas.polygon(np.concatenate((edge, below)), colour, PAVEMENT if paved else TERRAIN)


def _sides(canvas: Canvas, dice: Dice, street: Plan) -> None:
    """Verge, pavement, slabs and kerb stones on either side."""
    paving, grass = dice.near(dice.pick(PAVING)), dice.near(dice.pick(GRASS))
    kerb = dice.near((176, 172, 166))
    for side in (-1, 1):
        canvas.ground(strip(side * street.kerb, side * street.front), paving, PAVEMENT)
        for z in np.arange(1.5, 20, dice.between(0.8, 2.5)).tolist():
            canvas.ground(
                strip(side * (street.kerb + street.verge), side * street.front, z, far=z + 0.05),
                scaled(paving, 0.8),
                alpha=120,
            )
        if street.verge:
            canvas.ground(strip(side * street.kerb, side * (street.kerb + street.verge)), grass, TERRAIN)
        canvas.ground(strip(side * street.kerb, side * (street.kerb + 0.22)), kerb, PAVEMENT)
        canvas.ground(strip(side * (street.kerb - 0.06), side * (street.kerb + 0.02)), scaled(kerb, 0.55), PAVEMENT)


def _wear(canvas: Canvas, dice: Dice, street: Plan, *, asphalt: RGB) -> None:
    """Wheel tracks, patches, cracks and manholes: no two roads are worn alike."""
    dark, light = scaled(asphalt, 0.7), mixed(asphalt, (200, 200, 196), 0.4)
    for lane in range(-street.lanes, street.lanes):
        for offset in (0.25, 0.75):
            x = (lane + offset) * street.lane
            canvas.ground(strip(x - 0.3, x + 0.3), dice.pick((dark, light)), alpha=dice.whole(10, 50))
    for _ in range(dice.whole(2, 7)):
        x, z = dice.between(-street.kerb, street.kerb), dice.between(2.5, 25)
        wide, long = dice.between(0.4, 2.0), dice.between(0.6, 6)
        canvas.ground(
            strip(x, min(x + wide, street.kerb), z, far=z + long), dice.pick((dark, light)), alpha=dice.whole(30, 90)
        )
    for _ in range(dice.whole(0, 4)):
        x, z = dice.between(-street.kerb, street.kerb - 0.7), dice.between(3, 14)
        angle = np.linspace(0, 2 * np.pi, 9)[:-1]
        lid = np.stack((x + 0.35 * np.cos(angle), np.zeros(8), z + 0.35 * np.sin(angle)), -1)
        canvas.ground(lid, scaled(dark, 0.75), alpha=200)
    for _ in range(dice.whole(1, 5)):
        _crack(canvas, dice, street, colour=dark)


def _crack(canvas: Canvas, dice: Dice, street: Plan, *, colour: RGB) -> None:
    n = 6
    x = dice.between(-street.kerb, street.kerb) + np.cumsum(dice.rng.normal(0, 0.4, n))
    z = dice.between(2.5, 14) + np.cumsum(dice.rng.normal(0.4, 0.5, n))
    uv = canvas.camera.project(np.stack((np.clip(x, -street.kerb, street.kerb), np.zeros(n), np.maximum(z, 2)), -1))
    canvas.line(uv.ravel().tolist(), (*canvas.air.shade(scaled(colour, 0.8), 5), 150), None, width=1)


def _markings(canvas: Canvas, dice: Dice, street: Plan) -> None:
    """The middle line, lane lines, edge lines and now and then an arrow."""
    paint = dice.near((206, 170, 70) if dice.chance(0.2) else WHITE, 8)
    fade = dice.whole(110, 245)
    dash, gap, phase = dice.between(1.5, 5), dice.between(2, 7), dice.between(0, 6)
    solid = street.lanes > 1 or dice.chance(0.3)
    if not street.tram:
        _line(canvas, 0.0, paint, fade=fade, dashes=None if solid else (dash, gap, phase))
    for side in (-1, 1):
        for lane in range(1, street.lanes):
            _line(canvas, side * lane * street.lane, paint, fade=fade, dashes=(dash, gap, phase))
        if street.parking or dice.chance(0.5):
            _line(canvas, side * (street.lanes * street.lane - 0.15), paint, fade=fade, dashes=None)
    if dice.chance(0.18):
        _cycle_lane(canvas, dice, street)
    if dice.chance(0.3):
        _arrow(canvas, (dice.whole(1, street.lanes) - 0.5) * street.lane, dice.between(5, 14), paint=paint)


def _line(canvas: Canvas, x: float, paint: RGB, *, fade: int, dashes: tuple[float, float, float] | None) -> None:
    if dashes is None:
        canvas.ground(strip(x - 0.08, x + 0.08), paint, alpha=fade)
        return
    dash, gap, phase = dashes
    for z in np.arange(1 + phase, 70, dash + gap).tolist():
        canvas.ground(strip(x - 0.08, x + 0.08, z, far=z + dash), paint, alpha=fade)


def _cycle_lane(canvas: Canvas, dice: Dice, street: Plan) -> None:
    right = street.lanes * street.lane
    canvas.ground(strip(right - 1.3, right), dice.near((150, 78, 66)), alpha=dice.whole(90, 220))


def _arrow(canvas: Canvas, x: float, z: float, *, paint: RGB) -> None:
    canvas.ground(strip(x - 0.08, x + 0.08, z, far=z + 2.5), paint, alpha=210)
    head = np.array(((x - 0.4, 0, z + 2.3), (x + 0.4, 0, z + 2.3), (x, 0, z + 4)))
    canvas.ground(head, paint, alpha=210)


def _rails(canvas: Canvas, street: Plan) -> None:
    for middle in (-street.lane / 2, street.lane / 2):
        canvas.ground(strip(middle - 1.2, middle + 1.2), (128, 122, 114), alpha=90)
        for offset in (-0.72, 0.72):
            x = middle + offset
            canvas.ground(strip(x - 0.07, x + 0.07), (74, 74, 78))
            canvas.ground(strip(x - 0.02, x + 0.03), (190, 190, 192))


def _zebra(canvas: Canvas, dice: Dice, street: Plan) -> None:
    near, fade = max(4.0, street.crossing), dice.whole(140, 240)
    for x in np.arange(-street.kerb + 0.3, street.kerb - 0.4, 1.0).tolist():
        canvas.ground(strip(x, x + 0.5, near, far=near + 3), WHITE, alpha=fade)
    canvas.ground(strip(0.2, street.lanes * street.lane, near - 1.6, far=near - 1.2), WHITE, alpha=fade)


def _shadows(canvas: Canvas, dice: Dice, street: Plan) -> None:
    """The shade that the sunward row of houses throws across the street, broken by its gaps."""
    if canvas.air.sunny < 0.3:
        return
    side, z, alpha = (1 if canvas.air.sun > 0 else -1), NEAR, int(110 * canvas.air.sunny)
    reach = dice.between(0.1, 1.1) * 2 * street.front
    while z < 80:
        length = dice.between(4, 25)
        shade = strip(side * (street.front - reach * dice.between(0.6, 1.0)), side * street.front, z, far=z + length)
        canvas.ground(shade, (30, 32, 44), alpha=alpha)
        z += length + dice.between(0, 5)
