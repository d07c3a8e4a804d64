"""A fleet of shadows along the line: who trains on what, that it goes on where it stopped, and its results."""

import json
import shutil
import weakref
from collections import Counter
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from helpers_files import BLOCKS, HEAD, MODEL, PHOTOGRAPHS, RANDOM, STREETS, VIDEO, call, edit, write
from helpers_in_turn import check_fleet_audit

from mia_seg import attacks, defenses, plugins, train
from mia_seg.api import FLEET_ATTACKS, Audit
from mia_seg.attacks import Attack
from mia_seg.attacks._readings import Fleet, read_signal
from mia_seg.defenses import Defense
from mia_seg.errors import MiaSegError
from mia_seg.evaluate import results
from mia_seg.evaluate.results import Result
from mia_seg.pipeline import Pipeline
from mia_seg.query.answers import Statistics
from mia_seg.recipes.splits import Partition
from mia_seg.report import tables, words
from mia_seg.report.scene_inputs import loss_inputs
from mia_seg.stages import checks, shadow_members
from mia_seg.stages.attackers import OneByOne
from mia_seg.stages.models import TrainedModel
from mia_seg.stages.plan import Plan
from mia_seg.stages.results import Measured
from mia_seg.stages.run import run
from mia_seg.store import Store
from mia_seg.testing import Leak, World
from mia_seg.workspace import Workspace

FLEET = '[adversary]\nkind = "A1"\nvictim = "{victim}"\nchoose = "halves"\nmodels = 4\nstride = 4\n'
DATA = {"tiny": STREETS + RANDOM, "tiny_folder": PHOTOGRAPHS + RANDOM, "tiny_camvid": VIDEO + BLOCKS}
ASKED = ("lira", "lira:offline_cdf,models=1", "rmia:offline", "image_loss", "image_loss:boundary")


def write_fleet(workdir: Path, victim: str = "tiny") -> Path:
    text = HEAD.format(victim=victim) + DATA[victim] + MODEL + FLEET.format(victim=victim)
    return write(workdir / "shadows" / f"{victim}_fleet.toml", text)


def fleet_of(workspace: Workspace, name: str, seed: int = 0) -> tuple[TrainedModel, ...]:
    return Pipeline(workspace).shadows(name, seed)


def test_a_fleet_that_begins_with_weights_that_know_its_scenes_is_refused(workspace: Workspace, workdir: Path) -> None:
    """The victim may go on from a training on its own members; each model of its fleet has others."""
    write(workdir / "victims" / "longer.toml", 'variant_of = "tiny"\n[train]\nstart = "tiny"\n')
    assert Pipeline(workspace).victim("longer", 0)
    says = (
        r"behind its weights \(longer_fleet -> tiny\) share 3 scenes .*\. Give 'longer_fleet' another \[train\] start"
    )
    with pytest.raises(MiaSegError, match=says):
        fleet_of(workspace, "longer_fleet")


@pytest.mark.parametrize("victim", ["tiny_folder", "tiny_camvid"])
def test_every_audited_scene_is_in_half_of_the_shadows_and_the_pool_in_none(
    workspace: Workspace, workdir: Path, victim: str
) -> None:
    write_fleet(workdir, victim)
    model, fleet = Pipeline(workspace).victim(victim, 0), fleet_of(workspace, f"{victim}_fleet")
    audited, parts = model.partition(workspace.store), [shadow.partition(workspace.store) for shadow in fleet]
    assert len(fleet) == 4
    assert Counter(scene for part in parts for scene in part.members) == dict.fromkeys(audited.audited, 2)
    for first, second in zip(parts[0::2], parts[1::2], strict=True):
        assert first.members == second.nonmembers
        assert first.nonmembers == second.members
        groups = [{part.group[i] for i in part.members} for part in (first, second)]
        assert not groups[0] & groups[1], "frames of a block look alike"
    assert all(part.audited == audited.audited for part in parts)
    assert not {*parts[0].pool} & {*audited.audited}
    assert len({shadow.digest for shadow in fleet}) == 4
    assert len({model.weight_seed, *(shadow.weight_seed for shadow in fleet)}) == 5


def test_a_fleet_goes_on_where_it_stopped_and_a_larger_one_takes_over_the_smaller(
    workspace: Workspace, workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_fleet(workdir, "tiny_folder")
    trained: list[str] = []

    def remembered(*_: Any, folder: Path, title: str, **__: Any) -> None:
        if len(trained) == 2 and stops:
            raise KeyboardInterrupt
        trained.append(title)
        (folder / train.WEIGHTS).write_text("none")

    def go(seed: int = 0) -> tuple[TrainedModel, ...]:
        fleet = fleet_of(workspace, "tiny_folder_fleet", seed)
        run(Plan(fleet, workspace.store), workspace).check()
        return fleet

    monkeypatch.setattr(train, "train", remembered)
    stops = True
    with pytest.raises(KeyboardInterrupt):
        go()
    assert trained == ["tiny_folder_fleet, seed 0", "tiny_folder_fleet-01, seed 0"]
    stops = False
    whole = go()
    assert len(trained) == 4, "the two that were there are reused"
    assert [m.digest for m in go()] == [m.digest for m in whole]
    edit(path, "models = 4", "models = 6")
    larger = go()
    assert len(trained) == 6
    assert [m.digest for m in larger[:4]] == [m.digest for m in whole]
    go(seed=1)
    assert len(trained) == 12, "another seed draws other halves"


def test_a_fleet_serves_every_victim_of_its_scenes(workspace: Workspace, workdir: Path) -> None:
    """Who is a member may differ; the scenes that are asked about, the pool and the groups may not."""
    write_fleet(workdir, "tiny_folder")
    head = HEAD.format(victim="other")
    other = write(workdir / "victims" / "other.toml", head + PHOTOGRAPHS + RANDOM + MODEL.replace("lr = ", "lr = 1"))

    def attacked(victim: str) -> Measured:
        return Audit(victim, "tiny_folder_fleet", ["none"], attacks=["lira"], seeds=[0], workspace=workspace).stages[0]

    mine, theirs = attacked("tiny_folder"), attacked("other")
    assert mine.victim.digest != theirs.victim.digest
    assert mine.attacker.digest == theirs.attacker.digest, "what was learnt once serves both"
    assert mine.digest != theirs.digest
    edit(other, "nonmembers = 6", "nonmembers = 5")
    with pytest.raises(MiaSegError, match=r"differ in their audited scenes: only one of them has \d+ scenes"):
        attacked("other")
    edit(other, PHOTOGRAPHS, STREETS)
    with pytest.raises(MiaSegError, match="Fleet 'tiny_folder_fleet' has other data than victim 'other'"):
        attacked("other")


def test_members_may_be_others_and_groups_may_not() -> None:
    ids = ["a", "b", "c", "d"]
    own = Partition(ids[:2], ids[2:], [], {i: i for i in ids})
    checks.same_scenes("fleet", own, "victim", others=Partition(ids[1:3], [ids[0], ids[3]], [], own.group))
    with pytest.raises(MiaSegError, match=r"group scenes differently \('b', for one\)"):
        checks.same_scenes("fleet", own, "victim", others=Partition(ids[:2], ids[2:], [], own.group | {"b": "a"}))
    with pytest.raises(MiaSegError, match="differ in their pool: only one of them has 1 scenes"):
        checks.same_scenes("fleet", own, "victim", others=Partition(ids[:2], ids[2:], ["e"], own.group))


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
    with pytest.raises(
        MiaSegError, match=r"trains on halves of the audited scenes, and these are 1 group. Raise \[split\]"
    ):
        shadow_members.halves(Partition(ids[:2], ids[2:], [], dict.fromkeys(ids, "u")), 4, 0)


def test_a_fleet_on_other_scenes_than_its_victim_s_is_refused(workspace: Workspace, workdir: Path) -> None:
    edit(write_fleet(workdir), "nonmembers = 6", "nonmembers = 5")
    with pytest.raises(MiaSegError, match=r"halves of the scenes on which victim 'tiny' is audited.*same \[data\]"):
        fleet_of(workspace, "tiny_fleet")
    assert not workspace.store.root.exists()


def test_a_fleet_attack_on_one_shadow_is_refused_before_training(workspace: Workspace) -> None:
    with pytest.raises(MiaSegError, match=r"'lira' compares with many shadows, and 'tiny_a1' is one.*'halves'"):
        checks.request("tiny", "tiny_a1", ["none"], attacked=["lira"])
    assert not workspace.store.root.exists()


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
    assert plugins.select(attacks, Attack, text).variant == said


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
    assert (last.trained, last.compared, len(lira.by_shadows)) == (4, 4, 2)
    assert all(last.model_dump()[name] == image[name] for name in ("auc", "auc_low", "auc_high", "tpr_at_fpr"))
    loss = found["tiny_folder_fleet.none.image_loss.s0.json"]
    assert lira.image_loss.auc == loss.levels["image"].auc
    assert lira.above_loss.auc.value == pytest.approx(last.auc - lira.image_loss.auc)
    assert loss.above_loss is None
    assert lira.tuned == {"variance": "fixed"}
    assert loss.tuned == {}
    assert '"variance": "fixed"' in str(tables.settings([lira]).rows), "the attacker that was used"
    assert len([*(workdir / "runs" / "shadows").iterdir()]) == 4
    assert "many shadows, each on a random half of the audited scenes" in words.adversary([results.row(lira, "image")])
    made = [*(workdir / "runs").glob("*/*/*.json")]  # beside them lies what is known of files, which fresh ones renew
    before = {path: path.stat().st_mtime_ns for path in made}
    assert len(before) > 40
    assert call(*line, "none", *asked).code == 0
    assert {path: path.stat().st_mtime_ns for path in made} == before
    place = Workspace(Store(workdir / "runs"), data_template, workdir / "reports", "cpu")
    check_loss_sheet(list(found.values()), place)
    check_fleet_audit(workdir, data_template)
    check_that_what_has_served_may_go(workdir / "runs", line=(*line, "none"), asked=asked)


def check_that_what_has_served_may_go(store: Path, *, line: tuple[str | Path, ...], asked: list[str]) -> None:
    """Without shadows' weights, and then without most of their answers, nothing that was asked for is lacking."""

    def there(kind: str) -> set[str]:
        found = [path.name.partition("_fleet")[2] for path in (store / kind).glob("tiny_folder_fleet*")]
        # Behind these an audit of the fleet itself asked.
        return {name[:3] for name in found if ".argmax-" not in name and ".dropout" not in name}

    answered = there("answers")
    assert call(*line, *asked, "--keep", "answers").code == 0
    assert (there("shadows"), there("answers")) == (set(), answered)
    more = call(*line, "--attack", "calibration", "--dry-run").out
    assert "1 missing" not in more.partition("Made before")[0].rpartition(";")[2]
    assert call(*line, *asked, "--keep", "statistics").code == 0
    assert there("answers") == {".no"}, "those of the first shadow"
    assert "0 missing" in call(*line, *asked, "--dry-run").out
    said = call(*line, "--attack", "calibration", "--dry-run").out
    assert "Made before, not kept, and needed again: 3 of shadows, " in said


def check_loss_sheet(found: list[Result], place: Workspace) -> None:
    """The shadows' loss is the mean of those that left a scene out, and is shown only where all of them answered."""
    pipeline = Pipeline(place)
    fleet, victim = pipeline.shadows("tiny_folder_fleet", 0), pipeline.victim("tiny_folder", 0)
    undefended = plugins.select(defenses, Defense, "none")

    def loss(model: TrainedModel, scene: str) -> np.ndarray:
        asked = pipeline.answers(model, model.scenes, "audited", defense=undefended, stride=4)
        (answer,) = asked.value(place.store).take([scene])
        p_HW = np.take_along_axis(answer.posterior_KHW, answer.labels_HW[None].astype(int) % 255, 0)[0]
        return np.where(answer.labels_HW == 255, 0, -np.log(np.maximum(p_HW, 1e-6)))

    def members(model: TrainedModel) -> list[str]:
        return model.partition(place.store).members

    sheet = loss_inputs(found, place.store, place.data_root)["tiny_folder"]
    assert sheet.members == [scene in members(victim) for scene in sheet.scene_ids] == [True, True, False, False]
    assert sheet.outside is not None
    for scene, mine, theirs in zip(sheet.scene_ids, sheet.losses, sheet.outside, strict=True):
        left_out = [loss(model, scene) for model in fleet if scene not in members(model)]
        assert len(left_out) == 2
        np.testing.assert_allclose(mine, loss(victim, scene), rtol=1e-5)
        np.testing.assert_allclose(theirs, np.mean(left_out, 0), rtol=1e-5)
    loss_alone = loss_inputs([r for r in found if r.attack == "image_loss"], place.store, place.data_root)
    assert loss_alone["tiny_folder"].outside is None, "its shadow's answers are one model's"
    for path in place.store.root.glob("answers/tiny_folder_fleet-02.none-*"):
        shutil.rmtree(path)
    assert loss_inputs(found, place.store, place.data_root)["tiny_folder"].outside is None, "one is lacking"


def test_a_fleet_that_knows_the_defense_is_asked_behind_it(workspace: Workspace, workdir: Path) -> None:
    write_fleet(workdir, "tiny_folder")
    audit = Audit("tiny_folder", "tiny_folder_fleet", ["argmax"], attacks=["rmia"], seeds=[0], workspace=workspace)
    assert [stage.cell.adaptive for stage in audit.stages] == [False, True]
    for stage, known in zip(audit.stages, ("none", "argmax"), strict=True):
        assert {asked.defense.label for asked in stage.seen.asked} == {"argmax"}
        own = [asked for seen in stage.attacker.seen for asked in seen.asked]
        assert {asked.defense.label for asked in own} == {known}
        assert {asked.model.recipe_name for asked in own} == {m.recipe_name for m in stage.attacker.shadows}
        assert sorted(asked.part for asked in own) == ["audited"] * 4 + ["pool"] * 4, "every shadow, about both"


def test_of_a_large_fleet_one_model_at_a_time_is_in_memory(workspace: Workspace) -> None:
    world, met = World(Leak(1.0), 12), list[weakref.ref[Statistics]]()
    whole = world.fleet(8)

    def seen(model: int) -> Any:
        return SimpleNamespace(value=lambda store: world.answers(whole.members_MN[model], 1 + model))

    def loss(statistics: Statistics) -> np.ndarray:
        met.append(weakref.ref(statistics))
        alive = [one for ref in met if (one := ref()) is not None and len(one)]
        assert len(alive) <= 2, "the one before may still have a name"
        return statistics.mean_loss()

    fleet = Fleet(OneByOne([seen(model) for model in range(8)], workspace.store), whole.members_MN)
    one_by_one, at_once = (
        of.read(partial(read_signal, signal=signal)) for of, signal in ((fleet, loss), (whole, Statistics.mean_loss))
    )
    np.testing.assert_array_equal(one_by_one.scenes_MN, at_once.scenes_MN)


def test_a_small_fleet_runs_the_usual_attacks_that_it_is_large_enough_for() -> None:
    few, many = (checks.too_few(FLEET_ATTACKS, models) for models in (4, 16))
    assert set(few) < set(FLEET_ATTACKS)
    assert "attack_r" in few
    assert "needs 6 shadows" in few["attack_r"]
    assert many == {}
