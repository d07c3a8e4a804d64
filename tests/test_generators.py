"""Generators: features of any size at any cut, and what each architecture sees of a layout."""

import pytest
import torch
from helpers_scenes import paired, small, toy
from torch import Tensor

from mia_seg import generators, segmenters
from mia_seg.errors import MiaSegError
from mia_seg.generators import Generator, WithGenerator, cut_of
from mia_seg.generators.bicyclegan import BicycleGAN
from mia_seg.generators.dfgan import DFGAN
from mia_seg.generators.stochastic import Stochastic
from mia_seg.plugins import load, names
from mia_seg.segmenters import Segmenter
from mia_seg.segmenters.pspnet import PSPNet

ALL = names(generators)


def generator(name: str = "dfgan") -> Generator:
    component = load(generators, Generator, name)
    return component(**small(component, width=16, aspp=8, levels=2))


def layout(size: tuple[int, int], classes: int = 5, seed: int = 0) -> Tensor:
    labels = torch.randint(classes, (1, *size), generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.one_hot(labels, classes).permute(0, 3, 1, 2).float()


def z(seed: int = 0, latent: int = 8) -> Tensor:
    return torch.randn(1, latent, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("size", [(64, 96), (33, 47), (9, 8)])
@pytest.mark.parametrize("name", ALL)
def test_features_have_the_grid_of_the_segmenter_whatever_the_size(name: str, size: tuple[int, int]) -> None:
    image = torch.rand(1, 3, *size)
    for network in (toy(5), PSPNet(backbone="resnet18").build(5).eval()):
        channels, stride = cut_of(network)
        made = generator(name).build(5, channels, stride)
        drawn = made(layout(size), z(latent=made.latent))
        with torch.no_grad():
            assert drawn.shape == network.encode(image).shape
        assert drawn.dtype == torch.float32


@pytest.mark.parametrize(
    ("name", "cut"),
    [
        ("pspnet", (256, 8)),
        ("deeplabv2", (256, 8)),
        ("gss", (256, 8)),
        ("superpixel", (256, 8)),
        ("learnable_dilation", (256, 8)),
        ("image_level", (256, 8)),
        ("deeplabv3plus", (64, 4)),
        ("dpc", (64, 4)),
        ("upernet", (64, 4)),
    ],
)
def test_each_segmenter_shows_where_it_is_cut(name: str, cut: tuple[int, int]) -> None:
    assert cut_of(load(segmenters, Segmenter, name)(backbone="resnet18").build(3).eval()) == cut


def test_every_segmenter_with_a_cut_was_looked_at() -> None:
    assert names(segmenters) == [
        "deeplabv2", "deeplabv3plus", "dpc", "gss", "image_level", "learnable_dilation", "pspnet", "superpixel",
        "upernet",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ALL)
def test_layout_and_z_both_shape_the_features_and_the_rest_does_not(name: str) -> None:
    torch.manual_seed(0)
    network = generator(name).build(5, 12, 4)
    one, other = (z(seed, network.latent) for seed in range(2))
    first = network(layout((32, 48)), one)
    assert torch.equal(network(layout((32, 48)), one), first)
    assert not torch.equal(network(layout((32, 48)), other), first)
    assert not torch.equal(network(layout((32, 48), seed=1), one), first)
    two = network(torch.cat([layout((32, 48)), layout((32, 48), seed=1)]), torch.cat([one, other]))
    assert torch.allclose(two[:1], first, atol=1e-6), "a scene's features do not depend on its batch"


def test_z_reaches_every_level_on_the_way_down() -> None:
    network = generator().build(5, 12, 4)
    assert [b[0].in_channels for b in (network.unet.enter, *network.unet.down)] == [32 + 8, 16 + 8, 32 + 8]


def test_dfgan_reads_every_pixel_and_bicyclegan_one_in_each_cell() -> None:
    before = layout((32, 32))
    after = before.clone()
    after[0, :, 17, 14] = before[0, :, 17, 14].roll(1)
    moved = {}
    for name in ALL:
        torch.manual_seed(0)
        network = generator(name).build(5, 12, 8)
        moved[name] = not torch.equal(*(network(seen, z(latent=network.latent)) for seen in (before, after)))
    assert moved == {"dfgan": True, "bicyclegan": False, "stochastic": True}


def test_dilations_are_1_2_and_4_and_the_stride_is_reached_by_halving() -> None:
    stages = DFGAN().reader(5, 8).stages
    assert [[branch[0].dilation[0] for branch in stage.branches] for stage in stages] == [[1, 2, 4]] * 3
    assert [stage.halve[0].stride for stage in stages] == [(2, 2)] * 3
    with pytest.raises(MiaSegError, match=r"cut at stride 6\. A generator needs a power of two"):
        DFGAN().reader(5, 6)


def test_bicyclegan_has_nothing_to_learn_before_its_unet() -> None:
    assert not list(BicycleGAN().reader(5, 8).parameters())


def test_a_code_is_which_channels_at_the_bottom_are_on() -> None:
    torch.manual_seed(0)
    network, code = generator("stochastic").build(5, 12, 4), z(latent=64)
    first = network(layout((32, 48)), code)
    assert torch.equal(network(layout((32, 48)), code.sign() * 3), first)
    assert not torch.equal(network(layout((32, 48)), -code), first)
    bottom = torch.rand(1, 64, 2, 3)
    told = network.unet.turn(bottom, code)
    assert torch.equal(told, torch.where((code > 0)[:, :, None, None], 2 * bottom, 0))


def test_what_a_code_leaves_on_is_divided_by_the_share_that_is() -> None:
    unet = Stochastic(width=16, levels=1, drop=0.2).build(3, 4, 2).unet
    bottom = torch.rand(1, 32, 2, 3)
    assert torch.equal(unet.turn(bottom, torch.full((1, 32), 9.0)), bottom / 0.8)
    on = unet.turn(torch.ones(1, 32, 1, 1), torch.randn(10_000, 32, generator=torch.Generator().manual_seed(0))) > 0
    assert on.float().mean().item() == pytest.approx(0.8, abs=0.005)


def test_codes_of_training_travel_with_the_weights() -> None:
    torch.manual_seed(0)
    settings = Stochastic(width=16, levels=1, branches=3)
    first, second = (settings.build(3, 4, 2) for _ in range(2))
    assert first.unet.codes_BZ.shape == (3, 32)
    assert not torch.equal(first.unet.codes_BZ, second.unet.codes_BZ)
    second.load_state_dict(first.state_dict())
    assert torch.equal(first.unet.codes_BZ, second.unet.codes_BZ)


def test_features_are_given_the_mean_and_deviation_of_the_segmenters() -> None:
    network = generator().build(5, 3, 2)
    network.mean_C.copy_(torch.tensor([1.0, -2.0, 0.0]))
    network.deviation_C.copy_(torch.tensor([2.0, 0.5, 1.0]))
    standard, drawn = network.standard(layout((8, 8)), z()), network(layout((8, 8)), z())
    assert torch.allclose(drawn[:, 0], 2 * standard[:, 0] + 1)
    assert torch.allclose(drawn[:, 1], standard[:, 1] / 2 - 2)
    assert torch.allclose(network.standardise(drawn), standard, atol=1e-5)
    assert {"mean_C", "deviation_C"} <= set(network.state_dict()), "they travel with the weights"


def test_a_pair_answers_as_its_segmenter() -> None:
    network, image = toy(3), torch.rand(1, 3, 10, 14)
    with torch.no_grad():
        assert torch.equal(paired(network, 3)(image), network(image))


def test_a_generator_of_another_cut_is_refused() -> None:
    drawn = generator().build(3, 8, 4)
    with pytest.raises(
        MiaSegError, match=r"of 8 channels at stride 4, and the segmenter is cut where it has 8 at stri"
    ):
        WithGenerator(toy(3), drawn, "a secret")
