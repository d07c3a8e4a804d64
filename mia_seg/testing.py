"""Planted leaks: statistics of simulated models with a leak of known strength, and the best attack's AUC."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.special import ndtr

from mia_seg.attacks._readings import Fleet
from mia_seg.query.answers import PARTS, TRIMS, Answers, Statistics

PIXELS = 20_000
JITTER = 0.05  # deviation of the logit of a class or group from the scene's
DAMAGE = 20.0  # what the logit of a scene loses when noise of deviation 1 is added
TAIL = 1.5  # how much larger the loss of the worst pixels is than the mean


@dataclass(frozen=True)
class Leak:
    """The logit of a scene is Gaussian: its difficulty, the model's own noise, and `shift` where it was trained on.

    shift: 0 = no leak. noise, difficulty: standard deviations between models and between scenes.
    """

    shift: float
    noise: float = 1.0
    difficulty: float = 2.0

    @property
    def auc(self) -> float:
        """Of the best attack that knows how hard each scene is: two Gaussians `shift` apart."""
        return float(ndtr(self.shift / (np.sqrt(2) * self.noise)))

    @property
    def auc_without_shadows(self) -> float:
        """Of the best attack that does not: difficulty is noise to it."""
        return float(ndtr(self.shift / np.sqrt(2 * (self.noise**2 + self.difficulty**2))))


@dataclass(frozen=True)
class World:
    """N audited scenes and Z of a population, which any number of simulated models answer; the same under a seed.

    transforms: names of the transforms that models are also asked about.
    """

    leak: Leak
    scenes: int
    population: int = 0
    classes: int = 4
    seed: int = 0
    transforms: tuple[str, ...] = ()

    def answers(self, members_N: np.ndarray, model: int) -> Answers:
        """Answers of a model that trained on some of the scenes, bool [N]; `model` seeds its noise."""
        rng = np.random.default_rng([self.seed, 1, model])
        hard_N = self.leak.difficulty * np.random.default_rng([self.seed, 2]).normal(size=self.scenes + self.population)
        phi_N = hard_N + self.leak.noise * rng.normal(size=len(hard_N))
        phi_N[: self.scenes] += self.leak.shift * members_N
        every = self._statistics(phi_N, rng)
        ids = [f"scene-{i:05d}" for i in range(self.scenes)]
        population = every.take(np.arange(self.scenes, len(hard_N))) if self.population else None
        kept = tuple(range(self.classes))
        shown = every.take(np.arange(self.scenes))
        # The draws of a transform come last: without transforms the world is the same.
        transforms = {
            v: self._statistics(phi_N - DAMAGE * _noise(v), rng).take(np.arange(self.scenes)) for v in self.transforms
        }
        return Answers(
            Path(), ids, [(0, 0)] * len(ids), [0] * len(ids), self.classes, kept, shown, population, transforms
        )

    def fleet(self, models: int) -> Fleet:
        """Shadows in pairs, each pair two halves of the scenes."""
        rng = np.random.default_rng([self.seed, 3])
        halves = np.arange(self.scenes) % 2 == 0
        members_MN = np.concatenate([np.stack([h, ~h]) for h in (rng.permutation(halves) for _ in range(models // 2))])
        return Fleet(tuple(self.answers(members, 1 + m) for m, members in enumerate(members_MN)), members_MN)

    def victim(self) -> tuple[Answers, np.ndarray]:
        """Answers of a further model that trained on half of the scenes, and which half, bool [N]."""
        members_N = np.random.default_rng([self.seed, 4]).permutation(np.arange(self.scenes) % 2 == 0)
        return self.answers(members_N, 0), members_N

    def shadow(self) -> tuple[Answers, np.ndarray]:
        """Another model, likewise."""
        members_N = np.random.default_rng([self.seed, 6]).permutation(np.arange(self.scenes) % 2 == 0)
        return self.answers(members_N, -1 % 2**31), members_N

    def _statistics(self, phi_N: np.ndarray, rng: np.random.Generator) -> Statistics:
        labels = np.random.default_rng([self.seed, 5])  # labels are the scene's, whoever answers
        count = len(phi_N)
        pixels_NK = labels.multinomial(PIXELS, np.ones(self.classes) / self.classes, count)
        cuts = [labels.multinomial(PIXELS, labels.dirichlet(np.full(n, 5.0), count)) for n in (2, 3, 9)]
        pixels_NG, objects_N = np.hstack(cuts), labels.poisson(30, count)
        phi_NK, phi_NG = (phi_N[:, None] + JITTER * rng.normal(size=(count, n)) for n in (self.classes, len(PARTS)))
        hits_NK = np.round(pixels_NK * _probability(phi_NK)).astype(np.int64)
        confusion_NKK = np.zeros((count, self.classes, self.classes), np.int64)
        each = np.arange(self.classes)
        confusion_NKK[:, each, each] = hits_NK
        confusion_NKK[:, each, (each + 1) % self.classes] = pixels_NK - hits_NK
        worst_NT = TAIL * np.tile(_loss(phi_N)[:, None], len(TRIMS))
        return Statistics(
            pixels_NK=pixels_NK,
            confusion_NKK=confusion_NKK,
            loss_NK=pixels_NK * _loss(phi_NK),
            phi_NK=pixels_NK * phi_NK,
            part_pixels_NG=pixels_NG,
            part_loss_NG=pixels_NG * _loss(phi_NG),
            part_phi_NG=pixels_NG * phi_NG,
            part_correct_NG=np.round(pixels_NG * _probability(phi_NG)).astype(np.int64),
            trimmed_loss_NT=worst_NT,
            objects_N=objects_N,
            confidence_N=np.maximum(_probability(phi_N), 0.5),
        )


def _probability(phi: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-phi)))


def _noise(transform: str) -> float:
    """The deviation of a transform's noise; mirrored or shifted, a scene is as hard as before."""
    name, _, value = transform.partition(":")
    return float(value) if name == "noise" else 0.0


def _loss(phi: np.ndarray) -> np.ndarray:
    """-log of the probability whose logit is phi."""
    return np.logaddexp(0, -phi)
