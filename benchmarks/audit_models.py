"""Audits of models of other toolkits, trained without mia-seg, through doors: what leaks, and what an audit costs.

Run: OMP_NUM_THREADS=1 python benchmarks/audit_models.py --data-root FOLDER --work FOLDER   (half an hour on one core)
The data folder holds labelmefacade/. 300 of its photographs are written to the work folder at 96 x 128 pixels, with
labels and a table of members, as for an audit of one's own model. `plain.train` trains three models on the 150 members;
models that are in the work folder already are not trained again. Each model is audited in an empty store. An audit is
compared with forward passes of the bare model over the 300 photographs, one by one: the mean of a pass before and a
pass after the audit. Seconds are CPU time in one thread, so that other work on the machine does not count.
"""

import argparse
import os
import shutil
import time
from pathlib import Path

import numpy as np
import plain
import torch
from PIL import Image

import mia_seg as mia
from mia_seg.data.folder import Folder
from mia_seg.recipes.splits import SplitRule

SIZE, SIDE, SEED = (96, 128), 150, 0
EPOCHS = {"transformers": 40, "smp": 12, "torchvision": 12}
DATA = """\
[data]
name = "table"
path = "members.csv"
class_map = "classes.toml"
[split]
rule = "stated"
"""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--data-root", type=Path, required=True)
    options.add_argument("--work", type=Path, required=True)
    options.add_argument("toolkits", nargs="*", default=list(EPOCHS))
    given = options.parse_args()
    root = given.data_root.resolve()
    given.work.mkdir(parents=True, exist_ok=True)
    os.chdir(given.work)
    classes = write_scenes(root)
    rows = [row(toolkit, classes) for toolkit in given.toolkits]
    print("| model | door | mIoU on members | on others | attack | AUC [95%] |\n|---|---|---:|---:|---|---|")
    print("\n".join(line for found, _ in rows for line in found))
    print("\n| model | forwards, s | audit, s | 1.2 x forwards + 20, s |\n|---|---:|---:|---:|")
    print("\n".join(cost for _, cost in rows))


def write_scenes(root: Path) -> tuple[str, ...]:
    """Images, labels by id, a class map and a table; the classes' names."""
    dataset = Folder(path="labelmefacade", class_map="labelmefacade", size=SIZE)
    split = SplitRule(rule="random", members=SIDE, nonmembers=SIDE, pool=0).cut(dataset, root, SEED)
    classes = dataset.classes()
    if not Path("members.csv").exists():
        for folder in ("images", "labels"):
            Path(folder).mkdir(exist_ok=True)
        for scene in (dataset.scene(root, i) for i in split.audited):
            Image.fromarray(scene.image_HWC).save(f"images/{scene.id}.png")
            Image.fromarray(scene.labels_HW).save(f"labels/{scene.id}.png")
        rules = "".join(f'  {{ name = "{name}", id = {k} }},\n' for k, name in enumerate(classes))
        Path("classes.toml").write_text(f"classes = {list(classes)}\nmap = [\n{rules}]\n".replace("'", '"'))
        lines = [f"images/{i}.png,labels/{i}.png,{int(i in set(split.members))}" for i in split.audited]
        Path("members.csv").write_text("\n".join(["image,labels,member", *lines]) + "\n")
    return classes


def scenes() -> tuple[torch.Tensor, torch.Tensor, np.ndarray]:
    """Images, labels and who is a member, as the table lists them."""
    lines = [line.split(",") for line in Path("members.csv").read_text().splitlines()[1:]]
    pairs = [[np.asarray(Image.open(path)) for path in line[:2]] for line in lines]
    images, labels = plain.tensors(*zip(*pairs, strict=True))
    return images, labels, np.array([line[2] == "1" for line in lines])


def row(toolkit: str, classes: tuple[str, ...]) -> tuple[list[str], str]:
    """The lines of both tables."""
    path = Path(f"{toolkit}.pth" if toolkit == "torchvision" else toolkit)
    images, labels, members_N = scenes()
    if not path.exists():
        began = time.process_time()
        given = images[members_N], labels[members_N]
        plain.save(toolkit, plain.train(toolkit, *given, classes=len(classes), epochs=EPOCHS[toolkit], seed=SEED), path)
        print(f"{toolkit}: trained in {time.process_time() - began:.0f} s", flush=True)
    Path("victims").mkdir(exist_ok=True)
    Path("victims", f"my_{toolkit}.toml").write_text(DATA + plain.door(toolkit, str(path)))
    model = plain.load(toolkit, path, len(classes))
    first, (audit, seconds), second = forwards(model, images), timed(lambda: audited(toolkit)), forwards(model, images)
    mean = (first + second) / 2
    cost = f"| {toolkit} | {mean:.1f} | {seconds:.1f} | {1.2 * mean + 20:.1f} |"
    return [line(toolkit, result) for result in audit], cost


def forwards(model: torch.nn.Module, images: torch.Tensor) -> float:
    """Seconds of the bare model over the photographs, one by one."""
    with torch.inference_mode():
        return timed(lambda: [model(image[None]) for image in images])[1]


def audited(toolkit: str) -> list:
    """The results of the screen, in a store that has nothing of it."""
    shutil.rmtree("runs", ignore_errors=True)
    audit = mia.audit(victim=f"my_{toolkit}", data_root=Path.cwd(), device="cpu", seeds=[SEED])
    began = time.process_time()

    def say(did, stage):
        print(f"{toolkit}: {time.process_time() - began:6.1f} s, {did} {stage.kind} {stage.title}", flush=True)

    return list(audit.run(say).made)


def timed(act):
    began = time.process_time()
    found = act()
    return found, time.process_time() - began


def line(toolkit: str, result) -> str:
    level, utility = result.levels["image"], result.utility
    auc = f"{level.auc:.2f} [{level.auc_low:.2f}, {level.auc_high:.2f}]"
    miou = [f"{getattr(utility, side).miou:.3f}" for side in ("members", "nonmembers")]
    return f"| {toolkit} | `{toolkit}` | {' | '.join(miou)} | {result.attack} | {auc} |"


if __name__ == "__main__":
    main()
