"""What weighs the defenses: confidences by membership, the frontier, generators' scores, labels against confidences."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers_results import relevelled, result
from test_report import answers_at

from mia_seg import report
from mia_seg.errors import MiaSegError
from mia_seg.evaluate import results
from mia_seg.evaluate.audit import confidence as counted
from mia_seg.evaluate.results import Result
from mia_seg.evaluate.scores import SceneScores
from mia_seg.metrics.membership import ranked
from mia_seg.metrics.paired import above
from mia_seg.report import budgets, confidence, equal_auc, figures, frontier, generators, plots, shadows, sources, style
from mia_seg.report.cells import Cell, cells, enriched
from mia_seg.report.style import look

SMALL = 60_000


def cell(
    defense: str, auc: float, miou: float = 0.4, adaptive: bool = True, spread: float = 0.05, **changed: Any
) -> Cell:
    """An image-level cell of one run with a given AUC and mIoU."""
    run = {"seed": 1, "auc": auc, "auc_low": auc - spread, "auc_high": auc + spread, "miou_nonmembers": miou}
    run |= {"miou_low_nonmembers": miou - 0.02, "miou_high_nonmembers": miou + 0.02}
    named = {"attack": "image_loss", "representation": ""} | changed
    return Cell("village", "village_a1", "image", defense=defense, adaptive=adaptive, runs=(run,), **named)


def score(name: str = "dfgan", seed: int = 0, victim: str = "village", ends: float = 0.3) -> dict[str, Any]:
    """The file of a generator whose mIoU rises to `ends`, of 0.6 with real features."""

    def utility(miou: float) -> dict[str, float]:
        return {"miou": miou, "pix_acc": miou + 0.2, "cls_acc": miou + 0.1, "fwiou": miou + 0.15}

    epochs = [{"epoch": epoch} | utility(ends * (epoch + 1) / 3) for epoch in range(3)]
    return {
        "victim": victim, "seed": seed, "generator": {"name": name}, "settings": {}, "scenes": 54, "held_out": 6,
        "digests": {"victim": "aaa", "generator": "bbb"}, "real": utility(0.6), "epochs": epochs,
    }  # fmt: skip


def kept(reports: Path, one: dict[str, Any]) -> Path:
    path = reports / one["victim"] / "generators" / f"{one['generator']['name']}.s{one['seed']}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(one))
    return path


MEMBERS = np.arange(40) < 20
HARD = np.random.default_rng(0).normal(size=40)


def of_scenes(seed: int, scores_N: np.ndarray = HARD, members_N: np.ndarray = MEMBERS) -> SceneScores:
    """Scores of scenes that no other seed has."""
    ids = [f"{seed} {k}" for k in range(len(scores_N))]
    return SceneScores(ids, members_N, ids, scores_N)


def over_seeds(
    defense: str, *places: tuple[float, float], scores: Sequence[SceneScores] = (), change: float = 0.0
) -> Cell:
    """A cell of some seeds, from the AUC and mIoU of each. change: half the width of the change of mIoU's interval."""
    kept = scores or [of_scenes(seed) for seed in range(len(places))]
    more = {"defense": defense, "utility_change": {"nonmembers": {"value": 0.0, "low": -change, "high": change}}}
    runs = tuple(
        cell(defense, *place).runs[0] | more | {"seed": seed, "scores": kept[seed]} for seed, place in enumerate(places)
    )
    return replace(cell(defense, 0.5), runs=runs)


def test_defenses_are_compared_at_the_same_auc_in_each_seed() -> None:
    """Noise loses 1 point of mIoU for 0.01 of AUC; the setting lies 4 points above that line, then 5, then 6."""
    found = frontier.points(
        [
            over_seeds("none", (0.9, 0.5), (0.9, 0.5), (0.8, 0.4)),
            over_seeds("gaussian:1.0", (0.7, 0.3), (0.6, 0.2), (0.6, 0.2)),
            over_seeds("synfeat:0.5", (0.8, 0.44), (0.8, 0.45), (0.7, 0.36)),
        ]
    )
    plain, noise, synfeat = found
    gain = equal_auc.above(synfeat, [plain, noise])
    assert gain is not None
    half = 4.302653 * 0.01 / 3**0.5
    assert gain == pytest.approx((0.05, 0.05 - half, 0.05 + half), abs=1e-6)
    (table,) = equal_auc.equal_table(found)
    assert table.rows == [["synfeat 0.5", "gaussian", "0.77 [0.74, 0.80]", "+5.0 [+2.5, +7.5]", "0, 1, 2"]]
    assert equal_auc.above(noise, [plain, synfeat]) is None, "its AUC is beyond the other's"
    assert equal_auc.above(plain, [plain, noise]) == pytest.approx((0, 0, 0)), "an end is on the line"


SHARED = {"no scene": (0.5, 0.5), "the split": (1, 1), "scenes of other sides": (0.5, 1)}


@pytest.mark.parametrize("shared", SHARED)
def test_what_scenes_add_to_a_gain_is_averaged_as_far_as_seeds_share_none(shared: str) -> None:
    """Two equal seeds. A gain's error is that of mIoU, and the slope of the line times that of the AUC.

    Where all members of one seed are the other's non-members, mIoUs have no scene in common, and AUCs have all.
    """
    noisy = HARD + np.random.default_rng(1).normal(size=40)
    sides = {"no scene": (1, MEMBERS), "the split": (0, MEMBERS), "scenes of other sides": (0, ~MEMBERS)}
    name, members_N = sides[shared]
    sign = 1 if members_N is MEMBERS else -1
    plain, other, one = (
        [of_scenes(0, scores_N), of_scenes(name, sign * scores_N, members_N)]
        for scores_N in (HARD, HARD + noisy, noisy)
    )
    found = frontier.points(
        [
            over_seeds("none", *[(0.9, 0.5)] * 2, scores=plain),
            over_seeds("gaussian:1.0", *[(0.7, 0.1)] * 2, scores=other, change=0.08),
            over_seeds("synfeat:0.5", *[(0.75, 0.3)] * 2, scores=one, change=0.08),
        ]
    )
    of_auc = [above(noisy, scores_N, MEMBERS, rounds=1)["auc"] for scores_N in (HARD + noisy, HARD)]
    auc, farther = (rate["high"] - rate["value"] for rate in of_auc)
    squares = 0.08**2 + (0.75 * 0.08) ** 2, (2 * (0.75 * auc + 0.25 * farther)) ** 2
    half = float(np.dot(SHARED[shared], squares)) ** 0.5
    plain_, noise, synfeat = found
    gain = equal_auc.above(synfeat, [plain_, noise])
    assert gain == pytest.approx((0.1, 0.1 - half, 0.1 + half))
    first = [replace(point, cell=point.cell.of([0])) for point in found]
    alone = equal_auc.above(first[2], first[:2])
    assert alone == pytest.approx((0.1, 0.1 - sum(squares) ** 0.5, 0.1 + sum(squares) ** 0.5)), "by its own scenes"


@pytest.mark.parametrize("missing", ["scores", "utility_change"])
def test_gains_at_the_same_auc_need_what_old_results_lack(missing: str) -> None:
    plain, noise, synfeat = frontier.points(
        [
            over_seeds("none", (0.9, 0.5), (0.9, 0.5)),
            over_seeds("gaussian:1.0", (0.7, 0.3), (0.6, 0.2)),
            over_seeds("synfeat:0.5", (0.8, 0.44), (0.8, 0.45)),
        ]
    )

    def old(point: frontier.Point) -> frontier.Point:
        runs = tuple(run | {missing: None} for run in point.cell.runs)
        return replace(point, cell=replace(point.cell, runs=runs))

    assert equal_auc.above(synfeat, [plain, noise]) is not None
    assert equal_auc.above(old(synfeat), [plain, noise]) is None
    assert equal_auc.above(synfeat, [plain, old(noise)]) is None
    assert (equal_auc.above(synfeat, [old(plain), noise]) is None) is (missing == "scores"), "it changes nothing"


def test_defenses_that_share_no_seed_are_not_compared_at_the_same_auc() -> None:
    """A user may try each defense on a seed of its own."""
    plain, noise, synfeat = (
        over_seeds(name, (0.9, 0.5), (0.7, 0.4)) for name in ("none", "gaussian:1.0", "synfeat:0.5")
    )
    first, second = (replace(one, runs=one.runs[k : k + 1]) for k, one in ((0, noise), (1, synfeat)))
    found = frontier.points([plain, first, second])
    assert {one.defense for one in found} == {"none", "gaussian:1.0", "synfeat:0.5"}
    assert equal_auc.equal_table(found) == []


def test_confidences_are_counted_cell_by_cell(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    shapes = [(3, 5), (4, 2), (6, 6)]
    posteriors = [draw.dirichlet(np.ones(4), shape).transpose(2, 0, 1) for shape in shapes]
    labels = [draw.choice([0, 3, 255], size=shape).astype(np.uint8) for shape in shapes]
    members = np.array([True, False, True])
    expected = {"members": [0] * 20, "nonmembers": [0] * 20}
    for posterior, member in zip(posteriors, members, strict=True):
        for largest in posterior.astype(np.float16).max(0).ravel():
            expected["members" if member else "nonmembers"][int(float(largest) * 20)] += 1
    assert counted(answers_at(tmp_path, posteriors, labels), members) == expected


def test_certainty_falls_into_the_last_bin_even_where_float16_overshoots(tmp_path: Path) -> None:
    sure = np.zeros((2, 1, 3))
    sure[0] = [1.0, 1.0006, 0.94]
    found = counted(answers_at(tmp_path, [sure], [np.zeros((1, 3), np.uint8)]), np.array([False]))
    assert found == {"members": [0] * 20, "nonmembers": [0] * 18 + [1, 2]}


@pytest.mark.parametrize(
    ("one", "other", "share"),
    [([0.5, 0.5], [0.25, 0.75], 0.75), ([1, 0], [0, 1], 0), ([0.2, 0.8], [0.2, 0.8], 1)],
)
def test_similarity_is_the_shared_area(one: list[float], other: list[float], share: float) -> None:
    assert confidence.similarity(np.array(one), np.array(other)) == pytest.approx(share)
    assert confidence.similarity(np.array(other), np.array(one)) == pytest.approx(share)


def histogram(members: list[int], nonmembers: list[int]) -> dict[str, dict[str, list[int]]]:
    return {"confidence": {"members": members, "nonmembers": nonmembers}}


def mixed() -> list[Result]:
    """Histograms of two seeds without a defense, one with argmax, and a result from before there were any."""
    kind: Any = {"attack": "image_loss", "representation": ""}
    return [
        result(1.8, seed=1, **kind, **histogram([0, 6, 14], [5, 5, 10])),
        result(1.7, seed=1, **histogram([0, 6, 14], [5, 5, 10])),
        result(1.8, seed=2, **kind, **histogram([0, 0, 1], [2, 2, 0])),
        result(1.8, defense="argmax", **kind, **histogram([0, 0, 9], [0, 0, 4])),
        result(1.8, defense="gaussian:1.0", adaptive=True, **kind),
    ]


def test_histograms_are_taken_once_a_seed_and_scaled_by_side() -> None:
    none, argmax = confidence.histograms(enriched(mixed()))
    assert (none.defense, none.seeds, argmax.defense, argmax.seeds) == ("none", [1, 2], "argmax", [1])
    # Seed 1: [0, .3, .7] and [.25, .25, .5]; seed 2 shares nothing.
    assert none.similarities_S.tolist() == pytest.approx([0.75, 0.0])
    assert str(none) == "0.38 (0.00–0.75)"
    assert str(argmax) == "1.00"


def test_the_figure_of_confidences_says_what_it_shows(tmp_path: Path) -> None:
    (made,) = figures.confidences(tmp_path / "village", enriched(mixed()))
    assert made.note.endswith("Shown: no defense, argmax. Measured before histograms were kept: gaussian 1.0.")
    assert 0 < made.files[0].stat().st_size < SMALL
    assert figures.confidences(tmp_path / "old", enriched(mixed()[-1:])) == []
    assert not (tmp_path / "old").exists()


def test_a_defense_stands_where_the_strongest_attack_that_adapts_puts_it() -> None:
    patch = {"attack": "patch_resnet50", "representation": "loss"}
    found = frontier.points([
        cell("none", 0.9, adaptive=False),
        cell("none", 0.85, adaptive=False, **patch),
        cell("none", 0.99, adaptive=False, representation="labels"),
        cell("argmax", 0.7),
        cell("argmax", 0.8, **patch),
        cell("argmax", 0.95, adaptive=False),
        cell("dropout:0.1", 0.9, adaptive=False),
        cell("synfeat:0.5,z=fresh", 0.6),
        cell("synfeat:0.5,z=fresh", 0.55, **patch),
    ])  # fmt: skip
    assert [(one.defense, one.auc.value) for one in found] == [
        ("none", 0.9),
        ("argmax", 0.8),
        ("synfeat:0.5,z=fresh", 0.6),
    ]
    assert [(one.family, one.strength) for one in found] == [("none", ""), ("argmax", ""), ("synfeat,z=fresh", "0.5")]
    assert frontier.points([cell("none", 0.9, adaptive=False), cell("argmax", 0.9, adaptive=False)]) == []


def test_defenses_are_compared_by_the_attacks_that_all_of_them_met() -> None:
    """A defense that met a weak attack alone would look strong beside one that met a strong one."""
    strong = [
        cell(name, auc, adaptive=name != "none", attack="rmia") for name, auc in (("none", 1.0), ("argmax", 0.99))
    ]
    weak = [cell("none", 0.9, adaptive=False), cell("argmax", 0.8), cell("gaussian:1.0", 0.85)]
    assert [(one.defense, one.auc.value) for one in frontier.points(weak + strong)] == [
        ("none", 0.9), ("argmax", 0.8), ("gaussian:1.0", 0.85)
    ]  # fmt: skip
    assert frontier.remark(weak + strong) == "Tried on all settings: image loss."
    # Of two attacks as widely tried the first says which settings are compared.
    other = [cell("none", 0.9, adaptive=False, attack="lira"), cell("dropout:0.9", 0.7, attack="lira")]
    assert [one.defense for one in frontier.points([*weak[:2], *other])] == ["none", "argmax"]
    assert frontier.remark([*weak[:2], *other]).endswith(
        "these attacks were not adapted to them on every seed: dropout 0.9."
    )


def test_defenses_without_an_attacker_who_adapts_are_named() -> None:
    tried = [cell("none", 0.9, adaptive=False), cell("argmax", 0.8), cell("gaussian:1.0", 0.6, adaptive=False)]
    assert (
        frontier.remark(tried)
        == "Left out, because these attacks were not adapted to them on every seed: gaussian 1.0."
    )
    assert frontier.remark(tried[:2]) == ""


def seeded(one: Cell, **miou: float) -> Cell:
    """The cell with a run for each `s<seed>`, whose mIoU is the value."""
    runs = [one.runs[0] | {"seed": int(seed[1:]), "miou_nonmembers": value} for seed, value in miou.items()]
    return replace(one, runs=tuple(runs))


def test_points_are_compared_on_the_seeds_that_all_have() -> None:
    plain = seeded(cell("none", 0.9, adaptive=False), s0=0.3, s1=0.4, s2=0.8)
    tried = [plain, seeded(cell("argmax", 0.8), s0=0.3, s1=0.4)]
    none, argmax = frontier.points(tried)
    assert none.cell.seeds == [0, 1]
    assert none.miou.value == argmax.miou.value == pytest.approx(0.35)
    assert argmax.dominates(none)
    assert frontier.remark(tried) == "Only over what all settings share: seed 0, 1."
    whole = [seeded(cell("gaussian:1.0", 0.7), s0=0.3, s1=0.3, s2=0.3), *tried]
    assert [(one.defense, one.cell.seeds) for one in frontier.points(whole)] == [
        ("none", [0, 1, 2]), ("gaussian:1.0", [0, 1, 2])
    ]  # fmt: skip
    assert frontier.remark(whole).endswith("on every seed: argmax.")
    apart = [plain, seeded(cell("argmax", 0.8), s7=0.4)]
    assert [one.cell.seeds for one in frontier.points(apart)] == [[0, 1, 2], [7]]
    assert "share no seed" in frontier.remark(apart)


@pytest.mark.parametrize(
    ("one", "other", "better"),
    [
        ((0.6, 0.4), (0.7, 0.4), True),
        ((0.6, 0.4), (0.6, 0.3), True),
        ((0.6, 0.4), (0.6, 0.4), False),
        ((0.6, 0.3), (0.7, 0.4), False),
        ((0.55, 0.4), (0.2, 0.4), True),  # ranking backwards gives members away too
    ],
)
def test_dominating_is_leaking_no_more_and_segmenting_no_worse(
    one: tuple[float, float], other: tuple[float, float], better: bool
) -> None:
    first, second = frontier.points([cell("gaussian:0.1", *one), cell("gaussian:0.2", *other)])
    assert first.dominates(second) is better
    assert not second.dominates(first)


def strengths() -> list[Cell]:
    settings = [("synfeat:0.5", 0.8, 0.38), ("synfeat:0.75", 0.65, 0.36), ("synfeat:0.95", 0.55, 0.33)]
    settings += [("gaussian:0.5", 0.82, 0.35), ("gaussian:1.0", 0.8, 0.3), ("argmax", 0.85, 0.4)]
    return [cell("none", 0.9, adaptive=False), *(cell(*setting) for setting in settings)]


def test_the_front_is_what_nothing_dominates_and_the_table_says_what_does() -> None:
    found = frontier.points(strengths())
    assert [one.defense for one in frontier.front(found)] == ["synfeat:0.95", "synfeat:0.75", "synfeat:0.5", "argmax"]
    rows = {row[0]: row[1:] for row in frontier.frontier_table(found).rows}
    assert rows["no defense"] == ["image loss", "argmax", "0.90 [0.85, 0.95]", "40.0 [38.0, 42.0]", "1"]
    assert rows["argmax"][1] == "–"
    assert rows["gaussian 1.0"][1] == "synfeat 0.5, synfeat 0.75, synfeat 0.95"


def test_a_star_follows_what_is_shown_to_leak_less() -> None:
    """Both dominate: one lowers the scores of all members, the other that of one."""
    members = np.arange(1000) < 500
    names = [str(i) for i in range(1000)]
    draw = np.random.default_rng(0)
    bare = members + 0.7 * draw.standard_normal(1000)
    less, same = bare - 0.5 * members, bare - 0.5 * (np.arange(1000) == 0)

    def scored(defense: str, scores: np.ndarray, miou: float) -> Cell:
        found = cell(defense, ranked(scores, members)["auc"], miou, adaptive=defense != "none")
        run = found.runs[0] | {"scores": SceneScores(names, members, names, scores)}
        return replace(found, runs=(run,))

    tried = [scored("none", bare, 0.4), scored("argmax", same, 0.4), scored("synfeat:0.5", less, 0.41)]
    rows = {row[0]: row[2] for row in frontier.frontier_table(frontier.points(tried)).rows}
    assert rows == {"no defense": "argmax, synfeat 0.5*", "argmax": "synfeat 0.5*", "synfeat 0.5": "–"}
    # Both leak alike, though one ranks backwards, so that their AUCs differ.
    other = members + 0.7 * draw.standard_normal(1000)
    ahead, behind = scored("dropout:0.9", bare - 0.88 * members, 0.4), scored("argmax", 0.97 * members - other, 0.4)
    found = {row[0]: row[2] for row in frontier.frontier_table(frontier.points([tried[0], ahead, behind])).rows}
    assert found == {"no defense": "argmax*, dropout 0.9*", "argmax": "–", "dropout 0.9": "argmax"}
    # A small fall is shown of one attack, and not of the strongest of many.
    small = scored("synfeat:0.5", bare - 0.1 * draw.standard_normal(1000), 0.41)
    first, second = frontier.points([tried[0], small])
    assert [replace(first, tried=tried).leaks_more(second) for tried in (1, 1000)] == [True, False]


def test_every_setting_has_its_strength_beside_it_and_none_on_another() -> None:
    found = frontier.points(strengths())
    drawn = frontier.frontier_figure(found, look(one.defense for one in found))
    drawn.canvas.draw()
    texts = [text for text in drawn.axes[0].texts if text.get_text() not in ("", "optimal")]
    assert sorted(text.get_text() for text in texts) == ["0.5", "0.5", "0.75", "0.95", "1.0"]
    boxes = [text.get_window_extent() for text in texts]
    assert not [i for i, box in enumerate(boxes) if box.count_overlaps(boxes[:i])]


def test_scores_of_generators_are_read_and_are_no_results(tmp_path: Path) -> None:
    for one in (score(seed=1), score(), score("bicyclegan")):
        kept(tmp_path, one)
    assert [(one["generator"]["name"], one["seed"]) for one in results.read_generators(tmp_path)] == [
        ("bicyclegan", 0), ("dfgan", 0), ("dfgan", 1)
    ]  # fmt: skip
    assert results.read_all(tmp_path) == []


@pytest.mark.parametrize("fault", [{"epochs": []}, {"epochs": [{"epoch": 1}]}, {"real": {}}, {"generator": "dfgan"}])
def test_what_is_no_score_of_a_generator_is_refused(tmp_path: Path, fault: dict[str, Any]) -> None:
    path = kept(tmp_path, score())
    path.write_text(json.dumps(score() | fault))
    with pytest.raises(MiaSegError, match=r"dfgan\.s0\.json is not the score of a generator"):
        results.read_generators(tmp_path)


def test_many_attacks_make_a_page_longer_and_not_wider() -> None:
    few, many = ([cell("none", 0.5 + i / 60, attack=f"attack_{i:02d}") for i in range(n)] for n in (6, 25))
    many += [cell("argmax", 0.5 + i / 60, attack=f"attack_{i:02d}") for i in (3, 24)]
    colours = look(["none", "argmax"])
    widths = [plots.forest_figure(cells, colours).get_size_inches()[0] for cells in (few, many)]
    assert widths[1] < widths[0] < 14
    panels = plots.forest_figure(many, colours).axes
    assert [panel.get_title() for panel in panels] == ["no defense", "argmax"]
    assert [tick.get_text() for tick in panels[0].get_yticklabels()] == [f"attack {i:02d}" for i in range(25)]
    drawn = [[line for line in panel.lines if len(line.get_xdata()) == 1] for panel in panels]
    assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in drawn[1]] == [
        pytest.approx((0.5 + i / 60, i + plots.SPREAD)) for i in (3, 24)
    ]
    shown, sentence = figures._leading(many)
    assert {c.attack for c in shown} == {f"attack_{i:02d}" for i in range(19, 25)}
    assert [c.defense for c in shown] == ["none"] * 6 + ["argmax"]
    assert "the 6 of 25 attacks" in sentence
    assert figures._leading(few) == (few, "")


def test_a_generator_is_weighed_against_real_features() -> None:
    (row,) = generators.generator_table([score(ends=0.45)]).rows
    assert row == ["dfgan", "0", "54", "6", "65.0 (80.0)", "55.0 (70.0)", "45.0 (60.0)", "60.0 (75.0)", "75.0"]


def test_the_page_shows_what_weighs_the_defenses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "_curves", lambda *_: iter(()))  # the slowest to draw, and tested elsewhere
    found = [*mixed(), result(0.5, attack="image_confidence", representation="")]
    found.append(result(1.5, defense="argmax", adaptive=True, attack="image_loss", representation=""))
    files = report.write(tmp_path, found, {}, scores=[score(), score("bicyclegan", 2), score(victim="elsewhere")])
    names = {"village/confidence.png", "village/generator.png", "village/village_a1.frontier.png"}
    assert names <= {str(file.relative_to(tmp_path)) for file in files}
    assert all((tmp_path / name).stat().st_size < SMALL for name in names)
    assert not (tmp_path / "elsewhere").exists()
    for page in ("index.html", "README.md"):
        text = (tmp_path / "village" / page).read_text()
        for title in ("Generators of features", "Each defense under its strongest attack", "Labels and confidences"):
            assert title in text
        assert "Predicted labels alone (AUC" in text


def seen(everything: float, labels: float, confidences: float) -> dict[str, Cell]:
    return sources.sources([
        cell("none", everything, adaptive=False),
        cell("none", confidences, adaptive=False, attack="image_confidence"),
        cell("argmax", labels),
        cell("argmax", 0.99, adaptive=False),
    ])  # fmt: skip


def test_labels_and_confidences_are_set_side_by_side() -> None:
    table = sources.source_table(seen(0.9, 0.7, 0.5))
    assert table.rows == [
        ["everything", "image loss", "leaks", "0.90 [0.85, 0.95]", "1"],
        ["labels alone", "image loss", "leaks", "0.70 [0.65, 0.75]", "1"],
        ["confidences alone", "image confidence", "not shown", "0.50 [0.45, 0.55]", "1"],
    ]
    assert sources.sources([cell("none", 0.9, adaptive=False), cell("argmax", 0.8)]) == {}


@pytest.mark.parametrize(
    ("aucs", "says"),
    [
        ((0.9, 0.7, 0.5), ["0.75]) give members away;", "0.55]) were not shown to"]),
        ((0.6, 0.5, 0.3), ["Predicted labels alone (AUC 0.50 [0.45, 0.55]) were not shown", "gives them away too"]),
    ],
)
def test_the_sentence_on_labels_and_confidences_follows_the_intervals(
    aucs: tuple[float, float, float], says: list[str]
) -> None:
    text = sources.source_sentence(seen(*aucs))
    assert not [part for part in says if part not in text], text


def test_a_budget_of_queries_has_a_column_and_is_in_no_other_table(tmp_path: Path) -> None:
    single = result(0.5, defense="gaussian:1.0")
    better = single.dump()["levels"]["image"] | {"auc": 0.987, "auc_low": 0.95, "auc_high": 0.99}
    four = relevelled(single.model_copy(update={"repeats": 4}), image=better, patch=None)
    table = budgets.budget_table([single, four])
    assert table is not None
    assert table.columns[-2:] == ["1 query", "4 queries"]
    assert "0.99 [0.95, 0.99]" in table.rows[0][-1]
    assert "0.99" not in table.rows[0][-2]
    assert budgets.budget_table([single]) is None
    pages = [report.write(tmp_path, found, {})[-1].read_text() for found in ([single, four], [four])]
    assert pages[0].count("0.99 [0.95, 0.99]") == 1
    assert pages[1].count("0.99 [0.95, 0.99]") > 1, "asked four times is all that is known of this victim"


def fleet_result(mode: str = "", seed: int = 1, trained: tuple[int, ...] = (2, 4, 8), **changed: Any) -> Result:
    """A result of LiRA whose scores part better with more shadows, beside an image loss that hardly does."""
    rng, members = np.random.default_rng(seed), np.arange(240) < 120
    loss = rng.normal(size=240) + 0.3 * members
    scores = {count: rng.normal(size=240) + count / 4 * members for count in trained}
    points = [{"trained": n, "compared": n if not mode else n // 2} | ranked(s, members) for n, s in scores.items()]
    last = scores[trained[-1]] if trained else loss + members
    kind: dict[str, Any] = {"attack": "lira", "shadow": "village_fleet", "choose": "halves", "seed": seed}
    kind |= {"representation": mode}
    kind |= {"settings": {"mode": mode or "online"} if trained else {}, "by_shadows": points}
    kind |= {"image_loss": ranked(loss, members), "above_loss": above(last, loss, members, rounds=50)}
    one = result(1.0, **(kind | changed))
    return relevelled(one, image=one.dump()["levels"]["image"] | ranked(last, members), patch=None)


def test_more_shadows_are_drawn_beside_the_loss_and_their_gain_has_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "_curves", lambda *_: iter(()))
    found = [fleet_result(), fleet_result("offline_cdf"), fleet_result(attack="attack_p", trained=())]
    files = report.write(tmp_path, [*found, result(1.0)], {})
    drawn = [path.relative_to(tmp_path) for path in files if path.name.endswith(".shadows.png")]
    assert drawn == [Path("village/village_fleet.shadows.png")]
    assert (tmp_path / drawn[0]).stat().st_size < SMALL
    rows = {row[0]: row[1:] for row in shadows.shadows_table(shadows.fleet(cells(enriched(found)))).rows}
    assert {name: row[2] for name, row in rows.items()} == {
        "lira (online)": "8 of 8",
        "lira (offline_cdf)": "4 of 8",
        "attack p": "none",
    }
    assert found[0].above_loss
    difference = found[0].above_loss.auc
    told = f"{difference.value:+.2f} [{difference.low:+.2f}, {difference.high:+.2f}]"
    for page in ("index.html", "README.md"):
        text = (tmp_path / "village" / page).read_text()
        assert "What more shadows add" in text
        assert told in text


def test_a_curve_has_the_numbers_of_shadows_that_every_seed_has() -> None:
    (cell_,) = shadows.grown(cells(enriched([fleet_result(), fleet_result(seed=2, trained=(4, 8))])))
    assert {trained: len(runs) for trained, runs in shadows.curve(cell_).items()} == {4: 2, 8: 2}


def test_the_figure_of_shadows_holds_every_point() -> None:
    (cell_,) = shadows.grown(cells(enriched([fleet_result()])))
    auc = shadows.shadows_figure([cell_]).axes[0]
    (line,) = [line for line in auc.lines if line.get_label() == "lira (online)"]
    (loss,) = [line for line in auc.lines if line.get_label() == "image loss"]
    run = cell_.runs[0]
    assert line.get_xydata() == pytest.approx(np.array([[p["trained"], p["auc"]] for p in run["by_shadows"]]))
    assert list(loss.get_ydata()) == [run["image_loss"]["auc"]] * 2


def test_results_from_before_fleets_were_compared_draw_nothing() -> None:
    old = [result(1.0, attack="lira", representation=mode) for mode in ("", "offline_cdf")]
    found = [one for one in cells(enriched(old)) if one.level == "image"]
    assert found
    assert shadows.fleet(found) == []
    assert shadows.grown(found) == []


def test_long_names_go_on_in_further_lines() -> None:
    long = "patch fleet (loss,patch=12,epochs=2,batch=16,lr=0.0005)"
    assert style.wrapped(long) == "patch fleet (loss,\npatch=12, epochs=2,\nbatch=16, lr=0.0005)"
    assert style.wrapped("lira (statistic=vector)") == "lira (statistic=vector)"
    assert style.wrapped("no_place_to_break_this_name_at") == "no_place_to_break_this_name_at"
