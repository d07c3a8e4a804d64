"""How often the gate passes, fails and cannot tell, for attacks of known true AUC.

Run: python benchmarks/gate.py > benchmarks/gate.md
Scores of scenes are normal. All attacks of an audit have the same true AUC, and any two of them have a correlation of
0.5. The limit is 0.6. Each cell has 400 audits; the generator's seed is 0.
"""

from collections import Counter
from pathlib import Path

import numpy as np
from scipy.stats import norm

from mia_seg.evaluate import results
from mia_seg.evaluate.results import Result
from mia_seg.evaluate.schema import Blind, Controls, Shuffle, Untested
from mia_seg.metrics.membership import ranked
from mia_seg.verdict.gate import judged
from mia_seg.verdict.limits import Limit

AUDITS, LIMIT = 400, Limit(0.6)
TRUTHS, COUNTS, ATTACKS = (0.5, 0.55, 0.6, 0.65, 0.7), (50, 150, 500), (1, 8)
SOUND = Controls(
    blind=Blind(auc=0.5, low=0.4, high=0.6, p=0.5, confounded=False, alpha=0.01, folds=5, features=9),
    shuffle=Shuffle(mean=0.5, low=0.4, high=0.6, p=0.5), halves=Untested(untested="not simulated"),
)  # fmt: skip
PLACE = Path(__file__).parents[1] / "reports" / "evidence" / "labelmefacade_small_19"


def main() -> None:
    rng = np.random.default_rng(0)
    like = results.read(PLACE / "labelmefacade_small_19_a1.none.image_loss.s0.json")
    command, _, about = (__doc__ or "").partition("Run: ")[2].partition("\n")
    print(f"# Verdicts of the gate\n\nMade by `{command}`.\n{about.strip()}\n")
    print("Percent of audits that pass / fail / cannot tell.\n")
    heads = [f"AUC {truth:g}" for truth in TRUTHS]
    print(f"| scenes a side | attacks | {' | '.join(heads)} |\n|---:|---:|{'---:|' * len(heads)}")
    for count in COUNTS:
        for attacks in ATTACKS:
            cells = [_cell(rng, like, truth, count=count, attacks=attacks) for truth in TRUTHS]
            print(f"| {count} | {attacks} | {' | '.join(cells)} |")


def _cell(rng: np.random.Generator, like: Result, truth: float, *, count: int, attacks: int) -> str:
    states = Counter(_state(rng, like, truth, count=count, attacks=attacks) for _ in range(AUDITS))
    return " / ".join(f"{100 * states[state] / AUDITS:.0f}" for state in ("pass", "fail", "cannot tell"))


def _state(rng: np.random.Generator, like: Result, truth: float, *, count: int, attacks: int) -> str:
    members_N = np.arange(2 * count) < count
    shared_N = rng.normal(size=2 * count)
    own_KN = rng.normal(size=(attacks, 2 * count))
    scores_KN = (shared_N + own_KN) / 2**0.5 + 2**0.5 * norm.ppf(truth) * members_N
    found = [_result(like, f"attack_{k}", ranked(scores_N, members_N)) for k, scores_N in enumerate(scores_KN)]
    (verdict,) = judged(found, like.victim, "none", limits=[LIMIT])
    return verdict.state


def _result(like: Result, attack: str, measured: dict[str, float]) -> Result:
    level = like.levels["image"].model_copy(update={name: measured[name] for name in ("auc", "auc_low", "auc_high")})
    sound = {"controls": SOUND, "near_twins": None}
    return like.model_copy(update={"attack": attack, "levels": {"image": level}} | sound)


if __name__ == "__main__":
    main()
