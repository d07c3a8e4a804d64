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

**Gains at equal AUC.** The same scenes. A defense that halves the leak and costs 6 points of mIoU is held against the
line between no defense and another one, at the same AUC. What it costs differs by scene and seed alike. The line is
*flat* if the other defense hides all for free, and *steep* if that costs as much. The spread is the standard deviation
of the seeds' true gains, in multiples of the error that the scenes of one seed add to the cost. Each cell has 1,000
audits; those whose AUC leaves the line in a seed have no gain and do not count. *By seeds*: Student's interval of the
seeds' gains, which knows of no scenes.
"""

from collections.abc import Sequence

import numpy as np
from scipy.special import ndtri

from mia_seg.evaluate.scores import SceneScores
from mia_seg.metrics.intervals import Floats, mean_of
from mia_seg.metrics.membership import Rate, ranked
from mia_seg.metrics.membership import auc as auc_of
from mia_seg.metrics.paired import auc_above, correlations, difference_correlations, over_seeds, overlaps
from mia_seg.report.cells import UNDEFENDED, Cell, Estimate, Row
from mia_seg.report.equal_auc import above
from mia_seg.report.frontier import Point

DIFFERENCES, ERROR = 40_000, 0.01
AUDITS = 4000
MODELS, SCENES, SPREAD = 1000, 150, 0.02
GAINS, COST = 1000, 0.06
# The share of the leak that each setting leaves, and the mIoU that it costs; the last is held against lines.
SETTINGS = {UNDEFENDED: (1, 0), "flat": (0, 0), "steep": (0, COST), "held": (0.5, COST)}
LINES = ("flat", "steep")
POOLS = {"300 of 600": (600, False), "all of 300": (300, False), "one split": (300, True)}


def main() -> None:
    first, second, third, fourth, fifth = np.random.default_rng(0).spawn(5)
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
    gains(fifth)


def gains(rng: np.random.Generator) -> None:
    """The section on gains at equal AUC."""
    print("\n## Gains at equal AUC\n\nPercent of audits whose interval includes the truth.\n")
    head = [f"{kind}: {line}, {of}" for line in LINES for of in POOLS for kind in ("holds", "by seeds")]
    print(f"| seeds | spread | {' | '.join(head)} |\n|{14 * '---:|'}")
    truths = gains_of_all(rng)
    for seeds in (3, 5):
        for spread in (0, 1):
            found = [
                gaining(rng, seeds, drawn, truths=truths, one_split=same, spread=spread)
                for drawn, same in POOLS.values()
            ]
            shares = [100 * one for line in zip(*found, strict=True) for pair in line for one in pair]
            print(f"| {seeds} | {spread} | {' | '.join(f'{share:.1f}' for share in shares)} |")


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


def gains_of_all(rng: np.random.Generator) -> list[float]:
    """The gain beside each line over all scenes that might be drawn."""
    members_N = coins(rng, 2_000_000)
    scores = asked(rng, pool(rng, len(members_N)), members_N)
    aucs = {name: auc_of(scores_N, members_N) for name, scores_N in zip(SETTINGS, scores, strict=True)}
    free = (aucs["held"] - aucs["steep"]) / (aucs[UNDEFENDED] - aucs["steep"])
    return [-COST, -COST + COST * (1 - free)]


def gaining(
    rng: np.random.Generator, seeds: int, scenes: int, *, truths: Sequence[float], one_split: bool, spread: float
) -> list[tuple[float, float]]:
    """By lines, how often the interval of a gain includes the truth, and how often Student's of the seeds does."""
    held, counted = np.zeros((len(LINES), 2)), np.zeros((len(LINES), 1))
    for _ in range(GAINS):
        runs = audited(rng, splits(rng, seeds, scenes, one_split=one_split), scenes, spread=spread)
        points = {name: point(name, mine) for name, mine in runs.items()}
        for k, (line, truth) in enumerate(zip(LINES, truths, strict=True)):
            found = above(points["held"], [points[UNDEFENDED], points[line]])
            if found is not None:
                ends = found[1:], by_seeds(runs["held"], runs[UNDEFENDED], runs[line])
                held[k] += [low <= truth <= high for low, high in ends]
                counted[k] += 1
    return [(share, alone) for share, alone in (held / counted).tolist()]


def audited(
    rng: np.random.Generator, seeds: Sequence[tuple[np.ndarray, np.ndarray]], scenes: int, *, spread: float
) -> dict[str, list[Row]]:
    """What a report knows of the results behind each setting, over seeds; the mIoU is that beyond no defense's."""
    found_2N, felt_SN = pool(rng, scenes), rng.normal(size=(len(SETTINGS), scenes))
    runs: dict[str, list[Row]] = {name: [] for name in SETTINGS}
    for seed, (places_N, members_N) in enumerate(seeds):
        ids, others_N = [str(place) for place in places_N], ~members_N
        scores = asked(rng, found_2N[:, places_N], members_N)
        for (name, mine), scores_N, felt_N in zip(runs.items(), scores, felt_SN[:, places_N], strict=True):
            strays = spread * COST * (2 / SCENES) ** 0.5 * float(rng.normal()) if name == "held" else 0
            paid_N = SETTINGS[name][1] * (1 + felt_N + rng.normal(size=len(felt_N)))
            change = averaged(strays - paid_N[others_N])
            mine.append({
                "seed": seed, "defense": name, "auc": auc_of(scores_N, members_N), "miou_nonmembers": change["value"],
                "utility_change": {"nonmembers": change}, "scores": SceneScores(ids, members_N, ids, scores_N),
            })  # fmt: skip
    return runs


def asked(rng: np.random.Generator, scenes_2N: np.ndarray, members_N: np.ndarray) -> list[Floats]:
    """The scores of scenes by a model behind each setting; a defense adds noise to them."""
    hard_N, leak_N = scenes_2N
    plain_N = hard_N + 0.5 * rng.normal(size=len(hard_N))
    noise = (0 if name == UNDEFENDED else 0.5 * rng.normal(size=len(hard_N)) for name in SETTINGS)
    return [
        plain_N + noise_N + left * leak_N * members_N
        for (left, _), noise_N in zip(SETTINGS.values(), noise, strict=True)
    ]


def point(name: str, runs: Sequence[Row]) -> Point:
    unread = Estimate(0.0, 0.0, 0.0)
    return Point(Cell("", "", "image", "", "", name, adaptive=True, runs=tuple(runs)), unread, unread, 1)


def by_seeds(mine: Sequence[Row], *others: Sequence[Row]) -> tuple[float, float]:
    """Student's interval of the gains of seeds."""
    found = list[Rate]()
    for one, *line in zip(mine, *others, strict=True):
        aucs, mious = np.array(sorted((each["auc"], each["miou_nonmembers"]) for each in line)).T
        gain = one["miou_nonmembers"] - float(np.interp(one["auc"], aucs, mious))
        found.append({"value": gain, "low": gain, "high": gain})
    pooled = over_seeds(found)
    return pooled["low"], pooled["high"]


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
