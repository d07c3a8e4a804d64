"""Segmenters: the published PSPNet layer by layer, the cut, the loss, and what every architecture must do."""

from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from typing import get_args

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mia_seg import segmenters
from mia_seg.data import IGNORE
from mia_seg.plugins import build, load, names
from mia_seg.segmenters import Network, Segmenter, cross_entropy, normalise
from mia_seg.segmenters.pspnet import AUXILIARY_WEIGHT, BINS, PSPNet, PSPNetwork, enlarge

DEEP = {"resnet50": (3, 4, 6, 3), "resnet101": (3, 4, 23, 3)}
BLOCKS = {"resnet18": (2, 2, 2, 2), **DEEP}
CUT = {"resnet18": 1, "resnet50": 3, "resnet101": 12}

# torchvision's resnet101 has 44,549,160 parameters, of which the fc 2049 * 1000. Instead of its 7x7 to 64 channels the
# deep stem has three 3x3, and the next layer's two 1x1 (64 and 256 outputs) read 128 channels, not 64.
DEEP_STEM_ADDS = (3 * 64 + 64 * 64 + 64 * 128) * 9 + 2 * (64 + 64 + 128) - (3 * 64 * 49 + 2 * 64) + 64 * 64 + 64 * 256


@cache
def blank(backbone: str, classes: int = 19) -> PSPNetwork:
    """The layers without their weights."""
    with torch.device("meta"):
        return PSPNet(backbone=backbone).build(classes)


@cache
def lively(backbone: str) -> PSPNetwork:
    """In evaluation mode, with statistics and weights of batch norms as training leaves them: none is zero or one."""
    torch.manual_seed(0)
    network = PSPNet(backbone=backbone).build(5)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.0)
            nn.init.normal_(module.bias, 0, 0.2)
    with torch.no_grad():
        network.train()(images(2))
    return network.eval()


def images(count: int = 2, size: tuple[int, int] = (32, 48)) -> Tensor:
    return torch.rand(count, 3, *size, generator=torch.Generator().manual_seed(3))


def labels(classes: int, count: int = 2, size: tuple[int, int] = (32, 48)) -> Tensor:
    drawn = torch.randint(classes, (count, *size), generator=torch.Generator().manual_seed(4))
    drawn[:, : 1 + size[0] // 6] = IGNORE
    return drawn


def convolutions(module: nn.Module, kernel: int) -> list[nn.Conv2d]:
    return [m for m in module.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (kernel, kernel)]


def shape(layer: nn.Conv2d) -> tuple[int, int, int, int]:
    """Inputs, outputs, kernel, stride."""
    return layer.in_channels, layer.out_channels, layer.kernel_size[0], layer.stride[0]


def stage(network: PSPNetwork, number: int) -> nn.Module:
    return getattr(network.backbone, f"layer{number - 1}")


def plain_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """The mean of -log p over labelled pixels, one pixel after the other."""
    p = logits.double().softmax(1)
    losses = [-p[n, k, y, x].log() for n, y, x in np.ndindex(*target.shape) if (k := int(target[n, y, x])) != 255]
    return torch.stack(losses).mean()


# The backbone of PSPNet, as evaluation/prototxt/pspnet101_cityscapes_713.prototxt of hszhao/PSPNet has it.


@pytest.mark.parametrize("backbone", BLOCKS)
def test_stages_have_the_blocks_and_widths_of_the_resnet(backbone: str) -> None:
    network, grow = blank(backbone), 1 if backbone == "resnet18" else 4
    for number, blocks in zip((2, 3, 4, 5), BLOCKS[backbone], strict=True):
        assert len(list(stage(network, number).children())) == blocks
        width = 64 * 2 ** (number - 2)
        assert {c.out_channels for c in convolutions(stage(network, number), 3)} == {width}
        if grow == 4:
            assert {c.out_channels for c in convolutions(stage(network, number), 1)} == {width, 4 * width}
            assert len(convolutions(stage(network, number), 3)) == blocks


@pytest.mark.parametrize("backbone", BLOCKS)
def test_every_3x3_of_conv4_and_conv5_is_dilated_the_first_block_included(backbone: str) -> None:
    for number, rate in ((2, 1), (3, 1), (4, 2), (5, 4)):
        for convolution in convolutions(stage(blank(backbone), number), 3):
            assert convolution.dilation == convolution.padding == (rate, rate)
    assert all(c.dilation == (1, 1) for c in convolutions(blank(backbone).backbone.stem, 3))


@pytest.mark.parametrize("backbone", BLOCKS)
def test_only_stem_pool_and_conv3_stride(backbone: str) -> None:
    network = blank(backbone)
    assert next(c.stride for c in network.backbone.stem.modules() if isinstance(c, nn.Conv2d)) == (2, 2)
    strided = {
        name: module.kernel_size
        for name, module in network.backbone.named_modules()
        if isinstance(module, nn.Conv2d) and module.stride != (1, 1) and not name.startswith("stem")
    }
    # conv3_1 strides in its 3x3 (the first 3x3 of a basic block) and in the projection beside it.
    inner = "layer2.0.conv1" if backbone == "resnet18" else "layer2.0.conv2"
    assert strided == {inner: (3, 3), "layer2.0.downsample.0": (1, 1)}


@pytest.mark.parametrize("backbone", DEEP)
def test_deep_backbones_have_the_stem_of_three_3x3(backbone: str) -> None:
    stem = blank(backbone).backbone.stem
    found = [shape(m) for m in stem.modules() if isinstance(m, nn.Conv2d)]
    assert found == [(3, 64, 3, 2), (64, 64, 3, 1), (64, 128, 3, 1)]
    kinds = [type(m).__name__ for m in stem.modules() if not list(m.children())]
    assert kinds == ["Conv2d", "BatchNorm2d", "ReLU"] * 3 + ["MaxPool2d"]
    pool = stem[-1]
    assert (pool.kernel_size, pool.stride, pool.padding) == (3, 2, 1)


def test_resnet18_keeps_its_own_stem() -> None:
    stem = blank("resnet18").backbone.stem
    assert [shape(m) for m in stem.modules() if isinstance(m, nn.Conv2d)] == [(3, 64, 7, 2)]
    assert isinstance(stem[-1], nn.MaxPool2d)


@pytest.mark.parametrize("backbone", BLOCKS)
def test_the_output_stride_is_eight(backbone: str) -> None:
    with torch.device("meta"):
        for (height, width), grid in (((64, 96), (8, 12)), ((65, 97), (9, 13)), ((713, 713), (90, 90))):
            feature = blank(backbone).encode(torch.rand(2, 3, height, width))
            conv4, conv5 = blank(backbone).backbone.after_cut(feature)
            assert feature.shape[2:] == conv4.shape[2:] == conv5.shape[2:] == grid


def test_no_convolution_but_the_classifiers_has_a_bias() -> None:
    network = blank("resnet101")
    biased = [name for name, m in network.named_modules() if isinstance(m, nn.Conv2d) and m.bias is not None]
    assert biased == ["classify", "auxiliary.4"]


def test_images_are_normalised_by_the_statistics_of_imagenet() -> None:
    pixel = normalise(torch.tensor([0.485, 0.456 + 0.224, 0.406 - 2 * 0.225]).view(1, 3, 1, 1))
    assert torch.allclose(pixel.flatten(), torch.tensor([0.0, 1.0, -2.0]), atol=1e-6)


# Its heads.


@pytest.mark.parametrize(("backbone", "channels"), [("resnet18", 512), ("resnet50", 2048), ("resnet101", 2048)])
def test_the_pyramid_pools_into_four_grids_of_a_quarter_of_the_channels(backbone: str, channels: int) -> None:
    network = blank(backbone)
    assert BINS == (1, 2, 3, 6)
    assert [branch[0].output_size for branch in network.pyramid] == [1, 2, 3, 6]
    for branch in network.pyramid:
        assert [type(m) for m in branch] == [nn.AdaptiveAvgPool2d, nn.Conv2d, nn.BatchNorm2d, nn.ReLU]
        assert shape(branch[1]) == (channels, channels // 4, 1, 1)
    assert [type(m) for m in network.fuse] == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU]
    assert shape(network.fuse[0]) == (2 * channels, channels // 4, 3, 1)
    assert network.fuse[0].padding == (1, 1)
    assert shape(network.classify) == (channels // 4, 19, 1, 1)
    assert network.head_dropout.p == 0.1
    assert [m.p for m in network.modules() if isinstance(m, nn.Dropout)] == [0.1, 0.1]


def test_the_auxiliary_head_reads_conv4() -> None:
    head = blank("resnet101").auxiliary
    assert [type(m) for m in head] == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.Dropout, nn.Conv2d]
    assert shape(head[0]) == (1024, 256, 3, 1)
    assert shape(head[4]) == (256, 19, 1, 1)
    assert head[0].padding == (1, 1)


def test_resnet101_has_the_parameters_that_its_layers_add_up_to() -> None:
    def unit(inputs: int, outputs: int, kernel: int) -> int:
        return inputs * outputs * kernel**2 + 2 * outputs  # no bias; batch norm has two numbers a channel

    total, inputs = unit(3, 64, 3) + unit(64, 64, 3) + unit(64, 128, 3), 128
    for blocks, width in zip(DEEP["resnet101"], (64, 128, 256, 512), strict=True):
        total += unit(inputs, 4 * width, 1)  # the projection
        for _ in range(blocks):
            total += unit(inputs, width, 1) + unit(width, width, 3) + unit(width, 4 * width, 1)
            inputs = 4 * width
    assert total == 44_549_160 - 2049 * 1000 + DEEP_STEM_ADDS
    total += 4 * unit(2048, 512, 1) + unit(4096, 512, 3) + (512 + 1) * 19
    total += unit(1024, 256, 3) + (256 + 1) * 19
    assert sum(p.numel() for p in blank("resnet101").parameters()) == total


def test_the_main_path_is_the_published_one_step_by_step() -> None:
    network, x = lively("resnet18"), images()
    with torch.no_grad():
        conv5 = network.backbone.after_cut(network.encode(x))[1]
        pooled = [branch(conv5) for branch in network.pyramid]
        assert [p.shape[2:] for p in pooled] == [(1, 1), (2, 2), (3, 3), (6, 6)]
        upward = [F.interpolate(p, (4, 6), mode="bilinear", align_corners=True) for p in pooled]
        fused = network.fuse(torch.cat([conv5, *upward], 1))
        logits = F.interpolate(network.classify(fused), (32, 48), mode="bilinear", align_corners=True)
        assert torch.equal(network(x), logits)


def test_enlarging_keeps_the_corners() -> None:
    x = torch.arange(6.0).view(1, 1, 2, 3)
    big = enlarge(x, (9, 17))
    assert big[0, 0, [0, 0, -1, -1], [0, -1, 0, -1]].tolist() == [0, 2, 3, 5]
    assert big[0, 0, 0].tolist() == pytest.approx(np.linspace(0, 2, 17), abs=1e-6)


# Its loss.


def test_the_loss_is_cross_entropy_plus_four_tenths_of_the_auxiliary_one() -> None:
    network, x, target = lively("resnet18"), images(), labels(5)
    with torch.no_grad():
        conv4, conv5 = network.backbone.after_cut(network.encode(x))
        auxiliary = F.interpolate(network.auxiliary(conv4), (32, 48), mode="bilinear", align_corners=True)
        loss, logits = network.loss(x, target)
        assert torch.equal(logits, network(x))
        main, beside = plain_cross_entropy(logits, target), plain_cross_entropy(auxiliary, target)
    assert AUXILIARY_WEIGHT == 0.4
    assert loss.item() == pytest.approx((main + 0.4 * beside).item(), rel=1e-5)
    assert beside > 0.1
    assert conv4 is not conv5


def test_the_auxiliary_loss_trains_the_backbone_up_to_conv4() -> None:
    network = deepcopy(lively("resnet18"))
    nn.init.zeros_(network.classify.weight)  # nothing of the main loss goes further back
    network.loss(images(), labels(5))[0].backward()
    assert all(p.grad.any() for p in network.backbone.layer3[-1].parameters())
    assert network.backbone.stem[0].weight.grad.any()
    assert not any(p.grad.any() for p in network.backbone.layer4.parameters())


def test_the_auxiliary_head_is_silent_at_test_time() -> None:
    network, x = deepcopy(lively("resnet18")), images()
    with torch.no_grad():
        before = network(x)
        for parameter in network.auxiliary.parameters():
            parameter.fill_(9)
        assert torch.equal(network(x), before)


def test_ignored_pixels_have_no_loss_and_no_gradient() -> None:
    logits = torch.randn(2, 4, 6, 8, generator=torch.Generator().manual_seed(0), requires_grad=True)
    target = labels(4, 2, (6, 8))
    target[0, :, :4] = IGNORE
    loss = cross_entropy(logits, target)
    loss.backward()
    assert loss.item() == pytest.approx(plain_cross_entropy(logits, target).item(), rel=1e-5)
    assert not logits.grad.permute(0, 2, 3, 1)[target == IGNORE].any()


def test_a_batch_without_labels_has_loss_zero() -> None:
    logits = torch.randn(2, 4, 6, 8, requires_grad=True)
    loss = cross_entropy(logits, torch.full((2, 6, 8), IGNORE))
    loss.backward()
    assert loss.item() == 0
    assert not logits.grad.any()


def test_the_loss_is_computed_in_float32() -> None:
    logits = torch.randn(2, 4, 6, 8).bfloat16()
    assert cross_entropy(logits, labels(4, 2, (6, 8))).dtype == torch.float32


# Its cut: conv4_12 of ResNet-101, before the ReLU.


@pytest.mark.parametrize("backbone", BLOCKS)
def test_the_cut_takes_the_activation_of_one_block_of_conv4(backbone: str) -> None:
    network, last = blank(backbone), "act2" if backbone == "resnet18" else "act3"
    blocks = [block for number in (2, 3, 4, 5) for block in stage(network, number)]
    linear = [i for i, block in enumerate(blocks) if not isinstance(getattr(block, last), nn.ReLU)]
    assert linear == [sum(BLOCKS[backbone][:2]) + CUT[backbone] - 1]
    assert isinstance(getattr(network.backbone.layer3[CUT[backbone] - 1], last), nn.Identity)


@pytest.mark.parametrize("backbone", BLOCKS)
def test_decoding_the_code_is_the_uncut_network(backbone: str) -> None:
    network, x = lively(backbone), images()
    uncut = deepcopy(network.backbone)
    block = uncut.layer3[CUT[backbone] - 1]
    setattr(block, "act2" if backbone == "resnet18" else "act3", nn.ReLU())
    with torch.no_grad():
        conv3 = uncut.layer2(uncut.layer1(uncut.stem(normalise(x))))
        conv4 = uncut.layer3(conv3)
        feature = network.encode(x)
        before = feature.clone()
        assert torch.equal(uncut.layer3[: CUT[backbone]](conv3), feature.relu())
        for mine, theirs in zip(network.backbone.after_cut(feature), (conv4, uncut.layer4(conv4)), strict=True):
            assert torch.equal(mine, theirs)
        logits = network._main(uncut.layer4(conv4), (32, 48))
        assert torch.equal(network.decode(feature, (32, 48)), logits)
        assert torch.equal(network(x), logits)
        assert torch.equal(feature, before)  # decoding leaves the code as it was


@pytest.mark.parametrize(("backbone", "index"), [("resnet50", 2), ("resnet101", 11)])
def test_the_feature_is_the_sum_of_the_block_before_its_relu(backbone: str, index: int) -> None:
    network, caught = lively(backbone), {}
    block = network.backbone.layer3[index]
    # Cloned, because the block adds its input to the batch norm's output in place.
    hooks = [
        block.register_forward_pre_hook(lambda _, arguments: caught.update(input=arguments[0].clone())),
        block.bn3.register_forward_hook(lambda _module, _arguments, output: caught.update(output=output.clone())),
    ]
    with torch.no_grad():
        feature = network.encode(images())
    for hook in hooks:
        hook.remove()
    assert torch.equal(feature, caught["output"] + caught["input"])
    assert feature.shape[1] == 1024
    assert 0.05 < (feature < 0).float().mean() < 0.95
    assert (caught["input"] >= 0).all()


def test_another_cut_leaves_the_network_the_same() -> None:
    torch.manual_seed(0)
    first = PSPNet(backbone="resnet18", cut=1).build(5).eval()
    torch.manual_seed(0)
    second = PSPNet(backbone="resnet18", cut=2).build(5).eval()
    with torch.no_grad():
        assert torch.equal(first(images()), second(images()))


# What every architecture must do.


def every() -> Iterator[tuple[str, Segmenter]]:
    """Each segmenter of the folder, on the smallest backbone it offers."""
    for name in names(segmenters):
        component = load(segmenters, Segmenter, name)
        offered = (
            get_args(component.model_fields["backbone"].annotation) if "backbone" in component.model_fields else ()
        )
        yield name, build(segmenters, Segmenter, name, settings={"backbone": offered[0]} if offered else {}, where=name)


@cache
def made(name: str, classes: int) -> Network:
    torch.manual_seed(0)
    return dict(every())[name].build(classes)


def stirred(name: str, classes: int) -> Network:
    """Without the zeros from which timm's residual blocks start: they hold back signs and gradients."""
    network = deepcopy(made(name, classes))
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.constant_(module.weight, 0.7)
    return network


@pytest.mark.parametrize("classes", [2, 11, 19, 66])
@pytest.mark.parametrize("name", names(segmenters))
def test_every_segmenter_takes_any_number_of_classes(name: str, classes: int) -> None:
    network = made(name, classes).eval()
    with torch.no_grad():
        assert network(images(1, (64, 64))).shape == (1, classes, 64, 64)
    assert not network.encode(images(1)).isnan().any()


@pytest.mark.parametrize("size", [(45, 61), (33, 49), (65, 41), (40, 64), (9, 17)])
@pytest.mark.parametrize("name", names(segmenters))
def test_every_segmenter_answers_at_the_size_of_the_image(name: str, size: tuple[int, int]) -> None:
    network = made(name, 19).eval()
    with torch.no_grad():
        logits = network(images(2, size))
        alone = network(images(2, size)[1:])
    assert logits.shape == (2, 19, *size)
    assert logits.isfinite().all()
    assert torch.allclose(logits[1:], alone, atol=1e-4)  # an image's answer does not depend on its batch


@pytest.mark.parametrize("name", names(segmenters))
def test_nothing_but_the_last_step_reads_more_of_an_image_than_the_feature(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, (first, second) = made(name, 19).eval(), images(2, (45, 61)).split(1)
    with torch.no_grad():
        feature, expected = network.encode(second), network(second)
        logits = network.decode(feature, (45, 61))
        assert not torch.equal(network(first), expected)
        assert torch.equal(network.finish(logits, second), expected)
        monkeypatch.setattr(network, "encode", lambda image: feature)
        assert torch.equal(network(first), network.finish(logits, first))


@pytest.mark.parametrize("name", names(segmenters))
def test_the_feature_at_the_cut_is_one_dense_tensor_before_its_activation(name: str) -> None:
    with torch.no_grad():
        feature = stirred(name, 19).eval().encode(images(1, (64, 96)))
    height, width = feature.shape[2:]
    assert (64 // height, 96 // width) in {(4, 4), (8, 8), (16, 16)}
    assert (feature < 0).any()  # what a ReLU has passed is not negative
    assert (feature > 0).any()


@pytest.mark.parametrize("size", [(64, 64), (45, 61)])
@pytest.mark.parametrize("name", names(segmenters))
def test_every_segmenter_learns_in_all_its_parameters(name: str, size: tuple[int, int]) -> None:
    network = stirred(name, 11).train()
    loss, logits = network.loss(images(2, size), labels(11, 2, size))
    loss.backward()
    assert loss.shape == ()
    assert loss > 0
    assert logits.shape == (2, 11, *size)
    assert all(p.grad is not None and p.grad.isfinite().all() and p.grad.any() for p in network.parameters())


@pytest.mark.parametrize("name", names(segmenters))
def test_every_segmenter_splits_its_parameters_into_backbone_and_heads(name: str) -> None:
    network = made(name, 11)
    everything, backbone = list(map(id, network.parameters())), list(map(id, network.backbone_parameters()))
    assert len(backbone) == len(set(backbone))
    assert set(backbone) < set(everything)


@pytest.mark.parametrize("name", names(segmenters))
def test_every_segmenter_is_drawn_from_the_global_generator(name: str) -> None:
    states = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        states.append(dict(every())[name].build(3).state_dict())
    assert all(torch.equal(a, b) for a, b in zip(states[0].values(), states[1].values(), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(states[0].values(), states[2].values(), strict=True))
