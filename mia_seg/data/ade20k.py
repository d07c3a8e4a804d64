"""ADE20K (Zhou et al., CVPR 2017) as its scene parsing benchmark has it: 150 classes, photographs of all sizes."""

from pathlib import Path
from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from mia_seg.data import IGNORE
from mia_seg.data._example import save, save_pair, squares
from mia_seg.data._files import by_stem, folder, inside
from mia_seg.data._paired import Found, Paired, look_up

# The first name of each line of the benchmark's objectInfo150.txt; 'screen' has a line of its own beside 'crt screen'.
CLASSES = tuple(
    """
wall, building, sky, floor, tree, ceiling, road, bed, windowpane, grass, cabinet, sidewalk, person, earth, door,
table, mountain, plant, curtain, chair, car, water, painting, sofa, shelf, house, sea, mirror, rug, field,
armchair, seat, fence, desk, rock, wardrobe, lamp, bathtub, railing, cushion, base, box, column, signboard,
chest of drawers, counter, sand, sink, skyscraper, fireplace, refrigerator, grandstand, path, stairs, runway, case,
pool table, pillow, screen door, stairway, river, bridge, bookcase, blind, coffee table, toilet, flower, book,
hill, bench, countertop, stove, palm, kitchen island, computer, swivel chair, boat, bar, arcade machine, hovel,
bus, towel, light, truck, tower, chandelier, awning, streetlight, booth, television, airplane, dirt track, apparel,
pole, land, bannister, escalator, ottoman, bottle, buffet, poster, stage, van, ship, fountain, conveyer belt,
canopy, washer, plaything, swimming pool, stool, barrel, basket, waterfall, tent, bag, minibike, cradle, oven,
ball, food, step, tank, trade name, microwave, pot, animal, bicycle, lake, dishwasher, screen, blanket, sculpture,
hood, sconce, vase, traffic light, tray, ashcan, fan, pier, crt screen, plate, monitor, bulletin board, shower,
radiator, glass, clock, flag
""".replace("\n", " ")
    .strip()
    .split(", ")
)
TO_CLASS = {0: IGNORE} | {k + 1: k for k in range(len(CLASSES))}


class ADE20K(Paired):
    """`<data root>/ADEChallengeData2016/images/<folder>/ADE_train_00000001.jpg`, `annotations/<folder>/<same>.png`.

    From sceneparsing.csail.mit.edu: ADEChallengeData2016.zip. Label 0, "other objects", is ignored; 1-150 are classes.
    """

    official: ClassVar[dict[str, int]] = {"training": 20_210, "validation": 2000}

    folders: tuple[Literal["training", "validation"], ...] = Field(
        default=("training", "validation"), description="which folders; the test images have no labels"
    )

    def classes(self) -> tuple[str, ...]:
        return CLASSES

    def parts(self) -> tuple[str, ...]:
        return self.folders

    def root(self, data_root: Path | None) -> Path:
        return folder(data_root, "ADEChallengeData2016")

    def find(self, root: Path, part: str) -> Found:
        where, labels = inside(root, f"images/{part}"), inside(root, f"annotations/{part}")
        return where, by_stem(where, ".jpg"), by_stem(labels, ".png")

    @classmethod
    def example(cls, data_root: Path) -> Self:
        """ADEChallengeData2016.zip; a photograph may be grey."""
        root = data_root / "ADEChallengeData2016"
        stems = ("training/ADE_train_00000001", "training/ADE_train_00000002", "validation/ADE_val_00000001")
        for k, stem in enumerate(stems):
            stored = squares(range(len(CLASSES) + 1), (10, 16), k)
            save_pair(root / "images" / f"{stem}.jpg", root / "annotations" / f"{stem}.png", stored, seed=k)
        save(root / "images" / f"{stems[1]}.jpg", squares(range(len(CLASSES) + 1), (10, 16)))
        return cls()

    def decode(self, stored: np.ndarray, path: Path) -> np.ndarray:
        return look_up(stored, TO_CLASS, path)
