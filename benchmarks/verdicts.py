"""How often a report's words on a defense are right: is its effect shown if there is one, and only then?

Run: python benchmarks/verdicts.py > benchmarks/verdicts.md
Each audit is handed to the report as its results would be, and what the report writes about the defense is read. Scores
of scenes are normal, with a higher mean for members. A scene's scores with and without the defense have a correlation
of 0.8. The true AUCs of three seeds are the same, or with the defense they differ by a spread: its standard deviation,
around a mean that is the truth. With 8 attacks, any two of them have a correlation of 0.5. The report then
compares the strongest attack on the defended model with the strongest on the undefended one. Each cell has 1,000
audits; the generator's seed is 0.
"""

from functools import partial

import numpy as np
from scipy.stats import norm

from mia_seg.evaluate.scores import SceneScores
from mia_seg.metrics.membership import ranked
from mia_seg.report import words
from mia_seg.report.cells import UNDEFENDED, Cell, Row, strongest
from mia_seg.report.changes import auc_change, of_many

AUDITS, PAIRED, ROUNDS = 1000, 0.8, 3
# Scenes a side, seeds, their spread, and attacks.
KINDS = (
    (60, 1, 0, 1), (150, 1, 0, 1), (1000, 1, 0, 1), (150, 3, 0, 1), (150, 3, 0.02, 1), (150, 1, 0, 8), (150, 3, 0, 8),
)  # fmt: skip
HIDES = ("lowers the leak", "makes the strongest attack fail")
WORSENS = "makes the leak larger"


def main() -> None:
    """Print the table."""
    rng = np.random.default_rng(0)
    command, _, about = (__doc__ or "").partition("Run: ")[2].partition("\n")
    print(f"# Words on defenses\n\nMade by `{command}`.\n{about.strip()}\n")
    print("* *Wrong*: percent of audits that say that the defense lowers the leak or makes it larger, although it")
    print("  changes nothing.")
    print(
        "* *Right*: percent of audits that say that it lowers the leak, or makes the attack fail, where the AUC falls"
    )
    print("  by twice a mean half width: that of intervals with this fall, which are wider where AUC is near 1.\n")
    print("| scenes a side | seeds | spread | attacks | AUC without | wrong | half width | AUC with | right |")
    print(f"|{9 * '---:|'}")
    for scenes, seeds, spread, attacks in KINDS:
        for before in (0.7, 0.8, 0.95):
            row(rng, scenes, seeds=seeds, spread=spread, attacks=attacks, before=before)


def row(rng: np.random.Generator, scenes: int, *, seeds: int, spread: float, attacks: int, before: float) -> None:
    """One row: the words where nothing changes, and where the AUC falls."""
    audit = partial(audited, rng, scenes, seeds=seeds, spread=spread, attacks=attacks)
    null = [audit(aucs=(before, before)) for _ in range(AUDITS)]
    wrong = np.mean([told != "none" for told, _ in null])
    half = half_width(null)
    for _ in range(ROUNDS):  # the wider the fall, the wider the intervals, which say how wide it is to be
        after = before - 2 * half
        found = [audit(aucs=(before, after)) for _ in range(AUDITS)]
        half = half_width(found)
    right = np.mean([told == "hides" for told, _ in found])
    told = f"{100 * wrong:.1f} | {half:.3f} | {after:.3f} | {100 * right:.1f}"
    print(f"| {scenes} | {seeds} | {spread:g} | {attacks} | {before} | {told} |", flush=True)


def half_width(audits: list[tuple[str, float]]) -> float:
    """The mean over audits."""
    return float(np.mean([half for _, half in audits]))


def audited(
    rng: np.random.Generator, scenes: int, *, seeds: int, spread: float, attacks: int, aucs: tuple[float, float]
) -> tuple[str, float]:
    """What the report says of a defense, and the half width of its change of AUC. aucs: without and with it."""
    members_N, (without, mean) = np.arange(2 * scenes) < scenes, aucs
    after_S = np.clip(mean + spread * rng.normal(size=seeds), 0.01, 0.99) if spread else [mean] * seeds
    drawn = [scores(rng, members_N, attacks=attacks, aucs=(without, after)) for after in after_S]
    before, after = (
        [cell(defense, k, [(one[side][k], members_N) for one in drawn]) for k in range(attacks)]
        for side, defense in enumerate((UNDEFENDED, "gaussian:1.0"))
    )
    text = words.on_defense(after, before)
    judged, reference = strongest(after), strongest(before)
    assert judged
    assert reference
    change = auc_change(judged, reference)
    assert change
    wide = of_many(change, attacks)
    said = "hides" if any(claim in text for claim in HIDES) else "worsens" if WORSENS in text else "none"
    return said, (wide.high - wide.low) / 2


def cell(defense: str, attack: int, seeds: list[tuple[np.ndarray, np.ndarray]]) -> Cell:
    """One attack's results as a report has them. seeds: scores and memberships [N] of each."""

    def run(seed: int, scores_N: np.ndarray, members_N: np.ndarray) -> Row:
        ids = [f"{seed} {k}" for k in range(len(scores_N))]
        found = ranked(scores_N, members_N)
        kept = SceneScores(ids, members_N, ids, scores_N)
        return {"seed": seed, "scores": kept, "miou_nonmembers": None, **found}

    runs = tuple(run(seed, *one) for seed, one in enumerate(seeds))
    return Cell("victim", "shadow", "image", f"attack_{attack}", "", defense, defense != UNDEFENDED, runs)


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
