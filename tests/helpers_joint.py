"""The same small trainings on one process and on two; run as a script, Fabric starts the second process itself."""

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers_scenes import Held, Toy, blocky, picture
from lightning_fabric import Fabric
from safetensors.torch import save_file
from torch import Tensor, nn

from mia_seg import train
from mia_seg.data import IGNORE, Scene, Scenes
from mia_seg.errors import MiaSegError
from mia_seg.recipes import Recipe
from mia_seg.train import Training

SIZE = (33, 41)
CLASSES = 4


def recipe(**settings: Any) -> Recipe:
    return Recipe(
        data={"name": "streets"},
        split={"rule": "random", "members": 7, "nonmembers": 1, "pool": 0},
        segmenter={"name": "pspnet", "backbone": "resnet18", "dropout": 0.0},
        train={"steps": 1, "batch": 4, "lr": 0.05, "crop": SIZE} | settings,
    )


def unevenly_labelled(count: int) -> Scenes:
    """Scene k lacks most of its labels or almost none, so that the halves of a batch weigh differently."""
    held = {}
    for k in range(count):
        labels = blocky(np.random.default_rng(k), SIZE, CLASSES)
        labels[: 4 + 28 * k // count] = IGNORE
        held[f"{k:02d}"] = Scene(f"{k:02d}", picture(k, SIZE), labels)
    return Scenes(Held(count=CLASSES, held=held), None, sorted(held))


def first_step(fabric: Fabric, folder: Path, accumulate: int, frozen: bool) -> dict[str, Tensor]:
    """Gradients and buffers after one step of a PSPNet; `frozen`: batch norm does nothing but scale."""
    made = recipe(accumulate=accumulate)
    training = Training(made, unevenly_labelled(4), seed=0, folder=folder, fabric=fabric, workers=0, title="joint")
    training.prepare(None)
    for module in training.network.modules() if frozen else ():
        if isinstance(module, nn.BatchNorm2d):
            module.eval().train = lambda mode=True, own=module: own  # type: ignore[method-assign]
    row = training.epoch([])
    gradients = {name: p.grad.contiguous() for name, p in training.network.named_parameters() if p.grad is not None}
    buffers = {name: buffer for name, buffer in training.network.named_buffers() if "running" in name}
    seen = {"loss": torch.tensor(row["loss"]), "confusion": torch.tensor(row["miou"])}
    return gradients | buffers | seen


def all_first_steps(fabric: Fabric, folder: Path) -> dict[str, Tensor]:
    cases = {"joint": (1, False), "frozen": (1, True), "frozen in parts": (2, True)}
    return {
        f"{case}:{name}": tensor
        for case, wanted in cases.items()
        for name, tensor in first_step(fabric, folder / case, *wanted).items()
    }


def broken_and_unbroken(fabric: Fabric, folder: Path) -> dict[str, Tensor]:
    """Weights of a toy with dropout after seven steps, in one go and stopped after the fourth by the last process."""
    train._made.build = lambda recipe, classes: Toy(classes, 0.5)  # a script of its own, or put back by the test
    made, kept = recipe(steps=7, batch=4), {}
    for way, stop_at in (("unbroken", 0), ("broken", 4)):
        (folder / way).mkdir(exist_ok=True)
        while True:
            training = Training(
                made, unevenly_labelled(9), seed=0, folder=folder / way, fabric=fabric, workers=0, title="joint"
            )
            training.prepare(None)
            begun = training.done.epochs * 2 + training.done.steps
            stops = pytest.raises(MiaSegError, match=f"after step {stop_at} of 7") if stop_at and not begun else None
            with stops or nullcontext():
                while training.done.epochs < training.plan.epochs:
                    training.epoch(Asked(training, stop_at))
                break
        kept |= {f"{way}:{name}": tensor.contiguous() for name, tensor in training.network.state_dict().items()}
    return kept


def broken_in_one_process(fabric: Fabric, folder: Path) -> dict[str, Tensor]:
    """What each process is told where the last one alone diverges, or cannot read a scene: a letter a number."""
    said = {}
    for what in ("loss", "scene"):
        (folder / what).mkdir(exist_ok=True)
        training = Training(
            recipe(batch=4), unevenly_labelled(4), seed=0, folder=folder / what, fabric=fabric, workers=0, title="joint"
        )
        training.prepare(None)
        if fabric.global_rank == fabric.world_size - 1:
            if what == "loss":
                training.network.classify.register_forward_hook(lambda *given: given[-1] * torch.nan)
            else:
                training.crops.scenes = unreadable(training.crops.scenes)
        with pytest.raises(MiaSegError) as caught:
            training.epoch([])
        letters = torch.zeros(fabric.world_size, 300, dtype=torch.int64)
        letters[fabric.global_rank] = torch.tensor(list(str(caught.value).ljust(300).encode()))
        all_letters: Any = fabric.all_reduce(letters, reduce_op="sum")
        said |= {f"{what} {rank}:said": row.clone() for rank, row in enumerate(all_letters)}
    return said


def unreadable(scenes: Scenes) -> Scenes:
    class Unreadable(Scenes):
        def __getitem__(self, index: int) -> Scene:  # type: ignore[override]
            raise MiaSegError("a.png cannot be read.")

    return Unreadable(scenes.dataset, scenes.data_root, scenes.ids)


class Asked(list[str]):
    """True in the last process, during one step."""

    def __init__(self, training: Training, stop_at: int) -> None:
        self.training, self.stop_at = training, stop_at

    def __bool__(self) -> bool:
        done, plan = self.training.done, self.training.plan
        return plan.rank == plan.world - 1 and done.epochs * 2 + done.steps + 1 == self.stop_at

    def __len__(self) -> int:
        return 0


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    fabric = Fabric(accelerator="cpu", devices=2)
    fabric.launch()
    found = all_first_steps(fabric, folder) | broken_and_unbroken(fabric, folder)
    found |= broken_in_one_process(fabric, folder)
    if fabric.is_global_zero:
        save_file(found, folder / "found.safetensors")
    fabric.barrier()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
