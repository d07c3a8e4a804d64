"""Who is a member: drawn by the seed alone, disjoint, and never two near-duplicates on two sides."""

import hashlib
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers_datasets import add_val
from helpers_files import DRIVES, FRAMES, write
from pydantic import ValidationError

from mia_seg import recipes
from mia_seg.data import Dataset, Scene
from mia_seg.data.camvid import CamVid
from mia_seg.errors import MiaSegError
from mia_seg.recipes import splits
from mia_seg.recipes.splits import Partition, SplitRule, assert_disjoint

PARTS = ("members", "nonmembers", "pool")
SEEDS = range(6)


class Listed(Dataset):
    """Ids without images; what stands before '_' is the drive."""

    names: tuple[str, ...]

    def classes(self) -> tuple[str, ...]:
        return ("any",)

    def ids(self, data_root: Path | None) -> list[str]:
        return sorted(self.names)

    def scene(self, data_root: Path | None, scene_id: str) -> Scene:
        raise AssertionError("a split needs no images")

    def group(self, scene_id: str) -> str:
        return scene_id.partition("_")[0]


def photographs(count: int = 40) -> Listed:
    return Listed(names=tuple(f"{k:03d}" for k in range(count)))


def drives(lengths: dict[str, int]) -> Listed:
    return Listed(names=tuple(f"{drive}_{k:03d}" for drive, length in lengths.items() for k in range(length)))


def random_split(members: int = 10, nonmembers: int = 8, pool: int = 20) -> SplitRule:
    return SplitRule(rule="random", members=members, nonmembers=nonmembers, pool=pool)


def block_split(block: int, gap: int, **counts: int) -> SplitRule:
    return SplitRule(rule="blocks", block=block, gap=gap, **{"members": 8, "nonmembers": 8, "pool": 8} | counts)


def sides(parts: Partition) -> dict[str, str]:
    """Scene id -> the part that it lies in."""
    return {scene_id: name for name in PARTS for scene_id in getattr(parts, name)}


def test_random_is_what_it_was() -> None:
    """Membership answer: another drawing under the same seed would make every stored result another one."""
    parts = SplitRule(rule="random", members=3, nonmembers=3, pool=2).cut(photographs(10), None, 0)
    assert parts.members == ["001", "007", "008"]
    assert parts.nonmembers == ["003", "004", "005"]
    assert parts.pool == ["000", "002"]


def test_random_has_the_counts_and_no_scene_twice() -> None:
    for seed in SEEDS:
        parts = random_split().cut(photographs(), None, seed)
        assert [len(getattr(parts, name)) for name in PARTS] == [10, 8, 20]
        assert len(sides(parts)) == 38
        assert all(getattr(parts, name) == sorted(getattr(parts, name)) for name in PARTS)
        assert all(parts.group[scene_id] == scene_id for scene_id in sides(parts))


def test_the_seed_alone_decides() -> None:
    cuts = [random_split().cut(photographs(), None, seed) for seed in SEEDS]
    assert cuts == [random_split().cut(photographs(), None, seed) for seed in SEEDS]
    assert len({tuple(parts.members) for parts in cuts}) == len(SEEDS)


def test_every_scene_has_its_chance_on_every_side() -> None:
    seen = [sides(random_split(10, 10, 20).cut(photographs(), None, seed)) for seed in range(60)]
    for scene_id in photographs().names:
        assert {cut[scene_id] for cut in seen} == set(PARTS)


def test_a_smaller_pool_leaves_members_and_non_members_alone() -> None:
    large, small = (random_split(pool=pool).cut(photographs(), None, 0) for pool in (20, 0))
    assert (large.members, large.nonmembers) == (small.members, small.nonmembers)
    assert small.pool == []


def coin_split(count: int = 10, pool: int = 20) -> SplitRule:
    return SplitRule(rule="coin", members=count, nonmembers=count, pool=pool)


def test_coins_part_the_scenes_that_a_random_split_audits() -> None:
    for seed in SEEDS:
        parts, drawn = (split.cut(photographs(), None, seed) for split in (coin_split(), random_split(10, 10)))
        assert sorted(parts.members + parts.nonmembers) == sorted(drawn.members + drawn.nonmembers)
        assert parts.pool == drawn.pool
        assert len(sides(parts)) == 40, "every scene in one part"
        assert all(getattr(parts, name) == sorted(getattr(parts, name)) for name in PARTS)
        assert all(parts.group[scene_id] == scene_id for scene_id in sides(parts))
        assert parts == coin_split().cut(photographs(), None, seed)


def test_coins_are_fair_and_each_its_own() -> None:
    """Over 400 seeds: each of 20 scenes a member in half of them, and each pair alike in half of them, within 4.5 s."""
    cuts = [coin_split(10, 0).cut(photographs(20), None, seed) for seed in range(400)]
    heads = np.array([[name in parts.members for name in photographs(20).names] for parts in cuts])
    alike = (heads[:, :, None] == heads[:, None]).mean(0)[np.triu_indices(20, 1)]
    deviation = 0.5 / np.sqrt(400)
    assert np.abs(heads.mean(0) - 0.5).max() < 4.5 * deviation
    assert np.abs(alike - 0.5).max() < 4.5 * deviation
    assert heads.sum(1).std() == pytest.approx(np.sqrt(20) / 2, rel=0.15), "counts vary as coins do"


def test_coins_are_what_they_were() -> None:
    """Membership answer, as for `random`; the scenes and the pool are those of `random` with these counts."""
    parts = coin_split(3, 2).cut(photographs(10), None, 0)
    assert parts.members == ["001", "003", "007"]
    assert parts.nonmembers == ["004", "005", "008"]
    assert parts.pool == ["000", "002"]


def test_coins_that_all_fall_alike_are_refused() -> None:
    with pytest.raises(MiaSegError, match=r"under seed 1 the coins of all 2 scenes fall alike. Raise members and"):
        coin_split(1, 0).cut(photographs(10), None, 1)
    assert len(coin_split(1, 0).cut(photographs(10), None, 0).members) == 1


@pytest.mark.parametrize(("block", "gap"), [(1, 0), (1, 3), (4, 0), (4, 2), (4, 5), (8, 1)])
def test_scenes_of_different_parts_are_far_apart_inside_a_drive(block: int, gap: int) -> None:
    dataset = drives({"a": 60, "b": 50, "c": 30})
    split = block_split(block, gap)
    for seed in SEEDS:
        part_of = sides(split.cut(dataset, None, seed))
        for drive in "abc":
            steps = [int(i[2:]) for i in sorted(part_of) if i.startswith(drive)]
            for before, after in pairwise(steps):
                if part_of[f"{drive}_{before:03d}"] != part_of[f"{drive}_{after:03d}"]:
                    assert after - before >= gap + 1


@pytest.mark.parametrize(("block", "gap"), [(4, 0), (4, 2)])
def test_a_block_is_consecutive_frames_of_one_drive_on_one_side(block: int, gap: int) -> None:
    dataset = drives({"a": 23, "b": 19, "c": 5})
    for seed in SEEDS:
        parts = block_split(block, gap).cut(dataset, None, seed)
        part_of = sides(parts)
        for group in {parts.group[i] for i in part_of}:
            drive, first = group.split("_")
            frames = [i for i in parts.group if parts.group[i] == group]
            assert sorted(frames) == [f"{drive}_{int(first) + k:03d}" for k in range(block)]
            assert len({part_of.get(i) for i in frames}) == 1


def test_guard_frames_and_the_rest_of_a_drive_are_dropped() -> None:
    parts = block_split(3, 2, members=3, nonmembers=3, pool=3).cut(drives({"a": 12, "b": 7}), None, 0)
    # a: 0-2, gap 3-4, 5-7, gap 8-9, and 10-11 are no whole block; b: 0-2, gap 3-4, and 5-6 are none.
    assert sorted(parts.group) == [f"a_{k:03d}" for k in (0, 1, 2, 5, 6, 7)] + [f"b_{k:03d}" for k in (0, 1, 2)]


def test_a_block_that_is_needed_in_part_is_not_given_to_two_sides() -> None:
    dataset = drives({"a": 40})
    for seed in SEEDS:
        parts = block_split(4, 0, members=6, nonmembers=5, pool=8).cut(dataset, None, seed)
        assert [len(getattr(parts, name)) for name in PARTS] == [6, 5, 8]
        groups = [{parts.group[i] for i in getattr(parts, name)} for name in PARTS]
        assert not groups[0] & groups[1]
        assert not groups[0] & groups[2]
        assert not groups[1] & groups[2]


def test_camvid_drives_are_cut_into_blocks(data_template: Path) -> None:
    dataset = CamVid()
    parts = block_split(5, 2, members=10, nonmembers=5, pool=15).cut(dataset, data_template, 0)
    groups = {parts.group[i] for i in sides(parts)}
    assert len(groups) == 6
    assert {group.split("/")[1].split("_")[0] for group in parts.group.values()} == set(DRIVES)
    # 16 frames are two blocks of five with their gaps, and two frames over.
    assert len(set(parts.group.values())) == 2 * len(DRIVES)
    assert len(parts.group) < len(DRIVES) * FRAMES


def test_frames_of_one_drive_in_two_folders_are_neighbours(data_root: Path) -> None:
    """CamVid's val frames lie between train frames: as blocks of their own they would be near-duplicates across."""
    add_val(data_root)
    dataset = CamVid(folders=("train", "val"))
    number = {i: int(i[-5:]) for i in dataset.ids(data_root)}
    for seed in SEEDS:
        parts = block_split(4, 1, members=8, nonmembers=8, pool=16).cut(dataset, data_root, seed)
        part_of = sides(parts)
        for drive in DRIVES:
            inside = sorted((number[i], part_of[i]) for i in part_of if dataset.group(i) == drive)
            # Train and val alternate every 15 numbers; one guard frame makes it 30 between two parts.
            assert all(b - a >= 30 for (a, one), (b, other) in pairwise(inside) if one != other)


def group_split(**counts: int) -> SplitRule:
    return SplitRule(rule="groups", **{"members": 5, "nonmembers": 5, "pool": 5} | counts)


def test_groups_lie_on_one_side_whole_and_every_group_gets_its_turn() -> None:
    dataset = drives({"a": 5, "b": 5, "c": 3, "d": 2, "e": 5})
    chosen = set()
    for seed in range(40):
        parts = group_split(members=5, nonmembers=5, pool=4).cut(dataset, None, seed)
        part_of = sides(parts)
        of_group: dict[str, set[str]] = {}
        for scene_id, part in part_of.items():
            of_group.setdefault(dataset.group(scene_id), set()).add(part)
        assert all(len(parts_of) == 1 for parts_of in of_group.values())
        assert [len(getattr(parts, name)) for name in PARTS] == [5, 5, 4]
        assert {parts.group[i] for i in parts.members}.isdisjoint(parts.group[i] for i in parts.nonmembers)
        chosen |= {dataset.group(i) for i in parts.members}
    assert chosen == set("abcde")


def test_order_cuts_the_sorted_ids_one_part_after_the_other_whatever_the_seed() -> None:
    split = SplitRule(rule="order", members=10, nonmembers=8, pool=20)
    names = photographs().ids(None)
    for seed in SEEDS:
        parts = split.cut(photographs(), None, seed)
        assert (parts.members, parts.nonmembers, parts.pool) == (names[:10], names[10:18], names[18:38])


def hashed(*names: str) -> str:
    return hashlib.sha256("".join(f"{name}\n" for name in names).encode()).hexdigest()


def test_a_published_part_is_compared_by_its_bare_names() -> None:
    dataset = Listed(names=("train/b", "train/c", "val/a"))
    split = SplitRule(rule="order", members=1, nonmembers=2, pool=0, sha256={"nonmembers": hashed("a", "c")})
    assert split.cut(dataset, None, 0).nonmembers == ["train/c", "val/a"]
    lacking = Listed(names=("train/b", "val/a", "val/d"))
    with pytest.raises(MiaSegError, match=r"the non-members are not the published ones \(of 3 scenes; .*Restore"):
        split.cut(lacking, None, 0)


def test_too_few_scenes_for_a_published_order_are_counted() -> None:
    split = SplitRule(rule="order", members=1, nonmembers=4, pool=1, sha256={"members": hashed("000")})
    with pytest.raises(MiaSegError, match=r"cuts 6 published scenes, and the disk has 4: 2 are lacking\. Extract"):
        split.cut(photographs(4), None, 0)


def test_an_order_of_listed_scenes_names_those_that_the_disk_lacks(tmp_path: Path) -> None:
    write(tmp_path / "all.txt", "".join(f"{k:03d}\n" for k in range(9)))
    split = SplitRule(rule="order", of="all.txt", members=4, nonmembers=4, pool=1)
    parts = split.cut(photographs(20), tmp_path, 0)
    assert parts.members + parts.nonmembers + parts.pool == [f"{k:03d}" for k in range(9)]
    with pytest.raises(MiaSegError, match=r"all.txt: 7 of 9 ids are not in the data set: 002, 003, 004, 005, 006\."):
        split.cut(photographs(2), tmp_path, 0)


@pytest.mark.parametrize("name", ["labelmefacade_small", "labelmefacade_100", "protect_none"])
def test_more_photographs_than_the_list_of_a_recipe_change_no_part(name: str) -> None:
    """The whole of LabelMeFacade has 945 pairs, and results are of 600."""
    named = (splits.PUBLISHED / "labelmefacade_600.txt").read_text("utf-8").split()
    assert len(named) == 600
    split = recipes.load_victim(name).split
    whole = split.cut(Listed(names=(*named, *(f"between_{k}" for k in range(345)))), None, 0)
    assert whole == split.cut(Listed(names=tuple(named)), None, 0)
    with pytest.raises(MiaSegError, match=f"1 of 600 ids are not in the data set: {named[0]}"):
        split.cut(Listed(names=tuple(named[1:])), None, 0)


def test_every_recipe_on_labelmefacade_names_its_list() -> None:
    given = [recipes.load("victim", name) for name in recipes.names("victim")]
    given += [recipes.load("shadow", name) for name in recipes.names("shadow")]
    lists = {one.split.of for one in given if one.data.get("path") == "labelmefacade"}
    whole = set((splits.PUBLISHED / "labelmefacade_600.txt").read_text("utf-8").split())
    for name in lists:
        assert set((splits.PUBLISHED / str(name)).read_text("utf-8").split()) <= whole


def test_the_published_cityscapes_split_is_a_cut_of_the_scenes_with_fine_labels() -> None:
    """Membership answers: hashes of the released lists' names, its numbers read as places in this order."""
    fine = Listed(names=tuple((splits.PUBLISHED / "cityscapes_fine.txt").read_text("utf-8").split()))
    assert sum(name.startswith("train/") for name in fine.names) == 2975
    for name, counts in (("cityscapes", (1488, 912, 1075)), ("cityscapes_full", (2975, 500, 0))):
        split = recipes.load_victim(name).split
        parts = split.cut(fine, None, 0)
        assert (len(parts.members), len(parts.nonmembers), len(parts.pool)) == counts
        assert {"members", "nonmembers"} <= split.sha256.keys()
    shadow = recipes.load_shadow("cityscapes_a1_listed")
    assert shadow.adversary is not None
    pool = shadow.split.cut(fine, None, 0).pool
    listed = splits.read_ids(None, str(shadow.adversary.members), pool)
    rest = sorted(set(pool) - set(listed))
    assert (len(listed), len(rest)) == (555, 520)
    assert splits.names_digest(rest).startswith("96082871cf54f1aa"), "the other released list"


def test_published_lists_come_along_and_say_how_many_ids_the_disk_lacks(tmp_path: Path) -> None:
    name = "cityscapes_dependent_shadow_member.txt"
    listed = (splits.PUBLISHED / name).read_text("utf-8").split()
    assert splits.read_ids(None, name, listed) == sorted(listed)
    assert len(listed) == 555
    assert splits.names_digest(listed).startswith("6de2013a1646e32d")
    with pytest.raises(MiaSegError) as refused:
        splits.read_ids(tmp_path, name, listed[7:])
    assert f"7 of 555 ids are not in the data set: {', '.join(sorted(listed[:7])[:5])}." in str(refused.value)


def write_lists(root: Path, **lists: str) -> SplitRule:
    for name, text in lists.items():
        write(root / "lists" / f"{name}.txt", text)
    return SplitRule(rule="lists", **{name: f"lists/{name}.txt" for name in PARTS})  # type: ignore[arg-type]


def test_lists_are_read_below_the_data_root(tmp_path: Path) -> None:
    split = write_lists(tmp_path, members="003\n001\n\n003\n", nonmembers="002\r\n", pool="  004 \n005")
    cuts = [split.cut(photographs(), tmp_path, seed) for seed in SEEDS]
    assert all(cut == cuts[0] for cut in cuts)
    assert (cuts[0].members, cuts[0].nonmembers, cuts[0].pool) == (["001", "003"], ["002"], ["004", "005"])
    assert cuts[0].group == {i: i for i in ("001", "002", "003", "004", "005")}


def test_ids_may_hold_spaces(tmp_path: Path) -> None:
    dataset = Listed(names=("a street", "a house", "a tree"))
    split = write_lists(tmp_path, members="a street\n", nonmembers="a house\n", pool="a tree\n")
    assert split.cut(dataset, tmp_path, 0).members == ["a street"]


@pytest.mark.parametrize(
    ("lists", "says"),
    [
        ({"members": "001\nnowhere\n"}, ["members.txt: 1 of 2 ids are not in the data set: nowhere."]),
        ({"pool": ""}, ["pool.txt is an empty split. Give at least one scene id, one a line."]),
        ({"nonmembers": "001\n005\n"}, ["[split]: members and non-members share 1 scenes ('001' is one)."]),
        ({"pool": "001\n"}, ["[split]: members and pool share 1 scenes ('001' is one). Make the lists disjoint."]),
        ({"pool": "002\n"}, ["[split]: non-members and pool share 1 scenes ('002' is one)."]),
    ],
)
def test_wrong_lists_are_refused(tmp_path: Path, lists: dict[str, str], says: list[str]) -> None:
    split = write_lists(tmp_path, **{"members": "001", "nonmembers": "002", "pool": "003"} | lists)
    with pytest.raises(MiaSegError) as refused:
        split.cut(photographs(), tmp_path, 0)
    for part in says:
        assert part in str(refused.value)


def test_a_missing_list_is_named(tmp_path: Path) -> None:
    split = write_lists(tmp_path, members="001", nonmembers="002")
    with pytest.raises(MiaSegError, match=rf"{tmp_path}/lists/pool\.txt is missing\. .* below the data root"):
        split.cut(photographs(), tmp_path, 0)


@pytest.mark.parametrize(
    ("split", "count"),
    [(random_split(), 37), (block_split(4, 2), 33), (block_split(8, 0), 23)],
    ids=["random", "blocks with gaps", "blocks"],
)
def test_too_few_scenes_are_refused_and_one_more_is_enough(split: SplitRule, count: int) -> None:
    few = drives({"a": count})
    with pytest.raises(MiaSegError, match=r"\[split\] asks for .* are too few. Lower the counts or add scenes"):
        split.cut(few, None, 0)
    split.cut(drives({"a": count + 1}), None, 0)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"members": 0}, "members = 0 is an empty split; give at least 1"),
        ({"nonmembers": 0}, "nonmembers = 0 is an empty split; give at least 1"),
        ({"pool": -1}, "greater than or equal to 0"),
        ({"members": "a.txt"}, "members must be a count under rule 'random'"),
        ({"rule": "lists"}, "members must be a file under rule 'lists'"),
        ({"rule": "radnom"}, "'random', 'coin', 'blocks', 'groups', 'order', 'lists' or 'stated'"),
        ({"block": 0}, "greater than or equal to 1"),
        ({"gap": -1}, "greater than or equal to 0"),
        ({"guard": 1}, "Extra inputs"),
        ({"rule": "coin", "members": 2}, "members = 2 and nonmembers = 1; a fair coin needs equal counts"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError) as refused:
        SplitRule(**{"rule": "random", "members": 1, "nonmembers": 1, "pool": 0} | settings)
    assert says in str(refused.value)


def test_disjoint_lists_pass() -> None:
    assert_disjoint(["a"], ["b"], "these")
    with pytest.raises(MiaSegError, match=r"these share 2 scenes \('a' is one\)"):
        assert_disjoint(["b", "a"], ["a", "c", "b"], "these")
