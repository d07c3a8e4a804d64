"""Damaged image and label files, read through a data set: each gives a scene or one sentence, never a traceback.

Run: python benchmarks/damaged_files.py [--files 10000] [--seed 0]
There are sound pairs in every format. In each round one file, image or labels, is damaged: bits are flipped, it is cut,
two stretches are swapped, or it grows. A format without checks of its own may then give wrong pixels without an error.
The benchmark counts how often it does, by comparison with the sound file. A sentence is odd if it does not name the
file or has several lines. The exit code is 1 after an odd sentence, a traceback or a warning.
"""

import argparse
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from mia_seg.data import Scenes
from mia_seg.data.folder import Folder
from mia_seg.errors import MiaSegError

SIZE = (40, 56)
MAP = 'classes = ["a", "b", "c"]\nmap = [{name = "a", id = 0}, {name = "b", id = 1}, {name = "c", id = 2}]\n'
# Format -> suffix, Pillow's name, how it is saved.
LOSSLESS = {
    "PNG": (".png", "PNG", {}), "TIFF": (".tif", "TIFF", {}),
    "TIFF, LZW": (".tif", "TIFF", {"compression": "tiff_lzw"}),
    "BMP": (".bmp", "BMP", {}), "WebP, lossless": (".webp", "WEBP", {"lossless": True}),
}  # fmt: skip
EXIF = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x03\0\0\0\0\0\0"  # orientation 3
IMAGES = LOSSLESS | {"JPEG": (".jpg", "JPEG", {"exif": EXIF}), "WebP": (".webp", "WEBP", {})}
Damage = Callable[[bytearray, np.random.Generator], bytes]


def flip(content: bytearray, rng: np.random.Generator) -> bytes:
    """One to eight bits, half of the time in the first 200 bytes, where the headers are."""
    end = min(200, len(content)) if rng.random() < 0.5 else len(content)
    for place in rng.integers(0, end, rng.integers(1, 9)):
        content[place] ^= 1 << int(rng.integers(8))
    return bytes(content)


def cut(content: bytearray, rng: np.random.Generator) -> bytes:
    return bytes(content[: rng.integers(len(content))])


def swap(content: bytearray, rng: np.random.Generator) -> bytes:
    """Two stretches of up to 64 bytes change places."""
    length = int(rng.integers(1, min(64, len(content) // 2)))
    first = int(rng.integers(len(content) - 2 * length + 1))
    second = int(rng.integers(first + length, len(content) - length + 1))
    content[first : first + length], content[second : second + length] = (
        content[second : second + length],
        content[first : first + length],
    )
    return bytes(content)


def grow(content: bytearray, rng: np.random.Generator) -> bytes:
    """Up to 4096 bytes more, at the end or anywhere."""
    place = len(content) if rng.random() < 0.5 else int(rng.integers(len(content)))
    return bytes(content[:place]) + rng.bytes(int(rng.integers(1, 4096))) + bytes(content[place:])


KINDS = ("as it was", "other pixels", "sentence", "odd sentence", "traceback")
DAMAGES: list[Damage] = [flip, cut, swap, grow]


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--files", type=int, default=10_000)
    options.add_argument("--seed", type=int, default=0)
    given = options.parse_args()
    warnings.simplefilter("error")
    counts: Counter[tuple[str, str, str]] = Counter()
    with tempfile.TemporaryDirectory() as temporary:
        dataset, files = write(Path(temporary))
        rng = np.random.default_rng(given.seed)
        for _ in range(given.files):
            side, name, path = files[int(rng.integers(len(files)))]
            damage = DAMAGES[int(rng.integers(len(DAMAGES)))]
            counts[side, name, outcome(dataset, path, damage, rng=rng)] += 1
    return told(counts)


def write(root: Path) -> tuple[Folder, list[tuple[str, str, Path]]]:
    """Two pairs a format, one with the image and one with the labels in it; side, format and path of those files."""
    rng, files = np.random.default_rng(0), []
    images, labels = root / "toy/images", root / "toy/labels"
    for name, (suffix, form, how) in IMAGES.items():
        pixels = rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8)
        files.append(("image", name, save(images / f"image {name}{suffix}", Image.fromarray(pixels), form, **how)))
        save(labels / f"image {name}.png", Image.fromarray(squares(rng)), "PNG")
    for name, (suffix, form, how) in LOSSLESS.items():
        drawn = Image.fromarray(squares(rng))
        files.append(("labels", name, save(labels / f"labels {name}{suffix}", drawn, form, **how)))
        save(images / f"labels {name}.png", Image.new("RGB", SIZE[::-1]), "PNG")
    (root / "map.toml").write_text(MAP)
    return Folder(path="toy", class_map=str(root / "map.toml")), files


def squares(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 3, (SIZE[0] // 8, SIZE[1] // 8), dtype=np.uint8).repeat(8, 0).repeat(8, 1)


def save(path: Path, image: Image.Image, form: str, **how) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = BytesIO()
    image.save(content, form, **how)
    path.write_bytes(content.getvalue())
    return path


def outcome(dataset: Folder, path: Path, damage: Damage, *, rng: np.random.Generator) -> str:
    """One of KINDS for one damaged file, which is mended again."""
    root, sound = path.parents[2], path.read_bytes()
    stem = next(s for s in dataset.ids(root) if path in dataset.files(root, s))
    whole = Scenes(dataset, root, [stem])[0]
    path.write_bytes(damage(bytearray(sound), rng))
    try:
        scene = Scenes(dataset, root, [stem])[0]
        same = np.array_equal(scene.image_HWC, whole.image_HWC) and np.array_equal(scene.labels_HW, whole.labels_HW)
        return "as it was" if same else "other pixels"
    except MiaSegError as error:
        return "sentence" if path.name in str(error) and "\n" not in str(error) else "odd sentence"
    except BaseException:
        traceback.print_exc()
        return "traceback"
    finally:
        path.write_bytes(sound)


def told(counts: Counter[tuple[str, str, str]]) -> int:
    print("| side | format | files | " + " | ".join(KINDS) + " |\n|---|---|---:|" + "---:|" * len(KINDS))
    for side, name in sorted({(side, name) for side, name, _ in counts}):
        row = [counts[side, name, kind] for kind in KINDS]
        print(f"| {side} | {name} | {sum(row)} | " + " | ".join(map(str, row)) + " |")
    total = [sum(count for (_, _, kind), count in counts.items() if kind == wanted) for wanted in KINDS]
    print(f"| all | | {sum(total)} | " + " | ".join(map(str, total)) + " |")
    return int(total[-1] + total[-2] > 0)


if __name__ == "__main__":
    sys.exit(main())
