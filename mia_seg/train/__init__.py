"""One training loop for victims and shadows, on Lightning Fabric; nothing here knows which one it trains."""

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor

from mia_seg.data import Scenes
from mia_seg.errors import MiaSegError, Stopped
from mia_seg.metrics.segmentation import utility
from mia_seg.objectives import NETWORK, Batch, Judged, Stage
from mia_seg.progress import Bar
from mia_seg.recipes import Recipe
from mia_seg.segmenters import Drawn, Network
from mia_seg.segmenters._layout import layout
from mia_seg.store import reading, seed_of
from mia_seg.train import _made
from mia_seg.train._company import Company
from mia_seg.train._crops import Crops, crop
from mia_seg.train._finite import Place, all_finite, check_loss, check_scale
from mia_seg.train._joint import normalise_jointly
from mia_seg.train._loading import Part, load_crops, nothing, reading_scenes
from mia_seg.train._log import confused, memory, note
from mia_seg.train._made import check_objective, check_update, update_of
from mia_seg.train._optimizers import (
    Optimizers,
    keep_statistics,
    modules_of,
    optimizers_of,
    poly,
    set_rate,
    train_alone,
)
from mia_seg.train._order import Plan, Shares, check_shared, start_noise
from mia_seg.train._source import Source
from mia_seg.train._state import (
    LOG,
    STATE,
    WEIGHTS,
    Done,
    read_log,
    restore,
    resume_noise,
    save_state,
    stop_asked,
    take_weights,
    write_log,
    write_weights,
)
from mia_seg.updates import Step
from mia_seg.updates import Training as Terms

__all__ = [
    "LOG", "STATE", "WEIGHTS", "Company", "Crops", "Part", "Source", "Training", "check_objective", "check_shared",
    "check_update", "crop", "keep_statistics", "load_network", "optimizers_of", "poly", "read_log", "set_rate", "train",
    "update_of",
]  # fmt: skip

VERSION = 1
SAVE_EVERY = 60.0
MINE_EVERY = 10  # steps


def train(
    recipe: Recipe,
    scenes: Scenes,
    *,
    seed: int,
    folder: Path,
    fabric: Fabric,
    title: str,
    scratch: Path | None = None,
    workers: int = 0,
    start: Path | None = None,
    company: Company | None = None,
) -> None:
    """Train the recipe's segmenter on `scenes`; write weights and `log.csv` into `folder`.

    scratch: folder of the state to resume from; None: `folder`. workers: reading processes. start: weights to begin
    with. company: the objective's inputs besides the scenes. Resumes from the last saved step; on the CPU a resumed run
    ends with the same bits as an uninterrupted one. Raises MiaSegError if the scenes do not fill a batch, or if devices
    cannot share one; Stopped, with the state saved, if a scheduler asks to stop. Of several processes the first writes.
    """
    place = scratch or folder
    training = Training(
        recipe, scenes, seed=seed, folder=place, fabric=fabric, workers=workers, title=title, company=company
    )
    training.plan.check(title)
    training.prepare(start)
    plan, done = training.plan, training.done
    with stop_asked() as asked, Bar(title, plan.epochs, done.epochs) as bar:
        while done.epochs < plan.epochs:
            row = training.epoch(asked)
            if fabric.is_global_zero:
                bar.step(note(row))
    training.check_answer()
    if fabric.is_global_zero:
        write_log(folder, done.rows)
        write_weights(folder, training.network, recipe, seed=seed)
        (place / STATE).unlink(missing_ok=True)


def load_network(recipe: Recipe, classes: int, path: Path) -> Network:
    """The trained network in evaluation mode. Raises MiaSegError for weights of another architecture."""
    # The file holds every weight: those that the training started from need not be at hand.
    network = _made.build({key: value for key, value in recipe.segmenter.items() if key != "pretrained"}, classes)
    take_weights(
        network, path, f"{path} holds another architecture than the recipe's [segmenter]",
        fix="Delete its folder and train again, or correct the recipe.",
    )  # fmt: skip
    return network.to(memory_format=layout()).eval()


class Training:
    """One training: its network, data and optimisers, and how far it is."""

    def __init__(
        self, recipe: Recipe, scenes: Scenes, *, seed: int, folder: Path, fabric: Fabric, workers: int, title: str,
        company: Company | None = None,
    ) -> None:  # fmt: skip
        self.company = company or Company()
        self.recipe, self.settings, self.seed, self.title = recipe, recipe.train, seed, title
        self.folder, self.fabric, self.saved = folder, fabric, time.monotonic()
        self.plan = Plan(len(scenes), recipe.train, fabric.global_rank, fabric.world_size)
        self.classes = len(scenes.dataset.classes())
        self.done = Done(self.classes)
        self.last: Tensor | None = None  # images of the step that was done last
        self.update, self.terms = update_of(recipe), self._terms()
        self.crops = Crops(scenes, recipe.train, seed)
        self.shares = Shares(self.plan, seed, partial(self.update.lists, self.terms))
        self.loader = load_crops(self.crops, self.shares, workers=workers, pinned=fabric.device.type == "cuda")

    def _terms(self) -> Terms:
        settings, plan = self.settings, self.plan
        return Terms(
            self.title, plan.scenes, settings.batch, plan.steps, settings.accumulate, plan.world,
            drawn=self.company.source is not None, frozen=settings.trains == "head", precision=settings.precision,
            objective=self.recipe.objective["name"],
        )  # fmt: skip

    def prepare(self, start: Path | None) -> None:
        """Draw or load the weights, restore the saved state if there is one, and move all to the device."""
        self.network = _made.fresh_network(self.recipe, self.classes, self.seed)
        if start is not None:
            take_weights(
                self.network, start, f"{self.title}: the weights of [train] start = '{self.settings.start}' do not fit",
                fix="Name a victim of the same [segmenter] and classes.",
            )  # fmt: skip
        else:
            self._fit()
        self.goal = _made.goal_of(self.recipe, self.network, self.classes, ids=self.crops.scenes.ids)
        self.goal.meet(self.company.on(self.fabric))
        self.update.check(self.goal, self.terms)
        optimizers = optimizers_of(self.goal, self.settings)
        with reading(self.folder):
            restore(self.folder, self.goal, optimizers, done=self.done, fabric=self.fabric)
        self.done.confusion_KK = self.done.confusion_KK.to(self.fabric.device)
        self._place_all(optimizers)

    def _fit(self) -> None:
        """What the network learns of label maps before its first step, of one crop of each scene."""
        if not (self.folder / STATE).is_file():
            self.network.fit(self.crops[i] for i in range(len(self.crops)))

    def _place_all(self, optimizers: Optimizers) -> None:
        """Network, helpers and optimizers on the device, under Fabric's strategy."""
        self.stages, self.modules = self.goal.stages, modules_of(self.goal)
        goal = normalise_jointly(self.goal, self.fabric)
        self.run, *wrapped = self.fabric.setup(goal, *optimizers.values())
        self.optimizers: Optimizers = dict(zip(optimizers, wrapped, strict=True))

    def epoch(self, asked: list[str]) -> dict[str, Any]:
        """Train the rest of the running epoch; returns its row of the log. asked: signals that ask to stop."""
        done, epoch = self.done, self.done.epochs
        self.crops.epoch, self.shares.epoch, self.shares.first = epoch, epoch, done.steps
        start_noise(self.seed, epoch)
        resume_noise(done, self.fabric)
        self.run.train()
        if self.settings.trains == "head":
            keep_statistics(self.network)
        before, started = done.seconds, time.monotonic()
        with reading_scenes(self.loader, self.title) as batches:
            while done.steps < self.plan.steps_of(epoch):
                stop = self.step(self._parts(batches), bool(asked))
                done.seconds = before + time.monotonic() - started
                self._save(stop, asked)
        self._check_weights()
        row = self._row()
        done.next_epoch(row)
        if self.fabric.is_global_zero:
            write_log(self.folder, done.rows)
        self._save(False, asked)
        return row

    def _parts(self, batches: Iterator[Any]) -> list[Batch]:
        """What a step takes. Raises MiaSegError in all processes where one of them cannot read a scene."""
        parts = [next(batches) for _ in range(self.settings.accumulate)]
        faults = [part for part in parts if isinstance(part, MiaSegError)]
        # One that left alone would let the others wait for it.
        if self.plan.world > 1 and self._sum(torch.tensor(float(len(faults)), device=self.fabric.device)).item():
            faults.append(
                MiaSegError(f"{self.title}: another process cannot read a scene. Its own error names the file.")
            )
        if faults:
            raise faults[0]
        placed = [
            _made.placed(self.fabric.to_device(nothing(self.settings.crop) if part is None else part)) for part in parts
        ]
        if len(placed[-1][0]):
            self.last = placed[-1][0]
        return [self._batch(k, part) for k, part in enumerate(placed)]

    def _batch(self, k: int, part: Part) -> Batch:
        """One part of a step, with the synthetic features that join it."""
        epoch, drawn = self.done.epochs, self._drawn(k, len(part[0]))
        batch = Batch(*part, drawn=drawn, epoch=epoch, step=epoch * self.plan.an_epoch + self.done.steps)
        key = (self.seed, epoch, f"reference, rank {self.plan.rank}, step {self.done.steps}, part {k}")
        if (others := self.company.drawn(self.settings, len(part[0]), key)) is not None:
            batch.reference = Batch(*_made.placed(self.fabric.to_device(others)), epoch=epoch, step=batch.step)
        return batch

    def step(self, parts: list[Batch], asked: bool) -> bool:
        """One step on the joint batch, stage by stage; whether any process was asked to stop.

        A part's loss is a mean over its images by the goal's `counts`, and devices' gradients are averaged. Weighting
        each part by its share of all counts, times the number of devices, gives the gradient of the mean over all.
        """
        self._start_step()
        held = [self.goal.counts(part.labels_NHW).sum() for part in parts]
        total, stop = self._sum(torch.stack([torch.stack(held).sum(), torch.tensor(asked, device=held[0].device)]))
        shares = [count * self.plan.world / total.clamp(min=1) for count in held]
        told, counts = dict[str, Tensor](), torch.zeros_like(self.done.confusion_KK)
        for stage in self.stages:
            judged = self._update(stage, parts, shares)
            told |= self._told(stage, judged)
            if stage is self._answering:
                for found, part in zip(judged, parts, strict=True):
                    counts += confused(found.logits_NKHW, part.labels_NHW)
        self.done.steps += 1
        self._add(told)
        self.done.confusion_KK += self._sum(counts)
        return bool(stop)

    def _update(self, stage: Stage, parts: list[Batch], shares: list[Tensor]) -> list[Judged]:
        """One update of what a stage trains; what it made of each part, its loss weighted by the part's share."""
        if len(self.stages) > 1:
            train_alone(stage, self.modules)
        optimizers = [self.optimizers[name] for name in stage.trains]
        for optimizer in optimizers:
            optimizer.zero_grad()
        parameters = [p for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]]
        key = (self.seed, self.done.epochs, f"step {self.done.steps}")
        judged = self.update.gradients(Step(self.run, self.fabric, stage, parts, shares, parameters, self.terms, key))
        for optimizer in optimizers:
            optimizer.step()
        return judged

    @property
    def _answering(self) -> Stage:
        """The first stage that trains the segmenter: its loss and answers are the log's."""
        return next(stage for stage in self.stages if NETWORK in stage.trains)

    def _told(self, stage: Stage, judged: list[Judged]) -> dict[str, Tensor]:
        """A stage's loss, and the mean over parts of what else it says: columns of the log."""
        name = "loss" if stage is self._answering else f"{stage.name}_loss"
        notes = {note: torch.stack([j.notes[note].detach().float() for j in judged]).mean() for note in judged[0].notes}
        return {name: torch.stack([j.loss for j in judged]).sum(), **notes}

    def _add(self, told: dict[str, Tensor]) -> None:
        """Add a step's numbers to the epoch's. Raises MiaSegError where one is not finite."""
        # The sum over devices: where one of them diverges, all stop.
        values = (self._sum(torch.stack(list(told.values()))) / self.plan.world).tolist()
        check_scale(self.fabric, self._place)
        for name, value in zip(told, values, strict=True):
            check_loss(value, self._place, "the loss" if name == "loss" else f"'{name}'")
            if name == "loss":
                self.done.loss += value
            else:
                self.done.notes[name] = self.done.notes.get(name, 0.0) + value

    @property
    def _place(self) -> Place:
        """Where the training stands: the step that was done last."""
        step, rate = (
            self.done.epochs * self.plan.an_epoch + self.done.steps,
            self.optimizers[NETWORK].param_groups[0]["lr"],
        )
        return Place(self.title, step, self.plan.steps, rate, "[train]", self.settings.precision)

    def _check_weights(self) -> None:
        """Raise MiaSegError where weights are not finite."""
        self._stop_all(not all_finite(self.goal.state_dict().values()), "a weight is not finite")

    @torch.no_grad()
    def check_answer(self) -> None:
        """Raise MiaSegError if the trained network's answers are not finite, as no loss follows the last step."""
        self.network.eval()
        broken = self.last is not None and not bool(self.network(self.last).isfinite().all())
        self._stop_all(broken, "the network's answer is not finite")

    def _stop_all(self, broken: bool, sign: str) -> None:
        """Raise MiaSegError in all processes where one is broken."""
        if self._sum(torch.tensor(float(broken), device=self.fabric.device)).item():
            raise self._place.diverged(sign)

    def _drawn(self, part: int, scenes: int) -> Drawn | None:
        """Synthetic features for one part of a step: their draw is keyed by where training stands."""
        if self.company.source is None:
            return None
        done, key = self.done, f"synthetic, rank {self.plan.rank}, step {self.done.steps}"
        if part == 0 and done.steps % MINE_EVERY == 0:
            done.hard = self.company.source.hardest(self.network, (self.seed, done.epochs, f"{key}, hard"))
        return self.company.source.draw(scenes, (self.seed, done.epochs, f"{key}, part {part}"), done.hard)

    def _start_step(self) -> None:
        done = self.done
        set_rate(self.optimizers, self._rate(done.steps))
        if self.plan.rank:  # keyed by the step, because only the first process saves where its stream stands
            torch.manual_seed(seed_of(self.seed, done.epochs, f"rank {self.plan.rank}, step {done.steps}"))

    def _rate(self, step: int) -> float:
        return poly(self.settings, self.done.epochs * self.plan.an_epoch + step, self.plan.steps)

    def _sum(self, x: Tensor) -> Tensor:
        return self.fabric.all_reduce(x, reduce_op="sum")  # type: ignore[return-value]

    def _save(self, stop: bool, asked: list[str]) -> None:
        """Save the state now and then, and before stopping."""
        done = self.done
        if stop:
            self._check_weights()
        if self.fabric.is_global_zero and (stop or time.monotonic() - self.saved > SAVE_EVERY):
            # This process alone looks: where a weight is not finite, it keeps the state before, and all are told later.
            if all_finite(self.goal.state_dict().values()):
                save_state(self.folder, self.goal, self.optimizers, done=done, fabric=self.fabric)
            self.saved = time.monotonic()
        if stop:
            self.fabric.barrier()  # a launcher ends all processes when one ends: not before the state is saved
            step = done.epochs * self.plan.an_epoch + done.steps
            raise Stopped(
                f"{self.title}: stopped by {asked[0] if asked else 'another process'} after step {step} "
                f"of {self.plan.steps}. The same command goes on from there."
            )

    def _row(self) -> dict[str, Any]:
        done, steps = self.done, self.plan.steps_of(self.done.epochs)
        confusion_KK = done.confusion_KK.cpu().numpy()
        seen = confusion_KK.any()  # crops of sparse labels may all have missed them
        return {
            "epoch": done.epochs + 1, "lr": self._rate(steps - 1), "loss": done.loss / steps if seen else None,
            "miou": utility(confusion_KK)["miou"] if seen else None,
            **{name: value / steps for name, value in done.notes.items()},
            "seconds": done.seconds, "scenes_per_second": steps * self.settings.batch / done.seconds,
            "memory_mib": memory(self.fabric),
        }  # fmt: skip


def seconds_a_step(recipe: Recipe, classes: int, fabric: Fabric) -> float:
    """Seconds of a training step on this machine, without reading scenes: the second of two steps on black images."""
    goal = _made.goal_of(recipe, _made.fresh_network(recipe, classes, 0).train(), classes, ids=["black"])
    run, *optimizers = fabric.setup(goal, *optimizers_of(goal, recipe.train).values())
    shape = (recipe.train.batch // recipe.train.accumulate, *recipe.train.crop)
    image, labels = torch.zeros(shape[0], 3, *shape[1:]), torch.zeros(shape, dtype=torch.long)
    seconds = 0.0
    for _ in range(2):
        started = time.monotonic()
        batch = Batch(*_made.placed(fabric.to_device((image, labels, torch.zeros(shape[0], dtype=torch.long)))))
        for stage in goal.stages:
            if len(goal.stages) > 1:
                train_alone(stage, modules_of(goal))
            fabric.backward(loss := run(stage.name, batch).loss)
        for optimizer in optimizers:
            optimizer.step()
        loss.item()  # waits for a device
        seconds = time.monotonic() - started
    return seconds * recipe.train.accumulate
