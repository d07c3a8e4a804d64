"""Scores of an attacker outside: what is measured is what our own metrics say, and every slip is named by its line."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from helpers_files import assert_refused, call, write
from helpers_results import beside, result
from helpers_scenes import written as written_answers

from mia_seg.evaluate import outside, results, submitted
from mia_seg.evaluate.scores import SceneScores
from mia_seg.metrics import membership, paired

SCENES = [f"s{k:02d}" for k in range(40)]
MEMBERS = np.random.default_rng(3).permutation(40) < 18
DRAWN = np.random.default_rng(4).normal(size=(2, 40)) + MEMBERS
THEIRS, MINE = DRAWN[0], DRAWN[0] / 2 + DRAWN[1]
PAIRS = [str(k // 2) for k in np.argsort(np.argsort(MEMBERS, kind="stable"))]  # two scenes of one side each


def written(folder: Path, groups: list[str] | None = None, *, scores: np.ndarray = THEIRS, **changes: object) -> Path:
    """A result with scores beside it."""
    kept = SceneScores(SCENES, MEMBERS, groups or SCENES, scores)
    return results.write(folder, beside(result(attack="image_loss", representation="", **changes), kept))


def table(folder: Path, rows: dict[str, str] | None = None, columns: str = "id,score") -> Path:
    """Our scores as a table of someone else's, in an order of their own."""
    rows = rows or {scene: repr(float(score)) for scene, score in zip(SCENES, MINE, strict=True)}
    return write(folder / "mine.csv", "\n".join([columns, *(f"{i},{s}" for i, s in reversed(rows.items()))]) + "\n")


def test_what_is_measured_is_what_the_metrics_say(tmp_path: Path) -> None:
    place = written(tmp_path)
    ran = call("score", table(tmp_path), "--against", place, "--threshold", "0.5", "--json")
    assert ran.code == 0, ran.err
    found = json.loads(ran.out)
    own = membership.measure(MINE, MEMBERS, threshold=0.5, groups=SCENES)
    assert (found["scenes"], found["members"]) == (40, 18)
    for name in (
        "auc",
        "auc_low",
        "auc_high",
        "balanced_accuracy",
        "balanced_accuracy_low",
        "tpr",
        "fpr",
        "tpr_at_fpr",
    ):
        assert found["own"][name] == getattr(own, name), name
    (row,) = found["against"]
    assert row["above"] == paired.above(MINE, THEIRS, MEMBERS, groups=SCENES, seed=1)
    assert row["auc"] == membership.auc(THEIRS, MEMBERS)
    assert (row["attack"], row["result"]) == ("image_loss", str(place))


def test_a_result_s_own_scores_are_not_told_apart_from_it(tmp_path: Path) -> None:
    place = written(tmp_path)
    rows = {scene: repr(float(score)) for scene, score in zip(SCENES, THEIRS, strict=True)}
    ran = call("score", table(tmp_path, rows), "--against", place)
    assert ran.code == 0, ran.err
    assert "+0.000 [+0.000, +0.000]" in ran.out
    assert "18 of them members: above chance, and not told apart from image_loss." in ran.out
    assert "threshold" not in ran.out


def test_a_folder_of_results_is_compared_one_by_one(tmp_path: Path) -> None:
    written(tmp_path)
    written(tmp_path, scores=-THEIRS, shadow="other")
    written(tmp_path, defense="argmax")
    ran = call("score", table(tmp_path), "--against", tmp_path)
    assert ran.code == 0, ran.err
    assert "of 2 results better than 1, worse than 0, not told apart from 1." in ran.out
    assert_refused(
        call("score", tmp_path / "mine.csv", "--against", tmp_path, "--defense", "synfeat"),
        "It holds those of argmax, none",
    )
    assert_refused(
        call("score", tmp_path / "mine.csv", "--against", tmp_path, "--seed", 7), "holds no result of seed 7. It holds"
    )


def test_scenes_are_handed_out_without_their_sides(tmp_path: Path) -> None:
    kept = SceneScores(SCENES[::-1], MEMBERS[::-1], SCENES[::-1], THEIRS[::-1])
    place = results.write(tmp_path, beside(result(attack="image_loss"), kept))
    ran = call("score", "--ids", place)
    assert ran.code == 0, ran.err
    assert list(csv.reader(ran.out.splitlines())) == [["id"], *([scene] for scene in SCENES)]


def test_answers_are_handed_out_for_the_scenes_of_a_result(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    posteriors = [draw.dirichlet(np.ones(3), shape).transpose(2, 0, 1) for shape in ((4, 5), (2, 3), (4, 5))]
    kept = SceneScores(["c", "a"], np.array([True, False]), ["c", "a"], np.zeros(2))
    place = results.write(tmp_path, beside(result(attack="image_loss"), kept))
    answers = tmp_path / "runs" / "answers" / f"village.none-{results.read(place).digests.victim_answers}"
    written_answers(answers, posteriors, [np.zeros(p.shape[1:], np.uint8) for p in posteriors], ids=["a", "b", "c"])
    file = tmp_path / "answers.npz"
    ran = call("score", "--ids", place, "--answers", file, "--store", tmp_path / "runs")
    assert ran.code == 0, ran.err
    assert "2 posteriors of 3 classes, the first of 4 x 5 pixels" in ran.err
    assert ran.out.split() == ["id", "a", "c"]
    with np.load(file) as found:
        assert list(found) == ["a", "c"]
        for scene, posterior in (("a", posteriors[0]), ("c", posteriors[2])):
            np.testing.assert_array_equal(found[scene], posterior.astype(np.float16))
    assert_refused(call("score", "--ids", place, "--answers", file, "--store", tmp_path), "does not hold the answers")
    assert_refused(call("score", "--answers", file), "--answers needs --ids RESULT")


def test_groups_of_the_table_count_where_they_are_coarser(tmp_path: Path) -> None:
    (reference,) = outside.references(written(tmp_path, PAIRS))
    rows = dict(zip(SCENES, zip(MINE.tolist(), PAIRS, strict=True), strict=True))
    fours = {scene: f"{score!r},{int(pair) // 2}" for scene, (score, pair) in rows.items()}
    coarse = outside.joined(submitted.read(table(tmp_path, fours, "id,score,group")), reference)
    kept = outside.joined(submitted.read(table(tmp_path)), reference)
    assert kept.groups == PAIRS
    assert coarse.groups == [str(int(pair) // 2) for pair in PAIRS]
    assert outside.measured(coarse, [reference])["own"] == membership.ranked(MINE, MEMBERS, groups=coarse.groups)
    finer = {scene: f"{score!r},{scene}" for scene, (score, _) in rows.items()}
    with pytest.raises(
        Exception, match=r"line \d+: scene '.*' is in another group than scene '.*' of line \d+.*Leave the col"
    ):
        outside.joined(submitted.read(table(tmp_path, finer, "id,score,group")), reference)


def changed(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new)


LINES = {
    "unknown": ("\ns39,", "\nelsewhere,", "line 2: scene 'elsewhere' is none of the 40"),
    "doubled": ("\ns38,", "\ns39,", "line 3: scene 's39' has a score in line 2 already"),
    "not a number": ("\ns37,", "\ns37,nan\ns37,", "line 4: the score 'nan' is no finite number"),
    "words": ("\ns37,", "\ns37,high\ns37,", "line 4: the score 'high' is no finite number"),
    "infinite": ("\ns37,", "\ns37,inf\ns37,", "line 4: the score 'inf' is no finite number"),
    "cells": ("\ns37,", "\ns37,1,2,", "line 4: there are 4 cells and 2 columns (id,score)"),
    "header": ("id,score\n", "", "line 1 is 's39,"),
    "semicolons": ("id,score", "id;score", "line 1 is 'id;score'. It must be a table with commas"),
}


@pytest.mark.parametrize("case", LINES)
def test_a_slip_is_named_by_its_line(tmp_path: Path, case: str) -> None:
    old, new, says = LINES[case]
    place, file = written(tmp_path), table(tmp_path)
    file.write_text(changed(file.read_text(), old, new))
    assert_refused(call("score", file, "--against", place), "mine.csv, ", says)


def test_scenes_without_a_score_are_named(tmp_path: Path) -> None:
    rows = {scene: "1.0" for scene in SCENES[5:]}
    ran = call("score", table(tmp_path, rows), "--against", written(tmp_path))
    assert_refused(ran, "has no score of 5 of the 40 scenes", "'s00', 's01', 's02', ...", "Score every scene.")


def test_what_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    file, place = table(tmp_path), written(tmp_path / "one")
    assert_refused(call("score", file), "Give either FILE --against RESULT")
    assert_refused(call("score", file, "--against", place, "--ids", place), "Give either FILE --against RESULT")
    assert_refused(call("score", file, "--against", place, "--threshold", "nan"), "--threshold nan is no finite number")
    assert_refused(call("score", file, "--against", file), "is no result. Name the result's .json")
    assert_refused(call("score", file, "--against", tmp_path / "none"), "is no file")
    assert_refused(call("score", tmp_path / "none.csv", "--against", place), "does not exist")
    empty = write(tmp_path / "empty.csv", "id,score\n")
    assert_refused(call("score", empty, "--against", place), "holds no scores below its first line")
    bare = results.write(tmp_path / "bare", result())
    assert_refused(call("score", file, "--against", bare), "has no file of scores beside it")
    alone = SceneScores(SCENES, np.ones(40, bool), SCENES, THEIRS)
    sided = results.write(tmp_path / "sided", beside(result(), alone))
    assert_refused(call("score", file, "--against", sided), "holds members alone")
    written(tmp_path / "one", seed=2)
    other = SceneScores(SCENES, ~MEMBERS, SCENES, THEIRS)
    results.write(tmp_path / "one", beside(result(seed=3), other))
    assert_refused(call("score", file, "--against", tmp_path / "one"), "which of these are members. Name one result")
