"""The plan of a street: how wide, how built, crossed where, and from where it is seen."""

import math
from dataclasses import dataclass

from mia_seg.data._streets.canvas import SUPERSAMPLE, Camera
from mia_seg.data._streets.dice import Dice

FAR = 130.0  # metres: the street ends here

KINDS: dict[str, dict[str, float]] = {
    "city": {"centre": 0.42, "suburb": 0.2, "avenue": 0.24, "edge": 0.14},
    "night": {"centre": 0.3, "suburb": 0.14, "avenue": 0.28, "edge": 0.28},
    "mixed": {"centre": 0.27, "suburb": 0.27, "avenue": 0.23, "edge": 0.23},
}


@dataclass(frozen=True)
class Plan:
    """The layout in metres. x = 0 is the road's middle line and traffic keeps right."""

    kind: str  # centre, suburb, avenue or edge (of town)
    lanes: int  # in either direction
    lane: float
    parking: float  # width of a parking strip along either kerb, 0 without
    verge: float  # of grass, between kerb and pavement
    pavement: float
    junction: float  # depth at which a side street crosses; infinite without
    crossing: float  # depth of a zebra crossing; infinite without
    tram: bool

    @property
    def kerb(self) -> float:
        return self.lanes * self.lane + self.parking

    @property
    def front(self) -> float:
        """Where pavements end and plots begin."""
        return self.kerb + self.verge + self.pavement


def plan(dice: Dice, style: str) -> Plan:
    kind = dice.weighted(KINDS[style])
    wide = 0.25 + 0.3 * (style == "night") + 0.35 * (kind in ("avenue", "edge"))
    lanes = 1 + dice.chance(wide) + dice.chance(wide / 4)
    junction = dice.between(12, 45) if dice.chance(0.4) else math.inf
    before = junction - 4 if dice.chance(0.7) else dice.between(7, 30)
    return Plan(
        kind=kind,
        lanes=lanes,
        lane=dice.between(2.8, 3.4) + 0.3 * (style == "night"),
        parking=dice.between(2.0, 2.4) if dice.chance(0.15 if kind == "edge" else 0.6) else 0.0,
        verge=dice.between(0.6, 3.5) if dice.chance({"centre": 0.05, "suburb": 0.3}.get(kind, 0.5)) else 0.0,
        pavement=dice.between(2.2, 6.0) if kind != "edge" or dice.chance(0.6) else dice.between(0.3, 0.9),
        junction=junction,
        crossing=before if dice.chance(0.45) else math.inf,
        tram=kind in ("centre", "avenue") and dice.chance(0.4),
    )


def camera(dice: Dice, style: str, street: Plan, *, size: tuple[int, int]) -> Camera:
    """Where the scene is seen from: a car's roof or windscreen; in mixed scenes also on foot and from above."""
    height, width = size[0] * SUPERSAMPLE, size[1] * SUPERSAMPLE
    view = dice.weighted({"drive": 5, "foot": 3, "above": 2}) if style == "mixed" else "drive"
    x, eye, horizon = _viewpoint(dice, view, street)
    wide = {"city": (0.85, 1.15), "night": (0.7, 0.95), "mixed": (0.6, 1.2)}[style]
    tilt = 0.045 if style == "mixed" else 0.012
    return Camera(
        height=height,
        width=width,
        focal=math.sqrt(height * width) * dice.between(*wide),
        x=x,
        eye=eye,
        centre=width * (0.5 + dice.between(-0.12, 0.12) * (2 if view == "foot" else 1)),
        horizon=height * (horizon + dice.between(-0.06, 0.06)),
        bend=dice.between(-1, 1) * dice.pick((0.0005, 0.002, 0.006)),
        rise=dice.between(-0.0006, 0.0008),
        roll=dice.between(-tilt, tilt),
    )


def _viewpoint(dice: Dice, view: str, street: Plan) -> tuple[float, float, float]:
    """Position across the street, eye height, and the horizon's share of the picture's height."""
    lane = dice.whole(1, street.lanes) - 0.5
    if view == "foot":
        return street.kerb + dice.between(0.3, 0.7) * (street.front - street.kerb), dice.between(1.4, 1.8), 0.46
    if view == "above":
        return street.lane * lane, dice.between(2.8, 5.5), 0.33
    return street.lane * lane + dice.between(-0.4, 0.4), dice.between(1.2, 1.7), 0.49
