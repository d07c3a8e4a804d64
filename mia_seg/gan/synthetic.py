"""Synthetic features as training data for a segmenter's decoder (thesis 6.2): what is drawn for which layouts."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor

from mia_seg.gan import one_hot, pair
from mia_seg.generators import WithGenerator
from mia_seg.recipes import Synthetic
from mia_seg.segmenters import Drawn, Network
from mia_seg.store import seed_of
from mia_seg.train import Crops

ADDITIONAL = 0.25  # thesis 6.3.2: training and additional masks 3:1
SURE = 0.7  # a pseudo-label below it is a hole


@dataclass
class Masks:
    """Layouts to draw for: the labels of `members`, and of `more` scenes that the segmenter does not train on."""

    members: Crops
    more: Crops | None
    pseudo: bool

    @property
    def classes(self) -> int:
        """How many classes a layout may show."""
        return len(self.members.scenes.dataset.classes())


class Source:
    """Draws features for layouts. Draws depend only on the key and on the layouts found hard before."""

    def __init__(self, settings: Synthetic, paired: WithGenerator, masks: Masks) -> None:
        self.settings, self.paired, self.masks = settings, paired, masks

    def draw(self, scenes: int, key: tuple[int, int, str], hard_MHW: Tensor | None) -> Drawn:
        """What joins `scenes` real ones in a batch; key: seed, epoch, and what else tells this draw from others.

        hard_MHW: layouts that `hardest` found; None: any.
        """
        count = max(1, round(scenes * self.settings.share / (1 - self.settings.share)))
        stream = torch.Generator().manual_seed(seed_of(*key))
        if hard_MHW is None:
            return self._drawn(self._layouts(count, key[1], stream), stream)
        taken = torch.randint(len(hard_MHW), (count,), generator=stream)
        return self._drawn(hard_MHW[taken].to(self._device), stream)

    def hardest(self, network: Network, key: tuple[int, int, str]) -> Tensor | None:
        """The harder half of `mine` random layouts: those whose features `network` decodes worst (thesis 6.2.3)."""
        if not self.settings.mine:
            return None
        stream = torch.Generator().manual_seed(seed_of(*key))
        drawn = self._drawn(self._layouts(self.settings.mine, key[1], stream), stream)
        was_training = network.training
        network.eval()
        with torch.no_grad():
            logits = network.decode(drawn.feature_MCHW, (drawn.layout_MHW.shape[1], drawn.layout_MHW.shape[2]))
            loss = F.cross_entropy(logits, drawn.layout_MHW, reduction="none").mean((1, 2))
        network.train(was_training)
        return drawn.layout_MHW[loss.argsort(descending=True)[: (len(loss) + 1) // 2]]

    @property
    def _device(self) -> torch.device:
        return next(self.paired.parameters()).device

    @torch.no_grad()
    def _drawn(self, layout_MHW: Tensor, stream: torch.Generator) -> Drawn:
        generator = self.paired.generator
        z = torch.randn(len(layout_MHW), generator.latent, generator=stream).to(self._device)
        feature = generator(one_hot(layout_MHW, self.masks.classes), z)
        return Drawn(feature, layout_MHW, self.settings.smoothing)

    def _layouts(self, count: int, epoch: int, stream: torch.Generator) -> Tensor:
        chosen = []
        for _ in range(count):
            additional = bool(torch.rand((), generator=stream) < ADDITIONAL) and self.masks.more is not None
            crops = self.masks.more if additional and self.masks.more else self.masks.members
            crops.epoch = epoch
            index = int(torch.randint(len(crops), (), generator=stream))
            image, labels = crops[index]
            chosen.append(self._layout(image[None], labels[None], additional and self.masks.pseudo))
        return torch.cat(chosen)

    def _layout(self, image_13HW: Tensor, labels_1HW: Tensor, pseudo: bool) -> Tensor:
        """[1, H, W]: labels whose holes take the prediction, or the prediction where it is sure and its nearest."""
        if not pseudo:
            return pair(self.paired, image_13HW, labels_1HW)[0].argmax(1)
        with torch.no_grad():
            surest = self.paired(image_13HW.to(self._device)).softmax(1).max(1)
        return filled(surest.indices, surest.values > SURE)


def filled(labels_1HW: Tensor, sure_1HW: Tensor) -> Tensor:
    """Labels in which unsure pixels take the label of the nearest sure pixel; unchanged if none is sure."""
    if not sure_1HW.any():
        return labels_1HW
    nearest = ndimage.distance_transform_edt(~sure_1HW[0].cpu().numpy(), return_distances=False, return_indices=True)
    return labels_1HW[:, torch.from_numpy(nearest[0]), torch.from_numpy(nearest[1])]
