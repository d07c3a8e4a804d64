"""Paint the README's contact sheet of procedural streets: a row of scenes and a row of labels for each style.

Run: python docs/contact_sheet.py    (writes docs/streets.jpg)
"""

from pathlib import Path

import numpy as np
from PIL import Image

from mia_seg.data._labels import CITYSCAPES
from mia_seg.data.streets import STYLES, Streets

COLUMNS, SIZE = 5, (144, 192)
PALETTE = np.zeros((256, 3), np.uint8)
PALETTE[: len(CITYSCAPES)] = list(CITYSCAPES.values())


def main() -> None:
    sheet = np.vstack([np.vstack(strip(style)) for style in STYLES])
    Image.fromarray(sheet).save(Path(__file__).with_name("streets.jpg"), quality=85)


def strip(style: str) -> tuple[np.ndarray, np.ndarray]:
    """Scenes side by side, and their labels below; 'mixed' scenes of other sizes are fitted into the same cells."""
    streets = Streets(style=style, size=SIZE)
    scenes = [streets.scene(None, scene_id) for scene_id in streets.ids(None)[:COLUMNS]]
    images = [fitted(scene.image_HWC, Image.Resampling.BICUBIC) for scene in scenes]
    labels = [fitted(PALETTE[scene.labels_HW], Image.Resampling.NEAREST) for scene in scenes]
    return np.hstack(images), np.hstack(labels)


def fitted(picture: np.ndarray, how: Image.Resampling) -> np.ndarray:
    return np.asarray(Image.fromarray(picture).resize((SIZE[1], SIZE[0]), how))


if __name__ == "__main__":
    main()
