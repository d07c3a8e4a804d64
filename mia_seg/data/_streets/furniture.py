"""Street furniture: lamp posts, signs, traffic lights, bollards, bins, masts with their wires."""

import math

import numpy as np

from mia_seg.data import IGNORE
from mia_seg.data._streets.canvas import LIGHT, POLE, SIGN, Canvas, Stamp
from mia_seg.data._streets.dice import RGB, Dice, scaled

STEEL: tuple[RGB, ...] = ((112, 114, 116), (150, 152, 152), (70, 76, 72), (94, 84, 74), (60, 60, 64))
WHITE: RGB = (232, 232, 228)
RED: RGB = (196, 34, 32)
BLUE: RGB = (28, 74, 168)
SIGNALS: dict[str, RGB] = {"red": (255, 50, 36), "amber": (255, 176, 40), "green": (70, 255, 150)}


def paint_lamp_post(canvas: Canvas, dice: Dice, x: float, *, z: float) -> None:
    """A post with an arm over the road; its lamp lights the street by night."""
    stamp = Stamp(canvas, x, z, label=POLE)
    steel, height = dice.near(dice.pick(STEEL)), dice.between(5, 9)
    reach = -math.copysign(dice.between(0.4, 2.2), x)
    stamp.line(((0, 0), (0, height)), 0.16, steel)
    stamp.line(((0, height), (reach, height + 0.3)), 0.1, steel)
    stamp.box(reach, height + 0.28, 0.7, height=0.16, colour=scaled(steel, 1.2))
    if canvas.air.dark > 0.2:
        stamp.lamp(reach, height + 0.2, 1.3, colour=canvas.air.lamp, flood=1.0)


def paint_mast(canvas: Canvas, dice: Dice, x: float, *, z: float) -> None:
    """A wooden or concrete mast; wires run from it towards the camera, thin enough to stay unlabelled."""
    stamp = Stamp(canvas, x, z, label=POLE)
    height = dice.between(7, 9.5)
    stamp.line(((0, 0), (0, height)), 0.24, dice.near((104, 90, 78)))
    stamp.line(((-0.9, height - 0.5), (0.9, height - 0.5)), 0.12, (96, 84, 74))
    for offset in (-0.8, 0.0, 0.8):
        depth = np.linspace(z, max(z - 32, 1), 8)
        sag = 0.6 * np.sin(np.linspace(0, np.pi, 8))
        wire = np.stack((np.full(8, x + offset), height - 0.4 - sag, depth), -1)
        flat = canvas.camera.project(wire).ravel().tolist()
        canvas.line(flat, (*canvas.air.shade((44, 44, 48), z), 190), None, width=1)


def paint_sign(canvas: Canvas, dice: Dice, x: float, *, z: float) -> None:
    """One or two plates on a pipe."""
    height = dice.between(2.2, 3.2)
    Stamp(canvas, x, z, label=POLE).line(((0, 0), (0, height)), 0.09, dice.near((140, 142, 142)))
    plate = Stamp(canvas, x, z, label=SIGN, light=dice.between(0.9, 1.15) + 1.2 * canvas.air.dark)
    r = dice.between(0.34, 0.52)
    for _ in range(dice.whole(1, 2)):
        dice.pick((_disc, _triangle, _board, _diamond, _back))(plate, dice, height - r, r=r)
        height -= 2.05 * r


def _disc(plate: Stamp, dice: Dice, y: float, *, r: float) -> None:
    rim, field = dice.pick(((RED, WHITE), (BLUE, BLUE), (RED, RED), (RED, BLUE)))
    plate.oval(0, y, r, ry=r, colour=rim)
    plate.oval(0, y, r * 0.72, ry=r * 0.72, colour=field)
    plate.box(0, y, r, height=r * 0.3, colour=WHITE if field != WHITE else (40, 40, 40))


def _triangle(plate: Stamp, dice: Dice, y: float, *, r: float) -> None:
    up = dice.pick((1, -1))
    for size, colour in ((1.1, RED), (0.66, WHITE)):
        points = ((0, y + up * r * size), (-r * size, y - up * 0.75 * r * size), (r * size, y - up * 0.75 * r * size))
        plate.poly(points, colour)


def _board(plate: Stamp, dice: Dice, y: float, *, r: float) -> None:
    colour = dice.pick((BLUE, WHITE, (236, 190, 50), (30, 110, 70)))
    wide = r * dice.between(1.6, 4)
    plate.box(0, y, wide, height=r * 1.8, colour=colour)
    plate.box(0, y + r * 0.2, wide * 0.7, height=r * 0.35, colour=WHITE if colour != WHITE else (50, 50, 54))


def _diamond(plate: Stamp, dice: Dice, y: float, *, r: float) -> None:
    for size, colour in ((1.15, WHITE), (0.85, dice.near((240, 190, 40), 6))):
        plate.poly(((0, y + r * size), (r * size, y), (0, y - r * size), (-r * size, y)), colour)


def _back(plate: Stamp, dice: Dice, y: float, *, r: float) -> None:
    """A sign for those who come the other way."""
    plate.oval(0, y, r, ry=r, colour=dice.near((132, 134, 136)))


def paint_gantry(canvas: Canvas, dice: Dice, x: float, *, z: float) -> None:
    """Big direction boards on an arm over the lanes."""
    height, steel = dice.between(5.6, 6.6), dice.near((128, 130, 132))
    pole = Stamp(canvas, x, z, label=POLE)
    pole.line(((0, 0), (0, height)), 0.26, steel)
    pole.line(((0, height), (-x, height)), 0.2, steel)
    board = Stamp(canvas, x, z, label=SIGN, light=1 + 1.2 * canvas.air.dark)
    colour = dice.pick((BLUE, (24, 104, 66), (24, 104, 66)))
    for share in (0.35, 0.8)[: dice.whole(1, 2)]:
        wide = dice.between(2.0, 3.6)
        board.box(-x * share, height - 0.1, wide, height=1.7, colour=WHITE)
        board.box(-x * share, height - 0.1, wide - 0.14, height=1.56, colour=colour)
        for y in (0.3, -0.3):
            board.box(-x * share - 0.1 * wide, height + y, wide * dice.between(0.3, 0.7), height=0.22, colour=WHITE)


def paint_signal(canvas: Canvas, dice: Dice, x: float, *, z: float, state: str) -> None:
    """Traffic lights: a housing on the post and, over wide roads, one more on an arm."""
    steel = dice.near(dice.pick(STEEL))
    pole, housing = Stamp(canvas, x, z, label=POLE), Stamp(canvas, x, z, label=LIGHT)
    arm = abs(x) > 4 and dice.chance(0.5)
    height = dice.between(5.4, 6.2) if arm else dice.between(3.0, 3.5)
    pole.line(((0, 0), (0, height)), 0.17, steel)
    _housing(housing, dice, 0, y=2.9, state=state)
    if arm:
        tip = -math.copysign(dice.between(2.5, 5), x)
        pole.line(((0, height), (tip, height)), 0.13, steel)
        _housing(housing, dice, tip, y=height - 0.2, state=state)


def _housing(stamp: Stamp, dice: Dice, x: float, *, y: float, state: str) -> None:
    casing = dice.pick(((34, 36, 36), (30, 48, 40), (206, 164, 40)))
    stamp.box(x, y, 0.42, height=1.15, colour=casing)
    for name, offset in (("red", 0.36), ("amber", 0.0), ("green", -0.36)):
        if name == state:
            stamp.lamp(x, y + offset, 0.75, colour=SIGNALS[name])
        else:
            stamp.oval(x, y + offset, 0.12, ry=0.12, colour=scaled(SIGNALS[name], 0.25))


def paint_bollards(canvas: Canvas, dice: Dice, x: float, *, z: float) -> None:
    steel, gap = dice.near(dice.pick(STEEL)), dice.between(1.2, 2.5)
    for n in reversed(range(dice.whole(2, 5))):
        post = Stamp(canvas, x, z + n * gap, label=POLE)
        post.line(((0, 0), (0, 0.95)), 0.14, steel)
        post.box(0, 0.8, 0.15, height=0.12, colour=WHITE if dice.chance(0.5) else RED)


def paint_bin(canvas: Canvas, dice: Dice, x: float, *, z: float) -> None:
    """A bin, a box, a hydrant: in no class, so ignored."""
    stamp = Stamp(canvas, x, z, label=IGNORE)
    colour, wide, height = dice.near((90, 96, 90), 40), dice.between(0.4, 1.1), dice.between(0.7, 1.4)
    stamp.box(0, height / 2, wide, height=height, colour=colour)
    stamp.box(0, height, wide * 1.1, height=0.14, colour=scaled(colour, 0.6))
