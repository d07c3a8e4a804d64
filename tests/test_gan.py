"""Training a generator: the terms, whom each of them teaches, and the same bits after a stop."""

import csv
import math
from copy import deepcopy
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Audit
from helpers_files import call, edit, wholes
from helpers_scenes import blocky, scenes_of, toy
from torch import Tensor

from mia_seg import gan, generators
from mia_seg.data import IGNORE, Scenes
from mia_seg.errors import MiaSegError
from mia_seg.evaluate import results
from mia_seg.gan import pair, rate, score, set_aside
from mia_seg.gan.objectives.bicycle import DIVERGENCE, LATENT, Bicycle, Drawn, verdict
from mia_seg.generators import Generator
from mia_seg.generators.dfgan import DFGAN
from mia_seg.plugins import load
from mia_seg.recipes import Recipe, TrainGenerator

CPU = torch.device("cpu")
SETTINGS = DFGAN(width=16, aspp=8, levels=1)
SIZE = (16, 24)


def bicycle(lr: float = 2e-4, channels: int = 6, decode: Any = None, **settings: Any) -> Bicycle:
    torch.manual_seed(0)
    return Bicycle(
        SETTINGS,
        TrainGenerator(lr=lr, **settings),
        3,
        generator=SETTINGS.build(3, channels, 4),
        device=CPU,
        decode=decode,
    )


def batch(count: int = 4, channels: int = 6, seed: int = 1) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    layout = gan.one_hot(torch.randint(3, (count, *SIZE), generator=draw), 3)
    return layout, torch.randn(count, channels, SIZE[0] // 4, SIZE[1] // 4, generator=draw)


def weights(made: Bicycle) -> dict[str, Tensor]:
    return {name: torch.cat([p.detach().clone().ravel() for p in n.parameters()]) for name, n in made.networks.items()}


def test_a_verdict_is_the_squared_distance_from_the_truth_summed_over_scales() -> None:
    scales = [torch.tensor([[[[0.0, 2.0]]]]), torch.tensor([[[[0.5]]]])]
    assert verdict(scales, 1).item() == pytest.approx(1 + 0.25)
    assert verdict(scales, 0).item() == pytest.approx(2 + 0.25)


def test_the_terms_by_hand() -> None:
    made, (layout, feature) = bicycle(), batch(2)
    mean = torch.tensor([[1.0] * 8, [0.0] * 8])
    log_variance = torch.tensor([[0.0] * 8, [math.log(2)] * 8])
    noise = torch.randn(2, 8)
    terms = made.terms(layout, feature, Drawn(mean, log_variance, noise, feature + 0.5, feature))
    # A sum over batch and numbers, no mean: 8 * 1/2 from the means, 8 * (2 - 1 - log 2) / 2 from the variances.
    assert terms["divergence"].item() == pytest.approx(4 + 4 * (1 - math.log(2)), rel=1e-5)
    assert terms["reconstruction"].item() == pytest.approx(0.5, rel=1e-5)
    assert terms["latent"].item() == pytest.approx((made.encoder(feature)[0] - noise).abs().mean().item())
    assert terms["gan"].item() == pytest.approx(verdict(made.of_encoded(layout, feature + 0.5), 1).item())
    assert terms["gan2"].item() == pytest.approx(verdict(made.of_random(layout, feature), 1).item())


def test_what_is_published_is_what_is_used() -> None:
    assert (TrainGenerator().reconstruction, LATENT, DIVERGENCE) == (10, 0.5, 0.01)
    made = bicycle()
    assert all(o.defaults["betas"] == (0.5, 0.999) for o in made.optimizers.values())
    assert (TrainGenerator().lr, SETTINGS.latent) == (2e-4, 8)


@pytest.mark.parametrize("weight", [10, 100])
def test_the_latent_term_teaches_the_generator_alone(weight: int) -> None:
    made, (layout, feature) = bicycle(reconstruction=weight), batch(2)
    copy = deepcopy(made)
    torch.manual_seed(5)
    made.update_generator(layout, feature, made.draw(layout, feature))
    torch.manual_seed(5)
    terms = copy.terms(layout, feature, copy.draw(layout, feature))
    joint = terms["gan"] + terms["gan2"] + weight * terms["reconstruction"] + 0.01 * terms["divergence"]
    for name in ("generator", "encoder"):
        own, other = list(made.networks[name].parameters()), list(copy.networks[name].parameters())
        expected = torch.autograd.grad(joint, other, retain_graph=True)
        latent = torch.autograd.grad(0.5 * terms["latent"], other, retain_graph=True, allow_unused=True)
        assert any(g is not None and g.abs().max() > 0 for g in latent), "both could learn from it"
        for parameter, gradient, extra in zip(own, expected, latent, strict=True):
            wanted = gradient + extra if name == "generator" and extra is not None else gradient
            assert torch.allclose(parameter.grad, wanted, rtol=1e-4, atol=1e-8)


def test_the_decoding_term_compares_what_drawn_and_real_features_decode_to() -> None:
    decode = torch.nn.Conv2d(6, 3, 1)
    made = bicycle(decoding=4, decode=decode)
    layout, feature = batch(2)
    drawn = made.draw(layout, feature)
    meant, read = decode(feature).softmax(1), decode(drawn.random_NCHW).log_softmax(1)
    terms = made.terms(layout, feature, drawn)
    assert terms["decoding"].item() == pytest.approx(-(meant * read).sum(1).mean().item(), rel=1e-5)
    before = [p.detach().clone() for p in decode.parameters()]
    made.update_generator(layout, feature, drawn)
    assert all(torch.equal(a, b) for a, b in zip(before, decode.parameters(), strict=True))
    assert all(p.grad is None for p in decode.parameters()), "the segmenter is frozen"


def test_the_decoding_term_makes_features_decode_as_meant() -> None:
    layout, feature = two_pairs()
    losses = {}
    for weight in (0.0, 20.0):
        torch.manual_seed(0)
        decode = torch.nn.Conv2d(6, 3, 1)
        made = bicycle(lr=2e-3, reconstruction=0, decoding=weight, decode=lambda x, read=decode: 3 * read(x))
        for _ in range(60):
            made.step(torch.cat([layout, layout]), torch.cat([feature, feature]))
        losses[weight] = made.terms(layout, feature, made.draw(layout, feature))["decoding"].item()
    assert losses[20.0] < losses[0.0] / 1.5


@pytest.mark.parametrize("name", ["dfgan", "bicyclegan"])
def test_the_linear_path_begins_as_the_ridge_regression_on_cells(name: str) -> None:
    network, held = toy(3), scenes(4)
    made = recipe().model_copy(update={"generator": {"name": name, "width": 16, "levels": 1, "cells": 3}})
    crops = gan.crops_of(made, held, 0)
    generator = gan._fresh(made, network, 3, crops=crops, seed=0).generator
    rows, targets = [], []
    for index in range(len(crops)):
        image, labels = crops[index]
        layout, feature = pair(network, image[None], labels[None])
        cells = generator.reader.cells(layout)[0].numpy()
        padded = np.pad(cells, ((0, 0), (1, 1), (1, 1)))
        for y in range(cells.shape[1]):
            for x in range(cells.shape[2]):
                rows.append([*padded[:, y : y + 3, x : x + 3].ravel(), 1.0])
                targets.append(generator.standardise(feature)[0, :, y, x].numpy())
    seen, wanted = np.array(rows, np.float64), np.array(targets, np.float64)
    weights = np.linalg.solve(seen.T @ seen + gan.RIDGE * np.eye(seen.shape[1]), seen.T @ wanted)
    assert generator.linear is not None
    assert np.allclose(generator.linear.weight.detach().numpy().reshape(8, -1), weights[:-1].T, atol=1e-4)
    assert np.allclose(generator.linear.bias.detach().numpy(), weights[-1], atol=1e-4)


def test_a_cell_is_a_share_for_one_reader_and_a_pixel_for_the_other() -> None:
    layout = gan.one_hot(torch.tensor([[[0, 1, 1, 1], [0, 1, 1, 1]] * 2]), 2)
    build = {name: load(generators, Generator, name)(width=16, levels=1) for name in ("dfgan", "bicyclegan")}
    cells = {name: settings.reader(2, 4).cells(layout)[0, :, 0, 0].tolist() for name, settings in build.items()}
    assert cells == {"dfgan": [0.25, 0.75], "bicyclegan": [1.0, 0.0]}


def test_each_update_moves_its_own_network_and_no_other() -> None:
    made, (layout, feature) = bicycle(), batch(2)
    states, drawn = [weights(made)], made.draw(layout, feature)
    made.update_generator(layout, feature, drawn)
    states.append(weights(made))
    for name in ("discriminator", "discriminator2"):
        made.update(name, (layout, drawn.random_NCHW.detach()), (layout, feature))
        states.append(weights(made))
    moved = [{n for n in a if not torch.equal(a[n], b[n])} for a, b in pairwise(states)]
    assert moved == [{"generator", "encoder"}, {"discriminator"}, {"discriminator2"}]


def test_a_step_updates_in_the_published_order_and_shows_each_discriminator_its_half() -> None:
    made, order, seen = bicycle(), list[str](), list[tuple[str, Tensor]]()
    for name, optimizer in made.optimizers.items():
        optimizer.register_step_pre_hook(lambda *_, name=name: order.append(name))
        if name.startswith("discriminator"):
            made.networks[name].register_forward_pre_hook(lambda _, x, name=name: seen.append((name, x[1])))
    layout, feature = batch(4)
    terms = made.step(layout, feature)
    assert order == ["generator", "encoder", "discriminator", "discriminator2"]
    real = {name: [x for n, x in seen if n == name][-1] for name in ("discriminator", "discriminator2")}
    assert torch.equal(real["discriminator"], feature[:2])
    assert torch.equal(real["discriminator2"], feature[2:])
    assert set(terms) == {
        "gan", "gan2", "reconstruction", "divergence", "latent", "discriminator", "discriminator2"
    }  # fmt: skip
    assert all(np.isfinite(list(terms.values())))


def two_pairs() -> tuple[Tensor, Tensor]:
    labels = torch.zeros(2, *SIZE, dtype=torch.int64)
    labels[0, :, 12:], labels[1, 8:] = 1, 2
    layout = gan.one_hot(labels, 3)
    weights = torch.tensor([2, -1, 1, -2, 1, 2.0]).view(6, 1, 1)
    return layout, torch.nn.functional.avg_pool2d(layout, 4).repeat(1, 2, 1, 1) * weights


def test_two_pairs_are_learnt() -> None:
    layout, feature = two_pairs()
    made = bicycle(lr=2e-3)
    pairs = torch.cat([layout, layout]), torch.cat([feature, feature])
    losses = [made.step(*pairs)["reconstruction"] for _ in range(80)]
    assert losses[-1] < losses[0] / 3
    with torch.no_grad():
        drawn = made.generator.standard(layout, torch.randn(2, 8))
    distance = [[(drawn[i] - feature[j]).abs().mean().item() for j in range(2)] for i in range(2)]
    assert distance[0][0] < distance[0][1] / 2
    assert distance[1][1] < distance[1][0] / 2


def test_the_rate_is_constant_and_then_falls_to_almost_nothing() -> None:
    settings = TrainGenerator(epochs=10, decay=0.5, lr=0.6)
    assert [round(rate(settings, epoch), 6) for epoch in range(10)] == [0.6] * 5 + [0.5, 0.4, 0.3, 0.2, 0.1]


def test_layouts_are_labels_with_predictions_where_there_are_none() -> None:
    network, image = toy(3), torch.rand(2, 3, *SIZE)
    labels = torch.from_numpy(np.stack([blocky(np.random.default_rng(i), SIZE, 3) for i in range(2)])).long()
    predicted = network(image).argmax(1)
    layout, feature = pair(network, image, labels)
    assert torch.equal(layout.sum(1), torch.ones(2, *SIZE))
    known = labels != IGNORE
    assert 0 < known.float().mean() < 1
    assert torch.equal(layout.argmax(1)[known], labels[known])
    assert torch.equal(layout.argmax(1)[~known], predicted[~known])
    assert torch.equal(feature, network.encode(image))
    assert torch.equal(pair(network, image, labels, layout="predictions")[0].argmax(1), predicted)


def test_the_score_of_real_features_is_the_segmenters_own() -> None:
    network, image = toy(3), torch.rand(1, 3, *SIZE)
    labels = network(image).argmax(1)
    layout, feature = pair(network, image, labels)
    half = labels.clone()
    half[0, :, 12:] = IGNORE
    for shown in (labels, half):
        assert score(network, None, [(layout, feature, shown)], seed=0)["miou"] == 1
    made = SETTINGS.build(3, 8, 2)
    generated = score(network, made, [(layout, feature, labels)], seed=0)
    assert generated["miou"] < 1
    assert generated == score(network, made, [(layout, feature, labels)], seed=0)


def test_whole_units_are_kept_aside() -> None:
    members = [f"{drive}{k}" for drive in "abcde" for k in range(4)]
    group = {i: i[0] for i in members}
    for share, drives in ((0.01, 1), (0.4, 2)):
        known, aside = set_aside(members, group, share, seed=0)
        assert sorted(known + aside) == members
        assert len(aside) == 4 * drives
        assert not {group[i] for i in known} & {group[i] for i in aside}
        assert set_aside(members, group, share, seed=0) == (known, aside)
    assert len({tuple(set_aside(members, group, 0.2, seed=seed)[1]) for seed in range(9)}) > 1


def recipe(**settings: Any) -> Recipe:
    name = "stochastic" if settings.get("objective") == "regression" else "dfgan"
    return Recipe(
        data={"name": "streets"},
        split={"rule": "random", "members": 6, "nonmembers": 1, "pool": 0},
        segmenter={"name": "pspnet"},
        train={"epochs": 1, "batch": 2, "lr": 0.05, "crop": SIZE},
        generator={"name": name, "width": 16, "aspp": 8, "levels": 1},
        train_generator={"epochs": 3, "batch": 2} | settings,
    )


def scenes(count: int, first: int = 0) -> Scenes:
    labels = [blocky(np.random.default_rng(first + i), SIZE, 3) for i in range(count)]
    return scenes_of(labels, 3, [f"scene-{first + i}" for i in range(count)])


def run(folder: Path, **settings: Any) -> bytes:
    folder.mkdir(exist_ok=True)
    gan.train(
        recipe(**settings),
        toy(3),
        scenes(5),
        aside=scenes(2, 5),
        seed=0,
        folder=folder,
        title="a test",
        model="the digest",
    )
    return (folder / gan.WEIGHTS).read_bytes()


@pytest.mark.parametrize("objective", ["bicycle", "regression"])
def test_a_resumed_training_ends_with_the_bits_of_an_unbroken_one(
    objective: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unbroken = run(tmp_path / "unbroken", objective=objective)
    epoch = gan._epoch

    def stopped(*things: Any, **named: Any) -> dict[str, Any]:
        if named["epoch"] == 2:
            raise KeyboardInterrupt
        return epoch(*things, **named)

    monkeypatch.setattr(gan, "SAVE_EVERY", -1.0)
    monkeypatch.setattr(gan, "_epoch", stopped)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "broken", objective=objective)
    assert not (tmp_path / "broken" / gan.WEIGHTS).exists()
    epochs: list[int] = []
    monkeypatch.setattr(
        gan, "_epoch", lambda *things, **named: (epochs.append(named["epoch"]), epoch(*things, **named))[1]
    )
    assert run(tmp_path / "broken", objective=objective) == unbroken
    assert epochs == [2]
    assert {path.name for path in (tmp_path / "broken").iterdir()} == {gan.WEIGHTS, gan.LOG}
    logs = [
        [row | {"seconds": ""} for row in csv.DictReader((tmp_path / name / gan.LOG).read_text().splitlines())]
        for name in ("unbroken", "broken")
    ]
    assert logs[0] == logs[1]
    assert [row["epoch"] for row in logs[1]] == ["1", "2", "3"]
    own = {"gan", "gan2", "divergence", "latent"} if objective == "bicycle" else set()
    assert {"lr", "reconstruction", "miou", "real_miou"} | own <= set(logs[1][0])


def test_features_are_standardised_by_those_of_the_training_scenes(tmp_path: Path) -> None:
    network, held = toy(3), scenes(5)
    run(tmp_path)
    made = gan.load(recipe(), network, 3, path=tmp_path / gan.WEIGHTS, model="the digest")
    images = torch.stack([torch.from_numpy(s.image_HWC.copy()).permute(2, 0, 1) / 255 for s in held])
    with torch.no_grad():
        # Whole scenes, some mirrored: what the mirror changes of a channel's mean is small.
        feature = network.encode(images)
    assert torch.allclose(made.mean_C, feature.mean((0, 2, 3)), atol=0.02)
    assert torch.allclose(made.deviation_C, feature.std((0, 2, 3)), rtol=0.1)
    assert not made.training


def test_a_generator_of_another_segmenter_or_cut_is_refused_by_name(tmp_path: Path) -> None:
    run(tmp_path)
    path = tmp_path / gan.WEIGHTS
    with pytest.raises(
        MiaSegError, match=r"model.safetensors is the generator of the segmenter the digest, and this o"
    ):
        gan.load(recipe(), toy(3), 3, path=path, model="another")
    other = recipe().model_copy(update={"generator": {"name": "bicyclegan", "width": 16}})
    with pytest.raises(MiaSegError, match=r"model.safetensors holds another architecture or cut than the recipe's"):
        gan.load(other, toy(3), 3, path=path, model="the digest")
    path.write_bytes(b"no weights")
    with pytest.raises(MiaSegError, match="no complete generator"):
        gan.load(recipe(), toy(3), 3, path=path, model="the digest")


def test_too_few_scenes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        MiaSegError, match=r"a test: 5 scenes do not fill a batch of 6. Lower \[train_generator\] batch"
    ):
        run(tmp_path, batch=6)


GENERATOR = '[generator]\nname = "dfgan"\nwidth = 16\n[train_generator]\nepochs = 1\nbatch = 2\n'


def test_the_line_trains_a_generator_for_each_side_that_lacks_one_and_says_so(audit: Audit, workdir: Path) -> None:
    for kind, name in (("victims", "tiny"), ("shadows", "tiny_a1")):
        (workdir / "runs" / kind).parent.mkdir(exist_ok=True)
        (workdir / "runs" / kind).symlink_to(audit.store / kind)
        edit(workdir / kind / f"{name}.toml", "[segmenter]\n", GENERATOR + "[segmenter]\n")
    made = call("train-generator", "tiny", "--device", "cpu")
    assert made.code == 0, made.err
    assert "trained generator of tiny, seed 0" in made.err
    other = call("train-generator", "tiny", "--generator", "bicyclegan:width=32", "--device", "cpu")
    assert "trained generator of tiny, seed 0" in other.err
    scores = results.read_generators(workdir / "reports")
    assert [score["generator"] for score in scores] == [
        {"name": "bicyclegan", "width": 32}, {"name": "dfgan", "width": 16}
    ]  # fmt: skip
    assert all((score["scenes"], score["held_out"], len(score["epochs"])) == (5, 1, 1) for score in scores)
    assert scores[0]["real"] == scores[1]["real"]
    asked = ("--defense", "synfeat", "--attack", "image_loss", "--device", "cpu")
    first, again = (call("run", "tiny", "tiny_a1", *asked) for _ in range(2))
    assert first.code == 0, first.err
    assert "reused generator of tiny, seed 0" in first.err
    assert "trained generator of tiny_a1, seed 0" in first.err
    assert "trained" not in again.err
    found = [results.read(path) for path in sorted((workdir / "reports" / "tiny").glob("*.json"))]
    assert [(r.defense, r.adaptive) for r in found] == [("synfeat:0.75", True), ("synfeat:0.75", False)]
    assert len([name for name in wholes(workdir / "runs" / "generators") if name.startswith("tiny")]) == 3


@pytest.mark.parametrize(
    ("lr", "says"),
    [(1e12, r"step [2-5] of 6, .*: the term '\w+' is (nan|inf)\."), (1e38, r"step [1-2] of 6, .*: the term '\w+' is")],
)
def test_a_training_that_diverges_is_refused_and_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lr: float, says: str
) -> None:
    monkeypatch.setattr(gan, "SAVE_EVERY", -1.0)
    with pytest.raises(MiaSegError, match=rf"a test: .* diverged at {says}.*Lower lr in \[train_generator\]\.$"):
        run(tmp_path, lr=lr)
    assert not (tmp_path / gan.WEIGHTS).exists()


def test_weights_that_are_not_finite_are_not_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step = Bicycle.step

    def broken(own: Bicycle, *given: Tensor) -> dict[str, float]:
        terms = step(own, *given)
        next(own.encoder.parameters()).data[0] = torch.inf
        return terms | dict.fromkeys(terms, 1.0)

    monkeypatch.setattr(gan, "SAVE_EVERY", -1.0)
    monkeypatch.setattr(Bicycle, "step", broken)
    with pytest.raises(MiaSegError, match=r"a test: .* diverged at step 2 of 6, .*: a weight is not finite"):
        run(tmp_path)
    assert not list(tmp_path.iterdir())
