"""Objectives that take others along: teachers that never saw a scene, scenes beside the members, an attacker."""

from collections import Counter
from math import comb
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from helpers_files import assert_refused, call, write
from helpers_scenes import Toy
from test_objectives import CLASSES, IDS, batch
from torch import Tensor, nn

from mia_seg import objectives
from mia_seg.errors import MiaSegError
from mia_seg.objectives import NETWORK, Objective, Teacher
from mia_seg.objectives._distilled import DistilledGoal
from mia_seg.objectives.adversarial_regularisation import ATTACKER, RegularisedGoal
from mia_seg.objectives.selena import SELENA
from mia_seg.pipeline import Pipeline
from mia_seg.plugins import build
from mia_seg.segmenters import Network
from mia_seg.stages.models import TrainedModel
from mia_seg.store import Store
from mia_seg.train import write_log
from mia_seg.train._optimizers import modules_of, train_alone
from mia_seg.workspace import Workspace

MEMBERS = [f"m{k:02d}" for k in range(20)]
OF_PAIRS = {name: f"place {k // 2}" for k, name in enumerate(MEMBERS)}


class Planted(Network):
    """Answers one class everywhere, surely."""

    def __init__(self, answer: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(20.0 * F.one_hot(torch.tensor(answer), CLASSES).float())

    def forward(self, image_N3HW: Tensor) -> Tensor:
        return self.logits[None, :, None, None].expand(len(image_N3HW), CLASSES, *image_N3HW.shape[2:])


def made(name: str, **settings: object) -> DistilledGoal:
    torch.manual_seed(0)
    chosen = build(objectives, Objective, name, settings=settings, where="here")
    goal = chosen.build(Toy(CLASSES, dropout=None), CLASSES, ids=IDS)
    assert isinstance(goal, DistilledGoal)
    return goal


def test_each_member_is_left_out_of_as_many_teachers_as_asked_and_groups_stay_whole() -> None:
    lists = SELENA(models=5, left_out=2).taught_by(MEMBERS, OF_PAIRS, seed=3)
    assert Counter(i for ids in lists for i in ids) == dict.fromkeys(MEMBERS, 3)
    for ids in lists:
        assert all((a in ids) == (b in ids) for a, b in zip(MEMBERS[::2], MEMBERS[1::2], strict=True))
    assert max(map(len, lists)) - min(map(len, lists)) <= 2
    assert lists != SELENA(models=5, left_out=2).taught_by(MEMBERS, OF_PAIRS, seed=4)
    with pytest.raises(ValueError, match="leaves none to train on a scene"):
        SELENA(models=2, left_out=2)


@pytest.mark.parametrize(("models", "left_out"), [(5, 2), (10, 5), (12, 4), (25, 10), (60, 30)])
def test_teachers_train_on_as_many_members_each_however_many_choices_there_are(models: int, left_out: int) -> None:
    members = [f"{k:03d}" for k in range(152)]
    lists = SELENA(models=models, left_out=left_out).taught_by(
        members, dict(zip(members, members, strict=True)), seed=3
    )
    assert Counter(i for ids in lists for i in ids) == dict.fromkeys(members, models - left_out)
    assert max(map(len, lists)) - min(map(len, lists)) <= left_out
    alone = [frozenset(k for k, ids in enumerate(lists) if i in ids) for i in members]
    assert len({*alone}) >= min(comb(models, left_out), 100), "and hardly two members have the same teachers"


def test_a_target_has_no_share_of_a_teacher_that_saw_the_scene() -> None:
    goal, given = made("selena"), batch(3)
    seen = [{IDS[0], IDS[1]}, {IDS[0], IDS[2]}, {IDS[1], IDS[2]}]
    goal.meet([Teacher(Planted(k), frozenset(ids)) for k, ids in enumerate(seen)])
    target = goal.target(given)
    for scene, teacher in enumerate((2, 1, 0)):  # the one that never saw it
        assert (target[scene].argmax(0) == teacher).all()
    torch.testing.assert_close(target.sum(1), torch.ones(3, *target.shape[2:]))
    both = made("selena")
    both.meet([Teacher(Planted(0), frozenset()), Teacher(Planted(1), frozenset())])
    torch.testing.assert_close(both.target(given)[:, :2], torch.full((3, 2, *target.shape[2:]), 0.5), atol=1e-4, rtol=0)


def test_a_hot_student_learns_logits_and_the_teacher_is_untouched() -> None:
    """At a high temperature T^2 KL has the gradient of half the squared distance of centred logits, over K (Hinton)."""
    goal, given = made("distillation", temperature=1000.0), batch(2)
    teacher = Toy(CLASSES, dropout=None).eval()
    before = {name: kept.clone() for name, kept in teacher.state_dict().items()}
    goal.meet([Teacher(teacher, frozenset(IDS))])
    goal.train()("segment", given).loss.backward()
    assert all(p.grad is None for p in teacher.parameters())
    assert all(torch.equal(kept, before[name]) for name, kept in teacher.state_dict().items()), "its statistics, too"
    goal.zero_grad()
    goal.eval()("segment", given).loss.backward()
    found = torch.cat([p.grad.flatten() for p in goal.network.parameters() if p.grad is not None])
    goal.zero_grad()
    mine, theirs = goal.network(given.image_N3HW), teacher(given.image_N3HW).detach()
    centred = [x - x.mean(1, keepdim=True) for x in (mine, theirs)]
    (((centred[0] - centred[1]) ** 2).sum(1).mean() / (2 * CLASSES)).backward()
    expected = torch.cat([p.grad.flatten() for p in goal.network.parameters() if p.grad is not None])
    torch.testing.assert_close(found, expected, rtol=0.05, atol=1e-5)


def test_without_its_teachers_a_student_says_so() -> None:
    with pytest.raises(MiaSegError, match="has no teacher"):
        made("selena")("segment", batch())


def regularised(weight: float = 1.0) -> RegularisedGoal:
    torch.manual_seed(0)
    chosen = build(objectives, Objective, "adversarial_regularisation", settings={"weight": weight}, where="here")
    goal = chosen.build(Toy(CLASSES, dropout=None), CLASSES, ids=IDS)
    assert isinstance(goal, RegularisedGoal)
    return goal


def test_the_term_pushes_against_an_attacker_and_not_where_it_is_flat() -> None:
    goal, given = regularised(), batch()
    plain = goal.network.loss(given.image_N3HW, given.labels_NHW)[0]
    judged = goal("segment", given)
    assert float(judged.loss.detach()) == pytest.approx(float((plain + judged.notes["attackers_gain"]).detach()))
    for p in goal.helpers[ATTACKER].parameters():
        nn.init.zeros_(p)
    goal.zero_grad()
    flat = goal("segment", given).notes["attackers_gain"]
    assert float(flat.detach()) == pytest.approx(float(-torch.log(torch.tensor(2.0))))
    (gradient,) = torch.autograd.grad(flat, [goal.network.classify.weight])  # type: ignore[union-attr]
    assert not gradient.any()


def test_the_attacker_learns_a_planted_leak_and_leaves_batch_norm_alone() -> None:
    goal, given = regularised(), batch(8)
    assert given.reference is not None
    given.reference.image_N3HW = given.reference.image_N3HW * 0  # what is not a member is black
    with torch.no_grad():
        goal.network.classify.weight *= 20  # type: ignore[operator]
    before = {k: v.clone() for k, v in goal.network.state_dict().items()}
    attacker = torch.optim.Adam(goal.helpers[ATTACKER].parameters(), 1e-2)
    for _ in range(60):
        goal.zero_grad()
        judged = goal.train()("infer", given)
        judged.loss.backward()
        attacker.step()
    assert float(judged.notes["attacker_right"]) == 1.0
    assert all(torch.equal(before[k], v) for k, v in goal.network.state_dict().items())


def leak(weight: float) -> float:
    """By how much the loss of reference scenes, whose labels do not belong to them, is above that of the members."""
    goal, given = regularised(weight), batch(4)
    others = given.reference
    assert others is not None
    others.labels_NHW = others.labels_NHW.roll(7, 2).flip(1)
    network = goal.network
    optimizers: dict[str, torch.optim.Optimizer] = {
        NETWORK: torch.optim.SGD(network.parameters(), 0.1, 0.9),
        ATTACKER: torch.optim.Adam(goal.helpers[ATTACKER].parameters(), 1e-2),
    }
    for _ in range(25):
        for stage in goal.train().stages:
            train_alone(stage, modules_of(goal))
            goal.zero_grad()
            goal(stage.name, given).loss.backward()
            for name in stage.trains:
                optimizers[name].step()
    network.eval()
    inside, outside = (float(network.loss(one.image_N3HW, one.labels_NHW)[0].detach()) for one in (given, others))
    return outside - inside


def test_a_planted_leak_shrinks_where_an_attacker_trains_along() -> None:
    plain, watched = (leak(weight) for weight in (0.0, 3.0))
    assert plain > 1, "a leak"
    assert watched < plain / 5, "with the term's sign turned it is three tenths"


# As recipes.

OBJECTIVE = '[objective]\nname = "distillation"\non = "{on}"\n'
DISTILLED = 'variant_of = "tiny_folder"\n' + OBJECTIVE


@pytest.mark.parametrize("on", ["members", "reference"])
def test_a_student_has_its_teachers_members_and_trains_after_it(workspace: Workspace, workdir: Path, on: str) -> None:
    write(workdir / "victims" / "student.toml", DISTILLED.format(on=on))
    if on == "reference":
        with pytest.raises(MiaSegError, match="reads scenes of no part of its split, and every scene is in one"):
            Pipeline(workspace).victim("student", 0)
        return
    model, plain = (Pipeline(workspace).victim(name, 0) for name in ("student", "tiny_folder"))
    assert isinstance(model, TrainedModel)
    assert model.digest != plain.digest
    (teacher,) = model.needs
    assert isinstance(teacher, TrainedModel)
    assert teacher.recipe.objective == {"name": "supervised"}
    assert teacher.partition(workspace.store).members == model.partition(workspace.store).members


def test_a_student_sees_no_frame_of_a_members_block(workspace: Workspace, workdir: Path) -> None:
    few = "[split]\nmembers = 2\nnonmembers = 2\npool = 2\n"
    write(workdir / "victims" / "student.toml", 'variant_of = "tiny_camvid"\n' + few + OBJECTIVE.format(on="reference"))
    model = Pipeline(workspace).victim("student", 0)
    assert isinstance(model, TrainedModel)
    assert model.aids is not None
    parts, seen = model.partition(workspace.store), model.aids.trained_on()
    assert seen
    assert not {parts.group.get(i) for i in seen} & {parts.group[i] for i in (*parts.audited, *parts.pool)}


def test_an_attacker_of_selena_trains_teachers_of_its_own(workspace: Workspace, workdir: Path) -> None:
    text = 'variant_of = "tiny_folder"\n[objective]\nname = "selena"\nmodels = 3\nleft_out = 1\n'
    write(workdir / "victims" / "guarded.toml", text)
    fleet = 'variant_of = "guarded"\n[adversary]\nkind = "A1"\nvictim = "guarded"\nchoose = "halves"\nmodels = 4\n'
    write(workdir / "shadows" / "fleet.toml", fleet)
    pipeline = Pipeline(workspace)
    first = pipeline.shadows("fleet", 0)[0]
    assert len(first.needs) == 3
    inside = set(first.partition(workspace.store).members)
    for teacher in first.needs:
        assert isinstance(teacher, TrainedModel)
        assert set(teacher.partition(workspace.store).members) < inside
    digests = {t.digest for m in (pipeline.victim("guarded", 0), *pipeline.shadows("fleet", 0)) for t in m.needs}
    assert len(digests) == 15
    check_seconds(first, workspace.store)


def check_seconds(model: TrainedModel, store: Store) -> None:
    """A log of two epochs each: the model's own and its teachers' count, and one that is missing leaves nothing."""
    trained = [model, *(one for one in model.needs if isinstance(one, TrainedModel))]
    for k, one in enumerate(trained):
        assert model.seconds(store) is None
        rows = [{"epoch": epoch, "seconds": 10.0**k} for epoch in (1, 2)]
        store.make([one.artefact(store)], lambda drafts, rows=rows: write_log(drafts[0].folder, rows))
    assert model.seconds(store) == 2222.0


def test_members_that_are_chosen_by_asking_have_no_teachers(workdir: Path) -> None:
    text = (workdir / "shadows" / "tiny_a1.toml").read_text(encoding="utf-8")
    write(workdir / "shadows" / "late.toml", text + '\n[objective]\nname = "selena"\n')
    assert_refused(
        call("run", "tiny", "late", "--dry-run"), "its members are known only once its victim has been asked"
    )
