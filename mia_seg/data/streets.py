"""Procedural street scenes in the 19 Cityscapes train ids, drawn from a seed and an index: nothing to download."""

from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from mia_seg.data import Dataset, Scene
from mia_seg.data._labels import CITYSCAPES
from mia_seg.data._streets.air import Air, assorted, city, night
from mia_seg.data._streets.canvas import Canvas
from mia_seg.data._streets.develop import develop, paint_sky
from mia_seg.data._streets.dice import Dice
from mia_seg.data._streets.ground import paint_ground
from mia_seg.data._streets.life import paint_life
from mia_seg.data._streets.plan import camera, plan
from mia_seg.data._streets.plots import paint_plots, paint_skyline
from mia_seg.data._streets.vehicles import paint_bonnet
from mia_seg.errors import MiaSegError
from mia_seg.values import Whole

Style = Literal["city", "night", "mixed"]
STYLES: tuple[Style, ...] = ("city", "night", "mixed")  # the position is part of the scenes' seeds
BONNET: dict[Style, float] = {"city": 0.15, "night": 0.25, "mixed": 0.0}  # how often the own car is in the picture
# Larger ones are painted in minutes each.
Side = Annotated[Whole, Field(ge=32, le=8192)]


class Streets(Dataset):
    """Street scenes that are independent draws from one distribution, so members and non-members are exchangeable.

    A scene is a function of its id and the size alone; a larger `count` only appends scenes.
    """

    listing: ClassVar[frozenset[str]] = frozenset({"count", "seed", "style"})  # an id names style and seed

    size: tuple[Side, Side] = Field(default=(96, 128), description="height and width in pixels, each at least 32")
    style: Style = Field(
        default="city",
        description="city: clear or hazy daylight from a car. night: dashcam in the dark, often wet. "
        "mixed: any light, viewpoint and lens; height and width each vary by up to a quarter",
    )
    count: Whole = Field(default=1000, ge=1, le=10**6, description="how many scenes there are")
    seed: Whole = Field(default=0, ge=0, le=2**63 - 1, description="the world's seed: another seed, other scenes")

    def classes(self) -> tuple[str, ...]:
        return tuple(CITYSCAPES)

    @classmethod
    def example(cls, data_root: Path) -> Self:
        """A few small scenes, which need no files."""
        del data_root
        return cls(size=(32, 48), count=5)

    def ids(self, data_root: Path | None) -> list[str]:
        """All ids; `data_root` is not used."""
        del data_root
        return [self._id(index) for index in range(self.count)]

    def scene(self, data_root: Path | None, scene_id: str) -> Scene:
        """Paint one scene; the same id gives the same bytes in any process."""
        del data_root
        return Scene(scene_id, *self._render(self._index(scene_id)))

    def shape(self, data_root: Path | None, scene_id: str) -> tuple[int, int]:
        """Only 'mixed' scenes vary: the size is the first thing that each of them draws."""
        del data_root
        index = self._index(scene_id)
        return self._vary(self._dice(index)) if self.style == "mixed" else self.size

    def _id(self, index: int) -> str:
        return f"{self.style}-{self.seed}-{index:06d}"

    def _index(self, scene_id: str) -> int:
        digits = scene_id.rpartition("-")[2]
        index = int(digits) if digits.isdecimal() and digits.isascii() else self.count
        if index >= self.count or scene_id != self._id(index):
            raise MiaSegError(
                f"streets has no scene '{scene_id}': with these settings ids run from {self._id(0)} to "
                f"{self._id(self.count - 1)}. Take one of these, or change style, seed or count."
            )
        return index

    def _render(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        dice = self._dice(index)
        size = self._vary(dice) if self.style == "mixed" else self.size
        air, street = self._air(dice), plan(dice, self.style)
        lens = camera(dice, self.style, street, size=size)
        canvas = Canvas(lens, air, paint_sky(dice, air, lens))
        paint_skyline(canvas, dice, street)
        paint_ground(canvas, dice, street)
        paint_plots(canvas, dice, street)
        paint_life(canvas, dice, street)
        if dice.chance(BONNET[self.style]):
            paint_bonnet(canvas, dice)
        image, labels = develop(canvas, dice)
        if self.style == "mixed" and dice.chance(0.35):  # somewhere that drives on the left
            image, labels = image[:, ::-1].copy(), labels[:, ::-1].copy()
        return image, labels

    def _dice(self, index: int) -> Dice:
        return Dice(np.random.default_rng(np.random.SeedSequence((STYLES.index(self.style), self.seed, index))))

    def _air(self, dice: Dice) -> Air:
        return {"city": city, "night": night, "mixed": assorted}[self.style](dice)

    def _vary(self, dice: Dice) -> tuple[int, int]:
        """A size within a quarter of the set one, in steps of 8 pixels, as data sets of many cameras have."""
        height, width = (side + 8 * dice.whole(-(side // 32), side // 32) for side in self.size)
        return height, width
