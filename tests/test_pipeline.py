"""The line's own decisions: which cells there are, and who is a member of a shadow."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from helpers_files import edit

from mia_seg import pipeline
from mia_seg.errors import MiaSegError
from mia_seg.pipeline import Audit, Model, Space, grid
from mia_seg.store import Store


@pytest.fixture
def space(workdir: Path, data_template: Path, monkeypatch: pytest.MonkeyPatch) -> Space:
    """A place of work where training takes no time and teaches nothing."""

    def nothing(*arguments: Any) -> None:
        (arguments[3] / "weights").write_text("none")

    monkeypatch.setattr(pipeline.train, "train", nothing)
    return Space(Store(workdir / "runs"), data_template, workdir / "reports", "cpu")


def random_shadow(workdir: Path, members: int, victim: str = "tiny_camvid") -> None:
    path = workdir / "shadows" / f"{victim}_a1.toml"
    edit(path, 'choose = "confidence"\nmembers = 6', f'choose = "random"\nmembers = {members}')


def units(model: Model, ids: list[str]) -> set[str]:
    return {model.parts.unit[i] for i in ids}


def test_an_undefended_victim_is_attacked_once_and_a_defended_one_by_two_kinds_of_attacker() -> None:
    assert grid(["none", "argmax"], ["a", "b"]) == [
        Audit("none", "a", False),
        Audit("none", "b", False),
        Audit("argmax", "a", False),
        Audit("argmax", "a", True),
        Audit("argmax", "b", False),
        Audit("argmax", "b", True),
    ]


def test_victim_and_shadow_part_the_scenes_among_them(space: Space, workdir: Path) -> None:
    random_shadow(workdir, 6)
    victim, shadow = pipeline.train_victim("tiny_camvid", 0, space), pipeline.train_shadow("tiny_camvid_a1", 0, space)
    assert [len(part) for part in (victim.parts.members, victim.parts.nonmembers)] == [6, 6]
    assert [len(part) for part in (shadow.parts.members, shadow.parts.nonmembers)] == [6, 6]
    assert not units(victim, victim.asked) & units(shadow, shadow.asked)
    assert shadow.queries == 0
    assert victim.asked == sorted(victim.asked), "an order by membership would tell it"
    assert victim.known().members_N.tolist() == [scene in victim.parts.members for scene in victim.asked]


@pytest.mark.parametrize(("members", "nonmembers"), [(3, 9), (4, 6), (5, 6), (6, 6), (7, 3), (8, 3), (9, 3)])
def test_a_block_of_the_pool_lies_on_one_side_of_the_shadow(
    space: Space, workdir: Path, members: int, nonmembers: int
) -> None:
    """The frames that are left of a block are no non-members: they look like members."""
    random_shadow(workdir, members)
    for seed in range(3):
        shadow = pipeline.train_shadow("tiny_camvid_a1", seed, space)
        assert (len(shadow.parts.members), len(shadow.parts.nonmembers)) == (members, nonmembers)
        assert not units(shadow, shadow.parts.members) & units(shadow, shadow.parts.nonmembers)


@pytest.mark.parametrize(("victim", "members"), [("tiny_camvid", 10), ("tiny_camvid", 12), ("tiny_folder", 12)])
def test_a_shadow_without_non_members_is_refused_before_its_victim_is_trained(
    space: Space, workdir: Path, victim: str, members: int
) -> None:
    random_shadow(workdir, members, victim)
    with pytest.raises(MiaSegError, match=rf"members = {members} leaves no non-members in a pool of 12. Lower it"):
        pipeline.train_shadow(f"{victim}_a1", 0, space)
    assert not space.store.root.exists()


def test_the_same_seed_chooses_the_same_members_and_another_seed_others(space: Space, workdir: Path) -> None:
    random_shadow(workdir, 6, "tiny_folder")
    first, again, other = (pipeline.train_shadow("tiny_folder_a1", seed, space) for seed in (0, 0, 1))
    assert first.parts == again.parts
    assert first.artefact == again.artefact
    assert first.parts.members != other.parts.members
    assert first.artefact.path != other.artefact.path


def test_what_shapes_a_model_shapes_its_place_and_what_does_not_does_not(space: Space, workdir: Path) -> None:
    victims = workdir / "victims"
    before = pipeline.train_victim("tiny_folder", 0, space).artefact.path
    edit(victims / "tiny_folder.toml", "# A recipe for tests", "# Another head")
    edit(victims / "tiny_folder.toml", "pool = 12", "pool = 11")  # the attacker's scenes are none of the victim's
    assert pipeline.train_victim("tiny_folder", 0, space).artefact.path == before
    edit(victims / "tiny_folder.toml", "lr = 0.01", "lr = 0.02")
    assert pipeline.train_victim("tiny_folder", 0, space).artefact.path != before
    shutil.copy(victims / "tiny_folder.toml", victims / "copy.toml")
    assert pipeline.train_victim("copy", 0, space).artefact.path.name.startswith("copy.s0-")
