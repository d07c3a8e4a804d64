"""Segmenters: image in, logits out, with a *cut* inside the backbone where SynFeat works. One file an architecture."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from mia_seg.data import IGNORE
from mia_seg.errors import MiaSegError
from mia_seg.plugins import Component
from mia_seg.segmenters._weights import local_file, obtain


class Network(nn.Module):
    """`decode(encode(image))`, cut at a named point of the backbone, before the activation.

    Images are float [N, 3, H, W] RGB in 0..1; logits are [N, K, H, W].
    """

    def encode(self, image_N3HW: Tensor) -> Tensor:
        """Dense features at the cut, before the ReLU: [N, C, h, w]."""
        raise NotImplementedError

    def decode(self, feature_NCHW: Tensor, size: tuple[int, int]) -> Tensor:
        """Logits [N, K, *size] from features at the cut."""
        raise NotImplementedError

    def forward(self, image_N3HW: Tensor) -> Tensor:
        """Logits at the image's size."""
        decoded = self.decode(self.encode(image_N3HW), (image_N3HW.shape[-2], image_N3HW.shape[-1]))
        return self.finish(decoded, image_N3HW)

    def finish(self, logits_NKHW: Tensor, image_N3HW: Tensor) -> Tensor:
        """The last step, which may use the image again; by default logits are returned unchanged."""
        del image_N3HW
        return logits_NKHW

    def heads(self, feature_NCHW: Tensor, size: tuple[int, int]) -> list[tuple[float, Tensor]]:
        """(weight, logits [N, K, *size]) that training compares with labels: `decode`'s first, then auxiliary ones."""
        return [(1.0, self.decode(feature_NCHW, size))]

    def loss(self, image_N3HW: Tensor, labels_NHW: Tensor, drawn: "Drawn | None" = None) -> tuple[Tensor, Tensor]:
        """The training loss (scalar) and the logits [N, K, H, W] it came from.

        drawn: synthetic features that pass the decoder in the same batch and train only the decoder (thesis 6.1).
        """
        size = (image_N3HW.shape[-2], image_N3HW.shape[-1])
        return self.compare(self.heads(self.joined(image_N3HW, drawn), size), image_N3HW, labels_NHW, drawn=drawn)

    def joined(self, image_N3HW: Tensor, drawn: "Drawn | None") -> Tensor:
        """Features of a batch at the cut: those of the images, then the synthetic ones."""
        feature = self.encode(image_N3HW)
        return feature if drawn is None else torch.cat([feature, drawn.feature_MCHW.to(feature)])

    def compare(
        self, heads: list[tuple[float, Tensor]], image_N3HW: Tensor, labels_NHW: Tensor, *, drawn: "Drawn | None"
    ) -> tuple[Tensor, Tensor]:
        """What `loss` returns, given the heads of `joined` features."""
        count, judged = len(image_N3HW), self._finished(heads, image_N3HW)
        terms = [(weight, cross_entropy(logits, labels_NHW)) for weight, logits in judged]
        total = sum((weight * term for weight, term in terms), torch.zeros((), device=judged[0][1].device))
        if drawn is not None:
            total = (count * total + drawn.loss(heads, count)) / (count + len(drawn.feature_MCHW))
        return total, judged[0][1]

    def outputs(self, image_N3HW: Tensor) -> list[tuple[float, Tensor]]:
        """(weight, logits [N, K, H, W]) that training compares with targets, the answer's first."""
        size = (image_N3HW.shape[-2], image_N3HW.shape[-1])
        return self._finished(self.heads(self.encode(image_N3HW), size), image_N3HW)

    def _finished(self, heads: list[tuple[float, Tensor]], image_N3HW: Tensor) -> list[tuple[float, Tensor]]:
        """The heads of real images, which come first in a batch."""
        count, (weight, main), *others = len(image_N3HW), *heads
        return [(weight, self.finish(main[:count], image_N3HW)), *((w, logits[:count]) for w, logits in others)]

    def fit(self, crops: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Learn buffers from the members before the first step, without gradients; by default nothing.

        crops: (image float [3, H, W] in 0..1, labels int64 [H, W]) of each member.
        """

    def backbone_parameters(self) -> list[nn.Parameter]:
        """Parameters that train at the base rate; all others train at `head_lr` times that."""
        raise NotImplementedError

    def head_parameters(self) -> list[nn.Parameter]:
        """Parameters of the classifying layer, which trains alone with [train] trains = "head".

        Raises MiaSegError if the architecture names none.
        """
        raise MiaSegError("[train] trains = 'head': this [segmenter] names no layer that classifies. Use 'all'.")

    def undecayed_parameters(self) -> list[nn.Parameter]:
        """Parameters without weight decay, because they are positions, not weights; they train at the base rate."""
        return []


@dataclass(frozen=True)
class Drawn:
    """Synthetic features at the cut [M, C, h, w] and their layouts [M, H, W], completely labelled."""

    feature_MCHW: Tensor
    layout_MHW: Tensor
    smoothing: float  # epsilon of equation 6.3

    def loss(self, heads: Sequence[tuple[float, Tensor]], first: int) -> Tensor:
        """M times the mean loss of the features, the batch's entries from `first` on, with smoothed labels."""
        terms = [
            weight * F.cross_entropy(logits[first:].float(), self.layout_MHW, label_smoothing=self.smoothing)
            for weight, logits in heads
        ]
        return len(self.feature_MCHW) * torch.stack(terms).sum()


class Segmenter(Component):
    """Settings of an architecture; `build` makes the network."""

    norm: Literal["batch", "group"] = Field(
        default="batch", description="group: each scene is normalised by itself, as DP-SGD needs"
    )

    def build(self, classes: int) -> Network:
        """A freshly initialised network with `classes` outputs (torch's global generator draws the weights)."""
        raise NotImplementedError

    def files(self) -> tuple[Path, ...]:
        """Local files of weights that the backbone begins with; () if they come from timm's hub."""
        if not getattr(self, "pretrained", False):
            return ()
        file = local_file(getattr(self, "backbone", ""))
        return () if file is None else (file,)

    def fetch(self) -> None:
        """Download the weights that the backbone begins with, if missing. Raises MiaSegError if that fails."""
        if getattr(self, "pretrained", False):
            obtain(getattr(self, "backbone", ""))


def cross_entropy(logits_NKHW: Tensor, labels_NHW: Tensor, ignore: int = IGNORE) -> Tensor:
    """Mean over labelled pixels, in float32; 0 where a batch has none."""
    total = F.cross_entropy(logits_NKHW.float(), labels_NHW, ignore_index=ignore, reduction="sum")
    return total / (labels_NHW != ignore).sum().clamp(min=1)


def normalise(image_N3HW: Tensor) -> Tensor:
    """ImageNet's mean and deviation (0.485, 0.456, 0.406; 0.229, 0.224, 0.225) removed from RGB in 0..1."""
    mean = torch.tensor([0.485, 0.456, 0.406], device=image_N3HW.device).view(1, 3, 1, 1)
    deviation = torch.tensor([0.229, 0.224, 0.225], device=image_N3HW.device).view(1, 3, 1, 1)
    return (image_N3HW - mean) / deviation
