"""Attacks that score a scene by one number. Only the threshold is learned."""

import json
from abc import abstractmethod
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from lightning_fabric import Fabric

from mia_seg.attacks import ATTACKER, Attack, Attacker, Membership, Scores, Thresholds
from mia_seg.metrics.membership import best_threshold
from mia_seg.query.answers import Answers


class StatisticAttack(Attack):
    """A subclass defines `signal`, the number."""

    @abstractmethod
    def signal(self, answers: Answers) -> np.ndarray:
        """One number a scene [N], finite; higher = more likely a member."""

    def scores(self, answers: Answers) -> Scores:
        """The number of every scene, and other scores if a subclass has them."""
        return Scores(self.signal(answers))

    def fit(self, answers: Answers, known: Membership, seed: int, *, fabric: Fabric) -> "StatisticAttacker":
        del seed, fabric
        scores_N = self.signal(answers)
        return StatisticAttacker(self, Thresholds(best_threshold(scores_N, known.members_N)))

    def load(self, folder: Path, fabric: Fabric) -> "StatisticAttacker":
        del fabric
        return StatisticAttacker(self, Thresholds(**json.loads((folder / ATTACKER).read_text(encoding="utf-8"))))


@dataclass(frozen=True)
class StatisticAttacker(Attacker):
    """The number and its threshold."""

    settings: StatisticAttack
    thresholds: Thresholds

    def score(self, answers: Answers, seed: int) -> Scores:
        del seed
        return self.settings.scores(answers)

    def save(self, folder: Path) -> None:
        (folder / ATTACKER).write_text(json.dumps(asdict(self.thresholds)), encoding="utf-8")
