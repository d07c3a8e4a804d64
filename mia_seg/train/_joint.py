"""Several devices as one: batch normalisation and sums over all that a step sees."""

from typing import Any, TypeVar

import torch
import torch.distributed as dist
from lightning_fabric import Fabric
from timm.layers.norm_act import convert_sync_batchnorm
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mia_seg.errors import MiaSegError

M = TypeVar("M", bound=nn.Module)


def normalise_jointly(network: M, fabric: Fabric) -> M:
    """A module with batch norms that see what all devices see; parameters and their names stay."""
    if fabric.world_size == 1:
        return network
    if fabric.device.type == "cuda":
        converted: M = convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        return converted
    # torch's SyncBatchNorm refuses CPU tensors.
    for module in network.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = JointBatchNorm2d
        elif isinstance(module, _BatchNorm):
            raise MiaSegError(f"CPU processes cannot share a {type(module).__name__}. Train with --devices 1.")
    return network


class JointBatchNorm2d(nn.BatchNorm2d):
    """Batch norm over the processes of the default group, whose inputs have one shape."""

    def forward(self, input: Tensor) -> Tensor:
        """[N, C, H, W] -> the same, normalised in float32 by the mean and variance of all N * world."""
        if not self.training:
            return super().forward(input)
        x = input.float()
        count = dist.get_world_size() * x.numel() / x.shape[1]
        mean = total(x.sum((0, 2, 3))) / count
        centred = x - mean[:, None, None]
        variance = total(centred.square().sum((0, 2, 3))) / count
        self._remember(mean.detach(), variance.detach() * (count / (count - 1)))
        scale = (variance + self.eps).rsqrt() * self.weight
        return (centred * scale[:, None, None] + self.bias[:, None, None]).to(input.dtype)

    @torch.no_grad()
    def _remember(self, mean_C: Tensor, variance_C: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        self.running_mean.lerp_(mean_C, self.momentum)
        self.running_var.lerp_(variance_C, self.momentum)
        self.num_batches_tracked.add_(1)


class _Total(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        summed = x.clone()
        dist.all_reduce(summed)
        return summed

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        summed = gradients[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(summed)
        return summed


def total(x: Tensor) -> Tensor:
    """The sum over processes; every process's loss sends its gradient back through it."""
    summed: Tensor = _Total.apply(x)
    return summed
