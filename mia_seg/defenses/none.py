"""No defense: the posteriors as the network gives them."""

from mia_seg.defenses import Defense
from mia_seg.oracles.network import BlackBox
from mia_seg.recipes import Window
from mia_seg.segmenters import Network


class Undefended(Defense):
    """The service as trained."""

    def guard(self, network: Network, window: Window | None) -> BlackBox:
        return BlackBox(network, window)
