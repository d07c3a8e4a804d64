"""What an attacker picks: the scenes that its shadows train on, and the classes that it looks at."""

from collections.abc import Sequence

import numpy as np

from mia_seg.errors import MiaSegError
from mia_seg.query.answers import Answers
from mia_seg.recipes.splits import Partition


def halves(cut: Partition, models: int, seed: int) -> list[Partition]:
    """A fleet's parts: each pair of models trains on the two halves of the audited scenes, in whole groups.

    A larger fleet begins with the models of a smaller one. Every scene is in exactly one half of each pair.
    """
    audited = sorted(cut.members + cut.nonmembers)
    groups = sorted({cut.group[i] for i in audited})
    if len(groups) < 2:
        raise MiaSegError(
            f"A fleet trains on halves, and the audited scenes are {len(groups)} group. Give more scenes."
        )
    found = []
    for pair in range(models // 2):
        drawn = [str(u) for u in np.random.default_rng([seed, pair]).permutation(groups)]
        first = fill(drawn, cut, audited, len(audited) // 2)
        # What is left of a group whose other frames are in the first half goes with them.
        seen = {cut.group[i] for i in first}
        first, second = ([i for i in audited if (cut.group[i] in seen) == side] for side in (True, False))
        if not second:
            raise MiaSegError(
                f"Group '{drawn[0]}' holds more than half of the audited scenes; a fleet needs two halves. "
                f"Give [split] smaller blocks."
            )
        found += [Partition(first, second, cut.pool, cut.group), Partition(second, first, cut.pool, cut.group)]
    return found


def surest(answers: Answers, cut: Partition) -> list[str]:
    """The pool's groups, the one that the victim is surest of first (mean over a group's scenes)."""
    of_group: dict[str, list[float]] = {}
    for scene_id, confidence in zip(answers.ids, answers.statistics.confidence_N, strict=True):
        of_group.setdefault(cut.group[scene_id], []).append(float(confidence))
    return sorted(of_group, key=lambda group: -float(np.mean(of_group[group])))


def fill(ranking: Sequence[str], cut: Partition, scenes: Sequence[str], count: int) -> list[str]:
    """Whole groups from the front of the ranking until `count` of the scenes are there."""
    rank = {group: place for place, group in enumerate(ranking)}
    return sorted(sorted(scenes, key=lambda i: (rank[cut.group[i]], i))[:count])


def common_classes(theirs: Answers, own: Answers, shadow: str) -> tuple[Answers, Answers]:
    """Both sides in the classes that occur on both: of the others an independent attacker cannot have learnt."""
    common = sorted(theirs.occurring() & own.occurring())
    if len(common) < 2:
        raise MiaSegError(
            f"Shadow '{shadow}' and the victim share {len(common)} classes with a labelled pixel; an attack needs "
            f"two. Take a shadow whose scenes show what the victim's do."
        )
    return theirs.only(common), own.only(common)
