"""Seg-GAN's objective: its discriminator layer by layer, its equations, and what has no say in them."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from helpers_scenes import Toy
from test_train import log, recipe, run, tiny
from torch import Tensor, nn

from mia_seg.data import IGNORE
from mia_seg.objectives import Batch
from mia_seg.objectives._targets import one_hot
from mia_seg.objectives.adversarial import Adversarial, AdversarialGoal, Discriminator
from mia_seg.segmenters import cross_entropy
from mia_seg.segmenters._convcrf import Affinity, mean_field

__all__ = ["tiny"]

CLASSES, SIZE = 4, (32, 48)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Weights of whole networks are not kept after the test."""
    yield tmp_path
    shutil.rmtree(tmp_path)


def goal(**settings: Any) -> AdversarialGoal:
    torch.manual_seed(0)
    return Adversarial(**{"width": 8, **settings}).build(Toy(CLASSES, dropout=None), CLASSES, ids=[])


def batch(epoch: int = 0) -> Batch:
    stream = torch.Generator().manual_seed(1)
    labels = torch.randint(CLASSES, (4, 4, 6), generator=stream)
    labels = F.interpolate(labels[:, None].float(), SIZE)[:, 0].long()
    image = torch.rand(4, 3, *SIZE, generator=stream) / 4 + labels[:, None] / 6
    labels[0, :, :20] = labels[1:, 3:9] = IGNORE
    return Batch(image, labels, torch.arange(4), epoch=epoch)


def learns(made: AdversarialGoal, given: Batch, steps: int) -> None:
    """Steps of the discriminator alone."""
    optimizer = torch.optim.Adam(made.helpers.parameters(), 1e-3)
    for _ in range(steps):
        optimizer.zero_grad()
        made("discriminate", given).loss.backward()
        optimizer.step()


# The discriminator.


def test_it_has_the_papers_five_layers_after_four_crfs() -> None:
    network = Discriminator(8, 64, 4)
    convolutions = network.layers[::2]
    assert [(c.in_channels, c.out_channels) for c in convolutions] == [
        (8, 64), (64, 128), (128, 256), (256, 512), (512, 1),
    ]  # fmt: skip
    assert {(c.kernel_size, c.stride, c.padding) for c in convolutions} == {((3, 3), (2, 2), (1, 1))}
    assert [type(m) for m in network.layers[1::2]] == [nn.LeakyReLU] * 4
    assert {m.negative_slope for m in network.layers[1::2]} == {0.2}
    assert sum(p.numel() for p in network.layers.parameters()) == 1_558_465
    assert [crf.weight.numel() for crf in network.crfs] == [8] * 4


@pytest.mark.parametrize(("size", "coarse"), [((96, 128), (3, 4)), ((45, 61), (2, 2)), ((321, 321), (11, 11))])
def test_its_map_has_the_size_of_the_image(size: tuple[int, int], coarse: tuple[int, int]) -> None:
    network, seen = Discriminator(3, 2, 0), []
    network.layers.register_forward_hook(lambda _, __, output: seen.append(output.shape[2:]))
    known = torch.ones(1, *size, dtype=torch.bool)
    assert network(torch.rand(1, 3, *size), None, known).shape == (1, *size)
    assert seen == [coarse]


def test_crfs_read_probabilities_in_a_row_and_a_one_hot_map_is_clamped() -> None:
    network, given = Discriminator(CLASSES, 2, 2), batch()
    known = torch.ones(4, *SIZE, dtype=torch.bool)
    real = one_hot(given.labels_NHW.clamp(max=CLASSES - 1), CLASSES)
    affinity, seen = Affinity(given.image_N3HW), []
    network.layers.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    network(real, affinity, known)
    expected = real.clamp(min=1e-6).log()
    for _ in range(2):
        expected = mean_field(expected, affinity)
    assert torch.allclose(seen[0], expected.softmax(1), atol=1e-6)
    assert not torch.allclose(seen[0], real, atol=0.1)


@pytest.mark.parametrize("crf", [0, 4])
def test_what_an_ignored_pixel_is_given_has_no_say(crf: int) -> None:
    made, given = goal(crf=crf), batch()
    known = given.labels_NHW != IGNORE
    first, second = (torch.rand(4, CLASSES, *SIZE).softmax(1) for _ in range(2))
    assert (~known).any(2).any(1).all()
    assert torch.equal(*(made._judge(torch.where(known[:, None], first, x), given) for x in (first, second)))
    made("segment", given)
    before = made("discriminate", given).loss
    given.kept["answer"] = torch.where(known[:, None], given.kept["answer"], second)
    assert torch.equal(made("discriminate", given).loss, before)


# The losses.


def test_the_losses_are_the_papers_as_means_over_labelled_pixels() -> None:
    made, given = goal(crf=1, weight=0.3), batch()
    segmented = made("segment", given)
    told = made("discriminate", given)
    known = given.labels_NHW != IGNORE
    with torch.no_grad():
        answer = segmented.logits_NKHW.softmax(1)
        fake, real = (made._judge(x, given).sigmoid()[known] for x in (answer, one_hot(given.labels_NHW, CLASSES)))
    term = -fake.log().mean()
    expected = cross_entropy(segmented.logits_NKHW, given.labels_NHW) + 0.3 * term
    assert segmented.loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert segmented.notes["adversarial"].item() == pytest.approx(term.item(), rel=1e-5)
    assert told.loss.item() == pytest.approx(-((1 - fake).log() + real.log()).mean().item(), rel=1e-5)
    notes = {name: value.item() for name, value in told.notes.items()}
    assert notes == pytest.approx({"d_of_answers": fake.mean().item(), "d_of_labels": real.mean().item()}, rel=1e-5)


def test_the_term_pulls_the_answer_towards_what_passes_for_a_label() -> None:
    made, given = goal(crf=0), batch()
    made("segment", given)
    learns(made, given, 30)
    logits = made.network(given.image_N3HW).detach().requires_grad_()

    def passed(x: Tensor) -> Tensor:
        return made._judge(x.softmax(1), given).sigmoid().mean()

    F.softplus(-made._judge(logits.softmax(1), given)).mean().backward()
    assert passed(logits - 1e3 * logits.grad) > passed(logits) + 0.01


@pytest.mark.parametrize("settings", [{"weight": 0.0}, {"weight": 0.5, "warm_up": 3}])
def test_without_weight_or_in_warm_up_training_is_the_plain_one_to_the_bit(
    settings: dict[str, Any], folder: Path, tiny: list[Toy]
) -> None:
    made = recipe()
    objective = {"name": "adversarial", "width": 8, "crf": 1, **settings}
    run(made, folder / "plain")
    run(made.model_copy(update={"objective": objective}), folder / "adversarial")
    plain, other = (network.state_dict() for network in tiny)
    assert all(torch.equal(tensor, other[name]) for name, tensor in plain.items())
    rows = log(folder / "adversarial")
    same = [{name: row[name] for name in ("epoch", "lr", "loss", "miou")} for row in rows]
    assert same == log(folder / "plain")
    assert rows[0]["discriminate_loss"] != rows[2]["discriminate_loss"]  # which learns meanwhile
    assert {"adversarial", "d_of_answers", "d_of_labels"} < set(rows[0])


def test_after_the_warm_up_the_term_counts(folder: Path) -> None:
    made = goal(weight=0.5, warm_up=2)
    losses = [made("segment", batch(epoch)) for epoch in (1, 2)]
    assert losses[1].loss.item() == pytest.approx((losses[0].loss + 0.5 * losses[0].notes["adversarial"]).item())


@pytest.mark.parametrize("crf", [0, 4])
def test_a_discriminator_learns_to_tell_a_fixed_segmenters_answers(crf: int) -> None:
    made, given = goal(crf=crf), batch()
    made("segment", given)
    learns(made, given, 50)
    known = given.labels_NHW != IGNORE
    with torch.no_grad():
        fake = made._judge(given.kept["answer"], given)[known] < 0
        real = made._judge(one_hot(given.labels_NHW, CLASSES), given)[known] > 0
    assert min(fake.float().mean(), real.float().mean()) > 0.9
