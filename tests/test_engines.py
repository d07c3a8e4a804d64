"""Engines, on stages that write a line: what runs side by side, and what becomes of a plan when a process dies."""

import os
import shutil
import signal
import socket
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from conftest import Audit
from helpers_files import call
from helpers_stages import LONG, Line, until

from mia_seg import engines
from mia_seg.engines import _elsewhere, _share, _worker, ray
from mia_seg.engines._elsewhere import Elsewhere, Parcel, work
from mia_seg.engines.jobs import Jobs
from mia_seg.engines.ray import OnRay
from mia_seg.engines.slurm import OnSlurm
from mia_seg.errors import MiaSegError, Stopped, Unwritable
from mia_seg.pipeline import Pipeline
from mia_seg.stages import limits, memory
from mia_seg.stages.checks import UNDEFENDED
from mia_seg.stages.plan import Plan, key
from mia_seg.stages.run import Batch, Ending, Outcome, run
from mia_seg.store import Store
from mia_seg.workspace import Workspace

# What Python 3.12 warns of does not happen: the tests compute with one thread.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")


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
    assert not list((workspace.store.root / "lines").glob("*/made.json"))


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


def test_what_a_stage_holds_is_its_process_its_scenes_and_a_step(workdir: Path) -> None:
    there = Workspace(Store(workdir / "runs"), device="cpu")
    pipeline = Pipeline(there)
    victim = pipeline.trained_victim("tiny", 0)
    asked = pipeline.answers(victim, victim.scenes, "audited", defense=UNDEFENDED, stride=4)
    pixels, members, batch, classes = 32 * 48, 6, 3, 19
    step = pixels * batch * (20 + 8 * classes)
    assert limits.held(victim, there) == memory.PROCESS + 4 * pixels * members + step
    assert limits.held(asked, there) == memory.PROCESS + 8 * pixels * classes
    assert limits.held(Line("any"), there) == memory.PROCESS


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


@pytest.mark.parametrize(("on", "module"), [("ray", "ray"), ("ray://host", "ray"), ("slurm", "submitit")])
def test_an_engine_that_is_not_installed_is_refused(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, on: str, module: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    extra = on.partition(":")[0]
    says = rf"^--on {extra}: {module} cannot be imported \(.*\)\. Install it: pip install 'mia-seg\[{extra}\]'\.$"
    with pytest.raises(MiaSegError, match=says):
        engines.chosen(workspace, on=on)


def test_an_engine_that_nobody_knows_is_refused(workspace: Workspace) -> None:
    with pytest.raises(MiaSegError, match=r"^--on rays: choose ray, ray://HOST:PORT or slurm\.$"):
        engines.chosen(workspace, on="rays")


def test_jobs_here_and_elsewhere_exclude_each_other(workspace: Workspace) -> None:
    with pytest.raises(MiaSegError, match=r"^--jobs 2 is for this machine, and --on slurm for others\. Choose one"):
        engines.chosen(workspace, jobs=2, on="slurm")


class Near(Elsewhere):
    """Another machine that is this one."""

    width = 1

    def start(self, batch: Batch) -> None:
        self.batch = batch

    def ended(self) -> tuple[Batch, Ending]:
        return self.came_to(self.batch, work(self.parcel()))

    def parcel(self) -> Parcel:
        return Parcel.of(self.batch, self.workspace)


def test_a_parcel_is_made_where_it_arrives_and_a_users_mistake_comes_back(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    near = Near(replace(workspace, store=Store(Path("runs"))))
    outcome = run(Plan((Line("b", (Line("a"),)), Line("x", deed="wrong")), workspace.store), workspace, engine=near)
    assert outcome.failed == {key(Line("x")): "x cannot be made. Change it."}
    assert Line("b", (Line("a"),)).value(workspace.store) == "a b"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"version": "0"}, r"^Worker \S+ has mia-seg \S+, and the command is 0\. Install the same one there\.$"),
        ({"folder": "/nowhere/at/all"}, r"^Worker \S+ has no folder /nowhere/at/all, where the command was given\."),
    ],
)
def test_a_worker_that_differs_says_so(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], sentence: str
) -> None:
    near = Near(workspace)
    monkeypatch.setattr(Near, "parcel", lambda self: replace(Parcel.of(self.batch, workspace), **change))
    with pytest.raises(MiaSegError, match=sentence):
        run(Plan((Line("a"),), workspace.store), workspace, engine=near).check()


def test_a_worker_without_the_data_or_the_store_says_so(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_elsewhere, "LAG", 0.0)
    monkeypatch.setattr(_elsewhere, "POLL", 0.0)
    a = Line("a")

    def said(theirs: Workspace, *targets: Line) -> str:
        monkeypatch.setattr(Near, "parcel", lambda self: Parcel.of(self.batch, theirs))
        with pytest.raises(MiaSegError) as refused:
            run(Plan(targets, workspace.store), workspace, engine=Near(workspace)).check()
        return str(refused.value)

    assert f"has no folder {tmp_path}/data. Give a --data-root that" in said(
        replace(workspace, data_root=tmp_path / "data"), a
    )
    other = replace(workspace, store=Store(tmp_path / "other"))
    assert f"does not see in {tmp_path}/other what a.s0 needs" in said(other, a)
    other.store.root.mkdir()
    assert f"a.s0 was made, and {a.artefact(workspace.store).path} is not there" in said(other, a)
    run(Plan((a,), workspace.store), workspace)
    shutil.rmtree(other.store.root)
    other.store.root.mkdir()
    assert f"does not see in {tmp_path}/other what b.s0 needs" in said(other, Line("b", (a,)))


def test_a_worker_that_was_told_to_stop_is_followed_by_another(workspace: Workspace) -> None:
    near = Near(workspace)
    batch = [Line("a")]
    assert near.came_to(batch, Stopped("Its time is up.")) == (batch, Ending(again=True))
    with pytest.raises(Unwritable):
        near.came_to([Line("a")], Unwritable("The disk is full."))


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # of submitit's own logs
def test_slurm_is_given_what_is_ready_as_one_array(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    submitit = pytest.importorskip("submitit")
    sizes = list[int]()
    submit = submitit.local.debug.DebugExecutor._internal_process_submissions
    monkeypatch.setattr(
        submitit.local.debug.DebugExecutor, "_internal_process_submissions",
        lambda self, delayed: sizes.append(len(delayed)) or submit(self, delayed),
    )  # fmt: skip
    one, two = (Line(word, (Line("a"),)) for word in ("one", "two"))
    last = Line("last", (one, two))
    engine = OnSlurm(workspace, cluster="debug")
    run(Plan((last,), workspace.store), workspace, engine=engine).check()
    assert sizes == [1, 2, 1]
    assert last.value(workspace.store) == "a one a two last"


def test_without_slurm_the_command_is_refused(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("submitit")
    monkeypatch.setenv("PATH", "")
    engine = engines.chosen(workspace, on="slurm")
    with pytest.raises(MiaSegError, match=r"^--on slurm: there is no command 'srun' here\."):
        run(Plan((Line("a"),), workspace.store), workspace, engine=engine)


def test_a_plan_that_is_whole_starts_no_engine(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    run(Plan((Line("a"),), workspace.store), workspace)
    monkeypatch.setattr(OnRay, "connect", lambda _: pytest.fail("started"))
    run(Plan((Line("a"),), workspace.store), workspace, engine=OnRay(workspace, None)).check()


def test_where_no_cluster_of_ray_answers_the_command_is_refused(workspace: Workspace) -> None:
    pytest.importorskip("ray")
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # nobody listens there
        address = f"ray://127.0.0.1:{held.getsockname()[1]}"
        with pytest.raises(MiaSegError, match=f"^--on {address}: no Ray cluster answers there"):
            run(Plan((Line("a"),), workspace.store), workspace, engine=engines.chosen(workspace, on=address))


def test_ray_makes_each_stage_and_goes_on_where_a_process_dies(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray")
    for name, value in ray.QUIET.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([str(Path(engines.__file__).parents[2]), str(Path(__file__).parent)])
    )
    before = signal.getsignal(signal.SIGTERM)
    targets = Line("needs", (Line("killed", deed="die_once"), Line("free"))), Line("x", deed="wrong")
    try:
        outcome = run(Plan(targets, workspace.store), workspace, engine=OnRay(workspace, None))
    finally:
        signal.signal(signal.SIGTERM, before)
    assert outcome.failed == {key(targets[1]): "x cannot be made. Change it."}
    assert targets[0].value(workspace.store) == "killed free needs"
    assert not (tmp_path / ".ray").exists(), "nothing is left in the home folder"


def _alive(pid: int) -> bool:
    """Whether a process is at work: one that nobody waited for yet is not."""
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
