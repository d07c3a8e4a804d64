"""Fitted attackers, and the answers that they see."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from lightning_fabric import Fabric

from mia_seg.attacks import Attack, Attacker
from mia_seg.attacks._readings import Fleet
from mia_seg.evaluate.audit import membership_of
from mia_seg.evaluate.results import slug
from mia_seg.plugins import settings_of
from mia_seg.query.answers import Answers
from mia_seg.stages import Stage
from mia_seg.stages.answers import AskedModel
from mia_seg.stages.classes import CommonClasses
from mia_seg.stages.difficulty import Difficulty
from mia_seg.stages.models import TrainedModel
from mia_seg.store import Draft, Store
from mia_seg.workspace import Workspace

VERSION = 3


@dataclass(frozen=True, eq=False)
class Seen:
    """All that an attack sees of one model: stages that together are its `Answers`."""

    audited: AskedModel
    transforms: Mapping[str, AskedModel] = field(default_factory=dict)
    population: AskedModel | None = None
    difficulty: Difficulty | None = None
    classes: CommonClasses | None = None

    def inputs(self) -> dict[str, Any]:
        """The stages that are set, by name."""
        given = {
            "audited": self.audited, "transforms": dict(self.transforms), "population": self.population,
            "difficulty": self.difficulty, "classes": self.classes,
        }  # fmt: skip
        # Of other scenes than those that show such a class an attack sees nothing since it is told here.
        alone = {"labelled": True} if self.classes else {}
        return {name: value for name, value in given.items() if value} | alone

    @property
    def asked(self) -> list[AskedModel]:
        """All stages for which the model is asked."""
        return [self.audited, *self.transforms.values(), *([self.population] if self.population else [])]

    def whole(self, store: Store) -> Answers:
        """The answers in all classes, with transforms, population and difficulty."""
        return replace(
            self.audited.value(store),
            transforms={name: asked.value(store).statistics for name, asked in self.transforms.items()},
            population=self.population.value(store).statistics if self.population else None,
            difficulty_N=self.difficulty.value(store) if self.difficulty else None,
        )

    def value(self, store: Store) -> Answers:
        """What the attack is given: the answers in the classes of both sides, without scenes that show none of them.

        If no scene has labels, no scene is left out: the attack then needs no labels.
        """
        answers = self.whole(store)
        if self.audited.scenes.cut.unlabelled:
            return answers
        return (answers.only(self.classes.value(store)) if self.classes else answers).labelled()


@dataclass(frozen=True, eq=False)
class OneByOne(Sequence[Answers]):
    """The answers of several models. Each is read when it is asked for, so that memory need not hold them all."""

    seen: Sequence[Seen]
    store: Store

    def __len__(self) -> int:
        return len(self.seen)

    def __getitem__(self, model: int) -> Answers:  # type: ignore[override]
        return self.seen[model].value(self.store)


@dataclass(frozen=True, eq=False)
class FittedAttacker(Stage[Attacker]):
    """An attack fitted on shadows. seen: what it sees of each shadow, one or a whole fleet."""

    kind = "attackers"
    device = True

    called: str
    method: Attack
    shadows: tuple[TrainedModel, ...]
    seen: tuple[Seen, ...]

    @property
    def name(self) -> str:
        return f"{self.shadows[0].recipe_name}.{slug(self.called)}"

    @property
    def shadow_name(self) -> str:
        """The recipe of what it learnt from."""
        return self.shadows[0].recipe_name

    @property
    def title(self) -> str:
        return f"{self.called} on {self.shadows[0].title}, {self.seen[0].audited.defense.label}"

    def inputs(self) -> dict[str, Any]:
        knows = [{"membership": shadow.scenes.given("membership")} for shadow in self.shadows]
        seen = [seen.inputs() | known for seen, known in zip(self.seen, knows, strict=True)]
        return {"attack": settings_of(self.method), "seen": seen, "seed": self._seed, "version": VERSION}

    @property
    def _seed(self) -> int:
        return self.shadows[0].seed

    def check(self, workspace: Workspace) -> None:
        workspace.check(self._precision, f"[attacks.{settings_of(self.method)['name']}]")

    def make(self, draft: Draft, workspace: Workspace) -> None:
        store = workspace.store
        answers = OneByOne(self.seen, store)
        sides = (shadow.partition(store).only(of.ids) for shadow, of in zip(self.shadows, answers, strict=True))
        known = [membership_of(parts) for parts in sides]
        fabric = workspace.fabric(self._precision)
        if self.method.needs_fleet:
            fleet = Fleet(answers, np.stack([m.members_N for m in known]))
            attacker = self.method.fit_fleet(fleet, self._seed, fabric=fabric)
        else:
            attacker = self.method.fit(answers[0], known[0], self._seed, fabric=fabric)
        attacker.save(draft.folder)

    def load(self, folder: Path) -> Attacker:
        return self.method.load(folder, Fabric(accelerator="cpu", devices=1))

    def attacker(self, workspace: Workspace) -> Attacker:
        """The fitted attacker on the workspace's device."""
        folder = self.artefact(workspace.store).check()
        return self.method.load(folder, workspace.fabric("32-true"))  # it only places the weights

    @property
    def _precision(self) -> str:
        return str(getattr(self.method, "precision", "32-true"))


@dataclass(frozen=True, eq=False)
class Rehearsed:
    """A fitted attack on a fleet whose models stand in for the victim, and the defense that they answer behind."""

    defense: str
    fitted: FittedAttacker
