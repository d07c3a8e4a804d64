"""Superpixels, what is averaged in them, and the network that ends with it."""

from functools import cache

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mia_seg.data import IGNORE
from mia_seg.segmenters import cross_entropy
from mia_seg.segmenters._regions import pool, superpixels
from mia_seg.segmenters.pspnet import PSPNet
from mia_seg.segmenters.superpixel import Superpixel, SuperpixelNetwork

REGIONS = torch.tensor([[[0, 0, 1], [2, 1, 1]]])
X = torch.tensor([[[[1.0, 3, 4], [7, 8, 0]]]])


@cache
def built() -> SuperpixelNetwork:
    torch.manual_seed(0)
    return Superpixel(backbone="resnet18", pixels=16, dropout=0.0).build(4).eval()


def images(count: int, height: int = 32, width: int = 48) -> Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(1))


def test_pixels_become_the_mean_of_their_region() -> None:
    assert pool(X, REGIONS, 3).tolist() == [[[[2, 2, 4], [7, 4, 4]]]]


def test_each_channel_and_image_is_averaged_by_itself() -> None:
    x, regions = torch.cat([X, X + 9], 1).repeat(2, 1, 1, 1), torch.cat([REGIONS, torch.zeros_like(REGIONS)])
    mean = X.mean()
    assert torch.equal(pool(x, regions, 3)[0, 1], pool(X, REGIONS, 3)[0, 0] + 9)
    assert torch.allclose(pool(x, regions, 3)[1, 0], mean.expand(2, 3))


def test_the_gradient_is_shared_out_over_the_region() -> None:
    x = X.clone().requires_grad_()
    pool(x, REGIONS, 3)[0, 0, 0, 2].backward()  # a pixel of the region of three
    assert torch.allclose(x.grad[0, 0], torch.tensor([[0, 0, 1], [0, 1, 1]]) / 3)


def test_a_region_a_pixel_changes_nothing() -> None:
    assert torch.equal(pool(X, torch.arange(6).view(1, 2, 3), 6), X)


def test_the_numbers_of_the_regions_mean_nothing() -> None:
    assert torch.equal(pool(X, REGIONS, 3), pool(X, torch.tensor([5, 9, 3])[REGIONS], 10))


def test_what_is_pooled_is_float32() -> None:
    assert pool(X.bfloat16(), REGIONS, 3).dtype == torch.float32


def test_superpixels_follow_the_edges_of_an_image() -> None:
    image = torch.zeros(1, 3, 32, 48)
    image[:, :, :, 19:] = 1.0  # no multiple of a grid cell
    image[:, 0, 13:] = 1.0
    surface = (image[0, 0] + 2 * image[0, 1]).long()
    shown = pool(F.one_hot(surface, 4).permute(2, 0, 1)[None], *superpixels(image, 64))
    assert torch.equal(shown[0].argmax(0), surface)
    assert shown.amax(1).min() == 1  # no region lies across an edge


@pytest.mark.parametrize(("height", "width", "regions"), [(96, 128, 192), (48, 64, 48), (45, 61, 48), (9, 17, 2)])
def test_a_plain_image_is_cut_into_the_grid(height: int, width: int, regions: int) -> None:
    found, count = superpixels(torch.full((1, 3, height, width), 0.5), 64)
    sizes = found.flatten().bincount(minlength=count)
    assert found.shape == (1, height, width)
    assert count == len(sizes) == regions
    assert sizes.min() > 0
    assert sizes.max() <= 2.5 * height * width / regions


def test_the_regions_of_an_image_are_its_own() -> None:
    both = images(2)
    (found, _), (again, _), (alone, _) = superpixels(both, 16), superpixels(both, 16), superpixels(both[1:], 16)
    assert torch.equal(found[1:], alone)
    assert torch.equal(found, again)


def test_the_network_is_pspnet_and_a_mean() -> None:
    network, plain, image = built(), PSPNet(backbone="resnet18", dropout=0.0).build(4).eval(), images(2)
    plain.load_state_dict(network.state_dict())
    with torch.no_grad():
        expected = pool(plain(image), *superpixels(image, 16))
        assert torch.equal(network(image), expected)
        assert not torch.equal(expected, plain(image))
        assert torch.equal(network.decode(network.encode(image), (32, 48)), plain(image))
    with torch.inference_mode():
        assert torch.equal(network(image), expected)


def test_the_main_loss_is_that_of_the_means() -> None:
    network, image = built(), images(2)
    labels = torch.randint(4, (2, 32, 48), generator=torch.Generator().manual_seed(2))
    labels[:, :5] = IGNORE
    with torch.no_grad():
        loss, logits = network.loss(image, labels)
        (_, _), (weight, beside) = network.heads(network.encode(image), (32, 48))
        assert torch.equal(logits, network(image))
        expected = cross_entropy(logits, labels) + weight * cross_entropy(beside, labels)
        assert loss.item() == pytest.approx(expected.item(), rel=1e-6)


def test_it_learns_two_pairs_by_heart() -> None:
    torch.manual_seed(0)
    network = Superpixel(backbone="resnet18", pixels=16, dropout=0.0).build(3)
    labels = torch.zeros(2, 24, 24, dtype=torch.int64)
    labels[0, :, 10:], labels[1, 14:, :9] = 1, 2
    image = labels[:, None] / 3 + 0.2 * torch.rand(2, 3, 24, 24, generator=torch.Generator().manual_seed(3))
    step = torch.optim.SGD(network.parameters(), 0.02, momentum=0.9)
    for _ in range(20):
        step.zero_grad()
        network.train().loss(image, labels)[0].backward()
        step.step()
    assert (network.eval()(image).argmax(1) == labels).float().mean() > 0.9
