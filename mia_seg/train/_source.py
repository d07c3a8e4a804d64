"""Where synthetic features come from."""

from typing import Protocol

from torch import Tensor

from mia_seg.segmenters import Drawn, Network


class Source(Protocol):
    """Where synthetic features come from: `mia_seg.gan.synthetic` draws them."""

    def draw(self, scenes: int, key: tuple[int, int, str], hard_MHW: Tensor | None) -> Drawn:
        """What joins `scenes` real ones."""

    def hardest(self, network: Network, key: tuple[int, int, str]) -> Tensor | None:
        """Layouts [M, H, W] that `network` finds hard, to draw for in the next steps; None: draw for any."""
