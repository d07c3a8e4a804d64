"""A student learns the posteriors of teachers, and no labels."""

from collections.abc import Sequence

import torch
from torch import Tensor

from mia_seg.errors import MiaSegError
from mia_seg.objectives import Batch, Goal, Judged, Teacher
from mia_seg.objectives._targets import refuse_drawn
from mia_seg.segmenters import Network


class DistilledGoal(Goal):
    """T^2 times the KL divergence from the teachers' mean posterior at temperature T, over all pixels.

    (Hinton, Vinyals & Dean, arXiv 1503.02531, section 2; KL without the target's entropy.) ids: of the scenes.
    unseen: only teachers that did not train on a scene count for it.
    """

    def __init__(self, network: Network, ids: Sequence[str], called: str, *, temperature: float, unseen: bool) -> None:
        super().__init__(network)
        self.ids, self.called, self.temperature, self.unseen = ids, called, temperature, unseen
        self.teachers: list[Teacher] = []

    def meet(self, teachers: Sequence[Teacher]) -> None:
        self.teachers = list(teachers)

    def forward(self, stage: str, batch: Batch) -> Judged:
        del stage
        refuse_drawn(batch, self.called)
        target, outputs = self.target(batch), self.network.outputs(batch.image_N3HW)
        heat, total = self.temperature, torch.zeros((), device=batch.image_N3HW.device)
        for weight, logits in outputs:
            log_p = (logits.float() / heat).log_softmax(1)
            total = total - weight * heat**2 * (target * log_p).sum(1).mean()
        return Judged(total, outputs[0][1])

    @torch.no_grad()
    def target(self, batch: Batch) -> Tensor:
        """The mean posterior [N, K, H, W] of the teachers that count for each scene."""
        may_TN = self.speaking(batch.scene_N.tolist())
        total: Tensor | None = None
        for teacher, may_N in zip(self.teachers, may_TN, strict=True):
            weight = torch.tensor(may_N, device=batch.image_N3HW.device, dtype=torch.float32)[:, None, None, None]
            told = weight * (teacher.network(batch.image_N3HW).float() / self.temperature).softmax(1)
            total = told if total is None else total + told
        if total is None:
            raise MiaSegError(f"[objective] {self.called} has no teacher. Train through a recipe: it names them.")
        return total / total.sum(1, keepdim=True)

    def speaking(self, scenes: Sequence[int]) -> list[list[bool]]:
        """For each teacher and each scene of a batch, whether the teacher counts."""
        return [
            [not self.unseen or self.ids[scene % len(self.ids)] not in teacher.ids for scene in scenes]
            for teacher in self.teachers
        ]
