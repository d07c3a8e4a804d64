"""UPerNet layer by layer, its cut and its loss."""

from copy import deepcopy
from functools import cache

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mia_seg.segmenters import cross_entropy
from mia_seg.segmenters.upernet import UPerNet, UPerNetwork

BACKBONES = {"resnet18": (64, 128, 256, 512), "resnet50": (256, 512, 1024, 2048), "resnet101": (256, 512, 1024, 2048)}
SIZE = (45, 61)


@cache
def blank(backbone: str, classes: int = 19) -> UPerNetwork:
    """The layers without their weights."""
    with torch.device("meta"):
        return UPerNet(backbone=backbone).build(classes)


@cache
def lively() -> UPerNetwork:
    """In evaluation mode, with statistics of batch norms that are neither zero nor one."""
    torch.manual_seed(0)
    network = UPerNet(backbone="resnet18").build(5)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.0)
            nn.init.normal_(module.bias, 0, 0.2)
    with torch.no_grad():
        network.train()(images())
    return network.eval()


def images(count: int = 2) -> Tensor:
    return torch.rand(count, 3, *SIZE, generator=torch.Generator().manual_seed(3))


def labels() -> Tensor:
    return torch.randint(5, (2, *SIZE), generator=torch.Generator().manual_seed(4))


def resized(x: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(x, size, mode="bilinear", align_corners=False)


def assert_unit(layers: nn.Sequential, inputs: int, outputs: int, kernel: int) -> None:
    """Convolution of the same size without bias, batch norm, ReLU."""
    convolution, norm, activation = layers
    assert (convolution.in_channels, convolution.out_channels) == (inputs, outputs)
    assert convolution.kernel_size == (kernel, kernel)
    assert convolution.padding == (kernel // 2, kernel // 2)
    assert convolution.stride == convolution.dilation == (1, 1)
    assert convolution.bias is None
    assert isinstance(norm, nn.BatchNorm2d)
    assert isinstance(activation, nn.ReLU)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_the_backbone_is_not_dilated_and_hands_out_four_stages(backbone: str) -> None:
    network = blank(backbone).backbone
    assert {m.dilation for m in network.modules() if isinstance(m, nn.Conv2d)} == {(1, 1)}
    with torch.device("meta"):
        stages = network.after_cut(network.before_cut(torch.rand(1, 3, 512, 300)))
    grids = [(128, 75), (64, 38), (32, 19), (16, 10)]
    assert [stage.shape[1:] for stage in stages] == [
        (channels, *grid) for channels, grid in zip(BACKBONES[backbone], grids, strict=True)
    ]


@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_layer_of_the_head_is_the_authors(backbone: str) -> None:
    network, (conv2, conv3, conv4, conv5) = blank(backbone), BACKBONES[backbone]
    assert [pool[0].output_size for pool in network.pyramid] == [1, 2, 3, 6]
    for pool in network.pyramid:
        assert isinstance(pool[0], nn.AdaptiveAvgPool2d)
        assert_unit(pool[1:], conv5, 512, 1)
    assert_unit(network.top, conv5 + 2048, 512, 3)
    for lateral, channels in zip(network.laterals, (conv2, conv3, conv4), strict=True):
        assert_unit(lateral, channels, 512, 1)
    assert len(network.smooth) == 3
    for smooth in network.smooth:
        assert_unit(smooth, 512, 512, 3)
    assert_unit(network.fuse, 2048, 512, 3)
    assert (network.classify.in_channels, network.classify.kernel_size) == (512, (1, 1))
    assert_unit(network.auxiliary[:3], conv4, conv4 // 4, 3)
    assert [m.p for m in network.modules() if isinstance(m, nn.Dropout)] == [0.1, 0.1]


def test_resnet101_has_the_published_number_of_parameters() -> None:
    def unit(inputs: int, outputs: int, kernel: int) -> int:
        return inputs * outputs * kernel**2 + 2 * outputs

    network = blank("resnet101", 150)
    total = sum(p.numel() for p in network.backbone.parameters())
    total += 4 * unit(2048, 512, 1) + unit(4096, 512, 3) + 3 * unit(512, 512, 3) + unit(2048, 512, 3)
    total += sum(unit(channels, 512, 1) for channels in (256, 512, 1024)) + 513 * 150
    total += unit(1024, 256, 3) + 257 * 150
    assert sum(p.numel() for p in network.parameters()) == total
    # Swin Transformer (Liu et al., ICCV 2021), table 3: UPerNet with ResNet-101 on ADE20K, 86M.
    assert round(total / 1e6) == 86


def test_the_main_path_step_by_step() -> None:
    network, x = lively(), images()
    with torch.no_grad():
        conv2, conv3, conv4, conv5 = network.backbone.after_cut(network.encode(x))
        assert conv5.shape[2:] == (2, 2)
        p5 = network.top(torch.cat([conv5, *(resized(pool(conv5), (2, 2)) for pool in network.pyramid)], 1))
        f4 = network.laterals[2](conv4) + resized(p5, (3, 4))
        f3 = network.laterals[1](conv3) + resized(f4, (6, 8))
        f2 = network.laterals[0](conv2) + resized(f3, (12, 16))
        # The path goes on from the sums, not from what the 3x3 make of them.
        levels = [network.smooth[0](f2), network.smooth[1](f3), network.smooth[2](f4), p5]
        fused = network.fuse(torch.cat([resized(level, (12, 16)) for level in levels], 1))
        assert torch.equal(network(x), resized(network.classify(fused), SIZE))


def test_enlarging_does_not_align_corners() -> None:
    from mia_seg.segmenters.upernet import resize

    # Centres of four pixels over two: at -1/4 (held), 1/4, 3/4 and 5/4 (held).
    assert resize(torch.tensor([[[[0.0, 4.0]]]]), (1, 4)).flatten().tolist() == [0, 1, 3, 4]


def test_the_network_after_the_cut_is_the_uncut_one() -> None:
    network, x = lively().backbone, images()
    uncut = deepcopy(network)
    uncut.layer1[-1].act2 = nn.ReLU()
    with torch.no_grad():
        feature = network.before_cut(x)
        before = feature.clone()
        stages = network.after_cut(feature)
        expected = uncut.before_cut(x)
        for stage, layer in zip(stages, (nn.Identity(), uncut.layer2, uncut.layer3, uncut.layer4), strict=True):
            expected = layer(expected)
            assert torch.equal(stage, expected)
    assert torch.equal(feature, before)
    assert 0.05 < (feature < 0).float().mean() < 0.95


def test_the_loss_adds_four_tenths_of_the_auxiliary_one_on_conv4() -> None:
    network, x, target = lively(), images(), labels()
    with torch.no_grad():
        conv4 = network.backbone.after_cut(network.encode(x))[2]
        beside = cross_entropy(resized(network.auxiliary(conv4), SIZE), target)
        loss, logits = network.loss(x, target)
        assert torch.equal(logits, network(x))
        assert loss.item() == pytest.approx((cross_entropy(logits, target) + 0.4 * beside).item(), rel=1e-6)
    assert beside > 0.1
