"""Grids: many audits in one file, planned and made together."""

from pathlib import Path

import pytest
from conftest import Audit as Trained
from helpers_files import assert_refused, call
from test_fleet import write_fleet
from typer.testing import CliRunner

import mia_seg as mia
from mia_seg import recipes
from mia_seg.cli import app
from mia_seg.errors import MiaSegError
from mia_seg.recipes import grids
from mia_seg.stages import checks, fleets

FLEETS = '[[fleets]]\nnames = ["tiny_fleet"]\ncurve = ["tiny_fleet"]\nseeds = [0, 1]\nattacks = ["base"]\n'
AUDIT = '[[audit]]\nvictim = "tiny"\nshadow = "tiny_a1"\nattacks = ["image_loss"]\ndefenses = {}\n'


def write(folder: Path, text: str) -> None:
    (folder / "grids").mkdir(exist_ok=True)
    (folder / "grids" / "own.toml").write_text(text)


@pytest.mark.parametrize("name", recipes.names("grid"))
def test_what_a_grid_of_mia_seg_names_exists_and_belongs_together(name: str) -> None:
    listed = grids.load(name)
    for asked in listed.audit:
        what = {"attacked": asked.attacks, "repeats": asked.repeats}
        if asked.shadow is None:
            checks.screen(asked.victim, asked.defenses, **what)
        else:
            checks.request(asked.victim, asked.shadow, asked.defenses, **what)
    for compared in listed.fleets:
        alike = [
            fleets.request(fleet, compared.attacks, compared.models, defended=compared.defenses)
            for fleet in (*compared.names, *compared.curve)
        ]
        splits = {str(recipes.load_shadow(one.shadow or "").split) for one in alike}
        assert len(splits) == 1, "all have the same scenes and halves"


def test_a_grid_is_of_audits_or_of_fleets(workdir: Path) -> None:
    write_fleet(workdir)
    write(workdir, FLEETS)
    ran = call("fleet", "--grid", "own", "--dry-run", "--device", "cpu")
    assert ran.code == 0, ran.err
    assert ran.out.count("tiny_fleet-03, seed 0") >= 1
    assert "tiny_fleet-02, seed 1" in ran.out
    assert_refused(call("run", "--grid", "own"), "Grid 'own' lists no [[audit]]", "mia-seg fleet --grid own")
    assert_refused(call("fleet", "tiny_fleet", "--grid", "own"), "--grid own says what is compared")
    write(workdir, AUDIT.format('["none"]'))
    assert_refused(call("fleet", "--grid", "own"), "Grid 'own' lists no [[fleets]]", "mia-seg run --grid own")


def test_audits_of_a_grid_share_what_they_have_in_common(audit: Trained, workdir: Path) -> None:
    write(workdir, AUDIT.format('["none"]') + AUDIT.format('["none", "argmax"]'))
    found = mia.grid("own", store=audit.store, reports=workdir / "reports", device="cpu")
    assert found.plan().missing == []
    stages = [stage.digest for stage in found.stages]
    assert (len(stages), len(set(stages))) == (4, 3), "undefended twice; argmax, by two kinds of attacker"
    kinds = [stage.kind for stage in found.plan().stages]
    assert (kinds.count("victims"), kinds.count("shadows"), kinds.count("results")) == (1, 1, 3)
    assert found.table()["defense"].tolist() == ["none", "none", "argmax", "argmax"]


def test_the_command_runs_a_grid(audit: Trained, workdir: Path) -> None:
    write(workdir, AUDIT.format('["argmax"]'))
    command = ["run", "--grid", "own", "--store", str(audit.store), "--reports", "out", "--device", "cpu"]
    assert CliRunner().invoke(app, [*command, "--dry-run"]).output.count("missing") == 1, "in the sum, which is 0"
    done = CliRunner().invoke(app, command)
    assert (done.exit_code, done.exception) == (0, None)
    assert len(list((workdir / "out").rglob("tiny_a1.argmax*.json"))) == 2
    refused = CliRunner().invoke(app, [*command, "--seed", "1"])
    assert "--grid own says what is audited" in str(refused.exception)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "it lists nothing: give \\[\\[audit\\]\\] or \\[\\[fleets\\]\\]"),
        ("audit = []", "it lists nothing"),
        (FLEETS + "models = 5\n", "'fleets.0.models' = 5"),
        (AUDIT.format('["none"]') + "seed = [1]", "unknown key 'audit.0.seed'. Did you mean 'seeds'"),
        (AUDIT.format('["none"]') + "seeds = [-1]", "seeds"),
        (AUDIT.format('["none"]') + "seeds = []", "seeds"),
        (AUDIT.format('"none"'), "defenses"),
        (AUDIT.format('["nine"]'), "No defense is called 'nine'"),
        (AUDIT.format("[]").replace('"tiny"', '"tini"'), "No victim recipe is called 'tini'"),
        ("[[audit]", "own.toml is not valid TOML"),
    ],
)
def test_a_wrong_grid_is_refused_by_name(workdir: Path, text: str, says: str) -> None:
    write(workdir, text)
    with pytest.raises(MiaSegError, match=says) as refused:
        mia.grid("own")
    assert "own.toml" in str(refused.value)
