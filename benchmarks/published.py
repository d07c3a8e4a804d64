"""Each published recipe at its published crop: two training steps and one query here, and the computed cost on a GPU.

Run: python benchmarks/published.py [RECIPE ...]
Data sets are made up, in their real layouts and sizes. Four things are smaller than published: the batch (2, the
smallest that batch normalisation allows), the number of steps (2), the number of scenes, and the scene of the query,
which is a single crop (a scene of 1024 x 2048 has eight). Weights are random. Each recipe runs in a process of its own.
The last two columns are computed on tensors without content: the memory that a step of the segmenter keeps for its
backward pass, and its operations. They do not include what an objective adds, which is only measured.
"""

import argparse
import json
import logging
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RECIPES = (
    ("victim", "cityscapes_coarse"), ("victim", "cityscapes"), ("victim", "cityscapes_drives"),
    ("victim", "cityscapes_full"), ("victim", "cityscapes_upernet"), ("victim", "cityscapes_gss"),
    ("victim", "cityscapes_learnable_dilation"), ("victim", "camvid_superpixel"), ("shadow", "cityscapes_a1_15k"),
    ("shadow", "cityscapes_a1_30k"), ("shadow", "cityscapes_a1_listed"), ("shadow", "cityscapes_drives_a1"),
    ("shadow", "bdd100k_a2"), ("shadow", "bdd100k_a2_drives"), ("shadow", "mapillary_a2"),
    ("shadow", "mapillary_a2_random"), ("victim", "voc_seg_gan"), ("victim", "voc_image_level"),
    ("victim", "ade20k_full"),
)  # fmt: skip
BATCH, STEPS = 2, 2
# An A100 multiplies bfloat16 at 312 TFLOP/s by its data sheet; convolutional training is rarely above a third of it.
GPU_FLOPS = 312e12 / 3


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("recipes", nargs="*", default=[name for _, name in RECIPES])
    options.add_argument("--computed", action="store_true", help="only what would be needed on a GPU")
    options.add_argument("--precision", help="in place of the recipes', where a processor lacks bfloat16")
    options.add_argument("--worker", help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.worker:
        print(json.dumps(measure(given.worker, given.precision)))
        return
    print("| recipe | network | crop | s a step of 2 | s a query | peak MiB | computed: GB at batch | GPU hours |")
    print("|---|---|---|---|---|---|---|---|")
    for name in given.recipes:
        here = {"step": 0, "query": 0, "peak": 0} if given.computed else in_process_of_its_own(name, given.precision)
        print(row(name, here), flush=True)


def in_process_of_its_own(name, precision):
    command = [sys.executable, __file__, "--worker", name, *(["--precision", precision] if precision else [])]
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(run.stdout.splitlines()[-1])


def row(name, here) -> str:
    settings = load(name)
    train, network = settings.train, f"{settings.segmenter['name']} {settings.segmenter['backbone']}"
    flops, kept, weights = per_crop(settings)
    memory = (kept * train.batch + weights * 14) / 1e9  # float32 weight, gradient, momentum; a bfloat16 copy
    hours = flops * train.batch * train.steps / GPU_FLOPS / 3600
    return (
        f"| `{name}` | {network}, {weights / 1e6:.1f} M | {train.crop[0]} | {here['step']:.0f} | {here['query']:.0f} | "
        f"{here['peak']:.0f} | {memory:.0f} at {train.batch} | {hours:.0f} |"
    )


def load(name):
    from mia_seg import recipes

    return recipes.load(dict((n, kind) for kind, n in RECIPES)[name], name)


def network_of(settings):
    from mia_seg import plugins, segmenters

    classes = len(settings.dataset().classes())
    section = settings.segmenter | {"pretrained": False}
    return plugins.from_section(segmenters, segmenters.Segmenter, section, where="[segmenter]").build(classes)


def per_crop(settings):
    """Operations of a forward and a backward pass, bytes kept in between in bfloat16, and weights; a crop."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"):
        network = network_of(settings).train()
        images = torch.empty(BATCH, 3, *settings.train.crop)
        labels = torch.empty(BATCH, *settings.train.crop, dtype=torch.int64)
    kept = {}

    def keep(tensor):
        if tensor.dtype.is_floating_point and not isinstance(tensor, torch.nn.Parameter):
            kept[id(tensor.untyped_storage())] = (tensor.untyped_storage(), 2 * tensor.numel())
        return tensor

    with FlopCounterMode(display=False) as counted, torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        network.loss(images, labels)[0].backward()
    weights = sum(p.numel() for p in network.parameters())
    return counted.get_total_flops() / BATCH, sum(size for _, size in kept.values()) / BATCH, weights


def measure(name, precision):
    """Seconds a training step and a query, and the process's peak memory in MiB."""
    from lightning_fabric import Fabric

    from mia_seg import query, train
    from mia_seg.data import Scenes
    from mia_seg.oracles import as_is
    from mia_seg.oracles.network import NetworkOracle

    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    settings = load(name)
    given = {"precision": precision} if precision else {}
    short = settings.train.model_copy(update={"steps": STEPS, "batch": BATCH, "start": None, **given})
    section = settings.segmenter | {"pretrained": False}
    settings = settings.model_copy(update={"train": short, "segmenter": section})
    dataset = settings.dataset()
    with tempfile.TemporaryDirectory() as folder:
        root, out = Path(folder) / "data", Path(folder) / "out"
        out.mkdir()
        write(root, settings.data, short.crop)
        ids = dataset.ids(root)
        fabric = Fabric(accelerator="cpu", devices=1, precision=short.precision)
        start = time.monotonic()
        train.train(settings, Scenes(dataset, root, ids[:BATCH]), seed=0, folder=out, fabric=fabric, title=name)
        trained = time.monotonic() - start
        box = NetworkOracle(train.load_network(settings, len(dataset.classes()), out / train.WEIGHTS), settings.window)
        start = time.monotonic()
        scenes = Scenes(dataset, root, ids[BATCH : BATCH + 1])
        query.query(box, scenes, [query.Recording(out, as_is)], stride=8, seed=0, title=name)
        asked = time.monotonic() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"step": trained / STEPS, "query": asked, "peak": peak}


def write(root: Path, section, crop) -> None:
    """Pairs in the data set's layout and size to train on, one of a crop's size to ask about; streets, enlarged."""
    import numpy as np
    from PIL import Image

    from mia_seg.data.streets import Streets

    sizes = {
        "cityscapes": (1024, 2048), "bdd100k": (720, 1280), "mapillary": (1536, 2048), "voc": (375, 500),
        "camvid": (360, 480), "ade20k": (512, 683),
    }  # fmt: skip
    streets = Streets(size=(128, 256))
    for index, scene_id in enumerate(streets.ids(None)[: BATCH + 1]):
        size = crop if index == BATCH else sizes[section["name"]]
        scene = streets.scene(None, scene_id)
        image = Image.fromarray(scene.image_HWC).resize(size[::-1], Image.Resampling.BICUBIC)
        labels = np.array(Image.fromarray(scene.labels_HW).resize(size[::-1], Image.Resampling.NEAREST))
        WRITERS[section["name"]](root, index, image, labels=labels, section=section)


def save(image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def write_cityscapes(root: Path, index: int, image, *, labels, section) -> None:
    from PIL import Image

    kind = "gtCoarse" if section.get("annotation") == "coarse" else "gtFine"
    for folder in section["folders"]:
        stem = f"aachen_{index:06d}_000019"
        save(image, root / "cityscapes" / "leftImg8bit" / folder / "aachen" / f"{stem}_leftImg8bit.png")
        path = root / "cityscapes" / kind / folder / "aachen" / f"{stem}_{kind}_labelTrainIds.png"
        save(Image.fromarray(labels), path)


def write_camvid(root: Path, index: int, image, *, labels, section) -> None:
    import numpy as np
    from PIL import Image

    from mia_seg.data._labels import CITYSCAPES
    from mia_seg.data.camvid import TO_CITYSCAPES, VOID

    raw = np.full(labels.shape, VOID, np.uint8)
    for stored, name in enumerate(TO_CITYSCAPES.values()):
        raw[labels == list(CITYSCAPES).index(name)] = stored
    save(image, root / "camvid" / "train" / f"0001TP_{index:06d}.png")
    save(Image.fromarray(raw), root / "camvid" / "trainannot" / f"0001TP_{index:06d}.png")


def write_bdd100k(root: Path, index: int, image, *, labels, section) -> None:
    from PIL import Image

    for folder in section["folders"]:
        stem = f"{index:08x}-00000000"
        save(image, root / "bdd100k" / "images" / "10k" / folder / f"{stem}.jpg")
        save(Image.fromarray(labels), root / "bdd100k" / "labels" / "sem_seg" / "masks" / folder / f"{stem}.png")


def write_mapillary(root: Path, index: int, image, *, labels, section) -> None:
    import numpy as np
    from PIL import Image

    from mia_seg.data._labels import CITYSCAPES
    from mia_seg.data._labels_mapillary import LABELS, V1_2

    names = [*V1_2, *(f"Label {k}" for k in range(LABELS["v1.2"] - len(V1_2)))]
    raw = np.full(labels.shape, len(names) - 1, np.uint8)
    for stored, name in enumerate(V1_2.values()):
        raw[labels == list(CITYSCAPES).index(name)] = stored
    palette = Image.fromarray(raw, mode="P")
    palette.putpalette([k for k in range(256) for _ in range(3)])
    for folder in ("training", "validation"):
        save(image, root / "mapillary" / folder / "images" / f"{index:022d}.jpg")
        save(palette, root / "mapillary" / folder / "labels" / f"{index:022d}.png")
    config = {"labels": [{"name": n, "readable": n, "color": [k, k, k]} for k, n in enumerate(names)]}
    (root / "mapillary" / "config.json").write_text(json.dumps(config))


def write_voc(root: Path, index: int, image, *, labels, section) -> None:
    from PIL import Image

    root, stem = root / "VOCdevkit" / "VOC2012", f"2007_{index:06d}"
    save(image, root / "JPEGImages" / f"{stem}.jpg")
    save(Image.fromarray(labels), root / section["annotation"] / f"{stem}.png")
    for folder in section["folders"]:
        path = root / "ImageSets" / "Segmentation" / f"{folder}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            file.write(f"{stem}\n")


def write_ade20k(root: Path, index: int, image, *, labels, section) -> None:
    from PIL import Image

    root = root / "ADEChallengeData2016"
    for folder, short in (("training", "train"), ("validation", "val")):
        stem = f"{folder}/ADE_{short}_{index + 1:08d}"
        save(image, root / "images" / f"{stem}.jpg")
        save(Image.fromarray((labels + 1).astype("uint8")), root / "annotations" / f"{stem}.png")


WRITERS = {
    "cityscapes": write_cityscapes, "bdd100k": write_bdd100k, "mapillary": write_mapillary, "voc": write_voc,
    "camvid": write_camvid, "ade20k": write_ade20k,
}  # fmt: skip


if __name__ == "__main__":
    main()
