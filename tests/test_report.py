"""The report: the results' numbers reach the page, sentences say what intervals say, files are small and stable."""

import re
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, get_args
from urllib.parse import unquote

import numpy as np
import pytest
import torch
from helpers_results import level, relevelled, result
from PIL import Image

from mia_seg import report
from mia_seg.attacks import Thresholds
from mia_seg.attacks.patch_resnet50 import PatchAttacker, PatchResNet50, represent, resnet50
from mia_seg.cli import _screen as screen
from mia_seg.errors import MiaSegError
from mia_seg.evaluate import results
from mia_seg.evaluate.ages import LATER
from mia_seg.evaluate.results import Result
from mia_seg.evaluate.scores import SceneScores
from mia_seg.metrics.intervals import mean_of
from mia_seg.query import answers as answers_
from mia_seg.query.answers import Answers
from mia_seg.report import audits, changes, figures, from_store, tables, words
from mia_seg.report.advice import told
from mia_seg.report.cam import CamInput, activation_maps
from mia_seg.report.cells import Estimate, cells, enriched
from mia_seg.report.galleries import SceneInputs
from mia_seg.report.glossary import SEES, glossary
from mia_seg.report.style import look
from mia_seg.report.verdicts import price, standings, verdict
from mia_seg.store import Store

LOSS = {"attack": "image_loss", "representation": ""}
# How far members score above non-members: (attacker who ignores the defense, attacker who adapts), and the mIoU.
DEFENSES = {"none": (1.8, 1.8, 0.40), "argmax": (0.3, 1.7, 0.40), "gaussian:1.0": (-1.5, 0.0, 0.25)}


def audit() -> list[Result]:
    """Two attacks on four defenses by both kinds of attacker, two seeds, the label control and a random shadow."""
    found = []
    for seed in (1, 2):
        for defense, (ignoring, adapting, miou) in DEFENSES.items():
            for adaptive in (False, True)[: 1 if defense == "none" else 2]:
                kind = {"defense": defense, "adaptive": adaptive, "seed": seed, "miou": miou}
                found.append(result(adapting if adaptive else ignoring, **kind))
                found.append(result(0.8 * adapting, attack="image_loss", representation="", **kind))
        found.append(result(0.0, representation="labels", seed=seed))
        found.append(result(1.7, shadow="village_a1_random", choose="random", seed=seed))
    return found


def sheet() -> CamInput:
    draw = np.random.default_rng(0)
    images = [np.full((48, 64, 3), shade, np.uint8) for shade in (90, 180)]
    labels = [draw.choice([0, 2, 255], size=(12, 16)).astype(np.uint8) for _ in images]
    maps = {name: [draw.normal(size=(12, 16)) for _ in images] for name in ("none", "argmax")}
    return CamInput(["one", "two"], images, labels, maps, {name: [1.25, -0.5] for name in maps}, "both are members")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Result], list[Path]]:
    folder, found = tmp_path_factory.mktemp("reports"), audit()
    return folder, found, report.write(folder, found, {"village": SceneInputs(cam=sheet())})


def rows(*found: Result) -> list[dict[str, Any]]:
    return list(results.rows(list(found)))


def defended(*kept: Result) -> str:
    """What the report says of the one defense among results that keep scores."""
    (text,) = words.defended(enriched(kept))
    return text


kept = partial(result, scored=True)


def shown(low: float, high: float, *values: float) -> str:
    """A rate as the page prints it: two digits, three where an end would read as the 0.5 that it misses."""
    digits = 3 if any(round(end, 2) == 0.5 and abs(end - 0.5) > 1e-6 for end in (low, high)) else 2
    return f"{np.mean(values):.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def test_the_page_holds_the_numbers_of_the_results(written: tuple[Path, list[Result], list[Path]]) -> None:
    page = (written[0] / "village" / "index.html").read_text()
    groups: dict[tuple[Any, ...], list[Result]] = {}
    for one in written[1]:
        key = (one.shadow, one.defense, one.attack, one.representation, one.adaptive)
        groups.setdefault(key, []).append(one)
    for runs in groups.values():
        for name in runs[0].levels:
            levels = [run.levels[name].model_dump() for run in runs]
            for metric in ("auc", "precision_at_recall_80", "balanced_accuracy"):
                _, low, high = mean_of([tuple(one[metric + end] for end in ("", "_low", "_high")) for one in levels])
                assert shown(low, high, *(one[metric] for one in levels)) in page
    assert all(one.digests.victim in page for one in written[1])
    assert all(f"{100 * miou:.1f}" in page for _, _, miou in DEFENSES.values())
    assert "[22.0, 28.0]" in page  # mIoU 0.25 with its interval, of seeds that may share images


def test_the_page_needs_nothing_but_itself(written: tuple[Path, list[Result], list[Path]]) -> None:
    page = (written[0] / "village" / "index.html").read_text()
    assert not re.search(r"https?:|<link|@import|url\(|<script src|<img", page)
    assert page.count("<section>") == page.count("</section>") > 5
    assert len(re.search(r"<script>(.*)</script>", page, re.DOTALL)[1].encode()) <= 5_000


def test_every_link_of_the_readme_leads_to_a_file(written: tuple[Path, list[Result], list[Path]]) -> None:
    folder, _, files = written
    text = (folder / "village" / "README.md").read_text()
    links = {folder / "village" / unquote(link) for link in re.findall(r"\]\(([^)]+)\)", text)}
    assert links == set(files) - {folder / "village" / "README.md"}
    assert "Made by `mia-seg report`" in text.splitlines()[2]
    bars = [re.sub(r"\\\|", "", line).count("|") for line in text.splitlines() if line.startswith("|")]
    assert set(bars) <= {len(row) + 1 for row in ([0] * n for n in range(5, 12))}


def test_files_are_all_there_and_small(written: tuple[Path, list[Result], list[Path]]) -> None:
    folder, _, files = written
    assert sorted(files) == sorted(path for path in folder.rglob("*") if path.is_file())
    assert {"index.html", "README.md", "cam.png", "village_a1.joint.png"} <= {file.name for file in files}
    for file in files:
        assert file.stat().st_size < {".png": 150_000, ".svg": 170_000, ".html": 200_000}.get(file.suffix, 60_000)


def test_the_same_results_give_the_same_bytes(tmp_path: Path) -> None:
    found = [one for one in audit() if one.attack == "image_loss" and one.defense in ("none", "argmax")]
    first, second = tmp_path / "first", tmp_path / "second"
    once = report.write(first, found, {"village": SceneInputs(cam=sheet())})
    again = report.write(second, found[::-1], {"village": SceneInputs(cam=sheet())})
    assert [path.relative_to(first) for path in once] == [path.relative_to(second) for path in again]
    assert not [a.name for a, b in zip(once, again, strict=True) if a.read_bytes() != b.read_bytes()]


def test_a_defense_keeps_its_colour_in_every_figure(written: tuple[Path, list[Result], list[Path]]) -> None:
    colours = look(DEFENSES).colours
    assert len(set(colours.values())) == len(DEFENSES)
    for name in ("forest", "joint", "roc-image", "pr-image"):
        pixels = np.asarray(Image.open(written[0] / "village" / f"village_a1.{name}.png").convert("RGB")).reshape(-1, 3)
        for defense, colour in colours.items():
            wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
            nearest = np.abs(pixels.astype(int) - wanted).max(1).min()
            assert nearest <= 8, f"{defense} is not {colour} in {name}"


def test_an_old_cam_figure_stays_until_there_is_a_new_one(tmp_path: Path) -> None:
    assert figures.cam(tmp_path / "village", None) == []
    (tmp_path / "village").mkdir()
    (tmp_path / "village" / "cam.png").write_bytes(b"kept")
    report.write(tmp_path, [result(1.8, attack="image_loss", representation="")], {})
    assert (tmp_path / "village" / "cam.png").read_bytes() == b"kept"
    assert '<a href="cam.png">' in (tmp_path / "village" / "index.html").read_text()


def test_it_refuses_to_report_nothing(tmp_path: Path) -> None:
    with pytest.raises(MiaSegError, match="no results"):
        report.write(tmp_path, [], {})
    with pytest.raises(MiaSegError, match="'elsewhere'"):
        report.write(tmp_path, [result(1.8)], {"elsewhere": SceneInputs(cam=sheet())})


def test_a_leak_is_called_one() -> None:
    one = result(1.8)
    said, image = verdict(rows(one)), one.levels["image"]
    assert said.state == "leaks"
    assert f"reaches AUC {shown(image.auc_low, image.auc_high, image.auc)}." in str(said)
    assert f"With 95% confidence its AUC is at least {image.auc_low:.2f}." in str(said)


def test_no_leak_is_not_called_privacy() -> None:
    said = verdict(rows(result(0.0, count=400)))
    assert said.state == "no leak shown"
    assert "Not shown: that the model is private" in str(said)


@pytest.mark.parametrize(("low", "state"), [(0.63, "leaks, size open"), (0.4, "too few to tell")])
def test_a_wide_interval_resolves_nothing(low: float, state: str) -> None:
    """Few groups make a wide interval, on whichever side of 0.5 it begins."""
    one = result(2.0, count=8)
    image = one.levels["image"].model_dump() | {"auc": 0.9, "auc_high": 1.0, "auc_low": low}
    said = verdict(rows(relevelled(one, image=image)))
    assert said.state == state
    assert "oo few" in said.headline
    assert "more groups of scenes than 8 of members and 8 of others" in told(rows(relevelled(one, image=image)))


def test_the_next_step_hangs_on_the_leak_and_on_what_was_tried() -> None:
    """A leak takes defenses, then another training; where none is shown, a stronger attacker comes next."""
    leak, weak = result(1.8), result(0.0, count=400, adversary="screen", shadow="screen")
    caught, hidden = (result(shift, count=400, defense="argmax", adaptive=True) for shift in (1.7, 0.0))
    assert "Next: Try defenses of the answers (--defense argmax" in told(rows(leak))
    assert "Next: No defense that was tried stops it: train the model so" in told(rows(leak, caught))
    assert "Next: Weigh the price of what no attack got through: argmax." in told(rows(leak, hidden))
    few = result(0.0, count=30, defense="argmax", adaptive=True)
    unclear = relevelled(hidden, image=hidden.levels["image"].model_dump() | {"auc": 0.8, "auc_high": 0.95})
    for one in (few, unclear):
        assert "Next: Audit more scenes to tell whether these defenses stop it: argmax." in told(rows(leak, one))
    assert "Next: Before you rely on it, try an attacker who trains" in told(rows(weak))
    assert "Next: Before you rely on it, try other attacks" in told(rows(result(0.0, count=400)))
    assert "Next: Treat it as a leak, because an attacker can reverse" in told(rows(result(-1.5)))
    assert "Next: Draw members and non-members" in told(rows(result(1.5), result(1.5, representation="labels")))
    assert "Next: Run the attacks without a defense too" in told(rows(caught))


def test_attacks_are_compared_over_the_seeds_that_both_have() -> None:
    """A seed is a model: an attack that was tried on the easiest one alone is not the strongest for that."""

    def at(auc: float, **what: Any) -> Result:
        one = result(**what)
        ends = {"auc": auc, "auc_low": auc - 0.05, "auc_high": auc + 0.05}
        return relevelled(one, image=one.levels["image"].model_dump() | ends, patch=None)

    both = [at(0.9, seed=1), at(0.8, seed=2)]
    for other in (at(0.88, seed=1, **LOSS), at(0.9, seed=1, shadow="village_a2")):
        best = verdict(rows(*both, other)).best
        assert best is not None
        assert (best.attack, best.shadow, best.seeds) == ("patch_resnet50", "village_a1", [1, 2])
    stronger = verdict(rows(*both, at(0.91, seed=1, **LOSS))).best
    assert stronger is not None
    assert stronger.attack == "image_loss"


def test_a_page_of_several_shadows_says_whose_each_figure_is() -> None:
    kinds = ({}, {"defense": "argmax", "adaptive": True})
    found = [result(shadow=shadow, **kind) for shadow in ("village_a1", "village_a2") for kind in kinds]
    content = audits.content(audits.Inputs("village", found))
    titles = [part.title for part in (*content["defended"], *(chart for chart, _ in content["frontiers"]))]
    what = ("What each defense does, in words", "Defenses by leak and quality")
    assert titles == [f"{it}, through {shadow}" for it in what for shadow in ("village_a1", "village_a2")]
    one = audits.content(audits.Inputs("village", found[:2]))
    assert [part.title for part in one["defended"]] == ["What each defense does, in words"]


def test_where_there_is_no_leak_no_defense_is_the_best() -> None:
    """A leak behind a defense alone is told: it was picked among all that were tried."""
    quiet, caught = result(0.0, count=400), result(0.6, count=400, defense="argmax", adaptive=True)
    found = rows(quiet, caught)
    assert price(standings(found), "no leak shown")[0] == "no leak shown"
    assert "Behind argmax an attack reaches AUC" in str(verdict(found))
    many = rows(quiet, caught, *(result(0.0, count=400, defense=f"gaussian:{k}", adaptive=True) for k in (1, 2)))
    assert "It was picked among 3 tried behind defenses, so chance may have made it." in str(verdict(many))
    assert "Behind argmax" not in str(verdict(rows(result(1.8), caught)))
    assert "argmax" in price(standings(rows(result(1.8), caught)), "leaks")[1]


def test_a_weaker_attack_whose_interval_excludes_chance_is_told() -> None:
    """Over seeds the interval of the attack with the largest AUC may be the wider one."""
    wide, narrow = result(0.0, count=400), result(0.0, count=400, attack="image_loss", representation="")
    ends = {"auc": 0.57, "auc_low": 0.49, "auc_high": 0.64}, {"auc": 0.56, "auc_low": 0.51, "auc_high": 0.61}
    found = [
        relevelled(one, image=one.levels["image"].model_dump() | changed, patch=None)
        for one, changed in zip((wide, narrow), ends, strict=True)
    ]
    said = verdict(rows(*found))
    assert said.state == "no leak shown"
    assert "Another attack, image loss, reaches AUC 0.56 [0.51, 0.61], which excludes 0.5." in str(said)
    assert "It was picked among 2 tried without a defense" in str(said)
    assert "Another attack" not in str(verdict(rows(*found, result(1.8, representation="posterior"))))


def test_an_inverted_ranking_is_explained() -> None:
    said = verdict(rows(result(-1.5)))
    assert said.state == "inverted"
    assert "by reversing the scores" in str(said)


@pytest.mark.parametrize(
    ("shift", "says"),
    [
        (0.0, "Argmax: makes the strongest attack fail."),
        (0.7, "Argmax: lowers the leak but does not stop it."),
        (2.5, "Argmax: makes the leak larger."),
    ],
)
def test_a_defense_is_compared_with_a_backward_ranking_turned_around(shift: float, says: str) -> None:
    """From 0.1 to 0.7 the leak falls: whoever reverses scores had 0.9."""
    text = defended(kept(-1.5, count=400), kept(shift, count=400, defense="argmax", adaptive=True))
    assert text.startswith(says)
    assert "without the defense, where scores rank backwards." in text


def test_without_an_undefended_result_nothing_is_claimed() -> None:
    said = verdict(rows(result(1.8, defense="argmax")))
    assert (said.state, said.best) == ("not measured", None)


def test_a_recognisable_split_is_taken_off_the_leak() -> None:
    blind = result(1.5, representation="labels")
    said = verdict(rows(result(1.5), blind))
    assert (said.state, said.controls) == ("confounded", "confounded")
    assert "sees labels alone, never the model, reaches AUC" in str(said)
    assert "Only what an AUC has above" in words.controls(rows(result(1.8), blind))[0]


def test_a_split_that_labels_tell_apart_backwards_is_confounded_everywhere() -> None:
    found = rows(result(1.5), result(-1.5, representation="labels"))
    said = verdict(found)
    assert (said.state, said.controls) == ("confounded", "confounded")
    assert "That is below 0.5: the split itself tells members apart, backwards." in words.controls(found)[0]


def test_a_sound_split_and_a_missing_control_are_told_apart() -> None:
    assert "includes 0.5" in words.controls(rows(result(1.8), result(0.0, representation="labels")))[0]
    assert "not known whether members and non-members differ" in words.controls(rows(result(1.8)))[0]


def test_the_choice_of_the_shadow_is_compared() -> None:
    drawn = {"shadow": "village_a1_random", "choose": "random"}
    assert "No difference was shown." in words.controls(enriched([kept(1.8), kept(1.7, **drawn)]))[-1]
    assert "Asking the victim helped." in words.controls(enriched([kept(2.5), kept(0.1, **drawn)]))[-1]


def test_a_defense_is_judged_by_the_attacker_who_adapts() -> None:
    text = defended(kept(1.8), kept(0.0, defense="argmax"), kept(1.7, defense="argmax", adaptive=True))
    assert text.startswith("Argmax: no effect shown. An attacker who adapts reaches AUC")
    assert "On the same images the AUC changes by" in text
    assert "Adapting wins back what the defense hid." in text
    assert "mIoU on unseen images stays at 40.0%." in text


def test_a_defense_is_held_against_the_attacks_that_it_met() -> None:
    met = [result(auc, attack="image_loss", representation="", defense=name, adaptive=name != "none")
           for name, auc in (("none", 1.0), ("argmax", 1.0))]  # fmt: skip
    (text,) = words.defended(rows(*met, result(3.0)))
    assert text.startswith("Argmax: no effect shown.")
    assert "The strongest attack without a defense, patch resnet50 (concat), was not tried on it." in text
    (text,) = words.defended(rows(*met, result(0.5)))
    assert "The strongest attack without a defense" not in text


def test_a_defense_is_held_against_the_seeds_that_it_met() -> None:
    """The undefended AUC beside it is that of the same victims."""
    first, second = result(1.0, seed=1), result(2.5, seed=2)
    (text,) = words.defended(rows(first, second, result(0.9, seed=1, defense="argmax", adaptive=True)))
    assert f"against {first.levels['image'].auc:.2f} [" in text
    (alone,) = words.defended(rows(second, result(0.9, seed=1, defense="argmax", adaptive=True)))
    assert "without the defense" not in alone


def test_what_a_defense_costs_is_told_over_the_seeds_of_both() -> None:
    """Another seed is another model with another mIoU; the first screen compares the same seeds."""
    other = result(1.8, seed=2, miou=0.45)
    found = rows(result(1.8, seed=1, miou=0.4), other, result(1.7, seed=1, miou=0.4, defense="argmax", adaptive=True))
    (text,) = words.defended(found)
    assert "mIoU on unseen images stays at 40.0%." in text
    assert price(standings(found), "leaks")[0] == "0.0 points"
    alone = rows(other, result(1.7, seed=1, miou=0.4, defense="argmax", adaptive=True))
    assert "mIoU" not in words.defended(alone)[0], "they share no seed"


def test_a_defense_gets_credit_only_for_a_leak_that_went() -> None:
    weaker = [kept(0.0, defense="gaussian:1.0", adaptive=side, miou=0.25) for side in (False, True)]
    text = defended(kept(2.0), *weaker)
    assert text.startswith("Gaussian 1.0: makes the strongest attack fail.")
    assert "costs 15.0 points of mIoU on unseen images (40.0% to 25.0%)" in text
    assert defended(kept(0.0), *weaker).startswith("Gaussian 1.0: no leak to stop.")
    assert defended(kept(0.5), *weaker).startswith("Gaussian 1.0: effect not shown.")


def test_an_auc_below_a_half_counts_as_the_leak_that_turned_scores_have() -> None:
    """From 0.57 to 0.44 the leak hardly falls, though the AUC does; from 0.60 to 0.48 it falls by more than chance."""
    text = defended(kept(0.36, count=160), kept(-0.2, defense="argmax", adaptive=True, count=160))
    assert text.startswith("Argmax: effect not shown.")
    assert "the AUC, turned around where it lies below 0.5, changes by −0.00" in text
    text = defended(kept(0.36, count=1200), kept(-0.16, defense="argmax", adaptive=True, count=1200))
    assert text.startswith("Argmax: makes the strongest attack fail.")


def test_results_that_keep_no_scores_are_not_compared() -> None:
    text = defended(result(2.0), result(0.0, defense="argmax", adaptive=True))
    assert text.startswith("Argmax: effect not shown.")
    assert changes.UNPAIRED in text


def test_an_attacker_who_was_not_tried_and_one_who_ranks_backwards_are_named() -> None:
    text = defended(kept(2.0), kept(0.7, defense="argmax"))
    assert "lowers the leak but does not stop it. An attacker who ignores the defense reaches" in text
    assert "No attacker who adapts was tried." in text
    inverted = result(-1.5, defense="argmax")
    (text,) = words.defended(rows(result(2.0), inverted, result(0.0, defense="argmax", adaptive=True)))
    assert text.startswith("Argmax: scores rank backwards. An attacker who ignores the defense reaches AUC 0.22")
    assert "An attacker who adapts reaches 0.49" in text, "less than what is reversed"
    (text,) = words.defended(rows(result(2.0), inverted, result(1.5, defense="argmax", adaptive=True)))
    assert "below non-members: patch resnet50 (concat) by an attacker who ignores it" in text


def test_rates_that_cannot_be_resolved_say_so() -> None:
    few, many = (tables.attacks(cells(enriched([result(1.8, count=n)])), "image").rows[0] for n in (60, 120))
    assert few[7] == "not resolvable"
    assert re.fullmatch(r"0\.\d\d \[0\.\d\d, 0\.\d\d\] \(\d\.\d%\)", many[7])


def test_what_an_accusation_is_worth_is_shown_with_its_base_rate() -> None:
    one = result(1.8, exposed={"fdr": 0.1, "tested": 60, "scenes": ["a", "b"]})
    (table,) = tables.rare(cells(enriched([one])))
    (row,), image = table.rows, one.dump()["levels"]["image"]
    for column, base in ((5, "0.5"), (6, "0.1"), (7, "0.01")):
        value = image["ppv"][base]
        assert row[column] == shown(value["low"], value["high"], value["value"])
    assert row[8:] == ["not resolvable", "2 of 60", "1"]
    worth = image["ppv"]["0.01"]
    assert f"were a member, {100 * worth['value']:.0f} [{100 * worth['low']:.0f}, " in str(verdict(rows(one)))
    assert tables.rare(cells(enriched([result(1.8)])))[0].rows[0][9] == "–"


def test_an_attacker_who_accuses_nobody_says_so() -> None:
    nobody = {"ppv": dict.fromkeys(("0.5", "0.1", "0.01"), "nobody called")}
    one = relevelled(result(1.8), image=result(1.8).dump()["levels"]["image"] | nobody)
    assert tables.rare(cells(enriched([one])))[0].rows[0][5:8] == ["nobody accused"] * 3
    assert verdict(rows(one)).worth == ""


def test_results_from_before_predictive_values_are_reported() -> None:
    raw = result(1.8).dump()["levels"]
    for found in raw.values():
        del found["tpr_at_fpr"]["0.001"]
    old = relevelled(result(1.8), **{name: found | dict.fromkeys(LATER) for name, found in raw.items()})
    both = cells(enriched([old, result(1.7, seed=2)]))
    assert tables.rare(both) == []
    assert len(tables.attacks(both, "image").rows) == 1
    assert verdict(rows(old)).worth == ""


def test_groups_of_photographs_have_a_table_of_their_own_where_there_are_any() -> None:
    one = result(1.8)
    grouped = relevelled(one, group=level(2.5, "groups", 20, 1))
    for made, shows in ((one, False), (grouped, True)):
        table = tables.attacks(cells(enriched([made])), "group")
        assert bool(table.rows) is shows
        assert table.title == "Every attack, group by group"
        assert table.reading.startswith("A group is what the split drew as one piece")
    group = grouped.levels["group"]
    assert table.rows[0][4] == shown(group.auc_low, group.auc_high, group.auc)
    assert str(verdict(rows(grouped))) == str(verdict(rows(one))), "the opening speaks of images"


def test_a_bound_on_epsilon_has_a_table_where_coins_were_tossed() -> None:
    lows = {1: 1.234, 2: 0.5}
    tossed = [result(1.8, seed=seed, epsilon={"low": low, "mu": low / 2, "guesses": 120}) for seed, low in lows.items()]
    (table,) = tables.privacy(cells(enriched(tossed)))
    assert table.rows == [["patch resnet50 (concat)", "no defense", "–", "0.50", "0.25", "120", "1, 2"]]
    assert "95% confidence for each line by itself" in table.reading
    for without in (result(1.8), result(1.8, epsilon={"low": None, "reason": "no coins"})):
        assert tables.privacy(cells(enriched([without]))) == []


def test_seeds_are_pooled_into_the_interval_of_their_mean() -> None:
    found = [result(1.0, seed=seed) for seed in (3, 1)]
    (cell,) = (cell for cell in cells(rows(*found)) if cell.level == "image")
    image = [one.levels["image"] for one in found]
    assert cell.seeds == [1, 3]
    assert cell.auc.value == pytest.approx(np.mean([one.auc for one in image]))
    assert cell.auc == pytest.approx(mean_of([(one.auc, one.auc_low, one.auc_high) for one in image]))
    members = np.arange(20) % 2 == 0
    same = SceneScores(list("abcdefghijklmnopqrst"), members, list("abcdefghijklmnopqrst"), np.arange(20.0) + members)
    alike = replace(cell, runs=tuple(run | {"scores": same} for run in cell.runs))
    ends = [(one.auc, one.auc_low, one.auc_high) for one in image]
    assert alike.auc == pytest.approx(mean_of(ends, np.ones((2, 2)))), "errors of one split are shared"
    assert alike.auc.high - alike.auc.low > 1.4 * (cell.auc.high - cell.auc.low)
    partly = replace(cell, runs=(cell.runs[0] | {"scores": same}, cell.runs[1]))
    assert partly.auc == cell.auc, "one of them keeps no scores"


def test_seeds_that_leak_by_themselves_are_counted() -> None:
    found = [result(2.0, seed=1), *(result(0.1, seed=seed) for seed in (2, 3))]
    said = verdict(rows(*found))
    assert "On 1 of 3 seeds the interval lies above 0.5 by itself." in said.measured
    assert not any("by itself" in text for text in verdict(rows(result(2.0), result(2.0, seed=2))).measured)


def test_every_attack_and_defense_in_use_is_explained() -> None:
    entries = {entry.name: entry.text for entry in glossary(rows(*audit()))}
    assert entries.keys() == {"argmax", "concat", "gaussian", "image_loss", "labels", "patch_resnet50"}
    assert all(text.endswith((".", ").")) or text for text in entries.values())


def test_whatever_a_patch_attack_may_see_is_explained() -> None:
    assert set(get_args(PatchResNet50.model_fields["representation"].annotation)) == set(SEES)


def answers_at(folder: Path, posteriors: list[np.ndarray], labels: list[np.ndarray]) -> Answers:
    """Answers as a query leaves them, without the statistics."""
    (folder / answers_.POSTERIORS).write_bytes(b"".join(p.astype(np.float16).tobytes() for p in posteriors))
    (folder / answers_.LABELS).write_bytes(b"".join(x.tobytes() for x in labels))
    offsets = [0, *np.cumsum([x.size for x in labels]).tolist()][:-1]
    ids = [str(i) for i in range(len(labels))]
    classes = len(posteriors[0])
    shapes = [x.shape for x in labels]
    return Answers(folder, ids, shapes, offsets, classes, tuple(range(classes)), None)  # type: ignore[arg-type]


def test_the_mean_of_a_map_is_the_log_odds_without_the_biases(tmp_path: Path) -> None:
    """Zhou et al. 2016, equation 2: global average pooling and a linear layer commute."""
    torch.manual_seed(0)
    draw, network = np.random.default_rng(0), resnet50(6).eval()
    with torch.no_grad():
        network.fc.bias.copy_(torch.tensor([0.7, -0.4]))
        network.fc.weight.mul_(20)
    shapes = [(32, 48), (40, 24)]  # multiples of the network's stride, where raising keeps the mean
    labels = [draw.choice([0, 1, 2, 255], size=shape).astype(np.uint8) for shape in shapes]
    answers = answers_at(tmp_path, [draw.dirichlet(np.ones(3), shape).transpose(2, 0, 1) for shape in shapes], labels)
    attacker = PatchAttacker(network, PatchResNet50(patch=(16, 16)), Thresholds(0.0, 0.0))

    maps = activation_maps(attacker, answers)

    assert [one.shape for one in maps] == shapes
    for one, answer in zip(maps, answers, strict=True):
        with torch.no_grad():
            logits = network(represent(answer, "concat")[None])[0]
        assert one.mean() == pytest.approx((logits[1] - logits[0]).item() + 0.4 + 0.7, abs=1e-4)
        assert one.std() > 0
    assert not network.layer4._forward_hooks


@pytest.mark.parametrize(
    ("classes", "says"),
    [
        (
            {"both": ["road", "sky"], "victim": ["pole", "car"], "shadow": []},
            "The attack uses the 2 classes in the scenes of both. Left out: pole, car (only in the victim's scenes).",
        ),
        ({"both": ["road"], "victim": [], "shadow": []}, "The one class occurs in the scenes of both."),
    ],
)
def test_an_independent_attacker_is_described_by_both_sides(classes: dict[str, list[str]], says: str) -> None:
    segmenters = {"victim": "pspnet resnet18", "shadow": "dpc resnet18"}
    made = {"adversary": "A2", "choose": "", "segmenters": segmenters, "shadow_dataset": "fields", "classes": classes}
    text = words.adversary(results.rows([result(0.0, **made)]))
    assert "asked the victim nothing" in text
    assert "The shadow is dpc resnet18 on fields, the victim pspnet resnet18 on streets." in text
    assert text.endswith(says)


@pytest.mark.parametrize(
    ("knows", "says"),
    [
        ("training", " Its shadow has the victim's own objective and update."),
        ("nothing", "An attacker who knows of it may do better."),
        (None, "on those of which the victim is surest."),
    ],
)
def test_an_attacker_who_trains_as_the_victim_does_is_told_from_one_who_does_not(knows: str | None, says: str) -> None:
    assert words.adversary(results.rows([result(0.0, knows=knows)])).endswith(says)


def test_what_a_victims_training_proves_stands_on_its_page() -> None:
    def proven(**changes: Any) -> list[list[str]]:
        page = audits.content(audits.Inputs("village", [result(1.8, seed=seed, **changes) for seed in (0, 1)]))
        return [row for table in page["method"] if table.title == "What is proven" for row in table.rows]

    spent = {"epsilon": 8.0, "delta": 0.001, "accountant": "RDP", "noise": 1.4, "clip": 1.0}
    assert [row[0] for row in proven(privacy=spent)] == ["village, seed 0", "village, seed 1"]
    assert proven(privacy=spent)[0][4] == "8"
    assert proven() == []


def test_one_index_leads_to_the_pages_of_all_reports(tmp_path: Path) -> None:
    quick = {"attack": "image_loss", "representation": ""}
    here, below = result(1.8, **quick), result(0.0, victim="alps", **quick)
    for folder, one in (("", here), ("a2/night", below)):
        results.write(tmp_path / folder, one)
    from_store.report(tmp_path, Store(tmp_path / "none"), None)
    page, text = ((tmp_path / name).read_text() for name in ("index.html", "README.md"))
    image = below.levels["image"]
    auc = shown(image.auc_low, image.auc_high, image.auc)
    assert '<a href="a2/night/alps/index.html">a2/night/alps</a>' in page
    assert f"| [a2/night](a2/night/README.md) | alps | too few to tell | untested | {auc} |" in text
    for link in re.findall(r'href="([^"#]+)', page):
        assert (tmp_path / link).is_file()
    back = re.findall(r'href="([.][^"]*)"', (tmp_path / "a2" / "night" / "alps" / "index.html").read_text())
    assert back == ["../../../index.html"]


def test_a_folder_without_results_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MiaSegError, match="holds no results of victims"):
        from_store.report(tmp_path, Store(tmp_path / "none"), None)


def test_the_screen_says_what_the_page_says_of_seeds_with_one_split(capsys: pytest.CaptureFixture[str]) -> None:
    split = [f"scene {k}" for k in range(120)]
    ones = [kept(0.5, seed=seed) for seed in (1, 2, 3)]
    ones = [one.with_scores(replace(one.scores, ids=split, groups=split)) for one in ones if one.scores]
    screen.verdict(ones)
    assert str(cells(enriched(ones))[0].auc) in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(("low", "digits"), [(0.47, 2), (0.504, 3), (0.50003, 5), (0.5 + 1e-12, 2)])
def test_an_end_beside_chance_has_the_digits_that_tell_it_apart(low: float, digits: int) -> None:
    assert str(Estimate(0.6, low, 0.7)) == f"{0.6:.{digits}f} [{low:.{digits}f}, {0.7:.{digits}f}]"
