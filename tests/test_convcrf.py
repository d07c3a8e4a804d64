"""ConvCRF: against a dense CRF written out in numpy, pixel by pixel."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mia_seg.segmenters._convcrf import WEIGHT, Affinity, ConvCRF, kernel, mean_field

SIZE, CLASSES = (12, 12), 3


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def photograph(size: tuple[int, int] = SIZE, count: int = 2) -> Tensor:
    """Colours near enough to one another for the appearance kernel to see them: a deviation of some 15 of 255."""
    return 0.5 + 0.2 * (drawn(count, 3, *size, seed=1) - 0.5)


def pairs(image_3HW: Tensor, window: int, step: int = 1) -> np.ndarray:
    """The kernel of every two pixels [HW, HW], 0 where one is outside the other's window."""
    rgb = 255 * image_3HW.numpy().reshape(3, -1).T
    places = np.stack(np.indices(image_3HW.shape[1:]), -1).reshape(-1, 2)
    apart = places[:, None] - places[None]
    near = 3 * np.exp(-((step * apart) ** 2).sum(-1) / (2 * 3.0**2))
    alike = 10 * np.exp(-((rgb[:, None] - rgb[None]) ** 2).sum(-1) / (2 * 13.0**2))
    return (near + alike) * (np.abs(apart).max(-1) <= window // 2)


def softmax(x: np.ndarray) -> np.ndarray:
    powers = np.exp(x - x.max(0))
    return powers / powers.sum(0)


def dense(logits_KHW: Tensor, matrix: np.ndarray, weight: np.ndarray, iterations: int) -> np.ndarray:
    """The mean field's probabilities, with the kernel as one matrix."""
    unary = np.log(softmax(logits_KHW.numpy().reshape(CLASSES, -1)))
    q = softmax(unary)
    for _ in range(iterations):
        q = softmax((1 - weight) * unary + weight * (q @ matrix.T))
    return q.reshape(logits_KHW.shape)


@pytest.mark.parametrize("window", [5, 7, 23, 25])
def test_it_is_a_dense_crf_within_its_window(window: int) -> None:
    logits, image = 4 * drawn(2, CLASSES, *SIZE), photograph()
    found = mean_field(logits, Affinity(image, window, 1), 0.02, iterations=5).softmax(1)
    for k in range(2):
        expected = dense(logits[k], pairs(image[k], window), np.full((CLASSES, 1), 0.02), 5)
        assert np.abs(found[k].numpy() - expected).max() < 1e-12
        assert np.abs(expected - logits[k].softmax(0).numpy()).max() > 0.01
        full = dense(logits[k], pairs(image[k], 99), np.full((CLASSES, 1), 0.02), 5)
        assert np.allclose(expected, full, atol=1e-12) == (window >= 23)  # 23 reaches from the first pixel to the last


def test_four_in_a_row_read_one_anothers_answers_and_weigh_each_class_by_itself() -> None:
    logits, image, weights = drawn(1, CLASSES, *SIZE), photograph(count=1), drawn(4, CLASSES, 1, 1, seed=2) / 50
    found, expected = logits, logits[0]
    for k in range(4):
        layer = ConvCRF(CLASSES).double()
        layer.weight.data = weights[k]
        found = layer(found, Affinity(image, 5, 1))
        step = dense(expected, pairs(image[0], 5), weights[k].numpy()[:, 0], 1)
        expected = torch.from_numpy(np.log(step))
    assert np.abs(found.softmax(1)[0].detach().numpy() - expected.exp().numpy()).max() < 1e-12


def test_blur_is_the_crf_of_the_means_enlarged() -> None:
    image, q = photograph((13, 10), 1), drawn(1, CLASSES, 13, 10).softmax(1)
    # Means of 4 x 4, of what is there at the end of rows and columns.
    rows, columns = [slice(0, 4), slice(4, 8), slice(8, 12), slice(12, 13)], [slice(0, 4), slice(4, 8), slice(8, 10)]

    def means(x: Tensor) -> Tensor:
        return torch.stack([torch.stack([x[..., r, c].mean((-1, -2)) for c in columns], -1) for r in rows], -2)

    sums = means(q)[0].numpy().reshape(CLASSES, -1) @ pairs(means(image)[0], 3, step=4)
    enlarged = F.interpolate(torch.from_numpy(sums).view(1, CLASSES, 4, 3), scale_factor=4, mode="bilinear")
    assert torch.allclose(Affinity(image, 3, 4).message(q), enlarged[..., :13, :10], atol=1e-12)


def test_a_flat_image_has_one_kernel_everywhere_but_at_its_border() -> None:
    found = kernel(torch.full((1, 3, 9, 9), 0.3), 5, 1)
    sums = found.sum(1)[0]
    assert torch.allclose(sums[2:-2, 2:-2], sums[4, 4].expand(5, 5))
    assert (sums[0] < sums[4, 4]).all()
    assert found[0, 12].flatten().tolist() == pytest.approx([13.0] * 81)  # each pixel's weight for itself
    assert found[0, 0, :2].tolist() == [[0.0] * 9] * 2  # two rows up is outside


def test_without_weight_an_answer_stays_as_it_is() -> None:
    logits = 9 * drawn(2, CLASSES, *SIZE)
    found = mean_field(logits, Affinity(photograph()), 0.0, iterations=3)
    assert torch.allclose(found.softmax(1), logits.softmax(1), atol=1e-15)


@pytest.mark.parametrize("blur", [1, 2])
def test_gradients_of_answer_and_weight_are_those_of_small_differences(blur: int) -> None:
    affinity = Affinity(photograph((4, 5), 1), 3, blur)
    logits = drawn(1, CLASSES, 4, 5).requires_grad_()
    weight = torch.full((CLASSES, 1, 1), 0.05, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda u, w: mean_field(u, affinity, w, iterations=2), (logits, weight))


def test_a_layer_begins_with_the_authors_weight_and_learns_it() -> None:
    layer, logits = ConvCRF(CLASSES), drawn(2, CLASSES, *SIZE).float().requires_grad_()
    assert layer.weight.flatten().tolist() == pytest.approx([WEIGHT] * CLASSES)
    layer(logits, Affinity(photograph().float())).softmax(1)[:, 0].sum().backward()
    assert layer.weight.grad.all()
    assert logits.grad.any(1).all()


@pytest.mark.parametrize("blur", [1, 4])
def test_unknown_pixels_say_nothing(blur: int) -> None:
    known = torch.ones(2, *SIZE, dtype=torch.bool)
    known[0, :5] = False
    known[1, 3:7, 2:9] = False
    first, second = (4 * drawn(2, CLASSES, *SIZE, seed=seed) for seed in (3, 4))
    second = torch.where(known[:, None], first, second)
    affinity = Affinity(photograph(), 5, blur, known_NHW=known)
    messages = [affinity.message(logits.softmax(1)) for logits in (first, second)]
    assert torch.equal(*messages)
    assert not torch.equal(messages[0], Affinity(photograph(), 5, blur).message(first.softmax(1)))


def test_half_precision_is_left_before_anything_is_summed() -> None:
    logits, affinity = drawn(1, CLASSES, *SIZE).bfloat16(), Affinity(photograph(count=1).bfloat16(), 7, 4)
    with torch.autocast("cpu", torch.bfloat16):
        found = ConvCRF(CLASSES)(logits, affinity)
    assert found.dtype == affinity.kernel_NDHW.dtype == torch.float32
    assert torch.equal(found, ConvCRF(CLASSES)(logits.float(), affinity))
