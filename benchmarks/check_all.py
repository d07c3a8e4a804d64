"""The speed of `mia-seg check --all`, compared with Pillow alone decoding the same files in processes or threads.

Run: python benchmarks/check_all.py [--pairs 1000] [--rounds 5] [--workers 2] [--folder FOLDER]
Pairs of 1024 x 2048 pixels are stored as BDD100K does: a JPEG image and a PNG of class ids. They are halves of made-up
streets, brightened and with sensor noise, so that all differ and JPEG is not trivial. All variants read from the disk's
cache and take turns, A B C A B C, so a change of the machine's speed slows all. The median ratio of paired rounds
counts. On a machine with other work, CPU time is more reliable than the clock. Pillow opens and loads both files of
each pair and keeps nothing.

1,000 pairs, 1 round, 2 workers on 2 cores of x86_64 that one other process used: mia-seg is 1.03 times as fast as
Pillow in processes and 1.09 times as in threads, by the clock as in processors' time.
300 pairs, 3 rounds, 2 workers on 2 cores of x86_64 that others used (load 10), Python 3.11: mia-seg is 1.20 (1.17 to
1.42) times as fast as Pillow in processes and 1.06 (0.97 to 1.49) times as in threads; in processors' time 1.06 (1.01
to 1.18) and 1.05 (0.95 to 1.09). A JPEG is decoded at an eighth of its sides, which pays for checksums, counts, looks.
"""

import argparse
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from mia_seg.data.bdd100k import BDD100K
from mia_seg.data.streets import Streets
from mia_seg.recipes.inspection import inspect

IMAGES, LABELS = "bdd100k/images/10k/train", "bdd100k/labels/sem_seg/masks/train"
SIZE, PAINTED, NOISE, QUALITY = (1024, 2048), 32, 5.0, 90
CHUNK = 10  # pairs that a process is sent at once


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--pairs", type=int, default=1000)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--workers", type=int, default=2)
    options.add_argument("--folder", type=Path, help="where the pairs are kept; default: a temporary folder")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = given.folder or Path(temporary)
        write_pairs(root, given.pairs)
        compare(root, given.rounds, given.workers)


def compare(root: Path, rounds: int, workers: int) -> None:
    reader = BDD100K(folders=("train",))
    pairs = [reader.files(root, scene_id) for scene_id in reader.ids(root)]
    runs: dict[str, Callable[[], object]] = {
        "Pillow, processes": lambda: decode(ProcessPoolExecutor(workers), pairs),
        "Pillow, threads": lambda: decode(ThreadPoolExecutor(workers), pairs),
        "mia-seg check --all": lambda: inspect(root, workers=workers),
    }
    took = [{name: seconds(run) for name, run in runs.items()} for _ in range(rounds + 1)][1:]
    print(f"{len(pairs)} pairs, {workers} workers, {os.cpu_count()} cores of {platform.machine()}")
    for name in runs:
        rate = len(pairs) / statistics.median(each[name][0] for each in took)
        print(f"{name:20} {rate:6.1f} pairs a second; mia-seg is {ratio(took, name, 0)} times as fast by the clock")
        print(f"{'':20} {'':20}  in processors' time {ratio(took, name, 1)} times")


def ratio(took: list[dict[str, tuple[float, float]]], name: str, which: int) -> str:
    ratios = sorted(each[name][which] / each["mia-seg check --all"][which] for each in took)
    return f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"


def write_pairs(root: Path, count: int) -> None:
    """As many pairs as were asked for, if none are there yet."""
    if (root / IMAGES).is_dir():
        return
    streets, rng = Streets(size=SIZE, count=PAINTED), np.random.default_rng(0)
    scenes = [streets.scene(None, scene_id) for scene_id in streets.ids(None)]
    for folder in (IMAGES, LABELS):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for k in range(min(count, PAINTED**2)):
        two = scenes[k % PAINTED], scenes[k // PAINTED]
        image, labels = root / IMAGES / f"{k:05d}.jpg", root / LABELS / f"{k:05d}.png"
        Image.fromarray(halves(*(scene.labels_HW for scene in two))).save(labels)
        lit = halves(*(scene.image_HWC for scene in two)) * rng.uniform(0.7, 1.2)
        lit += rng.normal(0, NOISE, lit.shape)
        Image.fromarray(lit.clip(0, 255).astype(np.uint8)).save(image, quality=QUALITY)


def halves(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    middle = left.shape[1] // 2
    return np.concatenate([left[:, :middle], right[:, middle:]], axis=1)


def decode(pool: Executor, pairs: list[tuple[Path, ...]]) -> None:
    with pool:
        for _ in pool.map(load, pairs, chunksize=CHUNK):
            pass


def load(pair: tuple[Path, ...]) -> None:
    for path in pair:
        with Image.open(path) as image:
            image.load()


def seconds(run: Callable[[], object]) -> tuple[float, float]:
    """By the clock, and of processors; processes count once they have ended."""
    start, before = time.perf_counter(), os.times()
    run()
    return time.perf_counter() - start, sum(os.times()[:4]) - sum(before[:4])


if __name__ == "__main__":
    main()
