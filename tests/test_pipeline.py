"""The graph of an audit: which cells there are, who is a member of a shadow, and what shapes an artefact."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import Audit as Trained
from helpers_files import ATTACK, HEAD, MODEL, PHOTOGRAPHS, RANDOM, STREETS, call, edit, forget, victim_text, write
from PIL import Image
from safetensors import safe_open

from mia_seg import train
from mia_seg.api import Audit
from mia_seg.errors import MiaSegError
from mia_seg.evaluate import results
from mia_seg.evaluate.audit import membership_of
from mia_seg.pipeline import Pipeline
from mia_seg.recipes.splits import Partition
from mia_seg.stages import Stage, checks
from mia_seg.stages.models import TrainedModel
from mia_seg.stages.plan import Plan
from mia_seg.stages.run import run
from mia_seg.workspace import Workspace


def random_shadow(workdir: Path, members: int, victim: str = "tiny_camvid") -> None:
    path = workdir / "shadows" / f"{victim}_a1.toml"
    edit(path, 'choose = "confidence"\nmembers = 6', f'choose = "random"\nmembers = {members}')


def groups(parts: Partition, ids: list[str]) -> set[str]:
    return {parts.group[i] for i in ids}


def make(workspace: Workspace, *stages: Stage[Any]) -> None:
    run(Plan(stages, workspace.store), workspace).check()


def victim_of(workspace: Workspace, name: str, seed: int = 0) -> TrainedModel:
    """As a command of its own builds it: what was listed before is forgotten."""
    forget()
    return Pipeline(workspace).victim(name, seed)


def shadow_of(workspace: Workspace, name: str, seed: int = 0) -> TrainedModel:
    forget()
    return Pipeline(workspace).shadows(name, seed)[0]


def audit_of(workspace: Workspace, victim: str, shadow: str, attacks: Sequence[str] = ("image_loss",)) -> Audit:
    return Audit(victim, shadow, ["none"], attacks=attacks, seeds=[0], workspace=workspace)


def test_an_undefended_victim_is_attacked_once_and_a_defended_one_by_two_kinds_of_attacker(workdir: Path) -> None:
    asked = checks.request(
        "tiny", "tiny_a1", ["none", "argmax"], attacked=["image_loss", "patch_resnet50:labels", "image_confidence"]
    )
    cells = [(cell.defense.label, cell.attack.called, cell.adaptive) for cell in asked.cells()]
    assert cells == [
        ("none", "image_loss", False),
        ("none", "image_confidence", False),
        ("argmax", "image_loss", False),
        ("argmax", "image_loss", True),
        ("argmax", "image_confidence", False),
        ("argmax", "image_confidence", True),
        ("none", "patch_resnet50:labels", False),  # the control that sees no model
    ]


def test_who_knows_of_a_defense_that_can_be_undone_has_the_answers_without_it(
    workdir: Path, workspace: Workspace
) -> None:
    asked = checks.request("tiny", "tiny_a1", ["argmax", "temperature"], attacked=["image_loss"])
    met = [
        (one.cell.defense.name, one.cell.adaptive, one.seen.audited.defense.name, own.audited.defense.name)
        for one in Pipeline(workspace).audit(asked, 0)
        for own in one.attacker.seen
    ]
    assert met == [
        ("argmax", False, "argmax", "none"),
        ("argmax", True, "argmax", "argmax"),
        ("temperature", False, "temperature", "none"),
        ("temperature", True, "none", "none"),
    ]


def test_a_precision_reaches_the_attackers_that_train(workdir: Path) -> None:
    asked = checks.request("tiny", "tiny_a1", ["none"], attacked=["image_loss", "patch_resnet50:concat"])
    assert asked.at(None) is asked
    for precision, then in (("bf16-mixed", "bf16-mixed"), ("16-mixed", "32-true")):  # patches know no 16-mixed
        first, second = (attack.component for attack in asked.at(precision).attacks)  # type: ignore[arg-type]
        assert first == asked.attacks[0].component
        assert second.precision == then  # type: ignore[attr-defined]


def test_victim_and_shadow_part_the_scenes_among_them(workspace: Workspace, workdir: Path) -> None:
    random_shadow(workdir, 6)
    store = workspace.store
    victim, shadow = (
        m.partition(store) for m in (victim_of(workspace, "tiny_camvid"), shadow_of(workspace, "tiny_camvid_a1"))
    )
    assert [len(part) for part in (victim.members, victim.nonmembers)] == [6, 6]
    assert [len(part) for part in (shadow.members, shadow.nonmembers)] == [6, 6]
    assert not groups(victim, victim.audited) & groups(shadow, shadow.audited)
    assert victim.audited == sorted(victim.audited), "an order by membership would tell it"
    assert membership_of(victim).members_N.tolist() == [scene in victim.members for scene in victim.audited]


@pytest.mark.parametrize(("members", "nonmembers"), [(3, 9), (4, 6), (5, 6), (6, 6), (7, 3), (8, 3), (9, 3)])
def test_a_block_of_the_pool_lies_on_one_side_of_the_shadow(
    workspace: Workspace, workdir: Path, members: int, nonmembers: int
) -> None:
    """The frames that are left of a block are no non-members: they look like members."""
    random_shadow(workdir, members)
    for seed in range(3):
        shadow = shadow_of(workspace, "tiny_camvid_a1", seed).partition(workspace.store)
        assert (len(shadow.members), len(shadow.nonmembers)) == (members, nonmembers)
        assert not groups(shadow, shadow.members) & groups(shadow, shadow.nonmembers)


@pytest.mark.parametrize(("victim", "members"), [("tiny_camvid", 10), ("tiny_camvid", 12), ("tiny_folder", 12)])
def test_a_shadow_without_non_members_is_refused_before_anything_is_made(
    workspace: Workspace, workdir: Path, victim: str, members: int
) -> None:
    random_shadow(workdir, members, victim)
    with pytest.raises(MiaSegError, match=rf"members = {members} leaves no non-members in a pool of 12. Lower it"):
        shadow_of(workspace, f"{victim}_a1")
    assert not list(workspace.store.root.glob("*/*"))


def test_the_same_seed_chooses_the_same_members_and_another_seed_others(workspace: Workspace, workdir: Path) -> None:
    random_shadow(workdir, 6, "tiny_folder")
    first, again, other = (shadow_of(workspace, "tiny_folder_a1", seed) for seed in (0, 0, 1))
    assert first.partition(workspace.store) == again.partition(workspace.store)
    assert first.digest == again.digest
    assert first.partition(workspace.store).members != other.partition(workspace.store).members
    assert first.digest != other.digest


def test_what_shapes_a_model_shapes_its_place_and_what_does_not_does_not(workspace: Workspace, workdir: Path) -> None:
    victims = workdir / "victims"
    before = victim_of(workspace, "tiny_folder").digest
    edit(victims / "tiny_folder.toml", "# A recipe for tests", "# Another head")
    edit(victims / "tiny_folder.toml", "pool = 12", "pool = 11")  # the attacker's scenes are none of the victim's
    edit(victims / "tiny_folder.toml", "lr = 0.01", "lr = 0.01\nmomentum = 0.9\nflip = true")  # as by default
    edit(victims / "tiny_folder.toml", 'path = "labelmefacade"', 'path = "./labelmefacade/"')
    assert victim_of(workspace, "tiny_folder").digest == before
    edit(victims / "tiny_folder.toml", "lr = 0.01", "lr = 0.02")
    assert victim_of(workspace, "tiny_folder").digest != before
    shutil.copy(victims / "tiny_folder.toml", victims / "copy.toml")
    assert victim_of(workspace, "copy").artefact(workspace.store).path.name.startswith("copy.s0-")


def test_the_graph_of_an_audit_is_known_before_anything_runs(workspace: Workspace) -> None:
    """A1's choice hangs on the victim's answers, and yet every stage of the request has its place."""
    plan = audit_of(workspace, "tiny", "tiny_a1").plan()
    kinds = [stage.kind for stage in plan.stages]
    assert kinds == [
        "victims", "answers", "shadow_members", "shadows", "answers", "attackers", "answers", "controls", "results",
    ]  # fmt: skip
    assert set(plan.states.values()) == {"missing"}
    assert not list(workspace.store.root.glob("*/*"))


def turn(path: Path) -> None:
    with Image.open(path) as stored:
        turned = stored.transpose(Image.Transpose.ROTATE_180)
    turned.save(path)


def test_images_and_labels_count_by_what_is_in_them(workspace: Workspace, data_root: Path) -> None:
    """Another image or label under the same name makes another victim; the same files elsewhere do not."""
    workspace = replace(workspace, data_root=data_root)
    before = victim_of(workspace, "tiny_folder")
    scene = before.partition(workspace.store).members[0]
    elsewhere = Path(shutil.copytree(data_root, data_root.with_name("elsewhere")))
    assert victim_of(replace(workspace, data_root=elsewhere), "tiny_folder").digest == before.digest
    image, labels = before.dataset.files(data_root, scene)
    for path in (image, labels):
        kept = path.read_bytes()
        turn(path)
        assert victim_of(workspace, "tiny_folder").digest != before.digest
        path.write_bytes(kept)
    assert victim_of(workspace, "tiny_folder").digest == before.digest
    pool = before.partition(workspace.store).pool[0]
    turn(before.dataset.files(data_root, pool)[0])
    assert victim_of(workspace, "tiny_folder").digest == before.digest, "the attacker's scenes are none of the victim's"


def test_a_copy_of_a_victims_scene_under_another_name_is_found_in_the_pool(
    workspace: Workspace, workdir: Path, data_root: Path
) -> None:
    workspace = replace(workspace, data_root=data_root)
    random_shadow(workdir, 6, "tiny_folder")
    victim = victim_of(workspace, "tiny_folder")
    parts = victim.partition(workspace.store)
    theirs, mine = (victim.dataset.files(data_root, i) for i in (parts.members[0], parts.pool[0]))
    for source, target in zip(theirs, mine, strict=True):
        shutil.copy(source, target)
    says = rf"of shadow 'tiny_folder_a1' .* and pool share 1 scenes \('{parts.members[0]}' is '{parts.pool[0]}'\)"
    with pytest.raises(MiaSegError, match=says):
        shadow_of(workspace, "tiny_folder_a1")


A2 = '[adversary]\nkind = "A2"\nstride = 4\n'


def independent_shadow(workdir: Path, data: str, name: str = "tiny_a2") -> None:
    """A shadow on data of its own; `data` is its [data] section."""
    write(workdir / "shadows" / f"{name}.toml", HEAD.format(victim="tiny") + data + RANDOM + MODEL + A2 + ATTACK)


def test_an_independent_shadow_trains_on_its_own_split_and_asks_nobody(workspace: Workspace, workdir: Path) -> None:
    independent_shadow(workdir, STREETS + 'style = "night"\n')
    shadow = shadow_of(workspace, "tiny_a2")
    make(workspace, shadow)
    assert shadow.partition(workspace.store) == shadow.recipe.split.cut(shadow.recipe.dataset(), None, 0)
    assert [path.name.partition(".")[0] for path in (workspace.store.root / "shadows").iterdir()] == ["tiny_a2"]
    assert not (workspace.store.root / "victims").exists()


def test_an_independent_shadow_on_its_victims_scenes_is_refused(workspace: Workspace, workdir: Path) -> None:
    independent_shadow(workdir, STREETS)
    with pytest.raises(MiaSegError, match=r"Shadow 'tiny_a2' and the scenes of victim 'tiny' share \d+ scenes"):
        audit_of(workspace, "tiny", "tiny_a2").plan()


def test_another_label_space_is_refused_before_anything_is_trained(workspace: Workspace, workdir: Path) -> None:
    independent_shadow(workdir, PHOTOGRAPHS)
    says = r"'tiny_a2' has 8 classes \(building, car, door ...\) and victim 'tiny' 19 .*Merge the labels of both"
    with pytest.raises(MiaSegError, match=says):
        audit_of(workspace, "tiny", "tiny_a2").plan()
    assert not workspace.store.root.exists()


def listed_shadow(workdir: Path, data_root: Path, ids: list[str]) -> None:
    write(data_root / "mine.txt", "\n".join(ids))
    path = workdir / "shadows" / "tiny_folder_a1.toml"
    edit(path, 'choose = "confidence"\nmembers = 6', 'choose = "listed"\nmembers = "mine.txt"')


def test_a_listed_shadow_trains_on_its_list_and_knows_the_rest_of_the_pool(
    workspace: Workspace, workdir: Path, data_root: Path
) -> None:
    workspace = replace(workspace, data_root=data_root)
    pool = victim_of(workspace, "tiny_folder").partition(workspace.store).pool
    listed_shadow(workdir, data_root, pool[:4])
    shadow = shadow_of(workspace, "tiny_folder_a1").partition(workspace.store)
    assert (shadow.members, shadow.nonmembers) == (pool[:4], pool[4:])


def test_a_list_with_the_victims_scenes_is_refused(workspace: Workspace, workdir: Path, data_root: Path) -> None:
    workspace = replace(workspace, data_root=data_root)
    victim = victim_of(workspace, "tiny_folder").partition(workspace.store)
    listed_shadow(workdir, data_root, [*victim.pool[:4], victim.members[0]])
    with pytest.raises(MiaSegError, match=rf"mine.txt: 1 of 5 ids are not in the .*{victim.members[0]}"):
        shadow_of(workspace, "tiny_folder_a1")


def starting(workdir: Path, name: str, start: str) -> None:
    """The victim `name` with weights to begin with."""
    edit(workdir / "victims" / f"{name}.toml", "[train]\n", f'[train]\nstart = "{start}"\n')


def test_a_victim_may_begin_with_the_weights_of_another(workspace: Workspace, workdir: Path, monkeypatch: Any) -> None:
    given = []

    def begin(*_: Any, folder: Path, start: Path | None, **__: Any) -> None:
        given.append(start)
        (folder / train.WEIGHTS).write_text("none")

    monkeypatch.setattr(train, "train", begin)
    write(workdir / "victims" / "base.toml", victim_text().replace('"streets"', '"streets"\nseed = 7'))
    alone = victim_of(workspace, "tiny", 3)
    make(workspace, alone)
    starting(workdir, "tiny", "base")
    victim, base = victim_of(workspace, "tiny", 3), victim_of(workspace, "base", 0)
    make(workspace, victim)
    assert given == [None, None, base.artefact(workspace.store).path / train.WEIGHTS]
    assert victim.digest != alone.digest
    edit(workdir / "victims" / "base.toml", "lr = 0.01", "lr = 0.02")
    assert victim_of(workspace, "tiny", 3).digest != victim.digest, "another base makes another victim"


def test_a_base_that_knows_the_non_members_is_refused(workspace: Workspace, workdir: Path) -> None:
    """They would be members of the victim by way of its first weights."""
    write(workdir / "victims" / "base.toml", victim_text())
    starting(workdir, "tiny", "base")
    with pytest.raises(
        MiaSegError, match=r"Non-members of 'tiny' and the scenes behind its weights \(tiny -> base\) share"
    ):
        victim_of(workspace, "tiny", 1)


def test_a_base_that_knows_them_by_way_of_another_is_refused(workspace: Workspace, workdir: Path) -> None:
    write(workdir / "victims" / "far.toml", victim_text())
    write(workdir / "victims" / "near.toml", victim_text().replace('"streets"', '"streets"\nseed = 7'))
    starting(workdir, "tiny", "near")
    victim_of(workspace, "tiny", 1)
    starting(workdir, "near", "far")
    with pytest.raises(MiaSegError, match=r"Non-members of 'tiny' .* \(tiny -> near -> far\) share \d+ scenes"):
        victim_of(workspace, "tiny", 1)


@pytest.mark.parametrize("objective", ['"distillation"', '"adversarial_regularisation"'])
def test_a_base_whose_objective_reads_them_is_refused(workspace: Workspace, workdir: Path, objective: str) -> None:
    """Its own members are others: of the scenes outside its split it learns in their stead, or beside them."""
    workspace, members = replace(workspace, data_root=workdir), victim_of(workspace, "tiny").scenes.cut.parts.members
    for name, ids in (("few", members[:4]), ("others", members[4:])):
        write(workdir / f"{name}.txt", "\n".join(ids))
    few = '[split]\nrule = "lists"\nmembers = "few.txt"\nnonmembers = "others.txt"\npool = 0\n'
    shutil.copy(workdir / "victims" / "tiny.toml", workdir / "victims" / "plain.toml")
    write(workdir / "victims" / "base.toml", f'variant_of = "plain"\n{few}[objective]\nname = {objective}\n')
    starting(workdir, "tiny", "base")
    with pytest.raises(MiaSegError, match=r"Non-members of 'tiny' .* \(tiny -> base -> \[objective\]\) share"):
        victim_of(workspace, "tiny")


def test_bases_that_go_round_in_a_circle_are_refused(workspace: Workspace, workdir: Path) -> None:
    write(workdir / "victims" / "base.toml", victim_text())
    starting(workdir, "tiny", "base")
    starting(workdir, "base", "tiny")
    with pytest.raises(MiaSegError, match=r"in a circle: tiny -> base -> tiny"):
        victim_of(workspace, "tiny")


def test_an_independent_attack_looks_at_the_classes_of_both_sides(audit: Trained, workdir: Path) -> None:
    """The whole line of adversary A2, the victim reused; streets at night differ in what they show."""
    shutil.copytree(audit.store / "victims", workdir / "runs" / "victims")
    independent_shadow(workdir, STREETS + 'style = "night"\n')
    asked = ("--attack", "image_loss", "--attack", "patch_resnet50:concat", "--defense", "none", "--device", "cpu")
    ran = call("run", "tiny", "tiny_a2", *asked)
    assert ran.code == 0, ran.err
    for path in (workdir / "reports" / "tiny").glob("tiny_a2.*.json"):
        found = results.read(path)
        assert (found.adversary, found.choose, found.queries) == ("A2", "", 12)
        assert (found.dataset, found.shadow_dataset) == ("streets", "streets (night)")
        assert found.confidence
        members, others = found.confidence.members, found.confidence.nonmembers
        assert sum(members) == sum(others) > 0, "as many cells of as many scenes of one size"
        seen = found.classes
        assert len(seen.both) > 1
        assert not set(seen.both) & {*seen.victim, *seen.shadow}
    weights = next((workdir / "runs" / "attackers").glob("*concat*/attacker.safetensors"))
    with safe_open(weights, "pt") as file:
        channels = file.get_slice("conv1.0.weight").get_shape()[1]
    assert channels == 2 * len(seen.both), "a posterior and a label for each class that the attacker looks at"
    assert "asked the victim nothing" in (workdir / "reports" / "tiny" / "index.html").read_text("utf-8")
    for name in ("cam.png", "deletion.svg"):
        assert (workdir / "reports" / "tiny" / name).is_file(), "the attacker's maps are of those classes too"


def test_blocks_of_a_drive_are_told_by_their_mean_score(workdir: Path, data_template: Path) -> None:
    asked = ("--attack", "image_loss", "--defense", "none", "--device", "cpu", "--data-root", data_template)
    ran = call("run", "tiny_camvid", "tiny_camvid_a1", *asked)
    assert ran.code == 0, ran.err
    found = results.read(workdir / "reports" / "tiny_camvid" / "tiny_camvid_a1.none.image_loss.s0.json").levels
    assert {name: level.n_members for name, level in found.items()} == {"image": 6, "group": 2}
    assert found["group"].threshold == found["image"].threshold
    page, text = (
        (workdir / "reports" / "tiny_camvid" / name).read_text("utf-8") for name in ("index.html", "README.md")
    )
    assert "Every attack, group by group" in page
    assert "ROC, groups of images" in text


def test_coins_of_victim_and_shadow_end_in_a_bound_on_epsilon(workdir: Path) -> None:
    for folder, name in (("victims", "tiny"), ("shadows", "tiny_a1")):
        edit(workdir / folder / f"{name}.toml", 'rule = "random"', 'rule = "coin"')
    ran = call("run", "tiny", "tiny_a1", "--attack", "image_loss", "--defense", "none", "--device", "cpu")
    assert ran.code == 0, ran.err
    found = results.read(workdir / "reports" / "tiny" / "tiny_a1.none.image_loss.s0.json")
    image, epsilon = found.levels["image"], found.epsilon
    assert epsilon is not None
    assert image.n_members + image.n_nonmembers == epsilon.guesses == 12
    # Twelve right guesses of twelve would show log(q / (1 - q)) with q = 0.05 ** (1 / 12), 1.26.
    assert 0 <= (-1 if epsilon.low is None else epsilon.low) < 1.27
    assert "Lower bounds on differential privacy" in (workdir / "reports" / "tiny" / "index.html").read_text("utf-8")
