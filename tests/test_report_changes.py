"""What a defense changes: scores beside results, differences on the same scenes, and the sentences made of them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers_results import above, result
from scipy.stats import chi2, norm, t

from mia_seg.errors import MiaSegError
from mia_seg.evaluate import results, scores
from mia_seg.evaluate.results import Result
from mia_seg.evaluate.scores import SceneScores
from mia_seg.metrics.membership import auc
from mia_seg.metrics.paired import auc_above, difference_correlations, over_seeds, overlaps
from mia_seg.metrics.segmentation import utility, utility_above
from mia_seg.report import sources, words
from mia_seg.report.cells import Estimate, cells, enriched
from mia_seg.report.changes import change_table, of_many

EACH = 100
MEMBERS = np.arange(2 * EACH) < EACH
HARD = np.random.default_rng(0).normal(size=2 * EACH)  # what every attack finds hard


def of_scenes(shift: float, noise: float = 0.0, seed: int = 0) -> SceneScores:
    """Scores whose sides lie `shift` apart; all share what is hard."""
    scores_N = HARD + shift * MEMBERS + noise * np.random.default_rng(seed + 1).normal(size=2 * EACH)
    ids = [f"scene, {k}" for k in range(2 * EACH)]
    return SceneScores(ids, MEMBERS, ids, scores_N)


def told(shift: float, defense: str = "none", change: float | None = None, **more: Any) -> Result:
    """A result with the scores that it says it has."""
    ranked = of_scenes(shift, 0.1, more.get("seed", 1))
    if change is not None:
        half = {"value": change, "low": change - 0.002, "high": change + 0.002}
        more["utility_change"] = {"members": half, "nonmembers": half}
    made = result(shift, count=EACH, defense=defense, adaptive=defense != "none", **more)
    return made.with_scores(ranked)


def test_scores_come_back_from_their_file_to_the_last_digit(tmp_path: Path) -> None:
    mine, path = of_scenes(0.3), tmp_path / "a.scores.csv"
    path.write_text(mine.text(), encoding="utf-8")
    back = scores.read(path)
    assert (back.ids, back.groups) == (mine.ids, mine.groups)
    assert (back.scores_N == mine.scores_N).all()
    assert (back.members_N == mine.members_N).all()


def test_a_result_is_written_and_read_with_its_scores(tmp_path: Path) -> None:
    path = results.write(tmp_path, told(1.0))
    assert results.read(path).scores is not None
    assert results.files(tmp_path) == [path]
    assert "scores" not in path.read_text()
    again = results.write(tmp_path, result(1.0, count=EACH))
    assert again == path
    assert results.read(path).scores is None, "those of another result do not stay"


def test_scores_that_are_cut_off_between_two_scenes_are_named(tmp_path: Path) -> None:
    path = results.write(tmp_path, told(1.0))
    beside = scores.beside(path)
    lines = beside.read_text().splitlines(keepends=True)
    beside.write_text("".join(lines[:-3]))
    fault = rf"{beside.name} holds 100 members and 97 non-members, and {path.name} was measured on 100 members and 100"
    with pytest.raises(MiaSegError, match=rf"{fault} non-members: .*Remove it, or run the attack again\.$"):
        results.read(path)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("id,member\na,1\n", "holds no scores"),
        ("id,member,group,score\na,maybe,a,1\n", "holds no scores"),
        ("id,member,group,score\na,1,a,x\n", "holds no scores"),
        ('id,member,group,score\n"a,1,a,0\n' + "b,1,b,0\n" * 20_000, "holds no scores"),
        ("", "holds no scene"),
        ("id,member,group,score\n", "holds no scene"),
        ("id,member,group,score\na,1,a,0\nb,0,b,0\na,1,a,0\n", "has the scene 'a' twice"),
        ("id,member,group,score\na,1,a,0\nb,0,b,nan\n", "gives the scene 'b' no finite score"),
        ("id,member,group,score\na,1,a,-inf\nb,0,b,0\n", "gives the scene 'a' no finite score"),
    ],
)
def test_a_file_that_holds_no_scores_is_named(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "a.scores.csv").write_text(text)
    with pytest.raises(MiaSegError, match=rf"a\.scores\.csv {says}"):
        scores.read(tmp_path / "a.scores.csv")


def test_only_scenes_of_both_are_compared_and_two_splits_are_not() -> None:
    mine, other = of_scenes(1.0), of_scenes(0.5)
    less = SceneScores(mine.ids[10:-5], MEMBERS[10:-5], mine.groups[10:-5], mine.scores_N[10:-5])
    found = above(less, other)
    assert found == auc_above(mine.scores_N[10:-5], other.scores_N[10:-5], MEMBERS[10:-5])
    assert found["value"] == pytest.approx(
        auc(mine.scores_N[10:-5], MEMBERS[10:-5]) - auc(other.scores_N[10:-5], MEMBERS[10:-5])
    )
    assert less.common(SceneScores(["elsewhere"], MEMBERS[:1], ["elsewhere"], HARD[:1])) is None
    with pytest.raises(MiaSegError, match="come from different splits"):
        mine.common(SceneScores(mine.ids, ~MEMBERS, mine.groups, mine.scores_N))


def rate(value: float, half: float) -> Any:
    return {"value": value, "low": value - half, "high": value + half}


def test_differences_over_seeds_are_a_mean_with_the_wider_interval_of_two() -> None:
    assert over_seeds([rate(0.1, 0.02)]) == rate(0.1, 0.02)
    alike = over_seeds([rate(0.1, norm.ppf(0.975) * 0.01)] * 4)
    assert alike == pytest.approx(rate(0.1, norm.ppf(0.975) * 0.01 / 2)), "what each does not know, four times less"
    far = [-0.1, 0.05, 0.2]  # what seeds differ by drowns what each does not know
    spread = over_seeds([rate(value, 0.0002) for value in far])
    assert spread == pytest.approx(rate(0.05, t.ppf(0.975, 2) * np.std(far, ddof=1) / 3**0.5))
    assert over_seeds([rate(value, 0.0002) for value in far], tried=4) == pytest.approx(
        rate(0.05, t.ppf(1 - 0.025 / 4, 2) * np.std(far, ddof=1) / 3**0.5)
    )


@pytest.mark.parametrize("tried", [1, 8])
@pytest.mark.parametrize("seeds", [2, 3, 5, 10])
@pytest.mark.parametrize("spread", [0.0, 1.0, 1.5, 3.0, 100.0])
def test_differences_over_seeds_include_the_truth_as_often_as_they_say(seeds: int, spread: float, tried: int) -> None:
    """By integration: mean and variance of normal seeds are independent, and the variance follows chi-squared."""
    total, held, error = 1 + spread**2, [], 0.0001
    for variance in total * chi2.ppf((np.arange(500) + 0.5) / 500, seeds - 1) / (seeds - 1):
        shape = np.array([1.0, -1.0] + [0.0] * (seeds - 2)) * np.sqrt(variance * (seeds - 1) / 2)
        each = [rate(error * value, error * norm.ppf(0.975)) for value in shape.tolist()]
        half = over_seeds(each, tried=tried)["high"]
        held.append(2 * norm.cdf(half / error / np.sqrt(total / seeds)) - 1)
    level = 1 - 0.05 / tried
    assert np.mean(held) >= level - 2e-4
    assert np.mean(held) <= level + 2e-4 or spread < 100, "where seeds differ, Student's is exact"


def test_seeds_of_one_split_share_its_errors() -> None:
    """A model of one's own has one split: asking it under three seeds makes no interval narrower."""
    every, half = np.ones((3, 3)), norm.ppf(0.975) * 0.01
    assert over_seeds([rate(0.1, half)] * 3, related=every) == pytest.approx(rate(0.1, half))
    assert over_seeds([rate(0.1, half)] * 3, related=np.eye(3)) == over_seeds([rate(0.1, half)] * 3)
    far = [0.0, 0.1, 0.2]  # they differ, and do not know what they share
    shown = np.hypot(t.ppf(0.975, 2) * np.std(far, ddof=1) / 3**0.5, half)
    assert over_seeds([rate(value, half) for value in far], related=every) == pytest.approx(rate(0.1, shown))
    opposed = 2 * np.eye(3) - 1
    assert over_seeds([rate(0.1, half)] * 3, related=opposed) == over_seeds([rate(0.1, half)] * 3), "no gain"
    one, another = told(1.0), told(0.8, "argmax")
    twice = [changed.model_copy(update={"seed": seed}).with_scores(changed.scores)
             for changed in (one, another) for seed in (1, 2)]  # fmt: skip
    before, after = (change_table(cells(enriched(found)))[0].rows[0][5] for found in ([one, another], twice))
    assert before == after


def test_seeds_are_related_as_far_as_their_scenes_add_to_both() -> None:
    first, again = of_scenes(1.0), of_scenes(0.5, seed=1)
    given = (first.scores_N, again.scores_N, MEMBERS, first.groups)
    swapped = (-first.scores_N, -again.scores_N, ~MEMBERS, first.groups)
    other = (first.scores_N, again.scores_N, MEMBERS, [f"other {k}" for k in range(2 * EACH)])
    related = difference_correlations([given, given, other])
    assert related == pytest.approx(np.array([[1, 1, 0], [1, 1, 0], [0, 0, 1]]))
    assert difference_correlations([given, swapped])[0, 1] == pytest.approx(1), "the same AUCs, from other sides"
    assert overlaps(["abcd", "abef", "gh"]) == pytest.approx(np.array([[1, 0.5, 0], [0.5, 1, 0], [0, 0, 1]]))
    half = SceneScores(first.ids, ~MEMBERS, first.groups, first.scores_N)
    assert scores.related([first, again, half]) == pytest.approx(np.array([[1, 1, 0], [1, 1, 0], [0, 0, 1]]))
    others = [f"new {k}" if MEMBERS[k] else name for k, name in enumerate(first.groups)]
    elsewhere = SceneScores(others, MEMBERS, others, first.scores_N)
    assert scores.related([first, elsewhere]) == pytest.approx(np.ones((2, 2))), "mIoU is of the same non-members"
    assert scores.related([first, None]) is None


def test_differences_of_utility_are_those_of_the_pooled_counts() -> None:
    rng = np.random.default_rng(3)
    first, second = (rng.integers(1, 50, (12, 3, 3)) for _ in range(2))
    found = utility_above(first, second, groups=np.arange(12) // 2)
    for name, value in utility(first.sum(0)).items():
        assert found[name][0] == pytest.approx(value - utility(second.sum(0))[name])
        assert found[name][1] < found[name][0] < found[name][2]
    assert set(utility_above(first, first).values()) == {(0.0, 0.0, 0.0)}
    assert utility_above(first[:1], second[:1])["miou"][1:] == (-1.0, 1.0)


def defended(*found: Result) -> str:
    (text,) = words.defended(enriched(found))
    return text


def test_a_defense_is_judged_on_the_same_photographs() -> None:
    """Two intervals overlap widely; that of the difference is far from 0."""
    before, after = told(1.0), told(0.8, "gaussian:0.5", -0.03)
    assert after.levels["image"].auc_high > before.levels["image"].auc_low, "as two intervals nothing shows"
    text = defended(before, after)
    assert text.startswith("Gaussian 0.5: lowers the leak but does not stop it. An attacker who adapts")
    assert "On the same images the AUC changes by −0.0" in text
    assert "mIoU on unseen images changes by −3.0 [−3.2, −2.8] points: it costs quality." in text
    worse = defended(before, told(1.2, "gaussian:0.5", 0.001))
    assert worse.startswith("Gaussian 0.5: makes the leak larger. An attacker who adapts")
    assert "mIoU on unseen images changes by +0.1 [−0.1, +0.3] points: no cost shown." in worse


def test_the_strongest_of_several_is_given_a_wider_interval() -> None:
    wide = of_many(Estimate(0.1, 0.0, 0.2), 4)
    assert wide == pytest.approx((0.1, 0.1 - 0.1 * norm.ppf(1 - 0.025 / 4) / norm.ppf(0.975), wide.high))
    assert of_many(wide, 1) == wide
    assert over_seeds([rate(0.1, 0.1)], tried=4) == pytest.approx(wide._asdict()), "one seed has no Student's interval"
    found = [told(1.0), told(0.8, "argmax", -0.03)]
    others = [told(0.5, name, None if name == "none" else -0.03, attack="image_loss", representation="")
              for name in ("none", "argmax")]  # fmt: skip
    assert "allows for" not in defended(*found)
    assert "The interval allows for choosing the strongest of 2 attacks." in defended(*found, *others)


def test_hiding_confidences_is_judged_on_the_same_photographs() -> None:
    """The paired difference decides, not two intervals that overlap widely."""
    kind = {"attack": "image_loss", "representation": ""}
    rest = told(0.9, attack="image_confidence", representation="")
    for labels, says in ((0.8, "labels alone leak less."), (1.0, "no effect of hiding the confidences is shown.")):
        image = cells(enriched([told(1.0, **kind), told(labels, "argmax", **kind), rest]))
        found = sources.sources([cell for cell in image if cell.level == "image"])
        assert found["labels alone"].auc.high > found["everything"].auc.low
        assert f"{says} On the same images the AUC changes by" in sources.source_sentence(found)


def test_a_defense_that_changes_nothing_is_said_to() -> None:
    text = defended(told(1.0), told(1.0, "argmax", 0.0).with_scores(told(1.0).scores))
    assert text.startswith("Argmax: no effect shown.")
    assert "On the same images the AUC changes by +0.000 [+0.000, +0.000]" in text


def test_defenses_stand_beside_labels_alone_for_attackers_who_adapt() -> None:
    found = [told(1.0), told(0.8, "argmax", -0.01), told(0.6, "synfeat:0.75", -0.02)]
    found.append(told(0.5, "gaussian:1.0", -0.03).model_copy(update={"adaptive": False}).with_scores(found[0].scores))
    _, beside = change_table(cells(enriched(found)))
    (row,) = beside.rows
    assert row[:2] == ["patch resnet50 (concat)", "synfeat 0.75"]
    change = above(found[2].scores, found[1].scores)
    assert row[5].startswith(f"{change['value']:+.3f} [".replace("-", "−"))


def test_only_seeds_of_both_are_compared() -> None:
    found = [told(1.0, seed=seed) for seed in (1, 2, 3)] + [told(0.6, "argmax", -0.01, seed=seed) for seed in (2, 3, 4)]
    ((row,),) = (table.rows for table in change_table(cells(enriched(found))))
    assert row[-1] == "2, 3"
    pooled = over_seeds([above(told(0.6, seed=s).scores, told(1.0, seed=s).scores) for s in (2, 3)])
    assert row[5].startswith(f"{pooled['value']:+.3f}".replace("-", "−"))
    assert change_table(cells(enriched([result(1.0), result(0.5, defense="argmax")]))) == [], "they keep no scores"
