"""Attacks: a planted leak is found by every one and nothing is found where there is none; patches and their scores."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from helpers_scenes import blocky, small, softmax, written
from lightning_fabric import Fabric
from torch import nn

from mia_seg import attacks
from mia_seg.attacks import Attack, Attacker, Membership, Thresholds, patch_resnet50
from mia_seg.attacks.patch_resnet50 import (
    PatchAttacker,
    PatchResNet50,
    random_patch,
    represent,
    resnet50,
    sliding,
    validation,
)
from mia_seg.data import IGNORE
from mia_seg.errors import MiaSegError
from mia_seg.metrics.membership import measure
from mia_seg.plugins import build, load, names
from mia_seg.query.answers import Answer, Answers

CLASSES, SIZE = 3, (14, 18)
# Seventy steps: fewer, and the running statistics of the batch norms still remember where they started.
QUICK = {"patch": (12, 12), "patches": 2, "epochs": 9, "batch": 3, "lr": 1e-3}
CONTROLS = {"labels"}


def variants() -> list[tuple[str, str]]:
    """Every attack of the folder that takes one shadow, once for each choice of its first setting.

    Not the patch attack on posteriors alone, which are a part of what "concat" is trained on here.
    """
    found = []
    for cls, name in ((load(attacks, Attack, name), name) for name in names(attacks)):
        if not cls.needs_fleet:
            found += [(name, str(choice)) for choice in get_args(first(cls)[1]) or ("",)]
    return [variant for variant in found if variant != ("patch_resnet50", "posterior")]


def first(cls: type[Attack]) -> tuple[str, Any]:
    """The first setting and what it takes; ("", None) for an attack without any."""
    return next(((name, field.annotation) for name, field in cls.model_fields.items()), ("", None))


LEAKING = [variant for variant in variants() if variant[1] not in CONTROLS]


def method(variant: tuple[str, str], **settings: Any) -> Attack:
    component = load(attacks, Attack, variant[0])
    wanted = small(component, **(QUICK | settings), **({first(component)[0]: variant[1]} if variant[1] else {}))
    return build(attacks, Attack, variant[0], settings=wanted, where=variant[0])


TRANSFORMS = sorted({transform for variant in variants() for transform in method(variant).transforms})


def fabric() -> Fabric:
    return Fabric(accelerator="cpu", devices=1)


def planted(
    folder: Path, each: int, seed: int, leak: bool, twins: bool = False, population: bool = True
) -> tuple[Answers, Membership]:
    """Scenes of one distribution; a leaking network is surer of the labels of its members.

    twins: a member and a non-member share each scene, so that nothing but the leak tells them apart.
    """
    members = np.arange(2 * each) < each
    logits, labels, rights = [], [], []
    for scene, member in enumerate(members):
        rng = np.random.default_rng([seed, scene % each if twins else scene])
        labels.append(blocky(rng, SIZE, CLASSES))
        sureness = (5 if member and leak else -1) + 0.3 * rng.normal()
        rights.append(np.arange(CLASSES)[:, None, None] == labels[-1])
        logits.append(rng.normal(size=(CLASSES, *SIZE)) + sureness * rights[-1])
    groups = np.array([f"group {i}" for i in range(2 * each)])

    def answers(place: Path, noise: float = 0.0) -> Answers:
        faded = [softmax(x - 20 * noise * right) for x, right in zip(logits, rights, strict=True)]
        return written(place, faded, labels)

    levels = {
        transform: float(transform.partition(":")[2]) if transform.startswith("noise") else 0.0
        for transform in TRANSFORMS
    }
    transforms = {transform: answers(folder / transform, level).statistics for transform, level in levels.items()}
    # No scene is harder than another, and to a model that nothing leaks from all scenes are strangers.
    beside = {"transforms": transforms, "difficulty_N": np.zeros(2 * each)}
    if population:
        others, _ = planted(folder / "population", 20, seed + 100, leak=False, population=False)
        beside["population"] = others.statistics
    return replace(answers(folder), **beside), Membership(members, groups)


@dataclass(frozen=True)
class World:
    """A shadow to fit on, a victim that leaks as it does, and one that does not leak."""

    shadow: tuple[Answers, Membership]
    victim: tuple[Answers, Membership]
    tight: tuple[Answers, Membership]
    attacker: Callable[[tuple[str, str]], Attacker]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("answers")
    shadow = planted(folder / "shadow", 15, 0, leak=True)
    victim = planted(folder / "victim", 20, 1, leak=True, twins=True)
    tight = planted(folder / "tight", 20, 2, leak=False, twins=True)

    @cache
    def attacker(variant: tuple[str, str]) -> Attacker:
        hurried = {"epochs": 3} if variant[1] in CONTROLS else {}
        return method(variant, **hurried).fit(*shadow, 0, fabric=fabric())

    return World(shadow, victim, tight, attacker)


def some(answers: Answers, count: int = 6) -> Answers:
    return answers.take(answers.ids[:count])


def image_auc(attacker: Attacker, answers: Answers, known: Membership) -> tuple[float, float, float]:
    """The AUC of images and its interval."""
    scores = attacker.score(answers, 0).image_N
    found = measure(scores, known.members_N, threshold=attacker.thresholds.image, groups=known.groups_N)
    return found.auc_low, found.auc, found.auc_high


# A planted leak.


@pytest.mark.parametrize("variant", LEAKING)
def test_every_attack_finds_a_planted_leak(world: World, variant: tuple[str, str]) -> None:
    assert image_auc(world.attacker(variant), *world.victim)[1] > 0.9


@pytest.mark.parametrize("variant", variants())
def test_no_attack_finds_a_leak_where_there_is_none(world: World, variant: tuple[str, str]) -> None:
    low, _, high = image_auc(world.attacker(variant), *world.tight)
    assert low < 0.5 < high


@pytest.mark.parametrize("variant", [variant for variant in variants() if variant[1] in CONTROLS])
def test_a_control_that_never_sees_the_model_stays_at_chance(world: World, variant: tuple[str, str]) -> None:
    low, _, high = image_auc(world.attacker(variant), *world.victim)
    assert low < 0.5 < high


@pytest.mark.parametrize("variant", variants())
def test_a_shadow_that_does_not_leak_teaches_nothing(world: World, tmp_path: Path, variant: tuple[str, str]) -> None:
    attacker = method(variant, epochs=1, batch=12).fit(*planted(tmp_path, 15, 3, leak=False), 0, fabric=fabric())
    low, _, high = image_auc(attacker, *world.tight)
    assert low < 0.5 < high


@pytest.mark.parametrize("variant", LEAKING)
def test_thresholds_from_the_shadow_call_the_victim_s_members(world: World, variant: tuple[str, str]) -> None:
    attacker, (answers, known) = world.attacker(variant), world.victim
    scores = attacker.score(answers, 0)
    called = scores.image_N >= attacker.thresholds.image
    assert (called == known.members_N).mean() > 0.75
    if scores.patch_NP is not None:
        assert attacker.thresholds.patch is not None
        assert ((scores.patch_NP >= attacker.thresholds.patch) == known.members_N[:, None]).mean() > 0.75


@pytest.mark.parametrize("variant", variants())
def test_every_attacker_comes_back_from_disk(world: World, tmp_path: Path, variant: tuple[str, str]) -> None:
    attacker, answers = world.attacker(variant), some(world.victim[0])
    attacker.save(tmp_path)
    back = method(variant).load(tmp_path, fabric())
    assert back.thresholds == attacker.thresholds
    before, after = attacker.score(answers, 4), back.score(answers, 4)
    assert (before.image_N == after.image_N).all()
    assert before.patch_NP is after.patch_NP is None or (before.patch_NP == after.patch_NP).all()


@pytest.mark.parametrize("variant", variants())
def test_scores_are_one_an_image_finite_and_the_same_under_a_seed(world: World, variant: tuple[str, str]) -> None:
    attacker, answers = world.attacker(variant), some(world.victim[0])
    first, second = attacker.score(answers, 7), attacker.score(answers, 7)
    assert first.image_N.shape == (len(answers),)
    assert np.isfinite(first.image_N).all()
    assert (first.image_N == second.image_N).all()
    if first.patch_NP is not None:
        assert first.patch_NP.shape[0] == len(answers)
        assert (first.patch_NP == second.patch_NP).all()
        assert (attacker.score(answers, 8).patch_NP != first.patch_NP).any()


@pytest.mark.parametrize("variant", variants())
def test_every_attack_is_fitted_the_same_under_a_seed(tmp_path: Path, variant: tuple[str, str]) -> None:
    shadow, quick = planted(tmp_path, 4, 5, leak=True), method(variant, epochs=1)
    first = quick.fit(*shadow, 3, fabric=fabric())
    torch.rand(3)
    second = quick.fit(*shadow, 3, fabric=fabric())
    assert first.thresholds == second.thresholds
    assert (first.score(shadow[0], 0).image_N == second.score(shadow[0], 0).image_N).all()


def test_another_seed_fits_another_patch_attacker(tmp_path: Path) -> None:
    shadow, quick = planted(tmp_path, 4, 5, leak=True), method(("patch_resnet50", "loss"), epochs=1)
    first, second = (quick.fit(*shadow, seed, fabric=fabric()).score(shadow[0], 0).image_N for seed in (3, 4))
    assert (first != second).any()


def test_a_training_that_diverges_is_refused_and_not_kept(tmp_path: Path) -> None:
    shadow, wild = planted(tmp_path, 4, 5, leak=True), method(("patch_resnet50", "loss"), epochs=2, lr=1e30)
    with pytest.raises(
        MiaSegError,
        match=r"patch_resnet50: the training diverged at step \d of \d, .*Lower lr in \[attacks\.patch_resnet50\]",
    ):
        wild.fit(*shadow, 3, fabric=fabric())


@pytest.mark.parametrize(
    ("losses", "validation", "weight", "says"),
    [
        ([1.0, np.nan, np.inf], 1.0, 1.0, r"at step 8 of 90, learning rate 0\.2: the loss is nan"),
        ([1.0, 1.0, 1.0], np.inf, 1.0, r"at step 9 of 90, learning rate 0\.3: the validation loss is inf"),
        ([1.0, 1.0, 1.0], 1.0, np.nan, r"at step 9 of 90, learning rate 0\.3: a weight is not finite"),
    ],
)
def test_the_step_that_diverged_is_named(losses: list[float], validation: float, weight: float, says: str) -> None:
    network, settings = torch.nn.Linear(1, 1), PatchResNet50(epochs=30)
    found = [torch.tensor(loss) for loss in losses]
    check = partial(patch_resnet50._check, network, first=6, settings=settings)
    check([torch.tensor(1.0)] * 3, [0.1, 0.2, 0.3], validation=1.0)
    network.weight.data.fill_(weight)
    with pytest.raises(MiaSegError, match=says):
        check(found, [0.1, 0.2, 0.3], validation=validation)


@pytest.mark.parametrize(
    ("heard", "kept"), [([0.5, 0.9, 0.7, 0.9], 3), ([0.5, 0.9, 0.7, 0.6], 1), ([0.2, 0.1, 0.0], 0)]
)
def test_the_epoch_that_ranks_the_held_out_scenes_best_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, heard: list[float], kept: int
) -> None:
    """Though its loss is the largest; of equal ones the last."""
    seen: list[dict[str, torch.Tensor]] = []

    def validate(network: torch.nn.Module, *_: object, **__: object) -> tuple[float, float]:
        # The network comes wrapped by Fabric; its weights are named as those of the attacker.
        seen.append({name: tensor.clone() for name, tensor in network.state_dict().items()})
        return heard[len(seen) - 1] + 1, heard[len(seen) - 1]

    monkeypatch.setattr(patch_resnet50, "_validate", validate)
    shadow, quick = planted(tmp_path, 4, 5, leak=True), method(("patch_resnet50", "loss"), epochs=len(heard))
    found = quick.fit(*shadow, 3, fabric=fabric())
    assert isinstance(found, PatchAttacker)
    assert all((tensor == seen[kept][name]).all() for name, tensor in found.network.state_dict().items())


def test_what_validates_is_the_ranking_of_scenes_and_the_loss_of_patches(tmp_path: Path) -> None:
    """A network that tells the mean of a patch of the loss map, on scenes whose maps are flat."""
    labels = [np.zeros((8, 8), np.uint8)] * 4
    loss = np.array([1.0, 2.0, 3.0, 4.0])
    posteriors = [np.stack([np.full((8, 8), np.exp(-x)), np.full((8, 8), 1 - np.exp(-x))]).astype("f") for x in loss]
    members = np.array([True, False, True, False])
    known, told = Membership(members, np.arange(4)), written(tmp_path, posteriors, labels)
    side = patch_resnet50.AnswerSide(told, known, np.arange(4), representation="loss")

    class Mean(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            odds = -x.mean((1, 2, 3)) * -np.log(patch_resnet50.FLOOR)
            return torch.stack([torch.zeros_like(odds), odds], 1)

    settings = method(("patch_resnet50", "loss"), patch=(4, 4), batch=3)
    found = patch_resnet50._validate(Mean(), side, settings, seed=0, fabric=fabric())
    expected = np.mean([np.log1p(np.exp(x if m else -x)) for x, m in zip(loss, members, strict=True)])
    assert found == pytest.approx((expected, 0.75), rel=1e-3)


def test_image_loss_is_minus_the_mean_loss_of_an_image(world: World) -> None:
    answers = world.victim[0]
    scores = world.attacker(("image_loss", "mean")).score(answers, 0)
    for scene, answer in enumerate(answers):
        known = answer.labels_HW != IGNORE
        p = np.take_along_axis(answer.posterior_KHW, np.where(known, answer.labels_HW, 0)[None].astype(int), 0)[0]
        # Statistics are of the posteriors as told, answers of their float16.
        assert scores.image_N[scene] == pytest.approx(np.log(p[known]).mean(), rel=2e-3)
    assert scores.patch_NP is None


# What the patch attack sees.


def answer_of(classes: int, seed: int = 0, size: tuple[int, int] = (9, 12)) -> Answer:
    rng = np.random.default_rng(seed)
    posterior = softmax(2 * rng.normal(size=(classes, *size))).astype(np.float16).astype(np.float32)
    return Answer(posterior, blocky(rng, size, classes, side=2))


@pytest.mark.parametrize("classes", [2, 11, 19, 66])
def test_label_channels_are_one_hot_and_empty_where_ignored(classes: int) -> None:
    answer = answer_of(classes)
    assert (answer.labels_HW == IGNORE).any()
    channels = represent(answer, "labels").numpy()
    assert (channels.shape, channels.dtype) == ((classes, 9, 12), np.float32)
    for k in range(classes):
        assert (channels[k] == (answer.labels_HW == k)).all()
    assert not channels[:, answer.labels_HW == IGNORE].any()


@pytest.mark.parametrize("classes", [2, 11, 19, 66])
def test_concat_is_the_posterior_then_the_labels(classes: int) -> None:
    answer = answer_of(classes)
    channels = represent(answer, "concat").numpy()
    assert channels.shape == (2 * classes, 9, 12)
    assert channels[:classes].sum(0) == pytest.approx(np.ones((9, 12)), abs=1e-6)
    assert channels[:classes] == pytest.approx(answer.posterior_KHW, abs=2e-3)
    assert (channels[classes:] == represent(answer, "labels").numpy()).all()
    assert (channels[:classes] == represent(answer, "posterior").numpy()).all()


@pytest.mark.parametrize("classes", [2, 11, 19, 66])
def test_the_loss_map_is_minus_log_p_between_zero_and_one(classes: int) -> None:
    answer = answer_of(classes)
    answer.posterior_KHW[:, 0, 0], answer.labels_HW[0, 0] = np.eye(classes)[1], 0  # p = 0
    answer.posterior_KHW[:, 0, 1], answer.labels_HW[0, 1] = np.eye(classes)[0], 0  # p = 1
    loss = represent(answer, "loss").numpy()
    assert (loss.shape, loss.dtype) == ((1, 9, 12), np.float32)
    for row in range(9):
        for column in range(12):
            label = answer.labels_HW[row, column]
            p = 1 if label == IGNORE else max(answer.posterior_KHW[label, row, column], 1e-6)
            assert loss[0, row, column] == pytest.approx(np.log(p) / np.log(1e-6), abs=1e-6)
    assert (loss[0, 0, 0], loss[0, 0, 1]) == pytest.approx((1, 0), abs=1e-6)


@pytest.mark.parametrize("representation", ["concat", "posterior", "loss", "labels"])
def test_a_representation_is_a_function_of_the_answer_alone(representation: str) -> None:
    answer, twin = answer_of(5), answer_of(5)
    first = represent(answer, representation)
    represent(answer_of(5, seed=1), representation)
    assert torch.equal(represent(answer, representation), first)
    assert torch.equal(represent(twin, representation), first)
    assert (answer.posterior_KHW == twin.posterior_KHW).all()  # and it leaves the answer alone
    assert (answer.labels_HW == twin.labels_HW).all()


def test_the_control_does_not_see_the_posterior() -> None:
    answer = answer_of(5)
    other = Answer(np.full_like(answer.posterior_KHW, 0.2), answer.labels_HW)
    assert torch.equal(represent(answer, "labels"), represent(other, "labels"))
    assert not torch.equal(represent(answer, "loss"), represent(other, "loss"))


def test_who_has_no_labels_sees_none() -> None:
    answer = answer_of(5)
    other = Answer(answer.posterior_KHW, np.full_like(answer.labels_HW, IGNORE))
    assert torch.equal(represent(answer, "posterior"), represent(other, "posterior"))
    assert not torch.equal(represent(answer, "concat"), represent(other, "concat"))


def test_an_argmax_answer_has_the_loss_of_right_and_wrong() -> None:
    answer = answer_of(4)
    hard = (np.arange(4)[:, None, None] == answer.posterior_KHW.argmax(0)).astype(np.float32)
    wrong = (answer.posterior_KHW.argmax(0) != answer.labels_HW) & (answer.labels_HW != IGNORE)
    assert represent(Answer(hard, answer.labels_HW), "loss")[0].numpy() == pytest.approx(wrong.astype(float), abs=1e-6)


# Patches.


def grid(height: int, width: int) -> torch.Tensor:
    """Every cell has its own number."""
    return torch.arange(height * width).view(1, height, width)


@pytest.mark.parametrize(("size", "patch"), [((9, 11), (7, 7)), ((7, 11), (7, 7)), ((9, 7), (7, 7)), ((7, 7), (7, 7))])
def test_random_patches_start_everywhere_the_last_row_and_column_included(
    size: tuple[int, int], patch: tuple[int, int]
) -> None:
    draw, cells = np.random.default_rng(0), grid(*size)
    starts = []
    for _ in range(600):
        found = random_patch(cells, patch, draw)
        top, left = divmod(int(found[0, 0, 0]), size[1])
        assert torch.equal(found, cells[:, top : top + patch[0], left : left + patch[1]])
        starts.append((top, left))
    possible = {(top, left) for top in range(size[0] - 6) for left in range(size[1] - 6)}
    assert set(starts) == possible
    counts = [starts.count(place) for place in possible]
    assert min(counts) > 0.4 * 600 / len(possible)


@pytest.mark.parametrize("representation", get_args(PatchResNet50.model_fields["representation"].annotation))
@pytest.mark.parametrize("kept", [[0, 1, 2, 3], [1, 3]])
def test_a_batch_holds_crops_of_whole_transformed_answers(tmp_path: Path, representation: str, kept: list[int]) -> None:
    """What is cut before it is transformed has every number that it had, transformed before it is cut."""
    rng, settings = np.random.default_rng(0), method(("patch_resnet50", representation), patch=(5, 7))
    assert isinstance(settings, PatchResNet50)
    told = [softmax(2 * rng.normal(size=(4, 11, 13))) for _ in range(3)]
    answers = written(tmp_path, told, [blocky(rng, (11, 13), 4, side=2) for _ in told]).only(kept)
    known = Membership(np.array([1, 0, 1], bool), np.arange(3))
    side = patch_resnet50.AnswerSide(answers, known, np.array([2, 0, 1]), representation=representation)
    inputs, targets = side.batch(np.array([1, 0, 2, 2]), settings, np.random.default_rng(4))
    draw = np.random.default_rng(4)
    expected = [random_patch(represent(answers[row], representation), (5, 7), draw) for row in (0, 2, 1, 1)]
    expected = [patch.flip(-1) if draw.random() < 0.5 else patch for patch in expected]
    assert torch.equal(inputs, torch.stack(expected))
    assert targets.tolist() == [1, 1, 0, 0]


@pytest.mark.parametrize("patch", [(1, 1), (4, 6), (7, 3), (5, 5)])
def test_sliding_patches_cover_every_cell_with_as_few_as_can_be(patch: tuple[int, int]) -> None:
    for height in range(patch[0], 24):
        for width in (patch[1], patch[1] + 1, 2 * patch[1], 23):
            patches = sliding(grid(height, width), patch)
            assert all(p.shape == (1, *patch) for p in patches)
            assert len(set(torch.cat([p.flatten() for p in patches]).tolist())) == height * width
            assert len(patches) == -(-height // patch[0]) * -(-width // patch[1])


class Mean(nn.Module):
    """Logits whose difference is a patch's mean."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, patches_NCHW: torch.Tensor) -> torch.Tensor:
        mean = (self.weight * patches_NCHW).mean((1, 2, 3))
        return torch.stack([torch.zeros_like(mean), mean], 1)


def by_mean(**settings: Any) -> PatchAttacker:
    wanted = PatchResNet50(**({"representation": "loss", "patch": (4, 4)} | settings))
    return PatchAttacker(Mean(), wanted, Thresholds(0.0, 0.0))


def test_an_image_s_score_is_the_mean_of_its_patches(tmp_path: Path) -> None:
    answers = planted(tmp_path, 3, 0, leak=False)[0]
    scores = by_mean(patches=5).score(answers, 0)
    assert scores.patch_NP is not None
    assert scores.patch_NP.shape == (6, 5)
    assert scores.image_N == pytest.approx(scores.patch_NP.mean(1))
    thesis = by_mean(patches=5, average="probability").score(answers, 0)
    assert thesis.image_N == pytest.approx((1 / (1 + np.exp(-scores.patch_NP))).mean(1))


@pytest.mark.parametrize("patches", [1, 3, 40])
def test_a_score_does_not_grow_with_the_number_of_patches(tmp_path: Path, patches: int) -> None:
    flat = np.full((2, 8, 8), 0.5, np.float32)
    answers = written(tmp_path, [flat], [np.zeros((8, 8), np.uint8)])
    score = by_mean(patches=patches).score(answers, 0).image_N[0]
    assert score == pytest.approx(np.log(0.5) / np.log(1e-6), rel=1e-6)


def test_windows_of_scenes_of_different_sizes_each_count_for_their_own(tmp_path: Path) -> None:
    sizes = [(4, 4), (8, 12), (9, 4)]
    pairs = [answer_of(3, seed, size) for seed, size in enumerate(sizes)]
    answers = written(tmp_path, [p.posterior_KHW for p in pairs], [p.labels_HW for p in pairs])
    first, again = (by_mean(fuse="windows").score(answers, seed) for seed in (0, 1))
    assert first.patch_NP is not None
    assert first.patch_NP.shape == (3, 6)
    assert (first.image_N == again.image_N).all()  # nothing is drawn
    for row, answer in enumerate(answers):
        own = [p.mean().item() for p in sliding(represent(answer, "loss"), (4, 4))]
        assert first.patch_NP[row, : len(own)] == pytest.approx(own, rel=1e-6)
        assert first.image_N[row] == pytest.approx(np.mean(own), rel=1e-6)
        assert first.patch_NP[row].mean() == pytest.approx(first.image_N[row], rel=1e-6)


@pytest.mark.parametrize("patch", [(15, 12), (12, 19)])
def test_a_patch_larger_than_the_answer_is_refused(world: World, patch: tuple[int, int]) -> None:
    for attempt in (
        lambda: by_mean(patch=patch).score(world.victim[0], 0),
        lambda: by_mean(patch=patch, fuse="windows").score(world.victim[0], 0),
        lambda: PatchResNet50(patch=patch, epochs=1).fit(*world.shadow, 0, fabric=fabric()),
    ):
        with pytest.raises(MiaSegError, match=r"\(14, 18\) cells is smaller than the attack's patch.*Lower 'patch'"):
            attempt()


def test_a_patch_may_be_the_whole_answer(world: World) -> None:
    whole, many = by_mean(patch=SIZE, patches=1), by_mean(patch=SIZE, patches=3)
    answers = world.victim[0]
    assert whole.score(answers, 0).image_N == pytest.approx(many.score(answers, 5).image_N)


# What is held out.


def known(members: int, nonmembers: int, block: int = 1) -> Membership:
    groups = [f"m{i // block}" for i in range(members)] + [f"n{i // block}" for i in range(nonmembers)]
    return Membership(np.arange(members + nonmembers) < members, np.array(groups))


@pytest.mark.parametrize(
    ("members", "nonmembers", "block"), [(15, 15, 1), (25, 25, 5), (2, 3, 1), (200, 100, 1), (24, 7, 3), (3, 40, 2)]
)
def test_a_fifth_of_the_groups_of_each_side_is_held_out_whole(members: int, nonmembers: int, block: int) -> None:
    given = known(members, nonmembers, block)
    for seed in range(5):
        held = validation(given, np.random.default_rng(seed))
        assert not {*given.groups_N[held]} & {*given.groups_N[~held]}
        for side in (given.members_N, ~given.members_N):
            groups = len({*given.groups_N[side]})
            assert len({*given.groups_N[side & held]}) == max(1, round(groups / 5))
            assert (side & ~held).any()


def test_what_is_held_out_depends_on_the_draw() -> None:
    draws = [tuple(validation(known(15, 15), np.random.default_rng(seed))) for seed in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]


@pytest.mark.parametrize(
    ("members", "nonmembers", "block", "what"),
    [(1, 9, 1, "1 of members"), (9, 1, 1, "1 of non-members"), (5, 20, 5, "1 of members"), (0, 9, 1, "0 of members")],
)
def test_too_few_units_are_refused(members: int, nonmembers: int, block: int, what: str) -> None:
    with pytest.raises(MiaSegError, match=f"{what}.*Give the shadow more scenes"):
        validation(known(members, nonmembers, block), np.random.default_rng(0))


# The attacker's network, as models/resnet.py of SSAW14/segmentation_membership_inference has it.


@pytest.mark.parametrize("channels", [1, 4, 38, 132])
def test_the_attacker_is_a_resnet50_with_conv4_and_conv5_at_stride_one(channels: int) -> None:
    with torch.device("meta"):
        network: Any = resnet50(channels)
    stem = [m for m in network.conv1 if isinstance(m, nn.Conv2d)]
    assert [(c.in_channels, c.out_channels, c.stride[0]) for c in stem] == [
        (channels, 64, 2),
        (64, 64, 1),
        (64, 128, 1),
    ]
    assert all(c.kernel_size == (3, 3) for c in stem)
    stages = [network.layer1, network.layer2, network.layer3, network.layer4]
    assert [len(stage) for stage in stages] == [3, 4, 6, 3]
    for stage, width, stride in zip(stages, (64, 128, 256, 512), (1, 2, 1, 1), strict=True):
        inner = [m for m in stage.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]
        assert [c.stride for c in inner] == [(stride, stride)] + [(1, 1)] * (len(stage) - 1)
        assert {(c.out_channels, c.dilation, c.padding) for c in inner} == {(width, (1, 1), (1, 1))}
        assert stage[0].downsample is not None
        assert stage[0].downsample[0].stride == (stride, stride)
    assert (network.fc.in_features, network.fc.out_features) == (2048, 2)


def test_a_patch_of_ninety_cells_becomes_a_map_of_twelve() -> None:
    with torch.device("meta"):
        network: Any = resnet50(38)
        x, sides = torch.rand(2, 38, 90, 90), []
        for part in (network.conv1, network.bn1, network.act1, network.maxpool, network.layer1, network.layer2):
            x = part(x)
            sides.append(x.shape[-1])
        assert (sides[0], sides[3:]) == (45, [23, 23, 12])
        conv4 = network.layer3(x)
        conv5 = network.layer4(conv4)
        assert conv4.shape == (2, 1024, 12, 12)
        assert conv5.shape == (2, 2048, 12, 12)
        assert network(torch.rand(2, 38, 90, 90)).shape == (2, 2)
        assert network.global_pool(conv5).shape == (2, 2048)
