"""Copying results, and the scores of generators that they used, from the store to reports/."""

from collections.abc import Sequence
from pathlib import Path

from mia_seg.evaluate import results
from mia_seg.evaluate.results import Result
from mia_seg.stages.generators import TrainedGenerator
from mia_seg.stages.plan import Plan
from mia_seg.stages.results import Measured
from mia_seg.workspace import Workspace


def publish(stages: Sequence[Measured], workspace: Workspace) -> tuple[tuple[Result, ...], tuple[Path, ...]]:
    """The results that exist, and their files, in order; unchanged files are not written again."""
    plan = Plan(tuple(stages), workspace.store)
    for stage in plan.stages:
        if isinstance(stage, TrainedGenerator) and stage.model.role == "victims" and plan.is_whole(stage):
            results.write_generator(workspace.reports, stage.score(workspace.store))
    found = tuple(stage.value(workspace.store) for stage in stages if plan.is_whole(stage))
    return found, tuple(results.write(workspace.reports, result) for result in found)
