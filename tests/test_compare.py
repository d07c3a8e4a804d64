"""Two audits side by side: differences on the same scenes and by intervals, against values worked out here."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers_files import assert_refused, call
from helpers_results import DIGESTS, relevelled, result, utility
from helpers_results import above as gained
from scipy.stats import norm, t

from mia_seg.evaluate import results
from mia_seg.evaluate.results import Result
from mia_seg.evaluate.scores import SceneScores
from mia_seg.metrics.intervals import widened
from mia_seg.metrics.membership import measure
from mia_seg.metrics.paired import above, accuracy_above, over_seeds, unpaired
from mia_seg.verdict.compare import Row, compared

MEMBERS = np.arange(200) < 100
HARD = np.random.default_rng(0).normal(size=200)
IDS = [f"scene {k}" for k in range(200)]


FEWER = SceneScores(IDS[1:], MEMBERS[1:], IDS[1:], HARD[1:])


def scored(shift: float, **changes: Any) -> Result:
    """A result with its scores; what is hard is so in all of them."""
    scores_N = HARD + shift * MEMBERS + 0.1 * np.random.default_rng(int(1000 * shift)).normal(size=200)
    made = result(shift, count=100, **({"attack": "image_loss", "representation": ""} | changes))
    return made.with_scores(SceneScores(IDS, MEMBERS, IDS, scores_N))


def rows(a: list[Result], b: list[Result]) -> dict[str, Row]:
    return {row.measure: row for row in compared(a, b).rows}


def notes(a: list[Result], b: list[Result]) -> str:
    return "\n".join(compared(a, b).notes)


def test_independent_rates_differ_by_squares_of_both_distances() -> None:
    found = unpaired({"value": 0.7, "low": 0.6, "high": 0.75}, {"value": 0.5, "low": 0.45, "high": 0.58})
    assert found == pytest.approx({"value": 0.2, "low": 0.2 - np.hypot(0.1, 0.08), "high": 0.2 + np.hypot(0.05, 0.05)})
    assert unpaired({"value": 1.0, "low": 0.1, "high": 1.0}, {"value": 0.0, "low": 0.0, "high": 0.9})["low"] > -1


def test_calls_of_the_same_scenes_differ_by_those_that_one_alone_gets_right() -> None:
    """Of 40 members A alone finds 8 and B alone 4; of 40 others A alone clears 2."""
    members = np.arange(80) < 40
    first, second = np.zeros((2, 80), bool)
    first[:8], second[8:12], second[40:42] = True, True, True
    found = accuracy_above(first, second, members)
    sides = [np.array([0.5] * 8 + [-0.5] * 4 + [0] * 28), np.array([0.5] * 2 + [0] * 38)]
    parts = [side.var(ddof=1) / 40 for side in sides]
    freedom = sum(parts) ** 2 / sum(part**2 / 39 for part in parts)
    half = t.ppf(0.975, freedom) * sum(parts) ** 0.5
    value = (8 - 4) / 40 / 2 + 2 / 40 / 2
    assert found == pytest.approx({"value": value, "low": value - half, "high": value + half})
    assert accuracy_above(first, first, members) == {"value": 0, "low": 0, "high": 0}


def test_balanced_accuracy_is_paired_where_one_threshold_made_it() -> None:
    a, b = measured(scored(0.3), 0.1), measured(scored(0.6), 0.2)
    found = rows([a], [b])["balanced accuracy"]
    assert a.scores is not None
    assert b.scores is not None
    assert found.change == accuracy_above(b.scores.scores_N >= 0.2, a.scores.scores_N >= 0.1, MEMBERS)
    assert (found.scenes, found.change["value"]) == (200, pytest.approx(found.b["value"] - found.a["value"]))
    assert rows([a], [scored(0.6)])["balanced accuracy"].scenes == 0, "its threshold does not make its accuracy"


def measured(one: Result, threshold: float) -> Result:
    """The same with the level that its own scores come to."""
    assert one.scores is not None
    found = measure(one.scores.scores_N, MEMBERS, threshold=threshold, groups=IDS, rounds=20)
    return relevelled(one, image=asdict(found)).with_scores(one.scores)


def test_a_chosen_interval_is_wider_by_the_quantiles() -> None:
    low, high = widened(0.5, (0.4, 0.7), 10)
    wider = norm.ppf(1 - 0.0025) / norm.ppf(0.975)
    assert (low, high) == pytest.approx((0.5 - 0.1 * wider, 0.5 + 0.2 * wider))
    assert widened(0.5, (0.4, 0.7), 1) == pytest.approx((0.4, 0.7))


def test_the_same_scenes_are_paired_and_show_what_two_intervals_do_not() -> None:
    a, b = scored(0.3), scored(0.6)
    assert a.scores is not None
    assert b.scores is not None
    found = rows([a], [b])
    truth = above(b.scores.scores_N, a.scores.scores_N, MEMBERS, groups=IDS)
    assert found["AUC"].change == truth["auc"]
    assert found["TPR at 10% FPR"].change == truth["tpr_at_fpr"]["0.1"]
    assert (found["AUC"].scenes, found["AUC"].reading) == (200, "higher")
    apart = rows([result(0.3, count=100, **ALIKE)], [result(0.6, count=100, **ALIKE)])["AUC"]
    assert (apart.scenes, apart.reading) == (0, "noise")
    assert "on the 200 scenes of both: more than noise." in notes([a], [b])


ALIKE = {"attack": "image_loss", "representation": ""}


def test_scenes_are_the_same_where_all_their_names_are_or_their_data_set_is() -> None:
    assert rows([scored(0.3)], [scored(0.6, dataset="another table")])["AUC"].scenes == 200
    assert "A has dataset 'streets', B 'another table'." in notes([scored(0.3)], [scored(0.6, dataset="another table")])
    assert rows([scored(0.3)], [scored(0.6).with_scores(FEWER)])["AUC"].scenes == 199


def test_seeds_are_pooled_and_those_of_one_side_left_out_by_name() -> None:
    a, b = ([scored(shift, seed=s) for s in seeds] for shift, seeds in ((0.3, (1, 2, 3)), (0.6, (2, 3, 4))))
    found = rows(a, b)["AUC"]
    each = [gained(mine.scores, theirs.scores) for mine, theirs in zip(b[:2], a[1:], strict=True)]
    assert found.seeds == (2, 3)
    assert found.related is not None
    assert found.change == over_seeds(each, related=found.related)
    assert found.related == pytest.approx(np.ones((2, 2))), "the same scores of the same scenes"
    assert "In A alone, and not compared: 1 results, such as image_loss on village, defense none, seed 1." in notes(
        a, b
    )
    assert "one training" not in notes(a, b)
    assert "Each side is one training" in notes(a[1:2], [scored(0.6, seed=2, digests=OTHER)])


OTHER = dict.fromkeys(DIGESTS, "0" * 12)


def test_two_files_are_compared_whatever_they_measure_and_the_difference_is_said() -> None:
    a, b = scored(0.3), scored(0.6, attack="lira", defense="argmax", victim="town")
    assert rows([a], [b])["AUC"].attack == "image_loss / lira"
    for said in ("victim 'village', B 'town'", "defense 'none', B 'argmax'", "attack 'image_loss', B 'lira'"):
        assert f"A has {said}." in notes([a], [b])


@pytest.mark.parametrize(
    ("other", "says"),
    [
        (result(0.6, **ALIKE), "keep no scores of the same scenes"),
        (scored(0.6, dataset="elsewhere").with_scores(FEWER), "keep no scores of the same scenes"),
        (scored(0.6).with_scores(SceneScores(IDS, ~MEMBERS, IDS, HARD)), "these are two splits"),
        (scored(0.6).with_scores(SceneScores(["x", "y"], MEMBERS[98:102:3], ["x", "y"], HARD[:2])), "no scores of the"),
    ],
)  # fmt: skip
def test_what_cannot_be_paired_is_compared_by_intervals_and_said_to_be(other: Result, says: str) -> None:
    found, a = rows([scored(0.3)], [other])["AUC"], scored(0.3).levels["image"]
    b = other.levels["image"]
    assert found.scenes == 0
    assert found.change == unpaired(
        {"value": b.auc, "low": b.auc_low, "high": b.auc_high}, {"value": a.auc, "low": a.auc_low, "high": a.auc_high}
    )
    assert says in notes([scored(0.3)], [other])


def test_of_many_differences_those_are_told_that_stay_when_all_are_looked_at() -> None:
    names = [f"attack {k}" for k in range(5)]
    same = [scored(0.3, attack=name) for name in names]
    assert "None of 5 differences of AUC is more than noise." in notes(same, same)
    said = notes(same, [scored(0.9, attack=names[0]), *same[1:]])
    assert "allowing for 5 differences of AUC: attack 0 (none, attacker unaware) +0." in said
    assert "attack 1" not in said


def test_the_model_is_measured_once_whatever_attacks_it() -> None:
    both = [scored(0.3), scored(0.3, attack="lira")]
    better = [scored(0.3, attack=name, utility=utility(0.45), digests=OTHER) for name in ("image_loss", "lira")]
    found = [row for row in compared(both, better).rows if row.measure.startswith("mIoU")]
    assert len(found) == 1
    assert (found[0].attack, found[0].change["value"]) == ("", pytest.approx(0.05))
    assert found[0].change["high"] == pytest.approx(0.05 + np.hypot(0.03, 0.03))
    assert rows(both[:1], both[:1])["mIoU on non-members"].reading == "the same", "they are the same answers"


def test_a_ranking_that_is_turned_around_is_no_protection() -> None:
    level = scored(0.3).dump()["levels"]["image"]
    b = relevelled(scored(0.3), image=level | {"auc": 0.1, "auc_low": 0.05, "auc_high": 0.2})
    assert "In B image_loss ranks backwards: turned around its AUC is 0.900." in notes([scored(0.3)], [b])


def test_the_table_and_the_json_say_the_same(tmp_path: Path) -> None:
    a, b = (results.write(tmp_path / name, scored(shift)) for name, shift in (("a", 0.3), ("b", 0.6)))
    text = call("compare", a, tmp_path / "b")
    told = json.loads(call("compare", tmp_path / "a", b, "--json").out)
    assert (text.code, text.err) == (0, "")
    assert [row["measure"] for row in told["rows"]] == [
        "AUC", "TPR at 10% FPR", "TPR at 1% FPR", "balanced accuracy", "mIoU on non-members",
    ]  # fmt: skip
    for row in told["rows"]:
        assert f"{row['change']['value']:+.3f} [{row['change']['low']:+.3f}, {row['change']['high']:+.3f}]" in text.out
        assert row["reading"] in text.out
    for note in told["notes"]:
        assert note in text.out


def test_nothing_in_common_is_refused(tmp_path: Path) -> None:
    for name, attacks in (("a", ("image_loss", "lira")), ("b", ("rmia", "base"))):
        for attack in attacks:
            results.write(tmp_path / name, result(attack=attack, representation=""))
    assert_refused(call("compare", tmp_path / "a", tmp_path / "b"), "no victim, defense, attack, shadow and seed")
    assert_refused(call("compare", tmp_path / "a", tmp_path / "c"), "does not exist")
