"""How often the blind control flags splits of procedural streets: sound ones, and ones confounded on purpose.

Run: python benchmarks/blind.py > benchmarks/blind.md
60 members and 60 non-members of 48 x 64
pixels. Each seed draws them from 900 scenes by day and 300 by night.
"""

import platform
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

import numpy as np

from mia_seg.data import Scene, Scenes
from mia_seg.data.streets import Streets, Style
from mia_seg.evaluate.controls.blind import ALPHA, blind
from mia_seg.evaluate.controls.features import features_of

SIDE, SIZE, SEEDS, SOUND_SEEDS = 60, (48, 64), 20, 100
MEMBERS = np.arange(2 * SIDE) < SIDE


def main() -> None:
    start = time.process_time()
    city, night = painted("city", 900), painted("night", 300)
    day_NF, dark_NF = features(city), features(night)
    command, _, about = (__doc__ or "").partition("Run: ")[2].partition("\n")
    print(f"# The blind control on `streets`\n\nMade by `{command}`: {about}")
    print(f"Flagged: p at or below {ALPHA}. AUC: the mean over seeds (the lowest to the highest).\n")
    print("| members | non-members | flagged | AUC |\n|---|---|---:|---:|")
    for share in (1.0, 0.5, 0.3, 0.2, 0.1):
        told("day", f"{100 * share:.0f}% night", SEEDS, drawn=splits(day_NF, day_NF, dark_NF, dark=round(share * SIDE)))
    for gain in (1.1, 1.05, 1.03):
        seen_NF = features([redder(scene, gain) for scene in city])
        told(f"day, red {100 * (gain - 1):.0f}% brighter", "day", SEEDS, drawn=splits(seen_NF, day_NF, dark_NF, dark=0))
    told("day", "day", SEEDS, drawn=splits(day_NF, day_NF, dark_NF, dark=0))
    told("day", "day", SOUND_SEEDS, drawn=splits(day_NF, day_NF, dark_NF, dark=0))
    seconds = time.process_time() - start
    print(f"\n{seconds:.0f} CPU seconds on {platform.machine()}, numpy {np.__version__}.")


def painted(style: Style, count: int) -> list[Scene]:
    dataset = Streets(size=SIZE, style=style, count=count)
    return list(Scenes(dataset, None, dataset.ids(None)))


def features(scenes: list[Scene]) -> np.ndarray:
    return np.stack([features_of(scene, len(Streets().classes())) for scene in scenes])


def redder(scene: Scene, gain: float) -> Scene:
    return replace(scene, image_HWC=(scene.image_HWC * [gain, 1, 1]).round().clip(0, 255).astype(np.uint8))


def splits(members_NF: np.ndarray, others_NF: np.ndarray, dark_NF: np.ndarray, *, dark: int) -> Iterator[np.ndarray]:
    """Seed after seed, 60 members and 60 non-members, so many of the latter by night."""
    seed = 0
    while True:
        rng = np.random.default_rng(seed)
        day_N, night_N = rng.permutation(len(members_NF)), rng.permutation(len(dark_NF))
        others = day_N[SIDE : 2 * SIDE - dark]
        yield np.concatenate([members_NF[day_N[:SIDE]], others_NF[others], dark_NF[night_N[:dark]]])
        seed += 1


def told(members: str, others: str, seeds: int, *, drawn: Iterator[np.ndarray]) -> None:
    found = [
        blind(seen_NF, MEMBERS, np.arange(2 * SIDE), seed=seed) for seed, seen_NF in enumerate(islice(drawn, seeds))
    ]
    aucs, flagged = [one["auc"] for one in found], sum(one["confounded"] for one in found)
    print(f"| {members} | {others} | {flagged} of {seeds} | {np.mean(aucs):.2f} ({min(aucs):.2f}–{max(aucs):.2f}) |")


if __name__ == "__main__":
    main()
