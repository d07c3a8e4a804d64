"""What a request leaves below reports/: a copy of every result, and the scores of the generators that it used."""

from collections.abc import Sequence
from pathlib import Path

from mia_seg.evaluate import results
from mia_seg.evaluate.results import Result
from mia_seg.stages.generators import TrainedGenerator
from mia_seg.stages.plan import Plan
from mia_seg.stages.results import Measured
from mia_seg.workspace import Workspace


def publish(stages: Sequence[Measured], workspace: Workspace) -> tuple[tuple[Result, ...], tuple[Path, ...]]:
    """The results that are whole and their files, in order; a file that says the same already is left as it is."""
    plan = Plan(tuple(stages), workspace.store)
    for stage in plan.stages:
        if isinstance(stage, TrainedGenerator) and stage.model.role == "victims" and plan.is_whole(stage):
            results.write_generator(workspace.reports, stage.score(workspace.store))
    found = tuple(stage.value(workspace.store) for stage in stages if plan.is_whole(stage))
    return found, tuple(results.write(workspace.reports, result) for result in found)
