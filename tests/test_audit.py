"""Audit: which levels a result has, what it says of epsilon, and which members it names as exposed."""

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mia_seg.attacks import Membership, Scores, Thresholds
from mia_seg.data.streets import Streets
from mia_seg.evaluate import audit
from mia_seg.evaluate.audit import Subject, _exposed, by_group, epsilon, measured
from mia_seg.recipes.splits import SplitRule


def known(members: np.ndarray, groups: list[str]) -> Membership:
    return Membership(members, np.array(groups))


def asked(members: np.ndarray, groups: list[str]) -> Any:
    """A victim or shadow that was asked about these scenes."""
    names = [f"scene_{place:02d}" for place in range(len(members))]
    recipe = SimpleNamespace(split=SimpleNamespace(rule="random"), dataset=lambda: SimpleNamespace(classes=list))
    return SimpleNamespace(
        parts=SimpleNamespace(audited=names), known=lambda: known(members, groups), seed=0, recipe=recipe
    )


def named(scores: np.ndarray, members: np.ndarray, groups: list[str]) -> Any:
    return _exposed(scores, asked(members, groups), known(members, groups))


def levels_of(
    monkeypatch: pytest.MonkeyPatch, scores: np.ndarray, members: np.ndarray, groups: list[str], threshold: float = 0.0
) -> dict[str, Any]:
    """The levels of a result whose answers say nothing else."""
    for name in ("_utility", "confidence"):
        monkeypatch.setattr(audit, name, lambda *answers: {})
    attacker: Any = SimpleNamespace(thresholds=Thresholds(threshold))
    model, answers = asked(members, groups), None
    found: dict[str, Any] = measured(
        Scores(scores), attacker, model, shadow=model, victim_answers=answers, shadow_answers=answers
    )["levels"]  # type: ignore[arg-type]
    return found


def test_groups_are_told_apart_though_their_scenes_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    members = np.arange(60) < 30
    groups = [f"drive_{place // 3:02d}" for place in range(60)]
    # Of a member group one scene in three gives it away; of another group none does.
    scores = np.where(members & (np.arange(60) % 3 == 0), 9.0, np.where(members, -2.0, -1.0))
    found = levels_of(monkeypatch, scores, members, groups, threshold=1.0)
    assert list(found) == ["image", "group"]
    assert found["image"]["auc"] == pytest.approx(1 / 3)
    group = found["group"]
    assert (group["auc"], group["balanced_accuracy"], group["threshold"]) == (1.0, 1.0, 1.0)
    counts = ("n_members", "n_nonmembers", "n_member_groups", "n_nonmember_groups")
    assert [group[name] for name in counts] == [10, 10, 10, 10]
    assert [found["image"][name] for name in counts] == [30, 30, 10, 10]


def test_scenes_that_are_groups_of_their_own_make_no_level(monkeypatch: pytest.MonkeyPatch) -> None:
    members = np.arange(8) < 4
    assert list(levels_of(monkeypatch, members * 1.0, members, [str(place) for place in range(8)])) == ["image"]


def test_a_group_has_the_mean_of_its_own_scenes_wherever_they_stand() -> None:
    members = np.array([True, False, True, True, False, False])
    scores_U, members_U = by_group(
        np.array([1.0, 5.0, 2.0, 6.0, 4.0, 0.5]), known(members, ["b", "c", "b", "b", "a", "c"])
    )
    assert scores_U.tolist() == [4.0, 3.0, 2.75]
    assert members_U.tolist() == [False, True, False]


def test_a_group_on_both_sides_is_a_mistake() -> None:
    with pytest.raises(AssertionError, match="a group lies among members and non-members"):
        by_group(np.zeros(3), known(np.array([True, False, False]), ["a", "a", "b"]))


def bound(rule: str, seed: int, leak: float, count: int = 30) -> dict[str, Any]:
    """What a result says of epsilon where members score `leak` standard deviations above non-members."""
    split = SplitRule(rule=rule, members=count, nonmembers=count, pool=0)  # type: ignore[arg-type]
    recipe: Any = SimpleNamespace(split=split)
    victim = Subject("village", recipe, seed, split.cut(Streets(count=2 * count), None, seed))
    scores_N = np.random.default_rng(seed).normal(size=2 * count) + leak * victim.known().members_N
    return epsilon(scores_N, victim, victim.known())


def test_epsilon_grows_with_the_leak_up_to_what_the_scenes_can_show() -> None:
    means = [np.mean([bound("coin", seed, leak)["low"] for seed in range(20)]) for leak in (0.0, 1.0, 2.0, 4.0)]
    assert means == sorted(means)
    assert means[0] < 0.05
    assert means[1] > 0.3
    assert means[2] > 1
    share = 0.05 ** (1 / 60)
    assert 1.5 < means[3] < math.log(share / (1 - share)), "coins seldom fall on half of the scenes"


def test_epsilon_is_zero_in_19_of_20_audits_of_nothing() -> None:
    assert np.mean([bound("coin", seed, 0.0, count=25)["low"] == 0 for seed in range(300)]) >= 0.95


def test_a_bound_says_how_it_came_about_and_its_absence_why() -> None:
    found = bound("coin", 0, 4.0)
    assert found == {
        "low": found["low"], "mu": found["mu"], "delta": 0.0, "guesses": 60, "level": 0.95,
        "design": "one run, fair coins",
    }  # fmt: skip
    assert 0 < found["mu"] < found["low"]
    assert bound("random", 0, 4.0) == {
        "low": None, "reason": "[split] rule 'random' tosses no fair coin for each scene; rule 'coin' does"
    }  # fmt: skip


def test_members_that_outrank_every_non_member_are_named() -> None:
    members = np.arange(40) % 2 == 0
    scores = np.where(
        np.isin(np.arange(40), (4, 8, 12, 16, 20, 24, 28, 30, 32, 34, 36, 38)), 9.0, -10.0 * members - np.arange(40)
    )
    found = named(scores, members, [str(place) for place in range(40)])
    assert (found["fdr"], found["tested"]) == (0.1, 20)
    # p is 1/21 for all twelve: 1/21 <= 0.1 * 12/20. Non-members are never named, however high they score.
    assert sorted(found["scenes"]) == [f"scene_{place:02d}" for place in (4, 8, 12, 16, 20, 24, 28, 30, 32, 34, 36, 38)]


def test_scenes_in_blocks_name_nobody() -> None:
    members = np.arange(40) < 20
    assert named(members * 1.0, members, [str(place // 2) for place in range(40)]) is None
