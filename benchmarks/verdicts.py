"""How often a report's words on a defense are right: is its effect shown if there is one, and only then?

Run: python benchmarks/verdicts.py > benchmarks/verdicts.md
Scores of scenes are normal, with a higher mean for members. A scene's scores with and without the defense have a
correlation of 0.8. Three seeds share their true AUCs. With 8 attacks, any two of them have a correlation of 0.5. The
strongest attack on the defended model is then compared with the strongest on the undefended one, and the interval is
widened for choosing among 8. Each cell has 1,000 audits; the generator's seed is 0.
"""

import numpy as np
from scipy.stats import norm

from mia_seg.metrics.intervals import widened
from mia_seg.metrics.membership import Rate, auc
from mia_seg.metrics.paired import auc_above, over_seeds

AUDITS, PAIRED, ROUNDS = 1000, 0.8, 4


def main() -> None:
    """Print both tables."""
    rng = np.random.default_rng(0)
    command, _, about = (__doc__ or "").partition("Run: ")[2].partition("\n")
    print(f"# Words on defenses\n\nMade by `{command}`.\n{about.strip()}\n")
    print('* *Wrong*: percent of audits that say "hides" or "worsens", although the defense changes nothing.')
    print("* *Held*: percent of paired intervals that include the true change, which is 0.")
    print('* *Right*: percent of audits that say "hides" where the AUC falls by twice a mean half width. First that of')
    print(
        "  intervals without an effect, then that of intervals with this fall, which are wider where AUC is near 1.\n"
    )
    print("| scenes a side | seeds | attacks | AUC without | wrong | held | half width | right | with fall | right |")
    print("|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
    for scenes, seeds, attacks in ((60, 1, 1), (150, 1, 1), (1000, 1, 1), (150, 3, 1), (150, 1, 8), (150, 3, 8)):
        for before in (0.6, 0.8, 0.95):
            row(rng, scenes, seeds, attacks=attacks, before=before)


def row(rng: np.random.Generator, scenes: int, seeds: int, *, attacks: int, before: float) -> None:
    """One row: the words where nothing changes, and where the AUC falls."""
    null = [audit(rng, scenes, seeds, attacks=attacks, aucs=(before, before)) for _ in range(AUDITS)]
    wrong = np.mean([not one["low"] <= 0 <= one["high"] for one in null])
    held = f"{100 * (1 - wrong):.1f}" if attacks == 1 else "–"  # of several the interval is made wider on purpose
    told, rights = null, list[float]()
    for _ in range(ROUNDS):  # the wider the fall, the wider the intervals, which say how wide it is to be
        fall = 2 * half_width(told)
        told = [audit(rng, scenes, seeds, attacks=attacks, aucs=(before, before - fall)) for _ in range(AUDITS)]
        rights.append(100 * float(np.mean([one["high"] < 0 for one in told])))
    numbers = f"{half_width(null):.3f} | {rights[0]:.1f} | {half_width(told):.3f} | {rights[-1]:.1f}"
    print(f"| {scenes} | {seeds} | {attacks} | {before} | {100 * wrong:.1f} | {held} | {numbers} |", flush=True)


def half_width(audits: list[Rate]) -> float:
    """The mean over audits."""
    return float(np.mean([(one["high"] - one["low"]) / 2 for one in audits]))


def audit(rng: np.random.Generator, scenes: int, seeds: int, *, attacks: int, aucs: tuple[float, float]) -> Rate:
    """The change of AUC that one audit tells, with its interval. aucs: without and with the defense."""
    members = np.arange(2 * scenes) < scenes
    drawn = [scores(rng, members, attacks=attacks, aucs=aucs) for _ in range(seeds)]
    means = np.mean([[[auc(each, members) for each in side] for side in one] for one in drawn], axis=0)
    first, last = means[0].argmax(), means[1].argmax()
    change = over_seeds([auc_above(one[1][last], one[0][first], members) for one in drawn])
    low, high = widened(change["value"], (change["low"], change["high"]), attacks)
    return {"value": change["value"], "low": low, "high": high}


def scores(
    rng: np.random.Generator, members: np.ndarray, *, attacks: int, aucs: tuple[float, float]
) -> list[np.ndarray]:
    """Without and with the defense: scores [attacks, scenes]."""
    count = len(members)
    common, own, noise = rng.normal(size=count), rng.normal(size=(attacks, count)), rng.normal(size=(2, attacks, count))
    base = own if attacks == 1 else np.sqrt(0.5) * common + np.sqrt(0.5) * own
    sides = [np.sqrt(PAIRED) * base + np.sqrt(1 - PAIRED) * noise[k] for k in (0, 1)]
    return [side + np.sqrt(2) * norm.ppf(aucs[k]) * members for k, side in enumerate(sides)]


if __name__ == "__main__":
    main()
