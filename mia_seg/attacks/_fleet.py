"""Attacks that compare a model with many shadows. Thresholds and settings are tuned on the shadows alone."""

import json
from abc import abstractmethod
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Self

import numpy as np
from lightning_fabric import Fabric
from pydantic import Field

from mia_seg.attacks import ATTACKER, Attack, Attacker, Scores, ShadowCurvePoint, Thresholds
from mia_seg.attacks._readings import Fleet, Readings, Signals, load_readings, read_signal
from mia_seg.errors import MiaSegError
from mia_seg.metrics.membership import best_threshold
from mia_seg.query.answers import Answers, Statistics
from mia_seg.values import Whole

ShadowCount = Annotated[
    Whole | None,
    Field(ge=1, le=10**4, description="shadows that a scene is compared with; default: all that there are"),
]


class FleetAttack(Attack):
    """An attack that compares a model with many shadows. A subclass defines `reading`, what it reads, and `judge`.

    Thresholds and tuned settings come from *rehearsals*: each shadow plays the victim and is compared with all others
    but its partner. Nothing is tuned on the victim.
    """

    needs_fleet: ClassVar[bool] = True

    @abstractmethod
    def reading(self, answers: Answers) -> Signals:
        """What is read of a model's answers, to the scenes and to the population."""

    @abstractmethod
    def judge(self, target: Signals, fleet: Readings) -> np.ndarray:
        """One score a scene of the target [N], finite; higher = more likely a member. `fleet` has the same readings.

        Raises MiaSegError where the fleet cannot be compared with.
        """

    def tuned(self, fleet: Readings) -> Self:
        """The attack with the settings that do best in rehearsals."""
        del fleet
        return self

    def kinds(self) -> int:
        """2 if a scene is compared with shadows that trained on it and with others; 1 if only with others."""
        return 1

    def least_pairs(self) -> int:
        """The fewest pairs of shadows that a comparison needs."""
        return 1

    def check_shadows(self, shadows: int) -> None:
        """Raise MiaSegError if so many shadows are too few for the attack or its settings; called before training."""
        name, least = type(self).__module__.rpartition(".")[2], 2 * self.least_pairs() + 2
        if shadows < least:
            raise MiaSegError(
                f"Attack '{name}' needs {least} shadows: one pair plays the victim to choose the threshold, and "
                f"{least - 2} are to compare with. There are {shadows}. Set [adversary] models = {least} or more, or "
                f"leave the attack out."
            )
        models: int | None = getattr(self, "models", None)
        fewest, most = self.kinds() * self.least_pairs(), shadows // 2 * self.kinds()
        if models is not None and (models < fewest or models > most or models % self.kinds()):
            raise MiaSegError(
                f"Attack '{name}': models = {models}, and of {shadows} shadows each scene can be compared with "
                f"{fewest} to {most}, in steps of {self.kinds()}. Choose one of these."
            )

    def pairs(self, fleet: Readings) -> int:
        """How many pairs of shadows the attack uses."""
        models: int | None = getattr(self, "models", None)
        return fleet.pairs if models is None else min(fleet.pairs, models // self.kinds())

    def smaller(self, fleet: Readings) -> tuple[Self, ...]:
        """The same attack with the first 1, 2, 4, ... pairs of shadows, fewer than its own; tuned for each number.

        As if asked for with these `models`: tuning uses rehearsals on the whole fleet.
        """
        sizes = [self.kinds() << k for k in range((self.pairs(fleet) - 1).bit_length())]
        return tuple(self.model_copy(update={"models": models}).tuned(fleet) for models in sizes)

    def rehearse(self, fleet: Readings) -> np.ndarray:
        """The scores [M, N] of every shadow in the victim's place."""
        return np.stack([self.judge(fleet.target(m), fleet.apart(m)) for m in range(len(fleet))])

    def fit_fleet(self, fleet: Fleet, seed: int = 0, *, fabric: Fabric | None = None) -> "FleetAttacker":
        """Read the fleet, tune, and choose the threshold over all rehearsals; nothing is drawn."""
        del seed, fabric
        readings = fleet.read(self.reading)
        self._check(readings)
        chosen = self.tuned(readings)
        scores_MN = chosen.rehearse(readings)
        thresholds = Thresholds(best_threshold(scores_MN.ravel(), readings.members_MN.ravel()))
        return FleetAttacker(chosen, readings, thresholds, self.smaller(readings))

    def load(self, folder: Path, fabric: Fabric) -> "FleetAttacker":
        del fabric
        kept = json.loads((folder / ATTACKER).read_text(encoding="utf-8"))
        settings, *smaller = (type(self)(**values) for values in (kept["settings"], *kept["smaller"]))
        return FleetAttacker(settings, load_readings(folder), Thresholds(**kept["thresholds"]), tuple(smaller))

    def _check(self, fleet: Readings) -> None:
        self.check_shadows(len(fleet))
        if self.needs_population and not fleet.population_MZ.shape[1]:
            name = type(self).__module__.rpartition(".")[2]
            raise MiaSegError(
                f"Attack '{name}' compares with scenes that nobody trained on, and there are none. Give [split] a pool."
            )


class SignalAttack(FleetAttack):
    """A fleet attack that reads one signal of each scene's statistics."""

    @abstractmethod
    def signal(self, statistics: Statistics) -> np.ndarray:
        """What is read of each scene: [N], or [N, D] for several values."""

    def reading(self, answers: Answers) -> Signals:
        """The signal of scenes and of the population."""
        return read_signal(answers, self.signal)


@dataclass(frozen=True)
class FleetAttacker(Attacker):
    """A fitted attack: its readings of the fleet, and the same attack with fewer shadows."""

    settings: FleetAttack
    fleet: Readings
    thresholds: Thresholds
    smaller: tuple[FleetAttack, ...]

    def score(self, answers: Answers, seed: int) -> Scores:
        """Score the scenes that the fleet was asked about; `answers` are to the same ones in the same order."""
        del seed
        if list(answers.ids) != list(self.fleet.ids):
            raise MiaSegError(
                f"The fleet answered {len(self.fleet.ids)} scenes and the target {len(answers.ids)} others or in "
                f"another order. Ask both about the same ones."
            )
        target = self.settings.reading(answers)
        if self.settings.needs_population and not len(target.population_Z):
            raise MiaSegError("The target was asked about no population. Ask it about the fleet's pool too.")
        scores_N = self.settings.judge(target, self.fleet)
        return Scores(scores_N, by_shadows=self._by_shadows(target, scores_N))

    def save(self, folder: Path) -> None:
        self.fleet.save(folder)
        settings, *smaller = (attack.model_dump(mode="json") for attack in (self.settings, *self.smaller))
        kept = {"thresholds": asdict(self.thresholds), "settings": settings, "smaller": smaller}
        (folder / ATTACKER).write_text(json.dumps(kept), encoding="utf-8")

    def _by_shadows(self, target: Signals, scores_N: np.ndarray) -> tuple[ShadowCurvePoint, ...]:
        """The scores with each number of shadows, without those that are too few for the attack."""
        kinds, found = self.settings.kinds(), []
        for attack in self.smaller:
            # One shadow has no variance: such an attack's curve begins where it has one.
            with suppress(MiaSegError):
                found.append((attack.pairs(self.fleet), attack.judge(target, self.fleet)))
        found.append((self.settings.pairs(self.fleet), scores_N))
        return tuple(ShadowCurvePoint(2 * pairs, kinds * pairs, image_N) for pairs, image_N in found)
