"""The attack on whole answers: planted differences without any in the loss, and its definition in plain loops."""

from pathlib import Path

import numpy as np
import pytest
from helpers_scenes import blocky, softmax, written
from lightning_fabric import Fabric

from mia_seg.attacks._readings import Fleet
from mia_seg.attacks.image_loss import ImageLoss
from mia_seg.attacks.template import Template
from mia_seg.errors import MiaSegError
from mia_seg.metrics.membership import auc
from mia_seg.query.answers import Answers

CLASSES, SCENES, SIZES = 3, 30, ((8, 8), (6, 10))
TRUE = 2  # the class of every label


class Planted:
    """Models that swap two wrong classes where they trained on a scene: the loss of its label stays what it was."""

    def __init__(self, folder: Path, shift: float) -> None:
        self.folder, self.shift = folder, shift
        rng = np.random.default_rng(0)
        halves = [rng.permutation(np.arange(SCENES) % 2 == 0) for _ in range(3)]
        self.members_MN = np.concatenate([np.stack([half, ~half]) for half in halves])

    def fleet(self) -> Fleet:
        return Fleet([self.answers(members, model) for model, members in enumerate(self.members_MN)], self.members_MN)

    def victim(self) -> tuple[Answers, np.ndarray]:
        members = np.random.default_rng(1).permutation(np.arange(SCENES) % 2 == 0)
        return self.answers(members, 100), members

    def answers(self, members: np.ndarray, model: int, *, random_labels: bool = False) -> Answers:
        rng, posteriors, labels = np.random.default_rng(model), [], []
        for scene, member in enumerate(members):
            size = SIZES[scene % len(SIZES)]
            wrong = (np.random.default_rng([7, scene]).normal(size=size) + self.shift * member) / 2
            wrong += rng.normal(size=size) / 2
            # Two classes share what the true one leaves, so that its probability does not change.
            share = 1 / (1 + np.exp(-wrong))
            posteriors.append(np.stack([0.4 * share, 0.4 * (1 - share), np.full(size, 0.6)]))
            drawn = blocky(np.random.default_rng(scene), size, CLASSES)
            labels.append(drawn if random_labels else np.full(size, TRUE, np.uint8))
        return written(self.folder / f"{model} {random_labels}", posteriors, labels)


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    return Planted(tmp_path_factory.mktemp("planted"), shift=1.0)


def test_it_finds_what_the_loss_does_not_show(planted: Planted, tmp_path: Path) -> None:
    attacker, (answers, members) = Template().fit_fleet(planted.fleet()), planted.victim()
    scores_N = attacker.score(answers, 0).image_N
    assert auc(scores_N, members) > 0.95
    called = scores_N >= attacker.thresholds.image
    assert (called == members).mean() > 0.85
    assert np.ptp(ImageLoss().signal(answers)) < 1e-3, "all losses are alike"
    attacker.save(tmp_path)
    back = Template().load(tmp_path, Fabric(accelerator="cpu", devices=1))
    np.testing.assert_array_equal(back.score(answers, 0).image_N, scores_N)


def test_labels_do_not_matter(planted: Planted) -> None:
    attacker, (answers, members) = Template().fit_fleet(planted.fleet()), planted.victim()
    other = planted.answers(members, 100, random_labels=True)
    np.testing.assert_array_equal(attacker.score(other, 0).image_N, attacker.score(answers, 0).image_N)


def test_it_finds_nothing_where_there_is_nothing(tmp_path: Path) -> None:
    attacker = Template().fit_fleet(Planted(tmp_path, shift=0).fleet())
    fleet = attacker.fleet
    areas = [auc(s, m) for s, m in zip(attacker.settings.rehearse(fleet), fleet.members_MN, strict=True)]
    assert np.mean(areas) == pytest.approx(0.5, abs=0.06)


def test_its_score_is_its_definition(planted: Planted) -> None:
    fleet, (answers, _) = planted.fleet(), planted.victim()
    scores_N = Template(cells=2).fit_fleet(fleet).score(answers, 0).image_N
    far = np.zeros((2, SCENES))
    for kind in (0, 1):
        of_shadows = [
            np.stack([grid(of, scene) for of, members in zip(fleet.answers, fleet.members_MN, strict=True)
                      if members[scene] == kind])
            for scene in range(SCENES)
        ]  # fmt: skip
        spread = np.mean([((of - of.mean(0)) ** 2).sum() / (len(of) - 1) for of in of_shadows])
        for scene, of in enumerate(of_shadows):
            far[kind, scene] = ((grid(answers, scene) - of.mean(0)) ** 2).sum() / spread
    np.testing.assert_allclose(scores_N, far[0] - far[1], rtol=1e-4, atol=1e-4)


def grid(answers: Answers, scene: int) -> np.ndarray:
    """The mean posterior of each quarter of an answer."""
    map_KHW = answers[scene].posterior_KHW
    rows, columns = map_KHW.shape[1] // 2, map_KHW.shape[2] // 2
    quarters = [map_KHW[:, r : r + rows, c : c + columns] for r in (0, rows) for c in (0, columns)]
    return np.stack([quarter.mean((1, 2)) for quarter in quarters], 1).ravel()


def test_shadows_that_all_answer_alike_are_refused(tmp_path: Path) -> None:
    members_MN = Planted(tmp_path, 0).members_MN
    same = written(tmp_path, [softmax(np.zeros((CLASSES, 4, 4)))] * SCENES, [np.zeros((4, 4), np.uint8)] * SCENES)
    with pytest.raises(MiaSegError, match="answer every scene alike"):
        Template().fit_fleet(Fleet([same] * len(members_MN), members_MN))
