"""CAM sheets: where one attacker, trained on undefended answers, looks under each defense (thesis, figure 7.9)."""

from pathlib import Path
from typing import Any

import numpy as np
from lightning_fabric import Fabric

from mia_seg import answers, recipe
from mia_seg.answers import Answers
from mia_seg.attacks.patch_resnet50 import PatchResNet50
from mia_seg.data import Dataset, Scenes
from mia_seg.errors import MiaSegError
from mia_seg.progress import console
from mia_seg.report.cam import CamSheet, activation_maps
from mia_seg.results import slug
from mia_seg.store import Store, reading

SCENES = 3


def cam_sheets(results: list[dict[str, Any]], store: Store, data_root: Path | None) -> dict[str, CamSheet]:
    """A sheet a victim, from the store; where it lacks something, a line says so and the old figure stays."""
    sheets = {}
    for victim in sorted({r["victim"] for r in results}):
        shown = _shown([r for r in results if r["victim"] == victim])
        missing = [folder for r in shown for folder in _folders(r, store) if not folder.is_dir()]
        if not shown:
            continue
        if missing or not _at_hand(victim, data_root):
            console.print(f"[dim]    kept[/] the CAM figure of {victim}: its answers or images are not on this machine")
        else:
            sheets[victim] = _sheet(shown, store, data_root)
    return sheets


def _shown(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The results of the first seed and shadow by the patch attack that sees posteriors and ignores defenses."""
    patch = [
        r for r in results if (r["attack"], r["representation"], r["adaptive"]) == ("patch_resnet50", "concat", False)
    ]
    first = min(((r["seed"], r["choose"] != "confidence", r["shadow"]) for r in patch), default=None)
    return [r for r in patch if (r["seed"], r["choose"] != "confidence", r["shadow"]) == first]


def _folders(result: dict[str, Any], store: Store) -> tuple[Path, Path]:
    """The attacker's folder and the victim's answers'."""
    defense, digests = slug(result["defense"]), result["digests"]
    attacker = f"{result['shadow']}.patch_resnet50-concat-{digests['attacker']}"
    return (
        store.root / "attackers" / attacker,
        store.root / "answers" / f"{result['victim']}.{defense}-{digests['victim_answers']}",
    )


def _at_hand(victim: str, data_root: Path | None) -> bool:
    if victim not in recipe.names("victim"):
        return False
    try:
        return bool(recipe.load("victim", victim).dataset().ids(data_root))
    except MiaSegError:
        return False


def _as_attacked(seen: Answers, result: dict[str, Any], dataset: Dataset) -> Answers:
    """Adversary A2 was trained on the classes of both sides alone."""
    if result["adversary"] == "A1":
        return seen
    return seen.only([dataset.classes().index(name) for name in result["classes"]["both"]])


def _sheet(shown: list[dict[str, Any]], store: Store, data_root: Path | None) -> CamSheet:
    settings = recipe.load("victim", shown[0]["victim"])
    dataset, seed = settings.dataset(), shown[0]["seed"]
    members = settings.split.cut(dataset, data_root, seed).members
    ids = sorted(np.random.default_rng(seed).choice(members, SCENES, replace=False).tolist())
    scenes = list(Scenes(dataset, data_root, ids))
    maps, scores = {}, {}
    for result in shown:
        folder, asked = _folders(result, store)
        fabric = Fabric(accelerator="cpu", devices=1)
        with reading(folder):
            attacker = PatchResNet50(**result["settings"]).load(folder, fabric)
        with reading(asked):
            seen = _as_attacked(answers.load(asked).take(ids), result, dataset)
        maps[result["defense"]] = activation_maps(attacker, seen)
        scores[result["defense"]] = attacker.score(seen, seed).image_N.tolist()
    return CamSheet(ids, [s.image_HWC for s in scenes], [s.labels_HW for s in scenes], maps, scores)
