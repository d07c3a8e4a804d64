"""BicycleGAN's objective and the order of its updates (Zhu et al., NIPS 2017; models/bicycle_gan_model.py)."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from mia_seg.gan._networks import discriminator, encoder
from mia_seg.gan.objectives import Decode, Objective
from mia_seg.generators import Generator, GeneratorNetwork
from mia_seg.recipes import TrainGenerator

LATENT, DIVERGENCE = 0.5, 0.01  # lambda_z, lambda_kl; both GAN terms weigh 1, and lambda_L1 is a setting
BETAS = (0.5, 0.999)


@dataclass
class Drawn:
    """One forward pass on half a batch: what was encoded, and what was generated from it and from noise."""

    mean_NZ: Tensor
    log_variance_NZ: Tensor
    z_NZ: Tensor  # noise
    encoded_NCHW: Tensor  # G(layout, z of the feature)
    random_NCHW: Tensor  # G(layout, noise)


class Bicycle(Objective):
    """Generator, encoder and two discriminators, and one step of their training."""

    def __init__(
        self, settings: Generator, how: TrainGenerator, classes: int, *, generator: GeneratorNetwork,
        device: torch.device, decode: Decode | None = None,
    ) -> None:  # fmt: skip
        channels, stride = generator.channels, generator.stride
        networks = {
            "generator": generator,
            "encoder": encoder(settings, generator),
            "discriminator": discriminator(settings, classes, channels, stride=stride),
            "discriminator2": discriminator(settings, classes, channels, stride=stride),
        }
        super().__init__(networks, how, BETAS, generator=generator, device=device, decode=decode)
        self.encoder, self.of_encoded, self.of_random = list(self.networks.values())[1:]

    def step(self, layout_NKHW: Tensor, feature_NCHW: Tensor) -> dict[str, float]:
        """One update of each on an even batch, standardised features; the value of every term, unweighted.

        The first half of the batch is encoded and reconstructed. The second half is the real data of the second
        discriminator. Order: generator and encoder together, the latent term reaching the generator alone; then the
        discriminators.
        """
        half = len(layout_NKHW) // 2
        layout, feature = layout_NKHW[:half], feature_NCHW[:half]
        drawn = self.draw(layout, feature)
        terms = self.update_generator(layout, feature, drawn)
        encoded, random = drawn.encoded_NCHW.detach(), drawn.random_NCHW.detach()
        terms["discriminator"] = self.update("discriminator", (layout, encoded), (layout, feature))
        real = (layout_NKHW[half:], feature_NCHW[half:])
        terms["discriminator2"] = self.update("discriminator2", (layout, random), real)
        return terms

    def draw(self, layout_NKHW: Tensor, feature_NCHW: Tensor) -> Drawn:
        """Encode the feature by reparameterisation, and generate from that z and from noise."""
        mean, log_variance = self.encoder(feature_NCHW)
        z = mean + (0.5 * log_variance).exp() * self._noise(mean.shape)
        noise = self._noise(mean.shape)
        generate = self.generator.standard
        return Drawn(mean, log_variance, noise, generate(layout_NKHW, z), generate(layout_NKHW, noise))

    def update_generator(self, layout_NKHW: Tensor, feature_NCHW: Tensor, drawn: Drawn) -> dict[str, float]:
        """Generator and encoder on GAN, L1 and KL; the latent term's gradient reaches the generator only."""
        terms = self.terms(layout_NKHW, feature_NCHW, drawn)
        total = terms["gan"] + terms["gan2"] + DIVERGENCE * terms["divergence"]
        for name, weight in self.weights.items():
            total = total + weight * terms[name]
        for name in ("generator", "encoder"):
            self.optimizers[name].zero_grad()
        own = list(self.generator.parameters())
        torch.autograd.backward(total, inputs=[*own, *self.encoder.parameters()], retain_graph=True)
        torch.autograd.backward(LATENT * terms["latent"], inputs=own)
        for name in ("generator", "encoder"):
            self.optimizers[name].step()
        return {name: term.item() for name, term in terms.items()}

    def terms(self, layout_NKHW: Tensor, feature_NCHW: Tensor, drawn: Drawn) -> dict[str, Tensor]:
        """The generator's and the encoder's terms, unweighted; the divergence is a sum, the rest are means."""
        mean, log_variance = drawn.mean_NZ, drawn.log_variance_NZ
        return {
            "gan": verdict(self.of_encoded(layout_NKHW, drawn.encoded_NCHW), 1),
            "gan2": verdict(self.of_random(layout_NKHW, drawn.random_NCHW), 1),
            "reconstruction": F.l1_loss(drawn.encoded_NCHW, feature_NCHW),
            "divergence": -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum(),
            "latent": F.l1_loss(self.encoder(drawn.random_NCHW)[0], drawn.z_NZ),
        } | self._decoding(feature_NCHW, drawn)

    def _decoding(self, feature_NCHW: Tensor, drawn: Drawn) -> dict[str, Tensor]:
        """Cross-entropy of what the segmenter reads out of drawn features, to what it reads out of the image's own."""
        if self.decode is None:
            return {}
        with torch.no_grad():
            meant = self.decode(feature_NCHW).softmax(1)
        return {"decoding": F.cross_entropy(self.decode(drawn.random_NCHW), meant)}

    def update(self, name: str, fake: tuple[Tensor, Tensor], real: tuple[Tensor, Tensor]) -> float:
        """One step of a discriminator on (layout, feature) of both kinds; its loss is their sum."""
        network, optimizer = self.networks[name], self.optimizers[name]
        optimizer.zero_grad()
        loss = verdict(network(*fake), 0) + verdict(network(*real), 1)
        torch.autograd.backward(loss)
        optimizer.step()
        return loss.item()

    def _noise(self, shape: torch.Size) -> Tensor:
        return torch.randn(shape).to(self.device)  # by the CPU's stream, whatever the device


def verdict(scales: list[Tensor], truth: float) -> Tensor:
    """LSGAN: mean squared distance of the verdicts from `truth`, summed over scales."""
    return torch.stack([F.mse_loss(scale, torch.full_like(scale, truth)) for scale in scales]).sum()
