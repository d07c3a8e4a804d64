"""Ranks scores and counts how many members and non-members are called members as the threshold falls.

Axes: N scores, from the highest down; S steps, one for each distinct score, because no threshold separates equal
scores. tp and fp count the members and the non-members that are called members; entry 0 calls nobody.
"""

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from mia_seg.errors import MiaSegError
from mia_seg.metrics.intervals import Floats, Integers

Booleans = npt.NDArray[np.bool_]
# How many weights of scores are summed at once: the sums then fit into a processor's cache.
SUMMED = 2**18


@dataclass(frozen=True)
class Ranking:
    """Scores from the highest down.

    order_N: the place of each ranked score in the input. members_N: whether each ranked score is a member's. ends_S:
    the position of the last score of each step. scores_S: the score of each step.
    """

    order_N: npt.NDArray[np.intp]
    members_N: Booleans
    ends_S: npt.NDArray[np.intp]
    scores_S: Floats


@dataclass(frozen=True)
class Groups:
    """The groups of ranked scores.

    slots_N: the number of each score's group; groups of members have the first numbers. members, nonmembers: the number
    of groups on each side.
    """

    slots_N: Integers
    members: int
    nonmembers: int

    @property
    def fewest(self) -> int:
        return min(self.members, self.nonmembers)

    @cached_property
    def slots(self) -> tuple[Integers, Integers]:
        """The group of each member and of each non-member, numbered from 0 on either side."""
        members_N = self.slots_N < self.members
        return self.slots_N[members_N], self.slots_N[~members_N] - self.members

    def draws(self, seed: int, rounds: int) -> Iterator[Integers]:
        """Bootstrap draws, a few rounds at a time: how often each group is drawn, int [rounds, groups].

        Groups of members and of non-members are drawn separately.
        """
        rng, few = np.random.default_rng(seed), max(1, SUMMED // len(self.slots_N))
        for start in range(0, rounds, few):
            yield np.stack([self._drawn(rng) for _ in range(min(few, rounds - start))])

    def _drawn(self, rng: np.random.Generator) -> Integers:
        # The counts of random group numbers follow the multinomial law of equal chances, in a ninth of its time.
        sides = self.members, self.nonmembers
        return np.concatenate([np.bincount(rng.integers(n, size=n, dtype=np.int32), minlength=n) for n in sides])


def rank(scores: npt.ArrayLike, members: npt.ArrayLike) -> Ranking:
    scores_N, members_N = checked(np.asarray(scores, np.float64), np.asarray(members))
    order_N = np.argsort(-scores_N, kind="stable")
    falling_N = scores_N[order_N]
    # Compared, not subtracted: the difference of large scores overflows.
    ends_S = np.flatnonzero(np.append(falling_N[1:] != falling_N[:-1], True))
    return Ranking(order_N, members_N[order_N], ends_S, falling_N[ends_S])


def checked(scores_N: Floats, members_N: npt.NDArray[Any]) -> tuple[Floats, Booleans]:
    """The scores [N], and the memberships [N] as bool.

    Raises MiaSegError for unlike shapes, scores that are not finite, memberships other than 0 and 1, and a missing
    side.
    """
    if scores_N.ndim != 1 or scores_N.shape != members_N.shape:
        raise MiaSegError(
            f"Scores are {scores_N.shape} and memberships {members_N.shape}; two lists of one length are needed."
        )
    if not np.isfinite(scores_N).all():
        place = int(np.argmin(np.isfinite(scores_N)))
        raise MiaSegError(f"Score {place} is {scores_N[place]}; every score must be finite.")
    if not np.isin(members_N, (0, 1)).all():
        raise MiaSegError(f"Memberships are true or false; found {members_N[~np.isin(members_N, (0, 1))][0]}.")
    for kind, missing in (("members", not members_N.any()), ("non-members", members_N.all())):
        if missing:
            raise MiaSegError(f"There are no {kind} among the {len(scores_N)} scores; metrics need both kinds.")
    return scores_N, members_N.astype(np.bool_)


def groups_of(ranking: Ranking, groups: Iterable[Hashable] | None) -> Groups:
    members_N, count = ranking.members_N, len(ranking.members_N)
    keys: list[Hashable] = list(range(count)) if groups is None else list(groups)
    if len(keys) != count:
        raise MiaSegError(f"There are {count} scores but {len(keys)} groups; each score needs one.")
    rows: dict[bool, dict[Hashable, int]] = {True: {}, False: {}}
    ranked = zip(members_N.tolist(), ranking.order_N.tolist(), strict=True)
    codes_N = np.array([rows[member].setdefault(keys[place], len(rows[member])) for member, place in ranked])
    return Groups(np.where(members_N, codes_N, codes_N + len(rows[True])), len(rows[True]), len(rows[False]))


def called(ranking: Ranking) -> tuple[Integers, Integers]:
    """tp and fp, int [S + 1], as the threshold falls."""
    everyone, members = np.append(0, ranking.ends_S + 1), np.append(0, np.cumsum(ranking.members_N)[ranking.ends_S])
    return members, everyone - members


def called_again(draws_RU: Integers, groups: Groups, points: tuple[Integers, Integers]) -> tuple[Integers, Integers]:
    """tp and fp, int [R, P], in each bootstrap round at P operating points.

    draws_RU: how often each round draws each group. points: tp and fp [P] when every score is drawn once.
    """
    sides = draws_RU[:, : groups.members], draws_RU[:, groups.members :]
    tp, fp = (_summed(*side)[:, count] for *side, count in zip(sides, groups.slots, points, strict=True))
    return tp, fp


def _summed(draws_RU: Integers, slots_N: Integers) -> Integers:
    """How many draws fall on the first 0, 1, ..., N scores of one side: [R, N + 1]."""
    sums = np.zeros((len(draws_RU), len(slots_N) + 1), np.int64)
    np.cumsum(draws_RU.take(slots_N, axis=1), axis=1, out=sums[:, 1:])
    return sums


def placements(ranking: Ranking, tp: Integers, fp: Integers) -> tuple[Floats, Floats]:
    """The share of non-members below each ranked member, and of members above each non-member; ties count half."""
    steps_N = np.repeat(np.arange(len(ranking.ends_S)), np.diff(ranking.ends_S, prepend=-1))
    below_S, above_S = 1 - (fp[1:] + fp[:-1]) / (2 * fp[-1]), (tp[1:] + tp[:-1]) / (2 * tp[-1])
    return below_S[steps_N[ranking.members_N]], above_S[steps_N[~ranking.members_N]]


def area_under(tp: Integers, fp: Integers) -> Floats:
    """The area under the ROC by trapezoids, so a tie counts half. It is exact, because only integers are summed."""
    doubled = np.sum(np.diff(fp) * (tp[..., 1:] + tp[..., :-1]), axis=-1)
    return np.asarray(doubled / (2 * tp[..., -1] * fp[..., -1]))
