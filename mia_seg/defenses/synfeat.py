"""SynFeat: part of the answer is decoded from synthetic features, drawn for the predicted layout alone (thesis 7.3)."""

import hashlib
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from mia_seg.defenses import NetworkDefense
from mia_seg.defenses.argmax import Argmax
from mia_seg.errors import MiaSegError
from mia_seg.gan import one_hot
from mia_seg.generators import WithGenerator
from mia_seg.oracles import Oracle
from mia_seg.oracles.network import NetworkOracle
from mia_seg.recipes import Window
from mia_seg.segmenters import Network
from mia_seg.values import Part


class SynFeat(NetworkDefense):
    """Mix the posterior of the image's features with that of features generated from its prediction."""

    needs_generator: ClassVar[bool] = True
    factor: Part = Field(default=0.75, description="weight of the synthetic posterior (7.4.2: 0.75, 0.95)")
    z: Literal["keyed", "fresh"] = Field(
        default="keyed",
        description="keyed: from a keyed hash of the image, so that asking again tells nothing new; "
        "fresh: from the query's noise",
    )
    mask: Literal["differ", "agree"] = Field(
        default="differ",
        description="pixels where both are mixed, by their labels; elsewhere the answer is synthetic (thesis: differ)",
    )
    answer: Literal["posterior", "labels"] = Field(
        default="posterior", description="posterior: the mixture; labels: only its labels, as a one-hot posterior"
    )

    def guard(self, network: Network, window: Window | None) -> Oracle:
        if not isinstance(network, WithGenerator):
            raise MiaSegError(
                "Defense 'synfeat' needs the segmenter's generator of features. Train it: mia-seg train-generator."
            )
        oracle = SynFeatOracle(network, window, self)
        return Argmax().wrap(oracle) if self.answer == "labels" else oracle


class SynFeatOracle(NetworkOracle):
    """Draws and mixes inside each window; the windows' mixtures are then averaged. Memory is that of a window."""

    def __init__(self, network: WithGenerator, window: Window | None, settings: SynFeat) -> None:
        super().__init__(network, window)
        self.paired, self.settings = network, settings

    def posterior(self, images_N3HW: Tensor) -> Tensor:
        """Equation 7.1 at the images' own resolution."""
        real = super().posterior(images_N3HW)
        layout = one_hot(real.argmax(1), real.shape[1])
        feature = self.paired.generator(layout, self.draw(images_N3HW))
        logits = self.paired.decode(feature, (real.shape[2], real.shape[3]))
        synthetic = self.paired.finish(logits, images_N3HW).float().softmax(1)
        return mix(real, synthetic, self.settings.factor, mask=self.settings.mask)

    def draw(self, images_N3HW: Tensor) -> Tensor:
        """z for each image: [N, latent]. The query's key has seeded torch's generator."""
        latent = self.paired.generator.latent
        if self.settings.z == "fresh":
            return torch.randn(len(images_N3HW), latent).to(self.device)
        return torch.stack([_keyed(image, self.paired.secret, latent) for image in images_N3HW]).to(self.device)


def mix(real_NKHW: Tensor, synthetic_NKHW: Tensor, factor: float, *, mask: str = "differ") -> Tensor:
    """M (.) [(1 - d) real + d synthetic] + (1 - M) (.) synthetic, M = 1 where the labels differ (equation 7.1)."""
    differ = real_NKHW.argmax(1, keepdim=True) != synthetic_NKHW.argmax(1, keepdim=True)
    mixed = (1 - factor) * real_NKHW + factor * synthetic_NKHW
    return torch.where(differ == (mask == "differ"), mixed, synthetic_NKHW)


def _keyed(image_3HW: Tensor, secret: str, latent: int) -> Tensor:
    pixels = image_3HW.mul(255).round().byte().cpu().numpy().tobytes()
    hashed = hashlib.blake2b(pixels, key=hashlib.sha256(secret.encode()).digest(), digest_size=6).digest()
    return torch.randn(latent, generator=torch.Generator().manual_seed(int.from_bytes(hashed)))
