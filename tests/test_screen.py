"""The screen: a model that exists, asked through a door, looked at without a shadow."""

import json
import os
import re
import shlex
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers_files import assert_refused, call, write
from PIL import Image

from mia_seg.attacks import Membership
from mia_seg.data.folder import Folder
from mia_seg.errors import MiaSegError
from mia_seg.metrics.membership import best_threshold
from mia_seg.oracles.doors.callable import Callable
from mia_seg.stages.screen import crossed

README = Path(__file__).parents[1] / "README.md"
PROJECT = """\
import torch

def model(images):
    grey = 255 * images.mean(1)
    return torch.stack([-((grey - level) ** 2) / 500 for level in (60, 120, 180)], 1)
"""
MODEL = """\
import numpy as np

def predict(image):
    colours = image.astype(np.float32) / 255
    return np.stack([colours[..., k % 3] * (k + 1) for k in range(8)])

def labels(image):
    return predict(image).argmax(0).astype(np.uint8)

def sums_to_two(image):
    return np.full((8, *image.shape[:2]), 0.25, np.float32)
"""


@pytest.fixture
def owner(workdir: Path, data_root: Path) -> Path:
    """Somebody's model and their list of who is a member; 12 + 12 scenes, their data root."""
    sys.modules.pop("own", None)  # a command is a process of its own elsewhere
    write(workdir / "own.py", MODEL)
    folder = Folder(path="labelmefacade", class_map="labelmefacade")
    lines = ["id,image,labels,member"]
    for k, stem in enumerate(folder.ids(data_root)):
        files = (str(path.relative_to(data_root)) for path in folder.files(data_root, stem))
        lines.append(",".join([stem, *files, str(k % 2)]))
    write(data_root / "members.csv", "\n".join(lines))
    return data_root


def described(root: Path, target: str = "own:predict", answers: str = "logits") -> tuple[str | Path, ...]:
    return (
        "audit", "--door", f"callable:{target}", "--answers", answers, "--members", root / "members.csv",
        "--class-map", "labelmefacade",
    )  # fmt: skip


def test_thresholds_are_chosen_on_the_other_half() -> None:
    rng = np.random.default_rng(0)
    members_N, groups_N = np.arange(40) < 20, np.array([f"g{k // 2}" for k in range(40)])
    scores_N = rng.normal(size=40) + members_N
    threshold_N = crossed(scores_N, Membership(members_N, groups_N), 3)
    halves = [np.flatnonzero(threshold_N == value) for value in np.unique(threshold_N)]
    assert [len(half) for half in halves] == [20, 20]
    assert not {groups_N[k] for k in halves[0]} & {groups_N[k] for k in halves[1]}
    for mine, other in (halves, halves[::-1]):
        assert members_N[mine].sum() == 10
        assert set(threshold_N[mine]) == {best_threshold(scores_N[other], members_N[other])}
    turned = scores_N.copy()
    turned[halves[0]] = -turned[halves[0]]
    again_N = crossed(turned, Membership(members_N, groups_N), 3)
    assert (again_N[halves[0]] == threshold_N[halves[0]]).all(), "a scene's own half says nothing of its threshold"


def test_where_a_side_is_one_group_no_membership_shapes_the_threshold() -> None:
    scores_N, groups_N = np.array([9.0, 2.0, 1.0, 0.0, 8.0]), np.array(["a", "b", "c", "d", "a"])
    members_N = groups_N == "a"
    assert crossed(scores_N, Membership(members_N, groups_N), 0).tolist() == [2.0] * 5
    assert best_threshold(scores_N, members_N) == 5.0, "which would tell all of them apart"


def test_what_the_readme_says_to_a_newcomer_is_true(workdir: Path) -> None:
    """Its files, its command, its lines of Python, as they stand there."""
    own, command, lines = blocks("You have a model already")
    write(workdir / "my_project.py", PROJECT)
    write(workdir / "own.py", own)
    for name in ("own", "my_project"):
        sys.modules.pop(name, None)  # a command is a process of its own elsewhere
    scenes = [(name, *squares(k)) for k, name in enumerate(["trained_on"] * 12 + ["never_seen"] * 12)]
    for k, (side, *pair) in enumerate(scenes):
        for kind, pixels in zip(("images", "labels"), pair, strict=True):
            (workdir / side / kind).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(workdir / side / kind / f"{k:02d}.png")
    ran = call(*shlex.split(command.replace("\\\n", ""))[1:])
    assert ran.code == 0, ran.err
    assert "trained shadow" not in ran.out + ran.err
    said = " ".join(ran.out.split())
    assert re.search(r"The strongest attack, [a-z ]+, reaches AUC 0\.\d\d", said)
    assert "Tried: 4 attacks, 1 seed. No defenses. 12 training images and 12 others per seed." in said
    assert re.search(r"mia-seg audit mine --shadows 8 --data-root \. trains 8 shadows .* about \d+ minutes here", said)
    defended = call("audit", "mine", "--data-root", ".", "--defense", "argmax", "--attack", "label_only")
    assert "No attack was measured on the undefended model" not in defended.out, "the page knows of the first call"
    assert "Tried: 4 attacks, 1 seed. 1 defense." in " ".join(defended.out.split())
    for path in (workdir / "reports" / "mine").glob("screen.argmax.*"):
        path.unlink()
    found = [json.loads(path.read_text()) for path in sorted((workdir / "reports" / "mine").glob("screen.*.json"))]
    assert [(one["attack"], one["shadow"], one["adversary"], one["segmenters"]["victim"]) for one in found] == [
        (attack, "screen", "screen", "callable door")
        for attack in ("image_confidence", "image_loss", "label_only", "predictability_error")
    ]
    for one in found:
        assert (one["levels"]["image"]["n_members"], one["levels"]["image"]["n_nonmembers"]) == (12, 12)
    page = (workdir / "reports" / "mine" / "README.md").read_text(encoding="utf-8")
    assert "mine, attacked without a shadow" in page
    assert "at the threshold that is best on the other half of the scenes" in page
    again = call("audit", "mine", "--data-root", ".", "--dry-run")
    assert "0 missing" in again.out

    names = {"images": [image for _, image, _ in scenes], "labels": [labels for _, _, labels in scenes]}
    names |= {"seen": [side == "trained_on" for side, *_ in scenes]}
    exec(compile(own + lines, "README.md", "exec"), names)
    table = names["audit"].table()  # type: ignore[attr-defined]
    by_attack = {one["attack"]: one["levels"]["image"]["auc"] for one in found}
    assert dict(zip(table["attack"], table["auc"], strict=True)) == pytest.approx(by_attack)
    with pytest.raises(MiaSegError, match=r"mine\.toml is a recipe that mia\.audit did not write"):
        exec(compile(own + lines.replace('name="mine_too"', ""), "README.md", "exec"), names)


def blocks(title: str) -> list[str]:
    """The code of a section of the README."""
    section = README.read_text(encoding="utf-8").partition(f"## {title}")[2].partition("\n## ")[0]
    return re.findall(r"```\w+\n(.*?)```", section, re.DOTALL)


def squares(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """An image and its labels of three classes: uint8 [32, 48, 3] and [32, 48]."""
    rng = np.random.default_rng(seed)
    labels_HW = rng.integers(3, size=(4, 6), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    noise_HWC = rng.normal(60, 20, (32, 48, 3))
    return (noise_HWC + 60 * labels_HW[..., None]).clip(0, 255).astype(np.uint8), labels_HW


def test_a_model_that_answers_labels_is_asked_for_labels(owner: Path, workdir: Path) -> None:
    ran = call(*described(owner, "own:labels", "labels"))
    assert ran.code == 0, ran.err
    assert [path.name for path in (workdir / "reports" / "mine").glob("*.json")] == ["screen.none.label_only.s0.json"]
    refused = call("audit", "mine", "--data-root", owner, "--attack", "image_loss")
    assert_refused(
        refused, "Attack 'image_loss' reads posteriors, and victim 'mine' answers labels alone", "label_only"
    )


def without_labels(root: Path) -> None:
    rows = [line.split(",") for line in (root / "members.csv").read_text().splitlines()]
    write(root / "members.csv", "\n".join(f"{i},{image},{member}" for i, image, _, member in rows))


def test_without_labels_what_needs_none_is_tried_and_the_rest_left_out_by_name(owner: Path, workdir: Path) -> None:
    without_labels(owner)
    ran = call(*described(owner), "--defense", "none", "--defense", "argmax")
    assert ran.code == 0, ran.err
    for attack in ("image_loss", "label_only", "predictability_error"):
        assert ran.err.count(f"left out: Attack '{attack}' compares predictions with labels, and the scenes have") == 1
    results = [json.loads(path.read_text()) for path in sorted((workdir / "reports" / "mine").glob("*.json"))]
    assert [(one["defense"], one["attack"]) for one in results] == [
        (defense, attack) for defense in ("argmax", "none") for attack in ("firmness", "image_confidence")
    ]
    for one in results:
        assert (one["utility"], one["levels"]["image"]["n_members"]) == (None, 12)
        assert one["queries"] == (24 if one["attack"] == "image_confidence" else 24 + 4 * 2 * 24)
    page = (workdir / "reports" / "mine" / "README.md").read_text(encoding="utf-8")
    assert "mine, attacked without a shadow" in page
    assert "--shadows" not in ran.out, "shadows would have nothing to learn from"
    assert "0 missing" in call("audit", "mine", "--data-root", owner, "--dry-run").out


def test_what_needs_labels_is_refused_without_them(owner: Path) -> None:
    without_labels(owner)
    assert_refused(
        call(*described(owner), "--attack", "image_loss"), "'image_loss' compares predictions with labels", "Give their"
    )
    refused = call(*described(owner), "--shadows", "4")
    assert_refused(refused, "--shadows: the scenes of 'mine' have no labels to train on")
    assert not (Path.cwd() / "shadows" / "mine_fleet.toml").exists()


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (("--attack", "rmia"), "Attack 'rmia' learns from a shadow, and this audit has none"),
        (
            ("--defense", "dropout:0.1"),
            "Defense 'dropout' changes the forward pass, and victim 'mine' is behind a door",
        ),
        (("--attack", "attack_p"), "Attack 'attack_p' compares with scenes that nobody trained on"),
    ],
)
def test_what_the_screen_cannot_do_is_refused_first(owner: Path, more: tuple[str, ...], says: str) -> None:
    assert_refused(call(*described(owner), *more), says)


def test_a_pool_that_is_too_small_for_an_attack_is_said_before_the_model_is_asked(owner: Path) -> None:
    """An attack by default is left out by name, an attack that was asked for is refused."""
    folder = Folder(path="labelmefacade", class_map="labelmefacade")
    ids = folder.ids(owner)
    for name, chosen in (("trained", ids[:8]), ("unseen", ids[8:16]), ("spare", ids[16:24])):
        write(owner / f"{name}.txt", "\n".join(folder.files(owner, stem)[0].name for stem in chosen))
    images, labels = (path.parent for path in folder.files(owner, ids[0])[:2])
    asked = ["audit", "--door", "callable:own:predict", "--answers", "logits", "--class-map", "labelmefacade"]
    asked += ["--images", images, "--labels", labels, "--dry-run"]
    asked += ["--members", owner / "trained.txt", "--nonmembers", owner / "unseen.txt", "--pool", owner / "spare.txt"]
    planned = call(*asked)
    assert planned.code == 0, planned.err
    assert "attack_p" in planned.out
    assert "left out: Attack 'quantile_regression' takes, for 8 classes, a pool of at least 13 scenes" in planned.err
    refused = call(*asked, "--attack", "quantile_regression")
    assert_refused(refused, "a pool of at least 13 scenes, and there are 8", "Give the split a larger pool")


@pytest.mark.parametrize(
    ("target", "answers", "says"),
    [
        ("own:sums_to_two", "posterior", "its answer is off by 1 in its sums"),
        ("own:nothing", "logits", "'own:nothing' cannot be imported"),
        ("own:labels", "logits", "logits are floats"),
        ("own:predict", "labels", "it answers float32 where class ids are expected"),
    ],
)
def test_an_answer_that_is_none_stops_the_audit(
    owner: Path, workdir: Path, target: str, answers: str, says: str
) -> None:
    assert_refused(call(*described(owner, target, answers)), "Door 'callable'", says)
    assert not list((workdir / "reports").glob("**/*.json"))


def test_options_that_belong_together_are_asked_for(owner: Path) -> None:
    assert_refused(call("audit"), "Name a victim recipe, or describe a model with --door")
    assert_refused(
        call("audit", "--door", "callable:own:predict"),
        "--door needs --answers, --members (and --nonmembers, unless it is a CSV), --classes or --class-map too",
    )
    assert_refused(call(*described(owner), "--data-root", owner / "labelmefacade"), "does not lie below")
    # Ten scenes twice and 24 once; none of the attacks asks about changed images.
    said = "Door 'callable' gets 44 queries at most: 24 scenes, 1 window a scene, each asked about up to 3 times."
    assert said in call(*described(owner), "--dry-run").out
    assert not (Path.cwd() / "victims" / "mine.toml").exists(), "nothing is made"
    assert call(*described(owner)[:-2], "--class-map", "labelmefacade", "--attack", "label_only").code == 0
    assert_refused(call(*described(owner, "own:labels")), "mine.toml exists with other content")


def test_a_model_that_does_not_answer_leaves_no_recipe_in_the_way(owner: Path, workdir: Path) -> None:
    ran = call(*described(owner, "own:predct"))
    assert_refused(ran, "'own:predct' cannot be imported")
    assert "removed the recipe of 'mine', which did not work yet. Below, [door] target means --door" in ran.err
    ran = call(*described(owner), "--attack", "quantile_regression")
    assert_refused(ran, "compares with scenes that nobody trained on")
    assert not (workdir / "victims" / "mine.toml").exists()
    ran = call(*described(owner, "own:nothing"), "--dry-run")
    assert (ran.code, (workdir / "victims" / "mine.toml").exists()) == (0, False)
    looked = call(*described(owner), "--attack", "label_only", "--reports", workdir / "own.py")
    assert_refused(looked, "could not be written")
    assert (workdir / "victims" / "mine.toml").exists(), "its model answered: what failed came later"


@pytest.mark.parametrize(("jobs", "name", "code"), [("1", "SIGTERM", 143), ("2", "SIGTERM", 2), ("1", "SIGUSR1", 138)])
def test_an_audit_that_is_ended_says_how_to_go_on(
    owner: Path, workdir: Path, jobs: str, *, name: str, code: int
) -> None:
    """The model is being asked then, and its recipe is what the same command goes on with."""
    ended = "import os, pathlib, signal\n\ndef ended(image):\n" + (
        "    if not pathlib.Path('ended').exists():\n"
        "        pathlib.Path('ended').touch()\n"
        f"        os.kill(int(pathlib.Path('pid').read_text()), signal.{name})\n"
        "    return predict(image)\n"
    )
    write(workdir / "own.py", MODEL + ended)
    write(workdir / "pid", str(os.getpid()))
    asked = *described(owner, "own:ended"), "--attack", "label_only", "--jobs", jobs
    number = getattr(signal, name)
    before = signal.signal(number, signal.SIG_IGN)
    try:
        ran = call(*asked)
        assert signal.getsignal(number) is signal.SIG_IGN
    finally:
        signal.signal(number, before)
    assert ran.code == code, ran.err
    assert "Stopped" in ran.err
    assert ran.err.endswith("The same command goes on from the last saved step.\n")
    assert (workdir / "victims" / "mine.toml").exists()
    assert call(*asked).code == 0


def test_a_refused_description_leaves_no_recipe(owner: Path, workdir: Path) -> None:
    before = sorted(path.name for path in (workdir / "victims").iterdir())
    for arguments, says in (
        (described(owner, answers="probs"), "Input should be 'logits', 'posterior' or 'labels'"),
        ((*described(owner), "--name", "../evil"), "--name '../evil'"),
        ((*described(owner), "--name", "labelmefacade"), "a recipe of that name came with mia-seg"),
        ((*described(owner), "--name", "generators"), "--name generators: 'generators' names the folder of"),
        ((*described(owner)[:-1], "nosuch.toml"), "nosuch.toml is missing"),
    ):
        assert_refused(call(*arguments), says)
    assert sorted(path.name for path in (workdir / "victims").iterdir()) == before
    assert not list(workdir.glob("*.toml"))
    refused = call("audit", "tiny_folder", "--answers", "labels", "--data-root", owner)
    assert_refused(refused, "--answers describe a model with --door, and 'tiny_folder' has a recipe")


def test_files_that_a_function_loads_are_part_of_its_identity(workdir: Path) -> None:
    write(workdir / "own.py", MODEL)
    write(workdir / "weights.pt", "1")
    plain, told = (Callable(target="own:predict", answers="logits", loads=loads) for loads in ((), ("weights.pt",)))
    assert [path.name for path in plain.files(workdir)] == ["own.py"]
    assert [path.name for path in told.files(workdir)] == ["own.py", "weights.pt"]
