"""Objectives with other targets than labels: what each does where the answer is known."""

import math

import pytest
import torch
import torch.nn.functional as F
from helpers_scenes import Toy
from test_objectives import CLASSES, batch
from torch import Tensor

from mia_seg import objectives
from mia_seg.data import IGNORE
from mia_seg.errors import MiaSegError
from mia_seg.objectives import Batch, Goal, Objective
from mia_seg.objectives._targets import TargetGoal
from mia_seg.objectives.hamp import label_probability
from mia_seg.objectives.mix import MixedGoal, rectangle
from mia_seg.objectives.relax_loss import softened
from mia_seg.plugins import build, names
from mia_seg.segmenters import Drawn

LOGITS = torch.tensor([[[[2.0, 0.0]], [[0.0, 1.0]], [[-1.0, 0.0]], [[0.0, 0.0]]]])  # one scene, 1 x 2 pixels
LABELS = torch.tensor([[[0, 2]]])


def made(name: str, **settings: object) -> Goal:
    torch.manual_seed(0)
    chosen = build(objectives, Objective, name, settings=settings, where="here")
    return chosen.build(Toy(CLASSES, dropout=None), CLASSES, ids=[])


def of(name: str, logits: Tensor = LOGITS, labels: Tensor = LABELS, *, epoch: int = 0, **settings: object) -> Tensor:
    goal = made(name, **settings)
    assert isinstance(goal, TargetGoal)
    return goal.of(logits, Batch(torch.zeros(1, 3, 1, 2), labels, torch.zeros(1), epoch=epoch))


def test_smoothing_of_none_is_cross_entropy_and_of_one_is_to_uniform() -> None:
    assert float(of("label_smoothing", epsilon=0)) == pytest.approx(float(F.cross_entropy(LOGITS, LABELS)))
    uniform = torch.full_like(LOGITS, 0.25)
    assert float(of("label_smoothing", epsilon=1)) == pytest.approx(float(F.cross_entropy(LOGITS, uniform)))
    expected = float(F.cross_entropy(LOGITS, LABELS, label_smoothing=0.1))
    assert float(of("label_smoothing", epsilon=0.1)) == pytest.approx(expected)
    assert float(of("label_smoothing", epsilon=-0.1)) < float(of("label_smoothing", epsilon=0))
    ignored = torch.tensor([[[0, IGNORE]]])
    one = float(F.cross_entropy(LOGITS[..., :1], ignored[..., :1], label_smoothing=0.1))
    assert float(of("label_smoothing", labels=ignored, epsilon=0.1)) == pytest.approx(one)


SCENE_WISE = [name for name in names(objectives) if made(name).scene_wise]


@pytest.mark.parametrize("name", SCENE_WISE)
@pytest.mark.parametrize("epoch", [8, 9])
def test_a_scenes_loss_depends_on_it_alone(name: str, epoch: int) -> None:
    """A batch's loss is the mean of its scenes' by what the goal says that each counts, however many have labels."""
    goal, given = made(name).eval(), batch(3)
    given.labels_NHW[0, :31], given.labels_NHW[1, :20], given.epoch = IGNORE, IGNORE, epoch
    alone = torch.stack([goal("segment", given.only(torch.tensor([k]))).loss for k in range(3)])
    count_S = goal.counts(given.labels_NHW)
    torch.testing.assert_close(goal("segment", given).loss, (alone * count_S).sum() / count_S.sum())
    assert len(set(alone.tolist())) == 3


def test_objectives_of_single_scenes_are_these() -> None:
    assert {"supervised", "label_smoothing", "hamp", "relax_loss"} <= set(SCENE_WISE)


def test_at_its_target_a_relaxed_loss_is_zero_and_its_sign_turns() -> None:
    loss = float(F.cross_entropy(LOGITS, LABELS))
    logits = LOGITS.clone().requires_grad_()
    for target, sign in ((loss - 0.1, 1.0), (loss + 0.1, -1.0)):
        found = of("relax_loss", logits, target=target)
        assert float(found.detach()) == pytest.approx(0.1, abs=1e-6)
        ours, plain = (
            torch.autograd.grad(found, logits)[0],
            torch.autograd.grad(F.cross_entropy(logits, LABELS), logits)[0],
        )
        torch.testing.assert_close(ours, sign * plain)
    assert float(of("relax_loss", target=loss)) == pytest.approx(0, abs=1e-6)
    assert float(of("relax_loss", epoch=1, target=loss - 0.1)) == pytest.approx(loss), "it descends above the target"


def test_below_the_target_in_odd_epochs_right_pixels_are_pushed_back_and_wrong_ones_flattened() -> None:
    right = torch.tensor([[[0, 1]]])  # both pixels told rightly
    loss = float(F.cross_entropy(LOGITS, right))
    assert float(of("relax_loss", labels=right, epoch=1, target=9)) == pytest.approx(-loss)
    soft = softened(LOGITS, LABELS, 1.0)
    torch.testing.assert_close(soft.sum(1), torch.ones(1, 1, 2))
    torch.testing.assert_close(soft[0, 2, 0, 1], LOGITS.softmax(1)[0, 2, 0, 1])
    assert len({round(float(x), 6) for x in soft[0, [0, 1, 3], 0, 1]}) == 1
    wrong = float(F.cross_entropy(LOGITS[..., 1:], soft[..., 1:])) / 2  # of two pixels one is wrong
    expected = wrong - float(F.cross_entropy(LOGITS, LABELS))
    assert float(of("relax_loss", epoch=1, target=9)) == pytest.approx(expected)


@pytest.mark.parametrize("gamma", [0.0, 0.3, 0.95, 1.0])
def test_a_soft_label_has_the_entropy_that_is_asked_for(gamma: float) -> None:
    p = label_probability(gamma, 8)
    target = torch.tensor([p, *[(1 - p) / 7] * 7], dtype=torch.float64)
    assert float(torch.special.entr(target).sum()) == pytest.approx(gamma * math.log(8), abs=1e-9)
    assert p >= 1 / 8 - 1e-12


def test_hamp_is_the_divergence_less_entropy() -> None:
    assert float(of("hamp", gamma=0, beta=0)) == pytest.approx(float(F.cross_entropy(LOGITS, LABELS)), rel=1e-6)
    p = label_probability(0.5, 4)
    target = torch.full((1, 4, 1, 2), (1 - p) / 3).scatter(1, LABELS[:, None], p)
    divergence = F.kl_div(LOGITS.log_softmax(1), target, reduction="none").sum(1).mean()
    assert float(of("hamp", gamma=0.5, beta=0)) == pytest.approx(float(divergence), rel=1e-5)
    entropy = torch.special.entr(LOGITS.softmax(1)).sum(1).mean()
    assert float(of("hamp", gamma=0.5, beta=2)) == pytest.approx(float(divergence - 2 * entropy), rel=1e-5)


def mixed(kind: str, keep: float, monkeypatch: pytest.MonkeyPatch) -> tuple[MixedGoal, Batch]:
    goal = made("mix", kind=kind)
    assert isinstance(goal, MixedGoal)
    monkeypatch.setattr(torch.distributions.Beta, "sample", lambda self: torch.tensor(keep))
    return goal.train(), batch(2)


@pytest.mark.parametrize("kind", ["cutmix", "mixup"])
def test_nothing_of_another_is_plain_training(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    goal, given = mixed(kind, 1.0, monkeypatch)
    plain, _ = goal.network.loss(given.image_N3HW, given.labels_NHW)
    torch.testing.assert_close(goal("segment", given).loss, plain)


def test_a_rectangle_of_image_and_labels_is_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    goal, given = mixed("cutmix", 0.75, monkeypatch)
    found = goal._mixture(given)
    moved = (found.image_N3HW != given.image_N3HW).any(1)
    assert int(moved[0].sum()) == 16 * 24, "a quarter of 32 x 48"
    assert torch.equal(found.image_N3HW[0][:, moved[0]], given.image_N3HW[1][:, moved[0]])
    assert torch.equal(found.first_NHW[0][moved[0]], given.labels_NHW[1][moved[0]])
    assert torch.equal(found.first_NHW[0][~moved[0]], given.labels_NHW[0][~moved[0]])
    assert [s.stop - s.start for s in rectangle((4, 4), 0.25)] == [2, 2]


def test_mixup_weighs_both_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    goal, given = mixed("mixup", 0.25, monkeypatch)
    image = 0.25 * given.image_N3HW + 0.75 * given.image_N3HW.roll(1, 0)
    both = [goal.network.loss(image, labels)[0] for labels in (given.labels_NHW, given.labels_NHW.roll(1, 0))]
    torch.testing.assert_close(goal("segment", given).loss, 0.25 * both[0] + 0.75 * both[1])


@pytest.mark.parametrize("name", ["label_smoothing", "relax_loss", "hamp", "mix"])
def test_synthetic_features_are_refused(name: str) -> None:
    given = batch(2)
    given.drawn = Drawn(torch.zeros(1, 8, 4, 4), torch.zeros(1, 8, 8).long(), 0.1)
    with pytest.raises(MiaSegError, match=rf"\[objective\] {name} cannot train on synthetic features"):
        made(name)("segment", given)
