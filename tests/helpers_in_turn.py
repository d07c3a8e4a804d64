"""Fleets of made-up readings, what their models score in the victim's place, and a trained fleet's own audit."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from helpers_files import assert_refused, call

from mia_seg.metrics.per_scene import Estimate


@dataclass(frozen=True, eq=False)
class Simulated:
    """readings_MN of M models and N scenes, higher where trained on; inside_MN: who trained on what."""

    readings_MN: np.ndarray
    inside_MN: np.ndarray


def simulated(models: int, leak_N: np.ndarray, seed: int, *, varies: float = 0.0) -> Simulated:
    """Scenes as hard as they are, noise of deviation 1, and a leak each; varies: how much models differ in leaking."""
    rng, scenes = np.random.default_rng(seed), len(leak_N)
    first = np.stack([rng.permutation(scenes) < scenes // 2 for _ in range(models // 2)])
    inside_MN = np.stack([first, ~first], 1).reshape(models, scenes)
    leak_MN = leak_N * np.exp(varies * rng.normal(size=(models, 1)))
    hard_N = 2 * rng.normal(size=scenes)
    return Simulated(hard_N + rng.normal(size=(models, scenes)) + leak_MN * inside_MN, inside_MN)


def plain(readings_MN: np.ndarray) -> Estimate:
    """The readings themselves."""
    return lambda models, inside_MN: readings_MN[models]


def calibrated(readings_MN: np.ndarray) -> Estimate:
    """The readings less the mean of those that left the scene out, by the models of other pairs."""

    def estimate(models: np.ndarray, inside_MN: np.ndarray) -> np.ndarray:
        read_MN = readings_MN[models]
        return read_MN - _apart(np.where(inside_MN, 0, read_MN)) / (len(models) // 2 - 1)

    return estimate


def likelihood(readings_MN: np.ndarray, *, shared: bool = False) -> Estimate:
    """LiRA with means and variances of a scene's own, by the models of other pairs; shared: one variance for all."""

    def estimate(models: np.ndarray, inside_MN: np.ndarray) -> np.ndarray:
        read_MN, others = readings_MN[models], len(models) // 2 - 1
        ratio_MN = np.zeros_like(read_MN)
        for side_MN, sign in ((inside_MN, 1), (~inside_MN, -1)):
            mean_MN = _apart(np.where(side_MN, read_MN, 0)) / others
            variance_MN = _apart(np.where(side_MN, read_MN**2, 0)) / others - mean_MN**2
            if shared:
                variance_MN = variance_MN.mean(1, keepdims=True)
            ratio_MN -= sign * ((read_MN - mean_MN) ** 2 / variance_MN + np.log(variance_MN)) / 2
        return ratio_MN

    return estimate


def one_variance(readings_MN: np.ndarray) -> Estimate:
    """LiRA with means of a scene's own and one variance for all scenes."""
    return likelihood(readings_MN, shared=True)


def _apart(values_MN: np.ndarray) -> np.ndarray:
    """For each model the sum over the models of other pairs."""
    pairs_PN = values_MN[0::2] + values_MN[1::2]
    return (values_MN.sum(0) - pairs_PN).repeat(2, axis=0)


def check_fleet_audit(workdir: Path, data_root: Path) -> None:
    """On the models of an earlier run: nothing is trained again, and the files are what the screen shows."""
    line = ("fleet", "tiny_folder_fleet", "--data-root", data_root, "--device", "cpu", "--rounds", "99")
    before = {path.name for path in (workdir / "runs" / "shadows").iterdir()}
    ran = call(*line, "--attack", "lira", "--attack", "base")
    assert ran.code == 0, ran.err
    assert {path.name for path in (workdir / "runs" / "shadows").iterdir()} == before
    assert ran.out.count("4 models cannot name any scene") == 2
    assert "[needs 6 models]" in ran.out
    assert ran.out.count("One score multiplies the odds") == 2
    kept = workdir / "reports" / "tiny_folder" / "tiny_folder_fleet.lira.s0.fleet.json"
    facts = json.loads(kept.read_text())
    assert (facts["models"], facts["scenes"], facts["attack"], facts["rounds"]) == (4, 12, "lira", 99)
    assert len(kept.with_suffix(".csv").read_text().splitlines()) == 13
    again = call(*line, "--attack", "lira", "--json")
    assert json.loads(again.out) == [facts], "the same seed gives the same"
    assert "tiny_folder_fleet.base" not in call("store", "gc", "--older-than", "0").out, "it came from this attacker"
    assert call("results").code == 0, "a fleet's own audit is no result of a victim's"
    check_comparison(workdir, ("fleet", "--curve", "tiny_folder_fleet", *line[2:]))


def check_comparison(workdir: Path, line: tuple[str | Path, ...]) -> None:
    """By two attacks, behind no defense and behind two: a file each."""
    asked = (
        "--attack",
        "lira",
        "--attack",
        "base",
        "--defense",
        "none",
        "--defense",
        "argmax",
        "--defense",
        "dropout:0.9",
    )
    ran = call(*line, *asked, "--models", "4")
    assert ran.code == 0, ran.err
    assert "plain" in ran.out
    assert "Behind argmax:" in ran.out
    assert "mia-seg report" in ran.out
    names = {
        "none": "arms.lira+base.s0.fleet.json",
        "argmax": "arms.argmax.lira+base.s0.fleet.json",
        "dropout:0.9": "arms.dropout-0.9.lira+base.s0.fleet.json",
    }
    found = {
        defense: json.loads((workdir / "reports" / name).read_text())["plain"][0] for defense, name in names.items()
    }
    for defense, one in found.items():
        assert one["defense"] == defense
        assert set(one["auc"]) == {"lira", "base", "image_loss"}
        assert -1 < one["miou"]["gap"] < 1
        assert len(one["strongest"]["chosen"]) == 2
        assert one["minutes"] > 0
    assert found["none"]["miou"] == found["argmax"]["miou"], "labels stay"
    assert found["none"]["miou"] != found["dropout:0.9"]["miou"]
    assert not [name for name in found["none"]["strongest"]["chosen"] if "dropout" in name], (
        "nobody else's forward pass"
    )
    assert found["none"]["auc"] != found["argmax"]["auc"]
    assert call("results").code == 0, "nor is a comparison of fleets"
    path = workdir / "reports" / names["none"]
    path.write_text(path.read_text().replace('"title": "tiny_folder', '"title": "another_folder'))
    refused = call(*line, *asked, "--models", "4", "--dry-run")
    assert_refused(refused, f"{names['none']} is of the same attacks", "compares 'another_folder", "give --reports")
    assert call(*line, *asked, "--models", "4", "--dry-run", "--reports", "elsewhere").code == 0
