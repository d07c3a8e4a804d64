"""The gate: a verdict for each limit, from intervals whose place is known; its exit codes and its files."""

import json
import re
import shlex
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import yaml
from helpers_files import assert_refused, call, victim_text, write
from helpers_results import beside, relevelled, result
from scipy.stats import norm

from mia_seg.evaluate import results
from mia_seg.evaluate.results import Result
from mia_seg.evaluate.scores import SceneScores
from mia_seg.metrics.membership import ranked
from mia_seg.verdict import files
from mia_seg.verdict.gate import Verdict, judged, overall
from mia_seg.verdict.limits import Limit, limits
from mia_seg.verdict.rises import risen

DOC = Path(__file__).parents[1] / "docs" / "gate.md"
SOUND = {"auc": 0.5, "low": 0.4, "high": 0.6, "p": 0.5, "confounded": False, "alpha": 0.01, "folds": 5, "features": 9}
SHUFFLE = {"mean": 0.5, "low": 0.4, "high": 0.6, "p": 0.5}
STRANGE = "<b>\"'&amp;$x^2$ 街道 \x1b[31m\uffff😀"


def controls(**blind: Any) -> dict[str, Any]:
    return {"blind": SOUND | blind, "shuffle": SHUFFLE, "halves": {"untested": "no halves"}}


def told(value: float, low: float, high: float, **changes: Any) -> Result:
    """A result whose AUC and interval are these, of a victim whose controls are sound."""
    rest = {"attack": "image_loss", "representation": "", "controls": controls()} | changes
    rest.setdefault("digests", dict.fromkeys(DIGESTS, f"{rest.get('seed', 1):012x}"))
    made = result(**rest)
    level = made.dump()["levels"]["image"] | {"auc": value, "auc_low": low, "auc_high": high}
    return relevelled(made, image=level)


DIGESTS = ("victim", "shadow", "attacker", "victim_answers", "shadow_answers")


def verdict(*found: Result, most: float = 0.6, defense: str = "none") -> Verdict:
    (one,) = judged(found, "village", defense, limits=[Limit(most)])
    return one


@pytest.mark.parametrize(
    ("interval", "state", "says"),
    [
        ((0.52, 0.46, 0.58), "pass", "AUC 0.520 [0.460, 0.580] by image_loss"),
        ((0.58, 0.50, 0.60), "cannot tell", "lies on both sides of 0.6"),
        ((0.55, 0.45, 0.65), "cannot tell", "Audit about 4 times as many scenes"),
        ((0.70, 0.49, 0.85), "cannot tell", "lies on both sides of 0.6"),
        ((0.70, 0.59, 0.81), "cannot tell", "Audit about 2 times as many scenes"),
        ((0.70, 0.61, 0.79), "fail", "lies above 0.6"),
        ((0.48, 0.42, 0.54), "pass", "AUC 0.520 [0.460, 0.580]"),
        ((0.20, 0.10, 0.30), "fail", "AUC 0.800 [0.700, 0.900] by image_loss turned around"),
        ((0.60, 0.40, 0.70), "cannot tell", "Audit many more scenes"),
    ],
)
def test_an_interval_beside_a_limit_is_one_of_three_verdicts(interval: Any, state: str, says: str) -> None:
    found = verdict(told(*interval))
    assert found.state == state
    assert says in found.said


def test_a_failure_allows_for_all_that_were_tried_and_a_pass_asks_for_each_of_them() -> None:
    high, low = told(0.7, 0.605, 0.8), told(0.52, 0.45, 0.595, attack="label_only")
    assert verdict(high).state == "fail"
    among = verdict(high, low)
    assert among.state == "cannot tell", "the higher of two may be so by chance"
    assert "[0.591, 0.814] by image_loss" in among.said, "what is told holds the limit"
    assert "on both sides of 0.6 with an interval that allows for all 2: too few scenes to tell." in among.said
    assert verdict(low, told(0.51, 0.44, 0.58)).state == "pass"
    assert verdict(low, told(0.51, 0.40, 0.61, attack="lira")).attack == "lira", "a weaker one may be less sure"
    sure = verdict(told(0.8, 0.7, 0.9), low)
    wider = norm.ppf(1 - 0.025 / 2) / norm.ppf(0.975)
    assert sure.interval == pytest.approx((0.8, 0.8 - 0.1 * wider, 0.8 + 0.1 * wider))
    assert (sure.state, sure.attack, sure.tried) == ("fail", "image_loss", 2)
    assert "one of 2 results) lies above 0.6 with an interval that allows for all 2." in sure.said


def test_one_attack_or_seed_that_fails_is_enough() -> None:
    found = verdict(told(0.5, 0.48, 0.52), told(0.9, 0.8, 0.95, attack="lira"), told(0.5, 0.48, 0.52, seed=2))
    assert (found.state, found.attack, found.seed) == ("fail", "lira", 1)


def test_what_never_sees_the_model_is_not_judged() -> None:
    control = told(0.9, 0.8, 0.95, attack="patch_resnet50", representation="labels")
    assert verdict(told(0.5, 0.45, 0.55), control).state == "pass"
    assert "no attack was tried on it with defense none" in verdict(control).said


@pytest.mark.parametrize("confident", [(0.5, 0.45, 0.55), (0.9, 0.8, 0.95)])
@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"controls": None}, "from before an attacker was tested who never sees the model"),
        ({"controls": controls(confounded=True, auc=0.8, p=0.001)}, "reaches AUC 0.800 by images and labels alone"),
        (
            {"controls": controls(confounded=True, auc=0.8, p=0.001), "utility": None},
            "reaches AUC 0.800 by images alone",
        ),
        ({"controls": controls() | {"blind": {"untested": "2 groups"}}}, "could not be tested at seed 1 (2 groups)"),
        ({"digests": dict.fromkeys(DIGESTS, "0" * 12), "attack": "lira"}, "results of 2 models have this name"),
    ],
)
def test_numbers_that_are_no_measure_of_a_leak_tell_nothing(confident: Any, changes: Any, says: str) -> None:
    found = [told(*confident, **changes)]
    if "digests" in changes:
        found.append(told(*confident))
    assert verdict(*found).state == "cannot tell"
    assert says in verdict(*found).said


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"left_out": {"members": ["a"] * 5, "nonmembers": []}}, "5 members and 0 non-members have no labelled pixel"),
        ({"near_twins": {"members": 3, "of": 60, "distance": 9, "pairs": []}}, "3 of 60 members look nearly like"),
        ({"defense": "argmax"}, "no attacker was tried who knows of the defense"),
    ],
)
def test_what_hides_a_leak_keeps_low_numbers_from_passing_and_not_high_ones_from_failing(
    changes: Any, says: str
) -> None:
    defense = changes.get("defense", "none")
    low, high = (verdict(told(*ends, **changes), defense=defense) for ends in ((0.5, 0.45, 0.55), (0.9, 0.8, 0.95)))
    assert (low.state, high.state) == ("cannot tell", "fail")
    assert says in low.said


@pytest.mark.parametrize(("auc", "codes"), [(0.5, (0, 2)), (0.9, (1, 1))])
def test_results_from_before_near_twins_were_sought_do_not_pass(
    tmp_path: Path, auc: float, codes: tuple[int, int]
) -> None:
    """Newer files say null where no member has one."""
    paths = [results.write(tmp_path, told(auc, auc - 0.05, auc + 0.05, seed=seed)) for seed in (1, 2)]
    raw = json.loads(paths[1].read_text())
    assert raw.pop("near_twins", "absent") is None
    new = call("gate", tmp_path, "--max-auc", "0.6")
    paths[1].write_text(json.dumps(raw))
    old = call("gate", tmp_path, "--max-auc", "0.6")
    assert (new.code, old.code) == codes
    told_ = "seed 2 are from before it was tested whether members look nearly like non-members. Delete them"
    assert (told_ in " ".join(old.out.split())) is (auc < 0.6)
    assert told_ not in " ".join(new.out.split())


def test_a_defense_passes_by_an_attacker_who_knows_it() -> None:
    found = told(0.5, 0.45, 0.55, defense="argmax", adaptive=True)
    assert "which knows the defense" in verdict(found, defense="argmax").said
    assert verdict(found, defense="argmax").state == "pass"
    assert "no attack was tried on it with defense none, only with argmax" in verdict(found).said


def test_a_tpr_is_told_where_non_members_resolve_it() -> None:
    found = told(0.5, 0.45, 0.55)
    few, some = judged([found], "village", "none", limits=limits(None, ["0.05@0.01", "0.9@0.1"]))
    assert few.state == "cannot tell"
    assert "60 groups of non-members do not resolve it. Audit at least 100" in few.said
    rate = found.levels["image"].tpr_at_fpr["0.1"]
    assert not isinstance(rate, str)
    assert some.interval == (rate.tpr, rate.low, rate.high)


def test_a_tpr_of_a_backward_ranking_is_that_of_turned_scores() -> None:
    ids = [f"scene {k}" for k in range(200)]
    back = told(0.1, 0.05, 0.2, shift=0.0, count=100)
    turned = back.with_scores(SceneScores(ids, MEMBERS, ids, HARD - 3 * MEMBERS))
    (sure,) = judged([turned], "village", "none", limits=limits(None, ["0.5@0.1"]))
    rate = ranked(-HARD + 3 * MEMBERS, MEMBERS)["tpr_at_fpr"]["0.1"]
    assert (sure.state, sure.interval) == ("fail", (rate["tpr"], rate["low"], rate["high"]))
    (unknown,) = judged([told(0.1, 0.05, 0.2)], "village", "none", limits=limits(None, ["0.5@0.1"]))
    assert (unknown.state, "no scores lie beside" in unknown.said) == ("cannot tell", True)
    (chance,) = judged([told(0.45, 0.4, 0.51, shift=0.0)], "village", "none", limits=limits(None, ["0.5@0.1"]))
    assert chance.state == "pass", "a ranking that is backwards by chance stays as it is"


@pytest.mark.parametrize(
    ("auc", "tprs", "says"),
    [
        (0.5, [], "above 0.5, which is chance"), (1.0, [], "below 1"), (float("nan"), [], "--max-auc nan"),
        (None, ["0.01@0.01"], "above 0.01"), (None, ["5%"], "Write TPR@FPR"), (None, ["0.5@0.05"], "0.1, 0.01, 0.001"),
        (None, ["@"], "Write TPR@FPR"), (None, [], "No limit is given"),
    ],
)  # fmt: skip
def test_limits_that_are_none_are_refused(tmp_path: Path, auc: float | None, tprs: list[str], says: str) -> None:
    results.write(tmp_path, told(0.5, 0.45, 0.55))
    options = [*([] if auc is None else ["--max-auc", f"{auc}"]), *(f"--max-tpr={text}" for text in tprs)]
    assert_refused(call("gate", tmp_path, *options), says)


@pytest.mark.parametrize(
    ("interval", "code", "word"),
    [((0.52, 0.46, 0.58), 0, "pass"), ((0.9, 0.8, 0.95), 1, "fail"), ((0.55, 0.45, 0.65), 2, "cannot tell")],
)
def test_the_exit_code_the_screen_and_the_files_say_the_same(
    tmp_path: Path, interval: Any, code: int, word: str
) -> None:
    place = results.write(tmp_path / "reports", told(*interval))
    asked = ("gate", place, tmp_path / "reports", "--max-auc", "0.6", "--junit", tmp_path / "new/j.xml", "--badge")
    ran = call(*asked, tmp_path / "b.svg")
    assert (ran.code, ran.err) == (code, "")
    assert ran.out.startswith(f"{word:<11} village, no defense: AUC")
    assert ran.out.count("\n") == 1, "a file that lies below a folder is named twice and read once"
    told_ = json.loads(call(*asked, tmp_path / "b.svg", "--json").out)
    assert (told_["verdict"], told_["judged"][0]["interval"]["value"]) == (word, interval[0])
    (suite,) = ElementTree.parse(tmp_path / "new/j.xml").getroot()
    case = {"pass": "system-out", "fail": "failure", "cannot tell": "error"}[word]
    assert [child.tag for child in suite[0]] == [case]
    badge = ElementTree.parse(tmp_path / "b.svg").getroot()
    assert badge[-1][-1].text == ("unknown" if code == 2 else word)


def test_no_results_leave_an_error_for_the_ci_and_no_old_badge(tmp_path: Path) -> None:
    (tmp_path / "b.svg").write_text("an old one that says pass")
    ran = call("gate", tmp_path / "none", "--max-auc=0.6", "--junit", tmp_path / "j.xml", "--badge", tmp_path / "b.svg")
    assert_refused(ran, "does not exist")
    (suite,) = ElementTree.parse(tmp_path / "j.xml").getroot()
    assert suite.get("errors") == "1"
    assert "does not exist" in str(suite[0][0].get("message"))
    assert "unknown" in (tmp_path / "b.svg").read_text()


@pytest.mark.parametrize("option", ["--junit", "--badge"])
def test_a_file_that_cannot_be_written_is_named(tmp_path: Path, option: str) -> None:
    place = results.write(tmp_path, told(0.5, 0.45, 0.55))
    assert_refused(call("gate", place, "--max-auc=0.6", option, place / "j.xml"), f"{place / 'j.xml'} could not be")


def test_what_nobody_can_tell_apart_is_refused(tmp_path: Path) -> None:
    for folder, victim in (("a", "village"), ("b", "village"), ("c", "town")):
        results.write(tmp_path / folder, told(0.5, 0.45, 0.55, victim=victim))
    limit = ("--max-auc", "0.6")
    assert_refused(call("gate", tmp_path / "a", tmp_path / "b", *limit), "both measure image_loss on village")
    two = (tmp_path / "a", tmp_path / "c", *limit)
    assert_refused(call("gate", *two), "2 victims: town, village. Say which with --victim")
    assert call("gate", *two, "--victim", "village", "--victim", "town").out.count("pass ") == 2
    ran = call("gate", *two, "--victim", "hamlet")
    assert (ran.code, "there are no results of it, only of town, village. Run" in ran.out) == (2, True)


def test_files_of_another_schema_are_named(tmp_path: Path) -> None:
    path = results.write(tmp_path, told(0.5, 0.45, 0.55))
    path.write_text(path.read_text().replace('"schema": 2', '"schema": 3'))
    assert_refused(call("gate", tmp_path, "--max-auc", "0.6"), str(path), "its schema is 3")
    assert_refused(call("gate", __file__, "--max-auc", "0.6"), "is not a result")
    (tmp_path / "empty").mkdir()
    assert_refused(call("gate", tmp_path / "empty", "--max-auc", "0.6"), "holds no results")


def test_any_name_is_escaped_in_xml_and_on_the_badge() -> None:
    found = [Verdict(STRANGE, STRANGE, STRANGE, state, STRANGE) for state in ("pass", "fail", "cannot tell")]
    root = ElementTree.fromstring(files.junit(found).encode())
    assert {case.get("classname") for case in root.iter("testcase")} == {files.shown(STRANGE)}
    assert [root.get(name) for name in ("tests", "failures", "errors")] == ["3", "1", "1"]
    for verdicts in (found, found[:1], []):
        svg = ElementTree.fromstring(files.badge(verdicts).encode())
        assert not [node for node in svg.iter() if node.get("href")], "nothing lies beside it"
    assert files.shown(STRANGE).isprintable()
    assert overall([]) == "cannot tell"


@pytest.mark.parametrize("name", ["[bold]x[/bold] $a$", "<b>&amp;'\"", "街道 😀", "-v", "a\x1b[31m"], ids=ascii)
def test_any_victim_is_judged_by_its_name(tmp_path: Path, name: str) -> None:
    results.write(tmp_path / "r", told(0.5, 0.45, 0.55, victim=name))
    ran = call("gate", tmp_path / "r", "--max-auc", "0.6", f"--victim={name}", "--junit", tmp_path / "j.xml")
    assert (ran.code, ran.out.startswith(f"pass        {files.shown(name)}, no defense: AUC 0.500")) == (0, True)
    assert next(ElementTree.parse(tmp_path / "j.xml").iter("testcase")).get("classname") == files.shown(name)


HARD = np.random.default_rng(0).normal(size=200)
MEMBERS = np.arange(200) < 100


def scored(apart: float, ends: tuple[float, float, float] = (0.5, 0.45, 0.55), **changes: Any) -> Result:
    """A result that keeps its scores; what is hard is so in all of them."""
    own = np.random.default_rng(int(1000 * abs(apart))).normal(size=200)
    ids = [f"scene {k}" for k in range(200)]
    scores = SceneScores(ids, MEMBERS, ids, HARD + apart * MEMBERS + 0.1 * own)
    return beside(told(*ends, **changes), scores)


def against(before: list[Result], after: list[Result]) -> Verdict:
    return risen(before, after, "village", defense="none")


def test_a_rise_beyond_noise_fails_and_a_change_within_it_passes() -> None:
    rose, same = against([scored(0.3)], [scored(0.6)]), against([scored(0.3)], [scored(0.301)])
    assert (rose.state, same.state) == ("fail", "pass")
    assert rose.interval is not None
    assert rose.interval.low > 0
    assert "rose by more than noise: +0.0" in rose.said
    assert "did not rise by more than noise" in same.said
    assert against([scored(0.6)], [scored(0.3)]).state == "pass", "a fall is none"


def test_the_largest_rise_of_several_allows_for_all_of_them() -> None:
    names = ("image_loss", "label_only")
    one, two = (
        against([scored(0.3, attack=n) for n in names[:k]], [scored(0.6, attack=n) for n in names[:k]]) for k in (1, 2)
    )
    assert one.interval is not None
    assert two.interval is not None
    assert two.interval.low < one.interval.low
    assert "the largest change of 2" in two.said


def test_a_backward_ranking_is_turned_before_it_is_compared() -> None:
    """Scores that lie 0.9 apart the wrong way leak more than those that lie 0.3 apart that way."""
    far, near = (scored(-shift, ends=ends) for shift, ends in ((0.9, (0.2, 0.1, 0.3)), (0.3, (0.4, 0.35, 0.45))))
    assert (against([far], [near]).state, against([near], [far]).state) == ("pass", "fail")
    assert "image_loss turned around" in against([near], [far]).said
    assert against([scored(0.3)], [scored(-2.0, ends=(0.1, 0.05, 0.2))]).state == "fail", "from right to backwards"


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ([], [scored(0.3)], "in the baseline there are no results of it"),
        ([scored(0.3, controls=None)], [scored(0.3)], "in the baseline the results of seed 1 are from before"),
        ([scored(0.3), scored(0.3, attack="lira")], [scored(0.3)], "lira (seed 1) of the baseline was not tried now"),
        ([told(0.5, 0.4, 0.6)], [scored(0.3)], "has no scores of scenes in common"),
    ],
)  # fmt: skip
def test_a_rise_that_cannot_be_seen_is_said_to(before: list[Result], after: list[Result], says: str) -> None:
    found = against(before, after)
    assert found.state == "cannot tell"
    assert says in found.said


def test_two_splits_are_no_baseline_of_each_other() -> None:
    other = scored(0.3)
    assert other.scores is not None
    turned = SceneScores(other.scores.ids, ~MEMBERS, other.scores.groups, other.scores.scores_N)
    found = against([scored(0.3)], [told(0.5, 0.4, 0.6).with_scores(turned)])
    assert (found.state, "come from different splits" in found.said) == ("cannot tell", True)


def test_the_baseline_is_judged_from_files(tmp_path: Path) -> None:
    for folder, shift in (("old", 0.3), ("new", 0.6)):
        results.write(tmp_path / folder, scored(shift))
    ran = call("gate", tmp_path / "new", "--baseline", tmp_path / "old")
    assert (ran.code, ran.out.startswith("fail")) == (1, True)
    assert call("gate", tmp_path / "old", "--baseline", tmp_path / "old", "--max-auc", "0.6").out.count("pass ") == 2


def commands(kind: str) -> list[list[str]]:
    """The commands of mia-seg in the examples of docs/gate.md: 'yaml', those of the workflow, or 'console'."""
    (block,) = re.findall(rf"```{kind}\n(.*?)```", DOC.read_text(encoding="utf-8"), re.DOTALL)
    if kind == "console":
        return [shlex.split(line, comments=True) for line in block.splitlines()]
    steps = yaml.safe_load(block)["jobs"]["gate"]["steps"]
    return [found for step in steps if (found := shlex.split(step.get("run", "")))[:1] == ["mia-seg"]]


def test_the_example_for_a_ci_does_what_it_says(workdir: Path) -> None:
    write(workdir / "victims" / "mine.toml", victim_text())
    for folder in ("reports", "released"):
        results.write(workdir / folder, scored(0.3, victim="mine", shift=0.0))
    look, judge, side = commands("yaml")
    assert call(*look[1:], "--dry-run").code == 0
    ran = call(*judge[1:])
    assert [line.split()[0] for line in ran.out.splitlines()] == ["pass"] * 3, ran.out + ran.err
    assert [Path(name).is_file() for name in ("gate.xml", "gate.svg")] == [True, True]
    assert call(*side[1:]).code == 0


def test_the_commands_of_the_page_are_understood(workdir: Path) -> None:
    for folder in ("reports", "released"):
        for changes in ({}, {"defense": "argmax", "adaptive": True}):
            results.write(workdir / folder, scored(0.3, **changes))
    codes = [call(*command[1:]).code for command in commands("console")]
    assert codes == [2, 0, 0]
