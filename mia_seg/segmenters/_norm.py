"""Group normalisation in place of batch normalisation: each scene is normalised by itself (Wu & He, ECCV 2018)."""

from math import gcd
from typing import TypeVar

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mia_seg.errors import MiaSegError

N = TypeVar("N", bound=nn.Module)
GROUPS = 32  # paper, section 3.1


def normed(network: N, norm: str) -> N:
    """The network with every batch norm replaced, scale and shift as they are, where norm is "group".

    Raises MiaSegError for a kind of batch norm that does more than normalise.
    """
    for parent in list(network.modules()) if norm == "group" else ():
        for name, layer in parent.named_children():
            if isinstance(layer, _BatchNorm):
                setattr(parent, name, _grouped(layer))
    return network


def _grouped(layer: _BatchNorm) -> nn.GroupNorm:
    if type(layer) is not nn.BatchNorm2d:
        raise MiaSegError(f"[segmenter] norm = 'group' does not replace a {type(layer).__name__}. Use norm = 'batch'.")
    made = nn.GroupNorm(gcd(GROUPS, layer.num_features), layer.num_features, layer.eps, affine=layer.affine)
    if layer.affine:
        made.weight.data.copy_(layer.weight.data)
        made.bias.data.copy_(layer.bias.data)
    return made
