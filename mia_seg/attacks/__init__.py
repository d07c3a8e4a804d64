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
    """One score a scene of an attack for which so many shadows are trained; a scene is compared with some of them."""

    trained: int
    compared: int
    image_N: np.ndarray

    def take(self, rows: Integers) -> "ShadowCurvePoint":
        """Those of some scenes."""
        return replace(self, image_N=self.image_N[rows])


@dataclass(frozen=True)
class Scores:
    """image_N: one score a scene. patch_NP: one a patch, or None for an attack that looks at whole scenes only.

    by_shadows: of an attack that compares with shadows, the scores with fewer of them; the last are image_N itself.
    parts: by cut and part, one score a scene [N] from the pixels of that part alone, NaN where the scene has none;
    empty for an attack that does not look at parts. A part is a class, by its stored number under the cut "class", or
    a name in `answers.CUTS`. threshold_N: where each scene is judged at a threshold of its own [N].
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
    """What the attacker knows of its shadow's scenes: membership, and which scenes are pieces of one group."""

    members_N: np.ndarray
    groups_N: np.ndarray


class Attacker(ABC):
    """A fitted attack. `settings`: the attack as it is used; what was left to tuning is settled there."""

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

    needs_fleet: it is fitted on many shadows (`fit_fleet`) and not on one (`fit`). needs_population: it compares with
    answers to scenes that no model of the audit trained on. needs_difficulty: it compares with how hard the labels are
    to predict from the images (`mia_seg.query.difficulty`). needs_posterior: it reads more than predicted labels.
    needs_labels: it reads how well the labels of the scenes are predicted. against_own: its transforms are compared
    with what the model predicts for the scene as it is, and not with labels.
    """

    needs_fleet: ClassVar[bool] = False
    needs_population: ClassVar[bool] = False
    needs_difficulty: ClassVar[bool] = False
    needs_posterior: ClassVar[bool] = True
    needs_labels: ClassVar[bool] = True
    against_own: ClassVar[bool] = False

    @property
    def transforms(self) -> tuple[str, ...]:
        """What it asks about each scene beside the scene as it is (`mia_seg.query.transforms`)."""
        return ()

    def fit(self, answers: Answers, known: Membership, seed: int, *, fabric: Fabric) -> Attacker:
        """Learn from the shadow's answers whose membership is known."""
        raise NotImplementedError

    def fit_fleet(self, fleet: Fleet, seed: int, *, fabric: Fabric) -> Attacker:
        """Learn from the answers of many shadows, each trained on another half of the audited scenes."""
        raise NotImplementedError

    def load(self, folder: Path, fabric: Fabric) -> Attacker:
        """The attacker that `save` wrote."""
        raise NotImplementedError
