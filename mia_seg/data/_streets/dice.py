"""The dice of one scene: cheap scalar draws from one generator, and colours off the palette."""

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import TypeVar

import numpy as np

RGB = tuple[float, float, float]
T = TypeVar("T")


class Dice:
    """Scalar draws from `rng`, fetched in bulk because a scene asks for thousands of them."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self._stream = self._uniforms()

    def _uniforms(self) -> Iterator[float]:
        while True:
            yield from self.rng.random(2048).tolist()

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * next(self._stream)

    def chance(self, probability: float) -> bool:
        return next(self._stream) < probability

    def whole(self, low: int, high: int) -> int:
        """An integer from low to high, both included."""
        return low + int((high - low + 1) * next(self._stream))

    def side(self) -> int:
        """Left (-1) or right (1)."""
        return 1 if self.chance(0.5) else -1

    def pick(self, options: Sequence[T]) -> T:
        return options[int(len(options) * next(self._stream))]

    def weighted(self, weights: Mapping[T, float]) -> T:
        """A key, as often as its weight says; the weights need not sum to one."""
        marks = list(accumulate(weights.values()))
        return list(weights)[bisect_right(marks, next(self._stream) * marks[-1], hi=len(marks) - 1)]

    def near(self, colour: RGB, spread: float = 14.0) -> RGB:
        """`colour`, lighter or darker by up to twice `spread` and a little off in hue."""
        shift = self.between(-2 * spread, 2 * spread)
        half = spread / 2
        r, g, b = colour
        return (
            min(255.0, max(0.0, r + shift + self.between(-half, half))),
            min(255.0, max(0.0, g + shift + self.between(-half, half))),
            min(255.0, max(0.0, b + shift + self.between(-half, half))),
        )


def scaled(colour: RGB, factor: float) -> RGB:
    return (colour[0] * factor, colour[1] * factor, colour[2] * factor)


def mixed(first: RGB, second: RGB, share: float) -> RGB:
    """`share` of the second colour in the first."""
    r, g, b = (f + (s - f) * share for f, s in zip(first, second, strict=True))
    return (r, g, b)
