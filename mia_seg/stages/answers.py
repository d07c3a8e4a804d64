"""Answers of a model, defended or not, to some scenes. One pass serves every defense that only changes the answer."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from mia_seg import query
from mia_seg.data import Dataset, Scenes
from mia_seg.defenses import AnswerDefense, Defense, NetworkDefense
from mia_seg.evaluate.results import slug
from mia_seg.oracles import Oracle, as_is
from mia_seg.plugins import Selected, settings_of
from mia_seg.query import Recording, answers, transforms
from mia_seg.query.answers import Answers
from mia_seg.stages import Stage, settled
from mia_seg.stages.generators import TrainedGenerator
from mia_seg.stages.models import Model, TrainedModel
from mia_seg.stages.scenes import Divided, Part
from mia_seg.store import Draft, Store, digest
from mia_seg.workspace import Workspace


@dataclass(frozen=True, eq=False)
class AskedModel(Stage[Answers]):
    """Answers of a model to one part of some scenes, which need not be the model's own.

    repeats: how often each scene is asked about; the mean is kept.
    transform: ask about transformed scenes instead (`mia_seg.query.transforms`).
    own: the model's prediction for the untransformed scene replaces its labels.
    """

    kind = "answers"
    device = True

    model: Model
    scenes: Divided
    part: Part
    defense: Selected[Defense]
    stride: int
    generator: TrainedGenerator | None = None
    repeats: int = 1
    transform: str | None = None
    own: bool = False

    @property
    def name(self) -> str:
        return f"{self.model.recipe_name}.{slug(self.defense.label)}"

    @property
    def title(self) -> str:
        part = "audited scenes" if self.part == "audited" else "the pool"
        own = "against its own labels" if self.own else ""
        how = (part, self.defense.label, self.transform, own, f"{self.repeats} times" if self.repeats > 1 else "")
        return f"{self.model.title}: {', '.join(filter(None, how))}"

    @property
    def questions(self) -> int:
        """How often the model is asked for each scene."""
        return self.repeats + self.own

    def keys(self, scene_id: str) -> list[int]:
        """The keys under which it is asked for a scene, one a question."""
        asked, seed = transforms.name_of(scene_id, self.transform) if self.transform else scene_id, self.model.seed
        own = [query.key(scene_id, seed)] if self.own else []
        return own + [query.key(asked, seed, k) for k in range(self.repeats)]

    def inputs(self) -> dict[str, Any]:
        generator = {"generator": self.generator} if self.generator else {}
        return self._pass | {"defense": settings_of(self.defense.component)} | generator

    @property
    def _pass(self) -> dict[str, Any]:
        """What one pass over the scenes is: all but what a defense makes of an answer."""
        window = self.model.recipe.inputs("window")
        scenes = {"scenes": self.scenes.given(self.part), "stride": self.stride, "seed": self.model.seed}
        more = {"repeats": self.repeats} if self.repeats > 1 else {}
        changed = {"transform": [self.transform, transforms.VERSION]} if self.transform else {}
        own = {"labels": "own"} if self.own else {}
        return {"model": self.model, "version": query.VERSION} | window | scenes | more | changed | own

    @property
    def together(self) -> Hashable:
        if self.own or not isinstance(self.defense.component, AnswerDefense):  # each predicts labels of its own
            return self.digest
        return digest(settled(self._pass))

    def make(self, draft: Draft, workspace: Workspace) -> None:
        self.make_together([self], [draft], workspace)

    @classmethod
    def make_together(cls, stages: Sequence[Self], drafts: Sequence[Draft], workspace: Workspace) -> None:
        """Ask once about each scene; every defense stores its own version of the answer."""
        first = stages[0]
        dataset, ids = first.ids(workspace.store)
        called = ", ".join(stage.defense.label for stage in stages)
        changed = f", {first.transform}" if first.transform else ""
        query.query(
            first._oracle(workspace),
            Scenes(dataset, workspace.data_root, ids),
            [Recording(draft.folder, stage._release) for stage, draft in zip(stages, drafts, strict=True)],
            stride=first.stride,
            seed=first.model.seed,
            title=f"  asking {first.model.title} ({called}{changed})",
            repeats=first.repeats,
            transform=first.transform,
            own=first.own,
        )

    def load(self, folder: Path) -> Answers:
        return answers.load(folder)

    def ids(self, store: Store) -> tuple[Dataset, list[str]]:
        """The scenes that are asked about."""
        parts = self.scenes.partition(store)
        return self.scenes.dataset, parts.pool if self.part == "pool" else parts.audited

    @property
    def _release(self) -> Any:
        defense = self.defense.component
        return defense.release if isinstance(defense, AnswerDefense) else as_is

    def service(self, workspace: Workspace) -> Oracle:
        """The model behind its defense, as users see it."""
        oracle, defense = self._oracle(workspace), self.defense.component
        return defense.wrap(oracle) if isinstance(defense, AnswerDefense) else oracle

    def _oracle(self, workspace: Workspace) -> Oracle:
        model, defense = self.model, self.defense.component
        if not isinstance(defense, NetworkDefense):
            _, ids = self.ids(workspace.store)
            return model.oracle(workspace, {query.key(i, model.seed): i for i in ids})
        assert isinstance(model, TrainedModel), "a door has no network: refused before"
        store = workspace.store
        network = self.generator.paired(store) if self.generator else model.network(store)
        workspace.fabric("32-true").to_device(network)
        return defense.guard(network, model.recipe.window)
