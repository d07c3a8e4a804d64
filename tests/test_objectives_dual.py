"""Dual learning: which labels are read, what is inferred in place of the others, and that nothing flows back."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers_scenes import Toy
from safetensors.torch import load_file
from test_objectives import CLASSES, IDS, batch, same
from test_train import log, recipe, run, tiny
from torch import Tensor, nn

from mia_seg import train
from mia_seg.data import IGNORE, Scene
from mia_seg.data.streets import Streets
from mia_seg.objectives import Batch
from mia_seg.objectives.dual import Dual, DualGoal, TagsOfShares, constrained, descended, hardened, is_weak
from mia_seg.segmenters._tags import present

__all__ = ["tiny"]

DUAL = {"name": "dual", "warm_up": 1, "sure": 0.0}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    shutil.rmtree(tmp_path)


def goal(**settings: object) -> DualGoal:
    torch.manual_seed(0)
    return Dual.model_validate(settings).build(Toy(CLASSES), CLASSES, ids=IDS).train()


def weak(made: DualGoal, given: Batch) -> Tensor:
    return made.weak_S[given.scene_N]


def gradient(made: DualGoal, given: Batch) -> list[Tensor]:
    made.zero_grad()
    made("segment", given).loss.backward()
    return [torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in made.parameters()]


def equal(one: list[Tensor], other: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def shuffled(labels: Tensor) -> Tensor:
    """The same labels at other pixels."""
    order = torch.randperm(labels[0].numel(), generator=torch.Generator().manual_seed(5))
    return labels.flatten(1)[:, order].view_as(labels)


# Which scenes are weak.


def test_weak_scenes_are_a_share_that_grows_by_scenes() -> None:
    ids = [f"street_{k:05d}" for k in range(4000)]
    found = {share: {i for i in ids if is_weak(i, share)} for share in (0.0, 0.2, 0.5, 1.0)}
    assert [len(found[share]) / len(ids) for share in found] == pytest.approx([0, 0.2, 0.5, 1], abs=0.025)
    assert found[0.2] < found[0.5]
    assert found[1.0] == set(ids)


def test_a_scene_is_weak_whatever_trains_on_it() -> None:
    first, second = goal(), Dual().build(Toy(CLASSES), CLASSES, ids=IDS[::-1])
    assert first.weak_S.tolist() == second.weak_S.flip(0).tolist() == [is_weak(i, 0.5) for i in IDS]
    assert {True, False} == set(weak(first, batch()).tolist())  # what the other tests rest on


# What training reads.


def test_labels_of_weak_scenes_are_never_read_beyond_their_tags(
    folder: Path, tiny: list[Toy], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = recipe(epochs=2, flip=False).model_copy(update={"objective": DUAL})
    run(made, folder / "true")
    scene = Streets.scene

    def poisoned(self: Streets, root: Path | None, scene_id: str) -> Scene:
        found = scene(self, root, scene_id)
        labels = np.random.default_rng(0).permutation(found.labels_HW.ravel()).reshape(found.labels_HW.shape)
        return replace(found, labels_HW=labels) if is_weak(scene_id, spoilt["share"]) else found

    monkeypatch.setattr(Streets, "scene", poisoned)
    spoilt = {"share": 0.5}
    run(made, folder / "poisoned")
    assert same(*(load_file(folder / name / train.WEIGHTS) for name in ("true", "poisoned")))
    spoilt["share"] = 1.0
    run(made, folder / "all poisoned")
    assert not same(*(load_file(folder / name / train.WEIGHTS) for name in ("true", "all poisoned")))
    rows = log(folder / "true")
    assert float(rows[0]["inferred"]) == 0, "the warm-up"
    assert float(rows[1]["inferred"]) > 0


def test_tags_of_weak_scenes_are_read() -> None:
    made, given = goal(), batch()
    before = gradient(made, given)
    given.labels_NHW[weak(made, given)] = 0
    assert not equal(before, gradient(made, given))


@pytest.mark.parametrize("share", [0.0, 1.0])
@pytest.mark.parametrize("epoch", [0, 9])
def test_a_batch_may_be_all_weak_or_all_full(share: float, epoch: int) -> None:
    made, given = goal(weak=share, sure=0.0), batch()
    given.epoch = epoch
    judged = made("segment", given)
    assert torch.isfinite(judged.loss)
    assert (judged.notes["inferred"] > 0) == (share == 1 and epoch == 9)
    assert any(g.any() for g in gradient(made, given))


def test_without_weak_scenes_and_weights_it_is_the_segmenters_own_loss() -> None:
    made, given = goal(weak=0.0, reconstruction=0.0, tags=0.0), batch()
    own = Toy(CLASSES)
    own.load_state_dict(made.network.state_dict())
    torch.manual_seed(3)
    expected = own.loss(given.image_N3HW, given.labels_NHW)[0]
    torch.manual_seed(3)
    assert made("segment", given).loss == expected


# What is inferred.


def test_without_constraint_and_steps_the_start_is_the_plain_posterior() -> None:
    logits = torch.randn(2, CLASSES, 4, 6, generator=torch.Generator().manual_seed(0))
    found = constrained(logits, torch.ones(2, CLASSES, dtype=torch.bool))
    assert torch.allclose(found.softmax(1), logits.softmax(1), atol=1e-6)
    made, given = goal(inner=0, sure=0.0), batch()
    everything = torch.ones(4, CLASSES, dtype=torch.bool)
    with torch.no_grad():
        expected = made.network.eval()(given.image_N3HW).argmax(1)
    assert torch.equal(made.inferred(given.image_N3HW, everything), expected)


@pytest.mark.parametrize("inner", [0, 3])
def test_with_one_tag_every_pixel_is_that_class(inner: int) -> None:
    made, given = goal(inner=inner), batch()
    for k in range(CLASSES):
        found = made.inferred(given.image_N3HW, torch.eye(CLASSES, dtype=torch.bool)[[k] * 4])
        assert (found == k).all()


def test_each_step_lowers_the_energy() -> None:
    made, given = goal(reconstruction=1.0), batch()
    start = torch.randn(4, CLASSES, 32, 48, generator=torch.Generator().manual_seed(0))

    def energy(logits: Tensor) -> Tensor:
        return made.energy(logits, start, given.image_N3HW)

    seen = [float(energy(descended(start, energy, steps)).detach()) for steps in range(4)]
    assert seen == sorted(seen, reverse=True)
    assert seen[3] < seen[0]


def test_the_energy_at_the_start_is_the_photographs_alone() -> None:
    made, given = goal(reconstruction=2.0), batch()
    start = torch.zeros(4, CLASSES, 32, 48)
    rebuilt = made.helpers["generator"](start.softmax(1))
    expected = 2 * (rebuilt - given.image_N3HW).square().mean(1).sum()
    assert made.energy(start, start, given.image_N3HW).item() == pytest.approx(expected.item(), rel=1e-5)
    moved = torch.tensor([2.0, 0, 0, 0]).view(1, -1, 1, 1).expand_as(start)
    made.wanted = Dual(reconstruction=0.0)
    p = moved[0, :, 0, 0].softmax(0)
    divergence = 4 * 32 * 48 * (p * (p / 0.25).log()).sum()
    assert made.energy(moved, start, given.image_N3HW).item() == pytest.approx(divergence.item(), rel=1e-5)


def test_only_sure_pixels_are_labelled() -> None:
    logits = torch.tensor([[0.71, 0.29], [0.69, 0.31], [0.2, 0.8]]).log().T[None, :, None]
    assert hardened(logits, 0.7).tolist() == [[[0, IGNORE, 1]]]


def test_no_gradient_flows_through_what_is_inferred(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gradient is that of the same labels given from outside; batch norm's statistics and the mode stay."""
    made, given = goal(sure=0.0), batch()
    made.network.backbone[1].eval()
    modes = [module.training for module in made.network.modules()]
    before = {key: value.clone() for key, value in made.network.state_dict().items()}
    labels = made.inferred(given.image_N3HW[weak(made, given)], present(given.labels_NHW, CLASSES)[weak(made, given)])
    assert (labels != IGNORE).any()
    assert not labels.requires_grad
    assert same(before, made.network.state_dict())
    assert [module.training for module in made.network.modules()] == modes
    torch.manual_seed(3)
    own = gradient(made, given)
    made.network.load_state_dict(before)
    monkeypatch.setattr(made, "inferred", lambda image, tags: labels)
    torch.manual_seed(3)
    assert equal(own, gradient(made, given))


def test_an_inference_in_half_precision_leaves_every_weight_its_gradient() -> None:
    made, given = goal(sure=0.0), batch()
    with torch.autocast("cpu", torch.bfloat16):
        made("segment", given).loss.backward()
    assert all(p.grad is not None and p.grad.any() for p in made.network.parameters())


def test_tags_are_read_from_shares_of_the_answer() -> None:
    logits = torch.full((1, 3, 10, 10), -40.0)
    logits[0, 0] = 0
    logits[0, :, 0, 0] = torch.tensor([-40.0, 0.0, -40.0])  # 99 pixels of the first class, one of the second
    found = TagsOfShares(3)(logits)[0]
    assert found.detach().tolist() == pytest.approx([np.log(99), 0, -30 + np.log(100)], abs=1e-4)
    head: nn.Module = goal().helpers["tags"]
    assert sum(p.numel() for p in head.parameters()) == 2 * CLASSES


def test_an_audit_tells_weak_scenes_from_others_by_their_ids() -> None:
    ids = [f"scene {k}" for k in range(200)]
    told = Dual(weak=0.5).kinds(ids)
    weak, full = told.values()
    assert [a != b for a, b in zip(weak, full, strict=True)] == [True] * 200
    assert 70 < sum(weak) < 130
    assert list(weak) == [is_weak(i, 0.5) for i in ids]
    assert next(iter(Dual(weak=0.5).kinds(ids[::-1]).values())) == list(weak)[::-1]
