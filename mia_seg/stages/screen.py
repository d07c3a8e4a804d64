"""Attacks without a shadow: the auditor knows the members of the own model, and chooses thresholds on them."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mia_seg.attacks import ATTACKER, Attacker, Membership, Scores, Thresholds
from mia_seg.attacks._threshold import StatisticAttack
from mia_seg.evaluate.audit import membership_of
from mia_seg.evaluate.results import slug
from mia_seg.metrics.membership import best_threshold
from mia_seg.plugins import settings_of
from mia_seg.query.answers import Answers
from mia_seg.stages import Stage
from mia_seg.stages.attackers import Seen
from mia_seg.stages.models import Model
from mia_seg.store import Draft, write_json
from mia_seg.workspace import Workspace

VERSION = 1


@dataclass(frozen=True, eq=False)
class CrossFitted(Stage[Attacker]):
    """A statistic of the victim's answers. The threshold of each scene is chosen on the other half of the scenes.

    So no scene's threshold depends on its own membership.
    """

    kind = "attackers"

    called: str
    method: StatisticAttack
    victim: Model
    told: Seen

    @property
    def name(self) -> str:
        return f"{self.victim.recipe_name}.{slug(self.called)}"

    @property
    def title(self) -> str:
        return f"{self.called} on {self.victim.title} itself, {self.told.audited.defense.label}"

    @property
    def shadow_name(self) -> str:
        """The word that replaces a shadow's name in results."""
        return "screen"

    @property
    def shadows(self) -> tuple[Model, ...]:
        """The models on which thresholds are chosen: the victim."""
        return (self.victim,)

    @property
    def seen(self) -> tuple[Seen, ...]:
        """What is seen of these models."""
        return (self.told,)

    def inputs(self) -> dict[str, Any]:
        known = {"membership": self.victim.scenes.given("membership"), "seed": self.victim.seed}
        return {"attack": settings_of(self.method), "seen": self.told.inputs(), "crossed": VERSION} | known

    def make(self, draft: Draft, workspace: Workspace) -> None:
        answers = self.told.value(workspace.store)
        known = membership_of(self.victim.partition(workspace.store).only(answers.ids))
        threshold_N = crossed(self.method.signal(answers), known, self.victim.seed)
        write_json(draft.folder / ATTACKER, dict(zip(answers.ids, threshold_N.tolist(), strict=True)))

    def load(self, folder: Path) -> Attacker:
        kept = json.loads((folder / ATTACKER).read_text(encoding="utf-8"))
        return CrossFittedAttacker(self.method, Thresholds(float(np.mean(list(kept.values())))), kept)

    def attacker(self, workspace: Workspace) -> Attacker:
        """The attacker; it needs no device."""
        return self.value(workspace.store)


@dataclass(frozen=True)
class CrossFittedAttacker(Attacker):
    """A statistic with a threshold for each scene, by id."""

    settings: StatisticAttack
    thresholds: Thresholds
    of_scene: dict[str, float]

    def score(self, answers: Answers, seed: int) -> Scores:
        del seed
        return replace(self.settings.scores(answers), threshold_N=np.array([self.of_scene[i] for i in answers.ids]))

    def save(self, folder: Path) -> None:
        write_json(folder / ATTACKER, self.of_scene)


def crossed(scores_N: np.ndarray, known: Membership, seed: int) -> np.ndarray:
    """The threshold of each scene [N]: the best one on the other half. Halves hold whole groups of both sides evenly.

    If a side is a single group, there is no other half: every scene gets the median of all scores, which depends on no
    membership.
    """
    first_N, rng = np.zeros(len(scores_N), bool), np.random.default_rng(seed)
    for side in (known.members_N, ~known.members_N):
        groups = np.unique(known.groups_N[side])
        if len(groups) < 2:
            return np.full(len(scores_N), np.median(scores_N))
        first_N |= side & np.isin(known.groups_N, rng.permutation(groups)[: len(groups) // 2])
    others = {half: first_N != half for half in (True, False)}
    found = {half: best_threshold(scores_N[rest], known.members_N[rest]) for half, rest in others.items()}
    return np.where(first_N, found[True], found[False])
