"""Class activation maps of the patch attack (Zhou et al., CVPR 2016): where in a scene the answer says "member"."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchcam.methods import CAM

from mia_seg.attacks.patch_resnet50 import PatchAttacker, represent
from mia_seg.data import IGNORE
from mia_seg.query.answers import Answer
from mia_seg.report.deletion import Score
from mia_seg.segmenters._layout import laid


@dataclass(frozen=True)
class CamSheet:
    """The input of the figure of attacker's maps: scenes as rows, maps and image scores by defense.

    images: uint8 [H, W, 3]. labels: class ids, 255 ignored. maps: log-odds [h, w] at the size of the answer. note:
    which shadow and seed, and whether the scenes are members. classes: names by id; without them labels have the
    colours of Cityscapes by position.
    """

    scene_ids: list[str]
    images: list[np.ndarray]
    labels: list[np.ndarray]
    maps: dict[str, list[np.ndarray]]
    scores: dict[str, list[float]]
    note: str = ""
    classes: tuple[str, ...] = ()


@torch.inference_mode()
def activation_maps(attacker: PatchAttacker, answers: Iterable[Answer]) -> list[np.ndarray]:
    """Maps [h, w] of the evidence for "member" less that for "non-member", one for each answer or piece of one.

    Maps are not normalised, so that defenses can be compared. With global pooling before the last layer, the mean of a
    map is the log-odds of the answer, but for the difference of the two biases.
    """
    network = attacker.network.eval()
    inputs = (represent(answer, attacker.settings.representation)[None] for answer in answers)  # whole ones are large
    with CAM(network, "layer4", "fc") as extractor:
        return [_map(extractor, x.to(_device(network))) for x in inputs]


def scorer(attacker: PatchAttacker, answer: Answer) -> Score:
    """The log-odds of "member" of an answer, or of a piece of one, without some of its cells: what its map adds up to.

    A deleted cell has a uniform posterior and no label, which says nothing.
    """
    network, even = attacker.network.eval(), np.float32(1 / len(answer.posterior_KHW))

    @torch.inference_mode()
    def score(masks_MHW: np.ndarray) -> np.ndarray:
        left = (
            Answer(np.where(mask, even, answer.posterior_KHW), np.where(mask, np.uint8(IGNORE), answer.labels_HW))
            for mask in masks_MHW
        )
        inputs = torch.stack([represent(one, attacker.settings.representation) for one in left])
        logits = network(laid(inputs.to(_device(network)))).double().cpu()
        return np.asarray(logits[:, 1] - logits[:, 0])

    return score


def _device(network: nn.Module) -> torch.device:
    return next(network.parameters()).device


def _map(extractor: CAM, input_1CHW: Tensor) -> np.ndarray:
    extractor.model(laid(input_1CHW))
    member, nonmember = (extractor(class_idx=c, normalized=False)[0].float() for c in (1, 0))
    raised = F.interpolate((member - nonmember)[None], input_1CHW.shape[-2:], mode="bilinear", align_corners=False)
    return raised[0, 0].cpu().numpy()
