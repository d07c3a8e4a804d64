"""DeepLab-v3+ and DPC layer by layer, as tensorflow/models has them in research/deeplab, and their cut."""

from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mia_seg.segmenters._decoder import DecoderNetwork, EncoderDecoder, set_momentum
from mia_seg.segmenters.deeplabv3plus import ASPP, DeepLabV3Plus
from mia_seg.segmenters.dpc import CELL, DPC, Cell

KINDS: dict[str, type[EncoderDecoder]] = {"deeplabv3plus": DeepLabV3Plus, "dpc": DPC}
RESNETS = {"resnet18": (2, 2, 2, 2), "resnet50": (3, 4, 6, 3), "resnet101": (3, 4, 23, 3)}
# Blocks of core/xception.py at output stride 16: widths of the three separable convolutions, stride, rate. The exit
# flow's first block would stride; its rate stays 1, and the block after it takes the rate instead.
MIDDLE = [((728, 728, 728), 1, 1)] * 16
EXIT = [((728, 1024, 1024), 1, 1), ((1536, 1536, 2048), 1, 2)]
XCEPTIONS = {
    "xception65": [((128,) * 3, 2, 1), ((256,) * 3, 2, 1), ((728,) * 3, 2, 1), *MIDDLE, *EXIT],
    "xception71": [
        *[((128,) * 3, 2, 1), ((256,) * 3, 1, 1), ((256,) * 3, 2, 1), ((728,) * 3, 1, 1), ((728,) * 3, 2, 1)],
        *[*MIDDLE, *EXIT],
    ],
}
BACKBONES = [*RESNETS, *XCEPTIONS]
CUT = {"resnet18": 64, "resnet50": 256, "resnet101": 256, "xception65": 128, "xception71": 256}


@cache
def blank(name: str, backbone: str, classes: int = 19) -> DecoderNetwork:
    """The layers without their weights."""
    with torch.device("meta"):
        return KINDS[name](backbone=backbone).build(classes)


@cache
def lively(name: str, backbone: str) -> DecoderNetwork:
    """In evaluation mode, with statistics and weights of batch norms as training leaves them: none is zero or one."""
    torch.manual_seed(0)
    network = KINDS[name](backbone=backbone, batch_norm_momentum=1.0).build(5)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.0)
            nn.init.normal_(module.bias, 0, 0.2)
    with torch.no_grad():
        network.train()(images(2))
    return network.eval()


def images(count: int, size: tuple[int, int] = (45, 61)) -> Tensor:
    return torch.rand(count, 3, *size, generator=torch.Generator().manual_seed(3))


def blocks_of(backbone: Any) -> list[Any]:
    return [*backbone.early, backbone.tapped, *backbone.late]


def shape(layer: nn.Conv2d) -> tuple[int, int, int, int]:
    """Inputs, outputs, kernel, stride."""
    return layer.in_channels, layer.out_channels, layer.kernel_size[0], layer.stride[0]


def assert_separable(layers: Any, inputs: int, outputs: int, rate: tuple[int, int]) -> None:
    """Depthwise 3x3 at `rate`, batch norm, ReLU, pointwise, batch norm, ReLU; no bias, same size."""
    assert [type(m) for m in layers] == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU] * 2
    assert (shape(layers[0]), layers[0].groups) == ((inputs, inputs, 3, 1), inputs)
    assert layers[0].dilation == layers[0].padding == rate
    assert (shape(layers[3]), layers[3].groups) == ((inputs, outputs, 1, 1), 1)
    assert layers[0].bias is layers[3].bias is None


def assert_unit(layers: Any, inputs: int, outputs: int) -> None:
    """1x1, batch norm, ReLU."""
    assert [type(m) for m in layers] == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU]
    assert shape(layers[0]) == (inputs, outputs, 1, 1)
    assert layers[0].bias is None


def weights(*modules: nn.Module) -> int:
    """Weights of convolutions, without batch norms."""
    return sum(m.weight.numel() for part in modules for m in part.modules() if isinstance(m, nn.Conv2d))


# The backbones.


@pytest.mark.parametrize("backbone", XCEPTIONS)
def test_every_block_of_the_xception_has_its_widths_stride_and_rate(backbone: str) -> None:
    inputs = 64
    blocks = blocks_of(blank("dpc", backbone).backbone)
    for block, (widths, stride, rate) in zip(blocks, XCEPTIONS[backbone], strict=True):
        last, start = block is blocks[-1], inputs
        for place, width in enumerate(widths):
            layer = getattr(block.stack, f"conv{place + 1}")
            # Only the third of a block strides.
            assert shape(layer.conv_dw) == (inputs, inputs, 3, stride if place == 2 else 1)
            assert layer.conv_dw.dilation == layer.conv_dw.padding == (rate, rate)
            assert (layer.conv_dw.groups, shape(layer.conv_pw)) == (inputs, (inputs, width, 1, 1))
            # The last block rectifies inside its convolutions, the others before each of them.
            assert isinstance(layer.act_dw, nn.ReLU) == isinstance(layer.act_pw, nn.ReLU) == last
            inputs = width
        assert [name for name, _ in block.stack.named_children() if name.startswith("act")] == (
            [] if last else ["act1", "act2", "act3"]
        )
        assert block.no_skip == last
        projects = not last and (stride == 2 or inputs != start)
        assert (block.shortcut is not None) == projects
        if projects:
            assert shape(block.shortcut.conv) == (start, inputs, 1, stride)


@pytest.mark.parametrize("backbone", XCEPTIONS)
def test_the_stem_of_the_xception_has_two_3x3(backbone: str) -> None:
    stem = blank("dpc", backbone).backbone.stem
    assert [shape(m) for m in stem.modules() if isinstance(m, nn.Conv2d)] == [(3, 32, 3, 2), (32, 64, 3, 1)]
    assert [type(part.bn.act) for part in stem] == [nn.ReLU, nn.ReLU]


@pytest.mark.parametrize("backbone", XCEPTIONS)
def test_the_xception_has_the_parameters_that_its_layers_add_up_to(backbone: str) -> None:
    total, inputs = 9 * (3 * 32 + 32 * 64) + 2 * (32 + 64), 64
    for widths, stride, rate in XCEPTIONS[backbone]:
        if rate == 1 and (stride == 2 or inputs != widths[-1]):
            total += inputs * widths[-1] + 2 * widths[-1]
        for width in widths:
            total += 9 * inputs + 2 * inputs + inputs * width + 2 * width
            inputs = width
    # With a classifier of 1000 classes that is what timm's model cards give: 39.9M and 42.3M.
    assert round((total + 2049 * 1000) / 1e6, 1) == {"xception65": 39.9, "xception71": 42.3}[backbone]
    assert sum(p.numel() for p in blank("dpc", backbone).backbone.parameters()) == total


@pytest.mark.parametrize("backbone", RESNETS)
def test_the_resnet_dilates_all_of_conv5_and_nothing_else(backbone: str) -> None:
    network = blank("deeplabv3plus", backbone).backbone
    for number, blocks in zip((1, 2, 3, 4), RESNETS[backbone], strict=True):
        layer = getattr(network, f"layer{number}")
        assert len(layer) == blocks
        rate = 2 if number == 4 else 1
        found = [m for m in layer.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]
        assert len(found) == (2 * blocks if backbone == "resnet18" else blocks)
        assert all(m.dilation == m.padding == (rate, rate) for m in found)
    strided = [
        name
        for name, m in network.named_modules()
        if isinstance(m, nn.Conv2d) and m.stride != (1, 1) and name[:4] != "stem"
    ]
    inner = "conv1" if backbone == "resnet18" else "conv2"
    assert strided == [f"layer{n}.0.{part}" for n in (2, 3) for part in (inner, "downsample.0")]


@pytest.mark.parametrize("backbone", ["resnet50", "resnet101"])
def test_deep_resnets_have_the_stem_of_resnet_v1_101_beta(backbone: str) -> None:
    stem = blank("deeplabv3plus", backbone).backbone.stem
    found = [shape(m) for m in stem.modules() if isinstance(m, nn.Conv2d)]
    assert found == [(3, 64, 3, 2), (64, 64, 3, 1), (64, 128, 3, 1)]


@pytest.mark.parametrize("backbone", BACKBONES)
def test_the_decoder_works_at_stride_four_and_the_context_at_sixteen(backbone: str) -> None:
    network = blank("deeplabv3plus", backbone).backbone
    low, high = (64, 512) if backbone == "resnet18" else (256, 2048)
    with torch.device("meta"):
        # The thesis's crops, 705 = 16 * 44 + 1 and 721 = 16 * 45 + 1, and a size that is no such number.
        for (height, width), fine, coarse in (((705, 721), (177, 181), (45, 46)), ((64, 90), (16, 23), (4, 6))):
            feature = network.before_cut(torch.rand(2, 3, height, width))
            assert feature.shape == (2, CUT[backbone], *fine)
            tap, last = network.after_cut(feature)
            assert (tap.shape, last.shape) == ((2, low, *fine), (2, high, *coarse))
    assert (network.low_channels, network.channels) == (low, high)


@pytest.mark.parametrize(("backbone", "expected"), [("xception65", [-1, 1, 0.5]), ("resnet18", [-2.118, 2.429, 0.427])])
def test_the_xception_sees_minus_one_to_one_and_the_resnet_the_statistics_of_imagenet(
    backbone: str, expected: list[float]
) -> None:
    network, caught = lively("deeplabv3plus", backbone), []
    hook = network.backbone.stem.register_forward_pre_hook(lambda _, arguments: caught.append(arguments[0]))
    # Red at 0: -0.485 / 0.229. Green at 1: (1 - 0.456) / 0.224. Blue at one half: (0.5 - 0.406) / 0.225 = 0.418.
    network.encode(
        torch.tensor([0.0, 1.0, 0.75 if backbone == "xception65" else 0.502]).view(1, 3, 1, 1).repeat(1, 1, 9, 9)
    )
    hook.remove()
    assert caught[0][0, :, 4, 4].tolist() == pytest.approx(expected, abs=1e-3)


# Batch norms.


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("name", KINDS)
def test_batch_norms_have_the_published_epsilon_and_decay(name: str, backbone: str) -> None:
    network = blank(name, backbone)
    inside = {id(m) for m in norms(network.backbone)}
    of_backbone = {(m.eps, m.momentum) for m in norms(network) if id(m) in inside}
    of_heads = {(m.eps, m.momentum) for m in norms(network) if id(m) not in inside}
    assert of_backbone == {(1e-3, 0.0003) if backbone in XCEPTIONS else (1e-5, 0.05)}
    assert of_heads == {(1e-5, 0.0003)}


def test_one_setting_changes_the_decay_everywhere() -> None:
    with torch.device("meta"):
        network = DeepLabV3Plus(backbone="resnet18", batch_norm_momentum=0.1).build(5)
    assert {m.momentum for m in norms(network)} == {0.1}


def test_momentum_is_one_minus_the_decay() -> None:
    layer = nn.BatchNorm2d(1)
    set_momentum(layer, 0.0003)
    layer(torch.full((1, 1, 2, 2), 10.0))
    assert layer.running_mean.item() == pytest.approx(0.9997 * 0 + 0.0003 * 10)


def norms(module: nn.Module) -> Iterator[nn.BatchNorm2d]:
    return (m for m in module.modules() if isinstance(m, nn.BatchNorm2d))


# The context modules.


@pytest.mark.parametrize(("backbone", "channels"), [("resnet18", 512), ("resnet101", 2048), ("xception65", 2048)])
def test_aspp_has_the_image_a_1x1_and_rates_6_12_18(backbone: str, channels: int) -> None:
    context = blank("deeplabv3plus", backbone).context
    assert isinstance(context.pool[0], nn.AdaptiveAvgPool2d)
    assert context.pool[0].output_size == 1
    assert_unit(context.pool[1:], channels, 256)
    assert_unit(context.branches[0], channels, 256)
    for branch, rate in zip(context.branches[1:], (6, 12, 18), strict=True):
        assert_separable(branch, channels, 256, (rate, rate))
    assert_unit(context.project, 1280, 256)
    assert context.dropout.p == 0.1


@pytest.mark.parametrize(("backbone", "channels"), [("resnet18", 512), ("xception71", 2048)])
def test_the_cell_is_the_searched_one(backbone: str, channels: int) -> None:
    context = blank("dpc", backbone).context
    rates = [(1, 6), (18, 15), (6, 3), (1, 1), (6, 21)]
    for place, (branch, rate) in enumerate(zip(context.branches, rates, strict=True)):
        assert_separable(branch, channels if place == 0 else 256, 256, rate)
    assert [source for source, _ in CELL] == [None, 0, 1, 0, 0]
    assert_unit(context.project, 1280, 256)
    assert context.dropout.p == 0.1


@pytest.mark.parametrize("name", KINDS)
def test_there_is_one_dropout(name: str) -> None:
    found = [path for path, m in blank(name, "xception71").named_modules() if isinstance(m, nn.Dropout)]
    assert found == ["context.dropout"]


def test_dropout_comes_after_the_projection_of_aspp_and_before_that_of_the_cell() -> None:
    for context, channels in ((ASPP(8, 0.5), 256), (Cell(8, 0.5), 1280)):
        seen: list[Tensor] = []
        context.dropout.register_forward_hook(lambda _, arguments, __, seen=seen: seen.append(arguments[0]))
        output = context(torch.rand(2, 8, 5, 6))
        assert output.shape == (2, 256, 5, 6)
        assert seen[0].shape == (2, channels, 5, 6)


def test_the_cell_has_the_parameters_of_the_papers_table_1() -> None:
    # DPC 0.81M and ASPP 1.59M on 2048 channels. The cell: one 3x3 a channel and a 1x1 to 256, once on 2048 channels and
    # four times on 256, without projection and batch norms.
    cell = blank("dpc", "xception71").context
    first, others = 9 * 2048 + 2048 * 256, 9 * 256 + 256 * 256
    assert weights(*cell.branches) == first + 4 * others == 814_080
    # ASPP's 1.59M is its image branch, its 1x1 and one of its three atrous branches; all three make it 2.68M. That the
    # table's 18.12B multiply-adds hold all three (6.84B : 0.81M as 18.12B : 2.16M, the pooled branch costs none) speaks
    # for the same layers as here.
    aspp = blank("deeplabv3plus", "xception71").context
    pooled = weights(aspp.pool)
    assert pooled + weights(*aspp.branches[:2]) == 2 * 2048 * 256 + first == 1_591_296
    assert pooled + weights(*aspp.branches) == 2 * 2048 * 256 + 3 * first == 2_676_736
    assert weights(*aspp.branches) / weights(*cell.branches) == pytest.approx(18.12 / 6.84, rel=0.01)


def moved(branch: nn.Sequential, tap: tuple[int, int]) -> tuple[int, int]:
    """By how many (rows, columns) a branch whose kernel is 1 at `tap` alone moves an impulse."""
    with torch.no_grad():
        for layer in (branch[0], branch[3]):
            layer.weight.zero_()
        branch[0].weight[0, 0, tap[0], tap[1]] = 1
        branch[3].weight[0, 0] = 1
        x = torch.zeros(1, branch[0].in_channels, 81, 81)
        x[0, 0, 40, 40] = 1
        output = branch.eval()(x)
    assert (output > 0).sum() == 1
    row, column = divmod(int(output[0, 0].argmax()), 81)
    return row - 40, column - 40


@pytest.mark.parametrize("place", range(5))
def test_a_branch_of_the_cell_moves_an_impulse_by_its_rates_rows_first(place: int) -> None:
    branch, (rows, columns) = Cell(4, 0.0).branches[place], [(1, 6), (18, 15), (6, 3), (1, 1), (6, 21)][place]
    assert moved(branch, (0, 1)) == (rows, 0)
    assert moved(branch, (1, 0)) == (0, columns)
    assert moved(branch, (2, 2)) == (-rows, -columns)


@pytest.mark.parametrize(("place", "rate"), [(1, 6), (2, 12), (3, 18)])
def test_a_branch_of_aspp_moves_an_impulse_by_its_rate(place: int, rate: int) -> None:
    branch = ASPP(4, 0.0).branches[place]
    assert moved(branch, (0, 1)) == (rate, 0)
    assert moved(branch, (1, 2)) == (0, -rate)


def test_the_cells_branches_read_one_another_as_searched() -> None:
    cell, seen = Cell(4, 0.0).eval(), []
    for branch in cell.branches:
        moved(branch, (0, 0))
    cell.dropout.register_forward_hook(lambda _, __, output: seen.append(output))
    x = torch.zeros(1, 4, 81, 81)
    x[0, 0, 40, 40] = 1
    with torch.no_grad():
        cell(x)
    places = [divmod(int(seen[0][0, 256 * branch].argmax()), 81) for branch in range(5)]
    # Down and right by the sum of the rates on the way: 1 x 6; then + 18 x 15; then + 6 x 3; 1 x 6 + 1 x 1; + 6 x 21.
    assert [(row - 40, column - 40) for row, column in places] == [(1, 6), (19, 21), (25, 24), (2, 7), (7, 27)]


def test_aspp_puts_the_mean_of_the_image_everywhere() -> None:
    aspp, x = ASPP(4, 0.0).eval(), torch.rand(1, 4, 5, 7)
    with torch.no_grad():
        aspp.pool[1].weight.zero_()[0, 2] = 1
        aspp.project[0].weight.zero_()[0, 0] = 1  # the first of the five views
        output = aspp(x)[0, 0]
    scale = (1 + 1e-5) ** -0.5  # of each of two untrained batch norms
    assert torch.allclose(output, (x[0, 2].mean() * scale**2).expand(5, 7), atol=1e-6)


# The decoder.


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("name", KINDS)
def test_the_decoder_is_the_published_one(name: str, backbone: str) -> None:
    network = blank(name, backbone)
    assert_unit(network.low_level, 64 if backbone == "resnet18" else 256, 48)
    assert_separable(network.refine[:6], 304, 256, (1, 1))
    assert_separable(network.refine[6:], 256, 256, (1, 1))
    assert shape(network.classify) == (256, 19, 1, 1)
    assert [n for n, m in network.named_modules() if isinstance(m, nn.Conv2d) and m.bias is not None] == ["classify"]


def test_deeplab_on_xception71_has_the_published_number_of_parameters() -> None:
    # Auto-DeepLab (Liu et al., CVPR 2019) gives it 43.48M on Cityscapes, in the row of 79.55 mIoU: on Xception-71.
    network = blank("deeplabv3plus", "xception71")
    aspp = 2_676_736 + 2 * (3 * 2048 + 5 * 256) + 1280 * 256 + 2 * 256
    decoder = 256 * 48 + 2 * 48 + 9 * (304 + 256) + (304 + 256) * 256 + 2 * (304 + 3 * 256) + 257 * 19
    assert sum(p.numel() for p in network.context.parameters()) == aspp
    total = sum(p.numel() for p in network.parameters())
    assert total == sum(p.numel() for p in network.backbone.parameters()) + aspp + decoder
    assert round(total / 1e6, 2) == 43.48


@pytest.mark.parametrize(("name", "backbone"), [("deeplabv3plus", "resnet18"), ("dpc", "xception65")])
def test_the_decoder_joins_both_at_stride_four_with_corners_aligned(name: str, backbone: str) -> None:
    network, x = lively(name, backbone), images(2)

    def enlarged(feature: Tensor, size: tuple[int, int]) -> Tensor:
        return F.interpolate(feature, size, mode="bilinear", align_corners=True)

    with torch.no_grad():
        low, high = network.backbone.after_cut(network.encode(x))
        assert (low.shape[2:], high.shape[2:]) == ((12, 16), (3, 4))
        joined = torch.cat([enlarged(network.context(high), (12, 16)), network.low_level(low)], 1)
        logits = enlarged(network.classify(network.refine(joined)), (45, 61))
        assert torch.equal(network(x), logits)
        assert torch.allclose(network(x[1:]), logits[1:], atol=2e-3)  # one image alone, up to rounding


# The cut, and what is tapped.


@pytest.mark.parametrize("backbone", ["resnet18", "resnet50"])
def test_the_resnet_after_the_cut_is_the_uncut_one(backbone: str) -> None:
    network, caught = lively("deeplabv3plus", backbone).backbone, []
    inner = "bn2" if backbone == "resnet18" else "bn3"
    # Cloned, because a block adds its input to its last batch norm in place.
    hook = getattr(network.layer1[1], inner).register_forward_hook(lambda _, __, output: caught.append(output.clone()))
    with torch.no_grad():
        feature = network.before_cut(images(1))
        before = feature.clone()
        tap, conv5 = network.after_cut(feature)
        caught.clear()
        conv2 = network.layer1[1:](feature.relu())  # timm's own blocks
        assert torch.equal(conv5, network.layer4(network.layer3(network.layer2(conv2))))
    hook.remove()
    assert torch.equal(tap, caught[0])  # `conv3` of unit 2, before the shortcut and the ReLU
    assert torch.equal(feature, before)
    for tensor in (tap, feature):
        assert 0.05 < (tensor < 0).float().mean() < 0.95


@pytest.mark.parametrize("backbone", XCEPTIONS)
def test_the_xception_after_the_cut_is_the_uncut_one(backbone: str) -> None:
    torch.manual_seed(0)
    uncut: Any = timm.create_model(backbone, num_classes=0, output_stride=16).eval()
    torch.manual_seed(0)
    network = KINDS["dpc"](backbone=backbone).build(3).backbone.eval()
    x, place = images(1), {"xception65": 1, "xception71": 2}[backbone]
    with torch.no_grad():
        feature = network.before_cut(x)
        before = feature.clone()
        tap, last = network.after_cut(feature)
        # timm hands out what the ReLU after the tap makes of it.
        found, views = uncut.forward_intermediates(2 * x - 1, indices=[1, 4])
        assert torch.equal(tap.relu(), views[0])
        assert torch.equal(last, views[1])
        assert torch.equal(last, found)
        assert torch.equal(feature, uncut.blocks[:place](uncut.stem(2 * x - 1)))
    assert torch.equal(feature, before)
    for tensor in (tap, feature):
        assert 0.05 < (tensor < 0).float().mean() < 0.95


@pytest.mark.parametrize("backbone", XCEPTIONS)
def test_a_network_on_the_xception_learns_in_all_its_parameters(backbone: str) -> None:
    network = KINDS["dpc"](backbone=backbone).build(3).train()
    loss, _ = network.loss(images(2, (33, 49)), torch.arange(2 * 33 * 49).view(2, 33, 49) % 3)
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() and p.grad.any() for p in network.parameters())


def test_defaults_are_the_published_backbones() -> None:
    assert (DeepLabV3Plus().backbone, DPC().backbone) == ("xception65", "xception71")
