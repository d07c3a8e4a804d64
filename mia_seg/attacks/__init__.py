"""Attacks: answers in, scores out; higher = more likely a member. One attack is one file.

The signature is the threat model: an attack sees answers and, to fit, the membership of the shadow's
scenes. Never a network, an image, a loader or the victim's membership.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
from lightning_fabric import Fabric

from mia_seg.attacks._readings import Fleet
from mia_seg.metrics.intervals import Integers
from mia_seg.plugins import Component
from mia_seg.query.answers import Answers

ATTACKER = "attacker.json"


@dataclass(frozen=True)
class ShadowCurvePoint:
    """The attack's scores when only `trained` shadows are used, one a scene. A scene is compared with some of them."""

    trained: int
    compared: int
    image_N: np.ndarray

    def take(self, rows: Integers) -> "ShadowCurvePoint":
        """Those of some scenes."""
        return replace(self, image_N=self.image_N[rows])


@dataclass(frozen=True)
class Scores:
    """Scores of N scenes; higher = more likely a member.

    image_N: one a scene. patch_NP: one a patch; None for attacks on whole scenes.
    by_shadows: for attacks that compare with many shadows, the scores with fewer of them; the last are image_N itself.
    parts: (cut, part) -> one score a scene [N], from the pixels of that part alone, NaN where a scene has none. Empty
    for attacks that do not look at parts. The cut "class" has stored class numbers as parts, others have the names in
    `answers.CUTS`.
    threshold_N: a threshold for each scene, if scenes do not share one.
    """

    image_N: np.ndarray
    patch_NP: np.ndarray | None = None
    by_shadows: tuple[ShadowCurvePoint, ...] = ()
    parts: dict[tuple[str, int | str], np.ndarray] = field(default_factory=dict)
    threshold_N: np.ndarray | None = None

    def take(self, rows: Integers) -> "Scores":
        """The scores of some scenes."""
        patch_NP, threshold_N = (None if of is None else of[rows] for of in (self.patch_NP, self.threshold_N))
        fewer = tuple(size.take(rows) for size in self.by_shadows)
        parts = {part: scores_N[rows] for part, scores_N in self.parts.items()}
        return Scores(self.image_N[rows], patch_NP, fewer, parts, threshold_N)


@dataclass(frozen=True)
class Thresholds:
    """Scores from which on the attacker says "member", chosen on its own shadow."""

    image: float
    patch: float | None = None


@dataclass(frozen=True)
class Membership:
    """Membership of N scenes, and the group of each: of its shadow's scenes, the attacker knows both."""

    members_N: np.ndarray
    groups_N: np.ndarray


class Attacker(ABC):
    """A fitted attack. settings: the attack's settings, with the tuned values filled in."""

    settings: "Attack"
    thresholds: Thresholds

    @abstractmethod
    def score(self, answers: Answers, seed: int) -> Scores:
        """Score every scene of `answers`; random patches come from `seed`."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write what `Attack.load` reads."""


class Attack(Component):
    """Settings of an attack. The first field is the one that `name:value` sets on the command line.

    needs_fleet: it is fitted on many shadows (`fit_fleet`), not on one (`fit`). needs_population: it compares with
    answers to scenes that no model of the audit trained on. needs_difficulty: it compares with how hard the labels are
    to predict from the images (`mia_seg.query.difficulty`). needs_posterior: it reads more than predicted labels.
    needs_labels: it compares predictions with labels. against_own: answers to transformed scenes are compared with the
    model's own prediction for the scene, not with labels.
    """

    needs_fleet: ClassVar[bool] = False
    needs_population: ClassVar[bool] = False
    needs_difficulty: ClassVar[bool] = False
    needs_posterior: ClassVar[bool] = True
    needs_labels: ClassVar[bool] = True
    against_own: ClassVar[bool] = False

    @property
    def transforms(self) -> tuple[str, ...]:
        """The transforms of each scene that it also asks about (`mia_seg.query.transforms`)."""
        return ()

    def least_population(self, classes: int) -> int:
        """The fewest scenes of the population that it can compare with, if labels have so many classes."""
        return int(self.needs_population)

    def fit(self, answers: Answers, known: Membership, seed: int, *, fabric: Fabric) -> Attacker:
        """Learn from the shadow's answers whose membership is known."""
        raise NotImplementedError

    def fit_fleet(self, fleet: Fleet, seed: int, *, fabric: Fabric) -> Attacker:
        """Learn from the answers of many shadows, each trained on another half of the audited scenes."""
        raise NotImplementedError

    def load(self, folder: Path, fabric: Fabric) -> Attacker:
        """The attacker that `save` wrote."""
        raise NotImplementedError
