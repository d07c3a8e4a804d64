"""Results as an audit writes them, of scores that lie as far apart as a test asks for."""

import zlib
from dataclasses import asdict
from functools import cache
from typing import Any

import numpy as np

from mia_seg.evaluate.results import Result
from mia_seg.evaluate.scores import SceneScores
from mia_seg.metrics.membership import Rate, measure
from mia_seg.metrics.paired import auc_above

PATCHES = 3
DIGESTS = ("victim", "shadow", "attacker", "victim_answers", "shadow_answers")


def drawn(shift: float, key: str, count: int, repeat: int) -> tuple[np.ndarray, np.ndarray]:
    """The scores of `count` members and as many non-members, `shift` standard deviations apart, and who is a member."""
    draw = np.random.default_rng(zlib.crc32(key.encode()))
    members = np.arange(2 * count) < count
    scores = (draw.normal(size=2 * count) + shift * members).repeat(repeat)
    return scores + 0.1 * draw.normal(size=len(scores)), members.repeat(repeat)


def above(mine: SceneScores | None, other: SceneScores | None) -> Rate:
    """The AUC of one attack's scores minus that of another's on the scenes of both."""
    assert mine
    assert other
    both = mine.common(other)
    assert both
    return auc_above(both.scores_N, both.others_N, both.members_N, groups=both.groups)


@cache
def level(shift: float, key: str, count: int, repeat: int) -> dict[str, Any]:
    """The measurement of such scores."""
    noisy, members = drawn(shift, key, count, repeat)
    groups = np.arange(2 * count).repeat(repeat)
    return asdict(measure(noisy, members, threshold=shift / 2, groups=groups, rounds=60))


def utility(miou: float) -> dict[str, dict[str, float]]:
    def side(value: float) -> dict[str, float]:
        metrics = {"pix_acc": value + 0.3, "cls_acc": value + 0.1, "miou": value, "fwiou": value + 0.2}
        return metrics | {f"{k}_{e}": v + d for k, v in metrics.items() for e, d in (("low", -0.03), ("high", 0.03))}

    return {"members": side(miou + 0.2), "nonmembers": side(miou)}


def result(shift: float = 1.8, *, miou: float = 0.4, count: int = 60, scored: bool = False, **changes: Any) -> Result:
    """A result; `changes` overwrite any of its fields. The scores hang on what it is a result of.

    scored: whether the result keeps them.
    """
    what = {
        "victim": "village", "shadow": "village_a1", "dataset": "streets", "adversary": "A1", "choose": "confidence",
        "defense": "none", "attack": "patch_resnet50", "representation": "concat", "adaptive": False, "seed": 1,
    }  # fmt: skip
    what |= {name: value for name, value in changes.items() if name in what}
    key = repr(sorted(what.items(), key=str))
    levels = {"image": level(shift, key, count, 1)}
    if what["attack"] != "image_loss":
        levels["patch"] = level(shift / 2, key, count, PATCHES)
    facts = {
        "shadow_dataset": "streets", "repeats": 1, "queries": 240, "segmenters": {"victim": "pspnet", "shadow": "dpc"},
        "classes": {"both": ["road"], "victim": [], "shadow": []}, "levels": levels, "utility": utility(miou),
        "shadow_utility": utility(0.31), "controls": None, "epsilon": None, "exposed": None, "confidence": None,
        "where": [], "settings": {"epochs": 30}, "tuned": {}, "versions": {"mia-seg": "0.1.0", "torch": "2.6.0"},
        "digests": {name: f"{zlib.crc32((name + key).encode()):012x}" for name in DIGESTS},
    }  # fmt: skip
    made = Result.model_validate(what | facts | changes)
    if not scored:
        return made
    scores_N, members_N = drawn(shift, key, count, 1)
    ids = [f"{what['seed']} {k}" for k in range(2 * count)]
    return made.with_scores(SceneScores(ids, members_N, ids, scores_N))


def relevelled(one: Result, **levels: Any) -> Result:
    """The result with some levels as given, None for one that goes."""
    kept = {name: found for name, found in (one.dump()["levels"] | levels).items() if found is not None}
    return Result.model_validate(one.dump() | {"levels": kept})


def beside(one: Result, scores: SceneScores) -> Result:
    """The result with these scores, measured on so many scenes."""
    members = int(scores.members_N.sum())
    counts = {"n_members": members, "n_nonmembers": len(scores.ids) - members}
    return relevelled(one, image=one.dump()["levels"]["image"] | counts).with_scores(scores)
