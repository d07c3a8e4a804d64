"""Engines, on stages that write a line: what runs side by side, and what becomes of a plan when a process dies."""

import os
import signal
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from conftest import Audit
from helpers_files import call

from mia_seg import engines
from mia_seg.engines import _share, _worker
from mia_seg.engines.jobs import Jobs
from mia_seg.errors import MiaSegError, Stopped, Unwritable
from mia_seg.stages import Stage, limits
from mia_seg.stages.plan import Plan, key
from mia_seg.stages.run import Outcome, run
from mia_seg.store import Draft, Store
from mia_seg.workspace import Workspace

# What Python 3.12 warns of does not happen: the tests compute with one thread.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
LONG = 60.0  # seconds that nothing here waits for unless it hangs


@dataclass(frozen=True, eq=False)
class Line(Stage[str]):
    """Its own word and those of the stages that it needs. deed: what it does on the way."""

    kind = "lines"

    word: str
    before: tuple["Line", ...] = ()
    deed: str = ""

    @property
    def name(self) -> str:
        return f"{self.word}.s0"

    def inputs(self) -> dict[str, Any]:
        return {"word": self.word, "before": list(self.before)}

    def make(self, draft: Draft, workspace: Workspace) -> None:
        print(f"{self.word} begins")
        if self.deed:
            DEEDS[self.deed](workspace.store.root / "met", self.word)
        words = [other.value(workspace.store) for other in self.before]
        (draft.folder / "line").write_text(" ".join([*words, self.word]))
        (draft.folder / "threads").write_text(os.environ["OMP_NUM_THREADS"])

    def load(self, folder: Path) -> str:
        return (folder / "line").read_text()


def die(met: Path, word: str) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_once(met: Path, word: str) -> None:
    if not (met / word).exists():
        arrive(met, word)
        die(met, word)


def meet(met: Path, word: str) -> None:
    """Go on once another stage is at work, too."""
    arrive(met, word)
    until(lambda: len(list(met.glob("meet*"))) == 2)


def alone(met: Path, word: str) -> None:
    """Whoever is met here is made beside this."""
    (met / "inside").mkdir(parents=True)
    time.sleep(0.2)
    (met / "inside").rmdir()


def wrong(met: Path, word: str) -> None:
    raise MiaSegError(f"{word} cannot be made. Change it.")


def full(met: Path, word: str) -> None:
    raise Unwritable("The disk is full.")


def bug(met: Path, word: str) -> None:
    raise KeyError(word)


def hang(met: Path, word: str) -> None:
    arrive(met, word)
    time.sleep(LONG)


DEEDS = {f.__name__: f for f in (die, die_once, meet, alone, wrong, full, bug, hang)}


def arrive(met: Path, word: str) -> None:
    met.mkdir(parents=True, exist_ok=True)
    (met / word).touch()


def until(true: Any) -> None:
    end = time.monotonic() + LONG
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


@pytest.fixture(autouse=True)
def _forks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that need not load PyTorch again, on a machine of two cores."""
    monkeypatch.setattr(_worker, "START", "fork")
    monkeypatch.setattr(_share, "_cores", lambda: 2)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(Store(tmp_path / "runs"), device="cpu")


def carried(workspace: Workspace, *stages: Line, told: list[str] | None = None) -> Outcome:
    said = [] if told is None else told
    return run(
        Plan(stages, workspace.store), workspace, lambda did, stage: said.append(f"{did} {stage.name}"),
        engine=Jobs(workspace, 2),
    )  # fmt: skip


def test_stages_that_do_not_need_each_other_are_made_side_by_side(workspace: Workspace) -> None:
    a = Line("a")
    one, two = (Line(f"meet {word}", (a,), "meet") for word in ("one", "two"))
    last, told = Line("last", (one, two)), list[str]()
    carried(workspace, last, told=told).check()
    assert last.value(workspace.store) == "a meet one a meet two last"
    assert told[0] == "made a.s0"
    assert sorted(told[1:3]) == ["made meet one.s0", "made meet two.s0"]
    assert told[3:] == ["made last.s0"]
    place = last.artefact(workspace.store)
    assert (place.path / "threads").read_text() == "1"
    assert not list((workspace.store.root / "work").iterdir()), "the logs of what is whole are gone"
    again = list[str]()
    carried(workspace, last, told=again)
    assert again == ["reused a.s0", "reused meet one.s0", "reused meet two.s0", "reused last.s0"]


def test_a_killed_process_costs_its_stage_another_try(workspace: Workspace) -> None:
    stages = Line("first"), Line("killed", deed="die_once"), Line("other")
    told = list[str]()
    carried(workspace, *stages, told=told).check()
    assert sorted(told) == ["made first.s0", "made killed.s0", "made other.s0"]
    assert told[-1] == "made killed.s0", "by itself, after the others"


def test_a_stage_whose_process_is_killed_twice_fails_alone(workspace: Workspace) -> None:
    dead = Line("dead", deed="die")
    outcome = carried(workspace, dead, Line("needs", (dead,)), Line("free"))
    log = dead.artefact(workspace.store).scratch / "stage.log"
    assert outcome.failed == {
        key(dead): "dead.s0: its process was ended (SIGKILL), and ended again when it ran by itself, as where memory "
        f"runs out. Lower batch, crop or [data] size; what it printed is in {log}."
    }
    assert outcome.left == [key(Line("needs", (dead,)))]
    assert Line("free").value(workspace.store) == "free"
    assert log.read_text() == "dead begins\n" * 2


def test_a_users_mistake_fails_its_stage_alone_and_is_not_tried_again(workspace: Workspace) -> None:
    outcome = carried(workspace, Line("x", deed="wrong"), Line("free"))
    with pytest.raises(MiaSegError, match=r"^x cannot be made\. Change it\.$"):
        outcome.check()
    log = Line("x").artefact(workspace.store).scratch / "stage.log"
    assert log.read_text() == "x begins\n"
    assert Line("free").artefact(workspace.store).whole


def test_a_bug_stops_all_and_says_where_it_is(workspace: Workspace) -> None:
    with pytest.raises(RuntimeError, match=r"(?s)in bug.*KeyError: 'x'"):
        carried(workspace, Line("x", deed="bug"))


def test_a_full_disk_stops_all(workspace: Workspace) -> None:
    with pytest.raises(Unwritable, match="The disk is full"):
        carried(workspace, Line("full", deed="full"), Line("hangs", deed="hang"))
    assert not list((workspace.store.root / "lines").iterdir())


@pytest.mark.parametrize(("number", "raised"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Stopped)])
def test_who_stops_the_first_process_stops_all_and_the_same_goes_on(
    workspace: Workspace, number: int, raised: type[BaseException]
) -> None:
    hangs, met = Line("hangs", deed="hang"), workspace.store.root / "met"

    def interrupt() -> None:
        until((met / "hangs").exists)
        os.kill(os.getpid(), number)

    before = signal.getsignal(signal.SIGTERM)
    one = threading.Thread(target=interrupt)
    one.start()
    began = time.monotonic()
    with pytest.raises(raised):
        carried(workspace, hangs)
    one.join()
    assert time.monotonic() - began < LONG, "nobody waits for what hangs"
    assert signal.getsignal(signal.SIGTERM) is before
    assert not hangs.artefact(workspace.store).whole
    carried(workspace, Line("hangs")).check()
    assert [path.name for path in (workspace.store.root / "lines").iterdir()] == [
        hangs.artefact(workspace.store).path.name
    ]


def test_workers_stop_once_the_first_process_is_no_more(workspace: Workspace) -> None:
    met = workspace.store.root / "met"
    first = os.fork()
    if not first:
        try:
            carried(workspace, Line("hangs", deed="hang"))
        finally:
            os._exit(1)  # or it would go on with the tests
    until((met / "hangs").exists)
    (draft,) = (workspace.store.root / "lines").iterdir()
    worker = int(draft.name.split(".")[-3])
    os.kill(first, signal.SIGKILL)
    os.waitpid(first, 0)
    until(lambda: not _alive(worker))


def test_what_memory_does_not_hold_together_is_made_one_after_the_other(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "held", lambda stage, _: 3 if stage.deed else 1)
    monkeypatch.setattr(_share, "memory", lambda: 5)
    carried(workspace, *(Line(word, deed="alone") for word in "abc")).check()
    monkeypatch.setattr(_share, "memory", lambda: 2)
    carried(workspace, Line("larger than all", deed="alone")).check()


def test_processes_are_dealt_threads_and_devices(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_share, "_cores", lambda: 8)
    monkeypatch.setattr(_share.torch, "get_num_threads", lambda: 8)
    assert [_share.Share(workspace, count).threads for count in (2, 3, 8)] == [4, 2, 1]
    monkeypatch.setattr(_share, "_accelerators", lambda: (["4", "7"], 5))
    monkeypatch.setattr(limits, "held", lambda *_: 3)
    share = _share.Share(replace(workspace, device="cuda"), 3)
    assert [share.environment(place)["CUDA_VISIBLE_DEVICES"] for place in range(3)] == ["4", "7", "4"]
    batch = [Line("a")]
    assert share.place(batch, {0: batch}) == 1, "a device of its own"
    assert share.place(batch, {0: batch, 1: batch}) is None, "beside the first there is no room"


@pytest.mark.parametrize(
    ("devices", "jobs", "sentence"),
    [
        (1, 3, r"--jobs 3: this machine has 2 cores. Choose a number from 1 to 2."),
        (2, 2, r"--jobs 2 makes several stages at once, and several devices .* Choose one of the two."),
    ],
)
def test_jobs_that_cannot_be_are_refused(workspace: Workspace, devices: int, jobs: int, sentence: str) -> None:
    with pytest.raises(MiaSegError, match=sentence):
        engines.chosen(replace(workspace, devices=devices), jobs=jobs)


def test_one_job_is_this_process(workspace: Workspace) -> None:
    assert engines.chosen(workspace, jobs=1) is None


def test_the_command_line_trains_several_at_once_to_the_same_bits(audit: Audit, workdir: Path) -> None:
    ran = call("train-victim", "tiny", "--seed", "0", "--seed", "1", "--jobs", "2", "--device", "cpu")
    assert ran.code == 0, ran.err
    assert sorted(line.split(" (")[0].strip() for line in ran.err.splitlines() if "trained" in line) == [
        "trained victim tiny, seed 0",
        "trained victim tiny, seed 1",
    ]
    (alone,) = (audit.store / "victims").glob("tiny.s0-*/model.safetensors")
    beside = workdir / alone.relative_to(audit.folder)
    assert beside.read_bytes() == alone.read_bytes()


@pytest.mark.parametrize("jobs", ["0", "-1", "two"])
def test_a_number_of_jobs_is_a_number_from_one(workdir: Path, jobs: str) -> None:
    ran = call("train-victim", "tiny", "--jobs", jobs)
    assert ran.code == 2
    assert "Invalid value for '--jobs'" in ran.err


def _alive(pid: int) -> bool:
    """Whether a process is at work: one that nobody waited for yet is not."""
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
