"""A fleet that audits its own recipe: no victim is trained, and rare classes, lines and sentences are as they must."""

import csv
import html
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from helpers_files import assert_refused, call
from helpers_in_turn import simulated
from test_fleet import write_fleet

from mia_seg.attacks._readings import Readings
from mia_seg.attacks.base import Base
from mia_seg.errors import MiaSegError
from mia_seg.evaluate.fleet import Described, FleetAudit, audited, rehearsing
from mia_seg.pipeline import Pipeline
from mia_seg.report import fleets as report_fleets
from mia_seg.report import style
from mia_seg.report.fleets import odds, own_units, proven, said, under_represented
from mia_seg.report.from_store import report as draw
from mia_seg.report.per_scene import exposure_figure
from mia_seg.stages import checks, fleets
from mia_seg.store import Store
from mia_seg.workspace import Workspace

LEAK = np.where(np.arange(40) < 16, 5.0, 0.0)
SHOWS = np.stack([np.ones(40, bool), np.arange(40) < 8, np.arange(40) % 2 == 0, np.zeros(40, bool)], 1)
CLASSES = ["road", "bicycle", "car", "boat"]


def fleet(models: int, seed: int = 0) -> Readings:
    world = simulated(models, LEAK, seed)
    return Readings([f"s{k:02d}" for k in range(40)], world.readings_MN / 9, np.zeros((models, 0)), world.inside_MN)


@cache
def found(models: int = 16) -> FleetAudit:
    ids = fleet(models).ids
    return audited(fleet(models), Base(), Described(ids, CLASSES, SHOWS), rounds=99)


def test_a_fleet_is_judged_as_in_its_rehearsals_whoever_trained_on_what() -> None:
    read = fleet(8)
    estimate = rehearsing(read, Base())
    np.testing.assert_array_equal(estimate(np.arange(8), read.members_MN), Base().rehearse(read))
    np.testing.assert_array_equal(estimate(np.arange(4), read.members_MN[:4]), Base().rehearse(read.first(2)))
    assert (estimate(np.arange(8), ~read.members_MN) == Base().rehearse(read)).all(), "it takes all other models alike"


def test_under_represented_classes_stand_apart() -> None:
    parts = {part["part"]: part for part in found().facts["parts"]}
    assert list(parts) == ["all", "an under-represented class", "no under-represented class", "bicycle", "car"]
    assert [name for name, part in parts.items() if part["rare"]] == ["an under-represented class", "bicycle"]
    assert [part["groups"] for part in parts.values()] == [40, 8, 32, 8, 20]
    assert parts["bicycle"]["value"] > parts["no under-represented class"]["value"] > 0.5
    assert parts["bicycle"]["p"] == pytest.approx(0.01)
    assert parts["bicycle"]["exposed"] > parts["bicycle"]["groups"] / 2
    above = found().facts["under_represented"]
    assert above["value"] == pytest.approx(parts["bicycle"]["value"] - parts["no under-represented class"]["value"])
    assert 0 < above["low"] < above["value"] < above["high"]
    assert under_represented(above).endswith(f"{above['value']:+.3f} [{above['low']:+.3f}, {above['high']:+.3f}].")
    assert under_represented(above | {"low": None, "high": None}).endswith(" [needs 6 models].")
    assert parts["all"]["exposed"] == parts["bicycle"]["exposed"] + parts["no under-represented class"]["exposed"]


def test_what_is_proven_of_the_training_is_said() -> None:
    privacy = {"epsilon": 7.98765, "delta": 1e-3, "accountant": "RDP (Opacus)", "noise": 1.4, "clip": 1.0}
    assert "epsilon 7.99 at delta 0.001 for adding or removing one scene, by RDP (Opacus)." in proven(privacy)
    assert proven(privacy).endswith(f"a TPR of {1 - 0.989 * np.exp(-7.99):.4f} at FPR 1%.")
    assert proven(privacy | {"epsilon": 1e6}).endswith("a TPR of 1 at FPR 1%."), "which any attack keeps"
    assert "nothing is proven" in proven(privacy | {"epsilon": None})


def test_kinds_of_scenes_that_a_training_tells_apart_stand_apart() -> None:
    read, kinds = fleet(8), {"weak": [k < 7 for k in range(40)], "none": [False] * 40}
    parts = audited(read, Base(), Described(read.ids, CLASSES, SHOWS, kinds), rounds=99).facts["parts"]
    assert [(part["part"], part["groups"]) for part in parts[:2]] == [("all", 40), ("weak", 7)]
    assert "none" not in {part["part"] for part in parts}


def test_a_line_a_group_the_most_exposed_first() -> None:
    one = found()
    rows = list(csv.DictReader(one.text().splitlines()))
    assert len(rows) == 40
    assert [float(row["p"]) for row in rows] == sorted(one.found.p_U.tolist())
    assert sum(int(row["exposed"]) for row in rows) == one.facts["parts"][0]["exposed"] > 8
    by_id = {row["group"]: row for row in rows}
    assert float(by_id["s03"]["auc"]) == one.found.auc_U[3]
    assert [*rows[0]][:2] == ["group", "scenes"]


def test_each_group_has_a_likelihood_ratio() -> None:
    one = found()
    rows = {row["group"]: row for row in csv.DictReader(one.text().splitlines())}
    leaking = {key: float(rows["s03"][key]) for key in ("log_ratio", "ratio_low", "ratio_high")}
    assert leaking["log_ratio"] == one.ratios.own_U[3] > max(1, leaking["ratio_high"])
    assert leaking["ratio_low"] < 0 < leaking["ratio_high"]
    every = one.facts["parts"][0]
    assert every["log_ratio"] == pytest.approx(np.mean([float(row["log_ratio"]) for row in rows.values()]))
    low, high = np.exp(every["log_ratio_null"])
    said_so = f"by {np.exp(every['log_ratio']):.3g} in the geometric mean (after shuffles {low:.2f} to {high:.2f};"
    assert said_so in odds(every)


def test_few_models_name_nobody_and_say_so() -> None:
    one = found(8)
    assert one.facts["parts"][0]["exposed"] is None
    assert one.facts["parts"][0]["above"] is None, "four pairs put no scene above its band"
    assert said(one.facts).startswith("8 models cannot name any scene, whatever they find: that takes 10")
    assert {row["above"] + row["exposed"] for row in csv.DictReader(one.text().splitlines())} == {""}
    assert "of 40 are exposed, false ones among them 5%" in said(found().facts)
    own = found().facts["own_units"]["tpr_at_fpr"]
    assert f"TPR at FPR 10% {own['0.1']['value']:.3f} [" in own_units(own)
    assert own_units(own).endswith("TPR at FPR 1% not resolvable.")
    facts = found().facts
    nobody = facts | {"parts": [facts["parts"][0] | {"exposed": 0}]}
    assert said(nobody).endswith("; 0 of 40 are exposed. With 16 models 8 must stand out at once before any is named.")
    with pytest.raises(MiaSegError, match="needs 4 shadows"):
        found(2)


def written(tmp_path: Path, **changes: object) -> Path:
    """The JSON of the audit in a folder of reports."""
    one = found()
    told = {
        "shadow": "town_fleet", "victim": "town", "defense": "none", "attack": "base", "seed": 0, "dataset": "streets",
        "digests": {"attacker": "a1", "shadow": "f2"}, "versions": {"mia-seg": "0.1.0"},
    }  # fmt: skip
    return fleets.write(tmp_path, FleetAudit(one.facts | told | changes, one.described, one.found, one.ratios))[0]


def test_its_page_names_who_is_exposed_and_the_index_leads_there(tmp_path: Path) -> None:
    path = written(tmp_path)
    made = draw(tmp_path, Store(tmp_path / "none"), None, forms=["html"])
    assert [one.name for one in made] == ["town_fleet.base.s0.fleet.html", "index.html"]
    page, (lines, facts) = made[0].read_text(), (report_fleets.read(path)[1], found().facts)
    assert all(text in html.unescape(page) for text in report_fleets.sentences(facts))
    assert page.count('<td class="number">yes</td><td class="number">yes</td>') == min(facts["parts"][0]["exposed"], 20)
    assert page.index(lines[0]["group"]) < page.index("Method and digests")
    assert "mia-seg fleet town_fleet --attack base --models 16 --seed 0 --rounds 99" in page
    index = made[1].read_text()
    assert '<a href="town/town_fleet.base.s0.fleet.html">town_fleet, by base, seed 0</a>' in index
    assert f'<td class="number">{facts["parts"][0]["exposed"]} of 40</td>' in index
    again = draw(tmp_path, Store(tmp_path / "none"), None, forms=["html"])
    assert [one.name for one in again] == ["index.html"]


def test_groups_have_their_size_on_the_page_and_old_audits_no_odds(tmp_path: Path) -> None:
    one = found()
    facts = one.facts | {"groups": 30, "parts": [{k: v for k, v in one.facts["parts"][0].items() if "ratio" not in k}]}
    path = written(tmp_path, **facts)
    lines = [{k: v for k, v in line.items() if "ratio" not in k} for line in report_fleets.read(path)[1]]
    told = report_fleets.content(report_fleets.read(path)[0], lines, name="a", depth=1)
    groups = told["tables"][1]
    assert groups.columns == ["Group", "Scenes", "AUC", "Null band", "p", "Above", "Exposed"]
    assert {len(row) for row in groups.rows} == {7}
    assert not [text for text in told["others"] if "odds" in text]
    assert told["verdict"].startswith("This training leaks: AUC 0.")
    assert told["back"] == "../index.html"


def test_few_models_have_no_list_of_scenes_and_noise_no_leak(tmp_path: Path) -> None:
    few = found(8)
    lines = list(csv.DictReader(few.text().splitlines()))
    told = report_fleets.content(report_fleets.read(written(tmp_path))[0] | few.facts, lines, name="a", depth=1)
    assert [table.title for table in told["tables"]] == ["Parts of the scenes"]
    within = few.facts["pooled"]["null"] | {"high": 1.0}
    quiet = few.facts | {"pooled": few.facts["pooled"] | {"null": within}}
    assert report_fleets.verdict(quiet).startswith("No leak is shown: AUC 0.")


def test_what_is_no_audit_of_a_fleet_is_named(tmp_path: Path) -> None:
    path = written(tmp_path)
    path.with_suffix(".csv").unlink()
    with pytest.raises(MiaSegError, match=r"town_fleet\.base\.s0\.fleet\.json, with the CSV beside it, is no audit"):
        draw(tmp_path, Store(tmp_path / "none"), None, forms=["html"])
    path.write_text("[]")
    with pytest.raises(MiaSegError, match="is no audit of a fleet"):
        report_fleets.read(path)


def test_it_needs_no_victim_and_fits_what_a_run_fits(workspace: Workspace, workdir: Path) -> None:
    write_fleet(workdir, "tiny_folder")
    pipeline = Pipeline(workspace)
    (one,) = pipeline.rehearsed(fleets.request("tiny_folder_fleet", ["rmia"]), 0)
    alone = one.fitted
    request = checks.request("tiny_folder", "tiny_folder_fleet", ["none"], attacked=["rmia"])
    (measured,) = pipeline.audit(request, 0)
    assert alone.digest == measured.attacker.digest
    assert {asked.model.kind for seen in alone.seen for asked in seen.asked} == {"shadows"}


def test_what_a_fleet_cannot_say_is_refused(workdir: Path) -> None:
    write_fleet(workdir, "tiny_folder")
    assert_refused(call("fleet", "tiny_a1"), "Shadow 'tiny_a1' is one model", "choose = 'halves'")
    assert_refused(
        call("fleet", "tiny_folder_fleet", "--attack", "image_loss"), "Choose one that does: attack_r, base, bavaria, "
    )
    assert_refused(call("fleet", "tiny_folder_fleet", "--attack", "attack_r"), "'attack_r' needs 6 shadows")
    for attack in ("bavaria", "lira:statistic=vector"):
        refused = call("fleet", "tiny_fleet", "--attack", attack, "--models", "6", "--dry-run")
        assert_refused(refused, f"Attack '{attack}' needs 8 models here, and fleet 'tiny_fleet' has 6")
    assert not (workdir / "runs").exists()


@pytest.mark.parametrize(("models", "kinds"), [(16, ["within", "above", "exposed"]), (8, ["too"])])
def test_the_figure_shows_every_group_once(models: int, kinds: list[str]) -> None:
    one = found(models)
    with style.styled():
        (ax,) = exposure_figure(one).axes
    drawn = {str(line.get_label()).split()[0]: np.asarray(line.get_ydata()) for line in ax.lines}
    assert list(drawn) == kinds
    assert sorted(np.concatenate(list(drawn.values()))) == sorted(one.found.auc_U)
    assert len(drawn.get("exposed", [])) == (one.facts["parts"][0]["exposed"] or 0)
    assert ax.get_xlabel() == "scenes, sorted by AUC"
