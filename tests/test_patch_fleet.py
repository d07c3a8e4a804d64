"""The patch attack beside a fleet: it tells members from easy scenes, which the attack without a fleet cannot."""

from pathlib import Path

import numpy as np
import pytest
from helpers_files import assert_refused, call
from helpers_scenes import blocky, softmax, written
from lightning_fabric import Fabric

from mia_seg.attacks import Membership
from mia_seg.attacks._readings import Fleet
from mia_seg.attacks.patch_fleet import FleetSide, PatchFleet, PatchFleetAttacker, _left_out, beside, loss_map
from mia_seg.attacks.patch_resnet50 import WHOLE, PatchResNet50, represent
from mia_seg.errors import MiaSegError
from mia_seg.metrics.membership import auc
from mia_seg.query.answers import Answers

CLASSES, SIZE, SCENES, MODELS = 3, (8, 8), 24, 4
QUICK = {"patch": (8, 8), "patches": 1, "epochs": 8, "batch": 6, "lr": 1e-3}
# Half of the scenes are hard, members and others alike: a model's loss says more of that than of membership.
HARD = np.arange(SCENES) % 2 * 6.0


def answers(folder: Path, members: np.ndarray, seed: int) -> Answers:
    """A model is surer of the labels of easy scenes, and somewhat surer of its members'."""
    logits, labels = [], []
    for scene, member in enumerate(members):
        rng = np.random.default_rng([seed, scene])
        labels.append(blocky(np.random.default_rng(scene), SIZE, CLASSES))
        right = np.arange(CLASSES)[:, None, None] == labels[-1]
        logits.append(rng.normal(size=(CLASSES, *SIZE)) + (1 + 3 * member - HARD[scene]) * right)
    return written(folder, [softmax(x) for x in logits], labels)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    folder, rng = tmp_path_factory.mktemp("fleet"), np.random.default_rng(0)
    first = np.stack([rng.permutation(SCENES) < SCENES // 2 for _ in range(MODELS // 2)])
    members = np.stack([first, ~first], 1).reshape(MODELS, SCENES)
    return Fleet(tuple(answers(folder / str(m), members[m], m) for m in range(MODELS)), members)


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> tuple[Answers, np.ndarray]:
    members = np.random.default_rng(9).permutation(SCENES) < SCENES // 2
    return answers(tmp_path_factory.mktemp("victim"), members, 99), members


def fabric() -> Fabric:
    return Fabric(accelerator="cpu", devices=1)


@pytest.fixture(scope="module")
def attacker(fleet: Fleet) -> PatchFleetAttacker:
    return PatchFleet(representation="loss", **QUICK).fit_fleet(fleet, 0, fabric=fabric())


def test_it_tells_members_where_scenes_differ_more_than_members_do(
    attacker: PatchFleetAttacker, fleet: Fleet, victim: tuple[Answers, np.ndarray]
) -> None:
    told, members = victim
    alone = PatchResNet50(representation="loss", **QUICK).fit(
        fleet.answers[0], Membership(fleet.members_MN[0], np.arange(SCENES)), 0, fabric=fabric()
    )
    scores = attacker.score(told, 0)
    assert auc(scores.image_N, members) > 0.9 > auc(alone.score(told, 0).image_N, members) + 0.1
    (whole,) = scores.by_shadows
    assert (whole.trained, whole.compared) == (4, 2)
    np.testing.assert_array_equal(whole.image_N, scores.image_N)


def test_a_model_that_saw_nothing_is_told_nothing(attacker: PatchFleetAttacker, tmp_path: Path) -> None:
    members = np.random.default_rng(9).permutation(SCENES) < SCENES // 2
    tight = answers(tmp_path, np.zeros(SCENES), 50)
    assert auc(attacker.score(tight, 0).image_N, members) == pytest.approx(0.5, abs=0.25)


def test_what_it_sees_of_a_model_leaves_out_the_models_pair(fleet: Fleet) -> None:
    total = [_left_out(fleet, scene) for scene in range(SCENES)]
    side = FleetSide(fleet, range(2, 4), total, representation="concat")
    assert len(side) == 2 * SCENES
    for place in (0, 5, SCENES, 2 * SCENES - 1):
        model, scene = 2 + place // SCENES, place % SCENES
        others = [m for m in (0, 1) if not fleet.members_MN[m, scene]]
        answer = fleet.answers[model][scene]
        outside = np.mean([loss_map(fleet.answers[m][scene]) for m in others], axis=0)
        seen = side.inputs(place, WHOLE).numpy()
        np.testing.assert_array_equal(seen[:-1], represent(answer, "concat").numpy())
        np.testing.assert_allclose(seen[-1], loss_map(answer) - outside, atol=1e-6)
        assert side.members[place] == fleet.members_MN[model, scene]
        part = side.inputs(place, (slice(2, 5), slice(0, 8))).numpy()
        np.testing.assert_array_equal(part, seen[:, 2:5])
    assert beside(fleet.answers[0][0], total[0], "loss").shape == (2, *SIZE)


def test_it_scores_alike_when_it_comes_back_from_disk(
    attacker: PatchFleetAttacker, victim: tuple[Answers, np.ndarray], tmp_path: Path
) -> None:
    attacker.save(tmp_path)
    again = attacker.settings.load(tmp_path, fabric())
    np.testing.assert_array_equal(again.score(victim[0], 3).image_N, attacker.score(victim[0], 3).image_N)
    assert again.thresholds == attacker.thresholds


def test_what_it_cannot_compare_is_refused(
    attacker: PatchFleetAttacker, fleet: Fleet, victim: tuple[Answers, np.ndarray], workdir: Path
) -> None:
    for ids in (victim[0].ids[1:], victim[0].ids[::-1]):
        with pytest.raises(MiaSegError, match=f"The fleet answered 24 scenes, and the target {len(ids)} others, in"):
            attacker.score(victim[0].take(ids), 0)
    with pytest.raises(MiaSegError, match="needs 4 shadows, and there are 2"):
        PatchFleet().fit_fleet(Fleet(fleet.answers[:2], fleet.members_MN[:2]), 0, fabric=fabric())
    assert_refused(call("run", "tiny", "tiny_a1", "--attack", "patch_fleet"), "compares with many shadows", "halves")
