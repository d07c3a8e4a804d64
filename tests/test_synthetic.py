"""Synthetic features in a segmenter's training: what is drawn, whom it teaches, and the same bits after a stop."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Audit
from helpers_files import assert_refused, call, edit, victim_text, write
from helpers_scenes import blocky, paired, scenes_of, toy
from lightning_fabric import Fabric
from torch import Tensor

from mia_seg import gan, train
from mia_seg.evaluate import results
from mia_seg.gan.synthetic import Masks, Source, filled
from mia_seg.recipes import Synthetic, VictimRecipe
from mia_seg.segmenters import Drawn, cross_entropy

SIZE = (16, 24)
KEY = (0, 0, "a test")


def recipe(epochs: int = 2) -> VictimRecipe:
    return VictimRecipe(
        data={"name": "streets"},
        split={"rule": "random", "members": 6, "nonmembers": 1, "pool": 0},
        segmenter={"name": "pspnet"},
        train={"epochs": epochs, "batch": 2, "lr": 0.05, "crop": SIZE},
        synthetic={"of": "another"},
    )


def source(more: bool = False, pseudo: bool = False, **settings: Any) -> Source:
    held = [blocky(np.random.default_rng(i), SIZE, 3) for i in range(6)]
    crops = gan.crops_of(recipe(), scenes_of(held[:4], 3), 0)
    others = gan.crops_of(recipe(), scenes_of([np.full(SIZE, 2, np.uint8)] * 2, 3), 0) if more else None
    return Source(Synthetic(of="another", **settings), paired(toy(3), 3), Masks(crops, others, pseudo))


def test_a_batch_is_seven_real_to_three_drawn() -> None:
    assert [len(source().draw(n, KEY, None).feature_MCHW) for n in (7, 14, 2)] == [3, 6, 1]
    assert len(source(share=0.5).draw(4, KEY, None).feature_MCHW) == 4


def test_a_draw_depends_on_its_key_alone() -> None:
    made = source()
    first, again, other = (made.draw(7, key, None) for key in (KEY, KEY, (0, 0, "another")))
    assert torch.equal(first.feature_MCHW, again.feature_MCHW)
    assert torch.equal(first.layout_MHW, again.layout_MHW)
    assert not torch.equal(first.feature_MCHW, other.feature_MCHW)


def test_features_are_drawn_for_the_layouts_that_they_come_with() -> None:
    made = source()
    drawn = made.draw(7, KEY, None)
    assert drawn.layout_MHW.shape == (3, *SIZE)
    assert drawn.layout_MHW.max() < 3, "no pixel without a label"
    stream = torch.Generator().manual_seed(0)
    expected = made._drawn(drawn.layout_MHW, stream).feature_MCHW
    assert expected.shape == drawn.feature_MCHW.shape


def test_a_quarter_of_the_layouts_are_of_other_scenes() -> None:
    made = source(more=True, masks="labels")
    stream = torch.Generator().manual_seed(0)
    layouts = made._layouts(200, 0, stream)
    share = (layouts == 2).all(2).all(1).float().mean().item()
    assert 0.17 < share < 0.33, "two and a half standard deviations around a quarter"


def test_hard_layouts_are_the_worse_half_for_the_network_as_it_is() -> None:
    made, network = source(mine=8), toy(3)
    network.train()
    hard = made.hardest(network, KEY)
    assert hard is not None
    assert network.training, "it goes on training"
    stream = torch.Generator().manual_seed(train._order.seed_of(*KEY))
    drawn = made._drawn(made._layouts(8, 0, stream), stream)
    with torch.no_grad():
        logits = network.eval().decode(drawn.feature_MCHW, SIZE)
    losses = [cross_entropy(logits[i : i + 1], drawn.layout_MHW[i : i + 1]).item() for i in range(8)]
    worst = sorted(range(8), key=lambda i: -losses[i])[:4]
    assert torch.equal(hard, drawn.layout_MHW[worst])
    layouts = made.draw(14, KEY, hard).layout_MHW
    assert all(any(torch.equal(layout, known) for known in hard) for layout in layouts)
    assert source(mine=0).hardest(network, KEY) is None


def test_holes_take_the_nearest_sure_label() -> None:
    labels = torch.tensor([[[0, 1, 2, 1]]])
    assert filled(labels, torch.tensor([[[True, False, False, True]]])).tolist() == [[[0, 0, 1, 1]]]
    assert filled(labels, torch.zeros(1, 1, 4, dtype=torch.bool)).tolist() == labels.tolist()


def test_the_loss_is_the_mean_over_the_joint_batch_with_smoothed_labels() -> None:
    network = toy(3, dropout=None).eval()
    images = torch.rand(2, 3, *SIZE)
    labels = torch.randint(3, (2, *SIZE))
    feature, layout = torch.randn(1, 8, 8, 12), torch.randint(3, (1, *SIZE))
    loss, logits = network.loss(images, labels, Drawn(feature, layout, 0.3))
    log_p = network.decode(feature, SIZE).log_softmax(1)
    right = log_p.gather(1, layout[:, None])[:, 0]
    # Equation 6.3: 1 - (K - 1) / K * eps on the label, eps / K on each other class.
    smoothed = -((1 - 2 / 3 * 0.3) * right + 0.1 * (log_p.sum(1) - right)).mean()
    expected = (2 * cross_entropy(network(images), labels) + smoothed) / 3
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert torch.allclose(logits, network(images), atol=1e-6)


def test_synthetic_features_teach_the_decoder_alone() -> None:
    network = toy(3, dropout=None).eval()
    images, labels = torch.rand(2, 3, *SIZE), torch.full((2, *SIZE), 255)
    drawn = Drawn(torch.randn(1, 8, 8, 12), torch.randint(3, (1, *SIZE)), 0.1)
    network.loss(images, labels, drawn)[0].backward()
    gradients: dict[str, Tensor | None] = {name: p.grad for name, p in network.named_parameters()}
    assert all(g is None or not g.any() for name, g in gradients.items() if name.startswith("backbone"))
    assert all(g is not None and g.any() for name, g in gradients.items() if name.startswith("classify"))


def run(folder: Path, made: Source | None) -> bytes:
    folder.mkdir(exist_ok=True)
    held = scenes_of([blocky(np.random.default_rng(i), SIZE, 3) for i in range(6)], 3)
    fabric = Fabric(accelerator="cpu", devices=1)
    train.train(
        recipe(), held, seed=0, folder=folder, fabric=fabric, title="a test", company=train.Company(source=made)
    )
    return (folder / train.WEIGHTS).read_bytes()


def test_a_stopped_training_goes_on_to_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train._made, "fresh_network", lambda *_: toy(3))
    monkeypatch.setattr(train, "MINE_EVERY", 2)
    unbroken = run(tmp_path / "unbroken", source())
    assert run(tmp_path / "without", None) != unbroken
    step, steps = train.Training.step, []

    def stopped(self: train.Training, *arguments: Any) -> bool:
        steps.append(1)
        if len(steps) == 5:
            raise KeyboardInterrupt
        return step(self, *arguments)

    monkeypatch.setattr(train, "SAVE_EVERY", -1.0)
    monkeypatch.setattr(train.Training, "step", stopped)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "broken", source())
    monkeypatch.setattr(train.Training, "step", step)
    assert run(tmp_path / "broken", source()) == unbroken


GENERATOR = '[generator]\nname = "dfgan"\nwidth = 16\n[train_generator]\nepochs = 1\nbatch = 2\n'
TUNED = '[synthetic]\nof = "tiny"\nmine = 4\nmasks = "{}"\n'


def test_a_victim_is_tuned_and_attacked_with_the_shadow_of_the_one_it_goes_on_from(audit: Audit, workdir: Path) -> None:
    (workdir / "runs").mkdir()
    for kind in ("victims", "shadows"):
        shutil.copytree(audit.store / kind, workdir / "runs" / kind)
    edit(workdir / "victims" / "tiny.toml", "[segmenter]\n", GENERATOR + "[segmenter]\n")
    for masks in ("labels", "pseudo"):
        write(workdir / "victims" / f"tuned_{masks}.toml", victim_text() + TUNED.format(masks))
        asked = ("--defense", "none", "--attack", "image_loss", "--repeats", "2", "--device", "cpu")
        ran = call("run", f"tuned_{masks}", "tiny_a1", *asked)
        assert ran.code == 0, ran.err
        assert f"trained victim tuned_{masks}" in ran.err
        assert "reused victim tiny, seed 0" in ran.err
        (path,) = (workdir / "reports" / f"tuned_{masks}").glob("*.json")
        assert path.name == "tiny_a1.none.image_loss.x2.s0.json"
        found = results.read(path)
        assert (found.repeats, found.queries) == (2, 12 + 2 * 12), "the pool once, the audited scenes twice"
    again = call("train-victim", "tuned_labels", "--device", "cpu")
    assert "trained" not in again.err


def test_what_cannot_be_tuned_is_refused_with_the_fix(audit: Audit, workdir: Path) -> None:
    (workdir / "runs").mkdir()
    shutil.copytree(audit.store / "victims", workdir / "runs" / "victims")
    edit(workdir / "victims" / "tiny.toml", "[segmenter]\n", GENERATOR + "[segmenter]\n")
    text = victim_text() + TUNED
    write(workdir / "victims" / "other.toml", text.format("members").replace("members = 6", "members = 5"))
    assert_refused(call("train-victim", "other", "--device", "cpu"), "they train on different scenes", "[split]")
    write(workdir / "victims" / "nothing.toml", text.format("members").replace('"tiny"', '"nobody"'))
    assert_refused(call("train-victim", "nothing", "--device", "cpu"), "'nobody'")
    write(workdir / "victims" / "itself.toml", text.format("members").replace('"tiny"', '"itself"'))
    assert_refused(
        call("train-victim", "itself", "--device", "cpu"), "[synthetic] of goes round in a circle: itself -> itself"
    )
    write(workdir / "victims" / "twice.toml", text.format("members").replace("lr =", 'start = "tiny"\nlr ='))
    assert_refused(call("train-victim", "twice", "--device", "cpu"), "leave out [train] start")
    edit(workdir / "shadows" / "tiny_a1.toml", "[adversary]", TUNED.format("members") + "[adversary]")
    assert_refused(call("train-shadow", "tiny_a1", "--device", "cpu"), "leave it out of a shadow")
    edit(workdir / "victims" / "tiny.toml", "count = 30", "count = 24")
    write(workdir / "victims" / "full.toml", text.format("labels").replace("count = 30", "count = 24"))
    assert_refused(call("train-victim", "full", "--device", "cpu"), "every scene is in a part of 'tiny's split")
    # The same scenes by another name: none of the audited ones becomes a layout to train on.
    again = '[synthetic.data]\nname = "streets"\nsize = [32, 48]\ncount = 24\n'
    edit(workdir / "victims" / "full.toml", 'masks = "labels"\n', 'masks = "labels"\n' + again)
    assert_refused(call("train-victim", "full", "--device", "cpu"), "every scene is in a part of 'tiny's split")
