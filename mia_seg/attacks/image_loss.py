"""Image loss: a scene with a small mean cross-entropy is called a member (Yeom et al., CSF 2018, on dense labels)."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from lightning_fabric import Fabric

from mia_seg.answers import Answers
from mia_seg.attacks import Attack, Attacker, Known, Scores, Thresholds
from mia_seg.metrics.membership import best_threshold


@dataclass(frozen=True)
class LossAttacker(Attacker):
    """Nothing is learned but the threshold."""

    thresholds: Thresholds

    def score(self, answers: Answers, seed: int) -> Scores:
        del seed
        return Scores(-answers.statistics.mean_loss())

    def save(self, folder: Path) -> None:
        (folder / "attacker.json").write_text(json.dumps(asdict(self.thresholds)), encoding="utf-8")


class ImageLoss(Attack):
    """The baseline: needs labels, posteriors and, for its threshold alone, a shadow."""

    def fit(self, answers: Answers, known: Known, seed: int, fabric: Fabric) -> LossAttacker:
        del seed, fabric
        return LossAttacker(Thresholds(best_threshold(-answers.statistics.mean_loss(), known.members_N)))

    def load(self, folder: Path, fabric: Fabric) -> LossAttacker:
        del fabric
        return LossAttacker(Thresholds(**json.loads((folder / "attacker.json").read_text(encoding="utf-8"))))
