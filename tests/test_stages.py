"""Stages, plans and runs, on stages that write a line: what is made, in which order, and what a fault leaves undone."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Any, Self

import pytest

from mia_seg.errors import MiaSegError, Stopped, Unwritable
from mia_seg.stages import Stage
from mia_seg.stages import run as runs
from mia_seg.stages.plan import Plan, key
from mia_seg.stages.run import run
from mia_seg.stages.sources import once
from mia_seg.store import Draft, Store, digest
from mia_seg.workspace import Workspace


@dataclass(frozen=True, eq=False)
class Line(Stage[str]):
    """Its own word and those of the stages that it needs."""

    kind = "lines"

    word: str
    before: tuple["Line", ...] = ()
    fault: Exception | None = None
    made: list[str] = field(default_factory=list)
    beside: str | None = None

    @property
    def name(self) -> str:
        return f"{self.word}.s0"

    def inputs(self) -> dict[str, Any]:
        return {"word": self.word, "before": list(self.before)}

    @property
    def together(self) -> Hashable:
        return self.beside or self.digest

    @classmethod
    def make_together(cls, stages: Sequence[Self], drafts: Sequence[Draft], workspace: Workspace) -> None:
        stages[0].made.append("+".join(stage.word for stage in stages))
        super().make_together(stages, drafts, workspace)

    def make(self, draft: Draft, workspace: Workspace) -> None:
        if self.fault is not None:
            raise self.fault
        words = [other.value(workspace.store) for other in self.before]
        (draft.folder / "line").write_text(" ".join([*words, self.word]))

    def load(self, folder: Path) -> str:
        return (folder / "line").read_text()


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(Store(tmp_path / "runs"))


def diamond(made: list[str], fault: Exception | None = None) -> dict[str, Line]:
    """a -> b, c -> d; b may fail."""
    a = Line("a", made=made)
    b, c = Line("b", (a,), fault, made), Line("c", (a,), made=made)
    return {"a": a, "b": b, "c": c, "d": Line("d", (b, c), made=made)}


def test_a_digest_is_that_of_the_inputs_and_a_stages_digest_stands_for_it() -> None:
    a = Line("a")
    assert a.digest == digest({"word": "a", "before": []})
    assert Line("b", (a,)).digest == digest({"word": "b", "before": [a.digest]})
    assert Line("b", (Line("a"),)).digest == Line("b", (a,)).digest, "an equal stage is the same input"
    assert Line("b", (Line("x"),)).digest != Line("b", (a,)).digest


def test_each_stage_is_made_once_after_what_it_needs(workspace: Workspace) -> None:
    made: list[str] = []
    stages = diamond(made)
    told: list[tuple[str, str]] = []
    plan = Plan((stages["d"], stages["b"]), workspace.store)
    run(plan, workspace, lambda did, stage: told.append((did, stage.name)))
    assert made == ["a", "b", "c", "d"]
    assert stages["d"].value(workspace.store) == "a b a c d"
    assert told == [("made", f"{word}.s0") for word in "abcd"]


def test_equal_stages_are_one_step(workspace: Workspace) -> None:
    plan = Plan((Line("b", (Line("a"),)), Line("c", (Line("a"),))), workspace.store)
    assert [stage.name for stage in plan.stages] == ["a.s0", "b.s0", "c.s0"]


def test_stages_of_one_digest_and_two_names_are_both_made(workspace: Workspace) -> None:
    """Two recipes that say the same, in one request."""

    class Named(Line):
        @property
        def name(self) -> str:
            return self.beside or ""

    first, second = Named("x", beside="one"), Named("x", beside="two")
    assert first.digest == second.digest
    run(Plan((first, second), workspace.store), workspace)
    assert [stage.value(workspace.store) for stage in (first, second)] == ["x", "x"]


def test_a_graph_may_be_deeper_than_the_stack(workspace: Workspace) -> None:
    last = Line("0")
    for k in range(1, 3000):
        last = Line(str(k), (last,))
    stages = Plan((last,), workspace.store).stages
    assert [stage.name for stage in stages] == [f"{k}.s0" for k in range(3000)]


def test_what_is_whole_is_reused_and_what_nothing_missing_needs_is_not_made(workspace: Workspace) -> None:
    made: list[str] = []
    stages = diamond(made)
    run(Plan((stages["b"],), workspace.store), workspace)
    plan = Plan((stages["b"], stages["c"]), workspace.store)
    assert plan.states == {
        key(stages[word]): state for word, state in (("a", "whole"), ("b", "whole"), ("c", "missing"))
    }
    told: list[tuple[str, str]] = []
    run(plan, workspace, lambda did, stage: told.append((did, stage.name)))
    assert made == ["a", "b", "c"]
    assert told == [("reused", "a.s0"), ("reused", "b.s0"), ("made", "c.s0")]
    last = Line("e", (Line("gone"), stages["c"]))
    (last.artefact(workspace.store).store.root / "x").mkdir()
    other = Line("gone")
    run(Plan((last,), workspace.store), workspace)
    for file in sorted(other.artefact(workspace.store).path.rglob("*"), reverse=True):
        file.unlink()
    other.artefact(workspace.store).path.rmdir()
    assert Plan((last,), workspace.store).states[key(other)] == "unused"


def test_where_a_stage_fails_the_rest_that_does_not_need_it_goes_on(workspace: Workspace) -> None:
    made: list[str] = []
    stages = diamond(made, MiaSegError("b cannot be made. Change it."))
    outcome = run(Plan((stages["d"], Line("e", made=made)), workspace.store), workspace)
    assert made == ["a", "b", "c", "e"]
    assert not stages["d"].artefact(workspace.store).whole
    with pytest.raises(MiaSegError, match=r"^b cannot be made. Change it. 1 later stage needs it and was left out.$"):
        outcome.check()


def test_where_all_that_was_asked_for_fails_stages_are_not_counted(workspace: Workspace) -> None:
    stages = diamond([], MiaSegError("b cannot be made. Change it."))
    with pytest.raises(MiaSegError, match=r"^b cannot be made. Change it.$"):
        run(Plan((stages["d"],), workspace.store), workspace).check()


def test_several_faults_are_all_told(workspace: Workspace) -> None:
    faults = [Line(word, fault=MiaSegError(f"{word} is wrong.")) for word in "xy"]
    with pytest.raises(MiaSegError, match=r"^2 stages failed\. 1 later stage.*\n.*: x is wrong\.\n.*: y is wrong\.$"):
        run(Plan((*faults, Line("z", (faults[0],))), workspace.store), workspace).check()


@pytest.mark.parametrize("fault", [Stopped("asked to stop"), Unwritable("the disk is full"), KeyboardInterrupt()])
def test_what_stops_everything_stops_at_once(workspace: Workspace, fault: Exception) -> None:
    made: list[str] = []
    stages = diamond(made, fault)
    with pytest.raises(type(fault)):
        run(Plan((stages["d"], Line("e", made=made)), workspace.store), workspace)
    assert made == ["a", "b"]
    assert stages["a"].artefact(workspace.store).whole


def test_stages_of_one_pass_are_made_in_it_once_all_they_need_is_there(workspace: Workspace) -> None:
    made: list[str] = []
    a = Line("a", made=made)
    one, two = (Line(word, made=made, beside="pass") for word in ("one", "two"))
    late = Line("late", (a,), made=made, beside="pass")
    run(Plan((one, late, two), workspace.store), workspace)
    assert made == ["one+two", "a", "late"], "a stage whose input is missing waits for a pass of its own"
    assert late.value(workspace.store) == "a late"


def test_costs_are_those_of_the_stage_or_of_one_like_it(workspace: Workspace) -> None:
    run(Plan((Line("a"),), workspace.store), workspace)
    steps = Plan((Line("a"), Line("a", (Line("b"),))), workspace.store).steps()
    assert [(step.stage.name, step.state, step.exact) for step in steps] == [
        ("a.s0", "whole", True),
        ("b.s0", "missing", False),  # of the kind
        ("a.s0", "missing", False),  # of the name
    ]
    assert [step.size for step in steps] == [1, 1, 1]
    assert Plan((Line("a"),), Store(workspace.store.root / "empty")).steps()[0].seconds is None


def test_a_process_that_is_not_the_first_only_joins_what_devices_share(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Shared(Line):
        joint = True

    a = Line("a")
    made: list[str] = []
    shared = Shared("shared", (a,), MiaSegError("joined"), made)
    monkeypatch.setattr(runs, "rank", lambda: 1)
    monkeypatch.setattr(runs, "POLL", 0.01)
    started = Thread(
        target=lambda: workspace.store.make([a.artefact(workspace.store)], lambda d: a.make(d[0], workspace))
    )
    started.start()  # the first process makes what comes before
    with pytest.raises(MiaSegError, match="joined"):
        run(Plan((shared, Line("later")), workspace.store), workspace)
    started.join()
    assert not Line("later").artefact(workspace.store).whole
    monkeypatch.setattr(Shared, "make", lambda *_: made.append("took part"))
    assert not run(Plan((shared, Line("later")), workspace.store), workspace).first
    assert made == ["took part"]


def test_what_is_built_twice_is_the_same() -> None:
    class Builder:
        @once
        def part(self, name: str, *, size: int = 0) -> list[str]:
            return [name] * size

    first, second = Builder(), Builder()
    assert first.part("a", size=2) is first.part("a", size=2)
    assert first.part("a", size=2) is not first.part("a", size=3)
    assert first.part("a", size=2) is not second.part("a", size=2)
