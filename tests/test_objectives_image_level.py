"""Image-level labels and the rebuilt photograph: answers that are known, and which stage may touch what."""

import math
import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import torch
from helpers_scenes import Toy
from safetensors.torch import load_file
from test_objectives import CLASSES, IDS, batch, same
from test_train import log, recipe, run, tiny
from torch import Tensor, nn

from mia_seg import objectives, train
from mia_seg.data import IGNORE
from mia_seg.errors import MiaSegError
from mia_seg.objectives import Goal, Objective
from mia_seg.objectives._rebuild import rebuilder, rebuilding_error
from mia_seg.objectives.reconstruction import Reconstruction
from mia_seg.plugins import build
from mia_seg.segmenters import Drawn
from mia_seg.segmenters._tags import present, tag_loss
from mia_seg.segmenters.image_level import ImageLevel, ImageLevelNetwork, fuse
from mia_seg.segmenters.pspnet import PSPNet
from mia_seg.train._optimizers import modules_of, optimizers_of, train_alone

__all__ = ["tiny"]

MOST = 20
ONLY_ONE = 1.0  # a threshold that no probability reaches: the likeliest class alone stays


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    shutil.rmtree(tmp_path)


def column(*values: float) -> Tensor:
    """One pixel's numbers as a map [1, K, 1, 1]."""
    return torch.tensor(values, dtype=torch.float64).view(1, -1, 1, 1)


def kept(*values: int) -> Tensor:
    return torch.tensor([values], dtype=torch.bool)


@cache
def network(threshold: float) -> ImageLevelNetwork:
    torch.manual_seed(0)
    return ImageLevel(backbone="resnet18", threshold=threshold).build(CLASSES).eval()


# P' = P * L.


@pytest.mark.parametrize(
    ("labels", "expected"),
    [((1, 0, 1), (5 / 7, 0, 2 / 7)), ((1, 1, 1), (0.5, 0.3, 0.2)), ((0, 1, 0), (0, 1, 0)), ((0, 1, 1), (0, 0.6, 0.4))],
)
def test_fusion_is_the_product_made_to_sum_to_one(labels: tuple[int, ...], expected: tuple[float, ...]) -> None:
    fused = fuse(column(0.5, 0.3, 0.2).log(), kept(*labels)).softmax(1).flatten()
    assert fused.tolist() == pytest.approx(list(expected), abs=1e-15)
    assert all(float(p) == 0 for p, label in zip(fused, labels, strict=True) if not label)


def test_all_labels_change_no_bit() -> None:
    logits = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    assert torch.equal(fuse(logits, torch.ones(2, 3, dtype=torch.bool)), logits)


@pytest.mark.parametrize("n", [1, 2, 5, 20])
def test_exact_labels_take_the_logarithm_of_n_over_n_from_the_entropy(n: int) -> None:
    """Section 3.1 of the paper: N classes alike, n of them in the image."""
    fused = fuse(torch.zeros(1, MOST, 1, 1, dtype=torch.float64), kept(*(int(k < n) for k in range(MOST)))).softmax(1)
    entropy = -torch.special.xlogy(fused, fused).sum()
    assert math.log(MOST) - float(entropy) == pytest.approx(math.log(MOST / n), abs=1e-12)


def test_a_removed_class_has_no_gradient() -> None:
    logits = column(1, 2, 3).requires_grad_()
    fuse(logits, kept(1, 0, 1)).log_softmax(1)[0, 0].sum().backward()
    assert logits.grad is not None
    assert logits.grad[0, 1] == 0
    assert (logits.grad[0, [0, 2]] != 0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_removed_class_has_probability_zero_and_a_finite_logit(dtype: torch.dtype) -> None:
    fused = fuse(column(-80, 90, 3).to(dtype), kept(1, 0, 1))
    assert fused.isfinite().all()
    assert float(fused.float().softmax(1)[0, 1]) == 0


# L.


def test_labels_are_those_above_the_threshold_and_the_likeliest() -> None:
    probabilities = torch.tensor([[0.3, 0.2, 0.26], [0.1, 0.2, 0.15], [0.9, 0.9, 0.9]])
    assert network(0.25).kept(probabilities.logit())[:, :3].tolist() == [[1, 0, 1], [0, 1, 0], [1, 1, 1]]


def test_a_threshold_of_zero_is_pspnet() -> None:
    plain = PSPNet(backbone="resnet18").build(CLASSES).eval()
    plain.load_state_dict({k: v for k, v in network(0.0).state_dict().items() if not k.startswith("tags.")})
    image = batch().image_N3HW
    with torch.no_grad():
        assert torch.equal(network(0.0)(image), plain(image))


def test_the_answer_has_the_found_classes_alone() -> None:
    with torch.no_grad():
        posterior = network(ONLY_ONE)(batch().image_N3HW).softmax(1)
    assert set(posterior.unique().tolist()) == {0.0, 1.0}
    assert all(len(scene.argmax(0).unique()) == 1 for scene in posterior)


def test_a_class_that_is_there_can_be_learnt_where_the_head_misses_it() -> None:
    given, made = batch(), network(ONLY_ONE)
    loss, logits = made.loss(given.image_N3HW, given.labels_NHW)
    assert loss < 10  # the loss of a removed class is 10000
    loss.backward()
    assert made.classify.bias.grad is not None
    assert (made.classify.bias.grad != 0).all()
    made.zero_grad()
    shown = present(given.labels_NHW, CLASSES)
    found = logits.softmax(1).amax((2, 3)) > 0
    assert (found & shown).equal(shown)
    assert (found.sum(1) <= shown.sum(1) + 1).all()


def test_the_image_level_head_teaches_itself_alone() -> None:
    conv5 = torch.rand(2, 512, 3, 4, requires_grad=True)
    network(0.25)._tagged(conv5).sum().backward()
    assert conv5.grad is None
    assert network(0.25).tags.weight.grad is not None
    network(0.25).zero_grad()


def test_another_loss_is_refused_with_what_to_do() -> None:
    smoothed = build(objectives, Objective, "label_smoothing", settings={}, where="here")
    with pytest.raises(MiaSegError, match=r"image_level learns .* Use 'supervised' or one that adds to it"):
        smoothed.build(network(0.25), CLASSES, ids=IDS)("segment", batch())


def test_where_the_head_trains_alone_the_image_level_head_does_too() -> None:
    trained = {id(p) for p in network(0.25).head_parameters()}
    names = [name for name, p in network(0.25).named_parameters() if id(p) in trained]
    assert names == ["classify.weight", "classify.bias", "tags.weight", "tags.bias"]


def test_synthetic_features_keep_the_classes_of_their_layouts() -> None:
    given, made = batch(2), network(ONLY_ONE)
    with torch.no_grad():
        feature = made.encode(given.image_N3HW)
        layout = torch.where(given.labels_NHW == IGNORE, 0, given.labels_NHW)
        loss, logits = made.loss(given.image_N3HW, given.labels_NHW, Drawn(feature, layout, 0.0))
    assert loss < 10
    assert len(logits) == 2


def test_present_is_what_a_pixel_shows_and_ignored_pixels_show_nothing() -> None:
    labels = torch.tensor([[[0, IGNORE], [2, 2]], [[IGNORE, IGNORE], [IGNORE, IGNORE]]])
    assert present(labels, 3).tolist() == [[True, False, True], [False, False, False]]


def test_the_loss_of_tags_is_the_mean_over_scenes_that_say_something() -> None:
    logits, shown = torch.tensor([[0.0, 0.0], [9.0, -9.0]]), torch.tensor([[True, False], [False, False]])
    assert float(tag_loss(logits, shown)) == pytest.approx(math.log(2))
    assert float(tag_loss(logits, torch.zeros_like(shown))) == 0


# The photograph.


def test_the_generator_is_the_papers() -> None:
    layers = [layer for layer in rebuilder(21) if isinstance(layer, nn.Conv2d)]
    assert [(c.in_channels, *c.kernel_size, c.out_channels) for c in layers] == [
        (21, 3, 3, 18),
        (18, 3, 3, 9),
        (9, 3, 3, 3),
    ]
    assert [type(layer) for layer in rebuilder(21)] == [nn.Conv2d, nn.ReLU, nn.Conv2d, nn.ReLU, nn.Conv2d]
    assert rebuilder(21)(torch.rand(1, 21, 7, 9)).shape == (1, 3, 7, 9)


def test_the_error_is_a_mean_of_squares() -> None:
    class Halves(nn.Module):
        def forward(self, posterior: Tensor) -> Tensor:
            return posterior[:, :3]

    logits = column(0, 0, -1000).float().expand(1, 3, 4, 5)  # the posterior is 1/2, 1/2, 0
    assert float(rebuilding_error(Halves(), logits, torch.ones(1, 3, 4, 5))) == pytest.approx((0.25 + 0.25 + 1) / 3)


def goal(**settings: object) -> Goal:
    torch.manual_seed(0)
    made = build(objectives, Objective, "reconstruction", settings=settings, where="here")
    return made.build(Toy(CLASSES), CLASSES, ids=IDS).train()


def test_each_stage_leaves_every_bit_of_what_it_does_not_train() -> None:
    made, given = goal(), batch()
    optimizers, modules = optimizers_of(made, recipe().train), modules_of(made)
    assert [stage.name for stage in made.stages] == ["segment", "generator", "joint"]
    changed = []
    for stage in made.stages:
        before = {name: {k: v.clone() for k, v in m.state_dict().items()} for name, m in modules.items()}
        train_alone(stage, modules)
        made.zero_grad()
        made(stage.name, given).loss.backward()
        for name in stage.trains:
            optimizers[name].step()
        changed.append({name for name, m in modules.items() if not same(before[name], m.state_dict())})
    assert changed == [{"network"}, {"generator"}, {"network", "generator"}]  # batch norm's buffers included


def test_joint_alone_is_one_stage_of_both() -> None:
    assert goal(stages="joint").stages == (("joint", ("network", "generator")),)


def test_without_weight_the_segmenter_is_trained_as_ever_to_the_bit(folder: Path, tiny: list[Toy]) -> None:
    plain = recipe(epochs=1)
    section = {"name": "reconstruction", "weight": 0.0, "stages": "joint"}
    run(plain, folder / "plain")
    run(plain.model_copy(update={"objective": section}), folder / "weightless")
    run(plain.model_copy(update={"objective": section | {"weight": 1.0}}), folder / "weighted")
    weights = {name: load_file(folder / name / train.WEIGHTS) for name in ("plain", "weightless", "weighted")}
    assert same(weights["plain"], weights["weightless"])
    assert not same(weights["plain"], weights["weighted"])
    assert 0 < float(log(folder / "weighted")[0]["reconstruction"]) < 1


def test_the_paper_settings_are_the_default() -> None:
    assert Reconstruction().model_dump() == {"weight": 1.0, "stages": "three", "lr": 1e-3}
