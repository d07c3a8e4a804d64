"""How often the interval of a difference over several seeds includes the truth, for small and large spreads of seeds.

Run: python benchmarks/over_seeds.py > benchmarks/over_seeds.md
Each seed's difference has a normal error with a standard deviation of 0.01, and its own interval is right for that
error. The true differences of seeds are normal too. The spread is their standard deviation in multiples of 0.01. Each
cell has 4,000 audits; the generator's seed is 0.
"""

import numpy as np

from mia_seg.metrics.paired import over_seeds

AUDITS, ERROR = 4000, 0.01


def main() -> None:
    rng = np.random.default_rng(0)
    command, _, about = (__doc__ or "").partition("Run: ")[2].partition("\n")
    print(f"# Differences over several seeds\n\nMade by `{command}`.\n{about.strip()}\n")
    print("Percent of audits whose interval includes the truth (its mean half width in multiples of 0.01).\n")
    spreads = (0, 0.5, 1, 3)
    print(f"| seeds | {' | '.join(f'spread {spread:g}' for spread in spreads)} |\n|---:|{'---:|' * len(spreads)}")
    for seeds in (2, 3, 5, 10):
        cells = [cell(rng, seeds, spread) for spread in spreads]
        print(f"| {seeds} | {' | '.join(f'{100 * held:.1f} ({half:.2f})' for held, half in cells)} |")


def cell(rng: np.random.Generator, seeds: int, spread: float) -> tuple[float, float]:
    values = ERROR * (spread * rng.normal(size=(AUDITS, seeds)) + rng.normal(size=(AUDITS, seeds)))
    half = 1.96 * ERROR
    found = [over_seeds([{"value": v, "low": v - half, "high": v + half} for v in row]) for row in values.tolist()]
    held = np.mean([one["low"] <= 0 <= one["high"] for one in found])
    return float(held), float(np.mean([one["high"] - one["low"] for one in found]) / 2 / ERROR)


if __name__ == "__main__":
    main()
