"""Defenses: what every one must keep, and the arithmetic of each."""

from itertools import combinations

import numpy as np
import pytest
import torch
from helpers_scenes import picture, toy
from scipy.stats import norm
from torch import Tensor, nn

from mia_seg import defenses
from mia_seg.defenses import Defense, argmax, gaussian, gaussian_std
from mia_seg.defenses.argmax import Argmax
from mia_seg.defenses.dropout import Dropout
from mia_seg.defenses.gaussian import Gaussian
from mia_seg.defenses.gaussian_std import GaussianStd
from mia_seg.errors import MiaSegError
from mia_seg.plugins import build, names
from mia_seg.recipe import Window
from mia_seg.segmenters.pspnet import PSPNet

ALL = names(defenses)


def defense(name: str) -> Defense:
    return build(defenses, Defense, name, {}, name)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def constant(*values: float, side: int = 250) -> Tensor:
    """The same posterior at `side` squared places."""
    return torch.tensor(values)[:, None, None].expand(-1, side, side)


def random_posterior(classes: int, seed: int = 0) -> Tensor:
    return torch.randn(classes, 20, 30, generator=seeded(seed)).softmax(0)


@pytest.mark.parametrize("window", [None, Window(size=(11, 13))])
@pytest.mark.parametrize("name", ALL)
def test_every_defense_answers_with_a_posterior_that_a_key_reproduces(name: str, window: Window | None) -> None:
    for classes, image in ((2, picture(0, (16, 24))), (19, picture(1, (15, 21))), (66, picture(2, (16, 24)))):
        box = defense(name).guard(toy(classes), window)
        told = box(image, 5)
        assert (told.shape, told.dtype) == ((classes, *image.shape[:2]), torch.float32)
        assert told.isfinite().all()
        assert told.min() >= 0
        assert (told.sum(0) - 1).abs().max() < 1e-5
        box(picture(3, (12, 12)), 5)
        assert torch.equal(box(image, 5), told)
        assert torch.equal(defense(name).guard(toy(classes), window)(image, 5), told)


@pytest.mark.parametrize("name", ALL)
def test_no_defense_changes_the_network_it_guards(name: str) -> None:
    torch.manual_seed(0)
    network = PSPNet(backbone="resnet18").build(19).eval()
    weights = {key: value.clone() for key, value in network.state_dict().items()}
    settings = {key: (m.training, getattr(m, "p", None)) for key, m in network.named_modules()}
    box = defense(name).guard(network, None)
    told = box(picture(0, (32, 48)), 1)
    assert (told.sum(0) - 1).abs().max() < 1e-5
    assert {key: (m.training, getattr(m, "p", None)) for key, m in network.named_modules()} == settings
    assert network.state_dict().keys() == weights.keys()
    assert all(torch.equal(value, weights[key]) for key, value in network.state_dict().items())


def test_no_defense_is_the_network_itself() -> None:
    network, image = toy(7), picture(0, (12, 16))
    with torch.no_grad():
        posterior = network(torch.from_numpy(image.transpose(2, 0, 1) / np.float32(255))[None])[0].softmax(0)
    assert torch.equal(defense("none").guard(network, None)(image, 3), posterior)


@pytest.mark.parametrize("classes", [2, 11, 19])
def test_argmax_is_one_hot_at_the_largest(classes: int) -> None:
    posterior = random_posterior(classes)
    told = argmax.one_hot(posterior, seeded(0))
    for row in range(20):
        for column in range(30):
            expected = np.zeros(classes, np.float32)
            expected[posterior[:, row, column].numpy().argmax()] = 1
            assert (told[:, row, column].numpy() == expected).all()
    image = picture(0, (12, 16))
    soft, hard = (d.guard(toy(classes), None)(image, 0) for d in (defense("none"), Argmax()))
    assert torch.equal(hard.argmax(0), soft.argmax(0))
    assert set(hard.unique().tolist()) == {0, 1}


def test_argmax_of_a_tie_is_still_one_class() -> None:
    assert torch.equal(
        argmax.one_hot(constant(0.25, 0.25, 0.25, 0.25, side=2), seeded(0)), constant(1, 0, 0, 0, side=2)
    )


@pytest.mark.parametrize("variance", [0.0025, 0.01])
def test_gaussian_is_set_by_the_variance(variance: float) -> None:
    told = Gaussian(variance=variance).perturb(constant(0.6, 0.4), seeded(0)).double()
    # After (0.6 + e, 0.4) / (1 + e) the ratio of the two still holds e.
    noise = 0.4 * told[0] / told[1] - 0.6
    assert noise.var().item() == pytest.approx(variance, rel=0.03)
    assert abs(noise.mean().item()) < 4 * (variance / noise.numel()) ** 0.5


@pytest.mark.parametrize("variance", [0.5, 1.0])
def test_gaussian_raises_values_below_the_floor_to_it(variance: float) -> None:
    told = Gaussian(variance=variance).perturb(constant(0.6, 0.4, 0), seeded(1)).double()
    first, last = 0.4 * told[0] / told[1], 0.4 * told[2] / told[1]
    assert torch.allclose(last, torch.tensor(1e-4, dtype=torch.float64), rtol=1e-5)
    assert first.min().item() == pytest.approx(1e-4, rel=1e-5)
    clamped = (first < 1.001e-4).double().mean().item()
    assert clamped == pytest.approx(norm.cdf((1e-4 - 0.6) / variance**0.5), abs=0.01)


def test_gaussian_moves_the_predicted_label_alone() -> None:
    posterior = (random_posterior(5) + 0.05) / 1.25
    told = Gaussian(variance=0.5).perturb(posterior, seeded(2))
    predicted = posterior.argmax(0)
    for a, b in combinations(range(5), 2):
        others = (predicted != a) & (predicted != b)
        assert torch.allclose((told[a] / told[b])[others], (posterior[a] / posterior[b])[others], rtol=1e-4)
        moved = (told[a] / told[b] - posterior[a] / posterior[b])[predicted == a].abs()
        assert (moved > 1e-4).float().mean() > 0.95


def test_gaussian_draws_once_a_location() -> None:
    told = Gaussian(variance=0.01).perturb(constant(0.6, 0.4, side=100), seeded(3))
    assert len(told[0].unique()) > 9000
    shifted = torch.stack([told[0][:, 1:].flatten(), told[0][:, :-1].flatten()])
    assert abs(torch.corrcoef(shifted)[0, 1].item()) < 0.05


@pytest.mark.parametrize("deviation", [0.005, 0.02])
def test_gaussian_std_is_set_by_the_deviation_of_every_class(deviation: float) -> None:
    told = GaussianStd(deviation=deviation).perturb(constant(0.25, 0.25, 0.25, 0.25), seeded(0)).double()
    # The sum that it is divided by has mean one, and drops out of the logarithm of a ratio: (e_a - e_b) / 0.25.
    for a, b in combinations(range(4), 2):
        assert (0.25 * (told[a] / told[b]).log()).var().item() == pytest.approx(2 * deviation**2, rel=0.05)


def test_gaussian_std_raises_values_below_its_own_floor() -> None:
    noise = torch.randn(3, 250, 250, generator=seeded(4)) * 0.5
    told = GaussianStd(deviation=0.5).perturb(constant(1, 0, 0), seeded(4))
    sunk = (noise[1] < 0) & (noise[2] < 0)
    assert 0.2 < sunk.float().mean() < 0.3
    assert torch.equal(told[1][sunk], told[2][sunk])
    first = (1 + noise[0][sunk]).clamp(min=1e-6)
    assert torch.allclose(told[1][sunk], 1e-6 / (first + 2e-6), rtol=1e-5)
    assert gaussian.FLOOR == 1e-4
    assert gaussian_std.FLOOR == 1e-6


def test_dropout_is_on_at_the_ratio_and_nothing_else_trains() -> None:
    torch.manual_seed(0)
    network = PSPNet(backbone="resnet18").build(5).eval()
    guarded = Dropout(ratio=0.7).guard(network, None).network
    layers = [m for m in guarded.modules() if isinstance(m, nn.Dropout)]
    assert layers
    assert all(layer.training and layer.p == 0.7 for layer in layers)
    assert not any(m.training for m in guarded.modules() if not isinstance(m, nn.Dropout))
    with torch.no_grad():
        dropped = guarded.head_dropout(torch.ones(100_000))
    assert (dropped == 0).float().mean().item() == pytest.approx(0.7, abs=0.01)


def test_more_dropout_is_more_noise() -> None:
    image, spread = picture(0, (16, 24)), []
    for ratio in (0.1, 0.5, 0.9):
        box = Dropout(ratio=ratio).guard(toy(5), None)
        spread.append(torch.stack([box(image, key) for key in range(30)]).var(0).mean().item())
    assert 0 < spread[0] < spread[1] / 1.5 < spread[2] / 2


def test_a_network_without_dropout_is_refused() -> None:
    with pytest.raises(MiaSegError, match="dropout layer"):
        Dropout().guard(toy(3, dropout=None), None)
