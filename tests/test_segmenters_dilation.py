"""Learnt dilations: a convolution that looks between pixels, and PSPNet with it."""

from functools import cache

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import deform_conv2d

from mia_seg.segmenters._dilation import BESIDE, LearntDilation, convolve, sample
from mia_seg.segmenters.learnable_dilation import LearnableDilation, LearnableDilationNetwork
from mia_seg.segmenters.pspnet import PSPNet

SIZE = (9, 11)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def layer(start: int = 2, channels: int = 4, factor: float = 1.0) -> LearntDilation:
    torch.manual_seed(0)
    fixed = nn.Conv2d(channels, 5, 3, padding=start, dilation=start, bias=False)
    return LearntDilation(fixed, factor)


@cache
def built() -> LearnableDilationNetwork:
    torch.manual_seed(0)
    return LearnableDilation(backbone="resnet18", dropout=0.0).build(4).eval()


@pytest.mark.parametrize("dilation", [1, 2, 3])
def test_a_whole_dilation_is_the_ordinary_convolution(dilation: int) -> None:
    x, weight = normal(2, 4, *SIZE), normal(5, 4, 3, 3, seed=1)
    found = convolve(x, weight, torch.full((4,), float(dilation), dtype=torch.float64))
    assert torch.allclose(found, F.conv2d(x, weight, padding=dilation, dilation=dilation), atol=1e-12)


def test_fractions_a_channel_are_a_deformable_convolution() -> None:
    x, weight, dilation_C = (
        normal(2, 4, *SIZE),
        normal(5, 4, 3, 3, seed=1),
        torch.tensor([1.3, 2.0, 3.75, 7.5]).double(),
    )
    taps = torch.tensor([(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)]).double()
    offset = (taps * (dilation_C - 1)[:, None, None]).flatten()[None, :, None, None].expand(2, -1, *SIZE)
    expected = deform_conv2d(x, offset.contiguous(), weight, padding=1)
    assert torch.allclose(convolve(x, weight, dilation_C), expected, atol=1e-12)


def test_a_tap_reads_between_the_pixels_of_a_linear_image() -> None:
    rows, columns = torch.meshgrid(torch.arange(11.0), torch.arange(11.0), indexing="ij")
    seen = sample((10 * rows + columns)[None, None], torch.tensor([1.3]))
    # At (5, 5): the tap up and to the right reads row 3.7 and column 6.3, the one in the middle the pixel itself.
    assert seen[0, 2, 0, 5, 5].item() == pytest.approx(43.3, abs=1e-4)
    assert seen[0, 4, 0, 5, 5].item() == 55


def test_the_derivative_is_that_of_the_interpolation() -> None:
    inputs = (normal(1, 3, 5, 6), normal(2, 3, 3, 3, seed=1), torch.tensor([1.3, 2.6, 3.9]).double())
    assert torch.autograd.gradcheck(convolve, [x.requires_grad_() for x in inputs])


@pytest.mark.parametrize(("start", "low", "high"), [(2, 1.0, 4.0), (4, 1.0, 8.0)])
def test_dilations_begin_where_they_were_set_and_stay_in_their_range(start: int, low: float, high: float) -> None:
    made = layer(start, factor=4.0)
    assert made.dilations().tolist() == pytest.approx([start + BESIDE] * 4)
    with torch.no_grad():
        made.dilation_C.copy_(torch.tensor([-9.0, 9.0, 0.0, 0.25]))
    assert made.dilations().tolist() == pytest.approx([low, high, start + BESIDE, start + BESIDE + 0.5])
    made.dilations().sum().backward()
    assert made.dilation_C.grad.all()  # from the edge of the range it comes back


def test_the_factor_multiplies_the_rate_of_the_dilations_alone() -> None:
    moved = []
    for factor in (1.0, 9.0):
        made, x = layer(factor=factor), normal(1, 4, *SIZE).float()
        before, weight = made.dilations().detach(), made.weight.detach().clone()
        made(x).square().mean().backward()
        torch.optim.SGD(made.parameters(), 1e-3).step()
        moved.append((made.dilations().detach() - before, made.weight.detach() - weight))
    assert torch.allclose(moved[1][0], 9 * moved[0][0], rtol=1e-3, atol=1e-6)
    assert torch.equal(moved[1][1], moved[0][1])


def test_every_dilated_convolution_learns_and_no_other() -> None:
    with torch.device("meta"):
        network = LearnableDilation(backbone="resnet101").build(19)
    learnt = {name: module for name, module in network.named_modules() if isinstance(module, LearntDilation)}
    ranges = [module.range for module in learnt.values()]
    assert (ranges.count((1.0, 4.0)), ranges.count((1.0, 8.0))) == (23, 3)  # thesis, section 4.2.3
    assert {name.rpartition(".")[2] for name in learnt} == {"conv2"}
    assert [id(p) for p in network.undecayed_parameters()] == [id(module.dilation_C) for module in learnt.values()]
    with torch.device("meta"):
        plain = PSPNet(backbone="resnet101").build(19)
    added = sum(p.numel() for p in network.parameters()) - sum(p.numel() for p in plain.parameters())
    assert added == 23 * 256 + 3 * 512


def test_it_begins_with_pspnets_weights_and_answers_almost_as_it_does() -> None:
    plain, network = PSPNet(backbone="resnet18", dropout=0.0).build(4).eval(), built()
    for module in plain.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.constant_(module.weight, 0.7)  # timm's blocks begin as their shortcuts alone
    network.load_state_dict(plain.state_dict())
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        difference = (network(image) - plain(image)).abs().max()
        assert 0 < difference < 0.02 * plain(image).std()
    with pytest.raises(RuntimeError, match="Missing key"):
        plain.load_state_dict({})
    with pytest.raises(RuntimeError, match="Missing key"):
        network.load_state_dict({})
    again = LearnableDilation(backbone="resnet18").build(4)
    with torch.no_grad():
        network.undecayed_parameters()[0][:3] = 0.5
    again.load_state_dict(network.state_dict())
    assert torch.equal(again.undecayed_parameters()[0], network.undecayed_parameters()[0])


def test_it_learns_two_pairs_by_heart() -> None:
    torch.manual_seed(0)
    network = LearnableDilation(backbone="resnet18", dropout=0.0).build(3)
    labels = torch.zeros(2, 24, 24, dtype=torch.int64)
    labels[0, :, 10:], labels[1, 14:, :9] = 1, 2
    image = labels[:, None] / 3 + 0.2 * torch.rand(2, 3, 24, 24, generator=torch.Generator().manual_seed(3))
    step = torch.optim.SGD(network.parameters(), 0.02, momentum=0.9)
    for _ in range(20):
        step.zero_grad()
        network.train().loss(image, labels)[0].backward()
        step.step()
    assert (network.eval()(image).argmax(1) == labels).float().mean() > 0.9
