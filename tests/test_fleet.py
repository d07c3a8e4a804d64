"""A fleet of shadows along the line: who trains on what, that it goes on where it stopped, and its results."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers_files import BLOCKS, HEAD, MODEL, PHOTOGRAPHS, RANDOM, STREETS, VIDEO, call, edit, write

from mia_seg import attacks, pipeline, plugins
from mia_seg.attacks import Attack
from mia_seg.errors import MiaSegError
from mia_seg.evaluate import results
from mia_seg.evaluate.audit import Audit, Model, variant
from mia_seg.evaluate.results import Result
from mia_seg.recipes.splits import Partition
from mia_seg.report import tables, words
from mia_seg.report.from_store import loss_sheets
from mia_seg.stages import shadow_members
from mia_seg.store import Store
from mia_seg.testing import Leak, World
from mia_seg.workspace import Workspace

FLEET = '[adversary]\nkind = "A1"\nvictim = "{victim}"\nchoose = "halves"\nmodels = 4\nstride = 4\n'
DATA = {"tiny": STREETS + RANDOM, "tiny_folder": PHOTOGRAPHS + RANDOM, "tiny_camvid": VIDEO + BLOCKS}
ASKED = ("lira", "lira:offline_cdf,models=1", "rmia:offline", "image_loss", "image_loss:boundary")


def write_fleet(workdir: Path, victim: str = "tiny") -> Path:
    text = HEAD.format(victim=victim) + DATA[victim] + MODEL + FLEET.format(victim=victim)
    return write(workdir / "shadows" / f"{victim}_fleet.toml", text)


def times_seen(model: Model) -> Counter[str]:
    return Counter(scene for shadow in model.models for scene in shadow.parts.members)


@pytest.mark.parametrize("victim", ["tiny_folder", "tiny_camvid"])
def test_every_audited_scene_is_in_half_of_the_shadows_and_the_pool_in_none(
    space: Workspace, workdir: Path, victim: str
) -> None:
    write_fleet(workdir, victim)
    audited = pipeline.train_victim(victim, 0, space)
    fleet = pipeline.train_shadow(f"{victim}_fleet", 0, space)
    assert len(fleet.models) == 4
    assert times_seen(fleet) == dict.fromkeys(audited.asked, 2)
    for first, second in zip(fleet.models[0::2], fleet.models[1::2], strict=True):
        assert first.parts.members == second.parts.nonmembers
        assert first.parts.nonmembers == second.parts.members
        groups = [{shadow.parts.group[i] for i in shadow.parts.members} for shadow in (first, second)]
        assert not groups[0] & groups[1], "frames of a block look alike"
    assert all(shadow.asked == audited.asked for shadow in fleet.models)
    assert not {*fleet.parts.pool} & {*audited.asked}
    assert len({shadow.artefact.path for shadow in fleet.models}) == 4
    assert len({shadow.artefact.parts["seed"] for shadow in fleet.models}) == 4
    assert audited.artefact.parts["seed"] not in {shadow.artefact.parts["seed"] for shadow in fleet.models}
    assert fleet.queries == 0


def test_a_fleet_goes_on_where_it_stopped_and_a_larger_one_takes_over_the_smaller(
    space: Workspace, workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_fleet(workdir, "tiny_folder")
    trained: list[str] = []

    def remembered(*arguments: Any) -> None:
        if len(trained) == 2:
            raise KeyboardInterrupt
        trained.append(arguments[6])
        (arguments[3] / "weights").write_text("none")

    monkeypatch.setattr(pipeline.train, "train", remembered)
    with pytest.raises(KeyboardInterrupt):
        pipeline.train_shadow("tiny_folder_fleet", 0, space)
    assert trained == ["tiny_folder_fleet, seed 0", "tiny_folder_fleet-01, seed 0"]
    monkeypatch.setattr(
        pipeline.train, "train", lambda *a: (trained.append(a[6]), (a[3] / "weights").write_text("none"))
    )
    whole = pipeline.train_shadow("tiny_folder_fleet", 0, space)
    assert len(trained) == 4, "the two that were there are reused"
    assert pipeline.train_shadow("tiny_folder_fleet", 0, space) == whole
    edit(path, "models = 4", "models = 6")
    larger = pipeline.train_shadow("tiny_folder_fleet", 0, space)
    assert len(trained) == 6
    assert [m.artefact for m in larger.models[:4]] == [m.artefact for m in whole.models]
    assert larger.digest != whole.digest
    pipeline.train_shadow("tiny_folder_fleet", 1, space)
    assert len(trained) == 12, "another seed draws other halves"


@pytest.mark.parametrize(("scenes", "block"), [(5, 1), (13, 1), (24, 5), (2, 1)])
def test_halves_part_odd_numbers_and_blocks(scenes: int, block: int) -> None:
    ids = [f"s{i:02d}" for i in range(scenes)]
    cut = Partition(ids[: scenes // 2], ids[scenes // 2 :], [], {i: f"u{k // block}" for k, i in enumerate(ids)})
    parts = shadow_members.halves(cut, 8, seed=3)
    assert Counter(i for part in parts for i in part.members) == dict.fromkeys(ids, 4)
    for part in parts:
        assert sorted(part.members + part.nonmembers) == ids
        assert abs(len(part.members) - len(part.nonmembers)) <= max(1, 2 * block)
    assert shadow_members.halves(cut, 4, seed=3) == parts[:4]


def test_scenes_that_have_no_halves_are_refused() -> None:
    ids = ["a", "b", "c", "d"]
    with pytest.raises(MiaSegError, match=r"trains on halves, and the audited scenes are 1 group. Give more scenes"):
        shadow_members.halves(Partition(ids[:2], ids[2:], [], dict.fromkeys(ids, "u")), 4, 0)


def test_a_fleet_on_other_scenes_than_its_victim_s_is_refused(space: Workspace, workdir: Path) -> None:
    edit(write_fleet(workdir), "nonmembers = 6", "nonmembers = 5")
    with pytest.raises(MiaSegError, match=r"halves of the scenes on which victim 'tiny' is audited.*same \[data\]"):
        pipeline.train_shadow("tiny_fleet", 0, space)
    assert not space.store.root.exists()


def test_a_fleet_attack_on_one_shadow_is_refused_before_training(space: Workspace) -> None:
    with pytest.raises(MiaSegError, match=r"'lira' compares with many shadows, and 'tiny_a1' is one.*'halves'"):
        pipeline.run("tiny", "tiny_a1", ["none"], ["lira"], 0, space)
    assert not space.store.root.exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lira", ""),
        ("lira:online", ""),
        ("lira:offline_cdf", "offline_cdf"),
        ("lira:offline_cdf,models=4", "offline_cdf,models=4"),
        ("lira:statistic=vector", "statistic=vector"),
        ("image_loss:mean", ""),
        ("image_loss:boundary", "boundary"),
        ("patch_resnet50", "concat"),
        ("patch_resnet50:concat", "concat"),
        ("patch_resnet50:loss", "loss"),
    ],
)
def test_one_setting_of_an_attack_has_one_name(text: str, said: str) -> None:
    assert variant(text, plugins.parse(attacks, Attack, text)) == said


def test_the_whole_line_runs_on_a_fleet(workdir: Path, data_template: Path) -> None:
    """Trained, asked, attacked and measured by the command line; asked again, nothing is done twice."""
    write_fleet(workdir, "tiny_folder")
    asked = [part for name in ASKED for part in ("--attack", name)]
    line = ("attack", "tiny_folder", "tiny_folder_fleet", "--data-root", data_template, "--device", "cpu", "--defense")
    first = call(*line, "none", *asked)
    assert first.code == 0, first.err
    found = {path.name: results.read(path) for path in (workdir / "reports" / "tiny_folder").glob("*.json")}
    assert len(found) == len(ASKED), sorted(found)
    lira = found["tiny_folder_fleet.none.lira.s0.json"]
    assert (lira.adversary, lira.choose, lira.queries) == ("A1", "halves", 12)
    assert found["tiny_folder_fleet.none.rmia-offline.s0.json"].queries == 24, "the pool is asked about too"
    assert found["tiny_folder_fleet.none.lira-offline_cdf-models-1.s0.json"].settings["models"] == 1
    assert found["tiny_folder_fleet.none.image_loss.s0.json"].digests.shadow != lira.digests.shadow
    assert all(np.isfinite(r.levels["image"].auc) for r in found.values())
    kept = next((workdir / "runs" / "attackers").glob("tiny_folder_fleet.rmia-offline-*/attacker.json"))
    rmia = found["tiny_folder_fleet.none.rmia-offline.s0.json"]
    assert rmia.settings["a"] is None
    assert rmia.tuned == {"a": json.loads(kept.read_text())["settings"]["a"]}
    assert lira.by_shadows
    assert lira.image_loss
    assert lira.above_loss
    last, image = lira.by_shadows[-1], lira.dump()["levels"]["image"]
    assert (last["trained"], last["compared"], len(lira.by_shadows)) == (4, 4, 2)
    assert all(last[name] == image[name] for name in ("auc", "auc_low", "auc_high", "tpr_at_fpr"))
    loss = found["tiny_folder_fleet.none.image_loss.s0.json"]
    assert lira.image_loss["auc"] == loss.levels["image"].auc
    assert lira.above_loss["auc"]["value"] == pytest.approx(last["auc"] - lira.image_loss["auc"])
    assert loss.above_loss is None
    assert lira.tuned == {"variance": "fixed"}
    assert loss.tuned == {}
    assert '"variance": "fixed"' in str(tables.settings([lira]).rows), "the attacker that was used"
    assert len([*(workdir / "runs" / "shadows").iterdir()]) == 4
    assert "many shadows, each on a random half of the scenes" in words.adversary([results.row(lira, "image")])
    place = Workspace(Store(workdir / "runs"), data_template, workdir / "reports", "cpu")
    check_loss_sheet(list(found.values()), place)
    before = {path: path.stat().st_mtime_ns for path in (workdir / "runs").rglob("*.json")}
    assert call(*line, "none", *asked).code == 0
    assert {path: path.stat().st_mtime_ns for path in (workdir / "runs").rglob("*.json")} == before


def check_loss_sheet(found: list[Result], place: Workspace) -> None:
    """The shadows' loss is the mean of those that left a scene out, and is shown only where all of them answered."""
    fleet = pipeline.train_shadow("tiny_folder_fleet", 0, place)
    victim = pipeline.train_victim("tiny_folder", 0, place)

    def loss(model: Model, scene: str) -> np.ndarray:
        (answer,) = pipeline.answers_of(model, model.asked, "none", 4, place).take([scene])
        p_HW = np.take_along_axis(answer.posterior_KHW, answer.labels_HW[None].astype(int) % 255, 0)[0]
        return np.where(answer.labels_HW == 255, 0, -np.log(np.maximum(p_HW, 1e-6)))

    sheet = loss_sheets(found, place.store, place.data_root)["tiny_folder"]
    assert sheet.members == [scene in victim.parts.members for scene in sheet.scene_ids] == [True, True, False, False]
    assert sheet.outside is not None
    for scene, mine, theirs in zip(sheet.scene_ids, sheet.losses, sheet.outside, strict=True):
        left_out = [loss(model, scene) for model in fleet.models if scene not in model.parts.members]
        assert len(left_out) == 2
        np.testing.assert_allclose(mine, loss(victim, scene), rtol=1e-5)
        np.testing.assert_allclose(theirs, np.mean(left_out, 0), rtol=1e-5)
    loss_alone = loss_sheets([r for r in found if r.attack == "image_loss"], place.store, place.data_root)
    assert loss_alone["tiny_folder"].outside is None, "its shadow's answers are one model's"
    other = [r.model_copy(update={"digests": r.digests.model_copy(update={"shadow": "another fleet"})}) for r in found]
    assert loss_sheets(other, place.store, place.data_root)["tiny_folder"].outside is None


def test_a_fleet_that_knows_the_defense_is_asked_behind_it(
    workdir: Path, data_template: Path, space: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_fleet(workdir, "tiny_folder")
    asked: list[tuple[str, str, int]] = []

    def answer(model: Model, ids: list[str], defense: str, *rest: Any) -> Any:
        asked.append((model.name, defense, len(ids)))
        world = World(Leak(2.0), len(ids), seed=len(asked))
        return replace(world.victim()[0], ids=list(ids), path=Path(defense))

    monkeypatch.setattr(pipeline, "answers_of", answer)
    monkeypatch.setattr(pipeline, "measured", lambda *known: {"levels": {}, "utility": {}})
    monkeypatch.setattr(pipeline.results, "write", lambda reports, result: result)
    victim, shadow = (
        pipeline.train_victim("tiny_folder", 0, space),
        pipeline.train_shadow("tiny_folder_fleet", 0, space),
    )
    for adaptive, known in ((False, "none"), (True, "argmax")):
        asked.clear()
        pipeline.attack(victim, shadow, Audit("argmax", "rmia", adaptive), space)
        assert {defense for name, defense, _ in asked if name == "tiny_folder"} == {"argmax"}
        theirs = [call for call in asked if call[0] != "tiny_folder"]
        assert {defense for _, defense, _ in theirs} == {known}
        assert {name for name, _, _ in theirs} == {m.name for m in shadow.models}
        assert len(theirs) == 2 * (1 + 4), "every shadow about the audited scenes and the pool, the first one twice"
