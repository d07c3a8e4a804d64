"""The fleet: cars, vans, trucks, buses and trams as they roll off the dice."""

from itertools import pairwise

import numpy as np

from mia_seg.data._streets.canvas import BUS, CAR, TRAIN, TRUCK, Points
from mia_seg.data._streets.dice import RGB, Dice, mixed, scaled
from mia_seg.data._streets.vehicles import DARK, Body, Patch

# fmt: off
PAINTS: tuple[RGB, ...] = (
    (206, 208, 210), (40, 42, 46), (120, 124, 128), (164, 168, 172), (60, 66, 76), (36, 56, 104), (140, 30, 32),
    (70, 74, 78), (190, 188, 180), (92, 102, 112), (150, 130, 100), (36, 80, 62), (204, 160, 40),
)
LIVERIES: tuple[RGB, ...] = (
    (200, 40, 40), (222, 186, 50), (230, 228, 222), (40, 90, 160), (60, 130, 80), (140, 140, 146), (210, 110, 40),
)
# fmt: on
GLASS: RGB = (46, 54, 62)


def _box(left: float, right: float, low: float, *, high: float) -> Points:
    return ((left, low), (right, low), (right, high), (left, high))


def _plates(width: float, low: float) -> tuple[Patch, ...]:
    """Bumper, number plate and the tyres' ends."""
    half = width / 2
    tyres = tuple((_box(s * half - 0.12 - 0.1 * s, s * half + 0.12 - 0.1 * s, 0, high=0.4), DARK) for s in (-1, 1))
    return (
        (_box(-half + 0.1, half - 0.1, 0.14, high=low - 0.12), DARK),
        *tyres,
        (_box(-half + 0.05, half - 0.05, low - 0.05, high=low + 0.18), (64, 64, 68)),
        (_box(-0.28, 0.28, low + 0.12, high=low + 0.26), (226, 224, 210)),
    )


def draw_car(dice: Dice) -> list[Body]:
    """A saloon, estate, hatchback or off-roader."""
    paint = dice.near(dice.pick(PAINTS), 10)
    half, roof, width = dice.between(1.9, 2.35), dice.between(1.42, 1.78), dice.between(1.68, 1.9)
    belt, boot = roof * 0.64, dice.between(0.0, 0.9) if dice.chance(0.5) else 0.05
    back, front = -half + boot, half - dice.between(0.75, 1.15)  # the cabin, at the belt
    left, right = back + dice.between(0.3, 0.65), front - dice.between(0.5, 0.8)  # and at the roof
    outline = (
        *((-half, 0.28), (-half - 0.02, belt - 0.1), (-half + 0.06, belt), (back, belt + 0.03), (left, roof)),
        *((right, roof), (front, belt + 0.02), (half - 0.15, belt - 0.18), (half, belt - 0.35), (half - 0.02, 0.26)),
    )
    sill = (_box(-half + 0.1, half - 0.1, 0.26, high=0.38), scaled(paint, 0.45))
    return [
        Body(
            label=CAR,
            width=width,
            outline=outline,
            skins=(paint, paint, paint, GLASS, paint, GLASS, paint, paint, scaled(paint, 0.8)),
            paint=paint,
            waist=belt,
            sides=(*_windows((back, front), (left, right), belt, head=roof - 0.1), sill),
            rear=_plates(width, 0.42),
            front=_plates(width, 0.42),
            wheels=(-half + 0.72, half - 0.75),
        )
    ]


def _windows(waist: tuple[float, float], top: tuple[float, float], belt: float, *, head: float) -> tuple[Patch, Patch]:
    """The two side windows of a cabin, which is wider at the waist than at the top."""
    (back, front), (left, right) = waist, top
    pillar = (left + right) / 2
    return (
        (((back + 0.2, belt), (left + 0.05, head), (pillar - 0.05, head), (pillar - 0.05, belt)), GLASS),
        (((pillar + 0.05, belt), (pillar + 0.05, head), (right - 0.02, head), (front - 0.15, belt)), GLASS),
    )


def draw_van(dice: Dice) -> list[Body]:
    """A delivery van or minibus; Cityscapes counts it as a car."""
    paint = dice.near(dice.pick(PAINTS[:4] if dice.chance(0.6) else LIVERIES), 8)
    half, roof, width = dice.between(2.3, 2.9), dice.between(1.9, 2.6), 1.95
    head = roof - 0.25
    panes: list[Points] = [((half - 2.0, 1.15), (half - 2.0, head), (half - 1.6, head), (half - 1.05, 1.15))]
    if dice.chance(0.4):
        panes.append(_box(-half + 0.3, half - 2.2, 1.15, high=head))
    return [
        Body(
            label=CAR,
            width=width,
            outline=((-half, 0.3), (-half, roof), (half - 1.7, roof), (half - 0.9, 1.15), (half, 0.9), (half, 0.3)),
            skins=(paint, paint, GLASS, paint, paint),
            paint=paint,
            waist=1.2,
            sides=tuple((pane, GLASS) for pane in panes),
            rear=((_box(-0.7, 0.7, roof * 0.58, high=roof - 0.2), GLASS), *_plates(width, 0.45)),
            front=_plates(width, 0.42),
            wheels=(-half + 0.9, half - 0.85),
            tyre=0.36,
        )
    ]


def draw_truck(dice: Dice) -> list[Body]:
    """A cab and a box, tarpaulin, tank or tipper behind it."""
    cab, box = dice.near(dice.pick(LIVERIES)), dice.near(dice.pick((*LIVERIES, *PAINTS)))
    long, roof, width = dice.between(3.5, 9), dice.between(2.6, 3.7), dice.between(2.2, 2.5)
    if dice.chance(0.25):
        roof *= 0.55
    return [_load(dice, box, long, roof=roof, width=width), _cab(dice, cab, width)]


def _load(dice: Dice, box: RGB, long: float, *, roof: float, width: float) -> Body:
    stripe = (
        _box(-long + 0.4, -0.4, roof * 0.45, high=roof * 0.7),
        mixed(box, dice.pick(LIVERIES), dice.between(0, 1)),
    )
    return Body(
        label=TRUCK,
        width=width,
        outline=((-long, 0.75), (-long, roof), (-0.1, roof), (-0.1, 0.75)),
        skins=(box, box, box),
        paint=box,
        sides=(stripe, (_box(-long, -0.1, 0.35, high=0.9), (44, 44, 48))),
        rear=((_box(-0.03, 0.03, 0.9, high=roof - 0.1), scaled(box, 0.6)), *_plates(width, 0.55)),
        wheels=(-long + 0.8, -long + 1.9),
        tyre=0.48,
        lights=(True, False),
    )


def _cab(dice: Dice, paint: RGB, width: float) -> Body:
    high = dice.between(2.3, 3.0)
    return Body(
        label=TRUCK,
        width=width - 0.1,
        outline=((0.0, 0.45), (0.0, high), (1.5, high), (1.9, 1.5), (2.0, 0.45)),
        skins=(paint, paint, GLASS, paint),
        paint=paint,
        sides=((((0.5, 1.5), (0.5, high - 0.3), (1.4, high - 0.3), (1.75, 1.5)), GLASS),),
        front=_plates(width, 0.55),
        wheels=(1.1,),
        tyre=0.48,
        lights=(False, True),
    )


def draw_bus(dice: Dice) -> list[Body]:
    half, paint = dice.between(4.5, 6.2), dice.near(dice.pick(LIVERIES))
    return [_coach(dice, BUS, -half, front=half, roof=dice.between(2.9, 3.4), paint=paint, ends=(True, True))]


def draw_tram(dice: Dice) -> list[Body]:
    """Two to four sections that follow one another; the thinnest of differences from a bus."""
    paint, roof, section = dice.near(dice.pick(LIVERIES)), dice.between(3.2, 3.6), dice.between(7, 9.5)
    count = dice.whole(2, 4)
    start = -count * section / 2
    cuts = [start + n * section for n in range(count + 1)]
    return [
        _coach(dice, TRAIN, left + 0.15, front=right - 0.15, roof=roof, paint=paint, ends=(n == 0, n == count - 1))
        for n, (left, right) in enumerate(pairwise(cuts))
    ]


def _coach(
    dice: Dice, label: int, rear: float, *, front: float, roof: float, paint: RGB, ends: tuple[bool, bool]
) -> Body:
    """A long box with windows, doors, a band and a destination board; `ends`: whether it has a rear and a front."""
    band = dice.pick((paint, scaled(paint, 0.6), (236, 234, 228), (50, 54, 60)))
    low, high = 1.25, roof - 0.65
    bay = dice.between(1.1, 1.8)
    panes: list[Patch] = [(_box(rear + 0.1, front - 0.1, 0.3, high=0.75), band)]
    panes += [
        (_box(x + 0.1, x + bay - 0.08, low, high=high), GLASS) for x in np.arange(rear + 0.3, front - bay, bay).tolist()
    ]
    panes += [(_box(x, x + 1.1, 0.45, high=high), scaled(GLASS, 0.7)) for x in (rear + 1.4, front - 2.0)]
    board: Patch = (_box(-0.8, 0.8, roof - 0.45, high=roof - 0.15), (236, 170, 50) if dice.chance(0.7) else DARK)
    window: Patch = (_box(-1.05, 1.05, 1.2, high=roof - 0.55), GLASS)
    end = (window, board, *_plates(2.5, 0.5))
    slant = 0.25 if ends[1] else 0.0
    return Body(
        label=label,
        width=2.5,
        outline=((rear, 0.32), (rear, roof), (front - slant, roof), (front, 1.1), (front, 0.32)),
        skins=(paint, scaled(paint, 0.8), paint, paint),
        paint=paint,
        sides=tuple(panes),
        rear=end if ends[0] else (),
        front=end if ends[1] else (),
        wheels=(rear + 2, front - 2.6) if label == BUS else (),
        tyre=0.46,
        lights=ends,
    )
