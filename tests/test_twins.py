"""Twins: one picture on both sides of a split is refused, one that nearly is there is told; each is decoded once."""

import io
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers_datasets import stored
from helpers_files import assert_refused, call, edit, facade_stem, forget, wholes, write
from helpers_results import result
from PIL import Image, ImageEnhance
from PIL.PngImagePlugin import PngInfo

from mia_seg.data import Dataset
from mia_seg.data._example import save
from mia_seg.data._twins import NEAR, ROWS, exact_twins, fingerprint, near_twins
from mia_seg.data.folder import Folder
from mia_seg.data.streets import Streets
from mia_seg.errors import MiaSegError
from mia_seg.evaluate import results
from mia_seg.pipeline import Pipeline
from mia_seg.recipes import load_victim
from mia_seg.recipes.splits import Partition
from mia_seg.report import controls
from mia_seg.stages import pictures as pictures_
from mia_seg.stages.pictures import seen
from mia_seg.stages.scenes import Cut, check_apart, check_parts, read_cut
from mia_seg.store import Store
from mia_seg.store.content import Content
from mia_seg.workspace import Workspace

FACADE = Folder(path="labelmefacade", class_map="labelmefacade")
STEMS = [facade_stem(k) for k in (0, 3, 12, 9)]
MEMBER, NONMEMBER, POOL = STEMS[0], STEMS[1], STEMS[2]


@pytest.fixture(scope="module")
def photograph() -> np.ndarray:
    """A picture with structure, as photographs have it; noise has none that a look could hold."""
    return Streets(size=(120, 160)).image(None, "city-0-000003")


def through(image_HWC: np.ndarray, form: str, **how: object) -> np.ndarray:
    """The image as it comes back from a file."""
    file = io.BytesIO()
    Image.fromarray(image_HWC).save(file, form, **how)
    return np.array(Image.open(file).convert("RGB"))


def lighter(image_HWC: np.ndarray, by: float) -> np.ndarray:
    return np.array(ImageEnhance.Brightness(Image.fromarray(image_HWC)).enhance(by))


def trimmed(image_HWC: np.ndarray, share: float = 0.01) -> np.ndarray:
    top, left = (max(1, round(share * side)) for side in image_HWC.shape[:2])
    return np.ascontiguousarray(image_HWC[top:, left:])


CHANGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "JPEG": lambda image: through(image, "JPEG", quality=60),
    "lighter": lambda image: lighter(image, 1.1),
    "darker": lambda image: lighter(image, 0.9),
    "trimmed": trimmed,
    "half": lambda image: np.array(Image.fromarray(image).resize((80, 60))),
}


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF"])
def test_equal_pixels_have_equal_fingerprints_in_any_format(photograph: np.ndarray, form: str) -> None:
    assert fingerprint(through(photograph, form)) == fingerprint(photograph)


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_picture_is_a_near_twin_and_no_exact_one(photograph: np.ndarray, change: str) -> None:
    one, other = fingerprint(photograph), fingerprint(CHANGES[change](photograph))
    assert exact_twins({"a": one.pixels}, {"b": other.pixels}) == []
    assert near_twins({"a": one.look}, {"b": other.look}) == [("a", "b")]


def test_the_same_values_in_another_shape_are_another_picture() -> None:
    image = np.random.default_rng(0).integers(256, size=(4, 6, 3), dtype=np.uint8)
    assert fingerprint(image).pixels != fingerprint(image.reshape(6, 4, 3)).pixels


def test_unrelated_pictures_are_no_twins() -> None:
    """Noise, and streets: other ones of the same world."""
    rng, streets = np.random.default_rng(0), Streets(size=(32, 48))
    noise = [rng.integers(256, size=(60, 80, 3), dtype=np.uint8) for _ in range(40)]
    for images in (noise, [streets.image(None, i) for i in streets.ids(None)[:8]]):
        looks = {str(k): fingerprint(image).look for k, image in enumerate(images)}
        sides = [{i: look for i, look in looks.items() if int(i) % 2 == side} for side in (0, 1)]
        assert near_twins(*sides) == []


def test_near_twins_are_within_a_distance_and_the_nearest_come_first() -> None:
    def bits(count: int) -> int:
        return 2**255 + 2**count - 1

    mine = {"far": bits(200), "at": bits(100), "equal": 5}
    others = {"b": bits(100 + NEAR), "c": bits(100 - NEAR + 1), "none": bits(200 + NEAR + 1), "d": 5}
    assert near_twins(mine, others) == [("equal", "d"), ("at", "c")]
    assert near_twins({"at": bits(100)}, {"b": bits(100 + NEAR)}) == [("at", "b")]
    assert near_twins({"at": bits(100)}, {"b": bits(100 + NEAR + 1)}) == []
    assert near_twins({"all": 2**256 - 1}, {"none": 0}) == []
    assert near_twins(mine, {}) == near_twins({}, others) == []


def test_a_large_table_is_looked_at_whole() -> None:
    rng = np.random.default_rng(0)
    mine = {f"a{k}": int.from_bytes(rng.bytes(32)) for k in range(2 * ROWS + 3)}
    others = {f"b{k}": int.from_bytes(rng.bytes(32)) for k in range(500)}
    for k in (0, ROWS - 1, ROWS, 2 * ROWS + 2):
        others[f"b{k}"] = mine[f"a{k}"]
    assert near_twins(mine, others) == [(f"a{k}", f"b{k}") for k in (0, ROWS - 1, ROWS, 2 * ROWS + 2)]


# Twins in the parts of a split.


def image_of(data_root: Path, stem: str) -> Path:
    return data_root / "labelmefacade" / "images" / f"{stem}.jpg"


def labels_of(data_root: Path, stem: str) -> Path:
    return data_root / "labelmefacade" / "labels" / f"{stem}.png"


def cut(data_root: Path, dataset: Dataset = FACADE, ids: Sequence[str] = STEMS) -> Cut:
    """One member, one non-member, and the rest as the pool. The store lies beside the data."""
    forget()
    parts = Partition([*ids[:1]], [*ids[1:2]], [*ids[2:]], {i: i for i in ids})
    found = read_cut(dataset, parts, data_root, content=Content(None))
    return seen(found, Workspace(Store(data_root / "runs"), data_root))


def kept(data_root: Path) -> dict[str, list[str]]:
    """What the store knows of images."""
    return dict(json.loads((data_root / "runs" / "fingerprints.json").read_text("utf-8")))


def put(data_root: Path, stem: str, image_HWC: np.ndarray, **how: object) -> None:
    """Another image under a name, in a file of another format, and labels of its size."""
    image_of(data_root, stem).unlink(missing_ok=True)
    Image.fromarray(image_HWC).save(image_of(data_root, stem).with_suffix(".png"), **how)
    labels = labels_of(data_root, stem)
    save(labels, np.array(Image.open(labels).convert("RGB").resize(image_HWC.shape[1::-1], 0)))


def twin(data_root: Path, source: str, target: str) -> None:
    """The picture of one scene as that of another: a PNG with a comment in place of the JPEG."""
    info = PngInfo()
    info.add_text("Comment", "other bytes")
    put(data_root, target, stored(image_of(data_root, source)), pnginfo=info)


@pytest.mark.parametrize(
    ("target", "says"),
    [(NONMEMBER, f"members and non-members share 1 scenes ('{MEMBER}' is '{NONMEMBER}')"),
     (POOL, f"members and pool share 1 scenes ('{MEMBER}' is '{POOL}')")],
)  # fmt: skip
@pytest.mark.parametrize("size", [None, (24, 24)])
def test_one_picture_in_two_parts_is_refused_whatever_its_file(
    data_root: Path, target: str, says: str, *, size: tuple[int, int] | None
) -> None:
    dataset = FACADE.model_copy(update={"size": size})
    check_parts(cut(data_root, dataset), "victim 'v'")
    twin(data_root, MEMBER, target)
    with pytest.raises(MiaSegError) as refused:
        check_parts(cut(data_root, dataset), "victim 'v'")
    assert str(refused.value) == (
        f"The split of victim 'v' has the same picture in two parts: {says}. Remove one of each pair, or put both into "
        f"one part by [split] rule = 'lists'."
    )


def test_all_parts_that_share_pictures_are_named_and_some_of_the_pictures() -> None:
    found = {side: [f"{side}{k}" for k in range(5)] for side in ("m", "n", "p")}
    pictures = (
        {i: i[1] for side in ("m", "n") for i in found[side]} | {i: i for i in found["p"]} | {"p0": "m", "m4": "m"}
    )
    groups = {i: i for ids in found.values() for i in ids}
    many = Cut(Streets(), Partition(*found.values(), groups), {}, pictures)
    says = (
        r"members and non-members share 4 scenes \('m0' is 'n0', 'm1' is 'n1', 'm2' is 'n2', \.\.\.\); "
        r"members and pool share 1 scenes \('m4' is 'p0'\)\. Remove"
    )
    with pytest.raises(MiaSegError, match=says):
        check_parts(many, "victim 'v'")


def test_one_picture_twice_in_a_part_is_no_fault(data_root: Path) -> None:
    twin(data_root, POOL, STEMS[3])
    found = cut(data_root)
    assert found.pictures[POOL] == found.pictures[STEMS[3]]
    check_parts(found, "victim 'v'")


@pytest.mark.parametrize("choose", ['"random"\nmembers = 6', '"halves"\nmodels = 4'])
def test_no_shadow_has_a_picture_on_both_its_sides(
    workspace: Workspace, workdir: Path, data_root: Path, *, choose: str
) -> None:
    """Each scene that a shadow may train on has a twin there."""
    edit(workdir / "shadows" / "tiny_folder_a1.toml", '"confidence"\nmembers = 6', choose)
    recipe = load_victim("tiny_folder")
    parts = recipe.split.cut(recipe.dataset(), data_root, 0)
    for side in (parts.members, parts.nonmembers, parts.pool):
        for one, other in zip(side[::2], side[1::2], strict=True):
            twin(data_root, one, other)
    forget()
    shadows = Pipeline(replace(workspace, data_root=data_root)).shadows("tiny_folder_a1", 0)
    for shadow in shadows:
        pictures = shadow.scenes.cut.pictures_of
        found = shadow.partition(workspace.store)
        assert len(found.members) == len(found.nonmembers) == 6
        assert not {*pictures(found.members).values()} & {*pictures(found.nonmembers).values()}
    assert len(shadows) in (1, 4)


def test_groups_that_have_a_picture_in_common_are_one() -> None:
    group = {"a1": "a", "a2": "a", "b1": "b", "b2": "b", "c1": "c", "d1": "d", "left over": "c"}
    pictures = {"a1": "1", "a2": "2", "b1": "2", "b2": "3", "c1": "4", "d1": "3"}
    parts = Partition([], [], [*pictures], group)
    joined = Cut(Streets(), parts, {}, pictures).with_twins_together().parts.group
    assert joined == {**dict.fromkeys(("a1", "a2", "b1", "b2", "d1"), "a"), "c1": "c", "left over": "c"}


def test_twins_in_two_lists_of_two_sizes_and_formats_are_found(data_root: Path) -> None:
    """An attacker's folder has a picture of the victim's, stored anew and read at another size."""
    save(data_root / "other" / "images" / "z.png", stored(image_of(data_root, NONMEMBER)))
    save(data_root / "other" / "labels" / "z.png", stored(labels_of(data_root, NONMEMBER)))
    mine = cut(data_root, FACADE.model_copy(update={"size": (20, 20)}))
    theirs = cut(data_root, Folder(path="other", class_map="labelmefacade", size=(32, 48)), ["z"])
    with pytest.raises(MiaSegError, match=rf"^Two lists share 1 scenes \('{NONMEMBER}' is 'z'\)"):
        check_apart(mine.pictures, theirs.pictures, "Two lists")


def test_a_cut_knows_the_near_twins_among_its_sides(data_root: Path, photograph: np.ndarray) -> None:
    assert cut(data_root).near_twins == []
    put(data_root, MEMBER, photograph)
    put(data_root, NONMEMBER, trimmed(photograph))
    put(data_root, POOL, lighter(photograph, 1.05))
    found = cut(data_root)
    check_parts(found, "victim 'v'")
    assert found.near_twins == [(MEMBER, NONMEMBER)]


def test_scenes_that_are_made_are_not_looked_at(tmp_path: Path) -> None:
    streets = Streets(size=(32, 48), count=4)
    found = cut(tmp_path, streets, streets.ids(None))
    assert found.looks == {}
    assert found.near_twins == []


# Fingerprints are kept.


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of the images that were decoded."""
    found: list[str] = []
    plain = Folder.image
    monkeypatch.setattr(Folder, "image", lambda self, root, i: (found.append(i), plain(self, root, i))[1])
    return found


def test_an_image_is_decoded_once_in_the_life_of_a_store(data_root: Path, decoded: list[str]) -> None:
    before = cut(data_root)
    assert sorted(decoded) == sorted(STEMS)
    again = cut(data_root, FACADE.model_copy(update={"size": (24, 24)}))
    assert (again.pictures, again.looks) == (before.pictures, before.looks)
    image_of(data_root, MEMBER).rename(image_of(data_root, "renamed"))
    labels_of(data_root, MEMBER).rename(labels_of(data_root, "renamed"))
    assert cut(data_root, ids=["renamed", *STEMS[1:]]).pictures["renamed"] == before.pictures[MEMBER]
    assert len(decoded) == 4
    twin(data_root, NONMEMBER, POOL)
    assert cut(data_root, ids=["renamed", *STEMS[1:]]).pictures[POOL] == before.pictures[NONMEMBER]
    assert decoded[4:] == [POOL]


def test_another_decoder_looks_again(data_root: Path, decoded: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    cut(data_root)
    monkeypatch.setattr(pictures_, "READER", "another")
    cut(data_root)
    assert len(decoded) == len(kept(data_root)) == 8


@pytest.mark.parametrize("text", ["", "{", "[1]"])
def test_a_broken_memory_costs_time_alone(data_root: Path, text: str, decoded: list[str]) -> None:
    write(data_root / "runs" / "fingerprints.json", text)
    cut(data_root)
    assert len(decoded) == len(kept(data_root)) == 4


def test_a_file_that_changes_while_it_is_read_is_refused_and_not_kept(
    data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was decoded would stand under the hash of what was there before."""
    plain = Folder.image

    def changing(self: Folder, root: Path, scene_id: str) -> np.ndarray:
        if scene_id == POOL:
            with image_of(root, POOL).open("ab") as file:
                file.write(b"more")
        return plain(self, root, scene_id)

    monkeypatch.setattr(Folder, "image", changing)
    with pytest.raises(MiaSegError, match=rf"{POOL}\.jpg changed while it was read\. Run the same command again"):
        cut(data_root)
    assert len(kept(data_root)) == 2, "those before it are"


@pytest.mark.parametrize("part", ["pool", "nonmembers"])
def test_a_damaged_image_is_named_before_anything_is_trained(workdir: Path, data_root: Path, part: str) -> None:
    recipe = load_victim("tiny_folder")
    scene = getattr(recipe.split.cut(recipe.dataset(), data_root, 0), part)[0]
    os.truncate(image_of(data_root, scene), 700)
    assert_refused(call("train-victim", "tiny_folder", "--data-root", data_root), f"{scene}.jpg cannot be read as an")
    assert not wholes(workdir / "runs")


def test_a_run_on_twins_is_refused_by_their_names_and_trains_nothing(workdir: Path, data_root: Path) -> None:
    """Every member has its twin among the non-members, in a file of another format."""
    members, others = ([facade_stem(k) for k in range(first, 24, 2)][:6] for first in (0, 1))
    for one, other in zip(members, others, strict=True):
        twin(data_root, one, other)
    write(data_root / "in.txt", "\n".join(members))
    write(data_root / "out.txt", "\n".join(others))
    lists = 'rule = "lists"\nmembers = "in.txt"\nnonmembers = "out.txt"\npool = 0'
    for name in ("victims/tiny_folder", "shadows/tiny_folder_a1"):
        edit(workdir / f"{name}.toml", 'rule = "random"\nmembers = 6\nnonmembers = 6\npool = 12', lists)
    says = f"members and non-members share 6 scenes ('{members[0]}' is '{others[0]}', "
    for command, whose in (("train-victim tiny_folder", "victim"), ("run tiny_folder tiny_folder_a1", "shadow")):
        ran = call(*command.split(), "--data-root", data_root)
        assert_refused(ran, f"The split of {whose} 'tiny_folder", says, ", ...). Remove one of each pair")
    assert not wholes(workdir / "runs")


# Near twins in results, on the page and on the screen.

TOLD = {
    "members": 2, "of": 60, "distance": NEAR,
    "pairs": [{"member": "a", "nonmember": "x"}, {"member": "b", "nonmember": "y"}],
}  # fmt: skip


def test_near_twins_are_told_seed_by_seed() -> None:
    found = [result(seed=2, near_twins=TOLD | {"members": 5}), result(seed=1, near_twins=TOLD), result(seed=3)]
    assert controls.near_twins(found).startswith(
        "Near twins: 2 of 60 members (seed 1), 5 of 60 members (seed 2) look nearly like a non-member. The most "
        "similar are 'a' and 'x'; 'b' and 'y'. No attack can be expected to tell near twins apart, so AUC shows less"
    )
    assert controls.near_twins([result()]) == ""


def test_near_twins_are_told_above_the_table_and_are_a_column(tmp_path: Path) -> None:
    results.write(tmp_path, result(near_twins=TOLD))
    results.write(tmp_path, result(victim="another"))
    lines = call("results", "--reports", tmp_path).out.splitlines()
    assert [line for line in lines if "Near twins" in line] == [lines[0]]
    assert lines[0].startswith("village: Near twins: 2 of 60 members (seed 1) look")
    found = json.loads(call("results", "--reports", tmp_path, "--json").out)
    assert {row["victim"]: row["near_twins"] for row in found} == {"village": 2, "another": None}


def test_a_result_from_before_near_twins_is_read(tmp_path: Path) -> None:
    raw = result().dump()
    del raw["near_twins"]
    path = write(tmp_path / "village" / "village_a1.none.image_loss.s1.json", json.dumps(raw))
    assert results.read(path).near_twins is None


def test_an_attack_on_near_twins_ends_in_a_warning(workdir: Path, data_root: Path, photograph: np.ndarray) -> None:
    recipe = load_victim("tiny_folder")
    parts = recipe.split.cut(recipe.dataset(), data_root, 0)
    member, other = parts.members[2], parts.nonmembers[1]
    put(data_root, member, photograph)
    put(data_root, other, trimmed(photograph))
    asked = ("--attack", "image_loss", "--defense", "none", "--device", "cpu", "--data-root", data_root)
    ran = call("attack", "tiny_folder", "tiny_folder_a1", *asked)
    assert ran.code == 0, ran.err
    twins = f"The most similar are '{member}' and '{other}'."
    says = f"Near twins: 1 of 6 members (seed 0) look nearly like a non-member. {twins}"
    assert f"tiny_folder: {says}" in ran.out
    (found,) = results.read_all(workdir / "reports")
    assert found.near_twins is not None
    assert found.near_twins.model_dump() == {
        "members": 1, "of": 6, "distance": NEAR, "pairs": [{"member": member, "nonmember": other}],
    }  # fmt: skip
