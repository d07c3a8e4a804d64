"""People on foot and on two wheels, and the wheels they left standing."""

from mia_seg.data._streets.canvas import BICYCLE, MOTORCYCLE, PERSON, RIDER, Canvas, Stamp
from mia_seg.data._streets.dice import RGB, Dice, scaled

# fmt: off
CLOTHES: tuple[RGB, ...] = (
    (40, 42, 50), (60, 66, 88), (30, 30, 32), (120, 40, 44), (180, 176, 170), (70, 90, 120), (96, 84, 68),
    (200, 150, 60), (60, 96, 70), (150, 60, 100), (210, 210, 214), (44, 60, 110), (190, 70, 50),
)
SKIN: tuple[RGB, ...] = ((224, 180, 150), (198, 146, 112), (146, 100, 74), (96, 66, 50))
HAIR: tuple[RGB, ...] = ((44, 34, 28), (90, 66, 44), (160, 130, 86), (30, 28, 28), (150, 148, 146))
PAINT: tuple[RGB, ...] = ((40, 40, 44), (150, 30, 34), (36, 70, 130), (180, 180, 184), (40, 100, 70), (210, 160, 50))
# fmt: on
TYRE: RGB = (28, 28, 30)


def _shadow(stamp: Stamp, wide: float) -> None:
    """A dark patch at the feet that belongs to the ground."""
    u, v = stamp.at(0, 0)
    half, flat = wide * stamp.scale, 0.09 * stamp.scale
    stamp.canvas.oval((u - half, v - flat, u + half, v + flat), (14, 14, 20, 110), None)


def paint_person(canvas: Canvas, dice: Dice, x: float, *, z: float) -> None:
    """Someone walking or standing, a child now and then, under an umbrella when it rains."""
    if not canvas.camera.sees(x, z, 1.5):
        return
    size = dice.between(0.6, 0.75) if dice.chance(0.1) else dice.between(0.92, 1.1)
    stamp = Stamp(canvas, x, z, label=PERSON, light=dice.between(0.8, 1.15))
    stamp.scale *= size
    stamp.across = stamp.scale * dice.between(0.85, 1.15)
    _shadow(stamp, 0.4)
    top, bottom = dice.near(dice.pick(CLOTHES)), dice.near(dice.pick(CLOTHES), 8)
    stride = dice.between(0.02, 0.34)
    for foot in (-stride, stride):
        stamp.poly(((-0.11, 0.86), (0.11, 0.86), (foot + 0.07, 0.0), (foot - 0.08, 0.0)), bottom)
        stamp.oval(foot + 0.03, 0.04, 0.12, ry=0.05, colour=scaled(bottom, 0.5))
    coat = dice.between(0.6, 0.84)
    stamp.poly(((-0.2, 1.42), (0.2, 1.42), (0.24, 1.1), (0.2, coat), (-0.2, coat), (-0.24, 1.1)), top)
    _arms_and_head(stamp, dice, top)
    if dice.chance(0.35):
        stamp.box(dice.side() * 0.26, dice.between(0.7, 1.1), 0.22, height=0.4, colour=dice.near(dice.pick(CLOTHES)))
    if canvas.air.rain and dice.chance(0.6):
        stamp.poly(((-0.6, 1.82), (-0.3, 2.06), (0, 2.14), (0.3, 2.06), (0.6, 1.82)), dice.near(dice.pick(CLOTHES), 30))


def _arms_and_head(stamp: Stamp, dice: Dice, top: RGB) -> None:
    skin = dice.pick(SKIN)
    for side in (-1, 1):
        hand = (side * dice.between(0.22, 0.4), dice.between(0.75, 0.95))
        stamp.line(((side * 0.2, 1.38), (side * 0.28, 1.1), hand), 0.11, scaled(top, 0.8))
    stamp.box(0, 1.47, 0.12, height=0.14, colour=skin)
    stamp.oval(0, 1.63, 0.11, ry=0.14, colour=skin)
    stamp.oval(0, 1.69, 0.12, ry=0.1, colour=dice.pick(HAIR) if dice.chance(0.85) else dice.pick(CLOTHES))


def paint_bicycle(canvas: Canvas, dice: Dice, x: float, *, z: float, squeeze: float) -> Stamp:
    """A bicycle; `squeeze` from 0.1 (end on) to 1 (broadside)."""
    stamp = Stamp(canvas, x, z, label=BICYCLE, squeeze=squeeze)
    _shadow(stamp, 0.8 * abs(squeeze) + 0.1)
    colour = dice.near(dice.pick(PAINT))
    for hub in (-0.53, 0.53):
        stamp.wheel(hub, 0.34, 0.34, colour=TYRE, width=0.07)
    for points in (
        ((-0.53, 0.34), (-0.2, 0.85), (0.4, 0.82), (0, 0.32), (-0.53, 0.34)),
        ((-0.2, 0.95), (0, 0.32)),
        ((0.53, 0.34), (0.38, 1.0)),
    ):
        stamp.line(points, 0.06, colour)
    stamp.line(((0.24, 1.06), (0.42, 1.02)), 0.07, TYRE)
    stamp.line(((-0.34, 0.97), (-0.1, 0.97)), 0.09, TYRE)
    if dice.chance(0.3):
        stamp.box(-0.55, 0.9, 0.4, height=0.25, colour=dice.near(dice.pick(CLOTHES)))
    return stamp


def paint_motorcycle(canvas: Canvas, dice: Dice, x: float, *, z: float, squeeze: float, lit: bool = False) -> Stamp:
    """A motorcycle or scooter: fatter wheels, a tank, an engine."""
    stamp = Stamp(canvas, x, z, label=MOTORCYCLE, squeeze=squeeze)
    _shadow(stamp, abs(squeeze) + 0.2)
    colour = dice.near(dice.pick(PAINT))
    for hub in (-0.68, 0.68):
        stamp.oval(hub, 0.32, 0.32, ry=0.32, colour=TYRE)
        stamp.oval(hub, 0.32, 0.16, ry=0.16, colour=(120, 120, 122))
    stamp.poly(((-0.5, 0.3), (0.45, 0.3), (0.6, 0.75), (0.3, 0.98), (-0.2, 0.8), (-0.8, 0.85), (-0.9, 0.7)), colour)
    stamp.poly(((-0.3, 0.22), (0.35, 0.22), (0.3, 0.55), (-0.25, 0.55)), (70, 70, 74))
    stamp.line(((-0.85, 0.88), (-0.15, 0.86)), 0.12, TYRE)
    stamp.line(((0.68, 0.32), (0.45, 1.08)), 0.08, (90, 90, 94))
    wide = Stamp(canvas, x, z, label=MOTORCYCLE)
    wide.box(0.45 * squeeze, 0.7, 0.34, height=0.5, colour=colour)
    wide.line(((0.45 * squeeze - 0.32, 1.06), (0.45 * squeeze + 0.32, 1.06)), 0.07, TYRE)
    if lit:
        wide.lamp(0.5 * squeeze, 0.8, 0.5, colour=(255, 246, 222) if dice.chance(0.5) else (255, 40, 30))
    return stamp


def paint_cyclist(canvas: Canvas, dice: Dice, x: float, *, z: float) -> None:
    squeeze = dice.side() * dice.between(0.14, 1.0)
    _rider(canvas, dice, paint_bicycle(canvas, dice, x, z=z, squeeze=squeeze), seat=(-0.22, 0.98), grip=(0.34, 1.04))


def paint_biker(canvas: Canvas, dice: Dice, x: float, *, z: float) -> None:
    squeeze = dice.side() * dice.between(0.18, 0.9)
    moto = paint_motorcycle(canvas, dice, x, z=z, squeeze=squeeze, lit=canvas.air.dark > 0.2)
    _rider(canvas, dice, moto, seat=(-0.35, 0.9), grip=(0.4, 1.06))


def _rider(canvas: Canvas, dice: Dice, mount: Stamp, *, seat: tuple[float, float], grip: tuple[float, float]) -> None:
    """Someone in the saddle; flattened less than the mount, since a body is as deep as wide."""
    body = Stamp(canvas, 0, mount.z, label=RIDER, light=dice.between(0.85, 1.15))
    body.u, body.v = mount.u, mount.v
    turn = mount.across / mount.scale
    top, legs = dice.near(dice.pick(CLOTHES)), dice.near(dice.pick(CLOTHES), 8)
    sx, sy = seat[0] * turn, seat[1]
    neck = sx + dice.between(0.15, 0.35) * turn
    for foot, side in ((0.12, -0.12), (-0.1, 0.12)):
        knee = (sx + 0.42 * turn + side, 0.72)
        body.line(((sx, sy), knee, (foot * turn + side, dice.between(0.15, 0.4))), 0.15, legs)
    body.poly(((sx - 0.19, sy - 0.05), (sx + 0.19, sy - 0.05), (neck + 0.21, 1.52), (neck - 0.21, 1.52)), top)
    for side in (-1, 1):
        reach = (grip[0] * turn + side * 0.2 * (1 - abs(turn)), grip[1])
        body.line(((neck + side * 0.17, 1.46), (neck + side * 0.24, 1.2), reach), 0.11, scaled(top, 0.8))
    body.oval(neck + 0.05 * turn, 1.68, 0.12, ry=0.15, colour=dice.pick(SKIN))
    body.oval(neck + 0.05 * turn, 1.75, 0.14, ry=0.11, colour=dice.pick((*HAIR, *PAINT)))
