"""The command line: its surface is frozen, and a whole small audit runs through it, then reuses all it made."""

import csv
import io
import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import typer
from conftest import Audit
from helpers_files import assert_refused, call, edit, halves, wholes, write
from helpers_results import result
from test_results import KEYS, ROOT

from mia_seg import api, attacks, cli, data, defenses, generators, plugins, recipes, segmenters
from mia_seg.attacks import Attack
from mia_seg.cli._store import store as store_commands
from mia_seg.defenses import Defense
from mia_seg.evaluate import results

# An option is a promise for years. Before adding one, ask whether it belongs into a recipe.
COMMANDS = {
    "demo": ["--store", "--reports", "--device"],
    "train-victim": [
        "name", "--seed", "--data-root", "--store", "--device", "--devices", "--workers", "--jobs", "--on",
        "--precision", "--dry-run",
        "--yes",
    ],
    "train-shadow": [
        "name", "--seed", "--data-root", "--store", "--device", "--devices", "--workers", "--jobs", "--on",
        "--precision", "--dry-run",
        "--yes",
    ],
    "train-generator": [
        "name", "--generator", "--seed", "--data-root", "--store", "--reports", "--device", "--workers", "--jobs",
        "--on", "--precision",
        "--dry-run", "--yes",
    ],
    "attack": [
        "victim", "shadow", "--defense", "--attack", "--seed", "--repeats", "--data-root", "--store", "--reports",
        "--device", "--workers", "--jobs", "--on", "--precision", "--keep", "--dry-run", "--yes",
    ],
    "run": [
        "victim", "shadow", "--defense", "--attack", "--seed", "--repeats", "--data-root", "--store", "--reports",
        "--device", "--workers", "--jobs", "--on", "--precision", "--keep", "--dry-run", "--yes",
    ],
    "audit": [
        "victim", "--door", "--answers", "--set", "--members", "--nonmembers", "--pool", "--images", "--labels",
        "--classes", "--class-map", "--name", "--defense", "--attack", "--shadows", "--seed", "--data-root", "--store",
        "--reports", "--device", "--jobs", "--on", "--keep", "--dry-run", "--yes",
    ],
    "plan": [
        "victim", "shadow", "--defense", "--attack", "--seed", "--repeats", "--data-root", "--store", "--reports",
        "--json",
    ],
    "report": ["--data-root", "--store", "--reports", "--device"],
    "list": [],
    "check": ["--data-root", "--all", "--json", "--workers"],
    "results": ["--reports", "--format", "--json", "--schema"],
    "serve": [
        "victim", "--defense", "--seed", "--data-root", "--store", "--device", "--host", "--port", "--limit",
        "--key-env", "--noise", "--batch",
    ],
    "store": [],
}  # fmt: skip
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
    assert found == COMMANDS


def test_commands_of_the_store_are_frozen() -> None:
    found = typer.main.get_command(store_commands).commands  # type: ignore[attr-defined]
    assert {name: [max(p.opts, key=len) for p in command.params] for name, command in found.items()} == {
        "ls": ["--store"], "verify": ["--store"], "gc": ["--store", "--reports", "--older-than", "--yes"],
        "rm": ["names", "--store"],
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
    wanted |= {name for package in (data, segmenters, generators, defenses, attacks) for name in plugins.names(package)}
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
    edit(victims / "tiny_camvid.toml", "pool = 12", "pool = 120")
    edit(workdir / "shadows" / "tiny_folder_a1.toml", "[attacks.patch_resnet50]", "[attacks.resnet50]")
    ran = call("check", "--data-root", data_root)
    assert_refused(ran, "4 of the above need attention")
    problems = [line.removeprefix("problem").strip() for line in ran.out.splitlines() if line.startswith("problem")]
    assert problems[0].startswith(f"victim tiny: {victims}/tiny.toml: unknown key 'train.epoch'. Did you mean 'epochs'")
    assert problems[1].startswith("victim tiny_camvid: [split] asks for 6 + 6 + 120 scenes")
    assert problems[2].startswith("shadow tiny_a1: ")  # its victim cannot be read
    assert "[attacks.resnet50]: no attack is called 'resnet50'. Did you mean 'patch_resnet50'?" in problems[3]
    assert re.findall("^ok +(victim|shadow) (.*?):", ran.out, re.MULTILINE) == [
        ("victim", "tiny_folder"), ("shadow", "tiny_camvid_a1"),
    ]  # fmt: skip


def test_check_without_a_root_says_which_recipes_need_none(workdir: Path) -> None:
    ran = call("check")
    assert_refused(ran, "need attention")
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
    assert audit.again.out == audit.first.out
    made = {line.rpartition("(")[2] for did in ("trained", "measured") for line in said(audit.first.err, did)}
    assert made == {line.rpartition("(")[2] for line in reused}


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
