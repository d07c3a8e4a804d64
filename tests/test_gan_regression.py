"""Stochastic regression: which code a target teaches, and that one layout then has several answers."""

from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor

from mia_seg import gan
from mia_seg.errors import MiaSegError
from mia_seg.gan.objectives.regression import Regression, assign, near
from mia_seg.generators.stochastic import Stochastic
from mia_seg.recipes import Recipe, TrainGenerator

CLASSES, CHANNELS, SIZE = 3, 6, (16, 24)


def regression(branches: int = 4, decode: Any = None, **how: Any) -> Regression:
    torch.manual_seed(0)
    settings = Stochastic(width=16, aspp=8, levels=1, branches=branches)
    generator = settings.build(CLASSES, CHANNELS, 4)
    how = {"objective": "regression", **how}
    return Regression(settings, TrainGenerator(**how), CLASSES, generator=generator, device=torch.device("cpu"),
                      decode=decode)  # fmt: skip


def batch(count: int = 2, seed: int = 1) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    layout = gan.one_hot(torch.randint(CLASSES, (count, *SIZE), generator=draw), CLASSES)
    return layout, torch.randn(count, CHANNELS, SIZE[0] // 4, SIZE[1] // 4, generator=draw)


def gradients(made: Regression, loss: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(loss, list(made.generator.parameters())))


@pytest.mark.parametrize(
    ("losses", "codes"),
    [
        ([[1, 2], [1, 5]], [0, 1]),  # the first takes its best, the other what is left
        ([[3, 2, 1]], [2]),
        ([[1, 9, 9, 9], [0, 3, 4, 9], [0, 2, 5, 9]], [0, 2, 1]),  # both ask for 1, and the nearer gets it
        ([[1, 9, 9, 9], [0, 9, 2, 9], [0, 9, 1, 3], [0, 9, 3, 4]], [0, 1, 2, 3]),  # 2, then 3, then what is left
    ],
)
def test_a_target_is_given_the_code_that_comes_nearest_of_what_is_left(
    losses: list[list[float]], codes: list[int]
) -> None:
    assert assign(torch.tensor(losses, dtype=torch.float32)) == codes


def test_layouts_are_near_whose_classes_cover_the_same_cells() -> None:
    labels = torch.zeros(4, 10, 10, dtype=torch.long)
    labels[1, :2, :2] = 1  # one of 25 cells
    labels[2, :, :4] = 1  # ten of them
    labels[3, 1::2] = 1  # half of each
    layout = gan.one_hot(labels, 2)
    assert near(layout, 0.0, most=4) == [[0], [1], [2], [3]]
    assert near(layout, 0.05, most=4) == [[0, 1], [1, 0], [2], [3]]
    assert near(layout, 0.51, most=4) == [[0, 1, 2, 3], [1, 0, 2, 3], [2, 1, 0, 3], [3, 0, 1, 2]]
    assert near(layout, 0.51, most=2) == [[0, 1], [1, 0], [2, 1], [3, 0]]


def test_only_the_best_code_learns() -> None:
    made, (layout, feature) = regression(decoding=3, decode=torch.nn.Conv2d(CHANNELS, CLASSES, 1)), batch(1)
    copy = deepcopy(made)
    losses = [
        copy.weighted(copy.terms(copy.generator.standard(layout, code[None]), feature)) for code in copy.codes
    ]  # fmt: skip
    best = int(torch.stack(losses).argmin())
    wanted = gradients(copy, losses[best].sum())
    terms = made.step(layout, feature)
    for parameter, gradient in zip(made.generator.parameters(), wanted, strict=True):
        assert torch.allclose(parameter.grad, gradient, rtol=1e-4, atol=1e-7)
    off = (copy.codes[best] < 0).nonzero()[:, 0]
    assert 0 < len(off) < made.generator.latent
    assert not made.generator.unet.up[0][0].weight.grad[:, off].any(), "what the code switches off learns nothing"
    assert 10 * terms["reconstruction"] + 3 * terms["decoding"] == pytest.approx(losses[best].item(), rel=1e-5)
    assert all(p.grad is None for p in made.decode.parameters()), "the segmenter is frozen"  # type: ignore[union-attr]


def test_one_code_without_neighbours_is_plain_regression() -> None:
    made, (layout, feature) = regression(branches=1, reconstruction=1), batch(4)
    copy = deepcopy(made)
    drawn = copy.generator.standard(layout, copy.codes.expand(4, -1))
    wanted = gradients(copy, torch.nn.functional.l1_loss(drawn, feature))
    made.step(layout, feature)
    for parameter, gradient in zip(made.generator.parameters(), wanted, strict=True):
        assert torch.allclose(parameter.grad, gradient, rtol=1e-4, atol=1e-7)


def test_neighbours_are_targets_of_other_codes() -> None:
    made, (layout, feature) = regression(neighbours=0.1), batch(3)
    layout[2] = layout[1]
    scenes, targets, codes = made.assigned(layout, feature)
    assert (scenes, targets) == ([0, 1, 1, 2, 2], [0, 1, 2, 2, 1])
    assert codes[1] != codes[2]
    assert codes[3] != codes[4]
    assert regression().assigned(layout, feature)[:2] == ([0, 1, 2], [0, 1, 2])


def test_each_of_two_answers_to_one_layout_is_drawn_by_some_code() -> None:
    layout, feature = batch(4)
    layout[1], layout[3] = layout[0], layout[2]
    feature = feature.mean((2, 3), keepdim=True).sign().expand(feature.shape).clone()
    feature[1], feature[3] = -feature[0], -feature[2]
    made = regression(lr=5e-3)
    for _ in range(30):
        made.step(layout, feature)
    with torch.no_grad():
        drawn = torch.stack([made.generator.standard(layout, code.expand(4, -1)) for code in made.codes])
    nearest = (drawn - feature).abs().mean((2, 3, 4)).min(0).values
    assert nearest.max() < 0.5, "one answer alone is at least 1 from one of the two"


def recipe(generator: dict[str, Any], **how: Any) -> Recipe:
    return Recipe(
        data={"name": "streets"},
        split={"rule": "random", "members": 6, "nonmembers": 1, "pool": 0},
        segmenter={"name": "pspnet"},
        train={"epochs": 1, "batch": 2, "lr": 0.05, "crop": SIZE},
        generator=generator,
        train_generator=how,
    )


@pytest.mark.parametrize(
    ("generator", "how", "says"),
    [
        ({"name": "dfgan"}, {"objective": "regression"}, "'regression' does not train generator 'dfgan'. Set"),
        ({"name": "stochastic"}, {}, "'bicycle' does not train generator 'stochastic'. Set objective = 'reg"),
        (
            {"name": "stochastic", "branches": 1}, {"objective": "regression", "neighbours": 0.2},
            "neighbours = 0.2 gives one layout several targets, and [generator] branches = 1 has one code for them.",
        ),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_refused(generator: dict[str, Any], how: dict[str, Any], says: str) -> None:
    with pytest.raises(MiaSegError) as refusal:
        gan.check(recipe(generator, **how))
    assert says in str(refusal.value)
