"""Optimisers: SGD for the segmenter, Adam for each helper, all under the poly schedule."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mia_seg.objectives import NETWORK, Goal, Stage
from mia_seg.recipes import Train
from mia_seg.segmenters import Network

Optimizers = dict[str, Any]  # by the names of what stages train; Fabric wraps each


def poly(settings: Train, step: int, steps: int) -> float:
    """Learning rate at `step` of `steps`: lr * (1 - step/steps)^power."""
    return settings.lr * (1 - step / steps) ** settings.power


def optimizers_of(goal: Goal, settings: Train) -> Optimizers:
    """One for the segmenter and one for each helper."""
    adams = {
        name: torch.optim.Adam(h.module.parameters(), h.lr, h.betas, weight_decay=h.weight_decay)
        for name, h in goal.settings.items()
    }
    for name, adam in adams.items():
        adam.param_groups[0]["factor"] = goal.settings[name].lr / settings.lr
    chosen = _head(goal.network, settings) if settings.trains == "head" else _sgd(goal.network, settings)
    return {NETWORK: chosen, **adams}


def keep_statistics(network: Network) -> None:
    """Freeze the statistics of all batch norms."""
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.eval()


def set_rate(optimizers: Optimizers, rate: float) -> None:
    """Set the learning rate of all optimisers from the segmenter's base rate, of which others are multiples."""
    for optimizer in optimizers.values():
        for group in optimizer.param_groups:
            group["lr"] = rate * group["factor"]


def train_alone(stage: Stage, modules: Mapping[str, nn.Module]) -> None:
    """Let gradients reach what the stage trains, and nothing else."""
    for name, module in modules.items():
        module.requires_grad_(name in stage.trains)


def modules_of(goal: Goal) -> dict[str, nn.Module]:
    """What stages train, by name."""
    return {NETWORK: goal.network, **{name: helper.module for name, helper in goal.settings.items()}}


def state_of(goal: Goal, optimizers: Optimizers) -> dict[str, Tensor]:
    """All weights and moments by name."""
    tensors = {f"model.{name}": tensor for name, tensor in goal.network.state_dict().items()}
    tensors |= {f"helper.{name}": tensor for name, tensor in goal.helpers.state_dict().items()}
    for name, moments in _moments(goal, optimizers):
        tensors |= {f"{key}.{name}": value for key, value in moments.items()}
    return tensors


def load_state_of(goal: Goal, optimizers: Optimizers, tensors: dict[str, Tensor]) -> None:
    """Load what `state_of` returned."""
    goal.network.load_state_dict(below(tensors, "model."))
    goal.helpers.load_state_dict(below(tensors, "helper."))
    for name, parameter in goal.network.named_parameters():
        if f"momentum.{name}" not in tensors:
            continue
        buffer = torch.empty_like(parameter).copy_(tensors[f"momentum.{name}"])
        optimizers[NETWORK].state[parameter]["momentum_buffer"] = buffer
    for name, parameter in goal.helpers.named_parameters():
        state = optimizers[name.partition(".")[0]].state[parameter]
        for key in ("step", "exp_avg", "exp_avg_sq"):
            if f"{key}.{name}" in tensors:
                state[key] = tensors[f"{key}.{name}"].to("cpu" if key == "step" else parameter.device)


def below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with the prefix, under names without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _moments(goal: Goal, optimizers: Optimizers) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Each parameter's moments; one that nothing has trained so far, and one without momentum, has none."""
    for name, parameter in goal.network.named_parameters():
        buffer = optimizers[NETWORK].state.get(parameter, {}).get("momentum_buffer")
        yield name, {} if buffer is None else {"momentum": buffer}
    for name, parameter in goal.helpers.named_parameters():
        state = optimizers[name.partition(".")[0]].state.get(parameter, {})
        yield name, {key: state[key] for key in ("step", "exp_avg", "exp_avg_sq") if key in state}


def _head(network: Network, settings: Train) -> torch.optim.SGD:
    """For the layer that classifies alone; gradients reach nothing else."""
    network.requires_grad_(False)
    head = network.head_parameters()
    for parameter in head:
        parameter.requires_grad_(True)
    groups = [{"params": head, "factor": settings.head_lr}]
    return torch.optim.SGD(groups, settings.lr, settings.momentum, weight_decay=settings.weight_decay)


def _sgd(network: Network, settings: Train) -> torch.optim.SGD:
    backbone, bare = network.backbone_parameters(), network.undecayed_parameters()
    apart = {id(parameter) for parameter in bare}
    inside = {id(parameter) for parameter in backbone}
    groups: list[dict[str, Any]] = [
        {"params": [p for p in backbone if id(p) not in apart], "factor": 1.0},
        {
            "params": [p for p in network.parameters() if id(p) not in inside | apart],
            "factor": settings.head_lr,
        },
    ]
    if bare:
        groups.append({"params": bare, "factor": 1.0, "weight_decay": 0.0})
    return torch.optim.SGD(groups, settings.lr, settings.momentum, weight_decay=settings.weight_decay)
