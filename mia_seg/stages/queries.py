"""The queries of a plan to models behind doors, counted and compared with a budget before any is sent."""

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mia_seg.errors import MiaSegError
from mia_seg.oracles import examples
from mia_seg.oracles.doors._kept import Kept
from mia_seg.oracles.network import windows
from mia_seg.stages.answers import AskedModel
from mia_seg.stages.existing import ExistingModel
from mia_seg.stages.plan import Plan
from mia_seg.stages.shadow_members import scenes_of
from mia_seg.store import ASKED
from mia_seg.workspace import Workspace


@dataclass(frozen=True)
class Question:
    """One image under one key. scene: None for an example of the owner's. windows: how many queries it takes."""

    scene: str | None
    key: int
    windows: int


@dataclass(frozen=True)
class Queries:
    """The most queries of a plan to one model. door: its name. kept: the answers that were paid for."""

    door: str
    questions: Sequence[Question]
    kept: Kept | None

    @property
    def count(self) -> int:
        """The number of queries, without retries after failures."""
        return sum(question.windows for question in self.questions)

    @cached_property
    def there(self) -> int:
        """How many are answered already, under the same key."""
        if self.kept is None:
            return 0
        answered = self.kept.answered()
        return sum(min(question.windows, answered[question.key]) for question in self.questions)

    def __str__(self) -> str:
        """'300 scenes, 4 windows a scene': what they come from, and what of them is kept."""
        times = Counter(question.scene for question in self.questions)
        images, most = times.pop(None, 0), max(times.values(), default=0)
        each = [question.windows for question in self.questions if question.scene is not None]
        parts = [_many(len(times), "scene"), f"{_range(each)} a scene"] if times else []
        parts += [f"each asked about up to {most} times"] if most > 1 else []
        parts += [_many(images, "example")] if images else []
        parts += [f"{_many(self.there, 'answer')} kept"] if self.there else []
        return ", ".join(parts)


def queries(plan: Plan, data_root: Path | None) -> list[Queries]:
    """The queries of a plan, for each model behind a door. Answers that a door keeps count once, others each time."""
    found: dict[Hashable, tuple[str, list[Question], Kept | None]] = {}
    for model, questions in _asked(plan, data_root):
        kept = model.door.kept(plan.store.root / ASKED)
        place = model.recipe_name if kept is None else kept.folder
        found.setdefault(place, (model.recipe.door["name"], [], kept))[1].extend(questions)
    return [Queries(door, _once(asked) if kept else asked, kept) for door, asked, kept in found.values()]


def check(plan: Plan, workspace: Workspace) -> None:
    """Raise MiaSegError if a budget does not pay for all queries that are still to be sent."""
    for found in queries(plan, workspace.data_root):
        kept, lacking = found.kept, found.count - found.there
        if kept and kept.left is not None and lacking > kept.left:
            raise MiaSegError(
                f"Door '{found.door}': {lacking:,} queries are still to be sent ({found}), and [door] budget = "
                f"{kept.budget} leaves {kept.left} ({kept.sent} were sent). Raise it to {kept.sent + lacking} or more, "
                f"or ask about fewer scenes."
            )


def _asked(plan: Plan, data_root: Path | None) -> Iterator[tuple[ExistingModel, list[Question]]]:
    """Each model as often as a missing stage asks it; stages that are made in one pass ask once."""
    passed: set[Hashable] = set()
    for stage in plan.missing:
        if isinstance(stage, ExistingModel):
            yield stage, _questions(stage, stage.first_look() * 2, data_root) + _examples(stage)
        elif isinstance(stage, AskedModel) and isinstance(stage.model, ExistingModel) and stage.together not in passed:
            passed.add(stage.together)
            asked = [(i, key) for i in scenes_of(stage.scenes, stage.part) for key in stage.keys(i)]
            yield stage.model, _questions(stage.model, asked, data_root)


def _questions(model: ExistingModel, asked: Sequence[tuple[str, int]], data_root: Path | None) -> list[Question]:
    """Of scenes under keys; where there are no windows, no scene's size is read."""
    if model.recipe.window is None:
        return [Question(scene, key, 1) for scene, key in asked]
    windows_of = {scene: _windows(model, model.dataset.shape(data_root, scene)) for scene in dict(asked)}
    return [Question(scene, key, windows_of[scene]) for scene, key in asked]


def _examples(model: ExistingModel) -> list[Question]:
    """The owner's, which a door must reproduce; their keys are their places."""
    if model.door.examples is None:
        return []
    sizes = examples.sizes(Path.cwd() / model.door.examples)
    return [Question(None, key, _windows(model, size)) for key, size in enumerate(sizes)]


def _windows(model: ExistingModel, size: tuple[int, int]) -> int:
    window = model.recipe.window
    return 1 if window is None else len(list(windows(size, window)))


def _once(asked: Sequence[Question]) -> list[Question]:
    """One for each key; of one that is asked in several ways the dearest."""
    return list({question.key: question for question in sorted(asked, key=lambda one: one.windows)}.values())


def _range(windows_Q: Sequence[int]) -> str:
    """'1 window', '4 windows', '4 to 6 windows'."""
    low, high = min(windows_Q), max(windows_Q)
    return f"{low} to {high} windows" if low < high else _many(low, "window")


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
