"""The store: the same parts are the same folder, and only finished work counts."""

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers_files import halves, wholes

from mia_seg.errors import MiaSegError
from mia_seg.recipes import digest
from mia_seg.store import UNWRITABLE, Artefact, Store, replace, write_json, writing

PARTS = {"recipe": "abc", "seed": 0, "window": {"size": [3, 4], "overlap": 0.5}, "none": None}


@pytest.fixture
def artefact(tmp_path: Path) -> Artefact:
    return Store(tmp_path / "runs").artefact("victims", "tiny.s0", PARTS)


def full(monkeypatch: pytest.MonkeyPatch, number: int = errno.ENOSPC) -> None:
    """From now on, a file takes half of what is written into it."""
    write = Path.write_bytes

    def half(path: Path, content: bytes) -> int:
        write(path, content[: len(content) // 2])
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "write_bytes", half)


def test_the_same_parts_give_the_same_folder(tmp_path: Path) -> None:
    store, turned = Store(tmp_path), dict(reversed(PARTS.items()))
    first = store.artefact("victims", "tiny.s0", PARTS)
    assert first.path == store.artefact("victims", "tiny.s0", turned).path
    assert first.path == tmp_path / "victims" / f"tiny.s0-{digest(PARTS)}"
    assert first.digest == digest(PARTS)


@pytest.mark.parametrize(
    "changed", [{"seed": 1}, {"recipe": "abd"}, {"window": {"size": [4, 3], "overlap": 0.5}}, {"more": 0}]
)
def test_any_other_part_gives_another_folder(tmp_path: Path, changed: dict[str, object]) -> None:
    store = Store(tmp_path)
    assert store.artefact("v", "n", PARTS).path != store.artefact("v", "n", PARTS | changed).path


def test_digests_are_those_of_every_version() -> None:
    """Membership answers, by `sha256sum` of the canonical text: with others, no store would ever be found again."""
    assert digest(PARTS) == "ae14816182e4"  # {"none": null, "recipe": "abc", "seed": 0, "window": {"overlap": 0.5, ...
    assert digest([0, 1.5, "é", True, None]) == "8e75e8ea03ef"  # [0, 1.5, "\u00e9", true, null]


def test_made_is_whole_and_keeps_what_shaped_it(artefact: Artefact) -> None:
    assert not artefact.whole
    with artefact.make() as folder:
        assert folder == artefact.path
        (folder / "weights").write_text("w")
        assert not artefact.whole
    assert artefact.whole
    assert json.loads((artefact.path / "made.json").read_text()) == PARTS


@pytest.mark.parametrize("fault", [KeyboardInterrupt, MiaSegError, RuntimeError, SystemExit])
def test_interrupted_work_is_not_whole_and_can_be_taken_up(artefact: Artefact, fault: type[BaseException]) -> None:
    def stop(folder: Path) -> None:
        (folder / "weights").write_text("half")
        raise fault("stop")

    with pytest.raises(fault), artefact.make() as folder:
        stop(folder)
    assert not artefact.whole
    with artefact.make() as folder:
        assert (folder / "weights").read_text() == "half"  # what resuming starts from
    assert artefact.whole


def test_a_full_disk_under_the_work_is_one_sentence(artefact: Artefact, monkeypatch: pytest.MonkeyPatch) -> None:
    full(monkeypatch)
    with pytest.raises(MiaSegError) as refused, artefact.make() as folder:
        replace(folder / "weights", b"0123456789")
    assert str(refused.value).startswith(f"{artefact.path} could not be written (No space left on device).")
    assert "Free some room" in str(refused.value)
    assert "resumes" in str(refused.value)
    assert list(artefact.path.iterdir()) == []
    assert wholes(artefact.path.parents[1]) == []


def test_a_disk_that_fills_at_the_last_file_leaves_no_whole(
    artefact: Artefact, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(folder: Path) -> None:
        (folder / "weights").write_text("w")
        full(monkeypatch)

    with pytest.raises(MiaSegError, match="No space left"), artefact.make() as folder:
        fill(folder)
    assert not artefact.whole
    assert list(halves(artefact.path)) == []


@pytest.mark.parametrize("number", sorted(UNWRITABLE))
def test_every_way_of_not_writing_is_one_sentence(tmp_path: Path, number: int) -> None:
    says = r"could not be written .* choose another --store or --reports"
    with pytest.raises(MiaSegError, match=says), writing(tmp_path):
        raise OSError(number, os.strerror(number))


def test_other_faults_are_not_taken_for_a_full_disk(tmp_path: Path) -> None:
    with pytest.raises(ConnectionResetError), writing(tmp_path):
        raise OSError(errno.ECONNRESET, "reset")


@pytest.mark.parametrize("place", [lambda f: f, lambda f: f / "deeper"], ids=["file", "below a file"])
def test_a_file_in_the_place_of_the_store_is_one_sentence(tmp_path: Path, place: Callable[[Path], Path]) -> None:
    (tmp_path / "file").write_text("in the way")
    artefact = Store(place(tmp_path / "file")).artefact("victims", "tiny", PARTS)
    with pytest.raises(MiaSegError, match="Not a directory"), artefact.make():
        pass
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
