"""What an attacker picks: the scenes that its shadows train on, and the classes that it looks at."""

from collections.abc import Sequence

import numpy as np

from mia_seg.answers import Answers
from mia_seg.errors import MiaSegError
from mia_seg.splits import Parts


def halves(cut: Parts, models: int, seed: int) -> list[Parts]:
    """A fleet's parts: each pair of models trains on the two halves of the audited scenes, in whole units.

    A larger fleet begins with the models of a smaller one. Every scene is in exactly one half of each pair.
    """
    audited = sorted(cut.members + cut.nonmembers)
    units = sorted({cut.unit[i] for i in audited})
    if len(units) < 2:
        raise MiaSegError(f"A fleet trains on halves, and the audited scenes are {len(units)} unit. Give more scenes.")
    found = []
    for pair in range(models // 2):
        drawn = [str(u) for u in np.random.default_rng([seed, pair]).permutation(units)]
        first = fill(drawn, cut, audited, len(audited) // 2)
        # What is left of a unit whose other frames are in the first half goes with them.
        seen = {cut.unit[i] for i in first}
        first, second = ([i for i in audited if (cut.unit[i] in seen) == side] for side in (True, False))
        if not second:
            raise MiaSegError(
                f"Unit '{drawn[0]}' holds more than half of the audited scenes; a fleet needs two halves. "
                f"Give [split] smaller blocks."
            )
        found += [Parts(first, second, cut.pool, cut.unit), Parts(second, first, cut.pool, cut.unit)]
    return found


def surest(answers: Answers, cut: Parts) -> list[str]:
    """The pool's units, the one that the victim is surest of first (mean over a unit's scenes)."""
    of_unit: dict[str, list[float]] = {}
    for scene_id, confidence in zip(answers.ids, answers.statistics.confidence_N, strict=True):
        of_unit.setdefault(cut.unit[scene_id], []).append(float(confidence))
    return sorted(of_unit, key=lambda unit: -float(np.mean(of_unit[unit])))


def fill(ranking: Sequence[str], cut: Parts, scenes: Sequence[str], count: int) -> list[str]:
    """Whole units from the front of the ranking until `count` of the scenes are there."""
    rank = {unit: place for place, unit in enumerate(ranking)}
    return sorted(sorted(scenes, key=lambda i: (rank[cut.unit[i]], i))[:count])


def common_classes(theirs: Answers, own: Answers, shadow: str) -> tuple[Answers, Answers]:
    """Both sides in the classes that occur on both: of the others an independent attacker cannot have learnt."""
    common = sorted(theirs.occurring() & own.occurring())
    if len(common) < 2:
        raise MiaSegError(
            f"Shadow '{shadow}' and the victim share {len(common)} classes with a labelled pixel; an attack needs "
            f"two. Take a shadow whose scenes show what the victim's do."
        )
    return theirs.only(common), own.only(common)
