"""Attacks that compare a scene with scenes that the model never saw; a shadow serves to choose the threshold alone."""

from abc import abstractmethod
from typing import ClassVar

import numpy as np

from mia_seg.attacks._readings import Signals, read_signal
from mia_seg.attacks._threshold import StatisticAttack
from mia_seg.errors import MiaSegError
from mia_seg.query.answers import Answers, Statistics


class PopulationAttack(StatisticAttack):
    """A subclass defines `read`, what it reads of a scene, and `judge`, how it compares."""

    needs_population: ClassVar[bool] = True

    @abstractmethod
    def read(self, statistics: Statistics) -> np.ndarray:
        """What is read of each scene: [N, D]."""

    @abstractmethod
    def judge(self, target: Signals) -> np.ndarray:
        """One score a scene [N], finite; higher = more likely a member."""

    def signal(self, answers: Answers) -> np.ndarray:
        target = read_signal(answers, self.read)
        if not len(target.population_Z):
            name = type(self).__module__.rpartition(".")[2]
            raise MiaSegError(
                f"Attack '{name}' compares with scenes that nobody trained on, and there are none. Give [split] a pool."
            )
        return self.judge(target)
