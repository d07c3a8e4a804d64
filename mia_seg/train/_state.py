"""Files of a running training: the state to resume from, and the log."""

import csv
import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from mia_seg.errors import MiaSegError
from mia_seg.objectives import Goal
from mia_seg.recipes import Recipe
from mia_seg.store import replace
from mia_seg.train._finite import all_finite
from mia_seg.train._optimizers import Optimizers, below, load_state_of, state_of

WEIGHTS, STATE, LOG = "model.safetensors", "state.safetensors", "log.csv"
STOPPING = (signal.SIGTERM, signal.SIGUSR1)  # what schedulers send before they kill


@dataclass
class Done:
    """Progress of a training: the log of finished epochs, and the sums of the running one."""

    classes: int
    epochs: int = 0
    steps: int = 0
    loss: float = 0.0
    notes: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    confusion_KK: Tensor = field(init=False)
    noise: dict[str, Tensor] = field(default_factory=dict, repr=False)
    hard: Tensor | None = None
    rows: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.confusion_KK = torch.zeros(self.classes, self.classes, dtype=torch.int64)

    def next_epoch(self, row: dict[str, Any]) -> None:
        """Log an epoch and begin another."""
        self.rows.append(row)
        self.epochs, self.steps, self.loss, self.notes, self.seconds = self.epochs + 1, 0, 0.0, {}, 0.0
        self.confusion_KK = torch.zeros_like(self.confusion_KK)


def save_state(folder: Path, goal: Goal, optimizers: Optimizers, *, done: Done, fabric: Fabric) -> None:
    """Weights, moments and sums in one file, replaced in one step: a kill leaves the previous state or this one."""
    tensors = state_of(goal, optimizers)
    if done.steps:  # an epoch begins with a stream of its own
        tensors |= {f"noise.{kind}": state for kind, state in _noise(fabric).items()}
    tensors["confusion"] = done.confusion_KK
    if done.hard is not None:
        tensors["hard"] = done.hard
    told: dict[str, Any] = {"epochs": done.epochs, "steps": done.steps, "loss": done.loss, "seconds": done.seconds}
    told["notes"] = done.notes
    told |= {"scaler": fabric.strategy.precision.state_dict(), "rows": done.rows}
    replace(folder / STATE, packed(tensors, {key: json.dumps(value) for key, value in told.items()}))


def restore(folder: Path, goal: Goal, optimizers: Optimizers, *, done: Done, fabric: Fabric) -> None:
    """Load the last saved state, if there is one."""
    if not (folder / STATE).is_file():
        return
    with safe_open(folder / STATE, "pt") as file:
        told = {key: json.loads(value) for key, value in file.metadata().items()}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    load_state_of(goal, optimizers, tensors)
    done.epochs, done.steps, done.loss, done.seconds = (told[key] for key in ("epochs", "steps", "loss", "seconds"))
    done.confusion_KK, done.noise = tensors["confusion"], below(tensors, "noise.")
    done.hard, done.notes = tensors.get("hard"), told.get("notes", {})
    if told["scaler"]:
        fabric.strategy.precision.load_state_dict(told["scaler"])
    # In the one file that is replaced in one step: two processes at work here leave no log of another's state.
    done.rows = told["rows"]


def resume_noise(done: Done, fabric: Fabric) -> None:
    """Restore the random number generators from the saved state."""
    if "cpu" in done.noise:
        torch.set_rng_state(done.noise["cpu"])
    if "cuda" in done.noise and fabric.device.type == "cuda":
        torch.cuda.set_rng_state(done.noise["cuda"], fabric.device)
    done.noise = {}


def read_log(folder: Path, epochs: int | None = None) -> list[dict[str, Any]]:
    """The rows of the first `epochs` epochs, or of all."""
    with (folder / LOG).open(encoding="utf-8") as log:
        return [{k: json.loads(v) for k, v in row.items()} for row in csv.DictReader(log)][:epochs]


def write_log(folder: Path, rows: list[dict[str, Any]]) -> None:
    """The log as CSV."""
    columns = list(rows[-1])
    lines = [",".join(columns), *(",".join(json.dumps(row[c]) for c in columns) for row in rows)]
    replace(folder / LOG, ("\n".join(lines) + "\n").encode())


def write_weights(folder: Path, network: nn.Module, recipe: Recipe, *, seed: int) -> None:
    """Write the weights, with the settings that made them in the file's metadata."""
    shaping = recipe.shaping()
    shaping["train"].pop("start", None)  # a name; the same weights under another one are the same
    # One entry, because safetensors writes several in random order.
    made_by = json.dumps({"recipe": shaping, "seed": seed}, sort_keys=True)
    replace(folder / WEIGHTS, packed(network.state_dict(), {"made_by": made_by}))


def packed(tensors: dict[str, Tensor], metadata: dict[str, str]) -> bytes:
    """Safetensors bytes; it takes no channels-last tensors."""
    return save({name: tensor.contiguous() for name, tensor in tensors.items()}, metadata)


def take_weights(network: nn.Module, path: Path, unfit: str, *, fix: str) -> None:
    """Load weights from a safetensors file: nothing in it is executed."""
    try:
        with safe_open(path, "pt") as file:
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        network.load_state_dict(weights)
    except FileNotFoundError:
        raise MiaSegError(f"{path} is missing. Delete its folder and train again, or restore the file.") from None
    except SafetensorError as error:
        raise MiaSegError(
            f"{path} is not a whole safetensors file ({error}). Delete its folder and train again."
        ) from None
    except RuntimeError as error:
        fault = str(error).splitlines()[-1].strip()[:200]
        raise MiaSegError(f"{unfit} ({fault}). {fix}") from None
    if not all_finite(weights.values()):
        raise MiaSegError(
            f"{path} holds a weight that is not finite: its training diverged. "
            f"Delete its folder and train again with a lower lr."
        )


@contextmanager
def stop_asked() -> Iterator[list[str]]:
    """A list that gets a signal's name once a scheduler asks the job to stop.

    Processes that read scenes inherit this: the signal reaches them too, and they are needed until the step is done.
    """
    asked: list[str] = []
    before = {s: signal.signal(s, lambda number, _: asked.append(signal.Signals(number).name)) for s in STOPPING}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _noise(fabric: Fabric) -> dict[str, Tensor]:
    states = {"cpu": torch.get_rng_state()}
    if fabric.device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(fabric.device)
    return states
