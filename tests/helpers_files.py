"""What a user has on disk, made tiny: the names in data sets, recipes, and the command line itself."""

import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pytest

from mia_seg import cli
from mia_seg.data import _files, _paired, table
from mia_seg.data import folder as folder_

FACADES = 24
# LabelMeFacade's colours as its authors give them; "various" is ignored.
VARIOUS = (0, 0, 0)
COLOURS = {
    "building": (128, 0, 0),
    "car": (128, 0, 128),
    "door": (128, 128, 0),
    "pavement": (128, 128, 128),
    "road": (128, 64, 0),
    "sky": (0, 128, 128),
    "vegetation": (0, 128, 0),
    "window": (0, 0, 128),
}
# Drive -> its first frame and how CamVid writes a frame's name; every 30th frame is kept.
DRIVES = {"0001TP": (6690, "{:06d}"), "0006R0": (930, "f{:05d}"), "0016E5": (390, "{:05d}")}
FRAMES = 16


def facade_stem(index: int) -> str:
    return f"static_street_{('boston', 'madrid', 'palma')[index % 3]}__img_{index:04d}"


def frame_stems(drive: str) -> list[str]:
    start, name = DRIVES[drive]
    return [f"{drive}_{name.format(start + 30 * k)}" for k in range(FRAMES)]


HEAD = """\
# A recipe for tests: one epoch at 32 x 48.
# Run:    mia-seg run {victim} {victim}_a1
# Source: our own.
"""
STREETS = '[data]\nname = "streets"\nsize = [32, 48]\ncount = 30\n'
PHOTOGRAPHS = '[data]\nname = "folder"\npath = "labelmefacade"\nclass_map = "labelmefacade"\nsize = [32, 48]\n'
VIDEO = '[data]\nname = "camvid"\nsize = [32, 48]\n'
RANDOM = '[split]\nrule = "random"\nmembers = 6\nnonmembers = 6\npool = 12\n'
BLOCKS = '[split]\nrule = "blocks"\nmembers = 6\nnonmembers = 6\npool = 12\nblock = 3\ngap = 2\n'
MODEL = """\
[segmenter]
name = "pspnet"
backbone = "resnet18"
[train]
epochs = 1
batch = 3
lr = 0.01
crop = [32, 48]
"""
ADVERSARY = '[adversary]\nkind = "A1"\nvictim = "{victim}"\nchoose = "confidence"\nmembers = 6\nstride = 4\n'
ATTACK = "[attacks.patch_resnet50]\npatch = [8, 8]\npatches = 2\nepochs = 1\nbatch = 4\n"
TINY = {"tiny": STREETS + RANDOM, "tiny_folder": PHOTOGRAPHS + RANDOM, "tiny_camvid": VIDEO + BLOCKS}


def victim_text(name: str = "tiny") -> str:
    return HEAD.format(victim=name) + TINY[name] + MODEL


def shadow_text(victim: str = "tiny") -> str:
    return victim_text(victim) + ADVERSARY.format(victim=victim) + ATTACK


def write_recipes(folder: Path) -> None:
    """`tiny`, `tiny_folder` and `tiny_camvid`, each with the shadow `<name>_a1`, in a working directory."""
    for name in TINY:
        write(folder / "victims" / f"{name}.toml", victim_text(name))
        write(folder / "shadows" / f"{name}_a1.toml", shadow_text(name))


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def edit(path: Path, old: str, new: str) -> None:
    """Change one place of a text file."""
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{path} has '{old}' {text.count(old)} times"
    path.write_text(text.replace(old, new), encoding="utf-8")


@dataclass(frozen=True)
class Ran:
    """What a command left: its exit code and what it printed."""

    code: int
    out: str
    err: str


def forget() -> None:
    """Listings and class maps live as long as a process, which is one command."""
    for kept in (_files.entries, _paired.pairs, _paired.pairs_below, folder_._read_map, table._rows):
        kept.cache_clear()


def call(*arguments: str | Path) -> Ran:
    """Run `mia-seg <arguments>` as the console does, in this process."""
    forget()
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["mia-seg", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            cli.main()
    return Ran(int(left.value.code or 0), out.getvalue(), err.getvalue())


def assert_refused(ran: Ran, *says: str) -> None:
    """Exit code 2 and, beside lines of progress, one sentence on stderr that has all of `says`."""
    complaints = [line for line in ran.err.splitlines() if line.startswith("mia-seg: ")]
    assert ran.code == 2, ran.err
    assert len(complaints) == 1, ran.err
    assert ran.err.endswith(complaints[0] + "\n"), ran.err
    assert "Traceback" not in ran.err
    assert complaints[0].rstrip().endswith((".", "?")), complaints[0]
    for part in says:
        assert part in complaints[0]


def wholes(store: Path) -> list[str]:
    """The artefacts that a store counts as finished."""
    return sorted(path.parent.name for path in store.rglob("made.json"))


def halves(store: Path) -> Iterator[Path]:
    """Files that were begun and not finished."""
    return store.rglob(".*.part")
