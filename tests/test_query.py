"""Queries and answers on disk: statistics against plain loops, strides, float16, and noise keyed by scene."""

import math
import re
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers_scenes import ask, blocky, defended, scenes_of, softmax, tells, toy, written
from scipy import ndimage
from torch import Tensor

from mia_seg import defenses
from mia_seg.data import IGNORE
from mia_seg.defenses import AnswerDefense
from mia_seg.defenses.dropout import Dropout
from mia_seg.defenses.gaussian import Gaussian
from mia_seg.errors import MiaSegError
from mia_seg.oracles import Oracle, pixels
from mia_seg.oracles.network import NetworkOracle
from mia_seg.plugins import parse
from mia_seg.query import Recording, _statistics, answers, key, query
from mia_seg.query._layout import boundary_band, layout, runs
from mia_seg.query._statistics import FLOOR
from mia_seg.query.answers import Answers

SIZES = [(7, 9), (12, 5), (4, 4), (9, 8)]


def told(size: tuple[int, int], classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A posterior with exact zeros and ones in it, and labels with ignored pixels."""
    rng = np.random.default_rng(seed)
    posterior = softmax(3 * rng.normal(size=(classes, *size)))
    posterior[:, 0, 0] = np.eye(classes)[0]
    posterior[:, 0, 1] = np.eye(classes)[1]
    labels = blocky(rng, size, classes, side=3)
    labels[0, :2] = (0, 0)  # p = 1, then p = 0
    labels[-1, -1] = IGNORE
    return posterior, labels


def statistics(posterior: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
    return _statistics.statistics(posterior, layout(labels))


def several(classes: int = 4) -> tuple[list[np.ndarray], list[np.ndarray]]:
    pairs = [told(size, classes, seed) for seed, size in enumerate(SIZES)]
    return [p for p, _ in pairs], [labels for _, labels in pairs]


def near_another(labels: np.ndarray, row: int, column: int) -> bool:
    """Whether a pixel at most two rows and two columns away has another label."""
    around = [
        labels[r, c]
        for r in range(max(0, row - 2), min(labels.shape[0], row + 3))
        for c in range(max(0, column - 2), min(labels.shape[1], column + 3))
    ]
    return any(label != labels[row, column] for label in around)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("classes", [2, 5, 19])
def test_statistics_are_what_plain_loops_count(size: tuple[int, int], classes: int) -> None:
    posterior, labels = told(size, classes, seed=classes)
    pixels, loss, phi = np.zeros(classes, int), np.zeros(classes), np.zeros(classes)
    confusion, confidence = np.zeros((classes, classes), int), 0.0
    for row in range(size[0]):
        for column in range(size[1]):
            column_of, label = [float(p) for p in posterior[:, row, column]], int(labels[row, column])
            confidence += max(column_of)
            if label == 255:
                continue
            p = float(np.clip(np.float32(column_of[label]), np.float32(1e-6), np.float32(1 - 1e-6)))
            pixels[label] += 1
            loss[label] -= math.log(p)
            phi[label] += math.log(p / (1 - p))
            confusion[label, column_of.index(max(column_of))] += 1
    found = statistics(posterior, labels)
    assert (found["pixels_NK"] == pixels).all()
    assert (found["confusion_NKK"] == confusion).all()
    assert found["loss_NK"] == pytest.approx(loss, rel=1e-9)
    assert found["phi_NK"] == pytest.approx(phi, rel=1e-9)
    assert found["confidence_N"] == pytest.approx(confidence / (size[0] * size[1]), rel=1e-9)


def object_at(labels: np.ndarray, row: int, column: int) -> set[tuple[int, int]]:
    """The pixels that a walk over neighbours of one label reaches."""
    found, todo = {(row, column)}, [(row, column)]
    while todo:
        r, c = todo.pop()
        for place in ((r - 1, c), (r + 1, c), (r, c - 1), (r, c + 1)):
            inside = 0 <= place[0] < labels.shape[0] and 0 <= place[1] < labels.shape[1]
            if inside and place not in found and labels[place] == labels[row, column]:
                found.add(place)
                todo.append(place)
    return found


def groups_of(labels: np.ndarray, row: int, column: int) -> tuple[str, str, str]:
    share = len(object_at(labels, row, column)) / labels.size
    return (
        "boundary" if near_another(labels, row, column) else "interior",
        "small" if share < 0.001 else "medium" if share < 0.01 else "large",
        f"region {3 * row // labels.shape[0]}{3 * column // labels.shape[1]}",
    )


@pytest.mark.parametrize("size", [(40, 53), (35, 41), (2, 3), (1, 1)])
def test_groups_of_pixels_are_what_plain_loops_count(size: tuple[int, int]) -> None:
    """Objects of every size: single pixels, blocks of four and of a hundred."""
    rng = np.random.default_rng(size)
    labels = blocky(rng, size, 3, side=10)
    labels[:15] = blocky(rng, size, 3, side=2)[:15]
    labels[::9, ::8] = 3
    posterior = softmax(3 * rng.normal(size=(4, *size)))
    expected = {name: np.zeros(4) for name in answers.PARTS}
    losses = []
    for row, column in np.argwhere(labels != IGNORE):
        p, label = posterior[:, row, column].astype(float), labels[row, column]
        right = np.clip(np.float32(p[label]), np.float32(1e-6), np.float32(1 - 1e-6)).astype(float)
        losses.append(-math.log(right))
        for name in groups_of(labels, row, column):
            expected[name] += (1, losses[-1], math.log(right / (1 - right)), p.argmax() == label)
    found = statistics(posterior, labels)
    kinds = ("pixels", "loss", "phi", "correct")
    for name, values in zip(answers.PARTS, zip(*(found[f"part_{k}_NG"] for k in kinds), strict=True), strict=True):
        assert values == pytest.approx(expected[name], rel=1e-9), name
    objects = {frozenset(object_at(labels, r, c)) for r, c in np.argwhere(labels != IGNORE)}
    assert found["objects_N"] == len(objects)
    for share, worst in zip(answers.TRIMS, found["trimmed_loss_NT"], strict=True):
        kept = sorted(losses)[-max(1, round(share * len(losses))) :]
        assert worst == pytest.approx(sum(kept) / len(kept), rel=1e-9)
    if size[0] > 30:
        assert all(expected[name][0] for name in answers.PARTS), "each group is met"


def test_objects_are_those_of_scipy_for_each_label() -> None:
    labels = blocky(np.random.default_rng(3), (61, 47), 5, side=3)
    runs_of = runs(labels)
    found = runs_of.object_R.repeat(runs_of.length_R).reshape(labels.shape)
    for label in np.unique(labels):
        own, count = ndimage.label(labels == label)
        pairs = {*zip(own[labels == label].tolist(), found[labels == label].tolist(), strict=True)}
        assert len(pairs) == count == len(np.unique(found[labels == label])), "one to one"


def test_each_cut_into_groups_holds_every_labelled_pixel_once() -> None:
    posterior, labels = told((30, 31), 5, seed=1)
    row = statistics(posterior, labels)
    for groups in (slice(0, 2), slice(2, 5), slice(5, 14)):
        assert row["part_pixels_NG"][groups].sum() == row["pixels_NK"].sum()
        assert row["part_loss_NG"][groups].sum() == pytest.approx(row["loss_NK"].sum())
        assert row["part_correct_NG"][groups].sum() == np.trace(row["confusion_NKK"])


def test_a_scene_has_a_few_hundred_numbers() -> None:
    """What is kept of a scene does not grow with it."""
    small, large = (statistics(*told(size, 8, seed=0)) for size in ((9, 8), (90, 80)))
    numbers = [sum(value.size for value in row.values()) for row in (small, large)]
    assert numbers[0] == numbers[1] < 300


def test_logit_confidence_is_log_p_minus_log_of_the_rest() -> None:
    posterior, labels = softmax(np.random.default_rng(0).normal(size=(3, 6, 7))), np.ones((6, 7), np.uint8)
    p = posterior.astype(np.float64)
    expected = np.log(p[1]) - np.log(p[0] + p[2])
    assert statistics(posterior, labels)["phi_NK"] == pytest.approx([0, expected.sum(), 0], rel=1e-5)


def test_an_image_that_is_read_in_parts_has_the_sums_of_one_that_is_read_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    posterior, labels = told((70, 81), 5, seed=2)
    whole = statistics(posterior, labels)
    monkeypatch.setattr(pixels, "PART", 200)
    for name, value in statistics(posterior, labels).items():
        assert value == pytest.approx(whole[name], rel=1e-12), name


def test_the_largest_posterior_is_the_first_of_equal_ones() -> None:
    posterior = np.random.default_rng(0).integers(3, size=(7, 300, 230)).astype(np.float32)
    best, classes = pixels.largest(posterior)
    assert (best == posterior.max(0)).all()
    assert (classes == posterior.argmax(0)).all()
    assert not pixels.largest(posterior[:1])[1].any()


def test_certain_answers_have_finite_statistics() -> None:
    posterior = np.zeros((2, 9, 100), np.float32)
    posterior[0] = 1
    for label, sign in ((0, 1), (1, -1)):
        row = statistics(posterior, np.full((9, 100), label, np.uint8))
        assert row["phi_NK"][label] / 900 == pytest.approx(sign * math.log((1 - FLOOR) / FLOOR), rel=0.01)
        assert row["loss_NK"][label] / 900 == pytest.approx(0 if sign > 0 else -math.log(FLOOR), abs=1e-5)


def test_a_scene_without_labels_has_confidence_and_no_loss(tmp_path: Path) -> None:
    posterior = softmax(np.random.default_rng(0).normal(size=(3, 5, 6)))
    labels = np.full((5, 6), IGNORE, np.uint8)
    row = statistics(posterior, labels)
    assert row.pop("confidence_N") == pytest.approx(posterior.max(0).mean())
    assert not any(value.any() for value in row.values())
    assert written(tmp_path, [posterior], [labels]).statistics.mean_loss() == [0]


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (20, 31)])
def test_boundary_band_reaches_two_pixels_from_another_label(size: tuple[int, int]) -> None:
    labels = blocky(np.random.default_rng(0), size, 4, side=6)
    band = boundary_band(labels)
    for row in range(size[0]):
        for column in range(size[1]):
            assert band[row, column] == near_another(labels, row, column)


@pytest.mark.parametrize("stride", [1, 2, 3, 8])
def test_answers_are_the_top_left_pixel_of_each_cell_as_float16(tmp_path: Path, stride: int) -> None:
    posteriors, labels = several()
    found = written(tmp_path, posteriors, labels, stride)
    for answer, posterior, labels_HW in zip(found, posteriors, labels, strict=True):
        rows, columns = (range(0, s, stride) for s in labels_HW.shape)
        assert answer.labels_HW.shape == answer.posterior_KHW.shape[1:] == (len(rows), len(columns))
        assert (answer.posterior_KHW.dtype, answer.labels_HW.dtype) == (np.float32, np.uint8)
        for i, row in enumerate(rows):
            for j, column in enumerate(columns):
                assert answer.labels_HW[i, j] == labels_HW[row, column]
                kept = posterior[:, row, column].astype(np.float16).astype(np.float32)
                assert (answer.posterior_KHW[:, i, j] == kept).all()
                assert np.allclose(kept, posterior[:, row, column], rtol=2**-11, atol=2**-24)


def test_statistics_come_from_full_resolution(tmp_path: Path) -> None:
    posteriors, labels = several()
    coarse, fine = (written(tmp_path / str(s), posteriors, labels, s).statistics for s in (8, 1))
    for scene, (posterior, labels_HW) in enumerate(zip(posteriors, labels, strict=True)):
        for name, value in statistics(posterior, labels_HW).items():
            assert (getattr(coarse, name)[scene] == value).all()
            assert (getattr(fine, name)[scene] == value).all()
    known = [(labels_HW != IGNORE).sum() for labels_HW in labels]
    assert (coarse.pixels_NK.sum(1) == known).all()
    assert np.allclose(coarse.mean_loss(), coarse.loss_NK.sum(1) / known)


def test_answers_remember_ids_sizes_and_ignored_pixels(tmp_path: Path) -> None:
    posteriors, labels = several()
    found = written(tmp_path, posteriors, labels, ids=["d", "b", "a", "c"])
    assert found.ids == ["d", "b", "a", "c"]
    assert found.shapes == SIZES
    assert (len(found), found.classes) == (4, 4)
    assert [(a.labels_HW == IGNORE).sum() for a in found] == [(x == IGNORE).sum() for x in labels]
    assert sum((x == IGNORE).sum() for x in labels) > 3


def test_take_gives_some_scenes_in_the_order_asked_for(tmp_path: Path) -> None:
    posteriors, labels = several()
    found = written(tmp_path, posteriors, labels, ids=["d", "b", "a", "c"])
    part = found.take(["c", "d"])
    assert (part.ids, part.classes, part.shapes) == (["c", "d"], 4, [SIZES[3], SIZES[0]])
    for answer, row in zip(part, (3, 0), strict=True):
        assert (answer.posterior_KHW == found[row].posterior_KHW).all()
        assert (answer.labels_HW == labels[row]).all()
    assert (part.statistics.loss_NK == found.statistics.loss_NK[[3, 0]]).all()
    assert (part.statistics.confusion_NKK == found.statistics.confusion_NKK[[3, 0]]).all()
    assert (part.statistics.confidence_N == found.statistics.confidence_N[[3, 0]]).all()
    assert (part.take(["d"])[0].posterior_KHW == found[0].posterior_KHW).all()


def test_reading_an_answer_twice_gives_copies(tmp_path: Path) -> None:
    found = written(tmp_path, *several())
    found[1].labels_HW[:] = 0
    found[1].posterior_KHW[:] = 0
    assert found[1].posterior_KHW.sum(0) == pytest.approx(np.ones(SIZES[1]), abs=1e-3)


@pytest.mark.parametrize("name", [answers.POSTERIORS, answers.LABELS])
def test_answers_of_another_length_than_their_index_says_are_refused(tmp_path: Path, name: str) -> None:
    written(tmp_path, *several())
    whole = (tmp_path / name).read_bytes()
    for damaged in (whole[:-1], whole + b"0", b""):
        (tmp_path / name).write_bytes(damaged)
        with pytest.raises(ValueError, match=f"{name} has {len(damaged)} bytes instead of {len(whole)}"):
            answers.load(tmp_path)


def asked(folder: Path, box: Oracle, ids: list[str], seed: int = 0) -> Answers:
    """Answers of a real black box to scenes that depend on their id alone."""
    labels = {name: blocky(np.random.default_rng(ord(name)), (9, 12), 3) for name in "abcd"}
    scenes = scenes_of(list(labels.values()), 3, list(labels))
    scenes.ids = ids
    return ask(box, scenes, folder, seed=seed)


@pytest.mark.parametrize("defense", [Gaussian(variance=0.5), Dropout(ratio=0.5)])
def test_noise_of_a_scene_depends_on_its_id_and_the_seed_alone(tmp_path: Path, defense: Gaussian | Dropout) -> None:
    box = defended(defense, toy(3))
    every = asked(tmp_path / "every", box, ["a", "b", "c", "d"])
    few = asked(tmp_path / "few", box, ["c", "a"])
    other = asked(tmp_path / "other", box, ["c", "a"], seed=1)
    for name in ("a", "c"):
        alone, among = few.take([name]), every.take([name])
        assert (alone[0].posterior_KHW == among[0].posterior_KHW).all()
        assert (alone.statistics.loss_NK == among.statistics.loss_NK).all()
        assert (other.take([name])[0].posterior_KHW != among[0].posterior_KHW).any()


def test_repeated_queries_have_noise_of_their_own_and_their_mean_is_kept(tmp_path: Path) -> None:
    box, scenes = (
        defended(Gaussian(variance=0.5), toy(3)),
        scenes_of([blocky(np.random.default_rng(0), (9, 12), 3)], 3),
    )
    kept = ask(box, scenes, tmp_path, repeats=3)[0].posterior_KHW
    each = [box(scenes[0].image_HWC, key(scenes[0].id, 0, k)).numpy() for k in range(3)]
    assert not np.allclose(each[0], each[1])
    assert np.allclose(kept, np.mean(each, 0), atol=1e-3)
    assert key("a", 0, 0) == key("a", 0), "the first query is that of who asks once"


def test_keys_differ_by_scene_and_seed_and_stay_the_same() -> None:
    keys = {key(name, seed) for name in ("a", "b", "a0") for seed in (0, 1, 10)}
    assert len(keys) == 9
    assert all(0 <= k < 2**48 for k in keys)
    assert key("city-0-000012", 3) == key("city-0-000012", 3)


def peak(folder: Path, count: int) -> int:
    """The most memory that numpy held at once while `count` scenes were asked about, in bytes."""
    labels = [blocky(np.random.default_rng(0), (64, 64), 19) for _ in range(count)]
    scenes = scenes_of(labels, 19)
    scenes._room = 0

    def box(image_HWC: np.ndarray, key: int) -> Tensor:
        return torch.from_numpy(np.full((19, *image_HWC.shape[:2]), 1 / 19, np.float32))

    tracemalloc.start()
    try:
        ask(box, scenes, folder)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_number_of_scenes(tmp_path: Path) -> None:
    posterior = 19 * 64 * 64 * 4
    peak(tmp_path / "warm", 2)
    few, many = peak(tmp_path / "few", 10), peak(tmp_path / "many", 40)
    assert few > posterior  # the black box's arrays are seen at all
    assert many - few < posterior


def test_tracked_arrays_are_those_of_the_stand_in() -> None:
    posteriors, labels = several()
    scenes, box = scenes_of(labels, 4), tells(posteriors)
    assert all((box(s.image_HWC, 0).numpy() == p).all() for s, p in zip(scenes, posteriors, strict=True))


def test_a_smaller_label_space_ignores_the_rest_and_sums_to_one_again(tmp_path: Path) -> None:
    """By hand: classes 0 and 2 of three; where both have no mass, the answer says nothing about either."""
    posterior = np.array([[[0.5, 0.2, 0.0]], [[0.25, 0.8, 1.0]], [[0.25, 0.0, 0.0]]], np.float32)
    labels = np.array([[2, 1, 0]], np.uint8)
    whole = written(tmp_path, [posterior], [labels])
    assert whole.occurring() == {0, 1, 2}
    seen = whole.only([0, 2])
    assert seen.occurring() == {0, 2}
    assert np.allclose(seen[0].posterior_KHW[:, 0], [[2 / 3, 1, 0.5], [1 / 3, 0, 0.5]], atol=1e-3)
    assert seen[0].labels_HW.tolist() == [[1, IGNORE, 0]]
    kept = seen.statistics
    assert kept.pixels_NK.tolist() == [[1, 1]]
    assert kept.confusion_NKK.tolist() == [[[0, 0], [1, 0]]], "what went to class 1 is counted nowhere"
    assert np.allclose(kept.mean_loss(), (-np.log(0.25) - np.log(1e-6)) / 2)
    assert seen.take(seen.ids)[0].posterior_KHW.shape == seen[0].posterior_KHW.shape
    assert np.array_equal(whole[0].posterior_KHW, posterior.astype(np.float16).astype(np.float32))


def test_scenes_that_show_none_of_the_classes_are_left_out_with_all_that_stands_beside_them(tmp_path: Path) -> None:
    """The first scene has pixels of class 0 alone, the second of class 1 alone, the third of none."""
    even = np.full((2, 1, 2), 0.5, np.float32)
    labels = [np.array([row], np.uint8) for row in ([0, 0], [1, IGNORE], [IGNORE, IGNORE])]
    whole = written(tmp_path, [even] * 3, labels)
    assert whole.only([0]).labelled().ids == whole.ids[:1]
    first, second = whole.ids[:2]
    seen = replace(whole, difficulty_N=np.arange(3.0)).labelled()
    assert (seen.ids, seen.difficulty_N.tolist()) == ([first, second], [0.0, 1.0])  # type: ignore[union-attr]
    assert len(seen.statistics) == 2
    moved = replace(whole, transforms={"shift:1": whole.only([1]).statistics}).labelled()
    assert moved.ids == [second], "a loss of a transform that shows no label is none"
    assert seen.labelled() is seen


PLAIN = ("none", "argmax", "gaussian:0.25", "gaussian:0.5", "gaussian:1.0")


def test_one_pass_serves_every_defense_that_only_changes_the_answer(tmp_path: Path) -> None:
    """Each scene is asked about once, and every file is that of a pass of its own."""
    network, counted = NetworkOracle(toy(3)), []
    scenes = scenes_of([blocky(np.random.default_rng(k), (9, 12), 3) for k in range(4)], 3)

    def oracle(image_HWC: np.ndarray, key: int) -> Tensor:
        counted.append(key)
        return network(image_HWC, key)

    chosen = {text: parse(defenses, AnswerDefense, text) for text in PLAIN}
    recordings = [Recording(tmp_path / text, defense.release) for text, defense in chosen.items()]
    for recording in recordings:
        recording.folder.mkdir()
    query(oracle, scenes, recordings, stride=2, seed=3, title="asked", repeats=2)
    assert len(counted) == 2 * len(scenes)
    for text, defense in chosen.items():
        alone = tmp_path / f"{text} alone"
        ask(defense.wrap(network), scenes, alone, stride=2, seed=3, repeats=2)
        for name in (answers.POSTERIORS, answers.LABELS, answers.INDEX, answers.STATISTICS):
            assert (alone / name).read_bytes() == (tmp_path / text / name).read_bytes(), (text, name)


# What is no posterior.

HALVES = np.full((2, 3, 4), 0.5, np.float32)


def at_one_pixel(*values: float) -> np.ndarray:
    answer = HALVES.copy()
    answer[:, 1, 2] = values
    return answer


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (at_one_pixel(np.nan, 0.5), "holds values that are not finite"),
        (at_one_pixel(np.inf, 0), "holds values that are not finite"),
        (at_one_pixel(-np.inf, np.inf), "holds values that are not finite"),
        (at_one_pixel(1.25, -0.25), "holds a value below 0 (-0.25)"),
        (at_one_pixel(0.5, 0.4), "adds up to 1 only within 0.1 at some pixel"),
        (at_one_pixel(40, 2), "adds up to 1 only within 41 at some pixel"),  # logits
        (HALVES[:, :2], "has shape (2, 2, 4) and not (2, 3, 4) (classes, height, width)"),
        (HALVES.transpose(0, 2, 1).copy(), "has shape (2, 4, 3) and not (2, 3, 4)"),
        (HALVES[None], "has shape (1, 2, 3, 4) and not (2, 3, 4)"),
        (np.full((4, 3, 4), 0.25, np.float32), "has shape (4, 3, 4) and not (2, 3, 4)"),
    ],
)
@pytest.mark.parametrize("who", ["oracle", "defense"])
def test_an_answer_that_is_no_posterior_is_refused(tmp_path: Path, answer: np.ndarray, fault: str, who: str) -> None:
    scenes, found = scenes_of([np.zeros((3, 4), np.uint8)] * 2, 2, ["good", "bad"]), torch.from_numpy(answer)
    calls = 0

    def second(sound: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return found if calls == 2 else sound

    def box(image_HWC: np.ndarray, key: int) -> Tensor:
        del image_HWC, key
        sound = torch.from_numpy(HALVES)
        return second(sound) if who == "oracle" else sound

    def release(posterior_KHW: Tensor, generator: torch.Generator) -> Tensor:
        del generator
        return second(posterior_KHW) if who == "defense" else posterior_KHW

    with pytest.raises(MiaSegError, match=rf"^Scene 'bad': the {who}'s answer {re.escape(fault)}.*Train the model"):
        query(box, scenes, [Recording(tmp_path, release)], stride=1, seed=0, title="asked")
    assert not (tmp_path / answers.INDEX).exists()


def test_own_labels_are_what_is_predicted_for_the_scene_as_it_is(tmp_path: Path) -> None:
    """Mirrored, a model that looks at each pixel alone predicts the same, and one that looks at places does not."""

    def by_colour(image_HWC: np.ndarray, key: int) -> Tensor:
        return one_hot(image_HWC[..., 0] > 127)

    def by_place(image_HWC: np.ndarray, key: int) -> Tensor:
        return one_hot(np.broadcast_to(np.arange(image_HWC.shape[1]) < 3, image_HWC.shape[:2]))

    def one_hot(second_HW: np.ndarray) -> Tensor:
        return torch.from_numpy(np.stack([~second_HW, second_HW]).astype(np.float32))

    scenes = scenes_of([np.full((6, 8), IGNORE, np.uint8)], 2)
    how: dict[str, Any] = {"transform": "flip", "own": True}
    colour, place = (
        ask(oracle, scenes, tmp_path / name, **how).statistics.confusion_NKK[0]
        for name, oracle in (("colour", by_colour), ("place", by_place))
    )
    assert (np.trace(colour), colour.sum()) == (48, 48)
    assert place.tolist() == [[12, 18], [18, 0]]  # of a row of 8 the first three, and mirrored the last three
