"""Objectives: what each must do, one training loop for all, and the same bits after a kill in the middle."""

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from helpers_scenes import Toy, toy
from safetensors import safe_open
from safetensors.torch import load_file
from test_train import CLOCK, Killed, killed, log, recipe, run, streets, tiny
from torch import Tensor, nn

from mia_seg import objectives, train
from mia_seg.data import IGNORE
from mia_seg.objectives import NETWORK, Batch, Goal, Helper, Judged, Objective, Stage, Teacher
from mia_seg.objectives._distilled import DistilledGoal
from mia_seg.plugins import build, names
from mia_seg.segmenters import Network
from mia_seg.train._optimizers import modules_of, optimizers_of, train_alone

__all__ = ["tiny"]

ALL = names(objectives)
CLASSES = 4
SIZE = (32, 48)
IDS = [f"scene {k}" for k in range(6)]
SMALL: dict[str, dict[str, int]] = {"adversarial": {"width": 8, "crf": 2}}  # what takes long by default


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    shutil.rmtree(tmp_path)


def goal(name: str) -> Goal:
    torch.manual_seed(0)
    network = Toy(CLASSES, dropout=None)
    chosen = build(objectives, Objective, name, settings=SMALL.get(name, {}), where="here")
    made = chosen.build(network, CLASSES, ids=IDS)
    made.meet(teachers(chosen, CLASSES))
    return made


def teachers(chosen: Objective, classes: int) -> list[Teacher]:
    """Toys that have learnt nothing, as many as the objective asks for, on the scenes that it gives them."""
    lists = chosen.taught_by(IDS, {i: i for i in IDS}, seed=0)
    return [Teacher(toy(classes, None), frozenset(ids)) for ids in lists]


def batch(count: int = 4, labelled: bool = True) -> Batch:
    stream = torch.Generator().manual_seed(1)
    labels = torch.randint(CLASSES, (count, 4, 6), generator=stream)
    labels = F.interpolate(labels[:, None].float(), SIZE)[:, 0].long()
    image = torch.rand(count, 3, *SIZE, generator=stream) / 4 + labels[:, None] / 6
    labels[:, :5] = IGNORE
    shown = labels if labelled else torch.full_like(labels, IGNORE)
    made = Batch(image, shown, torch.arange(count), epoch=9, step=99)
    made.reference = Batch(image.flip(0), labels.flip(0), torch.arange(count))
    return made


def gradients(module: nn.Module) -> dict[str, float]:
    return {name: float(p.grad.abs().sum()) for name, p in module.named_parameters() if p.grad is not None}


# What every objective must do.


@pytest.mark.parametrize("name", ALL)
def test_each_stage_reaches_what_it_trains_and_nothing_else(name: str) -> None:
    made, given = goal(name), batch()
    modules = modules_of(made)
    for stage in made.stages:
        train_alone(stage, modules)
        made.zero_grad()
        judged = made(stage.name, given)
        judged.loss.backward()
        reached = {key for key, module in modules.items() if sum(gradients(module).values())}
        assert reached == set(stage.trains), stage
        assert judged.logits_NKHW.shape == (4, CLASSES, *SIZE)


@pytest.mark.parametrize("name", ALL)
def test_a_batch_without_a_label_has_a_finite_loss(name: str) -> None:
    made, given = goal(name), batch(labelled=False)
    for stage in made.stages:
        assert torch.isfinite(made(stage.name, given).loss)


@pytest.mark.parametrize("name", ALL)
def test_each_learns_a_batch_by_heart(name: str) -> None:
    """What it is taught: the labels, or what its teachers answer."""
    made, given = goal(name).train(), batch()
    settings = recipe(lr=0.1, head_lr=1.0).train
    optimizers, seen = optimizers_of(made, settings), []
    for _ in range(40):
        given.kept = {}
        for stage in made.stages:
            train_alone(stage, modules_of(made))
            made.zero_grad()
            judged = made(stage.name, given)
            judged.loss.backward()
            for key in stage.trains:
                optimizers[key].step()
        known, right = given.labels_NHW != IGNORE, given.labels_NHW
        if isinstance(made, DistilledGoal):
            right = made.target(given).argmax(1)
        with torch.no_grad():
            seen.append(float((made.network(given.image_N3HW).argmax(1) == right)[known].float().mean()))
    assert seen[-1] > max(0.6, seen[0] + 0.2)


@pytest.mark.parametrize("name", [name for name in ALL if name != "supervised"])
def test_a_run_killed_in_the_middle_of_an_epoch_ends_with_the_same_bits(
    name: str, folder: Path, tiny: list[Toy]
) -> None:
    made = recipe(epochs=2).model_copy(update={"objective": {"name": name, **SMALL.get(name, {})}})
    chosen = build(objectives, Objective, name, settings={}, where="here")
    beside = streets(made) if chosen.reference() == "beside" else None
    check_killed(made, folder, train.Company(teachers(chosen, CLASSES_OF_STREETS), beside))


def check_killed(made: train.Recipe, folder: Path, company: train.Company | None = None) -> None:
    unbroken = run(made, folder / "unbroken", company=company)
    with pytest.MonkeyPatch.context() as patch:
        killed(5, 9, patch, train.poly)  # in the second epoch
        with pytest.raises(Killed):
            run(made, folder / "broken", company=company)
    assert run(made, folder / "broken", company=company) == unbroken
    assert log(folder / "broken") == log(folder / "unbroken")


# One loop: an objective of two stages, one of which trains a helper.


class Pushed(Goal):
    """A critic learns to tell answers from labels, and the segmenter is pushed a little by it."""

    stages = (Stage("segment"), Stage("criticise", ("critic",)))

    def __init__(self, network: Network) -> None:
        super().__init__(network, {"critic": Helper(nn.Conv2d(CLASSES_OF_STREETS, 1, 3, 2), 1e-2, (0.5, 0.9))})

    def forward(self, stage: str, batch: Batch) -> Judged:
        critic = self.helpers["critic"]
        if stage == "segment":
            loss, logits = self.network.loss(batch.image_N3HW, batch.labels_NHW)
            batch.kept["answer"] = logits.detach()
            return Judged(loss - 0.1 * critic(logits.softmax(1)).mean(), logits)
        logits = batch.kept["answer"]
        real = F.one_hot(batch.labels_NHW % CLASSES_OF_STREETS, CLASSES_OF_STREETS).permute(0, 3, 1, 2).float()
        fake, true = critic(logits.softmax(1)), critic(real)
        return Judged(
            F.softplus(fake).mean() + F.softplus(-true).mean(), logits, {"told_apart": (true > fake).float().mean()}
        )


CLASSES_OF_STREETS = 19


@pytest.fixture
def pushed(monkeypatch: pytest.MonkeyPatch, tiny: list[Toy]) -> None:
    monkeypatch.setattr(train._made, "goal_of", lambda recipe, network, classes, ids: Pushed(network))


def test_helpers_are_resumed_to_the_bit_and_stay_out_of_the_weights(folder: Path, pushed: None) -> None:
    check_killed(recipe(epochs=2, accumulate=1), folder)
    assert not [name for name in load_file(folder / "unbroken" / train.WEIGHTS) if "critic" in name]
    rows = log(folder / "unbroken")
    assert set(rows[0]) == {"epoch", "lr", "loss", "miou", "criticise_loss", "told_apart"} - CLOCK
    assert rows[0]["criticise_loss"] != rows[1]["criticise_loss"]


def test_the_state_holds_a_helpers_weights_and_moments(folder: Path, pushed: None) -> None:
    with pytest.MonkeyPatch.context() as patch:
        killed(3, 9, patch, train.poly)
        with pytest.raises(Killed):
            run(recipe(epochs=2), folder)
    with safe_open(folder / train.STATE, "pt") as file:
        held = {name for name in file.keys() if "critic" in name}  # noqa: SIM118
    moments = {f"{key}.critic.{name}" for key in ("step", "exp_avg", "exp_avg_sq") for name in ("weight", "bias")}
    assert held == {"helper.critic.weight", "helper.critic.bias"} | moments


def test_a_frozen_part_keeps_its_bits_and_its_rate_falls_with_the_others(folder: Path, pushed: None) -> None:
    made = recipe(epochs=1)
    goal_of = Pushed(Toy(CLASSES_OF_STREETS))
    optimizers = optimizers_of(goal_of, made.train)
    assert set(optimizers) == {NETWORK, "critic"}
    train.set_rate(optimizers, made.train.lr / 2)
    assert optimizers["critic"].param_groups[0]["lr"] == pytest.approx(1e-2 / 2)
    before = {k: v.clone() for k, v in goal_of.helpers.state_dict().items()}
    train_alone(goal_of.stages[0], modules_of(goal_of))
    assert [p.requires_grad for p in goal_of.helpers.parameters()] == [False, False]
    assert same(before, goal_of.helpers.state_dict())


def same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return all(torch.equal(one[key], other[key]) for key in one)


def test_what_must_not_decay_has_a_group_of_its_own() -> None:
    network = Toy(CLASSES)
    network.undecayed_parameters = lambda: [network.backbone[0].weight]  # type: ignore[method-assign]
    made = build(objectives, Objective, "supervised", settings={}, where="here").build(network, CLASSES, ids=IDS)
    groups = optimizers_of(made, recipe(head_lr=10.0).train)[NETWORK].param_groups
    assert [(len(g["params"]), g["factor"], g["weight_decay"]) for g in groups] == [
        (2, 1.0, 1e-4), (2, 10.0, 1e-4), (1, 1.0, 0.0),
    ]  # fmt: skip
