"""Training: schedule, crops, the same bits however the work is cut, and what the files hold."""

import csv
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as tvf
from helpers_scenes import Held, Toy, picture
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook
from torchvision.transforms import InterpolationMode

from mia_seg import train
from mia_seg.data import IGNORE, Scene, Scenes
from mia_seg.data.streets import Streets
from mia_seg.errors import AbsentPart, MiaSegError
from mia_seg.progress import Bar
from mia_seg.recipes import Recipe, Train
from mia_seg.train import Crops, Training, _crops, crop, load_network, poly

SIZE = (32, 48)
NEVER = float("inf")
# The first on a machine with one core.
forks = pytest.mark.filterwarnings("ignore:This DataLoader will create", "ignore:.*fork:DeprecationWarning")
CLOCK = {"seconds", "scenes_per_second", "memory_mib"}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Weights of whole networks are not kept after the test."""
    yield tmp_path
    shutil.rmtree(tmp_path)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> list[Toy]:
    """Train a network of three layers instead of the recipe's; the ones built so far."""
    built: list[Toy] = []

    def build(recipe: Recipe, classes: int) -> Toy:
        built.append(Toy(classes))
        return built[-1]

    monkeypatch.setattr(train._made, "build", build)
    return built


def recipe(scenes: int = 6, precision: str = "32-true", **settings: Any) -> Recipe:
    return Recipe(
        data={"name": "streets", "size": list(SIZE), "count": scenes},
        split={"rule": "random", "members": scenes - 1, "nonmembers": 1, "pool": 0},
        segmenter={"name": "pspnet", "backbone": "resnet18"},
        train={"epochs": 3, "batch": 2, "lr": 0.05, "crop": SIZE, "precision": precision} | settings,
    )


def streets(made: Recipe) -> Scenes:
    dataset = made.dataset()
    return Scenes(dataset, None, dataset.ids(None))


def run(
    made: Recipe, folder: Path, seed: int = 0, *, workers: int = 0, start: Path | None = None,
    company: train.Company | None = None,
) -> bytes:  # fmt: skip
    """Train; the bytes of the weights."""
    folder.mkdir(exist_ok=True)
    fabric = Fabric(accelerator="cpu", devices=1, precision=made.train.precision)
    train.train(
        made, streets(made), seed=seed, folder=folder, fabric=fabric, title="a test", workers=workers, start=start,
        company=company,
    )  # fmt: skip
    return (folder / train.WEIGHTS).read_bytes()


def log(folder: Path) -> list[dict[str, str]]:
    """The log without what the machine says."""
    with (folder / train.LOG).open(encoding="utf-8") as file:
        return [{k: v for k, v in row.items() if k not in CLOCK} for row in csv.DictReader(file)]


def settings(**given: Any) -> Train:
    return Train(**({"epochs": 1, "batch": 2, "lr": 0.1, "crop": (12, 16), "flip": False} | given))


def numbered(height: int, width: int) -> Scene:
    """Every pixel has its own label, which its first channel repeats; the others are its row and column."""
    number = np.arange(height * width, dtype=np.uint8).reshape(height, width)
    assert height * width < IGNORE
    rows, columns = np.indices((height, width), np.uint8)
    return Scene("numbered", np.stack([number, rows, columns], -1), number)


def drawn(scene: Scene, wanted: Train, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A crop as bytes [3, h, w] and labels."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        image, labels = crop(scene, wanted)
    assert (image.dtype, labels.dtype) == (torch.float32, torch.int64)
    return (image * 255).round().byte().numpy(), labels.numpy()


def test_an_epoch_whose_crops_see_no_label_trains_on_and_says_so(
    folder: Path, tiny: list[Toy], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second of three epochs; weights stay finite and the log has nulls there alone."""
    scene = Streets.scene

    def sparse(self: Streets, root: Path | None, scene_id: str) -> Scene:
        found = scene(self, root, scene_id)
        return replace(found, labels_HW=np.full_like(found.labels_HW, IGNORE)) if asked["epoch"] == 1 else found

    asked, epoch = {"epoch": -1}, train.Training.epoch

    def counted(self: train.Training, stop: list[str]) -> dict[str, Any]:
        asked["epoch"] += 1
        return epoch(self, stop)

    monkeypatch.setattr(Streets, "scene", sparse)
    monkeypatch.setattr(train.Training, "epoch", counted)
    run(recipe(), folder)
    assert [row["miou"] == "null" for row in log(folder)] == [False, True, False]
    assert [row["loss"] == "null" for row in log(folder)] == [False, True, False]
    assert all(torch.isfinite(weight).all() for weight in tiny[-1].state_dict().values())


# The schedule.


def test_poly_is_its_closed_form() -> None:
    wanted = settings(lr=0.02, power=0.9)
    assert poly(wanted, 0, 100) == 0.02
    assert poly(wanted, 50, 100) == pytest.approx(0.02 * 0.5**0.9)
    assert poly(wanted, 99, 100) == pytest.approx(0.02 * 0.01**0.9)
    assert poly(settings(lr=0.3, power=2), 1, 4) == pytest.approx(0.3 * 0.5625)


def test_every_step_trains_at_its_rate_and_heads_at_their_multiple(folder: Path, tiny: list[Toy]) -> None:
    steps: list[list[tuple[float, int, float, float]]] = []

    def note(optimizer: Any, *_: Any) -> None:
        groups = optimizer.param_groups
        steps.append([(g["lr"], len(g["params"]), g["momentum"], g["weight_decay"]) for g in groups])

    hook = register_optimizer_step_pre_hook(note)
    made = recipe(7, lr=0.02, head_lr=10.0, momentum=0.8, weight_decay=3e-4)
    try:
        run(made, folder)
    finally:
        hook.remove()
    # Seven scenes are three batches of two; the last scene waits for another epoch.
    rates = [0.02 * (1 - step / 9) ** 0.9 for step in range(9)]
    assert [s[0][0] for s in steps] == pytest.approx(rates)
    assert [s[1][0] for s in steps] == pytest.approx([10 * rate for rate in rates])
    assert {s[i][1:] for s in steps for i in (0, 1)} == {(3, 0.8, 3e-4), (2, 0.8, 3e-4)}
    assert [float(row["lr"]) for row in log(folder)] == pytest.approx([rates[2], rates[5], rates[8]])


def test_steps_cut_the_last_epoch_short(folder: Path, tiny: list[Toy]) -> None:
    run(recipe(7, lr=0.02, epochs=None, steps=8), folder / "eight")
    assert len(tiny[0].seen) == 8 + 1  # the last answer is looked at
    rates = [0.02 * (1 - step / 8) ** 0.9 for step in range(8)]
    assert [float(row["lr"]) for row in log(folder / "eight")] == pytest.approx([rates[2], rates[5], rates[7]])
    run(recipe(7, lr=0.02, epochs=None, steps=9), folder / "nine")
    run(recipe(7, lr=0.02, epochs=3), folder / "three")
    assert log(folder / "nine") == log(folder / "three")
    nine, three = (load_file(folder / name / train.WEIGHTS) for name in ("nine", "three"))
    assert all(torch.equal(tensor, three[name]) for name, tensor in nine.items())


# Crops.


def test_a_crop_of_the_whole_scene_is_the_scene() -> None:
    scene = Scene("a", picture(0, (12, 16)), np.full((12, 16), 3, np.uint8))
    scene.labels_HW[2, 5] = IGNORE
    image, labels = crop(scene, settings())
    assert torch.equal(image, torch.from_numpy(scene.image_HWC).permute(2, 0, 1) / 255)
    assert (labels.numpy() == scene.labels_HW).all()


def test_labels_stay_on_their_pixels_through_crop_and_flip() -> None:
    scene, wanted, mirrored, corners = numbered(14, 18), settings(flip=True), 0, set()
    for seed in range(200):
        (number, row, column), labels = drawn(scene, wanted, seed)
        assert (number == labels).all()
        assert (row == row[:1, :1] + np.arange(12)[:, None]).all()
        direction = 1 if column[0, 1] > column[0, 0] else -1
        assert (column.astype(int) == int(column[0, 0]) + direction * np.arange(16)).all()
        mirrored += direction < 0
        corners.add((int(row[0, 0]), int(column.min())))
    assert 75 < mirrored < 125
    assert corners == {(top, left) for top in range(3) for left in range(3)}  # the last row and column included


def test_flipping_can_be_switched_off() -> None:
    assert all(drawn(numbered(12, 16), settings(), seed)[1][0, 0] == 0 for seed in range(20))


@pytest.mark.parametrize("fill", [None, (124, 116, 104)])
@pytest.mark.parametrize("size", [(9, 16), (12, 11), (7, 9), (9, 20)])
def test_what_a_scene_lacks_is_ignored_and_filled(size: tuple[int, int], fill: tuple[int, int, int] | None) -> None:
    scene = numbered(*size)
    for seed in range(8):
        image, labels = drawn(scene, settings(fill=fill), seed)
        known = labels != IGNORE
        assert known.sum() == min(12, size[0]) * min(16, size[1])
        assert (image[0][known] == labels[known]).all()
        assert (image[:, ~known] == np.array(fill or (0, 0, 0))[:, None]).all()
        assert known[: size[0], : size[1]].all()


def test_enlarging_keeps_labels_on_their_pixels() -> None:
    labels = np.kron(np.array([[0, 3, 1], [2, 0, 4]], np.uint8), np.ones((4, 4), np.uint8))
    scene = Scene("blocks", np.repeat(50 * labels[..., None], 3, 2), labels)
    image, bigger = drawn(scene, settings(scale=(2.0, 2.0), crop=(16, 24)), 0)
    assert (bigger == labels.repeat(2, 0).repeat(2, 1)).all()
    # Bilinear interpolation mixes the pixels on either side of an edge, and leaves the rest as they are.
    inner = np.ones((8, 8), bool)
    inner[[0, -1]] = inner[:, [0, -1]] = False
    inner = np.tile(inner, (2, 3))
    assert (image[0][inner] == 50 * bigger[inner]).all()
    crossing = image[0, 3, 4:12].astype(int)  # from label 0 to label 3, the edge in the middle
    assert (np.abs(crossing + crossing[::-1] - 150) <= 1).all()  # halves are rounded


def test_shrinking_keeps_labels_on_their_pixels() -> None:
    labels = np.kron(np.arange(24, dtype=np.uint8).reshape(4, 6), np.ones((8, 8), np.uint8))
    scene = Scene("blocks", np.repeat(10 * labels[..., None], 3, 2), labels)
    image, smaller = drawn(scene, settings(scale=(0.5, 0.5), crop=(16, 24)), 0)
    assert (smaller == labels[::2, ::2]).all()
    middle = np.tile(np.pad(np.ones((2, 2), bool), 1), (4, 6))
    assert (image[0][middle] == 10 * smaller[middle]).all()


@pytest.mark.parametrize("size", [(7, 9), (13, 40), (64, 64), (26, 35), (33, 71), (99, 128)])
def test_a_window_of_a_resized_scene_is_that_of_the_scene_resized_whole(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 255, (32, 64), dtype=np.uint8)
    image = picture(0, (32, 64))
    whole = [
        tvf.resize(torch.from_numpy(image).permute(2, 0, 1), list(size), InterpolationMode.BILINEAR, antialias=True),
        tvf.resize(torch.from_numpy(labels)[None], list(size), InterpolationMode.NEAREST)[0],
    ]
    for top, left in [(0, 0), (1, 3), (5, 6)]:
        window = slice(top, top + 6), slice(left, left + 20)
        assert torch.equal(_crops._image(image, size, window[0], columns=window[1]), whole[0][:, *window])
        assert torch.equal(_crops._labels(labels, size, window[0], columns=window[1]), whole[1][window])


@pytest.mark.parametrize("stored", [32, 683, 1024, 2048])
def test_labels_are_resized_by_torchs_rule_at_every_size(stored: int) -> None:
    line = torch.arange(stored, dtype=torch.float32)[None, None]
    for size in (*range(stored // 2, stored // 2 + 40), *range(stored - 20, stored + 20), 2 * stored - 1, 2 * stored):
        expected = torch.nn.functional.interpolate(line, size, mode="nearest")[0, 0].numpy()
        assert (_crops._nearest(slice(None), stored, size) == expected).all()


def test_scales_are_drawn_from_the_whole_range() -> None:
    scene = Scene("white", np.full((20, 20, 3), 255, np.uint8), np.zeros((20, 20), np.uint8))
    wanted = settings(scale=(0.5, 1.5), crop=(40, 40))
    sides = [int((drawn(scene, wanted, seed)[1] != IGNORE).sum()) ** 0.5 for seed in range(300)]
    assert set(sides) == set(range(10, 31))
    assert np.mean(sides) == pytest.approx(20, abs=1)


def test_a_crop_leaves_the_scene_alone() -> None:
    scene = numbered(14, 18)
    scene.image_HWC.setflags(write=False)
    scene.labels_HW.setflags(write=False)
    drawn(scene, settings(flip=True, scale=(0.5, 2.0)), 0)


def test_a_crop_depends_on_seed_epoch_and_scene_alone() -> None:
    content = {name: Scene(name, picture(i, (20, 30)), np.zeros((20, 30), np.uint8)) for i, name in enumerate("abc")}
    dataset, wanted = Held(count=3, held=content), settings(flip=True, scale=(0.5, 2.0))

    def view(ids: str, index: int, seed: int = 0, epoch: int = 0) -> Tensor:
        crops = Crops(Scenes(dataset, None, list(ids)), wanted, seed)
        crops.epoch = epoch
        return crops[index][0]

    before = torch.get_rng_state()
    first = view("abc", 1)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(5)
    assert torch.equal(view("cb", 1), first)
    assert not torch.equal(view("abc", 1, seed=1), first)
    assert not torch.equal(view("abc", 1, epoch=1), first)


# The same bits.


def test_a_seed_decides_every_bit(folder: Path, tiny: list[Toy]) -> None:
    first = run(recipe(), folder / "first")
    torch.manual_seed(99)
    assert run(recipe(), folder / "again") == first
    assert log(folder / "again") == log(folder / "first")
    assert run(recipe(), folder / "other", seed=1) != first


@forks
def test_the_number_of_workers_changes_nothing(folder: Path, tiny: list[Toy]) -> None:
    made = recipe(flip=True, scale=(0.5, 2.0))
    assert run(made, folder / "none", workers=0) == run(made, folder / "two", workers=2)
    assert log(folder / "none") == log(folder / "two")


class Killed(Exception):
    """Stands for the end of the process."""


def killed(at: int, save_until: int, monkeypatch: pytest.MonkeyPatch, place: Callable[..., None]) -> None:
    """Let `place` raise in its call number `at`; states are saved up to epoch `save_until`."""
    calls = 0
    owner, name = (Bar, "step") if place is Bar.step else (train, place.__name__)

    def counted(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if owner is Bar and calls == save_until:
            monkeypatch.setattr(train, "SAVE_EVERY", NEVER)
        if calls == at:
            raise Killed
        return place(*arguments, **named)

    monkeypatch.setattr(train, "SAVE_EVERY", -1.0 if save_until else NEVER)
    monkeypatch.setattr(owner, name, counted)


@pytest.mark.parametrize(
    ("place", "at", "save_until", "state"),
    [
        (Bar.step, 1, 9, (1, 0)),
        (Bar.step, 2, 9, (2, 0)),
        (Bar.step, 2, 1, (1, 0)),  # the log is an epoch ahead of the state
        (Bar.step, 3, 9, (3, 0)),  # nothing left to train, only weights to write
        (train.poly, 3, 9, (0, 2)),  # in the middle of the first epoch
        (train.poly, 6, 9, (1, 1)),  # in the middle of the second; at an epoch's end, its row takes a call
        (train.poly, 8, 9, (1, 3)),  # all steps of the second are done, its row is not written
        (train.poly, 2, 0, None),  # before the first state
    ],
)
def test_a_killed_run_ends_with_the_bits_of_an_unbroken_one(
    folder: Path, tiny: list[Toy], place: Callable[..., None], at: int, save_until: int, state: tuple[int, int] | None
) -> None:
    made = recipe(scale=(0.5, 2.0), head_lr=10.0)
    unbroken = run(made, folder / "unbroken")
    with pytest.MonkeyPatch.context() as patch:
        killed(at, save_until, patch, place)
        with pytest.raises(Killed):
            run(made, folder / "broken")
    assert not (folder / "broken" / train.WEIGHTS).exists()
    if state is None:
        assert not (folder / "broken" / train.STATE).exists()
    else:
        with safe_open(folder / "broken" / train.STATE, "pt") as file:
            assert tuple(int(file.metadata()[key]) for key in ("epochs", "steps")) == state
    assert run(made, folder / "broken") == unbroken
    epochs, steps = state or (0, 0)
    left = 9 - 3 * epochs - steps  # three batches an epoch, and none that was done
    assert len(tiny[-1].seen) == left + bool(left)  # the last answer is looked at
    assert log(folder / "broken") == log(folder / "unbroken")
    assert not (folder / "broken" / train.STATE).exists()


def test_a_killed_pspnet_ends_with_the_bits_of_an_unbroken_one(folder: Path) -> None:
    made = recipe(4, epochs=2)
    unbroken = run(made, folder / "unbroken")
    with pytest.MonkeyPatch.context() as patch:
        killed(1, 9, patch, Bar.step)
        with pytest.raises(Killed):
            run(made, folder / "broken")
    assert run(made, folder / "broken") == unbroken
    assert log(folder / "broken") == log(folder / "unbroken")


@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1"])
def test_a_scheduler_stops_a_run_after_its_step(folder: Path, tiny: list[Toy], name: str) -> None:
    made, number = recipe(scale=(0.5, 2.0)), getattr(signal, name)
    unbroken, before = run(made, folder / "unbroken"), signal.getsignal(number)
    calls = 0

    def ask(*arguments: Any) -> float:
        nonlocal calls
        calls += 1
        if calls == 3:
            signal.raise_signal(number)  # inside the third step; it is known by the end of the next
        return poly(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "poly", ask)
        with pytest.raises(MiaSegError, match=rf"stopped by {name} after step 4 of 9\. The same command goes on"):
            run(made, folder / "broken")
    assert signal.getsignal(number) == before
    assert len(tiny[-1].seen) == 4
    assert run(made, folder / "broken") == unbroken
    assert len(tiny[-1].seen) == 5 + 1  # the last answer is looked at
    assert log(folder / "broken") == log(folder / "unbroken")


def test_a_killed_run_goes_on_in_another_folder_by_what_it_left_in_its_scratch(folder: Path, tiny: list[Toy]) -> None:
    made, fabric = recipe(), Fabric(accelerator="cpu", devices=1)
    unbroken = run(made, folder / "unbroken")
    for name in ("first", "second"):
        (folder / name).mkdir()
    with pytest.MonkeyPatch.context() as patch:
        killed(1, 9, patch, Bar.step)
        with pytest.raises(Killed):
            train.train(
                made,
                streets(made),
                seed=0,
                folder=folder / "first",
                scratch=folder / "scratch",
                fabric=fabric,
                title="",
            )
    assert not list((folder / "first").iterdir()), "nothing half lies where products go"
    train.train(
        made, streets(made), seed=0, folder=folder / "second", scratch=folder / "scratch", fabric=fabric, title=""
    )
    assert (folder / "second" / train.WEIGHTS).read_bytes() == unbroken
    assert log(folder / "second") == log(folder / "unbroken")


def test_a_damaged_state_is_refused(folder: Path, tiny: list[Toy]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        killed(2, 9, patch, Bar.step)
        with pytest.raises(Killed):
            run(recipe(), folder)
    whole = (folder / train.STATE).read_bytes()
    (folder / train.STATE).write_bytes(whole[:-9])
    with pytest.raises(MiaSegError, match=r"is damaged.*Delete this folder"):
        run(recipe(), folder)


# What blows up.


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"lr": 1e30}, r"step 2 of 9, learning rate 8\.99e\+29: the loss is nan\..* Lower lr in \[train\]\.$"),
        ({"lr": 1e6}, r"step [3-7] of 9, .*: the loss is (nan|inf)\..*Lower lr in \[train\]\.$"),
        ({"lr": 1e-3, "head_lr": 1e38}, r"step [2-4] of 9, .*: the loss is (nan|inf)\."),
        (
            {"lr": 1e30, "precision": "bf16-mixed"},
            r"step 2 of 9, .*Lower lr in \[train\], or set precision = '32-true' there\.$",
        ),
        ({"lr": 1e30, "batch": 4, "accumulate": 2, "epochs": 6}, r"step 2 of 6, .*: the loss is nan\."),
    ],
)
def test_a_training_that_diverges_stops_at_its_step_and_says_so_again(
    folder: Path, tiny: list[Toy], monkeypatch: pytest.MonkeyPatch, changed: dict[str, Any], says: str
) -> None:
    monkeypatch.setattr(train, "SAVE_EVERY", -1.0)
    for _ in range(2):  # the second goes on from the first one's state
        with pytest.raises(MiaSegError, match=f"^a test: the training diverged at {says}"):
            run(recipe(**changed), folder)
        assert not (folder / train.WEIGHTS).exists()
        assert finite(folder / train.STATE)


def finite(path: Path) -> bool:
    return all(bool(tensor.isfinite().all()) for tensor in load_file(path).values())


@pytest.mark.parametrize(
    ("name", "at", "says"),
    [
        ("classify.weight", 2, "step 3 of 9, .*: the loss is nan"),
        ("classify.bias", 9, "step 9 of 9, .*: a weight is not finite"),
        ("backbone.1.running_var", 4, "step 6 of 9, .*: a weight is not finite"),  # no loss of training reads it
    ],
)
def test_a_weight_that_is_not_finite_is_neither_saved_nor_written(
    folder: Path, tiny: list[Toy], monkeypatch: pytest.MonkeyPatch, name: str, at: int, says: str
) -> None:
    steps = 0

    def break_(*_: Any) -> None:
        nonlocal steps
        steps += 1
        if steps == at:
            tiny[-1].state_dict()[name][0] = torch.inf

    monkeypatch.setattr(train, "SAVE_EVERY", -1.0)
    hook = register_optimizer_step_post_hook(break_)
    try:
        with pytest.raises(MiaSegError, match=f"diverged at {says}"):
            run(recipe(), folder)
    finally:
        hook.remove()
    assert not (folder / train.WEIGHTS).exists()
    assert finite(folder / train.STATE)
    with safe_open(folder / train.STATE, "pt") as file:
        told = {key: int(file.metadata()[key]) for key in ("epochs", "steps")}
    assert 3 * told["epochs"] + told["steps"] == at - 1


def test_a_stopped_training_whose_weights_are_not_finite_does_not_say_that_it_goes_on(
    folder: Path, tiny: list[Toy]
) -> None:
    made = recipe()
    training = Training(
        made, streets(made), seed=0, folder=folder, fabric=Fabric(accelerator="cpu", devices=1), workers=0, title="it"
    )
    training.prepare(None)
    tiny[0].backbone[1].running_var[0] = torch.nan
    with pytest.raises(MiaSegError, match=r"it: the training diverged at step 1 of 9.*: a weight is not finite"):
        training.epoch(["SIGTERM"])
    assert not (folder / train.STATE).exists()


def test_a_step_without_labels_does_not_look_like_divergence(folder: Path, tiny: list[Toy]) -> None:
    made, labels = recipe(4, epochs=2), np.zeros(SIZE, np.uint8)
    held = {k: Scene(k, picture(i, SIZE), labels if k == "a" else labels + IGNORE) for i, k in enumerate("abcd")}
    scenes = Scenes(Held(count=19, held=held), None, list(held))  # one of the two steps of an epoch sees no label
    fabric = Fabric(accelerator="cpu", devices=1)
    train.train(made, scenes, seed=0, folder=folder, fabric=fabric, title="a test")
    assert [float(row["loss"]) > 0 for row in log(folder)] == [True, True]


def scaled(scale: float) -> Fabric:
    """16-mixed as it runs on a GPU, on the CPU."""
    scaler = torch.amp.GradScaler("cpu", init_scale=scale, growth_interval=10**6)
    return Fabric(accelerator="cpu", devices=1, plugins=[MixedPrecision("16-mixed", "cpu", scaler)])


def test_steps_that_the_loss_scaler_skips_are_no_divergence(folder: Path, tiny: list[Toy]) -> None:
    made, fabric = recipe(), scaled(2.0**40)
    train.train(made, streets(made), seed=0, folder=folder, fabric=fabric, title="a test")
    assert fabric.strategy.precision.scaler.get_scale() < 2.0**40, "no step was skipped"
    assert finite(folder / train.WEIGHTS)


def test_a_loss_scaler_that_skips_every_step_ends_the_training(folder: Path, tiny: list[Toy]) -> None:
    made, fabric = recipe(precision="16-mixed"), scaled(2.0**-12)
    build = train._made.build

    def overflowing(*given: Any) -> Toy:
        network = build(*given)
        network.classify.weight.register_hook(lambda gradient: gradient * torch.inf)
        return network

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train._made, "build", overflowing)
        with pytest.raises(MiaSegError, match=r"step 2 of 9, .*a loss scale of 6.1e-05\..*'32-true'"):
            train.train(made, streets(made), seed=0, folder=folder, fabric=fabric, title="a test")
    assert not (folder / train.WEIGHTS).exists()


def test_weights_that_are_not_finite_are_refused(folder: Path, tiny: list[Toy]) -> None:
    run(recipe(epochs=1), folder)
    kept = load_file(folder / train.WEIGHTS)
    kept["classify.bias"][3] = torch.nan
    save_file(kept, folder / train.WEIGHTS)
    with pytest.raises(MiaSegError, match=rf"{train.WEIGHTS} holds a weight that is not finite.*with a lower lr"):
        load_network(recipe(), 19, folder / train.WEIGHTS)


# Processes that read scenes.


class Eventful(Held):
    """Reading the scene "c" does something first."""

    event: Callable[[], object]

    def scene(self, data_root: Path | None, scene_id: str) -> Scene:
        if scene_id == "c":
            self.event()
        return super().scene(data_root, scene_id)


def train_eventfully(folder: Path, event: Callable[[], object], workers: int) -> None:
    folder.mkdir(exist_ok=True)
    held = {k: Scene(k, picture(i, SIZE), np.zeros(SIZE, np.uint8)) for i, k in enumerate("abcd")}
    scenes, fabric = (
        Scenes(Eventful(count=19, held=held, event=event), None, list(held)),
        Fabric(accelerator="cpu", devices=1),
    )
    train.train(recipe(4, epochs=1), scenes, seed=0, folder=folder, fabric=fabric, title="a test", workers=workers)


def fail() -> None:
    raise AbsentPart("c.png cannot be read. Fetch the file again.")


@forks
@pytest.mark.parametrize("workers", [0, 2])
def test_a_scene_that_cannot_be_read_is_told_alike_by_any_number_of_workers(
    folder: Path, tiny: list[Toy], workers: int
) -> None:
    with pytest.raises(AbsentPart) as caught:
        train_eventfully(folder, fail, workers)
    assert str(caught.value) == "c.png cannot be read. Fetch the file again."
    assert not (folder / train.WEIGHTS).exists()


@forks
def test_a_worker_that_is_killed_is_told_in_a_sentence(folder: Path, tiny: list[Toy]) -> None:
    """As a system that runs out of memory kills it."""
    with pytest.raises(MiaSegError, match=r"^a test: a process that reads scenes has ended \(.+\), .*Use fewer --w"):
        train_eventfully(folder, lambda: os.kill(os.getpid(), signal.SIGKILL), 1)
    subprocess.run(["true"], check=True)  # torch looks after its workers whenever a process ends


@forks
def test_workers_leave_ctrl_c_to_the_process_that_they_read_for(folder: Path, tiny: list[Toy]) -> None:
    train_eventfully(folder, lambda: signal.raise_signal(signal.SIGINT), 1)
    assert (folder / train.WEIGHTS).is_file()
    with pytest.raises(KeyboardInterrupt):
        train_eventfully(folder / "alone", lambda: signal.raise_signal(signal.SIGINT), 0)


# What is learned, written and refused.


def test_fewer_scenes_than_a_batch_are_refused(folder: Path) -> None:
    with pytest.raises(MiaSegError, match=r"3 scenes do not fill a batch of 4.*Lower \[train\] batch"):
        run(recipe(3, batch=4), folder)
    assert not list(folder.iterdir())


@pytest.mark.parametrize(("precision", "inside"), [("32-true", torch.float32), ("bf16-mixed", torch.bfloat16)])
def test_precision_is_that_of_the_forward_pass(
    folder: Path, tiny: list[Toy], precision: str, inside: torch.dtype
) -> None:
    run(recipe(precision=precision, epochs=1), folder)
    assert {kind for _, kind in tiny[0].seen[:-1]} == {inside}  # the last answer is one of the service
    kept = load_file(folder / train.WEIGHTS)
    assert {t.dtype for t in kept.values() if t.is_floating_point()} == {torch.float32}


def test_the_log_has_a_row_an_epoch(folder: Path, tiny: list[Toy]) -> None:
    run(recipe(), folder)
    rows = log(folder)
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert (folder / train.LOG).read_text(encoding="utf-8").splitlines()[0].split(",") == [
        "epoch", "lr", "loss", "miou", "seconds", "scenes_per_second", "memory_mib"
    ]  # fmt: skip
    with (folder / train.LOG).open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            assert float(row["scenes_per_second"]) * float(row["seconds"]) == pytest.approx(6)
            assert 50 < int(row["memory_mib"]) < 100_000
    assert all(0 <= float(row["miou"]) <= 1 and float(row["loss"]) > 0 for row in rows)
    assert sorted(path.name for path in folder.iterdir()) == [train.LOG, train.WEIGHTS]


def test_weights_carry_the_recipe_and_seed_that_made_them(folder: Path, tiny: list[Toy]) -> None:
    made = recipe()
    run(made, folder, seed=5)
    with safe_open(folder / train.WEIGHTS, "pt") as file:
        (text,) = file.metadata().values()
        found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    told = json.loads(text)
    assert told == {"recipe": made.inputs("segmenter", "train"), "seed": 5}
    expected = tiny[0].state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in found.items())


def test_a_network_comes_back_as_it_was_trained(folder: Path, tiny: list[Toy]) -> None:
    run(recipe(), folder)
    network = load_network(recipe(), 19, folder / train.WEIGHTS)
    image = torch.rand(1, 3, *SIZE)
    assert not any(module.training for module in network.modules())
    assert torch.equal(network(image), tiny[0].eval()(image))


def test_training_starts_from_other_weights(folder: Path, tiny: list[Toy]) -> None:
    run(recipe(), folder / "coarse", seed=3)
    made = recipe(epochs=1, lr=1e-12, momentum=0.0, weight_decay=0.0, start="coarse")
    run(made, folder / "fine", start=folder / "coarse" / train.WEIGHTS)
    begun, ended = (load_file(folder / name / train.WEIGHTS) for name in ("coarse", "fine"))
    learned = [name for name, _ in tiny[0].named_parameters()]
    assert all(torch.allclose(ended[name], begun[name], atol=1e-9) for name in learned)
    run(made, folder / "scratch")
    scratch = load_file(folder / "scratch" / train.WEIGHTS)
    assert not torch.allclose(scratch["classify.weight"], begun["classify.weight"])


def test_a_start_that_does_not_fit_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train._made, "build", lambda recipe, classes: Toy(classes))
    run(recipe(epochs=1), folder / "coarse")
    monkeypatch.setattr(train._made, "build", lambda recipe, classes: Toy(30))
    with pytest.raises(MiaSegError, match=r"a test: .* start = 'rough' do not fit .*classify\.bias"):
        run(recipe(start="rough"), folder / "fine", start=folder / "coarse" / train.WEIGHTS)


def test_weights_of_another_architecture_are_refused(folder: Path, tiny: list[Toy]) -> None:
    run(recipe(epochs=1), folder)
    with pytest.raises(MiaSegError, match=r"another architecture than the recipe's \[segmenter\].*classify"):
        load_network(recipe(), 11, folder / train.WEIGHTS)


def test_weights_of_another_network_are_refused(folder: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train._made, "build", lambda recipe, classes: Toy(classes))
        run(recipe(epochs=1), folder)
    with pytest.raises(MiaSegError, match="another architecture"):
        load_network(recipe(), 19, folder / train.WEIGHTS)


@pytest.mark.parametrize("kept", [0, 4, 100, -1])
def test_truncated_weights_are_refused(folder: Path, tiny: list[Toy], kept: int) -> None:
    whole = run(recipe(epochs=1), folder)
    (folder / train.WEIGHTS).write_bytes(whole[:kept])
    with pytest.raises(MiaSegError, match=r"not a whole safetensors file.*train again"):
        load_network(recipe(), 19, folder / train.WEIGHTS)


def test_missing_weights_are_named(folder: Path, tiny: list[Toy]) -> None:
    with pytest.raises(MiaSegError, match=f"{train.WEIGHTS} is missing"):
        load_network(recipe(), 19, folder / train.WEIGHTS)


def test_a_small_network_learns_four_streets_by_heart(folder: Path) -> None:
    made = recipe(4, epochs=25, batch=4, lr=0.1, flip=False)
    run(made, folder)
    counts = np.sum([np.bincount(scene.labels_HW.ravel(), minlength=256)[:19] for scene in streets(made)], 0)
    share = counts[counts > 0] / counts.sum()
    # Both heads can only say how frequent each class is, until they have looked at the image.
    blind = 1.4 * -(share * np.log(share)).sum()
    losses = [float(row["loss"]) for row in log(folder)]
    assert losses[0] > blind
    assert losses[-1] < blind / 2
    assert losses[-1] < losses[0] / 3
