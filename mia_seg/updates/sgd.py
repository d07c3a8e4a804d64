"""The gradient of the mean loss over all labelled pixels of a batch."""

from mia_seg.objectives import Judged
from mia_seg.updates import Step, Update


class SGD(Update):
    """One backward pass a part."""

    def gradients(self, step: Step) -> list[Judged]:
        judged = []
        for i, (part, share) in enumerate(zip(step.parts, step.shares, strict=True)):
            with step.fabric.no_backward_sync(step.run, enabled=i < len(step.parts) - 1):
                found: Judged = step.run(step.stage.name, part)
                loss = found.loss * share
                step.fabric.backward(loss)
            judged.append(Judged(loss.detach(), found.logits_NKHW.detach(), found.notes))
        return judged
