"""PSPNet with learnt dilations (thesis, chapter 4; He et al., GCPR 2017): one a channel, in conv4 and conv5."""

from pydantic import Field
from torch import nn

from mia_seg.segmenters._backbone import DilatedResNet
from mia_seg.segmenters._dilation import LearntDilation, learn_dilations
from mia_seg.segmenters.pspnet import PSPNet, PSPNetwork
from mia_seg.values import Factor


class LearnableDilation(PSPNet):
    """PSPNet whose dilated convolutions learn how far each input channel looks; it may begin with PSPNet's weights."""

    dilation_lr: Factor = Field(
        default=1.0, description="learning rate of the dilations, as a multiple of the backbone's"
    )

    def build(self, classes: int) -> "LearnableDilationNetwork":
        return LearnableDilationNetwork(self.trunk(), classes, self.dropout, factor=self.dilation_lr)


class LearnableDilationNetwork(PSPNetwork):
    """The network: PSPNet's weights, and a dilation for each input channel of a dilated convolution."""

    def __init__(self, backbone: DilatedResNet, classes: int, dropout: float, *, factor: float) -> None:
        super().__init__(backbone, classes, dropout)
        learn_dilations(backbone, factor)

    def undecayed_parameters(self) -> list[nn.Parameter]:
        return [module.dilation_C for module in self.modules() if isinstance(module, LearntDilation)]
