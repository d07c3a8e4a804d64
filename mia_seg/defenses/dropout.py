"""Dropout at query time: the head's dropout layer stays on, at a ratio of choice (thesis 7.4.2: 0.1 and 0.9)."""

from copy import deepcopy

from pydantic import Field
from torch import nn

from mia_seg.defenses import NetworkDefense
from mia_seg.errors import MiaSegError
from mia_seg.oracles import Oracle
from mia_seg.oracles.network import NetworkOracle
from mia_seg.recipes import Window
from mia_seg.segmenters import Network
from mia_seg.values import Share


class Dropout(NetworkDefense):
    """Blur predictions by dropping features of the head."""

    ratio: Share = Field(default=0.1, gt=0, description="share of activations dropped")

    def guard(self, network: Network, window: Window | None) -> Oracle:
        network = deepcopy(network)
        layers = [m for m in network.modules() if isinstance(m, nn.Dropout | nn.Dropout2d)]
        if not layers:
            raise MiaSegError("Defense 'dropout' needs a dropout layer, and this segmenter has none. Choose another.")
        for layer in layers:
            layer.p = self.ratio
            layer.train()
        return NetworkOracle(network, window)
