"""The figure of an attacker's scores: which attack it shows, and that its bars are the shares of the scores kept."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers_results import result

from mia_seg.evaluate.results import Result
from mia_seg.evaluate.scores import SceneScores
from mia_seg.report import figures, logits
from mia_seg.report.cells import Cell, cells, enriched

LOSS: dict[str, Any] = {"attack": "image_loss", "representation": ""}


def scored(scores: np.ndarray, **changed: Any) -> Result:
    """A result whose first half of scores are members'."""
    members, ids = np.arange(len(scores)) < len(scores) // 2, [f"{i:04d}" for i in range(len(scores))]
    return result(changed.pop("shift", 1.0), **changed).with_scores(SceneScores(ids, members, ids, scores))


def of(*found: Result) -> list[Cell]:
    return cells(enriched(found))


def audited() -> list[Result]:
    scores = np.linspace(-1, 1, 40)
    return [
        scored(scores, shift=2.0, **LOSS),
        scored(scores, shift=0.5),
        scored(scores, shift=1.0, representation="loss"),
        scored(scores, shift=3.0, representation="labels"),
        scored(scores, defense="argmax", adaptive=True, representation="loss"),
        scored(scores, defense="argmax", representation="loss"),
        result(1.0, defense="gaussian:1.0", representation="loss"),
    ]


def test_the_strongest_patch_attack_is_shown_undefended_and_behind_each_defense() -> None:
    assert [(c.attack, c.representation, c.defense, c.adaptive) for c in logits.shown(of(*audited()))] == [
        ("patch_resnet50", "loss", "none", False),
        ("patch_resnet50", "loss", "argmax", False),
        ("patch_resnet50", "loss", "argmax", True),
    ]
    assert {c.attack for c in logits.shown(of(audited()[0]))} == {"image_loss"}, "the strongest where no patch is read"


def test_without_scores_there_is_no_such_figure(tmp_path: Path) -> None:
    assert logits.shown(of(result(1.0), scored(np.arange(4.0), defense="argmax"))) == []
    assert figures._logits(tmp_path / "a.scores", of(result(1.0)), "") == []
    assert not list(tmp_path.iterdir())


def test_bars_are_shares_of_a_side_averaged_over_seeds() -> None:
    """Of seed 1 members lie at 1 and others at 0, of seed 2 half the members lie at 0 too."""
    apart, half = np.repeat([1.0, 0.0], 4), np.array([1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    (cell,) = logits.shown(of(scored(apart, seed=1), scored(half, seed=2)))
    panel = logits._panel(cell)
    members, others = panel.shares_2B
    assert (members[0], members[-1], others[0]) == pytest.approx((0.25, 0.75, 1.0))
    assert panel.shares_2B.sum(1) == pytest.approx([1, 1])
    assert list(panel.marks) == [0.5, 0.5], "the thresholds of both seeds"
    assert panel.text == f"AUC\n{cell.auc}"


def test_scores_far_out_are_counted_in_the_outermost_bins() -> None:
    scores = np.concatenate([np.linspace(0, 1, 500), np.linspace(0, 1, 499), [-1e6]])
    panel = logits._panel(logits.shown(of(scored(scores)))[0])
    assert panel.edges[0] == pytest.approx(0, abs=0.02)
    assert panel.shares_2B.sum(1) == pytest.approx([1, 1])


def test_scores_that_are_all_equal_are_drawn() -> None:
    panel = logits._panel(logits.shown(of(scored(np.full(8, -2.0))))[0])
    assert panel.edges[0] < -2 < panel.edges[-1]
    assert panel.shares_2B.max() == 1


def test_the_figure_names_the_attack_the_defense_and_the_attacker(tmp_path: Path) -> None:
    drawn = logits.logits_figure(logits.shown(of(*audited())))
    assert [ax.get_title() for ax in drawn.axes if ax.get_visible()] == [
        "no defense", "argmax\nignores it", "argmax\nadapts"
    ]  # fmt: skip
    assert drawn.get_supxlabel() == "Score of a scene by patch resnet50 (loss)"
    (made,) = figures._logits(tmp_path / "a.scores", of(*audited()), "One seed.")
    assert [file.suffix for file in made.files] == [".png", ".svg"]
    assert made.note == "One seed. Measured before scores were kept: gaussian 1.0."
    assert all(0 < file.stat().st_size < 60_000 for file in made.files)
