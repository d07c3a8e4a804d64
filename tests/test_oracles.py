"""Black boxes: windows that cover and overlap, their mean, and answers that depend on image and key alone."""

import random
from itertools import pairwise

import numpy as np
import pytest
import torch
from helpers_scenes import Toy, defended, picture, toy
from torch import Tensor, nn

from mia_seg import defenses, plugins
from mia_seg.defenses import Defense
from mia_seg.oracles import Released, doors
from mia_seg.oracles.door import DoorOracle
from mia_seg.oracles.doors import Door
from mia_seg.oracles.network import WINDOW_BATCH, NetworkOracle, windows
from mia_seg.oracles.windowed import Windowed
from mia_seg.plugins import parse
from mia_seg.recipes import Window
from mia_seg.segmenters import Network

NOISY = ("dropout:0.5", "gaussian:0.5", "gaussian_std:0.5")


def starts(size: tuple[int, int], window: Window) -> tuple[list[int], list[int]]:
    found = list(windows(size, window))
    return sorted({rows.start for rows, _ in found}), sorted({columns.start for _, columns in found})


def whole(network: Toy, image_HWC: np.ndarray) -> Tensor:
    with torch.no_grad():
        return network(torch.from_numpy(image_HWC.transpose(2, 0, 1) / np.float32(255))[None])[0].softmax(0)


@pytest.mark.parametrize("overlap", [0, 0.2, 1 / 3, 0.5, 0.75])
@pytest.mark.parametrize("side", [4, 5, 12, 30])
def test_windows_cover_every_pixel_a_stride_apart(side: int, overlap: float) -> None:
    for height in (side, side + 1, 2 * side - 1, 2 * side, 3 * side + 2, 61):
        size, window = (height, 2 * side + 3), Window(size=(side, side), overlap=overlap)
        visits = np.zeros(size, int)
        for place in windows(size, window):
            assert [s.stop - s.start for s in place] == [min(side, s) for s in size]
            visits[place] += 1
        assert visits.min() >= 1
        for line in starts(size, window):
            assert all(b - a < (1 - overlap) * side + 1 for a, b in pairwise(line))


@pytest.mark.parametrize(
    ("size", "window", "rows", "columns"),
    [
        ((10, 13), (6, 6), [0, 4], [0, 4, 7]),
        ((10, 12), (6, 6), [0, 4], [0, 4, 6]),
        ((6, 14), (6, 6), [0], [0, 4, 8]),
        ((4, 13), (6, 6), [0], [0, 4, 7]),  # lower than the window, wider than it
        ((7, 6), (6, 6), [0, 1], [0]),
        ((12, 12), (12, 12), [0], [0]),
        ((1024, 2048), (713, 713), [0, 311], [0, 476, 952, 1335]),
    ],
)
def test_windows_by_hand_at_an_overlap_of_a_third(
    size: tuple[int, int], window: tuple[int, int], rows: list[int], columns: list[int]
) -> None:
    assert starts(size, Window(size=window)) == (rows, columns)


def test_many_windows_at_an_extreme_overlap_still_advance() -> None:
    assert starts((9, 6), Window(size=(6, 6), overlap=0.99)) == ([0, 1, 2, 3], [0])


@pytest.mark.parametrize(
    ("size", "heights", "widths"),
    [((21, 31), [0, 8, 9], [0, 10, 16]), ((10, 31), [0], [0, 10, 16]), ((21, 14), [0, 8, 9], [0])],
)
def test_overlapping_windows_are_averaged(size: tuple[int, int], heights: list[int], widths: list[int]) -> None:
    network, image = toy(5), picture(3, size)
    told = NetworkOracle(network, Window(size=(12, 15)))(image, 0).numpy()
    total, visits = np.zeros((5, *size)), np.zeros(size)
    for top in heights:
        for left in widths:
            part = whole(network, image[top : top + 12, left : left + 15]).numpy()
            for row in range(part.shape[1]):
                for column in range(part.shape[2]):
                    total[:, top + row, left + column] += part[:, row, column]
                    visits[top + row, left + column] += 1
    assert np.abs(told - total / visits).max() < 1e-6
    assert np.abs(told - whole(network, image).numpy()).max() > 1e-3  # windows see less than the whole image


@pytest.mark.parametrize("size", [(21, 31), (10, 31), (12, 15)])
def test_a_door_asked_by_windows_answers_as_a_network_does(size: tuple[int, int]) -> None:
    network, image, window = toy(5), picture(3, size), Window(size=(12, 15))
    door = plugins.build(doors, Door, "callable", settings={"target": "own:f", "answers": "logits"}, where="[door]")

    def predict(image_HWC: np.ndarray, key: int) -> np.ndarray:
        with torch.inference_mode():
            return network(torch.from_numpy(image_HWC).permute(2, 0, 1)[None] / 255)[0].numpy()

    told = Windowed(DoorOracle(door, predict, [f"class {k}" for k in range(5)]), window)(image, 0)
    assert (told - NetworkOracle(network, window)(image, 0)).abs().max() < 1e-6


class Sided(Network):
    """Two classes; the logit of the second is a tenth of the pixel's red and of four times its left neighbour's."""

    def __init__(self) -> None:
        super().__init__()
        self.none = nn.Parameter(torch.zeros(1))

    def forward(self, image_N3HW: Tensor) -> Tensor:
        red = image_N3HW[:, 0] * 25.5
        left = torch.cat([torch.zeros_like(red[..., :1]), red[..., :-1]], -1)
        return torch.stack([torch.zeros_like(red), red + 4 * left], 1)


@pytest.mark.parametrize(
    ("window", "mirror", "logits"),
    [
        (None, False, [[1, 6, 11, 12]]),
        (4, False, [[1, 6, 11, 12]]),
        (4, True, [[1 + 9, 6 + 14, 11 + 3, 12 + 0]]),
        # Windows of the pixels 0-2 and 1-3: neither they nor their mirror images see beyond their edges.
        (3, False, [[1, 6, 11], [2, 11, 12]]),
        (3, True, [[1 + 9, 6 + 14, 11 + 3], [2 + 14, 11 + 3, 12 + 0]]),
    ],
)
def test_mirror_images_add_their_logits_in_every_window(
    window: int | None, mirror: bool, logits: list[list[int]]
) -> None:
    image = np.array([[[1, 0, 0], [2, 0, 0], [3, 0, 0], [0, 0, 0]]], np.uint8)
    asked = None if window is None else Window(size=(1, window), overlap=0.5, mirror=mirror)
    told = NetworkOracle(Sided(), asked)(image, 0)[1, 0].numpy()
    total, visits = np.zeros(4), np.zeros(4)
    for start, line in enumerate(logits):
        total[start : start + len(line)] += 1 / (1 + np.exp(-np.array(line) / 10))
        visits[start : start + len(line)] += 1
    assert np.abs(told - total / visits).max() < 1e-6


@pytest.mark.parametrize("window", [None, (20, 30), (20, 64), (64, 64)])
def test_an_image_that_fits_the_window_is_read_in_one_piece(window: tuple[int, int] | None) -> None:
    network, image = toy(5), picture(4, (20, 30))
    told = NetworkOracle(network, None if window is None else Window(size=window))(image, 0)
    assert torch.equal(told, whole(network, image))
    assert network.seen[0][0] == (1, 3, 20, 30)


@pytest.mark.parametrize("window", [None, Window(size=(9, 9))])
@pytest.mark.parametrize("classes", [2, 11, 66])
def test_posteriors_are_float32_on_the_cpu_and_sum_to_one(classes: int, window: Window | None) -> None:
    told = NetworkOracle(toy(classes), window)(picture(5, (14, 20)), 0)
    assert (told.shape, told.dtype, told.device.type) == ((classes, 14, 20), torch.float32, "cpu")
    assert told.min() >= 0
    assert (told.sum(0) - 1).abs().max() < 1e-5
    assert not told.requires_grad


def test_images_are_bytes_and_read_as_fractions_channels_first() -> None:
    network = toy(3)
    seen: list[Tensor] = []
    network.backbone.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0].clone()))
    image = picture(6, (8, 10))
    image.setflags(write=False)
    NetworkOracle(network)(image, 0)
    assert torch.equal(seen[0][0], torch.from_numpy(image.transpose(2, 0, 1).astype(np.float32)) / 255)


def test_mirrored_views_are_images_too() -> None:
    box, image = NetworkOracle(toy(3)), picture(7, (8, 10))
    assert torch.equal(box(image[:, ::-1], 0), box(image[:, ::-1].copy(), 0))


@pytest.mark.parametrize("window", [None, Window(size=(9, 9))])
@pytest.mark.parametrize("text", ["none", *NOISY])
def test_an_answer_depends_on_image_and_key_alone(text: str, window: Window | None) -> None:
    box = defended(parse(defenses, Defense, text), toy(5), window)
    image, other = picture(8, (14, 20)), picture(9, (20, 14))
    first = box(image, 7)
    box(other, 7), box(image, 8), torch.rand(3)
    assert torch.equal(box(image, 7), first)
    assert torch.equal(defended(parse(defenses, Defense, text), toy(5), window)(image, 7), first)
    assert torch.equal(box(image, 8), first) == (text == "none")


@pytest.mark.parametrize("text", NOISY)
def test_queries_leave_the_global_generators_alone(text: str) -> None:
    box = defended(parse(defenses, Defense, text), toy(5), Window(size=(9, 9)))
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()
    box(picture(8, (14, 20)), 7)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert (np.random.get_state()[1] == before[2]).all()


def test_the_network_never_holds_more_than_a_batch_of_windows() -> None:
    network, window = toy(3), Window(size=(8, 8), overlap=0.5)
    NetworkOracle(network, window)(picture(1, (29, 31)), 0)
    counts = [shape[0] for shape, _ in network.seen]
    assert sum(counts) == len(list(windows((29, 31), window))) > 2 * WINDOW_BATCH
    assert max(counts) == WINDOW_BATCH
    assert all(shape[1:] == (3, 8, 8) for shape, _ in network.seen)


def test_release_gets_the_posterior_and_a_generator_seeded_by_the_key() -> None:
    seen: list[tuple[Tensor, int]] = []

    def release(posterior_KHW: Tensor, generator: torch.Generator) -> Tensor:
        seen.append((posterior_KHW, generator.initial_seed()))
        return posterior_KHW.flip(0)

    network, image = toy(4), picture(2, (8, 8))
    told = Released(NetworkOracle(network), release)(image, 2**48 - 1)
    assert seen[0][1] == 2**48 - 1
    assert torch.equal(seen[0][0], whole(network, image))
    assert torch.equal(told, seen[0][0].flip(0))
