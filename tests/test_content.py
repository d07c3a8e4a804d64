"""What is in files: each is read once, and again when it changed, however it changed."""

import hashlib
import json
import os
from pathlib import Path

import pytest

from mia_seg.errors import MiaSegError
from mia_seg.store import content as content_
from mia_seg.store.content import Content

OLD = 1_600_000_000 * 10**9


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that were read for their hash; what a test writes is old at once."""
    monkeypatch.setattr(content_, "RACY", -1)
    found: list[str] = []
    plain = content_.hash_of

    def noted(path: Path) -> str:
        found.append(path.name)
        return plain(path)

    monkeypatch.setattr(content_, "hash_of", noted)
    return found


def written(path: Path, text: str, when: int = OLD) -> Path:
    path.write_text(text)
    os.utime(path, ns=(when, when))
    return path


def test_hashes_are_those_of_the_bytes_in_the_order_asked_for(tmp_path: Path) -> None:
    paths = [written(tmp_path / name, name) for name in ("b", "a")]
    assert Content(None).of([*paths, paths[0]]) == [hashlib.sha256(x.encode()).hexdigest() for x in ("b", "a", "b")]


def test_a_file_that_stays_is_read_once_and_remembered_by_the_next_process(tmp_path: Path, read: list[str]) -> None:
    paths, cache = [written(tmp_path / name, name) for name in "ab"], tmp_path / "runs" / "content.json"
    first = Content(cache)
    known = first.of(paths)
    assert first.of(paths) == known
    assert sorted(read) == ["a", "b"]
    first.save()
    assert Content(cache).of(paths[::-1]) == known[::-1]
    assert len(read) == 2
    assert len(Content(None).of(paths)) == 2
    assert len(read) == 4, "without a cache nothing is remembered"


def test_another_content_under_the_same_name_and_size_is_seen(tmp_path: Path, read: list[str]) -> None:
    path, cache = written(tmp_path / "a", "one"), tmp_path / "content.json"
    first = Content(cache)
    (before,) = first.of([path])
    first.save()
    for when in (OLD + 1, OLD):  # also with the time that it had
        written(path, "two", when)
        (after,) = Content(cache).of([path])
        assert after != before
    assert read == 3 * ["a"]


def test_a_file_that_was_written_just_now_is_not_remembered(tmp_path: Path) -> None:
    """It may change again within one tick of the file system's clock."""
    path = tmp_path / "a"
    path.write_text("one")
    found = Content(tmp_path / "content.json")
    (before,) = found.of([path])
    stat = path.stat()
    path.write_text("two")
    os.utime(path, ns=(stat.st_mtime_ns, stat.st_mtime_ns))
    assert found.of([path]) != [before]


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(MiaSegError, match=r"gone cannot be read \(No such file or directory\). Restore it"):
        Content(None).of([tmp_path / "gone"])


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"a": 1}', '{"a": [1, 2, 3]}'])
def test_a_broken_cache_costs_time_alone(tmp_path: Path, text: str, read: list[str]) -> None:
    path, cache = written(tmp_path / "a", "a"), tmp_path / "content.json"
    cache.write_text(text)
    found = Content(cache)
    assert found.of([path]) == [hashlib.sha256(b"a").hexdigest()]
    found.save()
    assert list(json.loads(cache.read_text())) == [str(path)]


def test_a_cache_that_cannot_be_written_loses_nothing(tmp_path: Path) -> None:
    found = Content(written(tmp_path / "a file", "") / "content.json")
    found.of([written(tmp_path / "a", "a")])
    found.save()


def test_two_processes_keep_what_either_found(tmp_path: Path, read: list[str]) -> None:
    paths, cache = [written(tmp_path / name, name) for name in "ab"], tmp_path / "content.json"
    both = [Content(cache) for _ in paths]
    for found, path in zip(both, paths, strict=True):
        found.of([path])
    for found in both:
        found.save()
    read.clear()
    Content(cache).of(paths)
    assert read == []


def test_a_file_that_changes_while_it_is_read_is_not_remembered(
    tmp_path: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, plain, found = written(tmp_path / "a", "one"), content_.hash_of, Content(None)

    def changing(path: Path) -> str:
        known = plain(path)
        written(path, "two", OLD + 1)
        return known

    with monkeypatch.context() as patch:
        patch.setattr(content_, "hash_of", changing)
        found.of([path])
    assert found.of([path]) == [hashlib.sha256(b"two").hexdigest()]
