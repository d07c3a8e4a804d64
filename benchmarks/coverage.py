"""How often the intervals of `mia_seg.metrics` include the truth, in simulated audits with known truth.

Run: OMP_NUM_THREADS=1 python benchmarks/coverage.py [--audits 1000] [--out benchmarks/coverage.md]
Scores are binormal: non-members N(0, 1), members N(d, s^2), so that AUC = Phi(d / sqrt(1 + s^2)) and the TPR at an FPR
of f is 1 - Phi((z_f - d) / s). In blocks, three neighbouring scenes share half of their variance. Each audit is
measured by `measure`, as real audits are.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import numpy as np
from scipy.optimize import brentq
from scipy.stats import norm

from mia_seg.metrics.auditing import epsilon_bound, epsilon_one_run
from mia_seg.metrics.membership import BASE_RATES, TARGETS, Measurement, measure
from mia_seg.metrics.paired import above

SIDES = (60, 100, 150, 300, 1000)
AUCS = (0.5, 0.6, 0.75, 0.9, 0.98)
SHAPES = {"equal": (1.0, 1), "members wide": (2.0, 1), "members narrow": (0.5, 1), "blocks of 3": (1.0, 3)}
AIM = (93.5, 96.5)
DELTA, TRIALS = 1e-5, 500
PAIRS, PAIRED = ((0.6, 0.6), (0.7, 0.6), (0.9, 0.8), (0.97, 0.93)), 150

Cells = dict[tuple[str, int, float], dict[str, float]]
Mechanism = Callable[[np.random.Generator, np.ndarray], np.ndarray]

EDGE = (
    "Where few groups are misranked (AUC 0.98; 0.9 in 20 blocks) no method is exact: an audit has none, one or two of\n"
    "them, and an audit without any must not claim to be sure. The interval is on the wide side there."
)
TARGET = (
    "The truth is the TPR at a *true* FPR of {}. Near 0 or 1 (members narrow; AUC 0.98) it depends on a few members:\n"
    "no method is exact, and the interval is on the wide side. Below 300 scenes it is so elsewhere\n"
    "too, by a point or two."
)
WIDE = "Clopper-Pearson bounds include any truth in at least 95%, and most truths in more; so there is no aim."
TABLES = [
    ("AUC", "auc", EDGE),
    ("TPR at FPR 10%", "tpr 0.1", TARGET.format("10%")),
    (
        "TPR at FPR 1%",
        "tpr 0.01",
        TARGET.format("1%") + "\nBelow 368 independent non-members the interval must begin at 0.",
    ),
]
BRIEF = [
    ("Balanced accuracy at the attacker's threshold", "accuracy", WIDE),
    *((f"Predictive value, base rate {base:g}", f"ppv {base:g}", WIDE) for base in BASE_RATES),
]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--audits", type=int, default=1000)
    options.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".md"))
    given = options.parse_args()
    start = time.process_time()
    text = "\n".join([*lines(given.audits), ""])
    given.out.write_text(text, encoding="utf-8")
    print(f"{text}\n{time.process_time() - start:.0f} CPU seconds")


def lines(audits: int) -> Iterator[str]:
    rng = np.random.default_rng(0)
    cells = {cell: simulated(rng, audits, cell) for cell in product(SHAPES, SIDES, AUCS)}
    yield f"""# How often a 95% interval includes the truth

Percent of {audits:,} simulated audits in each cell; `benchmarks/coverage.py` writes this page and explains the
simulation. The aim is {AIM[0]} to {AIM[1]}. With 1,000 audits, an exact interval misses this aim by chance in one of 33
cells. A number below the aim is **bold**: the interval is too narrow. A number above it is *slanted*: the interval is
wider than it claims. "–": not resolvable. In blocks of 3 there are a third as many groups as scenes."""
    for title, name, note in TABLES:
        yield from ["", f"## {title}", "", note, "", summary(cells, name), "", *table(cells, name)]
    yield ""
    yield from again(cells, 4 * audits)
    for title, name, note in BRIEF:
        yield from [f"## {title}", "", note, "", summary(cells, name), ""]
    yield from paired_lines(rng, audits // 4)
    yield from ["", *epsilon_lines(rng, audits)]


def summary(cells: Cells, name: str) -> str:
    shares = [found[name] for found in cells.values() if name in found]
    inside, under = sum(AIM[0] <= share <= AIM[1] for share in shares), sum(share < AIM[0] for share in shares)
    return (
        f"{inside} of {len(shares)} cells within the aim, {under} below, {len(shares) - inside - under} above; "
        f"lowest {min(shares):.1f}, mean {np.mean(shares):.1f}, highest {max(shares):.1f}."
    )


def again(cells: Cells, audits: int) -> Iterator[str]:
    """Cells below the aim, measured once more: of so many cells, some fall below by chance."""
    fallen = [
        (title, name, cell)
        for title, name, _ in TABLES
        for cell, found in cells.items()
        if found.get(name, 100) < AIM[0]
    ]
    if not fallen:
        return
    yield f"""## Cells below the aim, measured again

{audits:,} further audits of each cell that is bold above.

| number | scores | scenes a side | AUC | first | again |
|---|---|---|---|---:|---:|"""
    for title, name, cell in fallen:
        share = simulated(np.random.default_rng(1), audits, cell)[name]
        yield f"| {title} | {' | '.join(map(str, cell))} | {cells[cell][name]:.1f} | {marked(share)} |"
    yield ""


def table(cells: Cells, name: str) -> Iterator[str]:
    """A row a shape and size, a column an AUC; sizes at which nothing is resolved have no row."""
    yield f"| scores | scenes a side | {' | '.join(f'AUC {auc:g}' for auc in AUCS)} |"
    yield f"|---|---{'|---:' * len(AUCS)}|"
    for shape, n in product(SHAPES, SIDES):
        shares = [cells[shape, n, auc].get(name) for auc in AUCS]
        if any(share is not None for share in shares):
            yield f"| {shape} | {n} | {' | '.join(map(marked, shares))} |"


def marked(share: float | None) -> str:
    if share is None:
        return "–"
    sign = "**" if share < AIM[0] else "*" if share > AIM[1] else ""
    return f"{sign}{share:.1f}{sign}"


def paired_lines(rng: np.random.Generator, audits: int) -> Iterator[str]:
    """How often the interval of a difference holds that of two attacks on the same scenes."""
    yield f"""## Differences of two attacks

Percent of {audits:,} audits in which the interval of `paired.above` includes the true difference of two attacks. Each
audit has {PAIRED} members and as many non-members. Scores are binormal (members wide), and the two attacks share half
of their variance. Intervals of TPRs are bootstraps; there is no aim.

| one AUC | the other | difference of AUC | TPR at FPR 10% | TPR at FPR 1% |
|---|---|---:|---:|---:|"""
    members, spread = np.arange(2 * PAIRED) < PAIRED, SHAPES["members wide"][0]
    for aucs in PAIRS:
        distances = [norm.ppf(auc) * np.hypot(1, spread) for auc in aucs]
        tprs = norm.sf((norm.isf(TARGETS[:2])[:, None] - distances) / spread)
        truths, held = [aucs[0] - aucs[1], *(tprs[:, 0] - tprs[:, 1])], []
        for _ in range(audits):
            shared, own = rng.normal(size=2 * PAIRED), rng.normal(size=(2, 2 * PAIRED))
            noise = np.sqrt(0.5) * (shared + own)
            scores = [np.where(members, d + spread * x, x) for d, x in zip(distances, noise, strict=True)]
            found = above(*scores, members, rounds=500)
            rates = [found["auc"], *(found["tpr_at_fpr"][f"{target:g}"] for target in TARGETS[:2])]
            held.append([r["low"] <= truth <= r["high"] for r, truth in zip(rates, truths, strict=True)])
        shares = " | ".join(f"{share:.1f}" for share in 100 * np.mean(held, 0))
        yield f"| {aucs[0]} | {aucs[1]} | {shares} |"


def epsilon_lines(rng: np.random.Generator, audits: int) -> Iterator[str]:
    """How often a bound exceeds the epsilon that its mechanism is known to have."""
    yield f"""## Lower bounds on epsilon

Percent of {audits:,} audits of {TRIALS} scenes in which the bound (level 0.95) exceeds the mechanism's true epsilon. It
may do so in 5% at most (5 +- 1.4 in 1,000 audits). Beside it stands the mean bound. The Gaussian mechanism adds
N(0, sigma^2) to the membership bit; its epsilon at delta = {DELTA:g} is solved for (Balle & Wang, ICML 2018). Scenes
are independent here, so both bounds hold.

| mechanism | true epsilon | `epsilon_bound` exceeds it | mean | `epsilon_one_run` exceeds it | mean |
|---|---:|---:|---:|---:|---:|"""
    for name, epsilon, delta, mechanism in MECHANISMS:
        bounds = np.array([both_bounds(rng, mechanism, delta) for _ in range(audits)])
        above, means = 100 * (bounds > epsilon).mean(0), bounds.mean(0)
        yield f"| {name} | {epsilon:.2f} | {above[0]:.1f} | {means[0]:.2f} | {above[1]:.1f} | {means[1]:.2f} |"


def both_bounds(rng: np.random.Generator, mechanism: Mechanism, delta: float) -> tuple[float, float]:
    members = rng.random(TRIALS) < 0.5
    scores, seed = mechanism(rng, members), int(rng.integers(2**31))
    asked = {"randomised": True, "delta": delta, "seed": seed}
    return epsilon_bound(scores, members, **asked), epsilon_one_run(scores, members, guesses=TRIALS, **asked)


def responding(epsilon: float) -> Mechanism:
    """Randomised response: the bit is true with probability e^eps / (1 + e^eps)."""
    return lambda rng, members: (members ^ (rng.random(len(members)) > 1 / (1 + np.exp(-epsilon)))).astype(float)


def noisy(sigma: float) -> Mechanism:
    return lambda rng, members: members + sigma * rng.normal(size=len(members))


def gaussian_epsilon(sigma: float) -> float:
    def excess(epsilon: float) -> float:
        a, b = 1 / (2 * sigma), epsilon * sigma
        return norm.cdf(a - b) - np.exp(epsilon) * norm.cdf(-a - b) - DELTA

    return brentq(excess, 0, 100)


def simulated(rng: np.random.Generator, audits: int, cell: tuple[str, int, float]) -> dict[str, float]:
    """Share of audits by number, in percent; no entry where nothing can be resolved."""
    shape, n, auc = cell
    spread, block = SHAPES[shape]
    distance = norm.ppf(auc) * np.hypot(1, spread)
    members, groups = np.arange(2 * n) < n, np.concatenate([np.arange(n) // block, n + np.arange(n) // block])
    held: dict[str, list[bool]] = {}
    for _ in range(audits):
        noise = np.concatenate([drawn(rng, n, block), drawn(rng, n, block)])
        scores = np.where(members, distance + spread * noise, noise)
        result = measure(scores, members, threshold=distance / 2, groups=groups, rounds=1)
        for name, inside in holds(result, auc, distance, spread=spread):
            held.setdefault(name, []).append(inside)
    return {name: 100 * float(np.mean(inside)) for name, inside in held.items()}


def drawn(rng: np.random.Generator, n: int, block: int) -> np.ndarray:
    """Standard normal draws; those of one block correlate by a half."""
    if block == 1:
        return rng.normal(size=n)
    shared = rng.normal(size=-(-n // block)).repeat(block)[:n]
    return np.sqrt(0.5) * (shared + rng.normal(size=n))


def holds(result: Measurement, auc: float, distance: float, *, spread: float) -> Iterator[tuple[str, bool]]:
    yield "auc", result.auc_low <= auc <= result.auc_high
    for target in TARGETS:
        point = result.tpr_at_fpr[f"{target:g}"]
        if not isinstance(point, str):
            truth = norm.sf((norm.isf(target) - distance) / spread)
            yield f"tpr {target:g}", point["low"] <= truth <= point["high"]
    tpr, fpr = norm.sf((distance / 2 - distance) / spread), norm.sf(distance / 2)
    yield "accuracy", result.balanced_accuracy_low <= (tpr + 1 - fpr) / 2 <= result.balanced_accuracy_high
    for base in BASE_RATES:
        found = result.ppv[f"{base:g}"]
        truth = tpr * base / (tpr * base + fpr * (1 - base))
        yield f"ppv {base:g}", isinstance(found, str) or found["low"] <= truth <= found["high"]


MECHANISMS = [
    *((f"randomised response, {epsilon:g}", epsilon, 0.0, responding(epsilon)) for epsilon in (0.0, 1.0, 3.0)),
    *((f"Gaussian, sigma {sigma:g}", gaussian_epsilon(sigma), DELTA, noisy(sigma)) for sigma in (0.5, 1.0, 2.0)),
]  # fmt: skip

if __name__ == "__main__":
    main()
