"""Trees and bushes: heaps of leaf clusters, dark below and lit from the sun's side."""

import numpy as np

from mia_seg.data._streets.canvas import VEGETATION, Canvas, Stamp
from mia_seg.data._streets.dice import RGB, Dice, scaled


def paint_tree(canvas: Canvas, dice: Dice, x: float, *, z: float, height: float) -> None:
    if not canvas.camera.sees(x, z, height / 2):
        return
    stamp = Stamp(canvas, x, z, label=VEGETATION)
    bark = dice.near((84, 70, 58))
    bole, thick = height * dice.between(0.22, 0.42), 0.05 + height * 0.02
    lean = dice.between(-0.05, 0.05) * height
    stamp.poly(((-thick, 0), (thick, 0), (lean + thick * 0.6, bole * 1.5), (lean - thick * 0.6, bole * 1.5)), bark)
    for _ in range(3):
        tip = (lean + dice.between(-0.25, 0.25) * height, height * dice.between(0.6, 0.9))
        stamp.line(((lean * 0.7, bole), tip), thick * 0.6, bark)
    crown = (height - bole) / 2
    radii = (crown * dice.between(0.6, 1.1), crown)
    _clusters(stamp, dice, (lean, bole + crown), radii=radii, green=dice.near(canvas.air.green, 8))


def paint_bush(
    canvas: Canvas, dice: Dice, x: float, *, z: float, size: float, base: float = 0.0, green: RGB | None = None
) -> None:
    """A bush `size` metres high whose foot is `base` above the ground."""
    if z < 1 or not canvas.camera.sees(x, z, size):
        return
    stamp = Stamp(canvas, x, z, label=VEGETATION, ground=base)
    _clusters(stamp, dice, (0, size / 2), radii=(size * 0.6, size / 2), green=green or dice.near(canvas.air.green, 10))


def _clusters(stamp: Stamp, dice: Dice, middle: tuple[float, float], *, radii: tuple[float, float], green: RGB) -> None:
    """Leaf clusters inside an ellipse; the bigger it is on the canvas, the more of them."""
    (x, y), (rx, ry) = middle, radii
    n = int(np.clip(ry * stamp.scale * 0.9, 5, 130))
    angle, reach = dice.rng.uniform(0, 2 * np.pi, n), np.sqrt(dice.rng.uniform(0, 1, n))
    dx, dy = (reach * np.cos(angle)).tolist(), (reach * np.sin(angle)).tolist()
    grain = dice.rng.uniform(0.75, 1.25, n).tolist()
    sun = stamp.canvas.air.sun * stamp.canvas.air.sunny
    cluster = float(0.09 + 0.95 / np.sqrt(n))
    # From the bottom up, so that lit clusters lie over those in shade.
    for k in np.argsort(dy).tolist():
        lit = 0.8 + 0.28 * dy[k] + 0.22 * sun * dx[k]
        size = cluster * dice.between(0.6, 1.2)
        stamp.oval(
            x + dx[k] * rx * 0.85, y + dy[k] * ry * 0.85, rx * size, ry=ry * size, colour=scaled(green, lit * grain[k])
        )
