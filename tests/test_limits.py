"""What could not run is said before the first training: by the plan of a request, and by `check` for each recipe."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers_files import assert_refused, call, edit, shadow_text, victim_text, wholes, write

from mia_seg import data, plugins, recipes
from mia_seg.data import Dataset
from mia_seg.data.streets import Streets
from mia_seg.recipes import Window
from mia_seg.stages import memory
from mia_seg.stages.length import Work, read_pixels


@pytest.fixture(autouse=True)
def _only_own(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipes, "folders", lambda kind: [workdir / f"{kind}s"])
    monkeypatch.setattr(memory, "room", lambda: 10**9)


RUN = ("run", "tiny", "tiny_a1", "--defense", "none", "--attack")
LONG = "epochs = 1", "steps = 1_000_000_000"
# What is changed in a victim or shadow, what is asked then, and what is said.
CASES = {
    "batch": (
        "victim", ("batch = 3", "batch = 16"), ("train-victim", "tiny"),
        "tiny, seed 0: 6 scenes do not fill a batch of 16. Lower [train] batch.",
    ),
    "batch of a shadow": (
        "shadow", ("batch = 3", "batch = 7"), (*RUN, "image_loss"),
        "tiny_a1, seed 0: 6 scenes do not fill a batch of 7.",
    ),
    "patch": (
        "shadow", ("patch = [8, 8]", "patch = [9, 8]"), (*RUN, "patch_resnet50:loss"),
        "Attack 'patch_resnet50' looks at patches of (9, 8) cells, and the answer to scene 'city-0-0000",
    ),
    "crop": (
        "victim", ("crop = [32, 48]", "crop = [3200, 4800]"), ("train-victim", "tiny"),
        "crop = [3200, 4800], in 19 classes, takes 7.9 GB of memory at the least, and this machine has 1.0 GB.",
    ),
    "patches": (
        "shadow", ("patches = 2", "patches = 10000"), (*RUN, "patch_resnet50:concat"),
        "batch = 4, patches = 10000 takes 0.1 GB",
    ),
    "repeats": (
        "victim", ("batch = 3", "batch = 3"), (*RUN, "image_loss", "--repeats", "1000000000"),
        "To hold 1000000000 answers about scene 'city-0-0000",
    ),
    "classes": (
        "victim", ("batch = 3", "batch = 3"), (*RUN, "image_loss", "--defense", "top_k:20"),
        "Defense 'top_k:20' keeps more classes than the model's 19. Lower k.",
    ),
    "steps": ("victim", LONG, ("train-victim", "tiny"), "alone is 1,000,000,000 steps. Lower that, or add --yes"),
    "steps of a run": ("victim", LONG, (*RUN, "image_loss"), "'tiny, seed 0' alone is 1,000,000,000 steps."),
    "generator": (
        "victim", ("[train]", "[train_generator]\nbatch = 8\n[train]"), ("train-generator", "tiny"),
        "Generator of tiny, seed 0: 5 scenes are left to learn from, which do not fill a batch of 8.",
    ),
    "objective": (
        "victim", ("batch = 3", "batch = 3"), ("train-generator", "tiny", "--generator", "stochastic"),
        "[train_generator] objective = 'bicycle' does not train generator 'stochastic'. Set objective = 'regression',",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_what_could_not_run_is_said_before_the_first_training(
    case: str, workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, change, command, says = CASES[case]
    if case == "patches":
        monkeypatch.setattr(memory, "room", lambda: 10**8)
    edit(workdir / f"{kind}s" / ("tiny.toml" if kind == "victim" else "tiny_a1.toml"), *change)
    assert_refused(call(*command, "--device", "cpu"), says)
    assert not wholes(workdir / "runs")


def test_a_plan_of_months_says_so_and_is_no_fault(workdir: Path) -> None:
    edit(workdir / "victims" / "tiny.toml", *LONG)
    for command in (("train-victim", "tiny", "--dry-run"), ("plan", *RUN[1:], "image_loss")):
        ran = call(*command)
        assert ran.code == 0
        assert ran.out.splitlines()[-1].endswith("'tiny, seed 0' alone is 1,000,000,000 steps.")


def test_check_says_what_a_training_or_an_attack_would_refuse(workdir: Path) -> None:
    changes: list[tuple[str, str, Callable[[], str], str, str]] = [
        ("victim", "batch", victim_text, "batch = 3", "batch = 16"),
        ("victim", "crop", victim_text, "crop = [32, 48]", "crop = [3200, 4800]"),
        ("shadow", "few", shadow_text, "batch = 3", "batch = 7"),
        ("shadow", "all", shadow_text, "members = 6\nstride", "members = 12\nstride"),
        ("shadow", "patch", shadow_text, "patch = [8, 8]", "patch = [8, 13]"),
        ("shadow", "usual", shadow_text, "patch = [8, 8]\n", ""),
    ]
    for kind, name, text, old, new in changes:
        write(workdir / f"{kind}s" / f"{name}.toml", text().replace(old, new))
    said = {line.split(": ")[0].split()[-1]: line for line in call("check").out.splitlines() if "problem" in line}
    for name, says in {
        "batch": "batch: 6 scenes do not fill a batch of 16.",
        "crop": "takes 7.9 GB of memory",
        "few": "few: 6 scenes do not fill a batch of 7.",
        "all": "members = 12 leaves no non-members",
        "patch": "looks at patches of (8, 13) cells",
        "usual": "Write 'patch_resnet50:patch=8', lower 'patch' in [attacks.patch_resnet50]",
    }.items():
        assert says in said[name]
    assert not said.keys() & {"tiny", "tiny_a1"}


GROUPED = '[segmenter]\nnorm = "group"\n'
PRIVATE = 'variant_of = "large"\n[update]\nname = "dp_sgd"\n{}\n'
UNFIT = {
    "norm": (PRIVATE.format("noise = 1"), "a BatchNorm2d mixes those of a batch. Set norm = 'group'"),
    "coins": (PRIVATE.format("noise = 1") + "[train]\nbatch = 4\n" + GROUPED, "Use a batch of 5 or more"),
    "far": (PRIVATE.format("epsilon = 1e-4\ndelta = 1e-9") + GROUPED, "no noise lets 1 steps spend epsilon = 0.0001"),
    "delta": (PRIVATE.format("noise = 1\ndelta = 0.5") + GROUPED, "delta = 0.5 is above 1 / 6"),
    "mixing": (PRIVATE.format("noise = 1") + GROUPED + '[objective]\nname = "mix"\n', "[objective] mix lets scenes"),
    "taught": ('variant_of = "tiny"\n[segmenter]\nname = "gss"\n[objective]\nname = "dual"\n', "dual is not to read"),
}  # fmt: skip


def test_check_says_what_objective_and_update_would_refuse(workdir: Path) -> None:
    """In the words of the training; the recipe beside them is sound."""
    pytest.importorskip("opacus")
    write(workdir / "victims" / "large.toml", victim_text().replace("batch = 3", "batch = 6"))
    write(workdir / "victims" / "sound.toml", PRIVATE.format("noise = 1") + GROUPED)
    for name, (text, _) in UNFIT.items():
        write(workdir / "victims" / f"{name}.toml", text)
    lines = call("check").out.splitlines()
    said = {line.split(": ")[0].split()[-1]: line for line in lines if line.startswith("problem")}
    assert said.keys() >= UNFIT.keys()
    assert "sound" not in said
    for name, (_, says) in UNFIT.items():
        assert says in said[name]
        assert said[name].partition(f"victim {name}: {name}")[2] in call("train-victim", name, "--dry-run").err


def test_what_teachers_and_students_train_on_must_fill_a_batch_too(workdir: Path) -> None:
    """Before the first of them is trained: of six members a teacher sees two, and two scenes are in no part."""
    selena = 'variant_of = "tiny"\n[objective]\nname = "selena"\nmodels = 3\nleft_out = 2\n'
    write(workdir / "victims" / "taught.toml", selena)
    (line,) = (line for line in call("check").out.splitlines() if "victim taught: " in line)
    assert "taught, a teacher: 2 scenes do not fill a batch of 3. Lower [train] batch." in line
    assert_refused(call("train-victim", "taught", "--dry-run"), "taught-teacher-00, seed 0: 2 scenes do not fill")
    left = '[split]\nmembers = 6\nnonmembers = 6\npool = 16\n[objective]\nname = "distillation"\non = "reference"\n'
    write(workdir / "victims" / "student.toml", 'variant_of = "tiny"\n' + left)
    assert_refused(
        call("train-victim", "student", "--dry-run"), "student, seed 0, on the scenes that [split] leaves over: 2"
    )


def test_a_package_that_is_missing_is_absent_and_no_fault_of_a_recipe(
    workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "opacus.accountants.analysis.rdp", None)
    write(workdir / "victims" / "large.toml", victim_text().replace("batch = 3", "batch = 6"))
    write(workdir / "victims" / "sound.toml", PRIVATE.format("noise = 1") + GROUPED)
    (line,) = (line for line in call("check").out.splitlines() if "victim sound:" in line)
    assert line.startswith("absent")
    assert "pip install 'mia-seg[dp]'" in line


def test_a_shadow_whose_members_are_chosen_by_asking_is_checked_before_its_victim_trains(workdir: Path) -> None:
    text = shadow_text().replace("[train]", '[update]\nname = "dp_sgd"\nnoise = 1\n[train]')
    write(workdir / "shadows" / "late.toml", text)
    assert 'choose = "confidence"' in text
    assert_refused(
        call("run", "tiny", "late", "--device", "cpu", "--defense", "none", "--attack", "image_loss"),
        "late, seed 0: [update] dp_sgd needs a network that looks at one scene at a time",
    )
    assert not wholes(workdir / "runs")


@pytest.mark.parametrize("name", plugins.names(data))
def test_the_shape_of_a_scene_is_that_of_its_labels(name: str, data_root: Path) -> None:
    dataset = plugins.load(data, Dataset, name).example(data_root / "own")
    for scene_id in dataset.ids(data_root / "own")[:3]:
        assert dataset.shape(data_root / "own", scene_id) == dataset.scene(data_root / "own", scene_id).labels_HW.shape


def test_the_shapes_of_streets_of_any_lens() -> None:
    mixed = Streets(size=(96, 128), style="mixed", count=9)
    shapes = [mixed.shape(None, i) for i in mixed.ids(None)]
    assert shapes == [mixed.scene(None, i).labels_HW.shape for i in mixed.ids(None)]
    assert len(set(shapes)) > 1


def test_bytes_and_pixels_are_those_of_a_count_by_hand() -> None:
    assert memory.of_answer((10, 20), 3, 5) == 4 * 200 * 3 * 10
    assert memory.of_layouts((10, 20), 4, 3) == 4 * 200 * 12
    assert read_pixels((64, 96), None) == 64 * 96
    assert read_pixels((64, 96), Window(size=(32, 32), overlap=0)) == 64 * 96
    assert read_pixels((64, 96), Window(size=(32, 32), overlap=0.5)) == 3 * 5 * 32 * 32
    assert read_pixels((64, 96), Window(size=(500, 500), overlap=0.5)) == 64 * 96
    assert Work(1000, "steps", 10_000).seconds("cpu") == pytest.approx(6)


@pytest.mark.parametrize(
    ("error", "lacks"),
    [
        (MemoryError("Unable to allocate 9 TiB"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"), True),
        (RuntimeError("a bug"), False),
    ],
)
def test_a_failed_allocation_is_told_from_a_bug(error: Exception, lacks: bool) -> None:
    assert memory.lacking(error, "tiny, seed 0").startswith("tiny, seed 0 needs more memory" if lacks else "")
    assert bool(memory.lacking(error, "tiny, seed 0")) is lacks
