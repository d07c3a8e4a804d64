"""Class activation maps of the patch attack (Zhou et al., CVPR 2016): the evidence for "member" at each place."""

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
class CamInput:
    """The input of the figure of the attacker's maps, with one entry a scene.

    images: uint8 [H, W, 3]. labels: class ids uint8 [H, W], 255 ignored. maps: by defense, log-odds [h, w] at the size
    of the answer. scores: by defense, the attack's score of each scene. note: the shadow, the seed and the scenes.
    classes: names by id; without names labels get Cityscapes' colours in order.
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
    """For each answer, or patch of one, a map [h, w] of the evidence for "member" minus that for "non-member".

    Maps are not normalised, so that defenses can be compared. The network pools globally before its last layer, so the
    mean of a map is the log-odds of the answer, except for the difference of the two biases.
    """
    network = attacker.network.eval()
    # One at a time, because whole answers are large.
    inputs = (represent(answer, attacker.settings.representation)[None] for answer in answers)
    with CAM(network, "layer4", "fc") as extractor:
        return [_map(extractor, x.to(_device(network))) for x in inputs]


def scorer(attacker: PatchAttacker, answer: Answer) -> Score:
    """A function from masks of deleted cells to the attacker's log-odds of "member" for an answer or patch of one.

    A deleted cell gets a uniform posterior and no label, so it has no information.
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
