"""Fleets at equal gaps: the curve of plain training, how far others lie above it, and the command that says so."""

import json
from copy import deepcopy
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers_files import assert_refused, call, edit, write
from helpers_in_turn import calibrated, plain, simulated
from test_fleet import write_fleet

from mia_seg.cli._fleet import _remarks, _signed, _worth
from mia_seg.errors import MiaSegError
from mia_seg.evaluate import arms
from mia_seg.metrics import equal_gap
from mia_seg.metrics.equal_gap import Arm
from mia_seg.pipeline import Pipeline
from mia_seg.report.arms import arms_png
from mia_seg.report.trainings import measured
from mia_seg.stages import fleets
from mia_seg.stages.generators import TrainedGenerator
from mia_seg.stages.models import TrainedModel
from mia_seg.workspace import Workspace

SCENES = 60


def arm(leak: float, gap: float, seed: int = 0, models: int = 8, noise: int = 0) -> Arm:
    """Members' readings are higher by `leak`, and `gap` of 1,000 pixels more are right; noise: another draw of both."""
    world = simulated(models, np.full(SCENES, leak), seed)
    rng = np.random.default_rng(noise)
    right_MN = np.clip(500 + 60 * rng.normal(size=(models, SCENES)) + 1000 * gap * world.inside_MN, 0, 1000).astype(int)
    confusion = np.zeros((models, SCENES, 2, 2), np.int64)
    confusion[..., 0, 0], confusion[..., 0, 1] = right_MN, 1000 - right_MN
    confusion[..., 1, 1], confusion[..., 1, 0] = right_MN, 1000 - right_MN
    jitter = rng.normal(size=world.readings_MN.shape) / 5
    return Arm(calibrated(world.readings_MN + jitter), world.inside_MN, confusion, seed=seed)


def test_a_place_is_the_means_of_its_models() -> None:
    inside = np.array([[True, False], [False, True]])
    confusion = np.zeros((2, 2, 2, 2), np.int64)
    confusion[0, 0], confusion[0, 1] = [[4, 0], [0, 4]], [[2, 2], [2, 2]]
    confusion[1, 0], confusion[1, 1] = [[2, 2], [2, 2]], [[4, 0], [0, 4]]
    found = equal_gap.place(Arm(plain(np.array([[1.0, 0.0], [0.0, 1.0]])), inside, confusion))
    assert (found.members, found.auc) == (1.0, 1.0)
    assert found.others == pytest.approx(1 / 3)  # of each class 2 of 6
    assert found.gap == pytest.approx(2 / 3)


def test_the_curve_is_lines_from_chance_through_the_plain_fleets() -> None:
    fixed, curve = np.array([[0.0, 0.5]]), [(0.4, 0.9), (0.2, 0.7)]
    for gap, auc in ((0.0, 0.5), (0.1, 0.6), (0.2, 0.7), (0.3, 0.8), (0.5, 1.0)):
        fleets_F2R = np.array([(gap, 0.8), *curve])[..., None]
        assert equal_gap._above_lines(fleets_F2R, fixed) == pytest.approx([0.8 - auc])


def test_a_curve_that_bends_lies_between_lines() -> None:
    gaps, aucs = np.array([0.0, 0.3, 0.1]), np.array([0.5, 0.9, 0.8])
    assert equal_gap.concave(0.05, gaps, aucs) == pytest.approx((0.65, 0.775)), "the line from (0.3, 0.9), extended"
    assert equal_gap.concave(0.2, gaps, aucs) == pytest.approx((0.85, 1.0)), "the line from chance would reach 1.1"
    assert equal_gap.concave(0.1, gaps, aucs) == pytest.approx((0.8, 0.8))
    assert equal_gap.concave(0.4, gaps, aucs) == pytest.approx((0.9, 0.95)), "beyond the last it does not fall"
    assert equal_gap.concave(0.1, gaps[:2], aucs[:2]) == pytest.approx((0.5 + 0.4 / 3, 1.0))
    uneven = np.array([0.5, 0.7, 0.72])
    assert equal_gap.concave(0.2, np.array([0.0, 0.1, 0.3]), uneven) == pytest.approx((0.71, 0.9))
    assert equal_gap.concave(0.2, np.array([0.0, 0.1, 0.3]), uneven[[0, 2, 1]]) == pytest.approx((0.71, 0.94))
    assert equal_gap.concave(0.05, np.array([0.0, 0.1, 0.2]), np.array([0.5, 0.6, 0.8])) == pytest.approx((0.55, 1.0))
    drawn = np.random.default_rng(0).uniform(0.01, 0.3, (50, 5))
    for x, *knots in drawn:
        for curve in (lambda gap: 0.5 + 0.5 * gap**0.3, lambda gap: 1 - np.exp(-20 * gap) / 2):
            xs = np.array([0.0, *knots])
            least, most = equal_gap.concave(x, xs, curve(xs))
            assert least - 1e-12 <= curve(x) <= most + 1e-12


@pytest.mark.parametrize(
    ("low", "high", "says"),
    [
        (None, None, ""),
        (-0.01, 0.02, ""),
        (0.01, 0.03, "perhaps more"),
        (0.05, 0.06, "more"),
        (-0.02, -0.01, ""),
        (-0.06, -0.04, "less"),
    ],
)
def test_what_is_shown_allows_for_all_that_plain_training_can_have(
    low: float | None, high: float | None, says: str
) -> None:
    above = {"plain": 0.8, "value": 0.0, "low": low, "high": high, "plain_range": [0.77, 0.84]}
    assert arms.beside_plain(above) == says
    if low is not None and high is not None:
        at_miou = {key: value for key, value in above.items() if key != "plain_range"}
        assert arms.beside_plain(at_miou) == ("more" if low > 0 else "less" if high < 0 else "")


def test_a_training_on_the_curve_is_not_above_it_and_one_that_leaks_more_is() -> None:
    curve = [arm(0.8, 0.1, noise=1), arm(1.6, 0.2, noise=2), arm(2.4, 0.3, noise=3)]
    like = equal_gap.above(arm(1.2, 0.15, noise=4), curve)
    assert like.low is not None
    assert like.high is not None
    assert like.low < 0 < like.high
    assert abs(like.value) < 0.06
    assert like.inside
    more = equal_gap.above(arm(2.4, 0.12, noise=5), curve)
    assert more.low is not None
    assert more.low > 0.03
    less = equal_gap.above(arm(0.2, 0.28, noise=6), curve)
    assert less.high is not None
    assert less.high < -0.03
    assert not equal_gap.above(arm(3.0, 0.45, noise=7), curve).inside
    narrow = equal_gap.above(arm(2.4, 0.05, noise=8), curve)
    assert not narrow.inside
    assert narrow.value > 0.03
    assert (narrow.low, narrow.high) == (None, None), "a line from chance lies too low"


def test_intervals_hold_what_is_so_where_trainings_are_alike() -> None:
    """Twenty worlds, in which the arm is one more of the plain fleets."""
    held = 0
    for seed in range(20):
        curve = [arm(leak, leak / 8, seed, noise=100 * seed + k) for k, leak in enumerate((0.8, 1.6, 2.4))]
        found = equal_gap.above(arm(1.2, 0.15, seed, noise=100 * seed + 9), curve)
        assert found.low is not None
        assert found.high is not None
        held += found.low <= 0 <= found.high
    assert held >= 17


def test_few_models_have_no_interval_and_other_halves_are_refused() -> None:
    found = equal_gap.above(arm(1.2, 0.15, models=4), [arm(0.8, 0.1, models=4)])
    assert (found.low, found.high) == (None, None)
    one, two = (equal_gap.above(arm(1.2, 0.15), [arm(0.8, 0.1), arm(1.6, 0.2)][:count]) for count in (1, 2))
    assert (one.low, one.high) == (None, None), "a line to one length of plain training lies too low"
    assert two.low is not None
    with pytest.raises(MiaSegError, match="on the same scenes and halves"):
        equal_gap.above(arm(1.2, 0.15), [arm(0.8, 0.1, seed=5)])


def test_fleets_that_tell_every_scene_have_no_interval() -> None:
    sure = [arm(500.0, 0.45, noise=k) for k in range(2)]
    flat = [Arm(one.estimate, one.inside_MN, np.zeros_like(one.confusion_MNKK) + np.eye(2, dtype=int)) for one in sure]
    found = equal_gap.above(flat[0], flat)
    assert (found.low, found.high) == (None, None)
    assert _signed({"value": 0.0, "low": None, "high": None}, 8) == "+0.000 [not tested]"
    assert _signed({"value": 0.0, "low": None, "high": None}, 4) == "+0.000 [needs 6 models]"


def facts() -> dict[str, Any]:
    """Two plain fleets and one that leaks more, by two attacks; a third is within reach alone."""
    return deepcopy(_facts())


@cache
def _facts() -> dict[str, Any]:

    def fleet(name: str, *given: float) -> arms.Compared:
        met = {"rmia": arm(*given), "image_loss": arm(*given)}
        origin = {
            "title": name, "shadow": f"{name}_fleet", "dataset": "demo", "seed": 0, "minutes": 1.5, "defense": "none",
            "digests": {"attackers": {"rmia": "0"}, "shadow": "1"},
        }  # fmt: skip
        canaries = {"rmia": arm(given[0] + 2, *given[1:]), "image_loss": arm(given[0], *given[1:])}
        return arms.Compared(origin, met, met | {"rmia behind argmax": arm(given[0] + 1, *given[1:])}, canaries)

    return arms.compared([fleet("other", 2.4, 0.12)], [fleet("short", 0.8, 0.1), fleet("long", 1.6, 0.2)])


def test_what_is_told_of_all_and_drawn() -> None:
    told = facts()
    (other,) = told["others"]
    assert other["above"]["rmia"]["value"] == pytest.approx(other["auc"]["rmia"] - other["above"]["rmia"]["plain"])
    assert other["miou"]["gap"] == pytest.approx(other["miou"]["members"] - other["miou"]["others"])
    assert [one["title"] for one in told["plain"]] == ["short", "long"]
    assert "above" not in told["plain"][0]
    assert other["strongest"]["chosen"] == ("rmia behind argmax",) * 2
    assert set(other["auc"]) == {"rmia", "image_loss"}, "behind argmax it is another comparison's"
    assert len(arms_png(told)) > 5000
    for one in (*told["plain"], other):
        assert one["canaries"]["rmia"]["auc"]["value"] > one["auc"]["rmia"] + 0.05
        assert one["canaries"]["image_loss"]["auc"]["value"] == pytest.approx(one["auc"]["image_loss"])


def test_a_training_that_leaks_no_more_to_its_strongest_attack_and_segments_no_worse_dominates() -> None:
    told = facts()
    points = {one["title"]: one for one in (*told["plain"], *told["others"])}
    for one in points.values():
        leak, worth = one["strongest"]["value"], one["miou"]["others"]
        for name, rival in points.items():
            better = rival["strongest"]["value"] <= leak and rival["miou"]["others"] >= worth and rival is not one
            assert (name in one["dominated_by"]) == better
            assert set(one["leaking_less"]) <= set(one["dominated_by"])
    assert any(one["dominated_by"] for one in points.values())
    assert not arms.dominates(points["short"], points["short"])
    leaky, backwards = ({"strongest": {"value": auc}, "miou": {"others": 0.3}} for auc in (0.7, 0.2))
    assert arms.dominates(leaky, backwards), "scores that rank backwards are turned around"


def test_what_is_not_there_is_said_on_the_screen() -> None:
    told = facts()
    (other,) = told["others"]
    assert "not kept" not in _worth(other)
    assert "not kept" in _worth(other | {"minutes": None})
    (star,) = _remarks(told)
    assert star.startswith("A star stands for a training that is shown to leak less")
    assert _worth(other | {"dominated_by": ["short", "long"], "leaking_less": ["short"]})[-1] == "short*, long"
    for one in (*told["plain"], other):
        one["leaking_less"] = []
    assert [*_remarks(told)] == []
    told["frontier"] = [{"dominated_by": [{"title": "short", "defense": "argmax", "leaks_less": True}]}]
    assert [*_remarks(told)] == [star]
    del told["frontier"]
    told["plain"][0]["strongest"] |= {"chosen": ["rmia"]}
    other["miou"]["gap"] = 0.9
    half, wider = _remarks(told)
    assert half == "Of 8 models no half is left to choose an attack on: rmia stands for the strongest."
    assert wider.startswith("Wider than any plain fleet's is the gap of other: ")
    other["miou"]["gap"] = 0.001
    assert [*_remarks(told)][1].startswith("Narrower than any plain fleet's is the gap of other: ")


def test_a_fleet_is_called_as_its_victim_where_it_trains_as_that_does(workspace: Workspace, workdir: Path) -> None:
    path = write_fleet(workdir)

    def title() -> str:
        (one,) = Pipeline(workspace).rehearsed(fleets.request("tiny_fleet", ["base"]), 0)
        return fleets._title(one.fitted)

    assert title() == "tiny"
    edit(path, "lr = 0.01", "lr = 0.02")
    assert title() == "tiny_fleet"


def test_behind_synfeat_each_model_has_a_generator_of_its_own(
    workspace: Workspace, workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_fleet(workdir)
    request = fleets.request("tiny_fleet", ["base"], defended=["synfeat:0.75"])
    (one,) = Pipeline(workspace).rehearsed(request, 0)
    seen = [each.audited for each in one.fitted.seen]
    assert [each.generator.model for each in seen if each.generator] == list(one.fitted.shadows)
    assert len({each.together for each in seen}) == 4
    assert fleets._minutes(one.fitted, workspace.store) is None, "nothing is trained"
    monkeypatch.setattr(TrainedModel, "seconds", lambda *_: 60.0)
    monkeypatch.setattr(TrainedGenerator, "seconds", lambda *_: 30.0)
    assert fleets._minutes(one.fitted, workspace.store) == 1.5, "a generator is trained for each model"


def test_one_pass_over_a_model_serves_all_defenses(workspace: Workspace, workdir: Path) -> None:
    write_fleet(workdir)
    asked = ["none", "argmax", "rounding:1", "temperature:2.0"]
    request = fleets.request("tiny_fleet", ["base", "lira"], defended=asked)
    rehearsed = Pipeline(workspace).rehearsed(request, 0)
    assert [(one.defense, one.fitted.called) for one in rehearsed] == list(product(asked, ("base", "lira")))
    first = [one.fitted.seen[0].audited for one in rehearsed]
    assert len({stage.together for stage in first}) == 1
    assert len({stage.digest for stage in first}) == 3, "who knows a temperature undoes it"


def test_no_fleet_is_judged_by_more_attacks_than_another(
    workspace: Workspace, workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whose answers met one defense more than the others' could be attacked behind that, too."""
    write_fleet(workdir)
    request = fleets.request("tiny_fleet", ["base"], defended=["none", "argmax", "rounding:1"])
    rehearsed = Pipeline(workspace).rehearsed(request, 0)
    monkeypatch.setattr(fleets, "_arms", lambda alike, *_, **__: {alike[0].fitted.called: alike[0].defense})
    monkeypatch.setattr(fleets, "_of_arms", lambda *_: {})
    found = fleets.compared(rehearsed, workspace.store, {"none", "argmax"})
    assert list(found["none"].within_reach) == ["base", "base behind argmax"]
    assert list(found["rounding:1"].within_reach) == ["base"]


def test_fleets_of_other_scenes_are_refused_before_anything_is_trained(workdir: Path) -> None:
    """Halves of as many scenes of another data set are drawn alike, and no number tells them apart."""
    write_fleet(workdir)
    write(workdir / "victims" / "other.toml", 'variant_of = "tiny"\n[data]\nseed = 7\n')
    refused = call("fleet", "other_fleet", "--curve", "tiny_fleet", "--models", "4", "--dry-run")
    assert_refused(refused, "Fleets 'other_fleet' and 'tiny_fleet' train on other scenes or halves")


def test_only_plain_training_makes_the_curve(workdir: Path) -> None:
    write_fleet(workdir)
    write(workdir / "victims" / "soft.toml", 'variant_of = "tiny"\n[objective]\nname = "label_smoothing"\n')
    refused = call("fleet", "tiny_fleet", "--curve", "soft_fleet", "--models", "4", "--dry-run")
    assert_refused(refused, "Fleet 'soft_fleet' trains with [objective] label_smoothing, so it is no plain training")


def test_numbers_of_models_that_cannot_be_are_refused(workdir: Path) -> None:
    write_fleet(workdir)
    assert_refused(
        call("fleet", "tiny_fleet", "--models", "5"), "--models 5: models come in pairs. Give an even number."
    )
    assert_refused(call("fleet"), "No fleet is named.")
    assert_refused(call("fleet", "tiny_fleet", "--also", "other=argmax"), "fleet 'other' is not among those compared")
    assert_refused(call("fleet", "tiny_fleet", "--also", "argmax"), "--also argmax: write FLEET=DEFENSE")


def test_files_without_worth_have_it_by_their_points(tmp_path: Path) -> None:
    told = facts()
    kept = told["others"][0].pop("worth")
    path = tmp_path / "arms.rmia.s0.fleet.json"
    path.write_text(json.dumps(told))
    found = arms.read(path)["others"][0]["worth"]
    assert found == {"plain": pytest.approx(kept["plain"]), "value": pytest.approx(kept["value"]), "inside": True} | {
        "low": None, "high": None
    }  # fmt: skip
    told["others"][0]["miou"]["others"] = 0.99
    path.write_text(json.dumps(told))
    assert arms.read(path)["others"][0]["worth"] is None


def test_files_from_before_have_no_intervals_below_the_narrowest_gap(tmp_path: Path) -> None:
    told, path = facts(), tmp_path / "arms.rmia.s0.fleet.json"
    told["others"][0]["above"]["rmia"] |= {"low": 0.01, "high": 0.02, "inside": True}
    told["others"][0]["miou"]["gap"] = 0.001
    path.write_text(json.dumps(told))
    read = arms.read(path)
    assert read["others"][0]["above"]["rmia"].items() >= {"low": None, "high": None, "inside": False}.items()
    assert "Not tested at the same gap, because no plain training overfits as little: other." in measured(read)
