"""The easel of a street: a camera that turns metres into pixels, and a canvas painted in colour and label at once.

World axes in metres: x to the right of the road's middle line, y up from the road, z ahead of the camera.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from mia_seg.data._labels import CITYSCAPES
from mia_seg.data._streets.air import Air
from mia_seg.data._streets.dice import RGB

Floats = npt.NDArray[np.float64]
Points = Sequence[tuple[float, float]]

SUPERSAMPLE = 2
NEAR = 0.35  # metres: what is nearer is drawn as if it were there
THINNEST = 2  # canvas pixels: thinner labels would come and go with the nearest-pixel sampling

# fmt: off
(ROAD, PAVEMENT, BUILDING, WALL, FENCE, POLE, LIGHT, SIGN, VEGETATION, TERRAIN, SKY, PERSON, RIDER,
 CAR, TRUCK, BUS, TRAIN, MOTORCYCLE, BICYCLE) = range(len(CITYSCAPES))
# fmt: on


@dataclass(frozen=True)
class Camera:
    """A pinhole at (x, eye, 0) that looks along z. The world bends and rises with depth, so streets curve.

    Pixels are the canvas's, so SUPERSAMPLE times the scene's.
    """

    height: int
    width: int
    focal: float
    x: float
    eye: float
    centre: float  # column of the vanishing point
    horizon: float  # row of the vanishing point
    bend: float
    rise: float
    roll: float

    def project(self, points: Floats) -> Floats:
        """Pixels (column, row) of points (..., 3)."""
        z = np.maximum(points[..., 2], NEAR)
        scale = self.focal / z
        du = (points[..., 0] - self.x) * scale + (self.focal * self.bend / 2) * z + (self.centre - self.width / 2)
        dv = (self.eye - points[..., 1]) * scale - (self.focal * self.rise / 2) * z + (self.horizon - self.height / 2)
        # What is this far outside needs no precision, and Pillow no more than it can count.
        du = np.minimum(np.maximum(du, -20 * self.width), 20 * self.width)
        uv = np.empty((*z.shape, 2))
        uv[..., 0] = du + self.roll * dv + self.width / 2
        uv[..., 1] = dv - self.roll * du + self.height / 2
        return uv

    def scale(self, z: float) -> float:
        """Pixels a metre at depth z."""
        return self.focal / max(z, NEAR)

    def sees(self, x: float, z: float, margin: float = 3.0) -> bool:
        """Whether something `margin` metres around (x, z) can fall into the picture."""
        shift = self.scale(z) * (x - self.x + self.bend / 2 * z**2)
        return -margin * self.scale(z) < self.centre + shift < self.width + margin * self.scale(z)


@dataclass(frozen=True)
class Lamp:
    """A light source in canvas pixels; it shines if its own label is still seen there."""

    u: float
    v: float
    ground: float  # row of the ground below it
    radius: float
    colour: RGB
    label: int
    flood: float  # how much it lights the ground, 0..1


class Canvas:
    """Colour and labels side by side, painted from far to near."""

    def __init__(self, camera: Camera, air: Air, sky: Image.Image) -> None:
        self.camera = camera
        self.air = air
        self.image = sky
        self.labels = Image.new("L", sky.size, SKY)
        self.lamps: list[Lamp] = []
        self._pen = ImageDraw.Draw(self.image, "RGBA")
        self._tag = ImageDraw.Draw(self.labels)

    def polygon(self, uv: Floats, pixel: tuple[int, ...], label: int | None = None) -> None:
        """Fill a polygon of pixels. No label: what lies beneath keeps its own. A fourth channel of `pixel` is alpha."""
        flat = uv.ravel().tolist()
        self._pen.polygon(flat, fill=pixel)
        if label is not None:
            self._tag.polygon(flat, fill=label)

    def mark(self, points: Floats, label: int) -> None:
        """Label a polygon of the world and leave its colours: what shows through a fence is still the fence."""
        self._tag.polygon(self.camera.project(points).ravel().tolist(), fill=label)

    def face(
        self, points: Floats, colour: RGB, label: int | None = None, *, light: float = 1.0, alpha: int = 255
    ) -> None:
        """Fill a polygon (N, 3) of the world."""
        depth = float(points[0, 2] + points[len(points) // 2, 2]) / 2
        pixel = self.air.shade(colour, depth, light)
        self.polygon(self.camera.project(points), (*pixel, alpha), label)

    def ground(self, points: Floats, colour: RGB, label: int | None = None, *, alpha: int = 255) -> None:
        """Fill a polygon (N, 3) that lies flat; it gets its haze row by row when the scene is developed."""
        self.polygon(self.camera.project(points), (*self.air.shade(colour, 0), alpha), label)

    def oval(self, box: tuple[float, float, float, float], pixel: tuple[int, ...], label: int | None) -> None:
        self._pen.ellipse(box, fill=pixel)
        if label is not None:
            self._tag.ellipse(box, fill=label)

    def ring(
        self, box: tuple[float, float, float, float], pixel: tuple[int, ...], label: int | None, *, width: int
    ) -> None:
        """A hoop in colour, a full disc in labels: annotators fill wheels."""
        self._pen.ellipse(box, outline=pixel, width=width)
        if label is not None:
            self._tag.ellipse(box, fill=label)

    def line(self, flat: list[float], pixel: tuple[int, ...], label: int | None, *, width: float) -> None:
        """A stroke through pixels [u, v, u, v, ...]."""
        self._pen.line(flat, fill=pixel, width=max(1, round(width)))
        if label is not None:
            self._tag.line(flat, fill=label, width=max(THINNEST, round(width)))


class Stamp:
    """Paints an upright figure that faces the camera, in metres from its foot at (x, ground, z).

    `squeeze` narrows it, as a bicycle seen from behind is; negative mirrors it.
    """

    def __init__(
        self,
        canvas: Canvas,
        x: float,
        z: float,
        *,
        label: int,
        squeeze: float = 1.0,
        light: float = 1.0,
        ground: float = 0.0,
    ) -> None:
        self.canvas = canvas
        self.label = label
        self.z = z
        self.light = light
        self.scale = canvas.camera.scale(z)
        self.across = self.scale * squeeze
        foot = canvas.camera.project(np.array((x, ground, z)))
        self.u, self.v = float(foot[0]), float(foot[1])

    def pixel(self, colour: RGB) -> tuple[int, int, int]:
        return self.canvas.air.shade(colour, self.z, self.light)

    def at(self, x: float, y: float) -> tuple[float, float]:
        return self.u + x * self.across, self.v - y * self.scale

    def poly(self, points: Points, colour: RGB) -> None:
        uv = np.array([self.at(x, y) for x, y in points])
        self.canvas.polygon(uv, self.pixel(colour), self.label)

    def box(self, x: float, y: float, width: float, *, height: float, colour: RGB) -> None:
        """A rectangle around (x, y)."""
        w, h = width / 2, height / 2
        self.poly(((x - w, y - h), (x + w, y - h), (x + w, y + h), (x - w, y + h)), colour)

    def _bounds(self, x: float, y: float, rx: float, *, ry: float) -> tuple[float, float, float, float]:
        u, v = self.at(x, y)
        half = max(abs(rx * self.across), 0.5)
        return (u - half, v - ry * self.scale, u + half, v + ry * self.scale)

    def oval(self, x: float, y: float, rx: float, *, ry: float, colour: RGB) -> None:
        self.canvas.oval(self._bounds(x, y, rx, ry=ry), self.pixel(colour), self.label)

    def wheel(self, x: float, y: float, r: float, *, colour: RGB, width: float) -> None:
        thick = max(1, round(width * self.scale))
        self.canvas.ring(self._bounds(x, y, r, ry=r), self.pixel(colour), self.label, width=thick)

    def line(self, points: Points, width: float, colour: RGB) -> None:
        flat = [c for x, y in points for c in self.at(x, y)]
        self.canvas.line(flat, self.pixel(colour), self.label, width=width * self.scale)

    def lamp(self, x: float, y: float, radius: float, *, colour: RGB, flood: float = 0.1) -> None:
        """A small light, and its glow by night; `radius` in metres is the glow's."""
        u, v = self.at(x, y)
        r = max(0.8, radius * self.scale / 6)
        pixel = (int(colour[0]), int(colour[1]), int(colour[2]))
        self.canvas.oval((u - r, v - r, u + r, v + r), pixel, self.label)
        self.canvas.lamps.append(Lamp(u, v, self.v, radius * self.scale, colour, self.label, flood))
