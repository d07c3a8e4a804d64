"""A fleet: answers of many shadows to the audited scenes. Each shadow trained on another half of these."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mia_seg.errors import MiaSegError
from mia_seg.metrics.intervals import Integers
from mia_seg.query.answers import Answers, Statistics

READINGS = "readings.npz"


@dataclass(frozen=True)
class Signals:
    """What an attack reads of one model's answers, float64: scenes_N of audited scenes, population_Z of the population.

    The population is scenes that no model trained on. Both may have a last axis of several values a scene.
    """

    scenes_N: np.ndarray
    population_Z: np.ndarray


@dataclass(frozen=True)
class Readings:
    """What an attack reads of a fleet's M models, float64; shapes as in `Signals`, with one row a model.

    Models 2j and 2j + 1 are a pair: one of them trained on a scene, the other did not. Raises MiaSegError if they are
    not: some scene would then lack a shadow of either kind.
    """

    ids: Sequence[str]
    scenes_MN: np.ndarray
    population_MZ: np.ndarray
    members_MN: np.ndarray

    def __post_init__(self) -> None:
        first, second = self.members_MN[0::2], self.members_MN[1::2]
        if len(first) != len(second) or not len(first):
            raise MiaSegError(
                f"A fleet of {len(self.members_MN)} shadows is not one of pairs: give an even number of models."
            )
        if (alike := first == second).any():
            pair, scene = np.argwhere(alike)[0]
            what = "was trained on" if first[pair, scene] else "was left out"
            raise MiaSegError(
                f"Scene '{self.ids[scene]}' {what} by both shadows {2 * pair} and {2 * pair + 1}, so that it lacks one "
                f"to compare with. Draw the members of a pair as the two halves of the scenes."
            )

    def __len__(self) -> int:
        return len(self.members_MN)

    def take(self, scenes: Integers) -> "Readings":
        """What is read of some scenes."""
        ids = [self.ids[k] for k in scenes]
        return replace(self, ids=ids, scenes_MN=self.scenes_MN[:, scenes], members_MN=self.members_MN[:, scenes])

    @property
    def pairs(self) -> int:
        """The number of pairs: so many shadows trained on a scene, and as many did not."""
        return len(self) // 2

    def inside(self, pairs: int) -> np.ndarray:
        """Readings of each scene by the shadows that trained on it, one from each of the first pairs: [pairs, N]."""
        return self._of(self.members_MN[0::2], pairs)

    def outside(self, pairs: int) -> np.ndarray:
        """Readings of each scene by the shadows that did not train on it: [pairs, N]."""
        return self._of(~self.members_MN[0::2], pairs)

    def target(self, model: int) -> Signals:
        """One of the models, to play the victim."""
        return Signals(self.scenes_MN[model], self.population_MZ[model])

    def apart(self, model: int) -> "Readings":
        """The fleet without a model and its partner.

        The partner goes too, so that as many of the rest trained on a scene as did not. With the partner, one more
        would have trained on exactly the scenes that the model did not, and this count would tell its members.
        """
        if self.pairs < 2:
            raise MiaSegError(
                "A fleet of 2 shadows cannot choose a threshold: when one plays the victim, none is left to compare it "
                "with. Give [adversary] models = 4 or more."
            )
        return self._only(np.arange(len(self)) // 2 != model // 2)

    def first(self, pairs: int) -> "Readings":
        """The fleet's first pairs."""
        return self._only(np.arange(len(self)) // 2 < pairs)

    def save(self, folder: Path) -> None:
        """Write what `load_readings` reads."""
        kept = {name: getattr(self, name) for name in ("scenes_MN", "population_MZ", "members_MN")}
        np.savez(folder / READINGS, allow_pickle=False, ids=np.array(self.ids), **kept)

    def _only(self, kept_M: np.ndarray) -> "Readings":
        return Readings(self.ids, self.scenes_MN[kept_M], self.population_MZ[kept_M], self.members_MN[kept_M])

    def _of(self, first_PN: np.ndarray, pairs: int) -> np.ndarray:
        choice = first_PN[:pairs].reshape(*first_PN[:pairs].shape, *[1] * (self.scenes_MN.ndim - 2))
        return np.where(choice, self.scenes_MN[0::2][:pairs], self.scenes_MN[1::2][:pairs])


@dataclass(frozen=True)
class Fleet:
    """Answers of M shadows to the same N scenes and to one population; members_MN says who trained on what."""

    answers: Sequence[Answers]
    members_MN: np.ndarray

    def read(self, reader: Callable[[Answers], Signals]) -> Readings:
        """What `reader` finds in the answers of every model, on scenes and population."""
        read = [reader(answers) for answers in self.answers]
        scenes_MN, population_MZ = (np.stack(v) for v in ([t.scenes_N for t in read], [t.population_Z for t in read]))
        return Readings(self.answers[0].ids, scenes_MN, population_MZ, self.members_MN)


def read_signal(answers: Answers, signal: Callable[[Statistics], np.ndarray]) -> Signals:
    """A signal of one model's answers. population_Z is empty if the model was not asked about a population."""
    none = answers.statistics.take(slice(0, 0))
    population = none if answers.population is None else answers.population
    return Signals(signal(answers.statistics).astype(np.float64), signal(population).astype(np.float64))


def load_readings(folder: Path) -> Readings:
    """What `Readings.save` wrote."""
    with (folder / READINGS).open("rb") as file, np.load(file, allow_pickle=False) as kept:
        arrays = {name: kept[name] for name in ("scenes_MN", "population_MZ", "members_MN")}
        return Readings(kept["ids"].tolist(), **arrays)
