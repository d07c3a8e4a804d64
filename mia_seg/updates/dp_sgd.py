"""DP-SGD: clipped gradients of single scenes, noise, and batches by a coin a scene (Abadi et al., CCS 2016)."""

import math
from collections.abc import Iterator
from typing import ClassVar, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mia_seg.errors import MiaSegError
from mia_seg.objectives import Batch, Goal, Judged
from mia_seg.segmenters import Network
from mia_seg.store import seed_of
from mia_seg.updates import Spent, Step, Training, Update
from mia_seg.updates import _accounting as accounting
from mia_seg.updates._together import seen_of, watched
from mia_seg.values import Factor, Finite, Whole

TOGETHER = 8  # images of one pass, so that the memory does not grow with the batch
# Of steps that draw no scene at all; e^-5 of them do at a batch of five.
EMPTY = 0.01
# Below it nothing is hidden, and the accountant's numbers become too large for it.
LEAST_NOISE, MOST_NOISE = 1e-6, 1e4


class Sums(dict[nn.Parameter, Tensor]):
    """A sum of gradients for each parameter that has any."""

    def add(self, parameter: nn.Parameter, gradient: Tensor) -> None:
        """Add a gradient, which may become the sum itself."""
        self[parameter] = self[parameter].add_(gradient) if parameter in self else gradient


class DPSGD(Update):
    """Each scene moves a step by at most `clip`; noise hides whether it was there.

    A step is (sum over drawn scenes of g_i min(1, clip / |g_i|) + N(0, (noise clip)^2)) / batch, where every scene is
    drawn with chance batch / scenes (Poisson), and g_i is the gradient of the scene's own mean loss over its `views`
    crops (De et al., 2022, arXiv 2204.13650, section 3.2). Little noise proves nothing, which epsilon says. The noise
    is drawn from the seed: who knows the seed can remove it.
    """

    VERSION: ClassVar[int] = 2

    noise: Finite | None = Field(
        default=None,
        ge=0,
        le=MOST_NOISE,
        description="standard deviation of the noise, in multiples of clip; 0, or 1e-6 or more",
    )
    epsilon: Factor | None = Field(
        default=None, description="instead of noise: the privacy budget of the whole training"
    )
    delta: Finite | None = Field(
        default=None, gt=0, lt=1, description="delta of the privacy guarantee; default: 1 / (10 x number of scenes)"
    )
    clip: Factor = Field(default=1.0, description="largest norm of a scene's gradient")
    views: Whole = Field(default=1, ge=1, le=64, description="crops of a scene that share its gradient")

    @model_validator(mode="after")
    def _one_amount(self) -> Self:
        if (self.noise is None) == (self.epsilon is None):
            raise ValueError("give noise or epsilon, one of the two")
        if self.noise is not None and 0 < self.noise < LEAST_NOISE:
            raise ValueError(f"noise = {self.noise:g} hides nothing: give {LEAST_NOISE:g} or more, or 0 for none")
        return self

    def check(self, goal: Goal, training: Training) -> None:
        title = training.title
        _check_goal(goal, training)
        for wrong, says in (
            (training.drawn, "synthetic features are drawn from what members look like. Leave out [synthetic]"),
            (training.repeated, "a duplicated scene counts twice, epsilon is of one. Choose another [split] canary"),
            (training.devices > 1, "scenes are drawn on one device. Train with --devices 1"),
            (training.accumulate > 1, "scenes are taken one by one already. Leave out [train] accumulate"),
            (training.precision == "16-mixed", "16-mixed scales losses, and clipping would see it. Use bf16-mixed"),
        ):
            if wrong:
                raise MiaSegError(f"{title}: [update] dp_sgd: {says}.")
        if math.exp(-training.batch) > EMPTY:
            raise MiaSegError(
                f"{title}: [update] dp_sgd draws each scene by a coin, and at [train] batch = {training.batch} one "
                f"step in {math.exp(training.batch):.0f} draws none. Use a batch of 5 or more."
            )
        if self._delta(training) > 1 / training.scenes:
            raise MiaSegError(
                f"{title}: [update] delta = {self.delta} is above 1 / {training.scenes}, at which releasing a whole "
                f"scene would be private. Lower it."
            )
        self.spent(training)  # an epsilon that cannot be reached, and a missing Opacus, are told before training

    def lists(self, training: Training, key: tuple[int, int, str]) -> Iterator[list[int]]:
        rate, step = training.batch / training.scenes, 0
        while True:
            seed, epoch, what = key
            stream = torch.Generator().manual_seed(seed_of(seed, epoch, f"{what}, coins, step {step}"))
            coins = torch.rand(training.scenes, generator=stream)
            drawn = torch.nonzero(coins < rate)[:, 0].tolist()
            # A further view of a scene is a number beyond all scenes.
            yield [scene + view * training.scenes for scene in drawn for view in range(self.views)]
            step += 1

    def gradients(self, step: Step) -> list[Judged]:
        (part,) = step.parts
        sums = Sums()
        rows = _rows(part.scene_N % step.training.scenes)
        found = list[Judged]()
        scenes = max(1, TOGETHER // self.views)
        for k in range(0, len(rows), scenes):
            some = rows[k : k + scenes]
            found += self._together(step, part.only(torch.cat(some)), sums) or [
                self._alone(step, part.only(of_scene), sums) for of_scene in some
            ]
        deviation = self.amount(step.training) * self.clip
        for parameter, noise in zip(step.parameters, _noises(step), strict=True):
            total = sums[parameter] if parameter in sums else torch.zeros_like(parameter)
            parameter.grad = total.add_(noise, alpha=deviation).div_(step.training.batch)
        if not found:  # no coin fell: a step of noise alone, which hides that
            return [
                Judged(part.image_N3HW.new_zeros(()), part.image_N3HW.new_zeros((0, 1, *part.image_N3HW.shape[2:])))
            ]
        places = torch.cat(rows).argsort()
        logits = torch.cat([judged.logits_NKHW for judged in found])[places]
        loss = torch.stack([judged.loss * len(judged.logits_NKHW) for judged in found]).sum() / len(logits)
        return [Judged(loss, logits)]

    def _together(self, step: Step, part: Batch, sums: Sums) -> list[Judged]:
        """Add the clipped gradients of several scenes; [] if a layer leaves no way to tell them apart."""
        seen = seen_of(step.run, step.parameters, self.views)
        if seen is None:
            return []
        with watched(seen):
            found: Judged = step.run(step.stage.name, part)
            if any(one.calls != [len(part.labels_NHW)] for one in seen):
                return []
            step.fabric.backward(found.loss)
        # That loss is a weighted mean over all images; a scene's own is over its views.
        count_S = step.run.counts(part.labels_NHW).view(-1, self.views).sum(1)
        norm_S = torch.stack([one.squared_S().expand(len(count_S)) for one in seen]).sum(0).sqrt()
        times_S = (count_S.sum() / count_S.clamp(min=1)).to(norm_S)
        times_S *= self._factor(norm_S * times_S)
        for one in seen:
            for parameter, gradient in zip(one.layer.parameters(), one.summed(times_S), strict=True):
                sums.add(parameter, gradient)
        return [Judged(found.loss.detach(), found.logits_NKHW.detach())]

    def _alone(self, step: Step, part: Batch, sums: Sums) -> Judged:
        """Add the clipped gradient of one scene, for any layers."""
        for parameter in step.parameters:
            parameter.grad = None
        found: Judged = step.run(step.stage.name, part)
        step.fabric.backward(found.loss)
        gradients = {p: p.grad for p in step.parameters if p.grad is not None}
        factor = self._factor(torch.nn.utils.get_total_norm(gradients.values()))
        for parameter, gradient in gradients.items():
            sums.add(parameter, gradient.mul_(factor))
        return Judged(found.loss.detach(), found.logits_NKHW.detach())

    def _factor(self, norm: Tensor) -> Tensor:
        # A norm that is not finite is left for the check of the weights to find, not hidden as a zero.
        return (self.clip / norm.clamp(min=1e-12)).clamp(max=1.0)

    def amount(self, training: Training) -> float:
        """The deviation of the noise, in clips. Raises MiaSegError for an epsilon that no noise reaches."""
        if self.noise is not None:
            return self.noise
        assert self.epsilon is not None
        return accounting.noise_for(self.epsilon, self._delta(training), training)

    def spent(self, training: Training) -> Spent:
        noise, delta = self.amount(training), self._delta(training)
        epsilon = accounting.epsilon_of(noise, delta, training)
        return Spent(None if math.isinf(epsilon) else epsilon, delta, accounting.NAME, noise, self.clip)

    def _delta(self, training: Training) -> float:
        return 0.1 / training.scenes if self.delta is None else self.delta


def _check_goal(goal: Goal, training: Training) -> None:
    """What mixes scenes, or learns of them elsewhere, has no gradient of a single scene."""
    title, layers = training.title, [m for m in goal.network.modules() if isinstance(m, _BatchNorm)]
    if layers and not training.frozen:
        raise MiaSegError(
            f"{title}: [update] dp_sgd needs a network that looks at one scene at a time, and a "
            f"{type(layers[0]).__name__} mixes those of a batch. Set norm = 'group' in [segmenter]."
        )
    if goal.settings or not goal.scene_wise:
        raise MiaSegError(
            f"{title}: [update] dp_sgd bounds what one scene does to the segmenter, and [objective] "
            f"{training.objective} lets scenes act on each other, on helper networks or by way of teachers. Leave "
            f"[objective] out."
        )
    if type(goal.network).fit is not Network.fit:
        raise MiaSegError(
            f"{title}: [update] dp_sgd: this [segmenter] learns of members' labels before its first step, which no "
            f"noise hides. Choose another."
        )


def _rows(scene_N: Tensor) -> list[Tensor]:
    """The places of each scene's crops, scenes in the order of their numbers."""
    return [torch.nonzero(scene_N == scene)[:, 0] for scene in torch.unique(scene_N)]


def _noises(step: Step) -> Iterator[Tensor]:
    """Standard normal numbers for each parameter, on its device, from the step's own stream; each replaces the last."""
    seed, epoch, what = step.key
    streams: dict[torch.device, tuple[torch.Generator, Tensor]] = {}
    most = max(parameter.numel() for parameter in step.parameters)
    for parameter in step.parameters:
        device = parameter.device
        if device not in streams:
            stream = torch.Generator(device).manual_seed(seed_of(seed, epoch, f"noise, {what}"))
            streams[device] = stream, parameter.new_empty(most)
        stream, room = streams[device]
        yield room[: parameter.numel()].normal_(generator=stream).view(parameter.shape)
