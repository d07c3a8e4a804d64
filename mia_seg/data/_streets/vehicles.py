"""How a vehicle is painted: a side view drawn out to the vehicle's width and turned by its heading."""

import math
from dataclasses import dataclass

import numpy as np

from mia_seg.data import IGNORE
from mia_seg.data._streets.canvas import Canvas, Floats, Lamp, Points
from mia_seg.data._streets.dice import RGB, Dice, scaled

DARK: RGB = (30, 30, 32)
CIRCLE: Points = [(math.cos(n * math.pi / 5), math.sin(n * math.pi / 5)) for n in range(10)]
Patch = tuple[Points, RGB]


@dataclass(frozen=True)
class Body:
    """One rigid part of a vehicle, in metres: x along the heading, y up.

    `outline` runs from the rear's foot over the roof to the front's foot; `skins` colours its segments.
    Patches are painted on the sides (x, y), the rear and the front (across, y).
    """

    label: int
    width: float
    outline: Points
    skins: tuple[RGB, ...]
    paint: RGB
    waist: float = 9.0  # above it the sides lean inwards
    sides: tuple[Patch, ...] = ()
    rear: tuple[Patch, ...] = ()
    front: tuple[Patch, ...] = ()
    wheels: tuple[float, ...] = ()
    tyre: float = 0.33
    lights: tuple[bool, bool] = (True, True)  # whether rear and front carry lamps

    def half(self, y: float) -> float:
        """Half its width at a height."""
        return self.width / 2 * (1 - 0.28 * max(0.0, y - self.waist))


@dataclass(frozen=True)
class Pose:
    """Where a vehicle stands and how it is turned; heading 0 drives away from the camera."""

    x: float
    z: float
    heading: float

    def place(self, along: Floats, y: Floats, across: Floats) -> Floats:
        sin, cos = math.sin(self.heading), math.cos(self.heading)
        points = np.empty((len(along), 3))
        points[:, 0] = self.x + across * cos + along * sin
        points[:, 1] = y
        points[:, 2] = self.z - across * sin + along * cos
        return points


def paint_vehicle(canvas: Canvas, dice: Dice, parts: list[Body], *, pose: Pose) -> None:
    if not canvas.camera.sees(pose.x, pose.z, margin=max(x for body in parts for x, _ in body.outline) + 1):
        return
    _ground_shadow(canvas, parts, pose)
    lit = canvas.air.dark > 0.2 or dice.chance(0.25)
    for body in sorted(parts, key=lambda body: -_depth(body, pose)):
        _paint_body(canvas, body, pose, lit=lit)


def _depth(body: Body, pose: Pose) -> float:
    middle = np.mean([x for x, _ in body.outline])
    return float(pose.z + middle * np.cos(pose.heading))


def _ground_shadow(canvas: Canvas, parts: list[Body], pose: Pose) -> None:
    ends = [x for body in parts for x, _ in body.outline]
    half = max(body.width for body in parts) / 2 + 0.15
    along = np.array((min(ends) - 0.2, max(ends) + 0.2, max(ends) + 0.2, min(ends) - 0.2))
    ground = pose.place(along, np.zeros(4), np.array((-half, -half, half, half)))
    cast = ground.copy()
    cast[:, 0] -= 1.2 * canvas.air.sun
    canvas.ground(cast, (12, 12, 16), alpha=int(110 * canvas.air.sunny))
    canvas.ground(ground, (12, 12, 16), alpha=205)


def _paint_body(canvas: Canvas, body: Body, pose: Pose, *, lit: bool) -> None:
    """The segments that face the camera from far to near, then the side that does."""
    xs, ys = (np.array(c, dtype=float) for c in zip(*body.outline, strict=True))
    half = np.array([body.half(y) for y in ys])
    left, right = pose.place(xs, ys, -half), pose.place(xs, ys, half)
    hulls = np.stack((left[:-1], left[1:], right[1:], right[:-1]), 1)  # (segments, 4, 3)
    uv = canvas.camera.project(hulls)
    shown = np.flatnonzero(_turn(uv) > 0)
    for n in sorted(shown.tolist(), key=lambda n: -float(hulls[n, :, 2].mean())):
        _segment(canvas, body, hulls[n], uv=uv[n], n=n)
    for outline, sign in ((left, -1), (right, 1)):
        if _area(canvas.camera.project(outline)) * sign > 0:
            _side(canvas, body, pose, outline=outline, sign=sign)
    if canvas.camera.scale(pose.z) > 5:
        _ends(canvas, body, pose, lit=lit)


def _turn(uv: Floats) -> Floats:
    """Twice the signed area of each quad (N, 4, 2): positive where its outside faces the camera."""
    a, b = uv[:, 2] - uv[:, 0], uv[:, 3] - uv[:, 1]
    return np.asarray(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])


def _area(uv: Floats) -> float:
    u, v = uv[:, 0], uv[:, 1]
    return float(np.sum(u * np.roll(v, -1) - v * np.roll(u, -1)))


def _segment(canvas: Canvas, body: Body, hull: Floats, *, uv: Floats, n: int) -> None:
    rising = hull[:, 1].max() - hull[:, 1].min() > 0.75 * np.ptp(hull[:2, 2])
    light = 0.85 if rising else 1.15 + 0.1 * canvas.air.sunny
    pixel = canvas.air.shade(body.skins[n], float(hull[:, 2].mean()), light)
    canvas.polygon(uv, pixel, body.label)


def _side(canvas: Canvas, body: Body, pose: Pose, *, outline: Floats, sign: int) -> None:
    light = 0.85 - 0.2 * sign * canvas.air.sun * canvas.air.sunny * np.cos(pose.heading)
    canvas.face(outline, body.paint, body.label, light=light)
    if canvas.camera.scale(pose.z) < 4:
        return
    patches = [*body.sides, *(patch for hub in body.wheels for patch in _wheel(hub, body.tyre))]
    points = np.array([point for outline, _ in patches for point in outline])
    half = np.array([body.half(y) for y in points[:, 1].tolist()])
    uv = canvas.camera.project(pose.place(points[:, 0], points[:, 1], sign * half))
    start = 0
    for corners, colour in patches:
        stop = start + len(corners)
        canvas.polygon(uv[start:stop], canvas.air.shade(colour, pose.z, light), body.label)
        start = stop


def _wheel(hub: float, tyre: float) -> tuple[Patch, Patch]:
    rim, disc = ([(hub + r * cos, tyre + r * sin) for cos, sin in CIRCLE] for r in (tyre, tyre * 0.55))
    return (rim, DARK), (disc, (120, 122, 124))


def _ends(canvas: Canvas, body: Body, pose: Pose, *, lit: bool) -> None:
    """Lamps, plate, bumper and tyres of the end that is seen."""
    away = np.cos(pose.heading) > 0.15
    towards = np.cos(pose.heading) < -0.15
    if not (away or towards):
        return
    x = min(p[0] for p in body.outline) - 0.02 if away else max(p[0] for p in body.outline) + 0.02
    for points, colour in body.rear if away else body.front:
        across, ys = (np.array(c, dtype=float) for c in zip(*points, strict=True))
        canvas.face(pose.place(np.full_like(ys, x), ys, across), colour, body.label, light=0.9)
    if body.lights[0 if away else 1]:
        _lamps(canvas, body, pose, x=x, away=away, lit=lit)


def _lamps(canvas: Canvas, body: Body, pose: Pose, *, x: float, away: bool, lit: bool) -> None:
    colour: RGB = (255, 44, 32) if away else (255, 248, 226)
    reach = body.width / 2 - 0.28
    ends = pose.place(np.full(2, x), np.full(2, 0.78), np.array((-reach, reach)))
    feet = pose.place(np.full(2, x), np.zeros(2), np.array((-reach, reach)))
    spots, ground = canvas.camera.project(ends), canvas.camera.project(feet)
    scale = canvas.camera.scale(pose.z)
    wide, high = max(0.6, 0.2 * scale), max(0.5, 0.1 * scale)
    pixel = tuple(int(c) for c in colour) if lit else canvas.air.shade(scaled(colour, 0.62), pose.z)
    for (u, v), (_, foot) in zip(spots.tolist(), ground.tolist(), strict=True):
        canvas.oval((u - wide, v - high, u + wide, v + high), pixel, body.label)
        if lit:
            canvas.lamps.append(Lamp(u, v, foot, scale * (0.5 if away else 0.9), colour, body.label, 0.15))


def paint_bonnet(canvas: Canvas, dice: Dice) -> None:
    """The front of the car that the camera rides in: in every picture of a drive, and in no class."""
    height, width = canvas.camera.height, canvas.camera.width
    share = np.linspace(-0.65, 0.65, 14)
    v = height * (1 - dice.between(0.03, 0.1) * (1 - (share / 0.65) ** 2))
    crest = np.stack((width * (share + dice.between(0.45, 0.55)), v), -1)
    corners = ((1.5 * width, 1.1 * height), (-0.5 * width, 1.1 * height))
    colour = canvas.air.shade(dice.near((74, 76, 80), 20), 0)
    canvas.polygon(np.concatenate((crest, corners)), colour, IGNORE)
