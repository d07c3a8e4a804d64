"""The line's own decisions: which cells there are, and who is a member of a shadow."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import Audit as Trained
from helpers_files import ATTACK, HEAD, MODEL, PHOTOGRAPHS, RANDOM, STREETS, call, edit, victim_text, write
from safetensors import safe_open

from mia_seg import pipeline
from mia_seg.errors import MiaSegError
from mia_seg.evaluate import results
from mia_seg.evaluate.audit import Audit, Model
from mia_seg.pipeline import grid
from mia_seg.workspace import Workspace


def random_shadow(workdir: Path, members: int, victim: str = "tiny_camvid") -> None:
    path = workdir / "shadows" / f"{victim}_a1.toml"
    edit(path, 'choose = "confidence"\nmembers = 6', f'choose = "random"\nmembers = {members}')


def groups(model: Model, ids: list[str]) -> set[str]:
    return {model.parts.group[i] for i in ids}


def test_an_undefended_victim_is_attacked_once_and_a_defended_one_by_two_kinds_of_attacker() -> None:
    assert grid(["none", "argmax"], ["a", "b"]) == [
        Audit("none", "a", False),
        Audit("none", "b", False),
        Audit("argmax", "a", False),
        Audit("argmax", "a", True),
        Audit("argmax", "b", False),
        Audit("argmax", "b", True),
    ]


def test_victim_and_shadow_part_the_scenes_among_them(space: Workspace, workdir: Path) -> None:
    random_shadow(workdir, 6)
    victim, shadow = pipeline.train_victim("tiny_camvid", 0, space), pipeline.train_shadow("tiny_camvid_a1", 0, space)
    assert [len(part) for part in (victim.parts.members, victim.parts.nonmembers)] == [6, 6]
    assert [len(part) for part in (shadow.parts.members, shadow.parts.nonmembers)] == [6, 6]
    assert not groups(victim, victim.asked) & groups(shadow, shadow.asked)
    assert shadow.queries == 0
    assert victim.asked == sorted(victim.asked), "an order by membership would tell it"
    assert victim.known().members_N.tolist() == [scene in victim.parts.members for scene in victim.asked]


@pytest.mark.parametrize(("members", "nonmembers"), [(3, 9), (4, 6), (5, 6), (6, 6), (7, 3), (8, 3), (9, 3)])
def test_a_block_of_the_pool_lies_on_one_side_of_the_shadow(
    space: Workspace, workdir: Path, members: int, nonmembers: int
) -> None:
    """The frames that are left of a block are no non-members: they look like members."""
    random_shadow(workdir, members)
    for seed in range(3):
        shadow = pipeline.train_shadow("tiny_camvid_a1", seed, space)
        assert (len(shadow.parts.members), len(shadow.parts.nonmembers)) == (members, nonmembers)
        assert not groups(shadow, shadow.parts.members) & groups(shadow, shadow.parts.nonmembers)


@pytest.mark.parametrize(("victim", "members"), [("tiny_camvid", 10), ("tiny_camvid", 12), ("tiny_folder", 12)])
def test_a_shadow_without_non_members_is_refused_before_its_victim_is_trained(
    space: Workspace, workdir: Path, victim: str, members: int
) -> None:
    random_shadow(workdir, members, victim)
    with pytest.raises(MiaSegError, match=rf"members = {members} leaves no non-members in a pool of 12. Lower it"):
        pipeline.train_shadow(f"{victim}_a1", 0, space)
    assert not space.store.root.exists()


def test_the_same_seed_chooses_the_same_members_and_another_seed_others(space: Workspace, workdir: Path) -> None:
    random_shadow(workdir, 6, "tiny_folder")
    first, again, other = (pipeline.train_shadow("tiny_folder_a1", seed, space) for seed in (0, 0, 1))
    assert first.parts == again.parts
    assert first.artefact == again.artefact
    assert first.parts.members != other.parts.members
    assert first.artefact.path != other.artefact.path


def test_what_shapes_a_model_shapes_its_place_and_what_does_not_does_not(space: Workspace, workdir: Path) -> None:
    victims = workdir / "victims"
    before = pipeline.train_victim("tiny_folder", 0, space).artefact.path
    edit(victims / "tiny_folder.toml", "# A recipe for tests", "# Another head")
    edit(victims / "tiny_folder.toml", "pool = 12", "pool = 11")  # the attacker's scenes are none of the victim's
    assert pipeline.train_victim("tiny_folder", 0, space).artefact.path == before
    edit(victims / "tiny_folder.toml", "lr = 0.01", "lr = 0.02")
    assert pipeline.train_victim("tiny_folder", 0, space).artefact.path != before
    shutil.copy(victims / "tiny_folder.toml", victims / "copy.toml")
    assert pipeline.train_victim("copy", 0, space).artefact.path.name.startswith("copy.s0-")


A2 = '[adversary]\nkind = "A2"\nstride = 4\n'


def independent_shadow(workdir: Path, data: str, name: str = "tiny_a2") -> None:
    """A shadow on data of its own; `data` is its [data] section."""
    write(workdir / "shadows" / f"{name}.toml", HEAD.format(victim="tiny") + data + RANDOM + MODEL + A2 + ATTACK)


def test_an_independent_shadow_trains_on_its_own_split_and_asks_nobody(space: Workspace, workdir: Path) -> None:
    independent_shadow(workdir, STREETS + 'style = "night"\n')
    shadow = pipeline.train_shadow("tiny_a2", 0, space)
    cut = shadow.recipe.split.cut(shadow.recipe.dataset(), None, 0)
    assert shadow.parts == cut
    assert shadow.queries == 0
    assert [path.name.partition(".")[0] for path in (space.store.root / "shadows").iterdir()] == ["tiny_a2"]
    assert not (space.store.root / "victims").exists()


def test_an_independent_shadow_on_its_victims_scenes_is_refused(space: Workspace, workdir: Path) -> None:
    independent_shadow(workdir, STREETS)
    with pytest.raises(MiaSegError, match=r"Shadow 'tiny_a2' and the scenes of victim 'tiny' share \d+ scenes"):
        pipeline.run("tiny", "tiny_a2", ["none"], ["image_loss"], 0, space)


def test_another_label_space_is_refused_before_anything_is_trained(space: Workspace, workdir: Path) -> None:
    independent_shadow(workdir, PHOTOGRAPHS)
    says = r"'tiny_a2' knows 8 classes \(building, car, door ...\) and victim 'tiny' 19 .*Merge the labels of both"
    with pytest.raises(MiaSegError, match=says):
        pipeline.run("tiny", "tiny_a2", ["none"], ["image_loss"], 0, space)
    assert not space.store.root.exists()


def listed_shadow(workdir: Path, data_root: Path, ids: list[str]) -> None:
    write(data_root / "mine.txt", "\n".join(ids))
    path = workdir / "shadows" / "tiny_folder_a1.toml"
    edit(path, 'choose = "confidence"\nmembers = 6', 'choose = "listed"\nmembers = "mine.txt"')


def test_a_listed_shadow_trains_on_its_list_and_knows_the_rest_of_the_pool(
    space: Workspace, workdir: Path, data_root: Path
) -> None:
    space = replace(space, data_root=data_root)
    pool = pipeline.train_victim("tiny_folder", 0, space).parts.pool
    listed_shadow(workdir, data_root, pool[:4])
    shadow = pipeline.train_shadow("tiny_folder_a1", 0, space)
    assert (shadow.parts.members, shadow.parts.nonmembers) == (pool[:4], pool[4:])
    assert shadow.queries == 0


def test_a_list_with_the_victims_scenes_is_refused(space: Workspace, workdir: Path, data_root: Path) -> None:
    space = replace(space, data_root=data_root)
    victim = pipeline.train_victim("tiny_folder", 0, space)
    listed_shadow(workdir, data_root, [*victim.parts.pool[:4], victim.parts.members[0]])
    with pytest.raises(MiaSegError, match=rf"mine.txt: 1 of 5 ids are not in the .*{victim.parts.members[0]}"):
        pipeline.train_shadow("tiny_folder_a1", 0, space)


def starting(workdir: Path, name: str, start: str) -> None:
    """The victim `name` with weights to begin with."""
    edit(workdir / "victims" / f"{name}.toml", "[train]\n", f'[train]\nstart = "{start}"\n')


def test_a_victim_may_begin_with_the_weights_of_another(space: Workspace, workdir: Path, monkeypatch: Any) -> None:
    given = []

    def begin(*arguments: Any) -> None:
        given.append(arguments[7])
        (arguments[3] / pipeline.train.WEIGHTS).write_text("none")

    monkeypatch.setattr(pipeline.train, "train", begin)
    write(workdir / "victims" / "base.toml", victim_text().replace('"streets"', '"streets"\nseed = 7'))
    alone = pipeline.train_victim("tiny", 3, space)
    starting(workdir, "tiny", "base")
    victim = pipeline.train_victim("tiny", 3, space)
    base = pipeline.train_victim("base", 0, space)
    assert given == [None, None, base.artefact.path / pipeline.train.WEIGHTS]
    assert victim.artefact.path != alone.artefact.path
    before = victim.artefact.digest
    edit(workdir / "victims" / "base.toml", "lr = 0.01", "lr = 0.02")
    assert pipeline.train_victim("tiny", 3, space).artefact.digest != before, "another base makes another victim"


def test_a_base_that_knows_the_non_members_is_refused(space: Workspace, workdir: Path) -> None:
    """They would be members of the victim by way of its first weights."""
    write(workdir / "victims" / "base.toml", victim_text())
    starting(workdir, "tiny", "base")
    with pytest.raises(MiaSegError, match=r"Non-members of 'tiny' and the scenes of victim 'base' share"):
        pipeline.train_victim("tiny", 1, space)


def test_bases_that_go_round_in_a_circle_are_refused(space: Workspace, workdir: Path) -> None:
    write(workdir / "victims" / "base.toml", victim_text())
    starting(workdir, "tiny", "base")
    starting(workdir, "base", "tiny")
    with pytest.raises(MiaSegError, match=r"in a circle: tiny -> base -> tiny"):
        pipeline.train_victim("tiny", 0, space)


def test_an_independent_attack_looks_at_the_classes_of_both_sides(audit: Trained, workdir: Path) -> None:
    """The whole line of adversary A2, the victim reused; streets at night differ in what they show."""
    shutil.copytree(audit.store / "victims", workdir / "runs" / "victims")
    independent_shadow(workdir, STREETS + 'style = "night"\n')
    asked = ("--attack", "image_loss", "--attack", "patch_resnet50:concat", "--defense", "none", "--device", "cpu")
    ran = call("run", "tiny", "tiny_a2", *asked)
    assert ran.code == 0, ran.err
    for path in (workdir / "reports" / "tiny").glob("tiny_a2.*.json"):
        found = results.read(path)
        assert (found.adversary, found.choose, found.queries) == ("A2", "", 12)
        assert (found.dataset, found.shadow_dataset) == ("streets", "streets (night)")
        members, others = ((found.confidence or {})[side] for side in ("members", "nonmembers"))
        assert sum(members) == sum(others) > 0, "as many cells of as many scenes of one size"
        seen = found.classes
        assert len(seen.both) > 1
        assert not set(seen.both) & {*seen.victim, *seen.shadow}
    weights = next((workdir / "runs" / "attackers").glob("*concat*/attacker.safetensors"))
    with safe_open(weights, "pt") as file:
        channels = file.get_slice("conv1.0.weight").get_shape()[1]
    assert channels == 2 * len(seen.both), "a posterior and a label for each class that the attacker looks at"
    assert "never asked the victim" in (workdir / "reports" / "index.html").read_text("utf-8")
    assert (workdir / "reports" / "tiny" / "cam.png").is_file(), "the attacker's maps are of those classes too"


def test_blocks_of_a_drive_are_told_by_their_mean_score(workdir: Path, data_template: Path) -> None:
    asked = ("--attack", "image_loss", "--defense", "none", "--device", "cpu", "--data-root", data_template)
    ran = call("run", "tiny_camvid", "tiny_camvid_a1", *asked)
    assert ran.code == 0, ran.err
    found = results.read(workdir / "reports" / "tiny_camvid" / "tiny_camvid_a1.none.image_loss.s0.json").levels
    assert {name: level.n_members for name, level in found.items()} == {"image": 6, "group": 2}
    assert found["group"].threshold == found["image"].threshold
    page = (workdir / "reports" / "index.html").read_text("utf-8")
    assert "Every attack, group by group" in page
    assert "ROC, groups of photographs" in page


def test_coins_of_victim_and_shadow_end_in_a_bound_on_epsilon(workdir: Path) -> None:
    for folder, name in (("victims", "tiny"), ("shadows", "tiny_a1")):
        edit(workdir / folder / f"{name}.toml", 'rule = "random"', 'rule = "coin"')
    ran = call("run", "tiny", "tiny_a1", "--attack", "image_loss", "--defense", "none", "--device", "cpu")
    assert ran.code == 0, ran.err
    found = results.read(workdir / "reports" / "tiny" / "tiny_a1.none.image_loss.s0.json")
    image, epsilon = found.levels["image"], found.epsilon
    assert epsilon is not None
    assert image.n_members + image.n_nonmembers == epsilon.guesses == 12
    # Twelve right guesses of twelve would show log(q / (1 - q)) with q = 0.05 ** (1 / 12), 1.26.
    assert 0 <= (-1 if epsilon.low is None else epsilon.low) < 1.27
    assert "What it says of differential privacy" in (workdir / "reports" / "index.html").read_text("utf-8")
