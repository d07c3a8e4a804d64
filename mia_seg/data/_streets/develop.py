"""From canvas to photograph: sky, surface texture, wet reflections, lamps, rain, lens and sensor.

Axes: H rows and W columns of the finished scene, C colours.
"""

import numpy as np
from PIL import Image, ImageFilter

from mia_seg.data._streets.air import Air
from mia_seg.data._streets.canvas import (
    BUILDING,
    FENCE,
    PAVEMENT,
    ROAD,
    SKY,
    SUPERSAMPLE,
    TERRAIN,
    VEGETATION,
    WALL,
    Camera,
    Canvas,
    Lamp,
)
from mia_seg.data._streets.dice import Dice, mixed

Pixels = np.ndarray  # float
Bytes = np.ndarray  # uint8

# How strongly, as a share of its brightness, each surface shows grain (single pixels), blotches (a few pixels)
# and stains (a seventh of the picture).
GRAIN = {ROAD: 0.025, PAVEMENT: 0.03, BUILDING: 0.02, VEGETATION: 0.12, TERRAIN: 0.08, WALL: 0.04, FENCE: 0.04}
BLOTCH = {ROAD: 0.015, PAVEMENT: 0.025, BUILDING: 0.025, VEGETATION: 0.15, TERRAIN: 0.09, WALL: 0.05, FENCE: 0.03}
STAIN = {ROAD: 0.06, PAVEMENT: 0.06, BUILDING: 0.05, VEGETATION: 0.07, TERRAIN: 0.1, WALL: 0.08, FENCE: 0.05}
# And what lies in perspective: stones and stains of the ground, courses of masonry.
PAVED = {ROAD: 0.05, PAVEMENT: 0.06, TERRAIN: 0.1}
BUILT = {BUILDING: 0.03, WALL: 0.07}
TILE = 256  # a power of two, so that a mask wraps it
GROUND = (ROAD, PAVEMENT, TERRAIN)


def noise(rng: np.random.Generator, height: int, width: int, *, cell: float) -> Pixels:
    """Smooth noise of unit variance or so, whose bumps are `cell` pixels wide."""
    rows, columns = int(height / cell) + 2, int(width / cell) + 2
    coarse = Image.fromarray(rng.standard_normal((rows, columns), dtype=np.float32))
    return np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))


def paint_sky(dice: Dice, air: Air, camera: Camera) -> Image.Image:
    """The first layer: a gradient to the horizon, clouds, the sun's halo, by night a glow over the town."""
    height, width = camera.height // SUPERSAMPLE, camera.width // SUPERSAMPLE
    horizon = camera.horizon / SUPERSAMPLE
    low = np.clip(np.arange(height, dtype=np.float32) / max(horizon, 1), 0, 1)[:, None, None]
    sky = np.array(air.sky, np.float32) * (1 - low**1.5) + np.array(air.haze, np.float32) * low**1.5
    cover = sum(noise(dice.rng, height, width, cell=width / n) / n for n in (3, 7, 16, 34)) * 2.2 + air.clouds - 0.6
    cloud = np.array(mixed(air.haze, (250, 250, 252), 0.5 * (1 - air.dark)), np.float32)
    share = np.clip(cover, 0, 1)[..., None] * (0.75 - 0.5 * air.dark)
    sky = sky * (1 - share) + cloud * share * (1 + 0.12 * noise(dice.rng, height, width, cell=width / 9)[..., None])
    if air.sunny > 0.5 and dice.chance(0.35):
        u, v = width * (0.5 + 0.6 * air.sun), horizon * dice.between(0.1, 0.8)
        far = np.hypot(np.arange(width) - u, np.arange(height)[:, None] - v) / width
        sky = sky + 150 * np.exp(-(far[..., None] ** 2) * 60)
    return _picture(sky).resize((camera.width, camera.height), Image.Resampling.BILINEAR)


def develop(canvas: Canvas, dice: Dice) -> tuple[Bytes, Bytes]:
    """The finished image_HWC and labels_HW."""
    labels = np.asarray(canvas.labels)[1::SUPERSAMPLE, 1::SUPERSAMPLE].copy()
    image = np.asarray(canvas.image.reduce(SUPERSAMPLE)).astype(np.float32)
    image *= _texture(canvas, dice, labels)[..., None]
    image = _haze(canvas, image, labels)
    if canvas.air.wet:
        image = _wet(canvas, dice, image, labels=labels)
    if canvas.air.dark > 0.2:
        image = _night(canvas, image, labels)
    if canvas.air.rain:
        image = _rain(canvas.air, dice, image)
    return _expose(canvas.air, dice, image), labels


def _picture(image: Pixels) -> Image.Image:
    return Image.fromarray(np.clip(image, 0, 255).astype(np.uint8))


def _amplitude(strengths: dict[int, float], labels: Bytes, otherwise: float = 0.02) -> Pixels:
    table = np.full(256, otherwise, np.float32)
    table[list(strengths)] = list(strengths.values())
    table[SKY] = 0.0
    return table[labels]


def _texture(canvas: Canvas, dice: Dice, labels: Bytes) -> Pixels:
    """What to multiply every pixel with, so that no surface is flat."""
    height, width = labels.shape
    # Details are as large in the scene as in the world, so they grow with the picture.
    unit = max(1.0, height / 110)
    texture = 1 + _amplitude(GRAIN, labels) * dice.rng.standard_normal((height, width), dtype=np.float32)
    texture += _amplitude(BLOTCH, labels) * noise(dice.rng, height, width, cell=2.2 * unit)
    texture += _amplitude(STAIN, labels) * noise(dice.rng, height, width, cell=width / 7)
    texture += _amplitude(PAVED, labels, 0.0) * _ground(canvas.camera, dice, labels)
    texture += _amplitude(BUILT, labels, 0.0) * _masonry(canvas.camera, dice, labels)
    return np.clip(texture, 0.3, 1.9)


def _depth(camera: Camera, height: int) -> Pixels:
    """How far the ground is in every row, in metres."""
    rows = np.arange(height, dtype=np.float32) * SUPERSAMPLE
    return np.asarray(camera.focal * camera.eye / np.maximum(rows - camera.horizon, 1.0), np.float32)


def _haze(canvas: Canvas, image: Pixels, labels: Bytes) -> Pixels:
    """The ground fades into the distance; what stands on it was painted faded."""
    veil = 1 - np.exp(-canvas.air.density * _depth(canvas.camera, len(labels)))
    share = veil[:, None, None] * np.isin(labels, GROUND)[..., None]
    return image + (np.array(canvas.air.haze, np.float32) - image) * share


def _ground(camera: Camera, dice: Dice, labels: Bytes) -> Pixels:
    """Noise that lies on the ground plane: fine and stretched far away, coarse at the camera's feet."""
    height, width = labels.shape
    tile = dice.rng.standard_normal((TILE, TILE), dtype=np.float32)
    columns, depth = np.arange(width, dtype=np.float32) * SUPERSAMPLE, _depth(camera, height)
    across = (columns[None, :] - camera.centre) * depth[:, None] / camera.focal + camera.x
    fade = np.clip(12 / depth, 0, 1)[:, None]
    result = np.zeros((height, width), np.float32)
    for cells in (23.0, 7.0, 1.7):  # cells a metre
        row = (depth * cells * 0.5).astype(np.int32) & (TILE - 1)
        result += tile[row[:, None], (across * cells).astype(np.int32) & (TILE - 1)] * 0.6
    return (result * fade).astype(np.float32)


def _masonry(camera: Camera, dice: Dice, labels: Bytes) -> Pixels:
    """Courses of stone on two walls along the street, in perspective."""
    height, width = labels.shape
    tile = dice.rng.standard_normal((TILE, TILE), dtype=np.float32)
    rows, columns = (np.arange(n, dtype=np.float32) * SUPERSAMPLE for n in (height, width))
    depth = camera.focal * 8.0 / np.maximum(np.abs(columns - camera.centre), 4.0)
    up = camera.eye - (rows[:, None] - camera.horizon) * depth / camera.focal
    fade = np.clip(14 / depth, 0, 1)
    course, stone = (up * 2.5).astype(np.int32) & (TILE - 1), (depth * 1.2).astype(np.int32) & (TILE - 1)
    return np.asarray(tile[course, stone] * fade, np.float32)


def _wet(canvas: Canvas, dice: Dice, image: Pixels, *, labels: Bytes) -> Pixels:
    """Roads mirror what stands above the horizon, smeared downwards and broken by puddles."""
    height, width = labels.shape
    horizon = int(np.clip(canvas.camera.horizon / SUPERSAMPLE, 1, height - 1))
    mirror = _picture(image[np.clip(2 * horizon - np.arange(height), 0, height - 1)])
    # Squashing the rows and stretching them again smears the mirror image downwards.
    smear = mirror.resize((width, max(3, height // 9))).resize((width, height), Image.Resampling.BICUBIC)
    puddles = np.clip(0.55 + 0.4 * noise(dice.rng, height, width, cell=width / 6), 0, 1)
    share = canvas.air.wet * 0.65 * puddles * ((labels == ROAD) + 0.4 * (labels == PAVEMENT))
    share = share[..., None].astype(np.float32)
    return np.asarray(image * (1 - 0.2 * share) * (1 - share) + np.asarray(smear) * share)


def _night(canvas: Canvas, image: Pixels, labels: Bytes) -> Pixels:
    """The own headlights, then every lamp that is seen."""
    height, width = labels.shape
    ground = np.isin(labels, GROUND)
    middle = np.array(((canvas.camera.centre / SUPERSAMPLE, height * 1.02),))
    reach = np.array(((width * 0.42, height * 0.34),))
    beam = _bumps(ground.shape, middle, reach, colours=np.array(((1.3, 1.25, 1.1),)) * (0.5 + 0.9 * canvas.air.dark))
    image = image * (1 + beam * np.where(ground, 1.0, 0.45)[..., None])
    lamps = [lamp for lamp in canvas.lamps if _shines(canvas, lamp)]
    return _lamplight(canvas.air, lamps, image, labels=labels) if lamps else image


def _lamplight(air: Air, lamps: list[Lamp], image: Pixels, *, labels: Bytes) -> Pixels:
    """Pools of light on the ground, glows around the lamps, and their streaks on wet roads."""
    height, width = labels.shape
    spot = np.array([(lamp.u, lamp.v) for lamp in lamps]) / SUPERSAMPLE
    foot = np.array([(lamp.u, lamp.ground) for lamp in lamps]) / SUPERSAMPLE
    radius = np.array([lamp.radius for lamp in lamps])[:, None] / SUPERSAMPLE
    radius = np.clip(radius, 1.0, width / 12) * (1.0, 1.0)
    colour = np.array([lamp.colour for lamp in lamps]) * (0.3 + 0.4 * air.dark)
    flood = np.array([[lamp.flood] for lamp in lamps])
    pool = _bumps(labels.shape, foot, radius * (5, 1.8), colours=colour * flood / 70)
    image = image * (1 + pool * np.where(np.isin(labels, GROUND), 1.0, 0.5)[..., None])
    glow = _bumps(labels.shape, spot, radius * 0.55, colours=colour) + _bumps(
        labels.shape, spot, radius * 2.2, colours=colour * 0.13
    )
    streak = colour * 0.45 * (0.05 + 0.95 * air.wet)
    glow += _bumps(labels.shape, foot, radius * 0.5 + (0, height / 9), colours=streak) * (labels == ROAD)[..., None]
    # Many lamps saturate the eye instead of adding up.
    return image + 200 * (1 - np.exp(-glow / 200))


def _shines(canvas: Canvas, lamp: Lamp) -> bool:
    inside = 0 <= lamp.u < canvas.camera.width and 0 <= lamp.v < canvas.camera.height
    return inside and canvas.labels.getpixel((int(lamp.u), int(lamp.v))) == lamp.label


def _bumps(shape: tuple[int, ...], spots: Pixels, radii: Pixels, *, colours: Pixels) -> Pixels:
    """A sum of N Gaussian spots (u, v), radii (across, down) and colours as an image: (H, W, 3)."""
    across = np.exp(-(((np.arange(shape[1]) - spots[:, :1]) / radii[:, :1]) ** 2)).astype(np.float32)
    down = np.exp(-(((np.arange(shape[0]) - spots[:, 1:]) / radii[:, 1:]) ** 2)).astype(np.float32)
    return np.stack([(down * c[:, None]).T @ across for c in colours.astype(np.float32).T], -1)


def _rain(air: Air, dice: Dice, image: Pixels) -> Pixels:
    """Streaks in the air and, through a windscreen, drops that blur what lies behind."""
    height, width = image.shape[:2]
    starts = dice.rng.random((height, width)) < 0.004 + 0.012 * air.rain
    veil = np.zeros((height, width), bool)
    for n in range(max(3, height // 22)):
        veil |= np.roll(starts, (n, n // 3), (0, 1))
    image = image + 26 * air.rain * (1 - 0.5 * air.dark) * veil[..., None]
    drops = np.clip(noise(dice.rng, height, width, cell=max(3.0, height / 24)) - 1.75 + 0.5 * air.rain, 0, 1)
    soft = np.asarray(_picture(image).filter(ImageFilter.GaussianBlur(height / 30)))
    share = np.minimum(drops * 2.5, 0.85)[..., None]
    return np.asarray(image * (1 - share) + soft * (1.1 * share))


def _expose(air: Air, dice: Dice, image: Pixels) -> Bytes:
    """Lens and sensor: saturation, contrast, vignette, blur, noise."""
    height, width = image.shape[:2]
    grey = (image @ np.array((0.3, 0.59, 0.11), np.float32))[..., None]
    image = grey + (image - grey) * air.saturation
    middle = 110 - 60 * air.dark
    image = middle + (image - middle) * air.contrast
    rows, columns = (np.linspace(-1, 1, n, dtype=np.float32) ** 2 for n in (height, width))
    image = image * (1 - air.vignette / 2 * (rows[:, None] + columns))[..., None]
    if air.blur > 0.1:
        # A lens blurs in proportion to the picture, not by pixels.
        image = np.asarray(_picture(image).filter(ImageFilter.GaussianBlur(air.blur * max(1.0, height / 200))))
    image = image + air.noise * dice.rng.standard_normal((height, width, 3), dtype=np.float32)
    return np.clip(image, 0, 255).astype(np.uint8)
