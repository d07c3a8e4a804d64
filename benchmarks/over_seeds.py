"""How often intervals over several seeds include the truth: of a difference, and of the AUC of the seeds' models.

Run: python benchmarks/over_seeds.py > benchmarks/over_seeds.md
**Differences.** Each seed's difference has a normal error with a standard deviation of 0.01, and its own interval is
right for that error. The true differences of seeds are normal too. The spread is their standard deviation in multiples
of 0.01. Each cell has 40,000 audits; the generator's seed is 0.

**AUCs.** Scores of 150 members and 150 others are normal. The models of the seeds have true AUCs around the middle one,
with a standard deviation of 0.02, and their mean is the truth. Each cell has 1,000 audits.

**AUCs of shared scenes.** Each audit draws scenes, some harder than others and some leaking more. Each seed takes 300
of 600 of them, or all of 300, members by fair coins; or all seeds have the same split of 300. The truth is the AUC over
all scenes that might have been drawn. Each cell has 4,000 audits. *Alone*: as if no two seeds shared a scene.

**Differences of shared scenes.** The same for what a defense changes. It halves what a scene leaks, and adds noise. Its
change of quality differs by scene and seed alike, and is averaged over those who are no members, as mIoU is. The truth
is the change over all scenes that might have been drawn.
"""

import numpy as np
from scipy.special import ndtri

from mia_seg.metrics.intervals import Floats, mean_of
from mia_seg.metrics.membership import Rate, ranked
from mia_seg.metrics.paired import auc_above, correlations, difference_correlations, over_seeds, overlaps

DIFFERENCES, ERROR = 40_000, 0.01
AUDITS = 4000
MODELS, SCENES, SPREAD = 1000, 150, 0.02
POOLS = {"300 of 600": (600, False), "all of 300": (300, False), "one split": (300, True)}


def main() -> None:
    first, second, third, fourth = np.random.default_rng(0).spawn(4)
    command, _, about = (__doc__ or "").partition("Run: ")[2].partition("\n")
    print(f"# Intervals over several seeds\n\nMade by `{command}`.\n{about.strip()}\n\n## Differences\n")
    print("Percent of audits whose interval includes the truth (its mean half width in multiples of 0.01).\n")
    spreads = (0, 0.5, 1, 1.5, 3)
    print(f"| seeds | {' | '.join(f'spread {spread:g}' for spread in spreads)} |\n|---:|{'---:|' * len(spreads)}")
    for seeds in (2, 3, 5, 10):
        cells = [cell(first, seeds, spread) for spread in spreads]
        print(f"| {seeds} | {' | '.join(f'{100 * held:.1f} ({half:.2f})' for held, half in cells)} |")
    print("\n## AUCs\n\nPercent of audits whose interval includes the truth (percent whose interval lies above 0.5).\n")
    middles = (0.5, 0.57, 0.6, 0.8, 0.95)
    print(f"| seeds | {' | '.join(f'AUC {middle:g}' for middle in middles)} |\n|---:|{'---:|' * len(middles)}")
    numbers = (1, 2, 3, 5)
    for seeds in numbers:
        shares = [models(second, seeds, middle) for middle in middles]
        print(f"| {seeds} | {' | '.join(f'{100 * held:.1f} ({100 * shown:.1f})' for held, shown in shares)} |")
    print("\n## AUCs of shared scenes\n\nPercent of audits whose interval includes the truth.\n")
    print(f"| seeds | {' | '.join(f'{kind}, {of}' for kind in ('holds', 'alone') for of in POOLS)} |\n|{7 * '---:|'}")
    truth = ranked(*scored(third, pool(third, 2_000_000), coins(third, 2_000_000)))["auc"]
    for seeds in numbers[1:]:
        shares = [sharing(third, seeds, drawn, truth=truth, one_split=same) for drawn, same in POOLS.values()]
        print(
            f"| {seeds} | {' | '.join(f'{100 * share:.1f}' for side in zip(*shares, strict=True) for share in side)} |"
        )
    print("\n## Differences of shared scenes\n\nPercent of audits whose interval includes the truth.\n")
    change = change_of_all(fourth)
    head = [f"{kind}: {what}, {of}" for what in ("AUC", "quality") for of in POOLS for kind in ("holds", "alone")]
    print(f"| seeds | {' | '.join(head)} |\n|{13 * '---:|'}")
    for seeds in numbers[1:]:
        found = [changing(fourth, seeds, drawn, truth=change, one_split=same) for drawn, same in POOLS.values()]
        shares = [100 * one for side in zip(*found, strict=True) for pair in side for one in pair]
        print(f"| {seeds} | {' | '.join(f'{share:.1f}' for share in shares)} |")


def change_of_all(rng: np.random.Generator) -> float:
    """The change of AUC over all scenes that might be drawn."""
    members_N = coins(rng, 2_000_000)
    before_N, after_N = defended(rng, pool(rng, len(members_N)), members_N)
    return ranked(after_N, members_N)["auc"] - ranked(before_N, members_N)["auc"]


def sharing(rng: np.random.Generator, seeds: int, scenes: int, *, truth: float, one_split: bool) -> tuple[float, float]:
    """How often the interval of a mean AUC includes the AUC over all possible scenes, and how often that alone does."""
    held, alone = 0, 0
    for _ in range(AUDITS):
        found_2N = pool(rng, scenes)
        kept = [
            (*scored(rng, found_2N[:, places_N], members_N), places_N.tolist())
            for places_N, members_N in splits(rng, seeds, scenes, one_split=one_split)
        ]
        rates = [(one["auc"], one["auc_low"], one["auc_high"]) for one in (ranked(*each[:2]) for each in kept)]
        (_, low, high), (_, least, most) = mean_of(rates, correlations(kept)), mean_of(rates)
        held, alone = held + (low <= truth <= high), alone + (least <= truth <= most)
    return held / AUDITS, alone / AUDITS


def changing(
    rng: np.random.Generator, seeds: int, scenes: int, *, truth: float, one_split: bool
) -> tuple[tuple[float, float], tuple[float, float]]:
    """How often the intervals of a change of AUC and of quality include the truth, and how often those alone do."""
    held = np.zeros((2, 2))
    for _ in range(AUDITS):
        found_2N, quality_N = pool(rng, scenes), rng.normal(size=scenes)
        kept, rates, outside = [], list[Rate](), list[Rate]()
        for places_N, members_N in splits(rng, seeds, scenes, one_split=one_split):
            before_N, after_N = defended(rng, found_2N[:, places_N], members_N)
            kept.append((after_N, before_N, members_N, places_N.tolist()))
            rates.append(auc_above(after_N, before_N, members_N))
            outside.append(averaged(quality_N[places_N[~members_N]] + rng.normal(size=(~members_N).sum())))
        told = overlaps([[place for place, member in zip(p, m, strict=True) if not member] for *_, m, p in kept])
        for k, (found, related, true) in enumerate(((rates, difference_correlations(kept), truth), (outside, told, 0))):
            both = over_seeds(found, related=related), over_seeds(found)
            held[k] += [one["low"] <= true <= one["high"] for one in both]
    (auc, auc_alone), (quality, quality_alone) = (held / AUDITS).tolist()
    return (auc, auc_alone), (quality, quality_alone)


def splits(
    rng: np.random.Generator, seeds: int, scenes: int, *, one_split: bool
) -> list[tuple[np.ndarray, np.ndarray]]:
    """The scenes that each seed audits, by their places, and who of them is a member."""
    same_N = coins(rng, 2 * SCENES)
    if one_split:
        return [(np.arange(scenes), same_N)] * seeds
    return [(rng.choice(scenes, 2 * SCENES, replace=False), coins(rng, 2 * SCENES)) for _ in range(seeds)]


def defended(rng: np.random.Generator, scenes_2N: np.ndarray, members_N: np.ndarray) -> tuple[Floats, Floats]:
    """The scores of scenes by a model, without and with a defense."""
    hard_N, leak_N = scenes_2N
    plain_N = hard_N + 0.5 * rng.normal(size=len(hard_N))
    return plain_N + leak_N * members_N, plain_N + 0.5 * rng.normal(size=len(hard_N)) + leak_N * members_N / 2


def averaged(values: Floats) -> Rate:
    """A mean with its normal interval."""
    value, half = float(values.mean()), 1.96 * float(values.std(ddof=1)) / len(values) ** 0.5
    return {"value": value, "low": value - half, "high": value + half}


def coins(rng: np.random.Generator, scenes: int) -> np.ndarray:
    return rng.random(scenes) < 0.5


def pool(rng: np.random.Generator, scenes: int) -> np.ndarray:
    """How hard each scene is, and what it leaks, [2, N]."""
    return np.stack([rng.normal(size=scenes), 0.8 * rng.gamma(1, 1, size=scenes)])


def scored(rng: np.random.Generator, scenes_2N: np.ndarray, members_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The scores of scenes by a model, and who of them is a member."""
    hard_N, leak_N = scenes_2N
    return hard_N + 0.5 * rng.normal(size=len(hard_N)) + leak_N * members_N, members_N


def models(rng: np.random.Generator, seeds: int, middle: float) -> tuple[float, float]:
    """How often the interval of the mean AUC includes the truth, and how often it lies above 0.5."""
    members, held, shown = np.arange(2 * SCENES) < SCENES, 0, 0
    for _ in range(MODELS):
        spread = SPREAD * rng.normal(size=seeds) * (middle > 0.5)
        true = np.clip(middle + spread, 0.01, 0.995)
        rates = []
        for auc in true:
            scores = rng.normal(size=2 * SCENES) + np.sqrt(2) * ndtri(auc) * members
            one = ranked(scores, members)
            rates.append((one["auc"], one["auc_low"], one["auc_high"]))
        _, low, high = mean_of(rates)
        held, shown = held + (low <= true.mean() <= high), shown + (low > 0.5)
    return held / MODELS, shown / MODELS


def cell(rng: np.random.Generator, seeds: int, spread: float) -> tuple[float, float]:
    values = ERROR * (spread * rng.normal(size=(DIFFERENCES, seeds)) + rng.normal(size=(DIFFERENCES, seeds)))
    half = 1.96 * ERROR
    found = [over_seeds([{"value": v, "low": v - half, "high": v + half} for v in row]) for row in values.tolist()]
    held = np.mean([one["low"] <= 0 <= one["high"] for one in found])
    return float(held), float(np.mean([one["high"] - one["low"] for one in found]) / 2 / ERROR)


if __name__ == "__main__":
    main()
