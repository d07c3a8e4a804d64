"""What the report says of controls: a sound split, a confounded one, an untested one and results from before them."""

from pathlib import Path
from typing import Any

import pytest
from helpers_files import call
from helpers_results import relevelled, result

from mia_seg import report
from mia_seg.evaluate import results
from mia_seg.evaluate.results import Result
from mia_seg.report import words
from mia_seg.report.advice import told
from mia_seg.report.cells import enriched
from mia_seg.report.lists import glance
from mia_seg.report.verdicts import verdict
from mia_seg.verdict.soundness import unreadable

SOUND = {
    "auc": 0.52,
    "low": 0.4,
    "high": 0.6,
    "p": 0.31,
    "confounded": False,
    "alpha": 0.01,
    "folds": 5,
    "features": 64,
}
FLAGGED = SOUND | {"auc": 0.81, "p": 0.001, "confounded": True, "above": 0.09}
UNTESTED = {"untested": "3 groups on one side can be shuffled in 18 ways, too few for p <= 0.01"}
SHUFFLE = {"mean": 0.501, "low": 0.39, "high": 0.61, "p": 0.004}
HALVES = {"distance": 0.06, "low": 0.36, "high": 0.64, "by_order": 0.47, "p_order": 0.77}


def controlled(blind: dict[str, Any], *, halves: dict[str, Any] = HALVES, **changes: Any) -> Result:
    return result(1.8, controls={"blind": blind, "shuffle": SHUFFLE, "halves": halves}, **changes)


def said(*found: Result) -> str:
    return " ".join(words.controls(enriched(found)))


def test_a_sound_split_is_said_in_a_sentence() -> None:
    one = controlled(SOUND)
    assert "An attacker who never sees the model reaches AUC 0.52 (p 0.31). Simple features" in said(one)
    assert glance(enriched([one])).rows[0][1:3] == ["leaks", "sound"]


def test_a_split_that_may_give_members_away_is_doubtful_and_not_called_sound() -> None:
    """Beside an attacker without the model who reaches as much, a leak is not the model's for sure."""
    one = controlled(SOUND | {"auc": 0.64, "p": 0.018})
    rows = enriched([one])
    assert glance(rows).rows[0][1:3] == ["leaks", "doubtful"]
    assert "AUC 0.64 (p 0.018). Chance seldom gives as much, but p is too large" in said(one)
    assert "because an attacker who never sees it reaches AUC 0.64 (p 0.018)." in told(rows)
    assert "Next: Audit more members and non-members, drawn by chance" in told(rows)
    # One of three sound splits has so small a p once in twenty audits.
    three = [one, *(controlled(SOUND, seed=seed) for seed in (2, 3))]
    assert glance(enriched(three)).rows[0][2] == "sound"


def test_a_confounded_split_is_said_first_and_calls_nothing_a_leak() -> None:
    one = controlled(FLAGGED)
    above = one.levels["image"].auc - 0.81
    text = str(verdict(enriched([one])))
    assert text.startswith("Not resolved: members and non-members differ")
    assert f"reaches AUC 0.81 by images and labels alone. The attack's AUC differs from that by {above:+.2f}." in text
    assert "AUC 0.81 (p 0.001): CONFOUNDED" in said(one)
    assert glance(enriched([one])).rows[0][1] == "confounded"


@pytest.mark.parametrize("labelled", [True, False])
def test_where_scenes_have_no_labels_nobody_is_said_to_have_seen_any(tmp_path: Path, labelled: bool) -> None:
    bare = {} if labelled else {"utility": None, "shadow_utility": None}
    partly = [controlled(SOUND, seed=1, **bare), result(1.8, seed=2, **bare)]
    for victim, found in (("one", [controlled(FLAGGED, victim="one", **bare)]), ("village", partly)):
        report.write(tmp_path, found, forms=["html"])
        page = (tmp_path / victim / "index.html").read_text()
        assert ("images and labels" in page.lower()) is labelled
        assert "by images" in page
    text = f"{verdict(enriched([controlled(FLAGGED, **bare)]))} {said(controlled(FLAGGED, **bare))}"
    seen = "images and labels" if labelled else "images"
    assert f"by {seen} alone" in text
    assert f"beyond what {seen} alone give away" in text
    assert f"{seen.capitalize()} alone tell members" in text


def test_the_table_on_the_screen_says_so_above_itself(tmp_path: Path) -> None:
    for one in (controlled(FLAGGED), controlled(SOUND, victim="sound")):
        results.write(tmp_path, one)
    lines = call("results", "--reports", tmp_path).out.splitlines()
    assert lines[0].startswith("village: An attacker who never sees the model reaches AUC 0.81 (p 0.001): CONFOUNDED")
    assert lines[1].split()[:2] == ["victim", "shadow"]


def test_one_confounded_seed_of_two_is_enough() -> None:
    found = [controlled(SOUND, seed=1), controlled(FLAGGED, seed=2)]
    assert "AUC 0.52 (p 0.31); 0.81 (p 0.001): CONFOUNDED" in said(*found)
    assert verdict(enriched(found)).state == "confounded"


def test_many_seeds_share_the_chance_of_a_false_alarm() -> None:
    """One of ten sound splits has p up to 0.01 in ten of a hundred audits."""
    flagged = controlled(FLAGGED | {"p": 0.008}, seed=0)
    for seeds, state in ((5, "confounded"), (10, "leaks")):
        found = [flagged, *(controlled(SOUND, seed=seed) for seed in range(1, seeds))]
        assert verdict(enriched(found)).state == state
        assert ("CONFOUNDED" in said(*found)) is (state == "confounded")
        assert bool(unreadable(found)) is (state == "confounded")


def test_what_was_not_tested_is_said() -> None:
    assert "was not tested: 3 groups on one side" in said(controlled(UNTESTED))
    assert "(1 of 2 seeds not tested)" in said(controlled(SOUND, seed=1), controlled(UNTESTED, seed=2))
    assert "older than that control" in said(result(1.8))
    both = said(controlled(SOUND), result(1.8, defense="argmax"))
    assert "never sees the model reaches AUC 0.52 (p 0.31). Simple" in both


def test_flat_rows_hold_the_controls_or_none() -> None:
    image, patch = results.rows([controlled(FLAGGED)])
    names = ("blind_auc", "blind_p", "confounded", "shuffle_p")
    assert [image[name] for name in names] == [0.81, 0.001, True, 0.004]
    assert [patch[name] for name in names] == [0.81, 0.001, True, None]
    for old in (result(1.8), controlled(UNTESTED)):
        assert results.row(old, "image")["confounded"] is None


@pytest.mark.parametrize("old", [False, True])
def test_the_page_has_both_tables_where_results_have_controls(tmp_path: Path, old: bool) -> None:
    twins = {"members": 3, "of": 60, "distance": 8, "pairs": [{"member": "a", "nonmember": "b"}]}
    few = controlled(UNTESTED, halves={"untested": "one non-member group cannot be halved"}, seed=2, near_twins=twins)
    report.write(tmp_path, [result(1.8)] if old else [controlled(FLAGGED), few], {})
    page = (tmp_path / "village" / "index.html").read_text()
    assert ("Near twins: 3 of 60 members (seed 2) look" in page) is not old
    parts = ["0.50 [0.39, 0.61]", "0.06 [0.36, 0.64]", "+0.09", "not tested: 3 groups", "not tested: one non-member"]
    assert [part in page for part in parts] == [not old] * 5
    assert ("Chance, measured on the attacks" in page) is not old


def by_labels(value: float, half: float, shadow: str) -> Result:
    one = controlled(SOUND, representation="labels", shadow=shadow)
    return relevelled(one, image=one.dump()["levels"]["image"] | {
        "auc": value, "auc_low": value - half, "auc_high": value + half,
    })  # fmt: skip


@pytest.mark.parametrize(("value", "alone", "of_two"), [
    (0.46, "doubtful", "sound"), (0.45, "confounded", "doubtful"), (0.56, "confounded", "confounded"),
    (0.48, "sound", "sound"),
])  # fmt: skip
def test_labels_alone_confound_a_split_as_seldom_however_many_try_them(value: float, alone: str, of_two: str) -> None:
    """A 95% interval that leaves out 0.5 is doubtful, a 99% one confounded; two are each held to half of that."""
    mine, other = by_labels(value, 0.037, "village_a1"), by_labels(0.51, 0.037, "village_a2")
    behind = by_labels(0.9, 0.037, "village_a1").model_copy(update={"defense": "argmax"})
    for found, state in (([mine, behind], alone), ([mine, other], of_two)):
        rows = enriched([controlled(SOUND), *found])
        given, said = verdict(rows), words.controls(rows)[0]
        assert given.controls == state
        assert (given.state == "confounded") is (state == "confounded")
        assert ("because an attacker who sees labels alone reaches AUC" in str(given)) is (state == "doubtful")
        assert ("That is " in said) is (state == "confounded")
        assert ("not by enough to call the split confounded" in said) is (value + 0.037 < 0.5 and state != "confounded")


def test_the_99_and_the_95_percent_ends_are_those_of_the_side_of_chance() -> None:
    """0.5 + 2.5 of 2.576 standard errors is doubtful, whatever the interval's other side is."""
    one = controlled(SOUND, representation="labels")
    for away, state in ((1.9, "sound"), (2.5, "doubtful"), (2.65, "confounded")):
        image = one.dump()["levels"]["image"] | {"auc": 0.5 + 0.01 * away, "auc_high": 0.9}
        image["auc_low"] = image["auc"] - 0.0196
        assert verdict(enriched([controlled(SOUND), relevelled(one, image=image)])).controls == state


def test_of_two_controls_only_that_which_confounds_is_said_to() -> None:
    rows = enriched([controlled(SOUND), by_labels(0.58, 0.037, "village_a1"), by_labels(0.54, 0.037, "village_a2")])
    first, second, *_ = words.controls(rows)
    assert "Only what an AUC has above 0.58 can be a leak." in first
    assert "not by enough" in second
