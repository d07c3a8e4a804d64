"""Upkeep of a store: what is listed, what is damaged, and that nothing goes which something needs."""

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path

import filelock
import pytest
from helpers_files import assert_refused, call, write

from mia_seg.errors import MiaSegError
from mia_seg.store import Artefact, Draft, Store, _host, upkeep


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.chdir(tmp_path)
    return Store(Path("runs"))


def fill(drafts: Sequence[Draft]) -> None:
    for draft in drafts:
        (draft.folder / "weights").write_text("1234")


def made(store: Store, kind: str, name: str, *before: Artefact) -> Artefact:
    artefact = store.artefact(kind, name, {"name": name, "seen": [{"of": other.digest} for other in before]})
    store.make([artefact], fill)
    return artefact


def published(artefact: Artefact) -> None:
    """A result below reports/ that names an attacker."""
    write(Path("reports", "tiny", "tiny_a1.none.x.s0.json"), json.dumps({"digests": {"attacker": artefact.digest}}))


def line(store: Store) -> dict[str, Artefact]:
    """A victim, its answers, an attacker and a result; another victim that nothing came from."""
    victim = made(store, "victims", "tiny.s0")
    answers = made(store, "answers", "tiny.none", victim)
    attacker = made(store, "attackers", "tiny_a1.x", answers)
    result = made(store, "results", "tiny.s0.none.x", attacker)
    return {"victim": victim, "answers": answers, "attacker": attacker, "result": result} | {
        "stray": made(store, "victims", "stray.s0")
    }


def names(entries: list[upkeep.Entry]) -> list[str]:
    return [f"{entry.state} {entry.kind}/{entry.path.name}" for entry in entries]


def of(artefact: Artefact) -> str:
    return f"{artefact.kind}/{artefact.path.name}"


def dead_draft(store: Store, host: str = "") -> Path:
    artefact = made(store, "victims", "tiny.s0")
    draft = artefact.path.with_name(f".{artefact.path.name}.{host or _host()}.999999999.abc.part")
    draft.mkdir()
    return draft


def needless(store: Store, older_than: float = 0) -> list[upkeep.Entry]:
    return upkeep.needless(store, Path("reports"), older_than).entries


def aged(folder: Path, days: float) -> Path:
    for path in folder.iterdir():
        os.utime(path, (time.time() - days * upkeep.DAY,) * 2)
    return folder


def test_every_folder_is_listed_with_its_state_and_size(store: Store) -> None:
    victim = made(store, "victims", "tiny.s0")
    draft = dead_draft(store)
    older = write(store.root / "victims" / "old.s0-0123456789ab" / "made.json", '{"seed": 0}').parent
    scratch = write(store.root / "work" / "shadows-0123456789ab" / "state", "so far").parent
    found = {entry.path: entry for entry in upkeep.entries(store)}
    assert {path: entry.state for path, entry in found.items()} == {
        victim.path: "whole", draft: "draft", older: "older", scratch: "scratch",
    }  # fmt: skip
    assert found[victim.path].size == 4 + (victim.path / "made.json").stat().st_size
    ran = call("store", "ls")
    assert ran.code == 0
    assert all(path.name in ran.out for path in found)
    assert "4 folders" in ran.out


def test_verify_names_what_is_not_as_it_was_written(store: Store) -> None:
    victim, other = made(store, "victims", "tiny.s0"), made(store, "victims", "other.s0")
    assert "2 artefacts are as they were written" in call("store", "verify").out
    (victim.path / "weights").write_text("1235")
    (other.path / "made.json").write_text("{")
    ran = call("store", "verify")
    assert_refused(ran, "2 of 2 artefacts are not as they were written")
    assert f"{victim.path / 'weights'} holds other bytes" in ran.out
    assert f"{other.path / 'made.json'} does not hold the inputs" in ran.out


def test_what_a_result_came_from_is_kept_and_the_rest_may_go(store: Store) -> None:
    there = line(store)
    published(there["attacker"])
    assert names(needless(store)) == [f"whole {of(there['stray'])}"]
    assert needless(store, older_than=1) == [], "what is young may be wanted next"


def test_of_several_results_those_are_kept_that_were_copied(store: Store) -> None:
    there = line(store)
    again = made(store, "results", "tiny.s0.none.x.again", there["answers"])
    blind = made(store, "blind", "tiny.s0")
    kept = made(store, "results", "tiny.s0.none.x.other", there["attacker"], there["answers"], blind)
    digests = {
        "attacker": there["attacker"].digest,
        "victim_answers": there["answers"].digest,
        "shadow": "0123456789ab",
    }
    write(Path("reports", "a.s0.json"), json.dumps({"digests": digests}))
    write(Path("reports", "table.json"), "[1]")
    found = {entry.path for entry in needless(store)}
    assert found == {there["stray"].path, there["result"].path, again.path}
    assert kept.path not in found


@pytest.mark.parametrize("case", ["no results", "none below it", "in use", "inputs unknown"])
def test_whole_artefacts_stay_where_it_is_not_known_what_is_needed(store: Store, case: str) -> None:
    there, reports = line(store), "reports"
    leftover = dead_draft(store)
    if case == "none below it":
        write(Path("reports", "table.json"), "[1]")
    elif case != "no results":
        published(there["attacker"])
    if case == "inputs unknown":
        (there["attacker"].path / "made.json").write_text("{")
    at_work = filelock.FileLock(store.artefact("victims", "now", {}).lock)
    if case == "in use":
        at_work.acquire()
    says = {
        "no results": "reports holds no results", "none below it": "reports holds no results",
        "in use": f"A process makes {Path(at_work.lock_file).stem}", "inputs unknown": "What attackers/tiny_a1.x-",
    }[case]  # fmt: skip
    ran = call("store", "gc", "--reports", reports, "--older-than", "0", "--yes")
    at_work.release()
    assert ran.code == 0
    assert says in ran.out
    assert there["stray"].path.exists()
    assert there["answers"].whole
    assert not leftover.exists()


def test_a_result_that_cannot_be_read_stops_the_removal(store: Store) -> None:
    there = line(store)
    published(there["attacker"])
    broken = write(Path("reports", "tiny", "half.json"), "{")
    assert_refused(call("store", "gc", "--older-than", "0", "--yes"), f"{broken} is no whole file", "delete it")
    assert there["stray"].whole


def test_what_a_process_works_on_stays(store: Store) -> None:
    stray = made(store, "victims", "stray.s0")
    victim = made(store, "victims", "tiny.s0")
    published(victim)
    assert names(needless(store)) == [f"whole {of(stray)}"]
    found = needless(store)
    with filelock.FileLock(stray.lock):
        assert needless(store) == []
        assert upkeep.remove(store, found) == [], "it was taken up since"
        assert stray.lock.exists()
        with pytest.raises(MiaSegError, match=r"Another process works on .*stray"):
            upkeep.named(store, [of(stray)])
    assert upkeep.remove(store, found) == found
    assert not stray.lock.exists()


def test_a_draft_that_a_process_writes_is_not_removed(store: Store) -> None:
    draft = dead_draft(store, host="node-0123456789ab")
    with filelock.FileLock(store.artefact("victims", "tiny.s0", {"name": "tiny.s0", "seen": []}).lock):
        assert_refused(call("store", "rm", f"victims/{draft.name}"), "Another process works on")
    assert call("store", "rm", f"victims/{draft.name}").code == 0
    assert not draft.exists()


def test_leftovers_go_and_state_to_resume_from_stays(store: Store) -> None:
    victim = made(store, "victims", "tiny.s0")
    published(victim)
    draft, alive = (
        dead_draft(store),
        victim.path.with_name(f".{victim.path.name}.{_host()}.{os.getpid()}.abc.part"),
    )
    alive.mkdir()
    victim.scratch.mkdir(parents=True)  # of what is whole now
    write(store.root / "work" / "shadows-0123456789ab" / "state", "so far")
    trash = write(victim.path.with_name(f".{victim.path.name}.0a1b2c3d.trash") / "weights", "1").parent
    assert {entry.path for entry in needless(store)} == {draft, victim.scratch, trash}


def test_a_draft_of_another_host_goes_after_a_week(store: Store) -> None:
    published(made(store, "victims", "tiny.s0"))
    draft = dead_draft(store, host="elsewhere")
    write(draft / "weights", "1")
    aged(draft, 6)
    assert needless(store) == []
    aged(draft, 8)
    assert names(needless(store)) == [f"draft victims/{draft.name}"]


def test_locks_that_nobody_holds_go(store: Store) -> None:
    victim, other = made(store, "victims", "tiny.s0"), store.artefact("victims", "other", {})
    published(victim)
    with filelock.FileLock(other.lock):
        ran = call("store", "gc", "--yes")
        assert "1 files of locks." in ran.out
        assert [path.name for path in other.lock.parent.iterdir()] == [other.lock.name]
    assert made(store, "victims", "other").whole


def test_gc_removes_only_with_yes(store: Store) -> None:
    there = line(store)
    published(there["attacker"])
    dry = call("store", "gc", "--older-than", "0")
    assert dry.code == 0
    assert of(there["stray"]) in dry.out
    assert "--yes" in dry.out
    assert there["stray"].whole
    assert call("store", "gc", "--older-than", "0", "--yes").code == 0
    assert not there["stray"].path.exists()
    assert all(there[name].whole for name in ("victim", "answers", "attacker", "result"))
    assert not [path for path in store.root.rglob("*") if path.name.endswith(".trash")]


def test_rm_takes_what_is_named_and_knows_the_nearest(store: Store) -> None:
    victim = made(store, "victims", "tiny.s0")
    assert_refused(call("store", "rm", of(victim) + "x"), f"Did you mean '{of(victim)}'?")
    assert_refused(call("store", "rm", "nothing"), "mia-seg store ls")
    assert call("store", "rm", of(victim)).code == 0
    assert not victim.path.exists()
    assert made(store, "victims", "tiny.s0").whole


def test_what_is_to_be_typed_names_the_store_where_it_is_not_the_usual_one(store: Store, tmp_path: Path) -> None:
    other = Store(tmp_path / "else where")
    for one, root in ((store, ""), (other, f" --store '{other.root}'")):
        damaged_ = made(one, "victims", "tiny.s0")
        (damaged_.path / "weights").write_text("1235")
        asked = ("--store", one.root) if root else ()
        assert f"mia-seg store rm {of(damaged_)}{root}'" in call("store", "verify", *asked).out
        assert_refused(call("store", "rm", "nothing", *asked), f"'mia-seg store ls{root}' lists")


def test_a_store_that_is_not_there_is_refused(tmp_path: Path) -> None:
    for command in (["ls"], ["verify"], ["gc"], ["rm", "a/b"]):
        assert_refused(call("store", *command, "--store", tmp_path / "none"), "none is no folder", "--store")


def test_age_counts_from_the_last_change(store: Store) -> None:
    victim = made(store, "victims", "tiny.s0")
    aged(victim.path, 3)
    published(made(store, "victims", "kept.s0"))
    entry = next(entry for entry in upkeep.entries(store) if entry.path == victim.path)
    assert entry.age == pytest.approx(3 * upkeep.DAY, abs=60)
    assert names(needless(store, older_than=2)) == [f"whole {of(victim)}"]
