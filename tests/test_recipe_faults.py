"""Recipes that no one meant: each is one sentence that names file, key and value, and `check` goes on past it."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers_files import MODEL, call, edit, shadow_text, victim_text, write

from mia_seg import recipes
from mia_seg.errors import MiaSegError
from mia_seg.stages import checks


@pytest.fixture(autouse=True)
def _only_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working directory with the sound victim `tiny` and its shadow, and no others."""
    write(tmp_path / "victims" / "tiny.toml", victim_text())
    write(tmp_path / "shadows" / "tiny_a1.toml", shadow_text())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(recipes, "folders", lambda kind: [Path.cwd() / f"{kind}s"])


FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "deep": (lambda path: path.write_text("a = " + "[" * 2000 + "]" * 2000), "is nested too deeply"),
    "digits": (lambda path: path.write_text("a = " + "9" * 5000), "holds a number of thousands of digits"),
    "binary": (lambda path: path.write_bytes(bytes(range(256))), "which is not UTF-8. Save the file as UTF-8"),
    "large": (lambda path: path.write_bytes(b"#" * 1_000_001), "has 1000001 bytes, and a recipe is one screen of text"),
    "folder": (lambda path: path.mkdir(), "is no file. Put a recipe's file there"),
    "pipe": (os.mkfifo, "is no file. Put a recipe's file there"),
    "device": (lambda path: path.symlink_to("/dev/zero"), "is no file. Put a recipe's file there"),
    "circle": (lambda path: path.symlink_to(path.name), "cannot be read (Too many levels of symbolic links)"),
    "nowhere": (lambda path: path.symlink_to("gone"), "cannot be read (No such file or directory)"),
}


@pytest.mark.parametrize("name", FILES)
def test_what_is_called_like_a_recipe_is_named(name: str) -> None:
    make, says = FILES[name]
    path = Path.cwd() / "victims" / f"{name}.toml"
    make(path)
    with pytest.raises(MiaSegError) as refused:
        recipes.load_victim(name)
    assert str(refused.value).startswith(str(path))
    assert says in str(refused.value)


def test_check_and_list_go_on_past_all_of_them() -> None:
    for name, (make, _) in FILES.items():
        make(Path.cwd() / "victims" / f"{name}.toml")
    write(Path.cwd() / "victims" / f"{'x' * 150}.toml", victim_text())
    found = [line.split()[:3] for line in call("check").out.splitlines()]
    problems = [name.removesuffix(":") for state, kind, name in found if (state, kind) == ("problem", "victim")]
    assert problems == sorted((*FILES, "x" * 150))
    assert [name for state, _, name in found if state == "ok"] == ["tiny:", "tiny_a1:"]
    assert set(FILES) < {line.split()[0] for line in call("list").out.splitlines() if line.strip()}


@pytest.mark.parametrize("name", ["x" * 101, "x" * 5000, "../victims/tiny", "a\0b", ".tiny", ""])
def test_a_name_that_no_file_has_is_no_recipe(name: str) -> None:
    with pytest.raises(MiaSegError, match="is no name of a recipe: a name "):
        recipes.load_victim(name)


WHOLE, FINITE = "Input should be a valid integer", "Input should be a finite number"
SWITCH, NUMBER = "Input should be a valid boolean", "Input should be a valid number"
MOST, LEAST = "Input should be less than or equal to", "Input should be greater than"
# What a sound recipe has, what stands there instead, and what is said of it behind the file's name.
VICTIM = [
    ("epochs = 1", "epochs = true", f"'train.epochs' = True: {WHOLE}"),
    ("epochs = 1", "epochs = 8.0", f"'train.epochs' = 8.0: {WHOLE}"),
    ("epochs = 1", "epochs = '8'", f"'train.epochs' = '8': {WHOLE}"),
    ("epochs = 1", f"epochs = {2**63}", f"'train.epochs' = {2**63}: {MOST} 1000000"),
    ("epochs = 1", f"epochs = 0x{'f' * 5000}", f"'train.epochs' = a number of thousands of digits: {MOST} 1000000"),
    ("epochs = 1", "steps = 1_000_000_001", f"'train.steps' = 1000000001: {MOST} 1000000000"),
    ("lr = 0.01", "lr = inf", f"'train.lr' = inf: {FINITE}"),
    ("lr = 0.01", "lr = nan", f"'train.lr' = nan: {FINITE}"),
    ("lr = 0.01", "lr = 1e400", f"'train.lr' = inf: {FINITE}"),
    ("lr = 0.01", "lr = 1e39", f"'train.lr' = 1e+39: {MOST}"),
    ("lr = 0.01", "lr = true", f"'train.lr' = True: {NUMBER}"),
    ("lr = 0.01", "lr = 0.01\nhead_lr = inf", f"'train.head_lr' = inf: {FINITE}"),
    ("lr = 0.01", "lr = 0.01\npower = nan", f"'train.power' = nan: {FINITE}"),
    ("lr = 0.01", "lr = 0.01\nweight_decay = inf", f"'train.weight_decay' = inf: {FINITE}"),
    ("lr = 0.01", "lr = 0.01\nmomentum = nan", f"'train.momentum' = nan: {FINITE}"),
    ("lr = 0.01", "lr = 0.01\nflip = 1", f"'train.flip' = 1: {SWITCH}"),
    ("lr = 0.01", "lr = 0.01\nscale = [inf]", "'train.scale.0' = inf: "),
    ("lr = 0.01", "lr = 0.01\nscale = [inf, inf]", f"'train.scale.0' = inf: {FINITE}"),
    ("lr = 0.01", "lr = 0.01\nscale = [1e-9, 1e-9]", f"'train.scale.0' = 1e-09: {LEAST} or equal to 0.01"),
    ("lr = 0.01", "lr = 0.01\nfill = [0, 0, 256]", f"'train.fill.2' = 256: {MOST} 255"),
    ("lr = 0.01", f"lr = 0.01\nstart = '{'x' * 300}'", "'train.start' = 'xxx"),
    ("lr = 0.01", "lr = 0.01\nstart = '../tiny'", "'train.start' = '../tiny': a name is a file's name without"),
    ("[32, 48]\ncount", "[1000000, 48]\ncount", f"[data]: 'size.0' = 1000000: {MOST} 8192"),
    ("crop = [32, 48]", "crop = [1000000, 1000000]", f"'train.crop.0' = 1000000: {MOST} 65535"),
    ("crop = [32, 48]", "crop = [true, 48]", f"'train.crop.0' = True: {WHOLE}"),
    ("members = 6\nnon", "members = true\nnon", f"'split.members' = True: {WHOLE}"),
    ("members = 6\nnon", f"members = {10**12}\nnon", f"'split.members' = {10**12}: {MOST} 100000000"),
    ("pool = 12", 'pool = 12\nof = "\\u0000"', "'split.of' = '\\x00': a name has no control characters"),
    ("[train]", "cut = 99\n[train]", f"[segmenter]: 'cut' = 99: {MOST} 23"),
    ("[train]", "cut = 3\n[train]", "[segmenter]: cut = 3: give 1 to 2, the blocks in conv4 of resnet18"),
    ("[train]", "dropout = 2\n[train]", "[segmenter]: 'dropout' = 2: Input should be less than 1"),
    ("[train]", "pretrained = 1\n[train]", f"[segmenter]: 'pretrained' = 1: {SWITCH}"),
    ("[train]", "[window]\nsize = [32, 32]\noverlap = 0.9999\n[train]", f"'window.overlap' = 0.9999: {MOST} 0.99"),
    (MODEL, f"{MODEL}[generator]\nname = 'dfgan'\nwidth = 1_000_000_000\n", f"[generator]: 'width' = {10**9}: {MOST}"),
    (MODEL, f"{MODEL}[generator]\nname = 'dfgan'\nlevels = 60\n", f"[generator]: 'levels' = 60: {MOST} 9"),
    (MODEL, f"{MODEL}[train_generator]\nlr = nan\n", f"'train_generator.lr' = nan: {FINITE}"),
]
SHADOW = [
    ("stride = 4", "stride = 10_000_000", f"'adversary.stride' = 10000000: {MOST} 65535"),
    ("stride = 4", "stride = true", f"'adversary.stride' = True: {WHOLE}"),
    ("members = 6\nstride", "members = true\nstride", f"'adversary.members' = True: {WHOLE}"),
    ("patch = [8, 8]", "patch = [0, 8]", f"[attacks.patch_resnet50]: 'patch.0' = 0: {LEAST} or equal to 1"),
    ("patch = [8, 8]", "patch = [8, -3]", f"[attacks.patch_resnet50]: 'patch.1' = -3: {LEAST} or equal to 1"),
    ("patches = 2", "lr = inf", f"[attacks.patch_resnet50]: 'lr' = inf: {FINITE}"),
    ("patches = 2", f"patches = {10**9}", f"[attacks.patch_resnet50]: 'patches' = {10**9}: {MOST} 10000"),
]
TABLE = [("victim", "tiny", *case) for case in VICTIM] + [("shadow", "tiny_a1", *case) for case in SHADOW]


@pytest.mark.parametrize(("kind", "name", "old", "new", "says"), TABLE)
def test_a_value_out_of_bounds_is_refused(kind: recipes.Kind, name: str, old: str, new: str, says: str) -> None:
    path = Path.cwd() / f"{kind}s" / f"{name}.toml"
    edit(path, old, new)
    with pytest.raises(MiaSegError) as refused:
        checks.recipe_of(kind, name)
    assert str(refused.value).startswith(f"{path}: {says}")
    assert len(str(refused.value)) < 400
