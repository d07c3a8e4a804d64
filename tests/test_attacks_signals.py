"""What statistic attacks read of a scene, against plain loops over pixels; the learned combination of it all."""

import math
from dataclasses import fields, replace
from itertools import pairwise
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from helpers_scenes import blocky, softmax, written
from lightning_fabric import Fabric
from scipy.special import ndtr
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mia_seg.attacks import Membership
from mia_seg.attacks._signals import accuracy, loss, miou, phi_vector
from mia_seg.attacks.base import Base
from mia_seg.attacks.image_loss import ImageLoss
from mia_seg.attacks.label_only import LabelOnly
from mia_seg.attacks.learned_combination import LearnedCombination, _folds, features
from mia_seg.attacks.predictability_error import PredictabilityError
from mia_seg.attacks.quantile_regression import label_features
from mia_seg.data import IGNORE
from mia_seg.errors import MiaSegError
from mia_seg.metrics.membership import auc, best_threshold
from mia_seg.metrics.segmentation import utility
from mia_seg.query._layout import boundary_band
from mia_seg.query.answers import Answers, Statistics
from mia_seg.testing import Leak, World

CLASSES = 4


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Answers, list[np.ndarray], list[np.ndarray]]:
    """Scenes with and without a boundary, with a class that is lacking, and without any label."""
    rng = np.random.default_rng(0)
    labels = [blocky(rng, (14, 18), CLASSES), blocky(rng, (9, 7), CLASSES - 1), np.full((6, 8), 2, np.uint8)]
    labels += [np.full((5, 5), IGNORE, np.uint8), np.arange(4, dtype=np.uint8).repeat(2)[None].repeat(3, 0)]
    posteriors = [softmax(3 * rng.normal(size=(CLASSES, *labels_HW.shape))) for labels_HW in labels]
    return written(tmp_path_factory.mktemp("told"), posteriors, labels), posteriors, labels


def pixels(posterior: np.ndarray, labels: np.ndarray) -> list[tuple[float, int, bool]]:
    """The loss, class and band of each labelled pixel."""
    band = boundary_band(labels)
    return [
        (-math.log(np.clip(posterior[labels[r, c], r, c], 1e-6, 1 - 1e-6)), int(labels[r, c]), bool(band[r, c]))
        for r, c in np.argwhere(labels != IGNORE)
    ]


def mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def test_forms_of_the_loss_are_what_loops_over_pixels_give(
    told: tuple[Answers, list[np.ndarray], list[np.ndarray]],
) -> None:
    answers, *pairs = told
    for scene, (posterior, labels) in enumerate(zip(*pairs, strict=True)):
        found = pixels(posterior, labels)
        everything = [x for x, _, _ in found]
        by_class = [mean([x for x, k, _ in found if k == label]) for label in sorted({k for _, k, _ in found})]
        quarter = sorted(everything)[-max(1, round(len(found) / 4)) :]
        expected = {
            "mean": mean(everything),
            "balanced": mean(by_class),
            "boundary": mean([x for x, _, near in found if near] or everything),
            "interior": mean([x for x, _, near in found if not near] or everything),
            "trimmed": mean(quarter) if found else 0.0,
        }
        for form, value in expected.items():
            reading = loss(answers.statistics, form)[scene]  # type: ignore[arg-type]
            assert reading == pytest.approx(value, rel=1e-5), (scene, form)
            assert ImageLoss(statistic=form).signal(answers)[scene] == -reading  # type: ignore[arg-type]
    assert loss(answers.statistics, "boundary")[2] == loss(answers.statistics, "mean")[2], "no edge: the mean"
    assert loss(answers.statistics, "interior")[4] == loss(answers.statistics, "mean")[4], "no interior: the mean"


def test_the_vector_of_logits_holds_the_mean_where_a_class_is_lacking(
    told: tuple[Answers, list[np.ndarray], list[np.ndarray]],
) -> None:
    answers, *pairs = told
    vector = phi_vector(answers.statistics)
    assert vector.shape == (5, CLASSES + 2)
    for scene, (posterior, labels) in enumerate(zip(*pairs, strict=True)):
        found = [(math.log(math.exp(-x) / (1 - math.exp(-x))), k, near) for x, k, near in pixels(posterior, labels)]
        whole = mean([x for x, _, _ in found])
        expected = [mean([x for x, k, _ in found if k == label] or [whole]) for label in range(CLASSES)]
        expected += [mean([x for x, _, near in found if near == side] or [whole]) for side in (True, False)]
        assert vector[scene] == pytest.approx(expected, rel=1e-4, abs=1e-6), scene


def test_a_scene_s_own_utility_is_that_of_the_metrics(
    told: tuple[Answers, list[np.ndarray], list[np.ndarray]],
) -> None:
    statistics = told[0].statistics
    for scene, confusion in enumerate(statistics.confusion_NKK):
        expected = utility(confusion) if confusion.any() else {"miou": 0.0, "pix_acc": 0.0}
        assert miou(statistics)[scene] == pytest.approx(expected["miou"])
        assert accuracy(statistics)[scene] == pytest.approx(expected["pix_acc"])
    assert (LabelOnly().signal(told[0]) == miou(statistics)).all()
    assert (LabelOnly(statistic="accuracy").signal(told[0]) == accuracy(statistics)).all()


def test_features_of_labels_do_not_hear_the_model(
    told: tuple[Answers, list[np.ndarray], list[np.ndarray]], tmp_path: Path
) -> None:
    answers, posteriors, labels = told
    other = written(tmp_path, [p[::-1].copy() for p in posteriors], labels)
    assert (label_features(other.statistics) == label_features(answers.statistics)).all()
    assert label_features(answers.statistics).shape == (5, CLASSES + 3)


def one_class(pixels: int, right: int) -> Statistics:
    """A scene with one label: its mIoU is right / pixels / 2, as what is wrong is predicted to be one other class."""
    rng = np.random.default_rng(0)
    empty = {f.name: rng.random((1, 1)) for f in fields(Statistics)}
    confusion = np.array([[[right, pixels - right], [0, 0]]])
    told = {"confusion_NKK": confusion, "confidence_N": np.ones(1), "pixels_NK": np.array([[pixels, 0]])}
    return Statistics(**(empty | told))


def test_base_pools_the_losses_of_all_views_over_their_pixels() -> None:
    """A scene of 100 pixels that lose 1 each, seen in four views: of 50 pixels that lose 2 each, and one of none."""
    method = Base(views="augmented")
    assert len(method.transforms) == 4
    losing = dict(zip(method.transforms, [(50, 100.0)] * 3 + [(0, 0.0)], strict=True))
    views = {name: replace(one_class(n, n), loss_NK=np.array([[loss, 0.0]])) for name, (n, loss) in losing.items()}
    plain = replace(answering(100, {}), statistics=replace(one_class(100, 100), loss_NK=np.array([[100.0, 0.0]])))
    assert Base().reading(plain).scenes_N == pytest.approx([-1])
    assert method.reading(replace(plain, transforms=views)).scenes_N == pytest.approx([-400 / 250])


def answering(right: int, transforms: dict[str, int]) -> Answers:
    """One scene of 100 pixels, of which so many are right: as it is and in its transforms."""
    seen = {transform: one_class(100, count) for transform, count in transforms.items()}
    return Answers(Path(), ["a"], [(0, 0)], [0], 2, (0, 1), one_class(100, right), transforms=seen)


def test_augmented_is_the_mean_over_the_scene_and_its_views() -> None:
    answers = answering(80, {"flip": 60, "shift:-4": 40, "shift:4": 20, "noise:0.05": 100 - 50})
    # Half of the share that is right: the other class, predicted and never a label, has an IoU of 0.
    assert LabelOnly(statistic="augmented").signal(answers) == pytest.approx([(40 + 30 + 20 + 10 + 25) / 5 / 100])


def test_the_distance_is_the_mean_of_what_noise_the_pixels_bear() -> None:
    attack = LabelOnly(statistic="distance")
    # Evenly spread between the levels, so that a straight line between these is the truth; twelve are wrong at once.
    bears = np.concatenate([np.zeros(12), *(np.linspace(a, b, 23)[1:] for a, b in pairwise([0, 0.05, 0.1, 0.2, 0.4]))])
    right = [round(100 * float((bears > level).mean())) for level in (0.05, 0.1, 0.2, 0.4)]
    found = attack.signal(answering(88, dict(zip(attack.transforms, right, strict=True))))
    assert found == pytest.approx([bears.mean()], abs=0.004)
    assert attack.signal(answering(100, dict.fromkeys(attack.transforms, 100))) == pytest.approx([0.4])
    assert attack.signal(answering(0, dict.fromkeys(attack.transforms, 0))) == pytest.approx([0.0])


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0, 2.0])
def test_what_is_hard_for_everyone_is_taken_off_the_loss(alpha: float) -> None:
    """Gaussian difficulty and noise: what of the difficulty is not taken off hides the leak as noise does."""
    rng, count, leak, noise, spread = np.random.default_rng(0), 4000, 0.5, 0.3, 1.0
    members, difficulty = np.arange(count) % 2 == 0, 5 + spread * rng.normal(size=count)
    loss = difficulty - leak * members + noise * rng.normal(size=count)
    plain = World(Leak(0.0), count).victim()[0]
    statistics = replace(plain.statistics, pixels_NK=np.ones((count, 1)), loss_NK=loss[:, None])
    answers = replace(plain, statistics=statistics, difficulty_N=difficulty)
    found = auc(PredictabilityError(alpha=alpha).signal(answers), members)
    assert found == pytest.approx(ndtr(leak / np.sqrt(2 * (noise**2 + ((1 - alpha) * spread) ** 2))), abs=0.02)
    assert alpha not in (0.5, 1.0) or found > auc(ImageLoss().signal(answers), members) + 0.05


def test_answers_without_their_difficulty_are_refused() -> None:
    with pytest.raises(MiaSegError, match=r"'predictability_error' was given answers without the difficulty"):
        PredictabilityError().signal(world(0.0, 4)[0])


def world(
    shift: float, scenes: int = 300, seed: int = 0, transforms: tuple[str, ...] = ()
) -> tuple[Answers, Membership]:
    answers, members = World(Leak(shift), scenes, seed=seed, transforms=transforms).victim()
    return answers, Membership(members, np.array(answers.ids))


@pytest.mark.parametrize("attack", [*(ImageLoss(statistic=form) for form in ("mean", "balanced", "boundary", "interior", "trimmed")), *(LabelOnly(statistic=s) for s in get_args(LabelOnly.model_fields["statistic"].annotation)), LearnedCombination()])  # fmt: skip  # noqa: E501
@pytest.mark.parametrize("shift", [0.0, 2.0, 4.0])
def test_attacks_on_one_shadow_reach_their_golden_range(attack: ImageLoss, shift: float) -> None:
    """What the best of them can reach is known in closed form; all of them follow the scene's one logit."""
    attacker = attack.fit(*world(shift, transforms=attack.transforms), 0, fabric=Fabric(accelerator="cpu", devices=1))
    answers, known = world(shift, 800, seed=1, transforms=attack.transforms)
    assert auc(attacker.score(answers, 0).image_N, known.members_N) == pytest.approx(
        Leak(shift).auc_without_shadows, abs=0.05
    )


def test_scenes_without_what_does_not_vary_are_combined_too(
    told: tuple[Answers, list[np.ndarray], list[np.ndarray]],
) -> None:
    statistics = told[0].statistics
    assert np.isfinite(features(statistics)).all()
    same = statistics.take([0] * 12)
    constant = Answers(Path(), [str(i) for i in range(12)], [(0, 0)] * 12, [0] * 12, CLASSES, tuple(range(4)), same)
    known = Membership(np.arange(12) < 6, np.arange(12))
    scores = (
        LearnedCombination().fit(constant, known, 0, fabric=Fabric(accelerator="cpu", devices=1)).score(constant, 0)
    )
    assert scores.image_N == pytest.approx(np.zeros(12), abs=1e-6)


def test_a_combination_holds_whole_units_out_and_needs_two_of_each_side() -> None:
    answers, known = world(2.0, 40)
    blocks = np.where(known.members_N, "a", "b")
    with pytest.raises(MiaSegError, match=r"fewer than two groups of members or of non-members.*Give the shadow more"):
        LearnedCombination().fit(
            answers, Membership(known.members_N, blocks), 0, fabric=Fabric(accelerator="cpu", devices=1)
        )


def test_a_combination_s_threshold_is_chosen_on_units_that_it_was_not_fitted_to() -> None:
    """The same with scikit-learn's own cross-validation; groups of three scenes stay whole."""
    answers, known = world(2.0, 60)
    groups = np.array([f"{side} {i // 6}" for i, side in enumerate(known.members_N)])
    known = Membership(known.members_N, groups)
    fold = np.argmax(_folds(known, 5), axis=0)
    assert len({*zip(groups.tolist(), fold.tolist(), strict=True)}) == len({*groups.tolist()})
    assert np.bincount(fold[known.members_N], minlength=5).min() > 0
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000, class_weight="balanced"))
    x = features(answers.statistics)
    held = cross_val_predict(model, x, known.members_N, cv=PredefinedSplit(fold), method="decision_function")
    attacker = LearnedCombination().fit(answers, known, 0, fabric=Fabric(accelerator="cpu", devices=1))
    assert attacker.thresholds.image == pytest.approx(best_threshold(held, known.members_N), abs=1e-3)
    expected = model.fit(x, known.members_N).decision_function(x)
    assert attacker.score(answers, 0).image_N == pytest.approx(expected, abs=1e-3)
