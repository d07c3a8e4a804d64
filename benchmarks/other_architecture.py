"""Attacks on a model behind a door by shadows of another architecture, compared with shadows of the model's own.

Run: OMP_NUM_THREADS=1 python benchmarks/other_architecture.py --data-root FOLDER --work FOLDER   (35 minutes, one core)
The data folder holds labelmefacade/. The victim is a U-Net of segmentation_models_pytorch. `plain.train` trains it on
104 photographs of 48 x 64 pixels, and the door `smp` asks it. There are two fleets: PSPNets, which mia-seg trains on
halves of the 208 audited photographs, and U-Nets, which `plain.train` trains on the same halves. The same attacks
compare the victim's answers with either fleet. Models that are in the work folder already are not trained again.
--models: the number of PSPNets, eight at most. --own: the number of U-Nets. With two, no setting can be tuned.
"""

import argparse
import json
import os
import time
import tomllib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import plain

import mia_seg as mia
from mia_seg import query
from mia_seg.attacks._fleet import FleetAttack
from mia_seg.attacks._readings import Fleet
from mia_seg.data import Scenes
from mia_seg.evaluate.audit import membership_of
from mia_seg.metrics import membership, paired
from mia_seg.metrics.segmentation import utility
from mia_seg.oracles import as_is, doors
from mia_seg.oracles.door import DoorOracle
from mia_seg.oracles.doors import Door
from mia_seg.pipeline import SHADOW_SEEDS
from mia_seg.plugins import from_section
from mia_seg.query import answers
from mia_seg.query.answers import Answers
from mia_seg.recipes import load_victim
from mia_seg.recipes.splits import SplitRule
from mia_seg.stages.plan import Plan
from mia_seg.stages.run import run

MODELS, SEED, STRIDE, EPOCHS = 8, 0, 4, 20
VICTIM, FLEET = "unet", "unet_pspnet_fleet"
ATTACKS = ("rmia", "lira", "base", "calibration")
DATA = """\
[data]
name = "folder"
path = "labelmefacade"
class_map = "labelmefacade"
size = [48, 64]
"""
SPLIT = {"rule": "random", "members": 104, "nonmembers": 104, "pool": 200}
SHADOW = f"""\
[adversary]
kind = "A1"
victim = "{VICTIM}"
choose = "halves"
models = {MODELS}
stride = {STRIDE}

[segmenter]
name = "pspnet"
backbone = "resnet18"

[train]
epochs = 20
batch = 8
lr = 0.02
weight_decay = 1e-4
crop = [48, 64]
"""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--data-root", type=Path, required=True)
    options.add_argument("--work", type=Path, required=True)
    options.add_argument("--models", type=int, default=MODELS)
    options.add_argument("--own", type=int, default=MODELS)
    given = options.parse_args()
    root = given.data_root.resolve()
    write_recipes(given.work)
    os.chdir(given.work)
    dataset, split = load_victim(VICTIM).dataset(), SplitRule(**SPLIT)
    train(VICTIM, Scenes(dataset, root, split.cut(dataset, root, SEED).members), SEED)
    audit = mia.audit(
        victim=VICTIM, shadow=FLEET, defenses=["none"], attacks=ATTACKS, seeds=[SEED], data_root=root, device="cpu"
    )
    first = audit.stages[0]
    assert first.victim.scenes.cut.parts.members == split.cut(dataset, root, SEED).members
    shadows, seen = first.attacker.shadows, first.attacker.seen[: given.models]
    own = fleet([matched(k, shadow, root) for k, shadow in enumerate(shadows[: given.own])], shadows)
    asked = [stage for told in (first.seen, *seen) for stage in told.asked]
    run(Plan(tuple(asked), audit.workspace.store), audit.workspace).check()
    report(audit, own, fleet([told.value(audit.workspace.store) for told in seen], shadows))


def fleet(told: Sequence[Answers], shadows) -> Fleet:
    """The answers of the first of the shadows, or of models of the same scenes, and who trained on what."""
    sides = [membership_of(shadow.scenes.cut.parts).members_N for shadow in shadows[: len(told)]]
    return Fleet(tuple(told), np.stack(sides))


def write_recipes(work: Path) -> None:
    scenes = DATA + "\n[split]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in SPLIT.items()) + "\n"
    for folder, name, rest in (("victims", VICTIM, plain.door("smp", VICTIM)), ("shadows", FLEET, SHADOW)):
        (work / folder).mkdir(parents=True, exist_ok=True)
        (work / folder / f"{name}.toml").write_text(scenes + rest)


def train(name: str, scenes: Scenes, seed: int) -> None:
    """A U-Net of these scenes, saved under its name."""
    if Path(name, "config.json").exists():
        return
    pairs = [(scene.image_HWC, scene.labels_HW) for scene in scenes]
    images, labels = plain.tensors(*zip(*pairs, strict=True))
    began = time.process_time()
    model = plain.train("smp", images, labels, classes=len(scenes.dataset.classes()), epochs=EPOCHS, seed=seed)
    plain.save("smp", model, Path(name))
    print(f"{time.process_time() - began:6.0f} s: trained {name} on {len(scenes)} scenes", flush=True)


def matched(k: int, shadow, root: Path) -> Answers:
    """What a U-Net answers that was trained on the same scenes as the shadow."""
    parts, name = shadow.scenes.cut.parts, f"{VICTIM}-{k}"
    train(name, Scenes(shadow.dataset, root, parts.members), SHADOW_SEEDS * (k + 1) + SEED)
    audited, pool = (
        asked(name, part, Scenes(shadow.dataset, root, getattr(parts, part))) for part in ("audited", "pool")
    )
    return replace(audited, population=pool.statistics)


def asked(name: str, part: str, scenes: Scenes) -> Answers:
    """What a U-Net answers through its door."""
    folder = Path("answers", f"{name}-{part}")
    if not (folder / answers.INDEX).exists():
        folder.mkdir(parents=True, exist_ok=True)
        door = from_section(doors, Door, tomllib.loads(plain.door("smp", name))["door"], where=name)
        oracle = DoorOracle(door, door.open(Path(), {}), scenes.dataset.classes())
        query.query(oracle, scenes, [query.Recording(folder, as_is)], stride=STRIDE, seed=SEED, title=name)
        print(f"{time.process_time():6.0f} s: asked {name}, {part}", flush=True)
    return answers.load(folder)


def report(audit: mia.Audit, own: Fleet, other: Fleet) -> None:
    """A row an attack and fleet, and by how much the matched one is better than as many of another architecture."""
    first, store = audit.stages[0], audit.workspace.store
    told, known = first.seen.value(store), membership_of(first.victim.scenes.cut.parts)
    print("digests: victim", first.victim.digest, "shadows", *(s.digest for s in first.attacker.shadows))
    for side in (True, False):
        miou = utility(told.statistics.confusion_NKK[known.members_N == side].sum(0))["miou"]
        print(f"mIoU on {'members' if side else 'others'}: {miou:.3f}")
    few = Fleet(own.answers[: len(other.answers)], own.members_MN[: len(other.answers)])
    fleets = {f"{len(f.answers)} {n}": f for n, f in (("U-Nets", own), ("U-Nets", few), ("PSPNets", other))}
    rows, apart = [row(("image loss", "none"), -told.statistics.mean_loss(), known.members_N)], []
    for stage in audit.stages:
        called, method = stage.cell.attack.called, stage.cell.attack.component
        found = {name: scored(method, of, told) for name, of in fleets.items()}
        rows += [row((called, name), scores_N, known.members_N) for name, scores_N in found.items()]
        _, mine, theirs = [*found.values()] if len(found) == 3 else [None, *found.values()]
        better = paired.above(mine, theirs, known.members_N, seed=SEED)
        apart.append(f"| {called} | {shown(better['auc'])} | {shown(better['tpr_at_fpr']['0.01'])} |")
    print("| attack | fleet | AUC [95%] | members found at 1% false alarms [95%] |\n|---|---|---|---|", *rows, sep="\n")
    print("\n| attack | AUC by U-Nets less AUC by as many PSPNets [95%] | at 1% false alarms [95%] |\n|---|---|---|")
    print("\n".join(apart))


def scored(method: FleetAttack, of: Fleet, told: Answers) -> np.ndarray:
    """One score a scene; AUC and TPR need no threshold, and so no rehearsal."""
    readings = of.read(method.reading)
    return method.tuned(readings).judge(method.reading(told), readings)


def row(names: tuple[str, str], scores_N: np.ndarray, members_N: np.ndarray) -> str:
    found = membership.ranked(scores_N, members_N)
    auc = f"{found['auc']:.3f} [{found['auc_low']:.3f}, {found['auc_high']:.3f}]"
    rate = found["tpr_at_fpr"]["0.01"]
    tpr = rate if isinstance(rate, str) else f"{rate['tpr']:.0%} [{rate['low']:.0%}, {rate['high']:.0%}]"
    return f"| {' | '.join(names)} | {auc} | {tpr} |"


def shown(rate) -> str:
    return rate if isinstance(rate, str) else f"{rate['value']:+.3f} [{rate['low']:+.3f}, {rate['high']:+.3f}]"


if __name__ == "__main__":
    main()
