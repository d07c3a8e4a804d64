"""The command line: its surface is frozen, and a whole small audit runs through it, then reuses all it made."""

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
import webbrowser
from collections import Counter
from pathlib import Path

import pytest
import typer
from conftest import Audit
from helpers_files import assert_refused, call, edit, halves, shadow_text, victim_text, wholes, write
from helpers_results import relevelled, result
from test_results import KEYS, ROOT

from mia_seg import (
    api,
    attacks,
    cli,
    data,
    defenses,
    generators,
    objectives,
    plugins,
    recipes,
    segmenters,
    updates,
)
from mia_seg.attacks import Attack
from mia_seg.cli._spent import Spent
from mia_seg.cli._store import store as store_commands
from mia_seg.defenses import Defense
from mia_seg.evaluate import results

# An option is a promise for years. Before adding one, ask whether it belongs into a recipe.
KEPT, PLACES = ["--data-root", "--store"], ["--data-root", "--store", "--reports"]
MACHINE, MAKING = ["--device", "--workers", "--precision"], ["--jobs", "--on", "--dry-run", "--json", "--yes"]
TRIED = ["victim", "shadow", "--defense", "--attack", "--seed", "--repeats", "--quick"]
EVERYWHERE = ["--quiet", "--verbose"]
COMMANDS = {
    "demo": ["--store", "--reports", "--device"],
    "train-victim": ["name", "--seed", *KEPT, *MACHINE, "--devices", *MAKING],
    "train-shadow": ["name", "--seed", *KEPT, *MACHINE, "--devices", *MAKING],
    "train-generator": ["name", "--generator", "--seed", *PLACES, *MACHINE, *MAKING],
    "attack": [*TRIED, *PLACES, *MACHINE, *MAKING, "--keep"],
    "run": [*TRIED, "--grid", *PLACES, *MACHINE, *MAKING, "--keep"],
    "audit": [
        "victim", "--door", "--answers", "--set", "--members", "--nonmembers", "--pool", "--images", "--labels",
        "--classes", "--class-map", "--name", "--defense", "--attack", "--shadows", "--seed", *PLACES, *MAKING,
        "--keep", "--device",
    ],
    "plan": [*TRIED, "--grid", *PLACES, "--json"],
    "report": [*PLACES, "--format", "--thumbnails"],
    "open": ["victim", "--reports"],
    "list": ["--json"],
    "check": ["--data-root", "--all", "--json", "--workers"],
    "results": ["--reports", "--format", "--json", "--schema"],
    "compare": ["a", "b", "--json"],
    "gate": [
        "results", "--max-auc", "--max-tpr", "--baseline", "--victim", "--defense", "--junit", "--badge", "--json",
    ],
    "fleet": [
        "names", "--attack", "--defense", "--curve", "--also", "--models", "--seed", "--rounds", "--grid",
        *PLACES, *MACHINE, *MAKING,
    ],
    "score": ["file", "--against", "--ids", "--answers", "--store", "--threshold", "--defense", "--seed", "--json"],
    "serve": [
        "victim", "--defense", "--seed", *KEPT, "--device", "--host", "--port", "--limit", "--key-env", "--noise",
        "--batch",
    ],
    "store": [],
}  # fmt: skip
SMALL = ("--defense", "none", "--attack", "image_loss")
GRID = [
    "none.image_loss", "none.patch_resnet50-loss",
    "argmax.image_loss", "argmax.image_loss.adaptive", "argmax.patch_resnet50-loss",
    "argmax.patch_resnet50-loss.adaptive",
]  # fmt: skip


def said(text: str, did: str) -> list[str]:
    """What a run reports to have trained or reused."""
    return re.findall(rf"^ *{did} (.*)$", text, re.MULTILINE)


def test_commands_and_options_are_frozen() -> None:
    found = {
        name: [max(p.opts, key=len) if p.param_type_name == "option" else p.name for p in command.params]
        for name, command in typer.main.get_command(cli.app).commands.items()  # type: ignore[attr-defined]
    }
    assert found == {name: options and [*options, *EVERYWHERE] for name, options in COMMANDS.items()}


def test_commands_of_the_store_are_frozen() -> None:
    found = typer.main.get_command(store_commands).commands  # type: ignore[attr-defined]
    assert {name: [max(p.opts, key=len) for p in command.params] for name, command in found.items()} == {
        "ls": ["--store", "--json", *EVERYWHERE], "verify": ["--store", *EVERYWHERE],
        "gc": ["--store", "--reports", "--older-than", "--yes", *EVERYWHERE],
        "rm": ["names", "--store", *EVERYWHERE],
    }  # fmt: skip


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_says_what_it_does(command: str) -> None:
    for flag in ("--help", "-h"):
        ran = call(*command.split(), flag)
        assert ran.code == 0
        assert f"Usage: mia-seg {command}".strip() in ran.out
        assert not ran.err
    for option in COMMANDS.get(command, []):
        assert option.strip("-") in ran.out


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("run ti", ["tiny", "tiny_camvid", "tiny_folder"]),
        ("run tiny tiny_", ["tiny_a1", "tiny_camvid_a1", "tiny_folder_a1"]),
        ("audit tiny_c", ["tiny_camvid"]),
        ("run tiny tiny_a1 --attack patch_r", ["patch_resnet50"]),
        ("gate --defense gauss", ["gaussian", "gaussian_std"]),
        ("train-generator tiny --generator d", ["dfgan"]),
        ("audit --class-map labelmefacade_", ["labelmefacade_cityscapes"]),
        ("run nobody", []),
    ],
)
def test_a_shell_completes_names(workdir: Path, monkeypatch: pytest.MonkeyPatch, typed: str, found: list[str]) -> None:
    words = f"mia-seg {typed}"
    for name, value in (("_MIA_SEG_COMPLETE", "complete_bash"), ("COMP_WORDS", words)):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
    assert call().out.split() == found


def test_the_newest_page_is_opened_or_named(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_refused(call("open"), "There is no page below reports")
    for age, folder in enumerate(("reports", "reports/more", "demo_report")):
        page = write(workdir / folder / "index.html", "")
        os.utime(page, (age, age))
    (workdir / "reports" / "village").mkdir()
    opened: list[str] = []
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(webbrowser, "open", lambda uri: opened.append(uri) or True)
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert call("open").out == "demo_report/index.html\n"
    assert call("open", "--reports", workdir / "reports").out == f"{workdir}/reports/more/index.html\n"
    assert_refused(call("open", "nobody"), "no page of victim 'nobody'")
    monkeypatch.setenv("DISPLAY", ":0")
    assert (call("open", "village").out, opened) == ("", [(workdir / "reports" / "index.html").as_uri()])
    own = write(workdir / "reports" / "village" / "index.html", "")
    os.utime(own, (-9, -9))
    assert (call("open", "village").out, opened[1:]) == ("", [own.as_uri()])


def test_time_is_told_by_kinds_the_longest_first_and_only_of_what_was_made() -> None:
    spent = Spent()
    costs = {"victims": 90.0, "shadows": 5400.0, "answers": 12.0, "results": 1.0, "controls": 2.0, "classes": 3.0}
    spent.made, spent.reused = set(costs), {"other"}
    rows = [{"kind": kind, "digest": kind, "seconds": took} for kind, took in costs.items()]
    again = {"kind": "victims", "digest": "victims", "seconds": 60.0}  # of a stage that was made anew the last counts
    told = spent.told([*rows, {"kind": "victims", "digest": "other", "seconds": 999.0}, again])
    assert (
        told.partition("; ")[2]
        == "shadows 1.5 h, victims 1.0 min, answers 12 s, classes 3 s, others 3 s; 6 stages made, 1 reused"
    )
    assert Spent().told(rows).partition("; ")[2] == "0 stages made, 0 reused"


def test_without_arguments_it_shows_its_help() -> None:
    assert "mia-seg demo" in call().err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run", "tiny"], "SHADOW"),
        (["run", "tiny", "tiny_a1", "--seeds", "1"], "--seeds"),
        (["run", "tiny", "tiny_a1", "--seed", "-1"], "--seed"),
        (["train-victim", "tiny", "--workers", "-1"], "--workers"),
        (["audits"], "audits"),
    ],
)
def test_wrong_usage_is_refused(arguments: list[str], says: str) -> None:
    ran = call(*arguments)
    assert ran.code == 2
    assert says.lower() in ran.err.lower()
    assert "Traceback" not in ran.err


def test_default_defenses_and_attacks_exist(workdir: Path) -> None:
    for text in api.DEFENSES:
        plugins.parse(defenses, Defense, text)
    for text in (*api.ATTACKS, *api.FLEET_ATTACKS):
        plugins.parse(attacks, Attack, text)


def test_list_names_every_file(workdir: Path) -> None:
    ran = call("list")
    assert ran.code == 0
    wanted = {name for kind in ("victim", "shadow") for name in recipes.names(kind)}  # type: ignore[arg-type]
    wanted |= {
        name
        for package in (data, segmenters, objectives, updates, generators, defenses, attacks)
        for name in plugins.names(package)
    }
    assert wanted <= {line.split()[0] for line in ran.out.splitlines() if line.strip()}
    assert "A recipe for tests: one epoch at 32 x 48." in ran.out


@pytest.mark.parametrize(
    ("text", "shown"), [("", "strange"), ("[data]\n", "strange  [data]"), ("# of [all]", "of [all]")]
)
def test_list_shows_any_file_as_it_is(workdir: Path, text: str, shown: str) -> None:
    write(workdir / "victims" / "strange.toml", text)
    assert shown in re.sub(" +", "  ", call("list").out).replace("of  [all]", "of [all]")


def test_list_and_results_start_without_torch(workdir: Path) -> None:
    code = """if True:
        import sys
        from mia_seg import cli
        for sys.argv in (["mia-seg", "list"], ["mia-seg", "results", "--json"]):
            try:
                cli.main()
            except SystemExit as left:
                assert not left.code
        print(*{"torch", "lightning_fabric"} & sys.modules.keys(), file=sys.stderr)
    """
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stderr.strip() == ""
    assert ran.stdout.endswith("[]\n")


def test_a_refusal_leaves_the_process_with_code_2_and_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from mia_seg.cli import main; main()", "results", "--reports", "nowhere"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert ran.stdout == ""
    assert ran.stderr == (
        "mia-seg: nowhere holds no results. Run 'mia-seg run VICTIM SHADOW', or point --reports to them.\n"
    )


@pytest.fixture
def only_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """`check` reads the recipes of the working directory, not those that come along and need real data."""
    monkeypatch.setattr(recipes, "folders", lambda kind: [Path.cwd() / f"{kind}s"])


@pytest.mark.usefixtures("only_own")
def test_check_is_content_with_sound_recipes_and_data(workdir: Path, data_template: Path) -> None:
    ran = call("check", "--data-root", data_template)
    assert ran.code == 0, ran.out
    lines = ran.out.splitlines()
    recipes = lines[next(k for k, line in enumerate(lines) if line.startswith("checking every recipe")) + 1 :]
    assert len(recipes) == 7
    assert all(line.startswith("ok ") for line in recipes[:-1])
    assert not [line for line in lines if line.startswith("problem")]
    assert "victim tiny_folder: 6 + 6 + 12 scenes of 32x48" in ran.out
    assert lines[-1].split()[0] == "next"


@pytest.mark.usefixtures("only_own")
def test_check_takes_the_data_root_from_the_environment(
    workdir: Path, data_template: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIA_SEG_DATA", str(data_template))
    assert call("check").code == 0


@pytest.mark.usefixtures("only_own")
def test_check_names_every_fault_and_goes_on(workdir: Path, data_root: Path) -> None:
    victims = workdir / "victims"
    edit(victims / "tiny.toml", "epochs = 1", "epoch = 1")
    edit(victims / "tiny_folder.toml", "pool = 12", "pool = 120")
    edit(workdir / "shadows" / "tiny_folder_a1.toml", "[attacks.patch_resnet50]", "[attacks.resnet50]")
    ran = call("check", "--data-root", data_root)
    assert_refused(ran, "4 of the above have a problem")
    problems = [line.removeprefix("problem").strip() for line in ran.out.splitlines() if line.startswith("problem")]
    assert problems[0].startswith(f"victim tiny: {victims}/tiny.toml: unknown key 'train.epoch'. Did you mean 'epochs'")
    assert problems[1].startswith("victim tiny_folder: [split] asks for 6 + 6 + 120 scenes")
    assert problems[2].startswith("shadow tiny_a1: ")  # its victim cannot be read
    assert "[attacks.resnet50]: no attack is called 'resnet50'. Did you mean 'patch_resnet50'?" in problems[3]
    assert re.findall("^ok +(victim|shadow) (.*?):", ran.out, re.MULTILINE) == [
        ("victim", "tiny_camvid"), ("shadow", "tiny_camvid_a1"),
    ]  # fmt: skip


def test_check_without_a_root_says_which_recipes_need_none(workdir: Path) -> None:
    ran = call("check")
    assert_refused(ran, "have a problem")
    assert re.search(r"^ok +victim tiny: 6 \+ 6 \+ 12 scenes of 32x48$", ran.out, re.MULTILINE)
    assert re.search(r"^problem +victim tiny_folder: .*--data-root \(or set MIA_SEG_DATA\)", ran.out, re.MULTILINE)


def test_a_run_makes_every_cell_and_says_what_it_did(audit: Audit) -> None:
    ran = audit.first
    assert ran.code == 0, ran.err
    assert [line.split(",")[0] for line in said(ran.err, "trained")] == ["victim tiny", "shadow tiny_a1"]
    assert sorted(path.stem for path in audit.reports.glob("tiny/*.json")) == sorted(f"tiny_a1.{c}.s0" for c in GRID)
    assert len(list(audit.reports.glob("tiny/*.scores.csv"))) == len(GRID)
    for path in audit.reports.glob(
        "tiny/*.json"
    ):  # answers of argmax have the same argmax: no pixel is predicted otherwise
        change, nothing = json.loads(path.read_text())["utility_change"], {"value": 0.0, "low": 0.0, "high": 0.0}
        assert change == ({"members": nothing, "nonmembers": nothing} if ".argmax." in path.name else None)
    assert (audit.reports / "index.html").is_file()
    wrote = re.findall(r"^ +wrote (.*)$", ran.out, re.MULTILINE)
    assert "reports/index.html" in wrote
    assert all((audit.folder / path).is_file() for path in wrote)
    assert ran.out.splitlines()[-1].split()[0] == "next"
    kinds = Counter(path.parent.parent.name for path in audit.store.glob("*/*/made.json"))
    # The victim's scenes and its pool undefended, and its scenes under argmax; the shadow's twice.
    assert kinds == {
        "victims": 1, "shadow_members": 1, "shadows": 1, "answers": 5, "attackers": 4, "controls": 1,
        "results": len(GRID),
    }  # fmt: skip
    assert not list((audit.store / "work").iterdir()), "what was to resume from is gone"
    assert not list(halves(audit.store))


def test_a_second_run_reuses_everything_and_says_so(audit: Audit) -> None:
    assert audit.again.code == 0, audit.again.err
    assert not said(audit.again.err, "trained")
    reused = said(audit.again.err, "reused")
    assert {"victim tiny", "shadow tiny_a1"} < {line.split(",")[0] for line in reused}
    assert len([line for line in reused if line.startswith("result tiny, seed 0: ")]) == len(GRID)
    (listed, drew, _), (before, _, _) = (ran.out.partition("    drew ") for ran in (audit.again, audit.first))
    assert listed == before
    assert audit.again.out[len(listed + drew) :].startswith("0 figures"), "what did not change is not drawn again"
    made = {line.rpartition("(")[2] for did in ("trained", "measured") for line in said(audit.first.err, did)}
    assert made == {line.rpartition("(")[2] for line in reused}


def test_the_last_line_of_a_run_says_where_the_time_went(audit: Audit) -> None:
    first, again = (ran.err.splitlines()[-1].split(None, 1) for ran in (audit.first, audit.again))
    assert first[0] == again[0] == "spent"
    took = r"[\d.]+ (s|min|h)"
    assert re.search(rf"^{took}; (\w+ {took}, ){{4}}others {took}; 19 stages made, 0 reused$", first[1]), first[1]
    assert re.search(rf"^{took}; 0 stages made, 19 reused$", again[1]), again[1]


def test_json_stands_alone_on_stdout_and_quiet_leaves_results(audit: Audit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(audit.folder)
    asked = ("attack", "tiny", "tiny_a1", *SMALL, "--device", "cpu")
    plain, quiet, verbose = (call(*asked, *more) for more in ((), ("--quiet",), ("-v",)))
    assert {row["attack"] for row in json.loads(call(*asked, "--json").out)} == {"image_loss"}
    assert {step["state"] for step in json.loads(call(*asked, "--json", "--dry-run").out)} == {"whole"}
    assert quiet.err == ""
    assert quiet.out == plain.out[: len(quiet.out)]
    assert plain.out[len(quiet.out) :].split()[0] == "wrote"
    assert len(verbose.err.splitlines()) > len(plain.err.splitlines())
    (victim,) = json.loads(call("train-victim", "tiny", "--device", "cpu", "--json").out)
    assert (audit.folder / victim / "made.json").is_file()
    kept = json.loads(call("store", "ls", "--json").out)
    assert {one["state"] for one in kept} == {"whole"}
    assert Path(victim).name in {one["artefact"].rpartition("/")[2] for one in kept}


def test_lists_and_checks_are_json_too(workdir: Path) -> None:
    listed = json.loads(call("list", "--json").out)
    assert set(listed["attacks"]) == set(plugins.names(attacks))
    assert listed["victim recipes"]["tiny"] == "A recipe for tests: one epoch at 32 x 48."
    write(workdir / "victims" / "broken.toml", "[data]\n")
    ran = call("check", "--json")
    assert ran.code == 2
    assert {"problem", "ok"} <= {one["state"] for one in json.loads(ran.out)}


def test_results_are_flat_rows_with_numbers_as_numbers(audit: Audit) -> None:
    ran = call("results", "--json", "--reports", audit.reports)
    assert (ran.code, ran.err) == (0, "")
    rows = json.loads(ran.out)
    assert len(rows) == len(GRID) + sum("patch" in cell for cell in GRID)
    assert all(sorted(row) == sorted(KEYS) for row in rows)
    cells = {(row["defense"], row["attack"], row["adaptive"], row["level"]) for row in rows}
    assert ("none", "image_loss", False, "image") in cells
    assert ("argmax", "patch_resnet50", True, "patch") in cells
    assert not any(defense == "none" and adaptive for defense, _, adaptive, _ in cells)
    for row in rows:
        assert (row["victim"], row["shadow"], row["dataset"], row["seed"]) == ("tiny", "tiny_a1", "streets", 0)
        scores = 6 * (1 if row["level"] == "image" else 2)
        assert (row["n_members"], row["n_nonmembers"]) == (scores, scores)
        assert (row["n_member_groups"], row["n_nonmember_groups"]) == (6, 6)
        assert 0 <= row["auc_low"] <= row["auc"] <= row["auc_high"] <= 1
        assert (row["blind_p"] > 0.01, row["confounded"]) == (True, False)
        assert (row["shuffle_p"] is not None) is (row["level"] == "image")
        assert row["queries"] == 12 + 12  # the pool, to choose the shadow's members, and the scenes in question
        assert f"tiny.s0-{row['victim_digest']}" in wholes(audit.store)
        assert f"tiny_a1.s0-{row['shadow_digest']}" in wholes(audit.store)


def test_results_are_a_table_for_people(audit: Audit) -> None:
    ran = call("results", "--reports", audit.reports)
    assert ran.code == 0
    assert len(ran.out.splitlines()) == 1 + len(GRID) + sum("patch" in cell for cell in GRID)
    assert "patch_resnet50:loss" in ran.out


@pytest.mark.parametrize(
    ("ends", "cell"), [((0.5321, 0.6994), "0.61 [0.53, 0.70]"), ((0.4984, 0.6994), "0.612 [0.498, 0.699]")]
)
def test_a_table_of_results_has_the_digits_of_the_page(tmp_path: Path, ends: tuple[float, float], cell: str) -> None:
    one = result(attack="image_loss", representation="")
    auc = {"auc": 0.612, "auc_low": ends[0], "auc_high": ends[1]}
    results.write(tmp_path, relevelled(one, image=one.dump()["levels"]["image"] | auc))
    assert f" {cell} " in call("results", "--reports", tmp_path).out


def test_results_are_csv_and_latex_for_papers(tmp_path: Path) -> None:
    found = [result(1.8, defense="gaussian:1.0"), result(1.8, seed=2)]
    for one in found:
        results.write(tmp_path / "more" / "below", one)
    ran = call("results", "--format", "csv", "--reports", tmp_path)
    lines = list(csv.DictReader(io.StringIO(ran.out)))
    assert [(line["defense"], line["level"]) for line in lines] == [
        ("gaussian:1.0", "image"), ("gaussian:1.0", "patch"), ("none", "image"), ("none", "patch")
    ]  # fmt: skip
    assert all(sorted(line) == sorted(KEYS) for line in lines)
    assert json.loads(lines[0]["ppv"]) == found[0].dump()["levels"]["image"]["ppv"]
    assert float(lines[0]["auc"]) == found[0].levels["image"].auc
    paper = call("results", "--format", "latex", "--reports", tmp_path).out
    assert paper.startswith("\\begin{tabular}")
    assert f"& patch\\_resnet50 & concat & False & image & 2 & {found[1].levels['image'].auc:.3f} &" in paper


def test_the_schema_of_a_result_is_printed() -> None:
    assert call("results", "--schema").out == (ROOT / "docs" / "result.schema.json").read_text()


@pytest.mark.parametrize("form", ["text", "csv", "latex"])
def test_results_of_nothing_are_refused_where_a_table_would_have_no_head(tmp_path: Path, form: str) -> None:
    assert_refused(call("results", "--format", form, "--reports", tmp_path), "holds no results", "mia-seg run")


def test_results_of_nothing(tmp_path: Path) -> None:
    assert_refused(call("results", "--reports", tmp_path / "none"), "none holds no results", "mia-seg run")
    ran = call("results", "--json", "--reports", tmp_path / "none")
    assert (ran.code, json.loads(ran.out)) == (0, [])
    assert_refused(call("report", "--reports", tmp_path / "none"), "none holds no results", "mia-seg run")


def test_another_seed_is_another_model(audit: Audit, workdir: Path) -> None:
    """The seed shapes split, weights and noise, so that nothing of seed 0 may be reused."""
    shutil.copytree(audit.store / "victims", workdir / "runs" / "victims")
    ran = call("train-victim", "tiny", "--seed", "0", "--seed", "1", "--device", "cpu")
    assert ran.code == 0, ran.err
    assert [line.split(" (")[0] for line in said(ran.err, "reused")] == ["victim tiny, seed 0"]
    assert [line.split(" (")[0] for line in said(ran.err, "trained")] == ["victim tiny, seed 1"]


def test_a_plan_says_what_a_generator_takes_that_no_earlier_run_tells_of(workdir: Path) -> None:
    """In the words of its recipe, and otherwise what its time grows with; once, whatever the seeds and models."""
    told = "# Expect: a second.\n# Generator: a minute\n#            of one core.\n# Source: ours.\n"
    write(workdir / "victims" / "tiny.toml", victim_text() + "[train_generator]\nepochs = 7\n")
    write(workdir / "shadows" / "tiny_a1.toml", told + shadow_text())
    unknown = "dfgan, 7 epochs of the model's members at 32 x 48 pixels; neither an earlier run nor its recipe tells"
    drawn = ("--defense", "synfeat:0.75", "--attack", "image_loss", "--seed", "0", "--seed", "1")
    *_, expect, victim, shadow = call("plan", "tiny", "tiny_a1", *drawn).out.splitlines()
    assert expect == "shadow tiny_a1: Expect: a second."
    assert victim == f"generator of victim tiny: {unknown} the minutes."
    assert shadow == "generator of shadow tiny_a1: a minute of one core."
    command = ("fleet", "tiny_fleet", "--models", "4", "--attack", "base", "--dry-run")
    fleet = call(*command, "--defense", "synfeat:0.75").out
    assert re.findall("generator of .*", fleet) == [f"generator of shadow tiny_fleet: {unknown} the minutes."]


def test_a_plan_of_a_generator_that_was_made_before_tells_its_minutes_alone(workdir: Path) -> None:
    command = ("train-generator", "tiny", "--dry-run", "--seed")
    assert "generator of victim tiny" in call(*command, "0").out
    made = {"kind": "generators", "name": "tiny.s0", "digest": "0" * 12, "seconds": 90, "bytes": 1000}
    write(workdir / "runs" / "journal.jsonl", json.dumps(made) + "\n")
    said = call(*command, "1").out
    assert "~1.5" in said
    assert "generator of victim tiny" not in said


@pytest.mark.parametrize("option", ["--device", "--precision"])
def test_an_unknown_device_or_precision_is_refused_before_training(workdir: Path, option: str) -> None:
    ran = call("train-victim", "tiny", option, "cdua")
    assert_refused(ran, option, "cdua", "hoose")
    assert not wholes(workdir / "runs")


def test_ctrl_c_says_how_to_go_on(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(api.Audit, "run", stop)
    ran = call("run", "tiny", "tiny_a1")
    assert ran.code == 130
    assert ran.err == "\nStopped. The same command goes on from the last saved step.\n"
