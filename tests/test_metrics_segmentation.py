"""Utility: against torchmetrics and scikit-learn, on hand-made counts, and its bootstrap against the binomial."""

import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix, jaccard_score, recall_score
from torchmetrics.classification import MulticlassAccuracy, MulticlassJaccardIndex

from mia_seg.errors import MiaSegError
from mia_seg.metrics.segmentation import confusion, utility, utility_interval


def scenes(classes: int, count: int = 6, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels and predictions [count, 24, 32], mostly right, a tenth ignored."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=(count, 24, 32))
    prediction = np.where(rng.random(labels.shape) < 0.7, labels, rng.integers(classes, size=labels.shape))
    labels[rng.random(labels.shape) < 0.1] = 255
    return labels.astype(np.uint8), prediction.astype(np.uint8)


def by_scene(labels: np.ndarray, prediction: np.ndarray, classes: int) -> np.ndarray:
    return np.stack([confusion(a, b, classes) for a, b in zip(labels, prediction, strict=True)])


def pooled(labels: np.ndarray, prediction: np.ndarray, classes: int) -> np.ndarray:
    return np.asarray(by_scene(labels, prediction, classes).sum(0))


def single_pixels(right: int, count: int) -> np.ndarray:
    """Scenes of one pixel each, of which the first `right` are right."""
    counts = np.zeros((count, 2, 2), np.int64)
    counts[:right, 0, 0] = 1
    counts[right:, 0, 1] = 1
    return counts


@pytest.mark.parametrize("classes", [2, 11, 19, 66])
def test_confusion_agrees_with_scikit_learn(classes: int) -> None:
    labels, prediction = scenes(classes)
    seen = labels != 255
    expected = confusion_matrix(labels[seen], prediction[seen], labels=range(classes))
    counts = pooled(labels, prediction, classes)
    assert counts.dtype == np.int64
    assert np.array_equal(counts, expected)


@pytest.mark.parametrize("absent", [(), (3,), (0, 18)])
def test_miou_and_pix_acc_agree_with_torchmetrics(absent: tuple[int, ...]) -> None:
    labels, prediction = scenes(19)
    labels[np.isin(labels, absent)] = 255  # class 3 stays in the predictions: IoU 0, counted
    measured = utility(pooled(labels, prediction, 19))
    tensors = torch.from_numpy(prediction).long(), torch.from_numpy(labels).long()
    miou = MulticlassJaccardIndex(19, average="macro", ignore_index=255)(*tensors)
    pix_acc = MulticlassAccuracy(19, average="micro", ignore_index=255)(*tensors)
    assert measured["miou"] == pytest.approx(miou.item(), abs=1e-6)
    assert measured["pix_acc"] == pytest.approx(pix_acc.item(), abs=1e-6)


def test_classes_in_neither_labels_nor_predictions_are_left_out_as_torchmetrics_does() -> None:
    labels, prediction = scenes(5)
    tensors = torch.from_numpy(prediction).long(), torch.from_numpy(labels).long()
    miou = MulticlassJaccardIndex(19, average="macro", ignore_index=255)(*tensors)
    assert utility(pooled(labels, prediction, 19))["miou"] == pytest.approx(miou.item(), abs=1e-6)
    assert utility(pooled(labels, prediction, 19)) == utility(pooled(labels, prediction, 5))


def test_cls_acc_and_fwiou_agree_with_scikit_learn() -> None:
    labels, prediction = scenes(11)
    labels[labels == 4] = 255
    seen = labels != 255
    true, guess, present = labels[seen], prediction[seen], [k for k in range(11) if k != 4]
    measured = utility(pooled(labels, prediction, 11))
    assert measured["cls_acc"] == pytest.approx(recall_score(true, guess, labels=present, average="macro"))
    assert measured["fwiou"] == pytest.approx(jaccard_score(true, guess, average="weighted"))


def test_hand_made_counts() -> None:
    # Class 2 is predicted once and never labelled; class 3 does not occur.
    counts = np.array([[3, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    assert utility(counts) == pytest.approx(
        {
            "pix_acc": 4 / 6,
            "cls_acc": (3 / 4 + 1 / 2) / 2,
            "miou": (3 / 4 + 1 / 3 + 0) / 3,
            "fwiou": (4 * 3 / 4 + 2 * 1 / 3) / 6,
        }
    )


def test_a_faultless_prediction_is_worth_one() -> None:
    labels = np.array([[0, 18], [255, 7]], np.uint8)
    counts = confusion(labels, np.where(labels == 255, 0, labels), 19)
    assert set(utility(counts).values()) == {1.0}


@pytest.mark.parametrize(
    ("label", "prediction", "message"),
    [(19, 0, "Label 19"), (-1, 0, "Label -1"), (0, 19, "Prediction 19"), (255, 255, "Prediction 255")],
)
def test_an_id_outside_the_space_is_named(label: int, prediction: int, message: str) -> None:
    with pytest.raises(MiaSegError, match=f"{message} is outside the 19 classes"):
        confusion(np.full((2, 2), label), np.full((2, 2), prediction), 19)


def test_unlike_sizes_are_refused() -> None:
    with pytest.raises(MiaSegError, match=r"\(2, 3\).*\(3, 2\)"):
        confusion(np.zeros((2, 3), np.uint8), np.zeros((3, 2), np.uint8), 2)


def test_no_labelled_pixel_is_refused() -> None:
    empty = confusion(np.full((2, 2), 255), np.zeros((2, 2), int), 3)
    with pytest.raises(MiaSegError, match="No pixel is labelled"):
        utility(empty)
    with pytest.raises(MiaSegError, match="No pixel is labelled"):
        utility_interval(empty[None])


def test_interval_of_single_pixel_scenes_is_the_binomial_one() -> None:
    low, high = utility_interval(single_pixels(right=320, count=400))["pix_acc"]
    half = 1.96 * np.sqrt(0.8 * 0.2 / 400)
    assert (low, high) == pytest.approx((0.8 - half, 0.8 + half), abs=0.006)


def test_interval_contains_the_estimate_and_is_reproducible() -> None:
    counts = by_scene(*scenes(11, count=12), 11)
    intervals, estimate = utility_interval(counts, seed=3), utility(counts.sum(0))
    assert intervals == utility_interval(counts, seed=3)
    assert intervals != utility_interval(counts, seed=4)
    assert list(intervals) == list(estimate)
    assert all(low < estimate[name] < high for name, (low, high) in intervals.items())


def test_interval_depends_on_units_not_on_copies() -> None:
    def width(counts: np.ndarray, groups: list[int] | None = None) -> float:
        low, high = utility_interval(counts, groups)["pix_acc"]
        return high - low

    once = single_pixels(right=40, count=60)
    copies, drives = np.repeat(once, 10, axis=0), [scene // 10 for scene in range(600)]
    assert width(copies, drives) == pytest.approx(width(once), rel=0.1)
    assert width(copies) == pytest.approx(width(once) / np.sqrt(10), rel=0.15)


def test_scenes_without_labels_do_not_change_the_interval() -> None:
    counts = single_pixels(right=30, count=40)
    with_void = np.concatenate([counts, np.zeros((5, 2, 2), np.int64)])
    assert utility_interval(with_void) == utility_interval(counts)


def test_one_unit_says_nothing_about_others() -> None:
    intervals = utility_interval(single_pixels(right=3, count=4), groups=["drive"] * 4)
    assert set(intervals.values()) == {(0.0, 1.0)}


def test_units_that_do_not_match_are_refused() -> None:
    with pytest.raises(MiaSegError, match="4 scenes but 2 groups"):
        utility_interval(single_pixels(right=3, count=4), groups=["a", "b"])
