"""Clipped gradients of single scenes, summed, from one pass over several of them.

The gradient of a convolution's weight is a product of two halves, which a pass over many scenes has for each of them:
the layer's input, and the gradient of the loss at its output. So the norm of a scene's gradient is found without that
gradient (ghost norms: Bu et al., NeurIPS 2022, arXiv 2205.10683), and the clipped ones are summed without a second pass
(book-keeping: Bu et al., ICML 2023, arXiv 2210.00038).
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.grad import conv2d_weight


class Seen:
    """What a pass left of a layer with parameters, and the gradients that are made from it.

    views: images of a scene, which follow each other. calls: the number of images at each call. each_S: scenes'
    gradients [S, ...] of the layer's parameters. halves: instead of each scene's gradient of a convolution's weight,
    its input and the gradient at its output.
    """

    def __init__(self, layer: nn.Conv2d | nn.GroupNorm, views: int) -> None:
        self.layer, self.views = layer, views
        self.calls: list[int] = []
        self.each_S: list[Tensor] = []
        self.halves: tuple[Tensor, Tensor] | None = None

    def note(self, layer: nn.Module, inputs: tuple[Tensor], output: Tensor) -> Tensor:
        """A forward hook."""
        del layer
        self.calls.append(len(inputs[0]))
        if not output.requires_grad:  # the first layer that is trained: gradients begin with a copy of what it gives
            output = output.detach().requires_grad_().clone()
        # Hooked before anything changes the output in place: the gradient is that of the value here.
        output.register_hook(lambda gradient: self._receive(_precise(inputs[0].detach()), _precise(gradient)))  # type: ignore[no-untyped-call]
        return output

    def _receive(self, input_NCHW: Tensor, output_NOHW: Tensor) -> None:
        layer, biases = self.layer, [self._by_scene(output_NOHW.sum((2, 3)))]
        if isinstance(layer, nn.GroupNorm):
            normal_NCHW = F.group_norm(input_NCHW, layer.num_groups, eps=layer.eps)
            self.each_S = [self._by_scene((normal_NCHW * output_NOHW).sum((2, 3))), *biases]
            return
        self.each_S = [] if layer.bias is None else biases
        if layer.weight.numel() < self.views * (input_NCHW[0].numel() + output_NOHW[0].numel()):
            self.each_S.insert(0, torch.stack([self._weight(*pair) for pair in self._pairs(input_NCHW, output_NOHW)]))
        else:
            self.halves = input_NCHW, output_NOHW

    def _by_scene(self, gradient_NC: Tensor) -> Tensor:
        return gradient_NC.view(-1, self.views, gradient_NC.shape[1]).sum(1)

    def squared_S(self) -> Tensor:
        """The squared norm of each scene's gradient."""
        found = [gradient_S.flatten(1).square().sum(1) for gradient_S in self.each_S]
        if self.halves is not None:
            found.append(torch.stack([self._squared_weight(*pair) for pair in self._pairs(*self.halves)]))
        if not found:  # the loss does not depend on the layer
            return torch.zeros((), device=next(self.layer.parameters()).device)
        return torch.stack(found).sum(0)

    def summed(self, times_S: Tensor) -> list[Tensor]:
        """The sum of the scenes' gradients, each times its number, for each parameter of the layer."""
        found = [torch.tensordot(times_S, gradient_S, 1) for gradient_S in self.each_S]
        if self.halves is not None:
            times_N = times_S.repeat_interleave(self.views)
            found.insert(0, self._weight(self.halves[0], self.halves[1] * times_N[:, None, None, None]))
        return found or [torch.zeros_like(p) for p in self.layer.parameters()]

    def _weight(self, input_NCHW: Tensor, output_NOHW: Tensor) -> Tensor:
        layer = self.layer
        assert isinstance(layer, nn.Conv2d)
        options = (layer.stride, layer.padding, layer.dilation, layer.groups)
        return conv2d_weight(input_NCHW, layer.weight.shape, output_NOHW, *options)  # type: ignore[no-untyped-call]

    def _squared_weight(self, input_VCHW: Tensor, output_VOHW: Tensor) -> Tensor:
        """Of one scene. |sum over places p of a_p b_p'|^2 is the sum over pairs of (a_p . a_q) (b_p . b_q)."""
        layer = self.layer
        assert isinstance(layer, nn.Conv2d)
        taken, given = layer.weight[0].numel(), layer.out_channels // layer.groups
        if output_VOHW[:, 0].numel() * (taken + given) > taken * given:  # pairs of so many places cost more
            return self._weight(input_VCHW, output_VOHW).square().sum()
        options = (layer.kernel_size, layer.dilation, layer.padding, layer.stride)
        patches_VCP = F.unfold(input_VCHW, *options)  # type: ignore[arg-type]
        halves = [half.unflatten(1, (layer.groups, -1)) for half in (patches_VCP, output_VOHW.flatten(2))]  # type: ignore[no-untyped-call]
        products = [(h := half_VGCP.permute(1, 2, 0, 3).flatten(2)).mT @ h for half_VGCP in halves]
        return (products[0] * products[1]).sum()

    def _pairs(self, input_NCHW: Tensor, output_NOHW: Tensor) -> "zip[tuple[Tensor, Tensor]]":
        """What each scene has of both."""
        return zip(input_NCHW.split(self.views), output_NOHW.split(self.views), strict=True)  # type: ignore[no-untyped-call]


def seen_of(network: nn.Module, parameters: Sequence[nn.Parameter], views: int) -> list[Seen] | None:
    """The layers that hold just these parameters, each one once; None if any is of a kind unknown here."""
    wanted, found = sorted(map(id, parameters)), list[Seen]()
    for module in network.modules():
        if not {id(p) for p in module.parameters(recurse=False)} & set(wanted):
            continue
        # Of no subclass, which may do something else with its weight.
        if type(module) is nn.GroupNorm or (type(module) is nn.Conv2d and _pads_zeros(module)):
            found.append(Seen(module, views))
        else:
            return None
    return found if sorted(id(p) for one in found for p in one.layer.parameters()) == wanted else None


@contextmanager
def watched(seen: Sequence[Seen]) -> Iterator[None]:
    """Note what the layers take, and the gradients at their outputs; those of their parameters are not computed."""
    with ExitStack() as after:
        for one in seen:
            after.callback(one.layer.register_forward_hook(one.note).remove)
            for parameter in one.layer.parameters():
                after.callback(parameter.requires_grad_, True)
                parameter.requires_grad_(False)
        yield


def _pads_zeros(layer: nn.Conv2d) -> bool:
    return layer.padding_mode == "zeros" and not isinstance(layer.padding, str)


def _precise(value: Tensor) -> Tensor:
    return value.to(torch.promote_types(value.dtype, torch.float32))
