"""LiRA: is the logit like that of shadows that saw the scene, or of those that did not (Carlini et al., S&P 2022)?

Needs labels and posteriors, one query a scene, and many shadows (some sixteen; 64 for a variance of each scene). Online
compares with both kinds. Offline looks at shadows that never saw the scene: `offline_cdf` is the paper's one-sided
test, `offline_pdf` the density that its code computes, which takes surprise of either sign for membership. Pixels of
an image depend on each other, so Gaussians are fitted to the image's mean logit, never to pixels. Source: also
tensorflow/privacy, research/mi_lira_2021 (its fixed variance takes the deviation of IN for OUT; here not).
"""

from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator
from scipy.linalg import cholesky, solve_triangular
from scipy.special import log_ndtr
from sklearn.covariance import ledoit_wolf

from mia_seg.attacks._fleet import ShadowCount, SignalAttack
from mia_seg.attacks._readings import Readings, Signals
from mia_seg.attacks._signals import phi_vector
from mia_seg.errors import MiaSegError
from mia_seg.query.answers import Statistics

ENOUGH = 64
LEAST_LOSS = 1e-6
ROUNDING = 1e-12  # equal numbers may differ in their last bits from their mean


class LiRA(SignalAttack):
    """The likelihood-ratio attack."""

    mode: Literal["online", "offline_cdf", "offline_pdf"] = "online"
    statistic: Literal["phi", "geometric", "vector"] = Field(
        default="phi",
        description="phi: mean logit over labelled pixels; geometric: logit of exp(-mean loss); vector: mean logits by "
        "class, in the boundary band and in the interior, with one shrunk covariance for all scenes",
    )
    variance: Literal["auto", "fixed", "scene"] = Field(
        default="auto", description="one for all scenes, or each scene's own; auto: fixed below 64 shadows a scene"
    )
    models: ShadowCount = None

    @model_validator(mode="after")
    def _one_sided_for_one_number(self) -> Self:
        if self.statistic == "vector" and self.mode == "offline_cdf":
            raise ValueError(
                "mode = 'offline_cdf' needs a statistic of one number, and statistic = 'vector' has more; take "
                "'offline_pdf'"
            )
        return self

    def kinds(self) -> int:
        return 2 if self.mode == "online" else 1

    def least_pairs(self) -> int:
        # Of one shadow alone neither a scene's own variance can be told nor a covariance.
        return 2 if self.variance == "scene" or self.statistic == "vector" else 1

    def signal(self, statistics: Statistics) -> np.ndarray:
        if self.statistic == "vector":
            return phi_vector(statistics)
        if self.statistic == "phi":
            return statistics.mean_phi()
        loss_N = statistics.mean_loss().clip(LEAST_LOSS)
        return np.asarray(-loss_N - np.log(-np.expm1(-loss_N)))

    def tuned(self, fleet: Readings) -> Self:
        """Settle variance = 'auto' by the size of the whole fleet: rehearsals and the victim are then judged alike."""
        enough = 2 * self.pairs(fleet) >= ENOUGH
        variance = ("scene" if enough else "fixed") if self.variance == "auto" else self.variance
        return self.model_copy(update={"variance": variance})

    def judge(self, target: Signals, fleet: Readings) -> np.ndarray:
        density = self._vector if self.statistic == "vector" else self._scalar
        pairs = self.pairs(fleet)
        outside = fleet.outside(pairs)
        if self.mode == "offline_cdf":
            return np.asarray(log_ndtr(self._standard(target.scenes_N, outside, "left out", fleet=fleet)[0]))
        out_N = density(target.scenes_N, outside, "left out", fleet=fleet)
        if self.mode == "offline_pdf":
            return -out_N
        return density(target.scenes_N, fleet.inside(pairs), "trained on", fleet=fleet) - out_N

    def _scalar(self, scenes_N: np.ndarray, shadows_RN: np.ndarray, did: str, *, fleet: Readings) -> np.ndarray:
        z_N, deviation = self._standard(scenes_N, shadows_RN, did, fleet=fleet)
        return np.asarray(-0.5 * z_N**2 - np.log(deviation) - 0.5 * np.log(2 * np.pi))

    def _standard(
        self, scenes_N: np.ndarray, shadows_RN: np.ndarray, did: str, *, fleet: Readings
    ) -> tuple[np.ndarray, np.ndarray]:
        """Deviations from the shadows' median, and their unit."""
        deviation = np.asarray(shadows_RN.std(0) if self.variance == "scene" else shadows_RN.std())
        if (flat := deviation <= ROUNDING * np.abs(shadows_RN).max()).any():
            raise MiaSegError(_no_spread(shadows_RN, flat, did, fleet=fleet))
        return (scenes_N - np.median(shadows_RN, 0)) / deviation, deviation

    def _vector(self, scenes_ND: np.ndarray, shadows_RND: np.ndarray, did: str, *, fleet: Readings) -> np.ndarray:
        """Log-density up to a constant, with the covariance of what is left when each scene's mean is taken off."""
        count, mean_ND = len(shadows_RND), shadows_RND.mean(0)
        rest = (shadows_RND - mean_ND).reshape(-1, mean_ND.shape[1])
        if count < 2 or np.abs(rest).max() <= ROUNDING * np.abs(shadows_RND).max():
            raise MiaSegError(_no_spread(shadows_RND, np.ones(1, bool), did, fleet=fleet))
        factor = cholesky(ledoit_wolf(rest, assume_centered=True)[0] * count / (count - 1), lower=True)
        z_DN = solve_triangular(factor, (scenes_ND - mean_ND).T, lower=True)
        return np.asarray(-0.5 * (z_DN**2).sum(0) - np.log(np.diagonal(factor)).sum())


def _no_spread(shadows_RN: np.ndarray, flat: np.ndarray, did: str, *, fleet: Readings) -> str:
    whose = f"scene '{fleet.ids[int(np.argmax(flat))]}'" if flat.size > 1 else "a scene"
    return (
        f"Attack 'lira' has no variance: the {len(shadows_RN)} shadows that {did} {whose} all answer it alike. "
        f"Give more models, or variance = 'fixed' and a statistic of one number. If that does not help, all shadows "
        f"answer alike and the attack cannot work."
    )
