"""Objectives: what a step of a generator's training minimises. One objective is one file."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mia_seg.generators import GeneratorNetwork
from mia_seg.recipes import TrainGenerator

Decode = Callable[[Tensor], Tensor]


class Objective:
    """A generator and the networks that train it, each with an Adam optimiser. A subclass defines `step`.

    networks: by name, the generator among them. decode: the frozen segmenter's logits [N, K, h, w] of standardised
    features, for the decoding term.
    """

    def __init__(
        self, networks: Mapping[str, nn.Module], how: TrainGenerator, betas: tuple[float, float], *,
        generator: GeneratorNetwork, device: torch.device, decode: Decode | None,
    ) -> None:  # fmt: skip
        self.networks, self.generator, self.device, self.decode = dict(networks), generator, device, decode
        self.weights = {"reconstruction": how.reconstruction} | ({"decoding": how.decoding} if decode else {})
        for network in self.networks.values():
            network.to(device).train()
        self.optimizers = {
            name: torch.optim.Adam(network.parameters(), how.lr, betas) for name, network in self.networks.items()
        }

    def step(self, layout_NKHW: Tensor, feature_NCHW: Tensor) -> dict[str, float]:
        """One update of each network on an even batch, standardised features; the value of every term, unweighted."""
        raise NotImplementedError

    def rate(self, lr: float) -> None:
        """Set the learning rate of all networks."""
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = lr

    def state(self) -> dict[str, Tensor]:
        """All weights and moments by name."""
        tensors = {f"{n}.{k}": t for n, network in self.networks.items() for k, t in network.state_dict().items()}
        for name, parameter, moments in self._moments():
            tensors |= {f"{key}.{name}": value for key, value in moments[parameter].items()}
        return tensors

    def load_state(self, tensors: dict[str, Tensor]) -> None:
        """Load what `state` returned."""
        for name, network in self.networks.items():
            network.load_state_dict({k: tensors[f"{name}.{k}"] for k in network.state_dict()})
        for name, parameter, moments in self._moments():
            kept = {key: tensors[f"{key}.{name}"] for key in ("step", "exp_avg", "exp_avg_sq")}
            moments[parameter] = {key: t if key == "step" else t.to(self.device) for key, t in kept.items()}

    def _moments(self) -> list[tuple[str, nn.Parameter, Any]]:
        """Every parameter with its full name and its optimizer's state."""
        return [
            (f"{name}.{key}", parameter, self.optimizers[name].state)
            for name, network in self.networks.items()
            for key, parameter in network.named_parameters()
        ]
