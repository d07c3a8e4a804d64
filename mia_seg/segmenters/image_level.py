"""PSPNet with image-level labels (Sun et al., IJCAI 2018, section 2.1): what the image does not show is no answer.

P' = P * L, made to sum to one again (equation 1): P is PSPNet's posterior, L in {0, 1}^K the classes whose image-level
probability reaches the threshold. The paper's L comes from a classifier of its own, which stays fixed; here it is one
layer on conv5, which learns from the members' labels without teaching the backbone.
"""

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from mia_seg.errors import MiaSegError
from mia_seg.segmenters import Drawn
from mia_seg.segmenters._backbone import DilatedResNet
from mia_seg.segmenters._layers import enlarge, size_of
from mia_seg.segmenters._tags import present, tag_loss
from mia_seg.segmenters.pspnet import AUXILIARY_WEIGHT, PSPNet, PSPNetwork
from mia_seg.values import Part

# Finite, as training checks that answers are, and e^-10000 is 0 in every float; half precision holds it.
REMOVED = -1e4


class ImageLevel(PSPNet):
    """PSPNet whose answer has the classes alone that an image-level head finds; that head learns beside it."""

    threshold: Part = Field(
        default=0.25, description="least image-level probability of a class that is kept; 0 keeps all"
    )

    def build(self, classes: int) -> "ImageLevelNetwork":
        return ImageLevelNetwork(self.trunk(), classes, self.dropout, threshold=self.threshold)


class ImageLevelNetwork(PSPNetwork):
    """The network. L is found from the queried image alone; in training its own labels join what was found."""

    def __init__(self, backbone: DilatedResNet, classes: int, dropout: float, *, threshold: float) -> None:
        super().__init__(backbone, classes, dropout)
        self.threshold = threshold
        self.tags = nn.Linear(backbone.conv5_channels, classes)

    def decode(self, feature_NCHW: Tensor, size: tuple[int, int]) -> Tensor:
        conv5 = self.backbone.after_cut(feature_NCHW)[1]
        return fuse(self._main(conv5, size), self.kept(self._tagged(conv5)))

    def heads(self, feature_NCHW: Tensor, size: tuple[int, int]) -> list[tuple[float, Tensor]]:
        """PSPNet's, the main one fused."""
        return self._heads(feature_NCHW, size, None)[0]

    def loss(self, image_N3HW: Tensor, labels_NHW: Tensor, drawn: Drawn | None = None) -> tuple[Tensor, Tensor]:
        """PSPNet's loss of the fused answer, and the binary cross-entropy of the image-level head.

        L is what the head finds and what the labels show: the loss of a class that was wrongly removed could not teach
        the network to answer it.
        """
        shown_NK = present(labels_NHW, self.tags.out_features)
        if drawn is not None:
            shown_NK = torch.cat([shown_NK, present(drawn.layout_MHW, self.tags.out_features)])
        heads, tags_NK = self._heads(self.joined(image_N3HW, drawn), size_of(image_N3HW), shown_NK)
        total, logits = self.compare(heads, image_N3HW, labels_NHW, drawn=drawn)
        return total + tag_loss(tags_NK, shown_NK), logits

    def outputs(self, image_N3HW: Tensor) -> list[tuple[float, Tensor]]:
        """Raises MiaSegError: a wrongly removed class has an infinite loss, so no target can be compared."""
        raise MiaSegError(
            "[segmenter] image_level learns an image's classes by its own loss, which this [objective] replaces. "
            "Use 'supervised' or one that adds to it, as 'reconstruction' does, or [segmenter] pspnet."
        )

    def head_parameters(self) -> list[nn.Parameter]:
        return [*super().head_parameters(), *self.tags.parameters()]

    def kept(self, tags_NK: Tensor) -> Tensor:
        """L, bool [N, K], from image-level logits; the likeliest class is always kept, so that P' can sum to one."""
        surest_NK = F.one_hot(tags_NK.argmax(1), tags_NK.shape[1]).bool()
        return (tags_NK.float().sigmoid() >= self.threshold) | surest_NK

    def _tagged(self, conv5: Tensor) -> Tensor:
        """Image-level logits [N, K]; no gradient reaches the backbone."""
        return self.tags(conv5.detach().mean((2, 3)))

    def _heads(
        self, feature_NCHW: Tensor, size: tuple[int, int], shown_NK: Tensor | None
    ) -> tuple[list[tuple[float, Tensor]], Tensor]:
        """The heads, and the image-level logits; the classes `shown` stay whatever these say."""
        conv4, conv5 = self.backbone.after_cut(feature_NCHW)
        tags_NK = self._tagged(conv5)
        kept_NK = self.kept(tags_NK) if shown_NK is None else self.kept(tags_NK) | shown_NK
        main = fuse(self._main(conv5, size), kept_NK)
        return [(1.0, main), (AUXILIARY_WEIGHT, enlarge(self.auxiliary(conv4), size))], tags_NK


def fuse(logits_NKHW: Tensor, kept_NK: Tensor) -> Tensor:
    """Logits of P * L made to sum to one (equation 1): a class that is not kept has probability 0 and no gradient."""
    return logits_NKHW.masked_fill(~kept_NK[:, :, None, None], REMOVED)
