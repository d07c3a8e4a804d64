"""The store: the same inputs are the same folder, only whole work appears, and nothing altered is read."""

import errno
import fcntl
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import filelock
import pytest
from helpers_files import halves

from mia_seg import store as store_
from mia_seg.errors import MiaSegError, Unwritable
from mia_seg.store import Artefact, Draft, Store, _files, _locks, digest, replace, write_json, writing

INPUTS = {"recipe": "abc", "seed": 0, "window": {"size": [3, 4], "overlap": 0.5}, "none": None}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs")


@pytest.fixture
def artefact(store: Store) -> Artefact:
    return store.artefact("victims", "tiny.s0", INPUTS)


def write(drafts: Sequence[Draft]) -> None:
    for draft in drafts:
        (draft.folder / "weights").write_text("w")
        (draft.folder / "log").write_text("l")


def full(monkeypatch: pytest.MonkeyPatch, number: int = errno.ENOSPC) -> None:
    """From now on, a file takes half of what is written into it."""
    write_bytes = Path.write_bytes

    def half(path: Path, content: bytes) -> int:
        write_bytes(path, content[: len(content) // 2])
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "write_bytes", half)


# Places and digests.


def test_the_same_inputs_give_the_same_folder(store: Store) -> None:
    turned = dict(reversed(INPUTS.items()))
    first = store.artefact("victims", "tiny.s0", INPUTS)
    assert first.path == store.artefact("victims", "tiny.s0", turned).path
    assert first.path == store.root / "victims" / f"tiny.s0-{digest(INPUTS)}"


@pytest.mark.parametrize(
    "changed", [{"seed": 1}, {"recipe": "abd"}, {"window": {"size": [4, 3], "overlap": 0.5}}, {"more": 0}]
)
def test_any_other_input_gives_another_folder(store: Store, changed: dict[str, object]) -> None:
    assert store.artefact("v", "n", INPUTS).path != store.artefact("v", "n", INPUTS | changed).path


def test_digests_are_those_of_every_version() -> None:
    """Known answers, by `sha256sum` of the canonical text: with others, no store would ever be found again."""
    assert digest(INPUTS) == "ae14816182e4"  # {"none": null, "recipe": "abc", "seed": 0, "window": {"overlap": 0.5, ...
    assert digest([0, 1.5, "é", True, None]) == "8e75e8ea03ef"  # [0, 1.5, "\u00e9", true, null]


# Making.


def test_made_is_whole_and_keeps_what_shaped_it_and_what_it_holds(store: Store, artefact: Artefact) -> None:
    seen = []

    def build(drafts: Sequence[Draft]) -> None:
        write(drafts)
        seen.append((artefact.whole, artefact.path.exists(), drafts[0].folder.parent))

    assert store.make([artefact], build) == [artefact]
    assert seen == [(False, False, artefact.path.parent)], "nothing stands in its place before it is whole"
    assert artefact.whole
    made = json.loads((artefact.path / "made.json").read_text())
    hashes = {name: hashlib.sha256(name[0].encode()).hexdigest() for name in ("log", "weights")}
    assert made == {"format": 2, "inputs": INPUTS, "files": {name: [1, known] for name, known in hashes.items()}}
    assert artefact.check() == artefact.path
    assert [path.name for path in artefact.path.parent.iterdir()] == [artefact.path.name]
    (row,) = store.journal()
    assert (row["kind"], row["name"], row["digest"], row["bytes"]) == ("victims", "tiny.s0", artefact.digest, 2)


def test_what_is_whole_is_not_made_again(store: Store, artefact: Artefact) -> None:
    store.make([artefact], write)
    other = store.artefact("victims", "other", {})
    built: list[list[str]] = []

    def build(drafts: Sequence[Draft]) -> None:
        built.append([draft.artefact.name for draft in drafts])
        write(drafts)

    assert store.make([artefact, other], build) == [other]
    assert store.make([artefact, other], build) == []
    assert built == [["other"]]


@pytest.mark.parametrize("fault", [KeyboardInterrupt, MiaSegError, RuntimeError, SystemExit])
def test_interrupted_work_leaves_its_scratch_and_nothing_else(
    store: Store, artefact: Artefact, fault: type[BaseException]
) -> None:
    def stop(drafts: Sequence[Draft]) -> None:
        (drafts[0].folder / "weights").write_text("half")
        (drafts[0].scratch / "state").write_text("so far")
        raise fault("stop")

    with pytest.raises(fault):
        store.make([artefact], stop)
    assert not artefact.whole
    assert not list(halves(store.root))

    def go_on(drafts: Sequence[Draft]) -> None:
        assert list(drafts[0].folder.iterdir()) == []
        assert (drafts[0].scratch / "state").read_text() == "so far"
        write(drafts)

    store.make([artefact], go_on)
    assert artefact.whole
    assert not artefact.scratch.exists()


@contextmanager
def unlocked(*_: Any) -> Any:
    yield


def test_without_any_lock_one_of_two_writers_is_kept_whole_and_the_other_uses_it(
    store: Store, artefact: Artefact, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is said of a file system whose locks do nothing."""
    monkeypatch.setattr(store_, "locked", unlocked)
    together, made = Barrier(2), {}

    def writer(letter: str) -> None:
        def build(drafts: Sequence[Draft]) -> None:
            for name in ("first", "second"):
                (drafts[0].folder / name).write_text(1000 * letter)
                together.wait(5)

        made[letter] = store.make([artefact], build)

    threads = [Thread(target=writer, args=(letter,)) for letter in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = (letter for letter, found in made.items() if found)
    assert {path.read_text() for path in artefact.check().glob("*d*") if path.name == "second"} == {1000 * winner}
    assert (artefact.path / "first").read_text() == 1000 * winner
    assert not list(halves(store.root))


MAKER = """
import sys, time
from pathlib import Path
from mia_seg.store import Store
store = Store(Path(sys.argv[1]))
artefact = store.artefact("victims", "tiny.s0", {"seed": 0})
def build(drafts):
    (drafts[0].scratch / "begun").write_text("b")
    (drafts[0].folder / "who").write_text(sys.argv[2])
    print("begun", flush=True)
    time.sleep(float(sys.argv[3]))
store.make([artefact], build, lambda artefact: print("waiting", flush=True))
print("made by " + (artefact.check() / "who").read_text(), flush=True)
"""


def maker(store: Store, who: str, seconds: float) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", MAKER, str(store.root), who, str(seconds)],
        cwd=Path(__file__).parents[1], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_two_processes_make_one_artefact_once(store: Store) -> None:
    first = maker(store, "first", 0.7)
    assert first.stdout is not None
    assert first.stdout.readline() == "begun\n"
    second = maker(store, "second", 0)
    assert first.communicate()[0] == "made by first\n"
    assert second.communicate()[0] == "waiting\nmade by first\n"
    assert len(store.journal()) == 1


def test_a_killed_process_leaves_nothing_half_and_holds_nobody_up(store: Store) -> None:
    killed = maker(store, "killed", 60)
    assert killed.stdout is not None
    assert killed.stdout.readline() == "begun\n"
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    artefact = store.artefact("victims", "tiny.s0", {"seed": 0})
    assert not artefact.whole
    assert (artefact.scratch / "begun").is_file()
    assert len(list(halves(store.root))) == 1
    out, err = maker(store, "next", 0).communicate()
    assert out == "begun\nmade by next\n", err
    assert not list(halves(store.root)), "the draft of a process that is no more"


@pytest.mark.parametrize(
    "says",
    [NotImplementedError("no flock"), *(OSError(number, "no flock") for number in sorted(_locks.NO_LOCKS))],
    ids=repr,
)
def test_where_files_cannot_be_locked_a_lease_is_taken(
    store: Store, artefact: Artefact, monkeypatch: pytest.MonkeyPatch, says: Exception
) -> None:
    seen = []

    def build(drafts: Sequence[Draft]) -> None:
        seen.append((artefact.lock.with_suffix(".lease").is_file(), _locks.is_locked(artefact.lock)))
        write(drafts)

    without_locks(monkeypatch, says)
    assert store.make([artefact], build) == [artefact]
    assert seen == [(True, True)]
    assert not _locks.is_locked(artefact.lock)


def without_locks(monkeypatch: pytest.MonkeyPatch, says: Exception) -> None:
    """A file system that does not know flock."""

    def refuse(*_: Any) -> None:
        raise says

    monkeypatch.setattr(fcntl, "flock", refuse)


def test_a_lock_that_is_refused_for_another_reason_is_no_missing_one(
    store: Store, artefact: Artefact, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_locks(monkeypatch, OSError(errno.EIO, "Input/output error"))
    with pytest.raises(OSError, match="Input/output"):
        store.make([artefact], write)


def test_a_lease_of_a_killed_process_runs_out(
    store: Store, artefact: Artefact, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_locks(monkeypatch, OSError(errno.ENOSYS, "no flock"))
    monkeypatch.setattr(_locks, "LEASE", 0.5)
    artefact.lock.parent.mkdir(parents=True)
    held = filelock.SoftFileLease(artefact.lock.with_suffix(".lease"), lease_duration=0.5, heartbeat_interval=0.1)
    held.acquire()
    kept = artefact.lock.with_suffix(".lease").read_bytes()
    held.release()
    artefact.lock.with_suffix(".lease").write_bytes(kept)  # of a holder that is no more: nobody renews it
    assert _locks.is_locked(artefact.lock)
    started = time.monotonic()
    assert store.make([artefact], write) == [artefact]
    assert time.monotonic() - started < 10


def test_a_lease_that_nobody_renewed_for_long_is_nobodys(artefact: Artefact) -> None:
    lease = artefact.lock.with_suffix(".lease")
    lease.parent.mkdir(parents=True)
    lease.write_text("of another host")
    with _locks.if_free(artefact.lock) as free:
        assert not free
    os.utime(lease, (time.time() - 2 * _locks.ABANDONED,) * 2)
    with _locks.if_free(artefact.lock) as free:
        assert free
    assert not lease.exists()


# Reading.


def alter(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    os.utime(path, ns=(0, 1))  # a clock that ticks slowly would show the time that it had


def listed(folder: Path, files: object) -> None:
    write_json(folder / "made.json", {"format": 2, "inputs": INPUTS, "files": files})


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "another byte": (lambda f: alter(f / "weights"), "weights holds other bytes than were written"),
    "a lost byte": (lambda f: (f / "weights").write_bytes(b""), "weights has 0 bytes, and 1 were written"),
    "a lost file": (lambda f: (f / "log").unlink(), "log is not one of the files that were written, or is missing"),
    "another file": (lambda f: (f / "more").write_text(""), "more is not one of the files that were written"),
    "other inputs": (
        lambda f: (f / "made.json").write_text((f / "made.json").read_text().replace("abc", "abd")),
        "made.json was made from other inputs",
    ),
    "no JSON": (lambda f: alter(f / "made.json"), "made.json is no whole file"),
    "other JSON": (lambda f: (f / "made.json").write_text("[]"), "made.json is no whole file"),
    "no list": (lambda f: listed(f, None), "made.json does not say which files were written"),
    "no hashes": (lambda f: listed(f, {"log": 1}), "made.json does not say which files were written"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_what_was_altered_is_refused_by_its_name(store: Store, artefact: Artefact, case: str) -> None:
    store.make([artefact], write)
    artefact.check()
    damage, says = DAMAGE[case]
    damage(artefact.path)
    with pytest.raises(MiaSegError, match=says) as refused:
        artefact.check()
    assert f"mia-seg store rm victims/{artefact.path.name}" in str(refused.value)


def test_files_in_folders_are_kept_and_a_damaged_one_says_what_to_remove(store: Store, artefact: Artefact) -> None:
    def build(drafts: Sequence[Draft]) -> None:
        (drafts[0].folder / "maps" / "deep").mkdir(parents=True)
        (drafts[0].folder / "maps" / "deep" / "one").write_text("1")

    store.make([artefact], build)
    alter(artefact.check() / "maps" / "deep" / "one")
    with pytest.raises(MiaSegError, match=rf"deep/one holds other.*mia-seg store rm victims/{artefact.path.name} --"):
        artefact.check()


def test_each_file_that_cannot_be_read_is_named(
    store: Store, artefact: Artefact, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.make([artefact], write)

    def refuse(path: Path, *_: Any, **__: Any) -> str:
        raise PermissionError(errno.EACCES, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(store_, "hash_of", refuse)
        with pytest.raises(MiaSegError, match=r"log cannot be read \(Permission denied\)"):
            artefact.check()
    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(MiaSegError, match=r"(store|made)\.json cannot be read \(Permission denied\)"):
        assert artefact.whole


def test_a_file_is_read_once_a_process_and_again_when_it_changed(
    store: Store, artefact: Artefact, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.make([artefact], write)
    read: list[str] = []
    monkeypatch.setattr(store_, "hash_of", lambda path: read.append(path.name) or _files.hash_of(path))
    for _ in range(2):
        artefact.check()
    assert read == ["log", "weights"]
    content = (artefact.path / "log").read_bytes()
    (artefact.path / "log").write_bytes(content)
    os.utime(artefact.path / "log", ns=(0, 1))
    artefact.check()
    assert read == ["log", "weights", "log"]


def test_what_is_not_there_cannot_be_read(artefact: Artefact) -> None:
    with pytest.raises(MiaSegError, match=r"is not there. Run the command that makes it again"):
        artefact.check()


def test_a_whole_store_can_be_read_where_nothing_can_be_written(
    store: Store, artefact: Artefact, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.make([artefact], write)
    full(monkeypatch, errno.EROFS)
    assert artefact.whole
    assert artefact.check() == artefact.path


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.ENOSPC])
def test_what_is_whole_is_not_even_locked(
    store: Store, artefact: Artefact, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.make([artefact], write)
    plain = os.open

    def read_only(path: Any, flags: int, *more: Any, **named: Any) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            raise OSError(number, os.strerror(number), str(path))
        return plain(path, flags, *more, **named)

    monkeypatch.setattr(os, "open", read_only)
    assert store.make([artefact], lambda drafts: pytest.fail("hours of work")) == []
    with pytest.raises(Unwritable, match=os.strerror(number)):
        store.make([store.artefact("victims", "other", {})], write)


def test_one_that_is_asked_for_twice_is_made_once(store: Store, artefact: Artefact) -> None:
    assert store.make([artefact, store.artefact("victims", "tiny.s0", INPUTS)], write) == [artefact]


def test_equal_inputs_under_two_names_do_not_wait_for_each_other(store: Store) -> None:
    assert len(store.make([store.artefact("victims", name, INPUTS) for name in "ab"], write)) == 2


@pytest.mark.parametrize("value", [(1, 2), {"deeper": ((1,), 2)}, float("nan")], ids=str)
def test_inputs_that_json_writes_otherwise_are_known_again(store: Store, value: Any) -> None:
    store.make([store.artefact("victims", "tiny", {"x": value})], write)
    assert store.artefact("victims", "tiny", {"x": value}).whole


@pytest.mark.parametrize("made", [INPUTS, {"format": 3, "inputs": INPUTS, "files": {}}], ids=["older", "newer"])
def test_what_another_version_wrote_is_refused(store: Store, artefact: Artefact, made: dict[str, Any]) -> None:
    artefact.path.mkdir(parents=True)
    write_json(artefact.path / "made.json", made)
    with pytest.raises(MiaSegError, match=r"made\.json was written by another version of mia-seg\. Remove it"):
        store.make([artefact], lambda drafts: pytest.fail("hours of work"))


def test_who_loses_a_race_made_nothing(store: Store, artefact: Artefact, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_, "locked", unlocked)

    def overtaken(drafts: Sequence[Draft]) -> None:
        write(drafts)
        assert store.make([artefact], write) == [artefact]

    assert store.make([artefact], overtaken) == []
    assert len(store.journal()) == 1


def test_what_vanishes_after_a_lost_race_is_not_taken_for_there(
    store: Store, artefact: Artefact, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rename(*_: Any) -> None:
        raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY))

    monkeypatch.setattr(store_.os, "rename", rename)
    with pytest.raises(OSError, match=os.strerror(errno.ENOTEMPTY)):
        store.make([artefact], write)


def test_a_store_of_a_later_version_is_refused(store: Store, artefact: Artefact) -> None:
    store.make([artefact], write)
    assert json.loads((store.root / "store.json").read_text()) == {"format": 2}
    write_json(store.root / "store.json", {"format": 3})
    later = Store(store.root)
    for refused in (lambda: later.artefact("victims", "x", {}).whole, lambda: later.make([artefact], write)):
        with pytest.raises(MiaSegError, match=r"later version of mia-seg \(format 3; this one knows 2\). Update"):
            refused()


def test_a_folder_that_is_no_artefact_is_not_overwritten(store: Store, artefact: Artefact) -> None:
    artefact.path.mkdir(parents=True)
    (artefact.path / "mine").write_text("m")
    with pytest.raises(MiaSegError, match=r"is in the way: it has no made.json.*Remove it"):
        store.make([artefact], lambda drafts: pytest.fail("hours of work"))
    assert (artefact.path / "mine").read_text() == "m"


def test_what_comes_into_the_way_meanwhile_is_not_overwritten(store: Store, artefact: Artefact) -> None:
    def build(drafts: Sequence[Draft]) -> None:
        write(drafts)
        artefact.path.mkdir()
        (artefact.path / "mine").write_text("m")

    with pytest.raises(MiaSegError, match=r"is in the way: it has no made.json"):
        store.make([artefact], build)
    assert [path.name for path in artefact.path.parent.rglob("*")] == [artefact.path.name, "mine"]


def test_half_a_line_of_the_journal_is_no_trouble(store: Store, artefact: Artefact) -> None:
    store.make([artefact], write)
    with (store.root / "journal.jsonl").open("a") as file:
        file.write('\n[]\n{"kind": "vic')
    store.make([store.artefact("victims", "other", {})], write)
    assert [row["name"] for row in store.journal()] == ["tiny.s0", "other"]
    assert Store(store.root / "none").journal() == []


# Disks that take no more.


def test_a_full_disk_under_the_work_is_one_sentence(
    store: Store, artefact: Artefact, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.make([store.artefact("victims", "before", {})], write)
    full(monkeypatch)
    with pytest.raises(Unwritable) as refused:
        store.make([artefact], lambda drafts: replace(drafts[0].folder / "weights", b"0123456789"))
    assert str(refused.value).startswith(f"{artefact.path} could not be written (No space left on device).")
    assert "Free some room" in str(refused.value)
    assert "resumes" in str(refused.value)
    assert not artefact.whole
    assert not list(halves(store.root))


def test_a_disk_that_fills_at_the_last_file_leaves_no_whole(
    store: Store, artefact: Artefact, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.make([store.artefact("victims", "before", {})], write)

    def fill(drafts: Sequence[Draft]) -> None:
        write(drafts)
        full(monkeypatch)

    with pytest.raises(Unwritable, match="No space left"):
        store.make([artefact], fill)
    assert not artefact.whole
    assert not list(halves(store.root))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.ENOTDIR])
@pytest.mark.parametrize("step", ["mkdir", "build", "rename"])
def test_wherever_the_disk_takes_no_more_there_is_one_sentence_and_no_draft(
    store: Store, artefact: Artefact, monkeypatch: pytest.MonkeyPatch, number: int, step: str
) -> None:
    store.make([store.artefact("victims", "before", {})], write)

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    if step != "build":
        monkeypatch.setattr(*{"mkdir": (Path, "mkdir"), "rename": (os, "rename")}[step], refuse)
    with pytest.raises(Unwritable, match=rf"could not be written \({os.strerror(number)}\)"):
        store.make([artefact], refuse if step == "build" else write)
    assert not artefact.whole
    assert not list(halves(store.root))


@pytest.mark.parametrize("number", sorted(_files.UNWRITABLE))
def test_every_way_of_not_writing_is_one_sentence(tmp_path: Path, number: int) -> None:
    says = r"could not be written .* choose another --store or --reports"
    with pytest.raises(Unwritable, match=says), writing(tmp_path):
        raise OSError(number, os.strerror(number))


def test_other_faults_are_not_taken_for_a_full_disk(tmp_path: Path) -> None:
    with pytest.raises(ConnectionResetError), writing(tmp_path):
        raise OSError(errno.ECONNRESET, "reset")


@pytest.mark.parametrize("below", ["runs", "runs/victims/.x.part/weights", "."])
def test_an_error_that_names_a_file_of_the_store_is_about_the_store(tmp_path: Path, below: str) -> None:
    with pytest.raises(Unwritable), writing(tmp_path / "runs"):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(tmp_path / below))


def test_a_scene_that_may_not_be_read_says_nothing_of_the_store(
    store: Store, artefact: Artefact, tmp_path: Path
) -> None:
    def refused(drafts: Sequence[Draft]) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(tmp_path / "data" / "scene.png"))

    with pytest.raises(PermissionError, match=r"scene\.png"):
        store.make([artefact], refused)


@pytest.mark.parametrize("place", [lambda f: f, lambda f: f / "deeper"], ids=["file", "below a file"])
def test_a_file_in_the_place_of_the_store_is_one_sentence(tmp_path: Path, place: Callable[[Path], Path]) -> None:
    (tmp_path / "file").write_text("in the way")
    store = Store(place(tmp_path / "file"))
    artefact = store.artefact("victims", "tiny", INPUTS)
    with pytest.raises(Unwritable, match=r"\((Not a directory|File exists)\)"):
        store.make([artefact], write)
    assert not artefact.whole
    assert (tmp_path / "file").read_text() == "in the way"


def test_replacing_shows_the_old_file_or_the_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"b": 1, "a": [0.1]})
    assert path.read_text() == '{\n "a": [\n  0.1\n ],\n "b": 1\n}\n'
    before = path.read_bytes()
    full(monkeypatch)
    with pytest.raises(OSError, match="No space left"):
        write_json(path, {"b": 2})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]  # a half file would take the room that is lacking
