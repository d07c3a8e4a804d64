"""What DP-SGD spends, by Opacus: Renyi divergences of the subsampled Gaussian (Mironov et al., arXiv 1908.10530)."""

import warnings
from functools import cache
from importlib import import_module
from math import inf
from typing import Any

from mia_seg.errors import AbsentPackage, MiaSegError
from mia_seg.updates import Training

NAME = "RDP (Opacus)"
ORDERS = [1 + k / 10 for k in range(1, 100)] + list(range(11, 256))
MOST_NOISE = 1e4
DIGITS = 1e-3  # to which noise is searched for


def epsilon_of(noise: float, delta: float, training: Training) -> float:
    """Epsilon at delta of the whole training, for adding or removing one scene; infinite without noise."""
    if noise == 0:
        return inf
    rdp = _opacus(training.title)
    return _epsilon(noise, delta, training.batch / training.scenes, steps=training.steps, rdp=rdp)


def noise_for(epsilon: float, delta: float, training: Training) -> float:
    """The least noise, to three digits, whose training spends at most epsilon. Raises MiaSegError where none does."""
    low, high = 0.0, 1.0
    while epsilon_of(high, delta, training) > epsilon:
        low, high = high, 2 * high
        if high > MOST_NOISE:
            raise MiaSegError(
                f"{training.title}: no noise lets {training.steps} steps spend epsilon = {epsilon:g} at delta = "
                f"{delta:.3g}. Raise epsilon or delta, or take fewer steps."
            )
    while high - low > DIGITS * high:
        middle = (low + high) / 2
        low, high = (middle, high) if epsilon_of(middle, delta, training) > epsilon else (low, middle)
    return high


@cache
def _epsilon(noise: float, delta: float, rate: float, *, steps: int, rdp: Any) -> float:
    spent = rdp.compute_rdp(q=rate, noise_multiplier=noise, steps=steps, orders=ORDERS)
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", UserWarning
        )  # that the best order is the last one: then epsilon is an upper bound
        return float(rdp.get_privacy_spent(orders=ORDERS, rdp=spent, delta=delta)[0])


def _opacus(title: str) -> Any:
    try:
        return import_module("opacus.accountants.analysis.rdp")
    except ImportError:
        raise AbsentPackage(
            f"{title}: [update] dp_sgd counts with Opacus what it spends, and that is missing. Install it: pip install "
            f"'mia-seg[dp]'."
        ) from None
