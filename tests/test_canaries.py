"""Canaries: scenes that are easy to memorise are trained on, and audited apart from the others."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers_files import RANDOM, Ran, call, edit, write_recipes
from test_fleet import write_fleet
from test_fleet_alone import CLASSES, LEAK, SHOWS, fleet

from mia_seg import recipes
from mia_seg.attacks import Scores, ShadowCurvePoint
from mia_seg.attacks.base import Base
from mia_seg.data import IGNORE, Dataset, Scenes
from mia_seg.data._canaries import WithCanaries, sources
from mia_seg.data.camvid import CamVid
from mia_seg.data.folder import Folder
from mia_seg.errors import MiaSegError
from mia_seg.evaluate import results
from mia_seg.evaluate.fleet import Described, audited
from mia_seg.pipeline import Pipeline
from mia_seg.recipes.splits import Partition, SplitRule
from mia_seg.report.canaries import canary_sentence, canary_table
from mia_seg.report.cells import cells, enriched
from mia_seg.report.fleets import worst
from mia_seg.stages import limits
from mia_seg.stages.plan import Plan
from mia_seg.workspace import Workspace


def split(**changed: Any) -> SplitRule:
    given: dict[str, Any] = {"rule": "random", "members": 8, "nonmembers": 8, "pool": 4, "canaries": 0.25}
    return SplitRule(**given | changed)


def facades() -> Dataset:
    return Folder(path="labelmefacade", class_map="labelmefacade", size=(32, 48))


def planted(data_root: Path, seed: int = 0, **changed: Any) -> tuple[WithCanaries, Partition]:
    rule, dataset = split(**changed), facades()
    parts = rule.cut(dataset, data_root, 0)
    found = rule.planted(dataset, parts, seed)
    assert isinstance(found, WithCanaries)
    return found, parts


def labels(dataset: Dataset, data_root: Path, ids: list[str]) -> list[np.ndarray]:
    return [scene.labels_HW for scene in Scenes(dataset, data_root, ids)]


def test_a_share_of_the_audited_scenes_is_drawn_by_the_seed_whoever_is_a_member(data_template: Path) -> None:
    found, parts = planted(data_template)
    assert len(found.canaries) == 4
    assert found.canaries < {*parts.audited}
    others = Partition(parts.nonmembers, parts.members, parts.pool, parts.group)
    assert split().planted(facades(), others, 0) == found
    assert planted(data_template, seed=1)[0].canaries != found.canaries
    plain = facades()
    assert split(canaries=0).planted(plain, parts, 0) is plain


def test_swapped_labels_are_another_canarys_and_no_map_is_lost(data_template: Path) -> None:
    found, parts = planted(data_template)
    for scene_id in parts.audited + parts.pool:
        mine, plain = (next(iter(Scenes(of, data_template, [scene_id]))) for of in (found, found.of))
        np.testing.assert_array_equal(mine.image_HWC, plain.image_HWC)
        assert (mine.labels_HW == plain.labels_HW).all() == (scene_id not in found.canaries), scene_id
    ids = sorted(found.canaries)
    mine, plain = (Counter(m.tobytes() for m in labels(of, data_template, ids)) for of in (found, found.of))
    assert mine == plain
    assert all(source != canary for canary, source in found.sources)


def test_mirrored_and_permuted_labels_are_the_scenes_own_and_wrong(data_template: Path) -> None:
    for kind in ("mirrored", "permuted"):
        found, _ = planted(data_template, canary=kind)
        ids = sorted(found.canaries)
        for wrong, right in zip(*(labels(of, data_template, ids) for of in (found, found.of)), strict=True):
            if kind == "mirrored":
                np.testing.assert_array_equal(wrong, right[:, ::-1])
                continue
            np.testing.assert_array_equal(wrong == IGNORE, right == IGNORE)
            known = right != IGNORE
            assert len(by := {*((wrong[known].astype(int) - right[known]) % 8).tolist()}) == 1
            assert by != {0}


def test_a_pasted_canary_shows_another_ones_rarest_object(data_template: Path) -> None:
    found, parts = planted(data_template, canary="pasted")
    for canary, source in found.sources:
        mine, plain, other = (
            next(iter(Scenes(of, data_template, [i])))
            for of, i in ((found, canary), (found.of, canary), (found.of, source))
        )
        classes, counts = np.unique(other.labels_HW[other.labels_HW != IGNORE], return_counts=True)
        rarest = min(zip(counts, classes, strict=True), key=lambda one: (one[0] < 0.01 * counts.sum(), one[0]))[1]
        over = other.labels_HW == rarest
        np.testing.assert_array_equal(mine.labels_HW, np.where(over, rarest, plain.labels_HW))
        np.testing.assert_array_equal(mine.image_HWC[over], other.image_HWC[over])
        np.testing.assert_array_equal(mine.image_HWC[~over], plain.image_HWC[~over])
        np.testing.assert_array_equal(found.labels_of(data_template, canary)[0], mine.labels_HW)
        assert found.files(data_template, canary) == (
            *found.of.files(data_template, canary), *found.of.files(data_template, source)
        )  # fmt: skip
    scene = next(i for i in parts.audited if i not in found.canaries)
    assert (found.scene(data_template, scene).labels_HW == found.of.scene(data_template, scene).labels_HW).all()


def test_a_twinned_canary_stands_beside_a_darker_copy_with_the_right_labels(data_template: Path) -> None:
    found, parts = planted(data_template, canaries=0.5, canary="twinned")
    canaries, twins = [i for i, _ in found.sources[::2]], [i for i, _ in found.sources[1::2]]
    assert (found.canaries, found.companions) == ({*canaries}, {*twins})
    assert len({*canaries, *twins}) == 8
    for canary, twin in zip(canaries, twins, strict=True):
        plain, other = (found.of.scene(data_template, i) for i in (canary, twin))
        shown, beside = (found.scene(data_template, i) for i in (canary, twin))
        np.testing.assert_array_equal(shown.image_HWC, plain.image_HWC)
        np.testing.assert_array_equal(shown.labels_HW, other.labels_HW)
        np.testing.assert_allclose(beside.image_HWC, 0.9 * plain.image_HWC, atol=0.5)
        np.testing.assert_array_equal(beside.labels_HW, plain.labels_HW)
        np.testing.assert_array_equal(found.labels_of(data_template, twin)[0], plain.labels_HW)
        assert {*found.files(data_template, twin)} >= {*found.of.files(data_template, canary)}
    natural = next(i for i in parts.audited if i not in found.canaries | found.companions)
    mine, plain = (of.scene(data_template, natural) for of in (found, found.of))
    np.testing.assert_array_equal(mine.image_HWC, plain.image_HWC)
    np.testing.assert_array_equal(mine.labels_HW, plain.labels_HW)
    turned = WithCanaries(of=found.of, kind="twinned", sources=tuple((b, a) for a, b in found.sources))
    assert turned.origin() != found.origin()


def test_twins_of_canaries_leave_the_last_of_an_odd_number_alone() -> None:
    assert sources("twinned", ["a", "b", "c"]) == (("a", "b"), ("b", "a"))
    assert sources("swapped", ["a", "b", "c"]) == (("a", "b"), ("b", "c"), ("c", "a"))


def test_a_duplicated_canary_is_trained_on_twice(workspace: Workspace, workdir: Path) -> None:
    edit(workdir / "victims" / "tiny_folder.toml", "pool = 12\n", 'pool = 12\ncanaries = 0.4\ncanary = "duplicated"\n')
    victim = Pipeline(workspace).victim("tiny_folder", 0)
    members = victim.scenes.partition(workspace.store).members
    twice = Counter(victim.dataset.trained(members))
    assert twice == Counter(members) + Counter(i for i in members if i in victim.dataset.canaries)
    assert 2 in twice.values()
    plain = victim.dataset.of
    assert plain.trained(members) == members
    first = next(iter(victim.dataset.canaries))
    same = (of.scene(workspace.data_root, first).labels_HW for of in (victim.dataset, plain))
    np.testing.assert_array_equal(*same)


def test_epsilon_is_not_of_a_scene_that_is_trained_on_twice(workspace: Workspace, workdir: Path) -> None:
    path = workdir / "victims" / "tiny_folder.toml"
    edit(path, "pool = 12\n", 'pool = 12\ncanaries = 0.4\ncanary = "duplicated"\n')
    edit(path, "[train]", 'norm = "group"\n[update]\nname = "dp_sgd"\nnoise = 1.0\n\n[train]')
    with pytest.raises(MiaSegError, match=r"a duplicated scene counts twice, epsilon is of one"):
        limits.check(Plan((Pipeline(workspace).victim("tiny_folder", 0),), workspace.store), workspace)


def test_labels_of_another_size_are_stretched_over_the_image(data_root: Path) -> None:
    of = CamVid(folders=("train",))
    first, second = of.ids(data_root)[:2]
    stored = of.scene(data_root, first).labels_HW.shape
    small = CamVid(folders=("train",), size=(stored[0] // 2, stored[1] // 2))
    found = WithCanaries(of=small, kind="swapped", sources=((first, second), (second, first)))
    np.testing.assert_array_equal(found.scene(data_root, first).labels_HW, small.scene(data_root, second).labels_HW)


def test_what_a_canary_learns_from_shapes_what_is_trained(data_template: Path) -> None:
    found, parts = planted(data_template)
    canary, source = found.sources[0]
    own = found.of.files(data_template, canary)
    assert found.files(data_template, canary) == (*own, *found.of.files(data_template, source)[1:])
    scene = next(i for i in parts.audited if i not in found.canaries)
    assert found.files(data_template, scene) == found.of.files(data_template, scene)
    other, _ = planted(data_template, canary="permuted")
    assert len({str(of.origin()) for of in (found, other, found.of)}) == 3
    assert found.picture(canary) == found.of.picture(canary), "the image is the same"


def test_too_few_to_audit_apart_are_refused(data_template: Path) -> None:
    with pytest.raises(MiaSegError, match=r"canaries = 0.1 of 16 audited scenes are 2, and 4 are the fewest"):
        planted(data_template, canaries=0.1)


def test_a_model_behind_a_door_learns_no_canary(workdir: Path) -> None:
    door = workdir / "victims" / "tiny_folder.toml"
    text, _, _ = door.read_text(encoding="utf-8").partition("[segmenter]")
    text = text.replace("pool = 12", "pool = 12\ncanaries = 0.4")
    door.write_text(text + '[door]\nname = "callable"\ntarget = "own:predict"\n', encoding="utf-8")
    with pytest.raises(MiaSegError, match=r"canaries have to be trained on, and a model behind \[door\] is trained"):
        recipes.load_victim("tiny_folder")


def test_a_fleet_has_its_victims_canaries(workspace: Workspace, workdir: Path) -> None:
    path = write_fleet(workdir, "tiny_folder")
    for file in (path, workdir / "victims" / "tiny_folder.toml"):
        edit(file, "pool = 12\n", "pool = 12\ncanaries = 0.4\n")
    pipeline = Pipeline(workspace)
    victim, first, *_ = (pipeline.victim("tiny_folder", 0), *pipeline.shadows("tiny_folder_fleet", 0))
    assert len(victim.dataset.canaries) == 5
    assert victim.dataset == first.dataset
    assert pipeline.victim("tiny_folder", 1).dataset.canaries != victim.dataset.canaries


def test_they_count_apart_in_a_fleets_own_audit() -> None:
    """The scenes that leak are canaries here, and nothing is left of the leak in the others."""
    read = fleet(8)
    leaks = [bool(leak) for leak in LEAK]
    facts = audited(read, Base(), Described(read.ids, CLASSES, SHOWS, canaries=leaks), rounds=99).facts
    natural = np.flatnonzero(LEAK == 0)
    alone = audited(read.take(natural), Base(), Described(read.ids, CLASSES, SHOWS).take(natural), rounds=99).facts
    told = facts.pop("canaries")
    assert facts == alone
    assert told["scenes"] == sum(leaks)
    assert told["auc"]["low"] > 0.7 > facts["pooled"]["auc"]["high"]
    assert worst(told).startswith("Of the 16 canaries, which count nowhere else: AUC 1.000 [0.8")


def test_scores_of_some_scenes_are_all_that_was_scored_of_them() -> None:
    values = np.arange(6.0)
    fewer = (ShadowCurvePoint(2, 1, -values),)
    every = Scores(values, np.stack([values, -values], 1), fewer, {("band", "x"): values + 9})
    some = every.take(np.array([4, 1]))
    assert some.image_N.tolist() == [4, 1]
    assert some.patch_NP is not None
    assert some.patch_NP.tolist() == [[4, -4], [1, -1]]
    assert some.by_shadows[0].image_N.tolist() == [-4, -1]
    assert some.parts[("band", "x")].tolist() == [13, 10]
    assert some.threshold_N is None


@pytest.fixture(scope="module")
def audited_tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Ran, Path]]:
    """The screen of a victim of 12 + 12 scenes, 10 of them canaries, and where it was written."""
    with pytest.MonkeyPatch.context() as patch:
        yield audited_with("swapped", tmp_path_factory.mktemp("canaries"), patch)


def audited_with(kind: str, folder: Path, patch: pytest.MonkeyPatch) -> tuple[Ran, Path]:
    write_recipes(folder)
    split = RANDOM.replace("= 6", "= 12").replace("pool = 12", "pool = 0")
    edit(folder / "victims" / "tiny.toml", RANDOM, f'{split}canaries = 0.4\ncanary = "{kind}"\n')
    patch.chdir(folder)
    return call("audit", "tiny", "--attack", "image_loss", "--device", "cpu"), folder / "reports"


def test_a_result_tells_them_apart_from_natural_scenes(audited_tiny: tuple[Ran, Path]) -> None:
    ran, reports = audited_tiny
    assert ran.code == 0, ran.err
    (found,) = results.read_all(reports)
    level, worst = found.levels["image"], found.canaries
    assert worst is not None
    assert worst.members + worst.nonmembers == 10
    assert level.n_members + worst.members == level.n_nonmembers + worst.nonmembers == 12
    assert found.scores is not None
    assert len(found.scores.ids) == 14
    assert found.left_out is not None
    assert found.left_out.members == found.left_out.nonmembers == []
    assert worst.epsilon.reason == "[split] rule 'random' tosses no fair coin for each scene; rule 'coin' does"


def test_twins_of_canaries_count_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran, reports = audited_with("twinned", tmp_path, monkeypatch)
    assert ran.code == 0, ran.err
    (found,) = results.read_all(reports)
    level, worst = found.levels["image"], found.canaries
    assert worst is not None
    assert worst.members + worst.nonmembers == 5
    assert level.n_members + level.n_nonmembers == 14


def test_a_fleet_leaves_them_out_too(workdir: Path, data_root: Path) -> None:
    path = write_fleet(workdir, "tiny_folder")
    for file in (path, workdir / "victims" / "tiny_folder.toml"):
        edit(file, "pool = 12\n", 'pool = 8\ncanaries = 0.5\ncanary = "twinned"\n')
        edit(file, "members = 6\nnonmembers = 6", "members = 8\nnonmembers = 8")
    line = ("tiny_folder_fleet", "--curve", "tiny_folder_fleet", "--attack", "base", "--rounds", "99", "--json")
    ran = call("fleet", *line, "--data-root", data_root, "--device", "cpu")
    assert ran.code == 0, ran.err
    alone, compared = json.loads(ran.out)
    (beside,) = compared["plain"]
    assert (alone["scenes"], alone["canaries"]["scenes"]) == (8, 4)
    assert beside["auc"]["base"] == alone["pooled"]["auc"]["value"]
    assert beside["canaries"]["base"]["auc"] == alone["canaries"]["auc"]


def test_pages_and_screens_tell_them_apart(audited_tiny: tuple[Ran, Path]) -> None:
    ran, reports = audited_tiny
    (found,) = results.read_all(reports)
    worst = found.canaries
    assert worst is not None
    assert worst.auc is not None
    said = f"tiny: Canaries, scenes with the labels of another one: AUC {worst.auc:.2f} ["
    assert said in " ".join(ran.out.split())
    for page in (reports / "tiny" / "index.html", reports / "tiny" / "README.md"):
        text = page.read_text(encoding="utf-8")
        assert f"{worst.members} + {worst.nonmembers}" in text
        assert "A dash: members were not drawn by fair coins." in text
    assert canary_sentence([found.model_copy(update={"canaries": None})]) == ""
    few = worst.model_copy(update={"auc": None, "low": None, "high": None})
    (row,) = canary_table(cells(enriched([found.model_copy(update={"canaries": few})]))).rows
    assert row[3] == "too few"
