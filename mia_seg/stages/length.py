"""A lower bound on the time of a plan: a run of months needs confirmation before it begins.

Times of earlier runs come from the store's journal. Otherwise steps, queries and pixels are counted, at rates that no
device reaches today.
"""

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

import torch

from mia_seg.attacks.patch_resnet50 import PatchResNet50
from mia_seg.data import Dataset
from mia_seg.errors import MiaSegError
from mia_seg.oracles.network import windows_along
from mia_seg.recipes import Window
from mia_seg.stages import Stage
from mia_seg.stages.answers import AskedModel
from mia_seg.stages.attackers import FittedAttacker
from mia_seg.stages.generators import TrainedGenerator
from mia_seg.stages.models import TrainedModel
from mia_seg.stages.plan import Plan, Step
from mia_seg.stages.shadow_members import scenes_of
from mia_seg.train._order import Plan as Steps
from mia_seg.workspace import Workspace

DAY = 86_400.0
MOST_DAYS = 30  # a run of less is seen to its end
# Seconds for one step or question, and for one pixel of it: of the smallest network, on a machine of many cores.
ON_CPU, ON_DEVICE = (5e-3, 1e-7), (1e-3, 1e-8)
Shape = tuple[int, int]


@dataclass(frozen=True)
class Work:
    """A number of steps, queries or patches, and the pixels of each."""

    count: int
    noun: str
    pixels: int

    def seconds(self, device: str) -> float:
        """A lower bound on the seconds it takes on a device."""
        accelerated = device != "cpu" and torch.accelerator.is_available()
        a_count, a_pixel = ON_DEVICE if accelerated else ON_CPU
        return self.count * (a_count + self.pixels * a_pixel)


def check(plan: Plan, workspace: Workspace, *, yes: bool) -> None:
    """Raise MiaSegError, unless `yes`, for a plan of months."""
    if not yes and (said := warning(plan, workspace)):
        raise MiaSegError(f"{said} Lower that, or add --yes to go on.")


def warning(plan: Plan, workspace: Workspace) -> str:
    """A sentence on how long a plan takes, and which stage takes longest; '' for less than a month."""
    found = list(_costs(plan, workspace))
    total = sum(seconds for seconds, _, _ in found)
    if total <= MOST_DAYS * DAY:
        return ""
    seconds, step, work = max(found, key=lambda cost: cost[0])
    counted = f"{work.count:,} {work.noun}" if work else f"{seconds / DAY:,.0f} days when it was last made"
    return f"This takes at least {total / DAY:,.0f} days: '{step.stage.title}' alone is {counted}."


def _costs(plan: Plan, workspace: Workspace) -> Iterator[tuple[float, Step, Work | None]]:
    """Seconds of each missing step; stages that are made in one pass count once."""
    passed: set[Hashable] = set()
    for step in plan.steps():
        if step.state != "missing" or (step.stage.kind, step.stage.together) in passed:
            continue
        passed.add((step.stage.kind, step.stage.together))
        work, known = _work(step.stage, workspace), step.seconds or 0.0
        counted = work.seconds(workspace.device) if work else 0.0
        yield (counted, step, work) if counted > known else (known, step, None)


def _work(stage: Stage[Any], workspace: Workspace) -> Work | None:
    """What of a stage can be counted."""
    if isinstance(stage, TrainedModel):
        train = stage.recipe.train
        steps = Steps(len(scenes_of(stage.scenes, "members")), train).steps
        return Work(steps, "steps", train.batch * prod(train.crop))
    if isinstance(stage, TrainedGenerator):
        scenes, epochs = len(scenes_of(stage.model.scenes, "members")), stage.recipe.train_generator.epochs
        return Work(scenes * epochs, "scenes", prod(stage.recipe.train.crop))
    if isinstance(stage, AskedModel):
        return _asked(stage, workspace)
    if isinstance(stage, FittedAttacker) and isinstance(stage.method, PatchResNet50):
        asked, models = stage.seen[0].audited, max(1, len(stage.seen) - 2)  # of a fleet all but a pair teach
        patches = models * len(scenes_of(asked.scenes, asked.part)) * stage.method.epochs
        return Work(patches, "patches", prod(stage.method.patch))
    return None


def _asked(stage: AskedModel, workspace: Workspace) -> Work:
    ids = scenes_of(stage.scenes, stage.part)
    dataset: Dataset = stage.scenes.dataset
    image = dataset.shape(workspace.data_root, ids[0])
    return Work(len(ids) * stage.questions, "questions", read_pixels(image, stage.model.recipe.window))


def read_pixels(image: Shape, window: Window | None) -> int:
    """How many pixels the network reads to answer about one image: those of all its windows."""
    if window is None:
        return prod(image)
    return prod(
        len(windows_along(side, min(side, size), window.overlap)) * min(side, size)
        for side, size in zip(image, window.size, strict=True)
    )
