"""Who and what is in the street: traffic, parked vehicles, people, trees and furniture, each with its depth."""

import math
from collections.abc import Callable
from functools import partial

import numpy as np

from mia_seg.data._streets.canvas import Canvas
from mia_seg.data._streets.dice import Dice
from mia_seg.data._streets.fleet import draw_bus, draw_car, draw_tram, draw_truck, draw_van
from mia_seg.data._streets.furniture import (
    SIGNALS,
    paint_bin,
    paint_bollards,
    paint_gantry,
    paint_lamp_post,
    paint_mast,
    paint_sign,
    paint_signal,
)
from mia_seg.data._streets.green import paint_tree
from mia_seg.data._streets.people import (
    paint_bicycle,
    paint_biker,
    paint_cyclist,
    paint_motorcycle,
    paint_person,
)
from mia_seg.data._streets.plan import Plan
from mia_seg.data._streets.vehicles import Body, Pose, paint_vehicle

Thing = tuple[float, Callable[[], object]]  # its depth, and how to paint it

DRAW: dict[str, Callable[[Dice], list[Body]]] = {
    "car": draw_car,
    "van": draw_van,
    "truck": draw_truck,
    "bus": draw_bus,
    "tram": draw_tram,
}
LENGTHS = {"car": 4.6, "van": 5.6, "truck": 10.0, "bus": 12.5, "tram": 30.0, "cyclist": 2.0, "biker": 2.2}
TRAFFIC: dict[str, dict[str, float]] = {
    "centre": {"car": 10, "van": 1.6, "truck": 0.5, "bus": 1.0, "cyclist": 2.2, "biker": 1.0},
    "suburb": {"car": 10, "van": 1.4, "truck": 0.5, "bus": 0.5, "cyclist": 1.6, "biker": 0.8},
    "avenue": {"car": 10, "van": 1.6, "truck": 0.8, "bus": 1.0, "cyclist": 1.2, "biker": 1.0},
    "edge": {"car": 10, "van": 1.6, "truck": 2.0, "bus": 0.5, "cyclist": 0.4, "biker": 0.8},
}


class Life:
    """Fills a street. Every method appends to `things`; the caller paints them from far to near."""

    def __init__(self, canvas: Canvas, dice: Dice, street: Plan) -> None:
        self.canvas = canvas
        self.dice = dice
        self.street = street
        self.things: list[Thing] = []

    def _put(self, z: float, paint: Callable[..., object], /, *where: object, **how: object) -> None:
        self.things.append((z, partial(paint, self.canvas, self.dice, *where, **how)))

    def _spots(self, gap: tuple[float, float], far: float, start: float = 2.0) -> list[float]:
        """Depths, `gap` metres apart, that keep the side street clear."""
        depths, z = [], start + self.dice.between(0, gap[1])
        while z < far:
            if not self.street.junction - 1 < z < self.street.junction + 9:
                depths.append(z)
            z += self.dice.between(*gap)
        return depths

    def traffic(self) -> None:
        """Vehicles in every lane; the camera's own lane is free for the first few metres."""
        street, dice = self.street, self.dice
        busy = dice.pick((9.0, 18.0, 40.0))
        for side in (-1, 1):
            for lane in range(street.lanes):
                x = side * (lane + 0.5) * street.lane
                start = 9.0 if abs(x - self.canvas.camera.x) < street.lane * 0.6 else 5.0
                self._lane(x, side, start, busy=busy, tram=street.tram and lane == 0)
        if math.isfinite(street.junction) and dice.chance(0.5):
            self._crosser()

    def _lane(self, x: float, side: int, start: float, *, busy: float, tram: bool) -> None:
        z = start + self.dice.between(0, busy * 1.5)
        rails = {"tram": 4.0} if tram else {}
        while z < 85:
            kind = self.dice.weighted({**TRAFFIC[self.street.kind], **rails})
            length = LENGTHS[kind]
            drift = 0.0 if kind == "tram" else self.dice.between(-0.25, 0.25)
            self._mover(kind, x + drift, z + length / 2, heading=0.0 if side > 0 else math.pi)
            z += length + 1.5 + self.dice.between(0.1, 2.0) * busy

    def _mover(self, kind: str, x: float, z: float, *, heading: float) -> None:
        if kind == "cyclist":
            self._put(z, paint_cyclist, math.copysign(abs(x) + 0.8, x), z=z)
        elif kind == "biker":
            self._put(z, paint_biker, x, z=z)
        else:
            self._put(z, paint_vehicle, DRAW[kind](self.dice), pose=Pose(x, z, heading))

    def _crosser(self) -> None:
        side = self.dice.side()
        z, x = self.street.junction + 4 - 2 * side, self.dice.between(-9, 9)
        kind = self.dice.weighted({"car": 6, "van": 1, "bus": 1, "truck": 1, "cyclist": 2})
        self._mover(kind, x, z, heading=side * math.pi / 2)

    def parked(self) -> None:
        street, dice = self.street, self.dice
        if not street.parking:
            return
        for side in (-1, 1):
            x, taken, z = side * (street.kerb - street.parking / 2), dice.between(0.3, 0.95), dice.between(2, 9)
            while z < 75:
                clear = z > street.junction + 10 or z + 7 < street.junction
                kind = dice.weighted({"car": 12, "van": 1.5, "truck": 0.3, "cycles": 1.5})
                if clear and dice.chance(taken):
                    self._park(kind, x, z + 3, side=side)
                z += dice.between(5.3, 6.4) + 4 * (kind == "truck")

    def _park(self, kind: str, x: float, z: float, *, side: int) -> None:
        if kind == "cycles":
            self._rack(x, z)
            return
        heading = self.dice.between(-0.05, 0.05) + (0.0 if side > 0 or self.dice.chance(0.2) else math.pi)
        self._put(z, paint_vehicle, DRAW[kind](self.dice), pose=Pose(x, z, heading))

    def _rack(self, x: float, z: float) -> None:
        """A few bicycles or motorcycles side by side."""
        squeeze, motor = self.dice.between(0.25, 1.0), self.dice.chance(0.35)
        for n in range(self.dice.whole(1, 5)):
            depth = z + n * self.dice.between(0.9, 1.2) * (1.0 if motor else 0.6)
            if motor:
                self._put(depth, paint_motorcycle, x, z=depth, squeeze=squeeze)
            else:
                self._put(depth, paint_bicycle, x, z=depth, squeeze=squeeze)

    def people(self) -> None:
        """Walkers on both pavements, alone or in groups, and some on the crossing."""
        street, dice = self.street, self.dice
        crowd = dice.pick((1, 3, 6, 12)) if street.kind != "edge" else dice.pick((0, 0, 2, 4))
        for _ in range(crowd):
            side, z = dice.side(), 4 + 46 * dice.between(0, 1) ** 1.5
            x = side * dice.between(street.kerb + 0.4, max(street.front - 0.3, street.kerb + 0.6))
            for _ in range(dice.pick((1, 1, 1, 2, 3))):
                z += dice.between(0.1, 0.9)
                self._put(z, paint_person, x + dice.between(-0.6, 0.6), z=z)
        if math.isfinite(street.crossing) and street.crossing > 6 and dice.chance(0.6):
            for _ in range(dice.whole(1, 5)):
                z = street.crossing + dice.between(0.3, 2.7)
                self._put(z, paint_person, dice.between(-street.kerb, street.kerb), z=z)

    def wheels(self) -> None:
        """Bicycles and motorcycles left on the pavement, cyclists along the kerb."""
        street, dice = self.street, self.dice
        for z in self._spots((12, 45), 40) if dice.chance(0.5) else ():
            self._rack(dice.side() * dice.between(street.kerb + 0.5, street.front), z=z)
        if dice.chance(0.3):
            z = dice.between(5, 24)
            self._put(z, paint_cyclist, dice.side() * (street.kerb - dice.between(0.2, 0.8)), z=z)

    def trees(self) -> None:
        street, dice = self.street, self.dice
        rows = {"centre": 0.3, "suburb": 0.45, "avenue": 0.85, "edge": 0.45}[street.kind]
        for side in (-1, 1):
            if not dice.chance(rows):
                continue
            x = side * (street.kerb + max(street.verge / 2, 0.7))
            gap, height = dice.between(6, 14), dice.between(4, 11)
            for z in self._spots((gap * 0.8, gap * 1.2), 80, start=3.0):
                self._put(z, paint_tree, x + dice.between(-0.3, 0.3), z=z, height=height * dice.between(0.8, 1.2))

    def furniture(self) -> None:
        """Lamp posts, masts, signs, bollards and bins along the kerbs."""
        street, dice = self.street, self.dice
        post, gap = (paint_mast if dice.chance(0.2) else paint_lamp_post), dice.between(14, 30)
        for side in (-1, 1):
            kerb = side * (street.kerb + 0.35)
            if dice.chance(0.8):
                for z in self._spots((gap, gap + 2), 80, start=4.0):
                    self._put(z, post, kerb, z=z)
            for z in self._spots((5, 40), 55, start=4.0):
                self._put(z, paint_sign, kerb + side * dice.between(0, 0.4), z=z)
            if dice.chance(0.2):
                z = dice.between(4, 25)
                self._put(z, paint_bollards, kerb, z=z)
            if dice.chance(0.35):
                z = dice.between(4, 30)
                self._put(z, paint_bin, side * dice.between(street.kerb + 0.6, street.front), z=z)
        if street.kind in ("avenue", "edge") and dice.chance(0.35):
            z = dice.between(16, 45)
            self._put(z, paint_gantry, street.kerb + 0.5, z=z)

    def signals(self) -> None:
        """Traffic lights before the side street or the crossing."""
        street, dice = self.street, self.dice
        z = min(street.junction - 1, street.crossing)
        if not math.isfinite(z) or not dice.chance(0.75):
            return
        state, x = dice.pick(tuple(SIGNALS)), street.kerb + 0.4
        self._put(max(z, 6.0), paint_signal, x, z=max(z, 6.0), state=state)
        self._put(max(z, 6.0) + 0.2, paint_signal, -x, z=max(z, 6.0) + 0.2, state=dice.pick(tuple(SIGNALS)))
        if dice.chance(0.6):
            self._put(z + 13, paint_signal, x, z=z + 13, state=state)

    def wires(self) -> None:
        """The trams' contact line, too thin to label."""
        if not self.street.tram:
            return
        z = np.geomspace(1.5, 80, 12)
        for x in (-self.street.lane / 2, self.street.lane / 2):
            wire = np.stack((np.full(12, x), np.full(12, 5.6), z), -1)
            flat = self.canvas.camera.project(wire).ravel().tolist()
            self.canvas.line(flat, (*self.canvas.air.shade((50, 50, 54), 20), 170), None, width=1)


def paint_life(canvas: Canvas, dice: Dice, street: Plan) -> None:
    life = Life(canvas, dice, street)
    for fill in (life.trees, life.furniture, life.signals, life.parked, life.traffic, life.wheels, life.people):
        fill()
    life.wires()
    for _, paint in sorted(life.things, key=lambda thing: -thing[0]):
        paint()
