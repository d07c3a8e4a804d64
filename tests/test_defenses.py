"""Defenses: what every one must keep, and the arithmetic of each."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers_scenes import ask, blocky, defended, paired, picture, scenes_of, toy
from scipy.ndimage import grey_opening
from scipy.stats import norm
from torch import Tensor, nn

from mia_seg import defenses
from mia_seg.attacks.image_loss import ImageLoss
from mia_seg.defenses import AnswerDefense, Defense, NetworkDefense, gaussian, gaussian_std
from mia_seg.defenses.argmax import Argmax
from mia_seg.defenses.dropout import Dropout
from mia_seg.defenses.gaussian import Gaussian
from mia_seg.defenses.gaussian_std import GaussianStd
from mia_seg.defenses.morphology import Morphology, opened
from mia_seg.defenses.rounding import Rounding
from mia_seg.defenses.synfeat import SynFeat, mix
from mia_seg.defenses.temperature import Temperature
from mia_seg.defenses.top_k import TopK
from mia_seg.errors import MiaSegError
from mia_seg.oracles import Oracle
from mia_seg.oracles.network import NetworkOracle
from mia_seg.plugins import build, names
from mia_seg.recipes import Window
from mia_seg.segmenters import Network
from mia_seg.segmenters.pspnet import PSPNet

ALL = names(defenses)


def defense(name: str) -> Defense:
    return build(defenses, Defense, name, settings={}, where=name)


def guarded(name: str, network: Network, classes: int, window: Window | None = None) -> Oracle:
    """The defended service; a defense that wants a generator gets one."""
    chosen = defense(name)
    wants = isinstance(chosen, NetworkDefense) and chosen.needs_generator
    return defended(chosen, paired(network, classes) if wants else network, window)


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
        box = guarded(name, toy(classes), classes, window)
        told = box(image, 5)
        assert (told.shape, told.dtype) == ((classes, *image.shape[:2]), torch.float32)
        assert told.isfinite().all()
        assert told.min() >= 0
        assert (told.sum(0) - 1).abs().max() < 1e-5
        box(picture(3, (12, 12)), 5)
        assert torch.equal(box(image, 5), told)
        assert torch.equal(guarded(name, toy(classes), classes, window)(image, 5), told)


def by_hand(image_HWC: np.ndarray, key: int) -> Tensor:
    """An oracle that is no network: a plain function of the pixels."""
    del key
    counts = torch.from_numpy(image_HWC.copy()).permute(2, 0, 1).float() + 1
    return counts / counts.sum(0)


@pytest.mark.parametrize("name", [name for name in ALL if isinstance(defense(name), AnswerDefense)])
def test_a_defense_of_answers_wraps_any_oracle(name: str) -> None:
    chosen, image = defense(name), picture(0, (16, 24))
    assert isinstance(chosen, AnswerDefense)
    told = chosen.wrap(by_hand)(image, 5)
    assert torch.equal(told, chosen.release(by_hand(image, 5), seeded(5)))
    assert torch.equal(chosen.wrap(by_hand)(image, 5), told)
    assert told.min() >= 0
    assert (told.sum(0) - 1).abs().max() < 1e-5


@pytest.mark.parametrize("name", ALL)
def test_no_defense_changes_the_network_it_guards(name: str) -> None:
    torch.manual_seed(0)
    network = PSPNet(backbone="resnet18").build(19).eval()
    weights = {key: value.clone() for key, value in network.state_dict().items()}
    settings = {key: (m.training, getattr(m, "p", None)) for key, m in network.named_modules()}
    box = guarded(name, network, 19)
    told = box(picture(0, (32, 48)), 1)
    assert (told.sum(0) - 1).abs().max() < 1e-5
    assert {key: (m.training, getattr(m, "p", None)) for key, m in network.named_modules()} == settings
    assert network.state_dict().keys() == weights.keys()
    assert all(torch.equal(value, weights[key]) for key, value in network.state_dict().items())


def test_no_defense_is_the_network_itself() -> None:
    network, image = toy(7), picture(0, (12, 16))
    with torch.no_grad():
        posterior = network(torch.from_numpy(image.transpose(2, 0, 1) / np.float32(255))[None])[0].softmax(0)
    assert torch.equal(defended(defense("none"), network)(image, 3), posterior)


@pytest.mark.parametrize("classes", [2, 11, 19])
def test_argmax_is_one_hot_at_the_largest(classes: int) -> None:
    posterior = random_posterior(classes)
    told = Argmax().release(posterior, seeded(0))
    for row in range(20):
        for column in range(30):
            expected = np.zeros(classes, np.float32)
            expected[posterior[:, row, column].numpy().argmax()] = 1
            assert (told[:, row, column].numpy() == expected).all()
    image = picture(0, (12, 16))
    soft, hard = (defended(d, toy(classes))(image, 0) for d in (defense("none"), Argmax()))
    assert torch.equal(hard.argmax(0), soft.argmax(0))
    assert set(hard.unique().tolist()) == {0, 1}


def test_argmax_of_a_tie_is_still_one_class() -> None:
    assert torch.equal(
        Argmax().release(constant(0.25, 0.25, 0.25, 0.25, side=2), seeded(0)), constant(1, 0, 0, 0, side=2)
    )


def told_of(defense: AnswerDefense, *values: float) -> list[float]:
    """What becomes of one pixel's posterior."""
    return defense.release(torch.tensor(values)[:, None, None], seeded(0)).flatten().tolist()


def test_temperature_is_a_power_and_leaves_certainty_certain() -> None:
    assert told_of(Temperature(), 0.64, 0.36, 0) == pytest.approx([0.8 / 1.4, 0.6 / 1.4, 0])
    assert told_of(Temperature(temperature=0.5), 0.6, 0.4) == pytest.approx([0.36 / 0.52, 0.16 / 0.52])
    assert told_of(Temperature(temperature=0.2), 0, 1, 0) == [0, 1, 0]
    assert told_of(Temperature(temperature=1000), 0.9, 0.1) == pytest.approx([0.5, 0.5], abs=1e-3)
    posterior = random_posterior(19)
    assert torch.equal(Temperature(temperature=3).release(posterior, seeded(0)).argmax(0), posterior.argmax(0))


def test_an_attack_that_knows_the_temperature_scores_as_if_there_were_none(tmp_path: Path) -> None:
    network = NetworkOracle(toy(5))
    scenes = scenes_of([blocky(np.random.default_rng(k), (12, 16), 5) for k in range(6)], 5)
    served = Temperature(temperature=4).wrap(network)
    undone = Temperature(temperature=1 / 4).wrap(served)
    plain, hidden, known = (
        ImageLoss().signal(ask(oracle, scenes, tmp_path / name))
        for name, oracle in (("plain", network), ("hidden", served), ("known", undone))
    )
    assert np.abs(known - plain).max() < 1e-5
    assert np.abs(hidden - plain).min() > 0.1


def test_rounding_keeps_decimals_and_shows_the_label_where_nothing_is_left() -> None:
    assert told_of(Rounding(), 0.57, 0.39, 0.04) == pytest.approx([0.6, 0.4, 0])
    assert told_of(Rounding(), 0.57, 0.28, 0.15) == pytest.approx([0.6 / 1.1, 0.3 / 1.1, 0.2 / 1.1])
    assert told_of(Rounding(decimals=0), 0.3, 0.4, 0.3) == [0, 1, 0]
    assert told_of(Rounding(), *[0.04] * 12, 0.045, *[0.04] * 11, 0.035) == [*[0] * 12, 1, *[0] * 12]
    posterior = random_posterior(19)
    assert torch.allclose(Rounding(decimals=7).release(posterior, seeded(0)), posterior, atol=1e-6)


def test_top_k_is_argmax_at_1_and_the_posterior_itself_at_all() -> None:
    assert told_of(TopK(), 0.1, 0.5, 0.3, 0.1) == pytest.approx([0, 0.625, 0.375, 0])
    posterior = random_posterior(7)
    assert torch.equal(TopK(k=1).release(posterior, seeded(0)), Argmax().release(posterior, seeded(0)))
    assert torch.allclose(TopK(k=7).release(posterior, seeded(0)), posterior)
    assert ((TopK(k=3).release(posterior, seeded(0)) > 0).sum(0) == 3).all()
    with pytest.raises(MiaSegError, match=r"'top_k:8' keeps more classes than the model's 7\. Lower k"):
        TopK(k=8).release(posterior, seeded(0))


def smoothed(labels: np.ndarray, radius: int) -> np.ndarray:
    """The labels that morphology answers for a posterior that is sure of these."""
    posterior = torch.nn.functional.one_hot(torch.from_numpy(labels).long(), 4).permute(2, 0, 1).float().contiguous()
    told = Morphology(radius=radius).release(posterior, seeded(0))
    assert set(told.unique().tolist()) == {0, 1}
    return told.argmax(0).numpy()


def test_morphology_drops_thin_and_small_pieces_and_keeps_what_a_square_fits_into() -> None:
    labels = np.zeros((15, 20), int)
    labels[:, 5:] = 1
    whole = labels.copy()
    labels[4, 2], labels[2:4, 9] = 1, 2  # a dot and a short line
    assert (smoothed(labels, 1) == whole).all()
    assert (smoothed(labels, 0) == labels).all()
    whole[6:9, 12:15] = 3
    assert (smoothed(whole, 1) == whole).all(), "a square of the side itself stays"
    assert (smoothed(whole, 2) == np.where(whole == 3, 1, whole)).all()
    assert (smoothed(labels[:2], 30) == labels[:2]).all(), "where no square fits, all stays"


@pytest.mark.parametrize("radius", [1, 2])
def test_morphology_keeps_the_openings_of_all_classes_by_the_library(radius: int) -> None:
    labels = np.random.default_rng(0).integers(4, size=(8, 9), dtype=np.uint8).repeat(3, 0).repeat(4, 1)
    labels[np.random.default_rng(1).random(labels.shape) < 0.05] = 3
    side = 2 * radius + 1
    expected = [grey_opening((labels == k).astype(np.uint8), (side, side), mode="nearest") for k in range(4)]
    assert 0.1 < np.mean(expected) * 4 < 0.95
    assert (opened(labels, side) == np.max(expected, 0)).all()


@pytest.mark.parametrize("variance", [0.0025, 0.01])
def test_gaussian_is_set_by_the_variance(variance: float) -> None:
    told = Gaussian(variance=variance).release(constant(0.6, 0.4), seeded(0)).double()
    # After (0.6 + e, 0.4) / (1 + e) the ratio of the two still holds e.
    noise = 0.4 * told[0] / told[1] - 0.6
    assert noise.var().item() == pytest.approx(variance, rel=0.03)
    assert abs(noise.mean().item()) < 4 * (variance / noise.numel()) ** 0.5


@pytest.mark.parametrize("variance", [0.5, 1.0])
def test_gaussian_raises_values_below_the_floor_to_it(variance: float) -> None:
    told = Gaussian(variance=variance).release(constant(0.6, 0.4, 0), seeded(1)).double()
    first, last = 0.4 * told[0] / told[1], 0.4 * told[2] / told[1]
    assert torch.allclose(last, torch.tensor(1e-4, dtype=torch.float64), rtol=1e-5)
    assert first.min().item() == pytest.approx(1e-4, rel=1e-5)
    clamped = (first < 1.001e-4).double().mean().item()
    assert clamped == pytest.approx(norm.cdf((1e-4 - 0.6) / variance**0.5), abs=0.01)


def test_gaussian_moves_the_predicted_label_alone() -> None:
    posterior = (random_posterior(5) + 0.05) / 1.25
    told = Gaussian(variance=0.5).release(posterior, seeded(2))
    predicted = posterior.argmax(0)
    for a, b in combinations(range(5), 2):
        others = (predicted != a) & (predicted != b)
        assert torch.allclose((told[a] / told[b])[others], (posterior[a] / posterior[b])[others], rtol=1e-4)
        moved = (told[a] / told[b] - posterior[a] / posterior[b])[predicted == a].abs()
        assert (moved > 1e-4).float().mean() > 0.95


def test_gaussian_draws_once_a_location() -> None:
    told = Gaussian(variance=0.01).release(constant(0.6, 0.4, side=100), seeded(3))
    assert len(told[0].unique()) > 9000
    shifted = torch.stack([told[0][:, 1:].flatten(), told[0][:, :-1].flatten()])
    assert abs(torch.corrcoef(shifted)[0, 1].item()) < 0.05


@pytest.mark.parametrize("deviation", [0.005, 0.02])
def test_gaussian_std_is_set_by_the_deviation_of_every_class(deviation: float) -> None:
    told = GaussianStd(deviation=deviation).release(constant(0.25, 0.25, 0.25, 0.25), seeded(0)).double()
    # The sum that it is divided by has mean one, and drops out of the logarithm of a ratio: (e_a - e_b) / 0.25.
    for a, b in combinations(range(4), 2):
        assert (0.25 * (told[a] / told[b]).log()).var().item() == pytest.approx(2 * deviation**2, rel=0.05)


def test_gaussian_std_raises_values_below_its_own_floor() -> None:
    noise = torch.randn(3, 250, 250, generator=seeded(4)) * 0.5
    told = GaussianStd(deviation=0.5).release(constant(1, 0, 0), seeded(4))
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


# Two places: at the first both posteriors say class 0, at the second they say 0 and 1.
REAL = torch.tensor([[0.7, 0.9], [0.2, 0.1], [0.1, 0.0]]).view(1, 3, 1, 2)
SYNTHETIC = torch.tensor([[0.6, 0.2], [0.1, 0.8], [0.3, 0.0]]).view(1, 3, 1, 2)


@pytest.mark.parametrize(
    ("factor", "mask", "agree", "differ"),
    [
        (0.0, "differ", [0.6, 0.1, 0.3], [0.9, 0.1, 0.0]),
        (0.25, "differ", [0.6, 0.1, 0.3], [0.725, 0.275, 0.0]),
        (0.75, "differ", [0.6, 0.1, 0.3], [0.375, 0.625, 0.0]),
        (1.0, "differ", [0.6, 0.1, 0.3], [0.2, 0.8, 0.0]),
        (0.0, "agree", [0.7, 0.2, 0.1], [0.2, 0.8, 0.0]),
        (0.75, "agree", [0.625, 0.125, 0.25], [0.2, 0.8, 0.0]),
    ],
)
def test_equation_7_1_on_posteriors_that_agree_and_differ(
    factor: float, mask: str, agree: list[float], differ: list[float]
) -> None:
    told = mix(REAL, SYNTHETIC, factor, mask=mask)
    assert told[0, :, 0, 0].tolist() == pytest.approx(agree)
    assert told[0, :, 0, 1].tolist() == pytest.approx(differ)


def test_synfeat_at_factor_0_keeps_the_labels_and_at_1_shows_nothing_of_the_image_but_its_layout() -> None:
    network, image = toy(5), picture(0, (16, 24))
    pair = paired(network, 5)
    real = defended(defense("none"), network)(image, 0)
    none, half, whole = (SynFeat(factor=f).guard(pair, None)(image, 0) for f in (0, 0.5, 1))
    assert torch.equal(none.argmax(0), real.argmax(0))
    differ = whole.argmax(0) != real.argmax(0)
    assert 0 < differ.float().mean() < 1
    assert torch.equal(none[:, ~differ], whole[:, ~differ])
    assert torch.allclose(half[:, differ], (real + whole)[:, differ] / 2)
    with torch.no_grad():
        layout = torch.nn.functional.one_hot(real.argmax(0), 5).permute(2, 0, 1)[None].float()
        z = SynFeat().guard(pair, None).draw(torch.from_numpy(image.transpose(2, 0, 1).copy())[None] / 255)
        synthetic = network.decode(pair.generator(layout, z), (16, 24))[0].softmax(0)
    assert torch.allclose(whole, synthetic, atol=1e-6)


@pytest.mark.parametrize("window", [None, Window(size=(11, 13))])
def test_asking_again_tells_something_new_only_with_fresh_z(window: Window | None) -> None:
    image, other = picture(0, (16, 24)), picture(1, (16, 24))
    keyed, fresh = (SynFeat(factor=1, z=z).guard(paired(toy(5), 5), window) for z in ("keyed", "fresh"))
    assert torch.equal(keyed(image, 1), keyed(image, 2))
    assert not torch.allclose(fresh(image, 1), fresh(image, 2), atol=1e-4)
    assert torch.equal(fresh(image, 1), fresh(image, 1))
    images = [torch.from_numpy(i.transpose(2, 0, 1).copy()) / 255 for i in (image, other)]
    z = keyed.draw(torch.stack(images))
    assert torch.equal(keyed.draw(images[1][None])[0], z[1]), "not what it is asked together with"
    assert not torch.allclose(z[0], z[1])
    keyed.paired.secret = "another"
    assert not torch.allclose(keyed.draw(images[0][None])[0], z[0]), "the image alone does not tell z"


def test_synfeat_mixes_inside_each_window_and_averages_the_mixtures() -> None:
    network, image = paired(toy(4), 4), picture(2, (8, 12))
    box, settings = SynFeat(factor=0.5).guard(network, Window(size=(8, 8), overlap=0.5)), SynFeat(factor=0.5)
    left, right = (settings.guard(network, None)(image[:, columns], 0) for columns in (slice(0, 8), slice(4, 12)))
    told = box(image, 0)
    assert torch.allclose(told[:, :, :4], left[:, :, :4], atol=1e-6)
    assert torch.allclose(told[:, :, 8:], right[:, :, 4:], atol=1e-6)
    assert torch.allclose(told[:, :, 4:8], (left[:, :, 4:] + right[:, :, :4]) / 2, atol=1e-6)


def test_synfeat_may_answer_with_the_labels_of_its_mixture_alone() -> None:
    pair, image = paired(toy(5), 5), picture(0, (16, 24))
    soft, hard = (SynFeat(factor=0.5, answer=kind).guard(pair, None)(image, 0) for kind in ("posterior", "labels"))
    assert torch.equal(hard, Argmax().release(soft, seeded(0)))


def test_synfeat_without_a_generator_is_refused() -> None:
    with pytest.raises(MiaSegError, match="needs the segmenter's generator of features"):
        SynFeat().guard(toy(3), None)
