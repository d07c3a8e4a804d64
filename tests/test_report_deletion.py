"""The test of an attacker's map: that of a planted attacker is borne out, one of noise is not."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Audit
from scipy import stats
from torch import Tensor, nn

from mia_seg.attacks import Thresholds
from mia_seg.attacks.patch_resnet50 import PatchAttacker, PatchResNet50, represent
from mia_seg.evaluate import results
from mia_seg.metrics.intervals import mean_interval
from mia_seg.query.answers import Answer
from mia_seg.report import deletion, figures, scene_inputs
from mia_seg.report.cam import activation_maps, scorer
from mia_seg.report.deletion import SHARES, DeletionInput
from mia_seg.store import Store

SIDE, CORNER, PULL = 16, 4, 30.0
HIGHEST, LOWEST, RANDOM = range(3)


class ReadsOneCorner(nn.Module):
    """An attacker's network: the more probable the first class in the corner at the top left, the more a member."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layer4, self.fc = Corner(), nn.Linear(channels, 2)
        with torch.no_grad():
            self.fc.weight.zero_()
            self.fc.weight[1, 0] = PULL

    def forward(self, inputs: Tensor) -> Tensor:
        return self.fc(self.layer4(inputs).mean((2, 3)))


class Corner(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        seen = torch.zeros_like(inputs)
        seen[..., :CORNER, :CORNER] = inputs[..., :CORNER, :CORNER]
        return seen


def planted() -> PatchAttacker:
    return PatchAttacker(ReadsOneCorner(6), PatchResNet50(patch=(SIDE, SIDE)), Thresholds(0.0, 0.0))


def answer(seed: int) -> Answer:
    """Three classes, of which the first is probable everywhere, in the corner as elsewhere."""
    draw = np.random.default_rng(seed)
    posterior = draw.dirichlet((8, 1, 1), (SIDE, SIDE)).transpose(2, 0, 1).astype(np.float32)
    return Answer(posterior, draw.choice([0, 1, 2, 255], size=(SIDE, SIDE)).astype(np.uint8))


def put_to_test(map_of: Callable[[Answer, np.random.Generator], np.ndarray], scenes: int = 20) -> DeletionInput:
    """The planted attacker's test with any map."""
    attacker, draw = planted(), np.random.default_rng(0)
    found = [deletion.changes(scorer(attacker, one), map_of(one, draw), draw) for one in map(answer, range(scenes))]
    return DeletionInput(np.stack(found), [str(i) for i in range(scenes)])


def test_the_score_of_a_planted_attacker_drops_as_soon_as_what_it_reads_is_gone() -> None:
    sheet = put_to_test(lambda one, _: activation_maps(planted(), [one])[0])
    covered = [share * SIDE**2 >= CORNER**2 for share in SHARES]
    highest, lowest = sheet.changes_NOS[:, HIGHEST], sheet.changes_NOS[:, LOWEST]
    assert (highest[:, -1] < -0.5).all()
    assert highest[:, covered] == pytest.approx(highest[:, -1:].repeat(sum(covered), 1), abs=1e-5)
    assert lowest[:, :-1] == pytest.approx(0, abs=1e-5), "the corner goes last"
    assert sheet.gap.low > 0
    assert deletion.finding(sheet).endswith("log-odds: the map shows what the score depends on.")


def test_a_map_of_noise_does_no_better_than_chance_and_one_turned_round_does_worse() -> None:
    noise = put_to_test(lambda _, draw: draw.normal(size=(SIDE, SIDE)), scenes=60)
    assert noise.gap.low < 0 < noise.gap.high
    assert abs(noise.gap.value) < 0.02
    assert deletion.finding(noise).endswith("this does not show whether the map means anything.")
    turned = put_to_test(lambda one, _: -activation_maps(planted(), [one])[0])
    assert turned.gap.high < 0
    assert deletion.finding(turned).endswith("the map misleads.")


def test_cells_go_in_the_order_of_the_map() -> None:
    """A score that is what is left of the map itself: sums are known."""
    values = np.random.default_rng(1).permutation(100).reshape(10, 10) / 100
    found = deletion.changes(lambda masks: (~masks * values).sum((1, 2)), values, np.random.default_rng(2))
    for place, share in enumerate(SHARES):
        gone = round(100 * share)
        assert found[HIGHEST, place] == pytest.approx(-sum(range(100 - gone, 100)) / 100)
        assert found[LOWEST, place] == pytest.approx(-sum(range(gone)) / 100)
    assert (found[RANDOM, 1:-1] > found[HIGHEST, 1:-1]).all()
    assert (found[RANDOM, 1:-1] < found[LOWEST, 1:-1]).all()
    assert found[RANDOM, -1] == found[HIGHEST, -1]


def test_at_random_is_the_same_map_in_another_place() -> None:
    blob = np.zeros((8, 8))
    blob[2:4, 3:5] = 1
    seen: list[np.ndarray] = []
    deletion.changes(lambda masks: np.zeros(len(seen.append(masks) or masks)), blob, np.random.default_rng(3))
    ninth = seen[0][2 + 2 * len(SHARES[1:-1])]  # of those at random the first share: 3 cells
    rows, columns = np.nonzero(ninth)
    assert ninth.sum() == round(SHARES[1] * 64)
    assert any(np.roll(blob, (y, x), (0, 1))[rows, columns].all() for y in range(8) for x in range(8))
    assert not blob[rows, columns].all()


def test_a_cell_without_an_answer_has_no_label_and_an_even_posterior() -> None:
    one, attacker = answer(0), planted()
    nothing, corner, rest = np.zeros((3, SIDE, SIDE), bool)
    corner[:CORNER, :CORNER] = True
    rest[CORNER:] = True
    with torch.no_grad():
        logits = attacker.network(represent(one, "concat")[None])[0]
    scores = scorer(attacker, one)(np.stack([nothing, corner, rest]))
    bias = (attacker.network.fc.bias[1] - attacker.network.fc.bias[0]).item()
    assert scores[0] == pytest.approx((logits[1] - logits[0]).item(), abs=1e-5)
    assert scores[1] == pytest.approx(PULL / 3 * CORNER**2 / SIDE**2 + bias, abs=1e-5)
    assert scores[2] == pytest.approx(scores[0], abs=1e-5)


def test_scenes_of_one_group_count_once_and_the_gap_is_paired() -> None:
    draw = np.random.default_rng(4)
    one = draw.normal(size=(12, 3, len(SHARES)))
    alone = DeletionInput(one, [str(i) for i in range(12)])
    twice = DeletionInput(np.concatenate([one, one]), [str(i) for i in range(12)] * 2)
    assert twice.gap == pytest.approx(alone.gap)
    areas = np.trapezoid(one[:, RANDOM] - one[:, HIGHEST], SHARES)
    ends = stats.t.interval(0.95, 11, areas.mean(), stats.sem(areas))
    assert alone.gap == pytest.approx((areas.mean(), *ends))
    moved = one + draw.normal(size=(12, 1, 1)) * 100
    assert DeletionInput(moved, alone.groups).gap == pytest.approx(alone.gap), "what a scene has in common cancels"


def test_a_mean_over_one_group_has_no_end() -> None:
    assert mean_interval(np.array([1.0, 2.0]), np.array([0, 0])) == (-np.inf, np.inf)


def test_the_test_is_measured_once_and_drawn(audit: Audit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(audit.folder)
    monkeypatch.setattr(scene_inputs, "DELETED", 2)
    shown = [r for r in results.read_all(audit.reports) if r.attack == "patch_resnet50" and not r.adaptive]
    for part in ("attackers", "answers"):
        shutil.copytree(audit.store / part, tmp_path / "runs" / part)
    first = scene_inputs._deletion_input(shown, Store(tmp_path / "runs"), None)
    assert first.changes_NOS.shape == (4, 3, len(SHARES))
    assert first.note == "no defense, seed 0, 4 scenes in 4 groups"
    assert not first.changes_NOS[..., 0].any()
    monkeypatch.setattr(scene_inputs, "_deleted", None)
    again = scene_inputs._deletion_input(shown, Store(tmp_path / "runs"), None)
    assert (again.changes_NOS == first.changes_NOS).all()
    (made,) = figures.deleted(tmp_path, again)
    assert all(0 < file.stat().st_size < 60_000 for file in made.files)
    assert made.note == f"{deletion.finding(first)} No defense, seed 0, 4 scenes in 4 groups."
    assert figures.deleted(tmp_path, None)[0].note == "", "kept"
