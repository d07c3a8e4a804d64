"""Light, weather and lens of a street, drawn once a scene: what makes a city, a night or a mixed day."""

import math
from dataclasses import dataclass, replace

from mia_seg.data._streets.dice import RGB, Dice, mixed, scaled


@dataclass(frozen=True)
class Air:
    """What lies between a surface and its pixel. Colours 0..255; shares 0..1."""

    ambient: RGB  # multiplies every albedo
    sky: RGB  # overhead
    haze: RGB  # at the horizon, and of everything far away
    density: float  # of the haze, per metre
    sun: float  # -1 (from the left) .. 1 (from the right)
    sunny: float  # 0 overcast .. 1 hard shadows
    clouds: float
    wet: float
    rain: float
    dark: float  # 0 day .. 1 night: lamps count
    lamp: RGB
    green: RGB  # this season's leaves
    saturation: float
    contrast: float
    noise: float  # of the sensor, grey levels
    vignette: float
    blur: float  # pixels

    def shade(self, colour: RGB, z: float, light: float = 1.0) -> tuple[int, int, int]:
        """The pixel of an albedo at depth z, lit by `light`."""
        keep = math.exp(-self.density * z) if z > 0 else 1.0
        (r, g, b), (ar, ag, ab), (hr, hg, hb) = colour, self.ambient, self.haze
        veil = 1 - keep
        return (
            int(min(255.0, r * ar * light) * keep + hr * veil),
            int(min(255.0, g * ag * light) * keep + hg * veil),
            int(min(255.0, b * ab * light) * keep + hb * veil),
        )


LEAVES: dict[RGB, float] = {
    (72, 98, 44): 4,
    (58, 84, 46): 3,
    (96, 112, 54): 2,
    (140, 112, 44): 0.8,  # autumn
    (112, 94, 72): 0.7,  # bare
}


def city(dice: Dice) -> Air:
    """European daylight: a pale sky, soft contrast, haze."""
    sunny = dice.between(0.3, 1.0) if dice.chance(0.45) else dice.between(0.0, 0.2)
    level = dice.between(0.88, 1.08) + 0.12 * sunny
    rainy = dice.chance(0.12)
    haze = dice.near((222, 226, 230), 7)
    return Air(
        ambient=(level * (0.98 + 0.05 * sunny), level, level * (1.02 - 0.08 * sunny)),
        sky=mixed(haze, (104, 152, 218), (0.25 + 0.75 * sunny) * dice.between(0.3, 1.0)),
        haze=haze,
        density=dice.between(0.002, 0.007) + (0.006 if rainy else 0.0),
        sun=dice.between(-1, 1),
        sunny=sunny,
        clouds=dice.between(0.0, 0.9),
        wet=dice.between(0.3, 0.7) if rainy else 0.0,
        rain=dice.between(0.0, 0.5) if rainy else 0.0,
        dark=0.0,
        lamp=(255, 226, 180),
        green=dice.near(dice.weighted(LEAVES), 8),
        saturation=dice.between(0.8, 1.2),
        contrast=dice.between(0.95, 1.15),
        noise=dice.between(1.5, 4.0),
        vignette=dice.between(0.05, 0.2),
        blur=dice.between(0.0, 0.35),
    )


def night(dice: Dice) -> Air:
    """A dashcam after dark: little light, orange or greenish lamps, rain every other time."""
    lamp = dice.near(dice.pick(((255, 176, 84), (255, 196, 120), (206, 232, 176), (226, 232, 226))), 8)
    dark = dice.between(0.55, 1.0)
    level = 0.78 - 0.38 * dark
    rainy = dice.chance(0.45)
    zenith = mixed((58, 66, 96), (10, 12, 20), dark)
    cast = mixed(lamp, (150, 170, 220), dice.between(0.3, 0.9))
    return Air(
        ambient=scaled(cast, level / 200),
        sky=zenith,
        haze=mixed(zenith, lamp, dice.between(0.12, 0.4) * (1.3 - dark)),
        density=dice.between(0.002, 0.008),
        sun=dice.between(-1, 1),
        sunny=0.0,
        clouds=dice.between(0.0, 0.5),
        wet=dice.between(0.4, 1.0) if rainy else dice.between(0.0, 0.25),
        rain=dice.between(0.2, 1.0) if rainy else 0.0,
        dark=dark,
        lamp=lamp,
        green=dice.near(dice.weighted(LEAVES), 8),
        saturation=dice.between(0.8, 1.15),
        contrast=dice.between(0.95, 1.25),
        noise=dice.between(3.0, 8.0),
        vignette=dice.between(0.1, 0.4),
        blur=dice.between(0.1, 0.6),
    )


def assorted(dice: Dice) -> Air:
    """Any country, phone and hour: strong sun, dusk, snow-white skies, faded and gaudy lenses."""
    air = night(dice) if dice.chance(0.08) else city(dice)
    warm = dice.between(-0.12, 0.16)
    level = dice.between(0.7, 1.15)
    r, g, b = air.ambient
    clear: RGB = dice.near(dice.pick(((86, 146, 222), (120, 170, 226), (206, 210, 214), (236, 198, 160))), 10)
    return replace(
        air,
        ambient=(r * level * (1 + warm), g * level, b * level * (1 - warm)),
        sky=mixed(air.sky, scaled(clear, 1 - 0.85 * air.dark), 0.7),
        density=air.density * dice.between(0.3, 1.6),
        saturation=dice.between(0.55, 1.5),
        contrast=dice.between(0.8, 1.3),
        noise=dice.between(1.0, 5.0),
        vignette=dice.between(0.0, 0.45),
        blur=dice.between(0.0, 0.65),
    )
