"""Image confidence: a scene that the model is sure of is called a member (Salem et al., NDSS 2019, adversary 3).

Needs posteriors and, for its threshold alone, a shadow; no labels. What an answer tells beside its labels' errors.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from lightning_fabric import Fabric

from mia_seg.answers import Answers
from mia_seg.attacks import Attack, Attacker, Known, Scores, Thresholds
from mia_seg.metrics.membership import best_threshold


@dataclass(frozen=True)
class ConfidenceAttacker(Attacker):
    """Nothing is learned but the threshold."""

    thresholds: Thresholds

    def score(self, answers: Answers, seed: int) -> Scores:
        del seed
        return Scores(answers.statistics.confidence_N)

    def save(self, folder: Path) -> None:
        (folder / "attacker.json").write_text(json.dumps(asdict(self.thresholds)), encoding="utf-8")


class ImageConfidence(Attack):
    """Mean of the largest posterior over all pixels."""

    def fit(self, answers: Answers, known: Known, seed: int, fabric: Fabric) -> ConfidenceAttacker:
        del seed, fabric
        return ConfidenceAttacker(Thresholds(best_threshold(answers.statistics.confidence_N, known.members_N)))

    def load(self, folder: Path, fabric: Fabric) -> ConfidenceAttacker:
        del fabric
        return ConfidenceAttacker(Thresholds(**json.loads((folder / "attacker.json").read_text(encoding="utf-8"))))
