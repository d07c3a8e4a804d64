"""The Python interface: an audit as an object, which says nothing by itself and leaves the process alone."""

from pathlib import Path

import matplotlib.figure
import pytest
from conftest import Audit as Trained

import mia_seg as mia
from mia_seg.errors import MiaSegError


@pytest.fixture
def there(audit: Trained, workdir: Path) -> mia.Audit:
    """The audit that ran on the command line, from Python."""
    return mia.audit(
        victim="tiny", shadow="tiny_a1", defenses=["none", "argmax"], attacks=["image_loss", "patch_resnet50:loss"],
        store=audit.store, reports=workdir / "reports", device="cpu",
    )  # fmt: skip


def test_what_the_command_line_made_is_reused_and_nothing_is_said(
    there: mia.Audit, audit: Trained, capfd: pytest.CaptureFixture[str]
) -> None:
    assert there.plan().missing == []
    table = there.table()
    assert len(table) == 9, "six cells; the three by patches have a second level"
    assert set(table["level"]) == {"image", "patch"}
    assert table["auc"].between(0, 1).all()
    assert list(table.columns) == list(mia.results(audit.reports).columns)
    assert table.to_csv() == mia.results(audit.reports).iloc[[*_as_in(there, audit)]].reset_index(drop=True).to_csv()
    assert capfd.readouterr() == ("", "")


def _as_in(there: mia.Audit, audit: Trained) -> list[int]:
    """Where the rows of the audit's table stand among those that were read from files."""
    keys = ["defense", "attack", "adaptive", "level"]
    found = mia.results(audit.reports)[keys].apply(tuple, axis=1).tolist()
    return [found.index(row) for row in there.table()[keys].apply(tuple, axis=1)]


@pytest.mark.parametrize("name", ["roc", "pr", "forest", "joint"])
def test_figures_are_drawn_from_the_results(there: mia.Audit, name: str) -> None:
    assert isinstance(there.figure(name), matplotlib.figure.Figure)


@pytest.mark.parametrize("repeats", [0, -1, True, 1.5, "2", 10**30])
def test_a_count_of_questions_is_a_whole_number(workdir: Path, repeats: int) -> None:
    with pytest.raises(MiaSegError, match=r"repeats = .* is no number of times|answers about scene"):
        mia.audit(victim="tiny", shadow="tiny_a1", repeats=repeats, device="cpu").plan()


def test_a_figure_that_is_none_is_refused(there: mia.Audit) -> None:
    with pytest.raises(MiaSegError, match=r"No figure is called 'rock'. There are: roc, pr, forest, joint"):
        there.figure("rock")


def test_running_writes_the_results_and_tells_who_asks(there: mia.Audit, workdir: Path) -> None:
    told: list[tuple[str, str]] = []
    assert there.run(lambda did, stage: told.append((did, stage.kind))) is there
    assert {did for did, _ in told} == {"reused"}
    assert len(there.written) == len(there.made) == 6
    assert all(path.is_file() for path in there.written)
    assert there.report() == workdir / "reports" / "index.html"


def test_mistakes_are_refused_when_the_audit_is_written_down(workdir: Path) -> None:
    with pytest.raises(MiaSegError, match="Did you mean 'tiny'"):
        mia.audit(victim="tinny", shadow="tiny_a1")
    with pytest.raises(MiaSegError, match="Did you mean 'argmax'"):
        mia.audit(victim="tiny", shadow="tiny_a1", defenses=["argmx"])
    assert not (workdir / "runs").exists()


def test_the_package_has_nothing_else() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'launch'"):
        _ = mia.launch
