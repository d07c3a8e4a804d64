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
from mia_seg.store import Artefact, Draft, Store, upkeep


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


def dead_draft(store: Store) -> Path:
    artefact = made(store, "victims", "tiny.s0")
    draft = artefact.path.with_name(f".{artefact.path.name}.{store_host()}.999999999.abc.part")
    draft.mkdir()
    return draft


def store_host() -> str:
    from mia_seg.store import _host

    return _host()


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
    assert names(upkeep.needless(store, Path("reports"))) == [f"whole {of(there['stray'])}"]
    assert upkeep.needless(store, Path("reports"), older_than=1) == [], "what is young may be wanted next"
    Path("reports", "tiny", "tiny_a1.none.x.s0.json").unlink()
    assert len(upkeep.needless(store, Path("reports"))) == 5


def test_what_a_process_works_on_stays(store: Store) -> None:
    stray = made(store, "victims", "stray.s0")
    with filelock.FileLock(stray.lock):
        assert upkeep.needless(store, Path("reports")) == []
        with pytest.raises(MiaSegError, match=r"Another process works on .*stray"):
            upkeep.named(store, [of(stray)])
    assert names(upkeep.needless(store, Path("reports"))) == [f"whole {of(stray)}"]


def test_leftovers_go_and_state_to_resume_from_stays(store: Store) -> None:
    victim = made(store, "victims", "tiny.s0")
    published(victim)
    draft, alive = (
        dead_draft(store),
        victim.path.with_name(f".{victim.path.name}.{store_host()}.{os.getpid()}.abc.part"),
    )
    alive.mkdir()
    victim.scratch.mkdir(parents=True)  # of what is whole now
    write(store.root / "work" / "shadows-0123456789ab" / "state", "so far")
    found = {entry.path for entry in upkeep.needless(store, Path("reports"))}
    assert found == {draft, victim.scratch}


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


def test_a_store_that_is_not_there_is_refused(tmp_path: Path) -> None:
    for command in (["ls"], ["verify"], ["gc"], ["rm", "a/b"]):
        assert_refused(call("store", *command, "--store", tmp_path / "none"), "none is no folder", "--store")


def test_age_counts_from_the_last_change(store: Store) -> None:
    victim = made(store, "victims", "tiny.s0")
    for path in victim.path.iterdir():
        os.utime(path, (time.time() - 3 * upkeep.DAY,) * 2)
    (entry,) = upkeep.entries(store)
    assert entry.age == pytest.approx(3 * upkeep.DAY, abs=60)
    assert names(upkeep.needless(store, Path("reports"), older_than=2)) == [f"whole {of(victim)}"]
