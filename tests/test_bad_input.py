"""What a user gets wrong or a machine runs out of: one sentence with the fix, exit code 2, and nothing counted as made.

Each case goes through the command line. What was broken is then mended where that costs little, and the same command
must go on.
"""

import json
import os
import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from conftest import Audit
from helpers_files import (
    ATTACK,
    BLOCKS,
    RANDOM,
    STREETS,
    Ran,
    assert_refused,
    call,
    edit,
    frame_stems,
    halves,
    wholes,
    write,
)
from helpers_images import jpeg
from helpers_scenes import toy
from PIL import Image
from safetensors.torch import save_file

from mia_seg import recipes
from mia_seg.segmenters.pspnet import PSPNet

LISTS = '[split]\nrule = "lists"\nmembers = "m.txt"\nnonmembers = "n.txt"\npool = "p.txt"\n'
CPU = ("--device", "cpu")


def member(data_root: Path, victim: str, part: str = "members") -> Path:
    """The image of a scene on one side of a recipe's split under seed 0."""
    settings = recipes.load_victim(victim)
    scene_id: str = getattr(settings.split.cut(settings.dataset(), data_root, 0), part)[1]
    if victim == "tiny_folder":
        return data_root / "labelmefacade" / "images" / f"{scene_id}.jpg"
    return data_root / "camvid" / f"{scene_id}.png"


def labels_of(image: Path) -> Path:
    if image.parent.name == "images":
        return image.parents[1] / "labels" / f"{image.stem}.png"
    return image.parents[1] / f"{image.parent.name}annot" / image.name


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


def id_12(path: Path) -> None:
    labels = np.array(Image.open(path))
    labels[3, 4] = 12
    Image.fromarray(labels).save(path)


def shrink(path: Path) -> None:
    with Image.open(path) as image:
        smaller = image.resize((image.width // 2, image.height))
    smaller.save(path)


def sideways(path: Path) -> None:
    """The photograph says that it is shown turned; the labels lie as it is stored."""
    path.write_bytes(jpeg(np.array(Image.open(path)), 6))


def latin1(path: Path) -> None:
    path.rename(os.fsdecode(os.fsencode(path.parent) + b"/caf\xe9.jpg"))


def widen(path: Path, by: int) -> None:
    Image.fromarray(np.array(Image.open(path)).astype(np.uint16) + by).save(path)


# What is broken, given a member's image; the recipe; what the sentence must say beside the file's name.
DATA: dict[str, tuple[Callable[[Path], object], str, list[str]]] = {
    "truncated photograph": (truncate, "tiny_folder", ["{image}", "cannot be read", "Fetch the file again"]),
    "truncated frame": (truncate, "tiny_camvid", ["{image}", "cannot be read", "Fetch the file again"]),
    "truncated labels": (lambda i: truncate(labels_of(i)), "tiny_folder", ["{labels}", "cannot be read", "remove"]),
    "a text file": (lambda i: write(i, "hello"), "tiny_folder", ["{image}", "cannot be read", "Fetch the file again"]),
    "image without labels": (
        lambda i: labels_of(i).unlink(), "tiny_folder", ["{image}", "this image has no counterpart", "Restore"]
    ),
    "frame without labels": (
        lambda i: labels_of(i).unlink(), "tiny_camvid", ["{image}", "this image has no counterpart", "Restore"]
    ),
    "labels without image": (
        lambda i: i.unlink(), "tiny_folder", ["{labels}", "this label file has no counterpart", "Restore"]
    ),
    "sizes that differ": (shrink, "tiny_folder", ["{image}", "{labels}", "not a pair", "Replace the wrong file"]),
    "frame sizes that differ": (shrink, "tiny_camvid", ["{image}", "{labels}", "not a pair", "Replace"]),
    "an id outside the space": (
        lambda i: id_12(labels_of(i)), "tiny_camvid",
        ["{labels}", "value 12 is none of this data set's labels (0-11)", "Correct the label image"],
    ),
    "a JPEG called .png": (
        lambda i: Image.open(labels_of(i)).convert("RGB").save(labels_of(i), "JPEG"), "tiny_folder",
        ["{labels} is compressed as JPEG, which changes the values of labels", "Make the file anew as PNG"],
    ),
    "an orientation that labels do not share": (
        sideways, "tiny_folder", ["{image}, turned by its EXIF orientation 6, is", "only before turning", "Remove the"]
    ),
    "a name in Latin-1": (latin1, "tiny_folder", ["'caf\\udce9.jpg' is not UTF-8", "Rename the file"]),
    "ids beyond a byte": (
        lambda i: widen(labels_of(i), 300), "tiny_camvid", ["{labels} holds the value 3", "Number the classes from 0"]
    ),
    "no images": (lambda i: empty(i.parent), "tiny_folder", ["labelmefacade", "holds no images", "extracted there"]),
    "no frames": (lambda i: empty(i.parent), "tiny_camvid", ["camvid/train", "holds no images", "extracted there"]),
    "no images folder": (
        lambda i: shutil.rmtree(i.parent), "tiny_folder", ["labelmefacade/images", "does not exist", "side by side"]
    ),
    "no annotations folder": (
        lambda i: shutil.rmtree(labels_of(i).parent), "tiny_camvid", ["camvid/trainannot", "does not exist", "Put"]
    ),
    "no data set": (
        lambda i: shutil.rmtree(i.parents[1]), "tiny_folder", ["labelmefacade does not exist", "--data-root"]
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", DATA)
def test_bad_data_is_refused(case: str, workdir: Path, data_root: Path) -> None:
    break_, victim, says = DATA[case]
    image = member(data_root, victim)
    break_(image)
    ran = call("train-victim", victim, "--data-root", data_root, *CPU)
    names = {"image": image, "labels": labels_of(image), "stem": image.stem}
    assert_refused(ran, *(part.format(**names) for part in says))
    assert not wholes(workdir / "runs")


def test_a_missing_or_unnamed_data_root_is_refused(workdir: Path, tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    for victim, name in (("tiny_folder", "labelmefacade"), ("tiny_camvid", "camvid")):
        ran = call("train-victim", victim, *CPU)
        assert_refused(ran, f"'{name}' needs a root", "--data-root", "MIA_SEG_DATA")
        ran = call("train-victim", victim, "--data-root", nowhere, *CPU)
        assert_refused(ran, f"{nowhere / name} does not exist", "point --data-root")
    assert not (workdir / "runs").exists()


def test_a_broken_scene_is_found_before_anything_is_trained(workdir: Path, data_root: Path) -> None:
    """Training never reads the non-members, and hours of it are lost where one of them is found broken later."""
    image = member(data_root, "tiny_folder", "nonmembers")
    truncate(image)
    command = ("attack", "tiny_folder", "tiny_folder_a1", "--defense", "none", "--attack", "image_loss")
    stopped = call(*command, "--data-root", data_root, *CPU)
    assert_refused(stopped, str(image), "cannot be read", "Fetch the file again")
    assert not list((workdir / "runs").rglob("made.json"))
    assert not (workdir / "reports").exists()


# Recipe, what is changed in it, what the sentence says.
SPLITS = {
    "empty": (RANDOM, RANDOM.replace("members = 6\nnon", "members = 0\nnon"), ["[split]", "members = 0", "at least 1"]),
    "no non-members": (RANDOM, RANDOM.replace("nonmembers = 6", "nonmembers = 0"), ["nonmembers = 0", "at least 1"]),
    "too few scenes": (RANDOM, RANDOM.replace("12", "13"), ["6 + 6 + 13", "too few", "Lower the counts"]),
    "an empty list": (RANDOM, LISTS, ["p.txt is an empty split", "Give at least one scene id"]),
}


@pytest.mark.parametrize("case", SPLITS)
def test_impossible_splits_are_refused(case: str, workdir: Path, data_root: Path) -> None:
    old, new, says = SPLITS[case]
    edit(workdir / "victims" / "tiny_folder.toml", old, new)
    for name, stems in (("m", ["a"]), ("n", ["b"]), ("p", [])):
        known = sorted(path.stem for path in (data_root / "labelmefacade" / "images").iterdir())
        write(data_root / f"{name}.txt", "\n".join(known["ab".index(s)] for s in stems))
    assert_refused(call("train-victim", "tiny_folder", "--data-root", data_root, *CPU), *says)
    assert not (workdir / "runs").exists()


def test_members_that_are_also_non_members_are_refused(workdir: Path, data_root: Path) -> None:
    edit(workdir / "victims" / "tiny_camvid.toml", BLOCKS, LISTS)
    frames = [f"train/{stem}" for stem in frame_stems("0006R0")]
    for name, part in (("m", frames[:6]), ("n", frames[5:9]), ("p", frames[9:])):
        write(data_root / f"{name}.txt", "\n".join(part))
    ran = call("train-victim", "tiny_camvid", "--data-root", data_root, *CPU)
    assert_refused(ran, "[split]: members and non-members share 1 scenes", frames[5], "Make the lists disjoint")
    write(data_root / "n.txt", "\n".join([*frames[6:9], "train/0006R0_f09999"]))
    ran = call("train-victim", "tiny_camvid", "--data-root", data_root, *CPU)
    assert_refused(ran, "n.txt: 1 of 4 ids are not in the data set: train/0006R0_f09999", "Correct the list")


def test_a_pool_that_holds_the_victims_scenes_is_refused(audit: Audit, workdir: Path) -> None:
    """Also where the shadow reads the same scenes at another size."""
    shutil.copytree(audit.store / "victims", workdir / "runs" / "victims")
    shadow = workdir / "shadows" / "tiny_a1.toml"
    edit(shadow, "nonmembers = 6", "nonmembers = 1")
    for old, new in ((STREETS, STREETS), (STREETS, STREETS.replace("[32, 48]", "[40, 48]"))):
        edit(shadow, old, new)
        ran = call("train-shadow", "tiny_a1", *CPU)
        assert_refused(
            ran, "The pool of shadow 'tiny_a1' and the scenes of victim 'tiny' share", "Make the lists disjoint"
        )
    assert len(wholes(workdir / "runs")) == 1


GIVEN = ("--defense", "none", "--attack", "image_loss")
NAMES = {
    "victim": (["run", "tinny", "tiny_a1"], ["No victim recipe is called 'tinny'", "Did you mean 'tiny'?"]),
    "shadow": (["run", "tiny", "tiny_a2"], ["No shadow recipe is called 'tiny_a2'", "Did you mean 'tiny_a1'?"]),
    "victim alone": (["train-victim", "tiny-folder"], ["called 'tiny-folder'", "Did you mean 'tiny_folder'?"]),
    "shadow alone": (["train-shadow", "tiny"], ["No shadow recipe is called 'tiny'", "Did you mean 'tiny_a1'?"]),
    "defense": (["run", "tiny", "tiny_a1", "--defense", "gausian:1"], ["'gausian'", "Did you mean 'gaussian'?"]),
    "attack": (["attack", "tiny", "tiny_a1", "--attack", "imageloss"], ["'imageloss'", "Did you mean 'image_loss'?"]),
    "value": (["run", "tiny", "tiny_a1", "--defense", "dropout:2"], ["'dropout:2': 'ratio' = 2", "less than 1"]),
    "needless value": (["run", "tiny", "tiny_a1", "--defense", "argmax:1"], ["takes no value", "Write 'argmax'"]),
    "representation": (
        ["run", "tiny", "tiny_a1", "--attack", "patch_resnet50:los"], ["'patch_resnet50:los'", "'loss' or 'labels'"]
    ),
    "shadow of another": (
        ["run", "tiny", "tiny_folder_a1"], ["was made for victim 'tiny_folder', not 'tiny'", "Write a shadow recipe"]
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", NAMES)
def test_misspelt_names_are_refused_before_anything_is_trained(case: str, workdir: Path) -> None:
    arguments, says = NAMES[case]
    assert_refused(call(*arguments), *says)
    assert not (workdir / "runs").exists()


KEYS = {
    "section": ("victim", "[train]", "[trian]", ["unknown key 'trian'", "Did you mean 'train'?"]),
    "key": ("victim", "lr =", "lrr =", ["unknown key 'train.lrr'", "Did you mean 'lr'?"]),
    "data": ("victim", "count =", "cuont =", ["[data]: unknown key 'cuont'", "Did you mean 'count'?"]),
    "segmenter": ("victim", "backbone", "bakbone", ["[segmenter]: unknown key 'bakbone'", "Did you mean 'backbone'?"]),
    "adversary": ("shadow", "stride =", "strid =", ["unknown key 'adversary.strid'", "Did you mean 'stride'?"]),
    "attack": ("shadow", "patches", "pathces", ["[attacks.patch_resnet50]: unknown key 'pathces'", "'patches'"]),
    "attack's name": ("shadow", ATTACK.splitlines()[0], "[attacks.patch]", ["[attacks.patch]: no attack is called"]),
    "no TOML": ("shadow", "[train]", "[train", ["is not valid TOML", "line"]),
}


@pytest.mark.parametrize("case", KEYS)
def test_wrong_recipes_are_refused_before_anything_is_trained(case: str, workdir: Path) -> None:
    kind, old, new, says = KEYS[case]
    path = workdir / f"{kind}s" / {"victim": "tiny.toml", "shadow": "tiny_a1.toml"}[kind]
    edit(path, old, new)
    assert_refused(call("run", "tiny", "tiny_a1", *GIVEN), str(path), *says)
    assert not (workdir / "runs").exists()


@pytest.fixture
def trained(audit: Audit, workdir: Path) -> Path:
    """A store of the test's own with a trained victim and shadow, and nothing asked of them yet."""
    for stage in ("victims", "shadows"):
        shutil.copytree(audit.store / stage, workdir / "runs" / stage)
    return workdir / "runs"


def ask(*more: str) -> Ran:
    return call("attack", "tiny", "tiny_a1", *(more or GIVEN), *CPU)


def other_weights(path: Path) -> None:
    save_file(toy(19).state_dict(), path)


def other_classes(path: Path) -> None:
    network = PSPNet(backbone="resnet18").build(11)
    save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, path)


def flip(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(bytes([content[0] ^ 0xFF]) + content[1:])


WEIGHTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "another network's": (other_weights, "bytes, and "),
    "another number of classes": (other_classes, "bytes, and "),
    "truncated": (truncate, "bytes, and "),
    "empty": (lambda p: p.write_bytes(b""), "has 0 bytes, and "),
    "a flipped byte": (flip, "holds other bytes than were written"),
    "missing": (Path.unlink, "is not one of the files that were written, or is missing"),
}


@pytest.mark.parametrize("case", WEIGHTS)
def test_weights_that_were_altered_are_refused(case: str, trained: Path) -> None:
    break_, says = WEIGHTS[case]
    path = next(trained.glob("victims/*/model.safetensors"))
    break_(path)
    ran = ask()
    assert_refused(ran, str(path.relative_to(trained.parent)), says, f"mia-seg store rm victims/{path.parent.name}")
    assert not list(trained.glob("answers/tiny.none-*")), "nothing was asked of it"


def damage(path: Path) -> None:
    """Half of the file is lost; the file that it was linked from keeps the whole."""
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[: len(content) // 2])


@pytest.mark.parametrize(
    ("files", "attack"),
    [
        ("answers/tiny.none-*/index.json", "image_loss"),
        ("attackers/tiny_a1.image_loss-*/attacker.json", "image_loss"),
        ("attackers/tiny_a1.patch_resnet50-loss-*/attacker.safetensors", "patch_resnet50:loss"),
        ("attackers/tiny_a1.patch_resnet50-loss-*/attacker.json", "patch_resnet50:loss"),
    ],
)
def test_a_damaged_artefact_is_refused_and_made_anew(files: str, attack: str, audit: Audit, workdir: Path) -> None:
    store = Path(shutil.copytree(audit.store, workdir / "runs", copy_function=os.link))
    shutil.rmtree(store / "results")  # which would be all that is read
    for path in store.glob(files):
        damage(path)
    ran = ask("--defense", "none", "--attack", attack)
    broken = next(path for path in store.glob(files) if str(path.relative_to(workdir)) in ran.err)
    assert_refused(ran, f"{broken.relative_to(workdir)} has ", "were written", "mia-seg store rm", "made anew")
    assert not (workdir / "reports").exists()
    if attack == "image_loss":  # the others cost seconds
        for path in store.glob(files):
            shutil.rmtree(path.parent)
        assert ask("--defense", "none", "--attack", attack).code == 0
        mended = next(workdir.glob("reports/tiny/*.json"))
        assert json.loads(mended.read_text()) == json.loads((audit.reports / "tiny" / mended.name).read_text())


@contextmanager
def room(size: int) -> Iterator[None]:
    """No file may grow beyond `size` bytes: the system itself refuses the write, as it does on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_fills_while_a_model_is_saved(workdir: Path) -> None:
    store = workdir / "runs"
    with room(1 << 20):
        ran = call("train-victim", "tiny", *CPU)
    assert_refused(ran, str(Path("runs", "victims", "tiny.s0-")), "could not be written", "Free some room", "--store")
    assert not wholes(store)
    assert not list(halves(store))
    assert call("train-victim", "tiny", *CPU).code == 0
    assert len(wholes(store)) == 1


def test_a_disk_that_fills_while_a_model_is_asked(trained: Path, audit: Audit) -> None:
    models = wholes(trained)
    with room(16 << 10):
        ran = ask()
    assert_refused(ran, str(Path("runs", "answers", "tiny.none-")), "could not be written", "Free some room")
    assert wholes(trained) == models
    again = ask()
    assert again.code == 0, again.err
    assert "trained" not in again.err
    mended = trained.parent / "reports" / "tiny" / "tiny_a1.none.image_loss.s0.json"
    assert json.loads(mended.read_text()) == json.loads((audit.reports / "tiny" / mended.name).read_text())


def test_a_place_that_cannot_be_written_is_refused(trained: Path) -> None:
    reports = write(trained.parent / "a file", "")
    ran = ask(*GIVEN, "--reports", str(reports))
    assert_refused(ran, f"{reports.name}/tiny/tiny_a1.none.image_loss.s0.json", "could not be written", "--reports")
    assert_refused(call("train-victim", "tiny", "--store", reports, *CPU), "could not be written", "--store")


def test_a_result_that_was_cut_short_is_refused(trained: Path) -> None:
    assert ask().code == 0
    result = next(trained.parent.glob("reports/tiny/*.json"))
    whole = result.read_bytes()
    truncate(result)
    for ran in (call("results"), call("report")):
        assert_refused(ran, f"{result.name} is not a result of mia-seg", "delete it and run the attack again")
    assert ask().code == 0
    assert result.read_bytes() == whole, "the store has it"
