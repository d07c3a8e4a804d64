"""Results: one JSON at its place in the grid, and flat rows whose names scripts can rely on."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from mia_seg.errors import MiaSegError
from mia_seg.evaluate import results

# What scripts and CI read. A name that changes or goes breaks them: add names, at the end of their block.
KEYS = [
    "victim", "shadow", "dataset", "adversary", "choose", "defense", "attack", "representation", "adaptive", "seed",
    "level",
    "n_members", "n_nonmembers", "n_member_units", "n_nonmember_units", "auc", "auc_low", "auc_high",
    "precision_at_recall_80", "precision_at_recall_80_low", "precision_at_recall_80_high", "tpr_at_fpr",
    "threshold", "balanced_accuracy", "balanced_accuracy_low", "balanced_accuracy_high",
    "tpr", "tpr_low", "tpr_high", "fpr", "fpr_low", "fpr_high", "ppv",
    "pix_acc_members", "cls_acc_members", "miou_members", "fwiou_members",
    "pix_acc_low_members", "pix_acc_high_members", "cls_acc_low_members", "cls_acc_high_members",
    "miou_low_members", "miou_high_members", "fwiou_low_members", "fwiou_high_members",
    "pix_acc_nonmembers", "cls_acc_nonmembers", "miou_nonmembers", "fwiou_nonmembers",
    "pix_acc_low_nonmembers", "pix_acc_high_nonmembers", "cls_acc_low_nonmembers", "cls_acc_high_nonmembers",
    "miou_low_nonmembers", "miou_high_nonmembers", "fwiou_low_nonmembers", "fwiou_high_nonmembers",
    "repeats", "queries",
    "victim_segmenter", "shadow_segmenter", "shadow_dataset", "classes_both", "classes_victim", "classes_shadow",
    "victim_digest", "shadow_digest",
    "blind_auc", "blind_p", "confounded", "shuffle_p", "epsilon_low",
]  # fmt: skip
METRICS = [f"{metric}{end}" for end in ("", "_low", "_high") for metric in ("pix_acc", "cls_acc", "miou", "fwiou")]


def result(**changed: Any) -> dict[str, Any]:
    """A result with every field that the flat rows read."""
    level = {name: 0.5 for name in results.SCALARS} | {"tpr_at_fpr": {"0.01": 0.25}, "roc_points": [[0, 0], [1, 1]]}
    return {
        "victim": "tiny", "shadow": "tiny_a1", "dataset": "streets", "adversary": "A1", "choose": "confidence",
        "defense": "none", "attack": "image_loss", "representation": "", "adaptive": False, "seed": 0,
        "levels": {"image": level, "patch": deepcopy(level) | {"auc": 0.75}}, "queries": 24,
        "utility": {side: {metric: 0.5 for metric in METRICS} for side in ("members", "nonmembers")},
        "digests": {"victim": "aaa", "shadow": "bbb", "attacker": "ccc"},
    } | changed  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({}, "tiny_a1.none.image_loss.s0"),
        ({"seed": 12}, "tiny_a1.none.image_loss.s12"),
        ({"defense": "gaussian:0.5", "adaptive": True}, "tiny_a1.gaussian-0.5.image_loss.adaptive.s0"),
        ({"attack": "patch_resnet50", "representation": "loss"}, "tiny_a1.none.patch_resnet50-loss.s0"),
        ({"shadow": "tiny_a1_random"}, "tiny_a1_random.none.image_loss.s0"),
    ],
)
def test_a_result_has_its_place_in_the_grid(changed: dict[str, Any], name: str) -> None:
    assert results.path_of(Path("reports"), result(**changed)) == Path("reports/tiny") / f"{name}.json"


def test_every_cell_has_a_place_of_its_own() -> None:
    cells = [
        result(victim=victim, shadow=shadow, defense=defense, attack=attack, adaptive=adaptive, seed=seed)
        for victim in ("a", "b")
        for shadow in ("c", "d")
        for defense in ("none", "gaussian:0.5", "gaussian:1.0", "gaussian_std:0.5")
        for attack in ("image_loss", "patch_resnet50")
        for adaptive in (False, True)
        for seed in (0, 10)
    ]
    assert len({results.path_of(Path(), cell) for cell in cells}) == len(cells)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    written = result()
    path = results.write(tmp_path / "reports", written)
    assert results.read(path) == written
    assert results.write(tmp_path / "reports", written) == path
    assert json.loads(path.read_text()) == written


def test_all_results_come_in_the_order_of_their_paths(tmp_path: Path) -> None:
    for victim, seed in (("b", 0), ("a", 1), ("a", 0)):
        results.write(tmp_path, result(victim=victim, seed=seed))
    (tmp_path / "a" / "notes.json").write_text("not a result's name")
    found = [(r["victim"], r["seed"]) for r in results.read_all(tmp_path)]
    assert found == [("a", 0), ("a", 1), ("b", 0)]
    assert [r["seed"] for r in results.read_all(tmp_path, "a")] == [0, 1]
    assert results.read_all(tmp_path / "nowhere") == []


def test_rows_are_flat_and_their_names_are_frozen() -> None:
    rows = list(results.rows([result(), result(seed=1)]))
    assert [(row["seed"], row["level"]) for row in rows] == [(0, "image"), (0, "patch"), (1, "image"), (1, "patch")]
    assert all(sorted(row) == sorted(KEYS) for row in rows)
    assert [row["auc"] for row in rows[:2]] == [0.5, 0.75]
    assert rows[0]["victim_digest"] == "aaa"
    nested = {name for row in rows for name, value in row.items() if isinstance(value, dict | list)}
    assert nested <= {"tpr_at_fpr", "ppv"}


def test_results_from_before_predictive_values_are_read() -> None:
    (row, _) = results.rows([result()])
    assert row["ppv"] is row["tpr"] is None
    level = result()["levels"]["image"] | {"tpr": 0.75, "ppv": {"0.5": {"value": 0.6, "low": 0.5, "high": 0.7}}}
    (row,) = results.rows([result(levels={"image": level})])
    assert (row["tpr"], row["ppv"]["0.5"]["value"]) == (0.75, 0.6)


def test_a_result_without_patches_has_one_row() -> None:
    image = result(levels={"image": result()["levels"]["image"]})
    assert [row["level"] for row in results.rows([image])] == ["image"]


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"3", b"null", b"{}", b'{"levels": {"image": {"auc": 0.5}}}', b"\xff\xfe{}", b'"levels"'],
)
def test_another_file_under_a_results_name_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "tiny" / "tiny_a1.none.image_loss.s0.json"
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(MiaSegError) as refused:
        results.read_all(tmp_path)
    assert str(refused.value).startswith(f"{path} is not a result of mia-seg")
    assert "Delete it and run the attack again" in str(refused.value)


def test_a_result_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "reports").write_text("a file")
    with pytest.raises(MiaSegError, match="could not be written"):
        results.write(tmp_path / "reports", result())


def test_a_defense_with_several_settings_has_a_plain_file_name() -> None:
    found = {name: results.slug(name) for name in ("none", "gaussian:0.5", "synfeat:0.75,z=fresh")}
    assert list(found.values()) == ["none", "gaussian-0.5", "synfeat-0.75-z-fresh"]
