"""DeepLab-v2 layer by layer, its stride and its size."""

from copy import deepcopy
from functools import cache

import pytest
import torch
import torch.nn.functional as F
from test_segmenters import DEEP_STEM_ADDS
from torch import Tensor, nn

from mia_seg.segmenters import cross_entropy
from mia_seg.segmenters._convcrf import Affinity, mean_field
from mia_seg.segmenters.deeplabv2 import DeepLabV2, DeepLabV2Network

SIZE = (45, 61)


@cache
def blank(backbone: str, classes: int = 21) -> DeepLabV2Network:
    """The layers without their weights."""
    with torch.device("meta"):
        return DeepLabV2(backbone=backbone).build(classes)


@cache
def small() -> DeepLabV2Network:
    torch.manual_seed(0)
    return DeepLabV2(backbone="resnet18").build(5).eval()


def refined(iterations: int) -> DeepLabV2Network:
    network = DeepLabV2(backbone="resnet18", crf=iterations).build(5).eval()
    network.load_state_dict(small().state_dict())  # a CRF has no weights
    return network


def images() -> Tensor:
    return torch.rand(2, 3, *SIZE, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize(("backbone", "channels"), [("resnet18", 512), ("resnet101", 2048)])
def test_four_dilated_classifiers_read_conv5_at_stride_eight(backbone: str, channels: int) -> None:
    network = blank(backbone)
    for layer, rate in zip(network.classifiers, (6, 12, 18, 24), strict=True):
        assert (layer.in_channels, layer.out_channels, layer.kernel_size) == (channels, 21, (3, 3))
        assert layer.dilation == layer.padding == (rate, rate)
        assert layer.bias is not None
    with torch.device("meta"):
        for size, grid in (((321, 321), (41, 41)), ((319, 319), (40, 40))):
            feature = network.encode(torch.rand(1, 3, *size))
            assert feature.shape[2:] == network.backbone.after_cut(feature)[1].shape[2:] == grid
            assert network.decode(feature, size).shape == (1, 21, *size)


def test_resnet101_has_the_published_number_of_parameters() -> None:
    # torchvision's resnet101 has 44,549,160, of which the fc 2049 * 1000; 2048 channels to 21 classes, four times.
    published = 44_549_160 - 2049 * 1000 + 4 * (9 * 2048 + 1) * 21
    assert published == 44_048_532
    assert sum(p.numel() for p in blank("resnet101").parameters()) == published + DEEP_STEM_ADDS


def test_the_classifiers_answers_are_summed_and_enlarged() -> None:
    network, x = small(), images()
    with torch.no_grad():
        conv5 = network.backbone.layer4(network.backbone.layer3[1:](network.encode(x).relu()))
        total = torch.zeros(2, 5, 6, 8)
        for layer, rate in zip(network.classifiers, (6, 12, 18, 24), strict=True):
            total += F.conv2d(conv5, layer.weight, layer.bias, padding=rate, dilation=rate)
        expected = F.interpolate(total, SIZE, mode="bilinear", align_corners=True)
        assert torch.allclose(network(x), expected, atol=1e-5)
    assert expected.std() > 0.01


def test_classifiers_begin_with_the_published_weights() -> None:
    for layer in small().classifiers:
        assert layer.weight.std().item() == pytest.approx(0.01, rel=0.05)
        assert not layer.bias.any()


def test_the_loss_is_cross_entropy_alone() -> None:
    target = torch.randint(5, (2, *SIZE), generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        loss, logits = small().loss(images(), target)
        assert torch.equal(logits, small()(images()))
        assert torch.equal(loss, cross_entropy(logits, target))
    assert not any(isinstance(m, nn.Dropout) for m in small().modules())


def test_a_crf_refines_answers_and_leaves_training_alone() -> None:
    network, x = refined(5), images()
    target = torch.randint(5, (2, *SIZE), generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        plain = small()(x)
        expected = mean_field(plain, Affinity(x, 7, 4), 0.2, iterations=5)
        assert torch.equal(network(x), expected)
        assert torch.equal(network.decode(network.encode(x), SIZE), plain)
        assert (expected.softmax(1) - plain.softmax(1)).abs().max() > 0.1
        network.train()
        (loss, logits), again = network.loss(x, target), deepcopy(small()).train()
        assert torch.equal(logits, again(x))
        assert torch.equal(loss, cross_entropy(logits, target))
