"""The patch attack beside a fleet: a patch of an answer, with how much less it loses than where the scene was left out.

The thesis's learned attack (`patch_resnet50`) cannot tell an easy scene from one that was trained on. Here its network
also sees, cell by cell, the loss less the mean loss of those shadows that left the scene out: what calibration (Watson
et al., ICLR 2022) takes from a scene's mean. Needs labels and posteriors, one query a scene, and a fleet.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import torch
from lightning_fabric import Fabric
from pydantic import Field
from torch import Tensor

from mia_seg.attacks import Scores, ShadowCurvePoint
from mia_seg.attacks._readings import Fleet
from mia_seg.attacks.patch_resnet50 import Cut, PatchAttacker, PatchResNet50, Side, learnt, represent
from mia_seg.errors import MiaSegError
from mia_seg.query.answers import Answer, Answers

OUTSIDE = "outside.npz"
FEWEST = 4  # when a pair is left out, one is to compare with


class PatchFleet(PatchResNet50):
    """Settings as `patch_resnet50` has them. The last pair of shadows chooses epoch and threshold, the others teach."""

    representation: Literal["concat", "loss"] = Field(
        default="concat", description="further channels: posterior and one-hot labels, or the loss map"
    )

    needs_fleet: ClassVar[bool] = True

    def fit_fleet(self, fleet: Fleet, seed: int, *, fabric: Fabric) -> "PatchFleetAttacker":
        """Train on patches of all shadows but the last pair, each beside the shadows of the other pairs.

        Raises MiaSegError for fewer than four shadows.
        """
        models, draw = len(fleet.answers), np.random.default_rng(seed)
        if models < FEWEST:
            raise MiaSegError(
                f"Attack 'patch_fleet' needs {FEWEST} shadows, and there are {models}. Raise [adversary] models."
            )
        fleet = replace(fleet, answers=tuple(fleet.answers))  # a patch of each is cut in every step
        total = [_left_out(fleet, scene) for scene in range(len(fleet.answers[0]))]
        parts = range(models - 2), range(models - 2, models)
        fit, check = (FleetSide(fleet, of, total, representation=self.representation) for of in parts)
        found = learnt(fit, check, self, seed=seed, draw=draw, fabric=fabric)
        outside = dict(zip(fleet.answers[0].ids, (map_HW / (models // 2) for map_HW in total), strict=True))
        return PatchFleetAttacker(*found, outside, models)

    def load(self, folder: Path, fabric: Fabric) -> "PatchFleetAttacker":
        one = super().load(folder, fabric)
        with np.load(folder / OUTSIDE, allow_pickle=False) as kept:
            outside = {scene: kept[f"scene {i}"] for i, scene in enumerate(kept["ids"].tolist())}
            return PatchFleetAttacker(one.network, self, one.thresholds, outside, int(kept["models"]))


class FleetSide(Side):
    """Answers of some of a fleet's models. total: for each scene, the summed loss maps of models that left it out."""

    def __init__(self, fleet: Fleet, models: range, total: Sequence[np.ndarray], *, representation: str) -> None:
        self._answers, self._total, self._representation = fleet.answers, total, representation
        self._seen = [(model, scene) for model in models for scene in range(len(total))]
        self.members = fleet.members_MN[list(models)].ravel()

    def inputs(self, place: int, cut: Cut) -> Tensor:
        """The answer of a model to a scene, beside the models of the other pairs."""
        model, scene = self._seen[place]
        answer = self._answers[model].cut(scene, *cut)
        # Of a pair one left the scene out. Both go: with the partner, their mere number would tell a model's members.
        own = self._answers[model ^ 1].cut(scene, *cut) if self.members[place] else answer
        others = len(self._answers) // 2 - 1
        return beside(answer, (self._total[scene][cut] - loss_map(own)) / others, self._representation)

    def shape(self, place: int) -> tuple[int, int]:
        """Cells of an answer."""
        model, scene = self._seen[place]
        return self._answers[model].shapes[scene]


@dataclass(frozen=True)
class PatchFleetAttacker(PatchAttacker):
    """outside: by scene, the mean loss map of the shadows that left it out. models: how many shadows there are."""

    outside: dict[str, np.ndarray]
    models: int

    def save(self, folder: Path) -> None:
        super().save(folder)
        kept = {f"scene {i}": map_HW for i, map_HW in enumerate(self.outside.values())} | {
            "ids": np.array([*self.outside])
        }
        np.savez(folder / OUTSIDE, allow_pickle=False, models=np.int64(self.models), **kept)

    def score(self, answers: Answers, seed: int) -> Scores:
        read = [(scene, map_HW.shape) for scene, map_HW in self.outside.items()]
        if list(zip(answers.ids, answers.shapes, strict=True)) != read:
            raise MiaSegError(
                f"The fleet answered {len(read)} scenes, and the target {len(answers)} others, in another order or at "
                f"another size. Ask both about the same ones at one [data] size and [adversary] stride."
            )
        found = super().score(answers, seed)
        return replace(found, by_shadows=(ShadowCurvePoint(self.models, self.models // 2, found.image_N),))

    def inputs(self, place: int, answer: Answer) -> Tensor:
        """The answer beside the shadows that left its scene out."""
        return beside(answer, [*self.outside.values()][place], self.settings.representation)


def beside(answer: Answer, outside_HW: np.ndarray, representation: str) -> Tensor:
    """What `represent` makes of an answer, and one more channel: its loss minus that of the shadows outside.

    Returns float32 [C + 1, h, w]. outside_HW: the mean loss of shadows that left the scene out, as `loss_map`.
    """
    above = torch.from_numpy(loss_map(answer) - outside_HW)[None]
    return torch.cat([represent(answer, representation), above])


def loss_map(answer: Answer) -> np.ndarray:
    """-log p of the label, scaled to 0..1, 0 where ignored: float32 [h, w]."""
    return represent(answer, "loss")[0].numpy()


def _left_out(fleet: Fleet, scene: int) -> np.ndarray:
    """The sum of the loss maps of the shadows that did not train on a scene, float32 [h, w]."""
    models = np.flatnonzero(~fleet.members_MN[:, scene])
    return np.stack([loss_map(fleet.answers[model][scene]) for model in models.tolist()]).sum(0)
