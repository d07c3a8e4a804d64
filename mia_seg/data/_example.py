"""The pairs of a data set's `example`: tiny, alike in every run, and no two images the same."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image


def squares(values: Iterable[int], size: tuple[int, int], seed: int = 0, *, side: int = 1) -> np.ndarray:
    """Labels uint8 [H, W]: squares of `side` pixels that run through `values`, over and over, from the seed-th on."""
    height, width = size
    run = np.roll(np.array([*values], np.uint8), -seed)
    grid = np.resize(run, (-(-height // side), -(-width // side)))
    return grid.repeat(side, 0).repeat(side, 1)[:height, :width]


def save_pair(image: Path, labels: Path, stored: np.ndarray, *, seed: int, mode: str = "") -> None:
    """A label file with `stored` (ids [H, W] or colours [H, W, 3]), and a photograph of it with noise of its own."""
    noise = np.random.default_rng(seed).integers(0, 80, (*stored.shape[:2], 3))
    colours = stored if stored.ndim == 3 else stored[..., None] % 13 * 14
    save(image, (colours + noise).clip(0, 255).astype(np.uint8))
    save(labels, stored, mode)


def save(path: Path, pixels: np.ndarray, mode: str = "") -> None:
    """An image file. mode: 'P' keeps the values and gives them colours; any other is Pillow's to convert to."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    if mode == "P":
        image.putpalette([(37 * k + channel) % 256 for k in range(256) for channel in range(3)])
    elif mode:
        image = image.convert(mode)
    image.save(path)


def write(path: Path, text: str) -> None:
    """A text file beside the images: a list, a table of names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
