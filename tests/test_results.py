"""Results: one JSON at its place in the grid, and flat rows whose names scripts can rely on."""

import json
import re
from copy import deepcopy
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from helpers_results import relevelled, result

from mia_seg.errors import MiaSegError
from mia_seg.evaluate import results
from mia_seg.evaluate.ages import LATER
from mia_seg.evaluate.results import Result, upgrade
from mia_seg.evaluate.schema import Level
from mia_seg.metrics.membership import Measurement

ROOT = Path(__file__).parents[1]
# What scripts and CI read. A name that changes or goes breaks them: add names, at the end of their block.
KEYS = [
    "victim", "shadow", "dataset", "adversary", "choose", "defense", "attack", "representation", "adaptive", "seed",
    "level",
    "left_out_members", "left_out_nonmembers",
    "n_members", "n_nonmembers", "n_member_groups", "n_nonmember_groups", "auc", "auc_low", "auc_high",
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
    "victim_digest", "shadow_digest", "knows",
    "blind_auc", "blind_p", "confounded", "shuffle_p", "epsilon_low",
    "near_twins",
]  # fmt: skip


def tiny(**changes: Any) -> Result:
    return result(
        **{"victim": "tiny", "shadow": "tiny_a1", "seed": 0, "attack": "image_loss", "representation": ""} | changes
    )


def first_age(one: Result) -> dict[str, Any]:
    """The JSON that the first mia-seg would have written of a result."""
    raw = deepcopy(one.dump())
    later = {
        "schema", "shadow_dataset", "repeats", "segmenters", "classes", "controls", "epsilon", "exposed", "confidence",
        "where", "by_shadows", "image_loss", "above_loss", "tuned",
        "near_twins",
    }  # fmt: skip
    old = {"group": "unit", "n_member_groups": "n_member_units", "n_nonmember_groups": "n_nonmember_units"}
    levels = {
        old.get(name, name): {old.get(k, k): v for k, v in found.items() if k not in LATER}
        for name, found in raw["levels"].items()
    }
    for found in levels.values():
        for rate in found["tpr_at_fpr"].values():
            if isinstance(rate, dict):
                del rate["fpr_low"], rate["fpr_high"]
    return {name: value for name, value in raw.items() if name not in later} | {"levels": levels}


def kept(told: Any, raw: Any) -> bool:
    """Whether `told` says all that `raw` says."""
    if isinstance(raw, dict):
        return all(name in told and kept(told[name], value) for name, value in raw.items())
    return bool(told == raw)


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({}, "tiny_a1.none.image_loss.s0"),
        ({"seed": 12}, "tiny_a1.none.image_loss.s12"),
        ({"defense": "gaussian:0.5", "adaptive": True}, "tiny_a1.gaussian-0.5.image_loss.adaptive.s0"),
        ({"defense": "gaussian:0.5", "repeats": 4}, "tiny_a1.gaussian-0.5.image_loss.x4.s0"),
        ({"attack": "patch_resnet50", "representation": "loss"}, "tiny_a1.none.patch_resnet50-loss.s0"),
        ({"shadow": "tiny_a1_random"}, "tiny_a1_random.none.image_loss.s0"),
    ],
)
def test_a_result_has_its_place_in_the_grid(changed: dict[str, Any], name: str) -> None:
    assert results.path_of(Path("reports"), tiny(**changed)) == Path("reports/tiny") / f"{name}.json"


def test_every_cell_has_a_place_of_its_own() -> None:
    cells = [
        tiny().model_copy(update={
            "victim": victim, "shadow": shadow, "defense": defense, "attack": attack, "adaptive": adaptive, "seed": seed
        })
        for victim in ("a", "b")
        for shadow in ("c", "d")
        for defense in ("none", "gaussian:0.5", "gaussian:1.0", "gaussian_std:0.5")
        for attack in ("image_loss", "patch_resnet50")
        for adaptive in (False, True)
        for seed in (0, 10)
    ]  # fmt: skip
    assert len({results.path_of(Path(), cell) for cell in cells}) == len(cells)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    written = tiny(attack="patch_resnet50")
    path = results.write(tmp_path / "reports", written)
    assert results.read(path) == written
    raw = json.loads(path.read_text())
    assert (raw["schema"], sorted(raw["levels"])) == (2, ["image", "patch"])


def test_a_file_that_says_the_same_is_left_as_it_is(tmp_path: Path) -> None:
    path = results.write(tmp_path, tiny())
    before = path.stat().st_ino
    assert results.write(tmp_path, tiny()) == path
    assert path.stat().st_ino == before
    results.write(tmp_path, tiny(queries=241))
    assert results.read(path).queries == 241


@pytest.mark.parametrize(
    "root", sorted({path.parents[1] for path in results.files(ROOT / "reports")}), ids=lambda p: p.name
)
def test_every_kept_result_is_read_whole_and_survives_the_round(root: Path, tmp_path: Path) -> None:
    paths = [path for path in results.files(root) if path.parents[1] == root]
    assert paths
    for path in paths:
        one = results.read(path)
        assert kept(one.dump(), upgrade(json.loads(path.read_text()))), path
        again = results.read(results.write(tmp_path, one))
        assert again.dump() == one.dump(), path
        assert (again.scores and again.scores.text()) == (one.scores and one.scores.text()), path
        assert results.path_of(root, one) == path


def test_results_of_the_first_age_are_brought_up() -> None:
    group = result().levels["image"].model_dump()
    raw = first_age(relevelled(tiny(), group=group))
    before = deepcopy(raw)
    told = upgrade(raw)
    assert raw == before
    assert (told["schema"], sorted(told["levels"]), told["levels"]["group"]["n_member_groups"]) == (
        2,
        ["group", "image"],
        60,
    )
    assert (told["repeats"], told["controls"], told["where"], told["tuned"]) == (1, None, [], {})
    (image, _) = results.rows([Result.model_validate(told)])
    assert image["tpr"] is image["ppv"] is image["blind_p"] is image["epsilon_low"] is None
    assert upgrade(told) == told


def test_a_newer_schema_is_refused_by_name(tmp_path: Path) -> None:
    path = results.write(tmp_path, tiny())
    path.write_text(json.dumps(tiny().dump() | {"schema": 3}))
    with pytest.raises(MiaSegError, match=re.escape(f"{path} cannot be read: its schema is 3")):
        results.read(path)


def test_all_results_come_in_the_order_of_their_paths(tmp_path: Path) -> None:
    for folder, victim, seed in (("", "b", 0), ("", "a", 1), ("", "a", 0), ("more/still", "a", 2)):
        results.write(tmp_path / folder, tiny(victim=victim, seed=seed))
    (tmp_path / "a" / "notes.json").write_text("not a result's name")
    (tmp_path / "a" / "generators").mkdir()
    (tmp_path / "a" / "generators" / "dfgan.s0.json").write_text("a generator's score is no result")
    found = [(r.victim, r.seed) for r in results.read_all(tmp_path)]
    assert found == [("a", 0), ("a", 1), ("b", 0), ("a", 2)]
    assert [r.seed for r in results.read_all(tmp_path, "a")] == [0, 1, 2]
    assert results.read_all(tmp_path / "nowhere") == []


def test_rows_are_flat_and_their_names_are_frozen() -> None:
    found = [tiny(attack="patch_resnet50"), tiny(attack="patch_resnet50", seed=1)]
    rows = list(results.rows(found))
    assert [(row["seed"], row["level"]) for row in rows] == [(0, "image"), (0, "patch"), (1, "image"), (1, "patch")]
    assert all(sorted(row) == sorted(KEYS) for row in rows)
    assert [row["auc"] for row in rows[:2]] == [found[0].levels[level].auc for level in ("image", "patch")]
    assert rows[0]["victim_digest"] == found[0].digests.victim
    assert (rows[0]["miou_members"], rows[0]["miou_nonmembers"]) == pytest.approx((0.6, 0.4))
    nested = {name for row in rows for name, value in row.items() if isinstance(value, dict | list)}
    assert nested == {"tpr_at_fpr", "ppv"}


def test_a_frame_has_a_line_a_row() -> None:
    table = results.frame([tiny(attack="patch_resnet50"), tiny(seed=1)])
    assert sorted(table.columns) == sorted(KEYS)
    assert table["level"].tolist() == ["image", "patch", "image"]
    assert table["n_members"].sum() == 60 + 180 + 60


def test_a_level_is_what_is_measured() -> None:
    assert set(Level.model_fields) == {field.name for field in fields(Measurement)}


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
    assert "delete it and run the attack again" in str(refused.value)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"auc": "0.5"}, "levels.image.auc: Input should be a valid number"),
        ({"auc": 1.5}, "levels.image.auc: Input should be less than or equal to 1"),
        ({"auc_low": float("nan")}, "levels.image.auc_low: Input should be a finite number"),
        ({"n_members": -1}, "levels.image.n_members: Input should be greater than or equal to 0"),
        ({"levels": {}}, "levels holds no 'image'"),
        ({"colour": "red"}, "colour: Extra inputs are not permitted"),
    ],
)
def test_a_result_with_a_wrong_key_is_refused_with_the_key(tmp_path: Path, changed: dict[str, Any], says: str) -> None:
    raw = tiny().dump()
    if changed.keys() <= raw["levels"]["image"].keys():
        raw["levels"]["image"] |= changed
    else:
        raw |= changed
    path = tmp_path / "tiny.s0.json"
    path.write_text(json.dumps(raw))
    with pytest.raises(MiaSegError, match=re.escape(says)):
        results.read(path)


def test_a_result_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "reports").write_text("a file")
    with pytest.raises(MiaSegError, match="could not be written"):
        results.write(tmp_path / "reports", tiny())


def test_a_defense_with_several_settings_has_a_plain_file_name() -> None:
    found = {name: results.slug(name) for name in ("none", "gaussian:0.5", "synfeat:0.75,z=fresh")}
    assert list(found.values()) == ["none", "gaussian-0.5", "synfeat-0.75-z-fresh"]


def test_the_written_schema_is_the_model_s() -> None:
    told = json.loads((ROOT / "docs" / "result.schema.json").read_text())
    assert told == results.json_schema(), "write it again: mia-seg results --schema > docs/result.schema.json"
