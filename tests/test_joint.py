"""Several devices train as one: the same scenes, batch norm and gradients, and a resumed run with the same bits."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from helpers_joint import all_first_steps, recipe, staged_steps, unevenly_labelled
from helpers_scenes import Toy
from lightning_fabric import Fabric
from safetensors.torch import load_file
from test_objectives_targets import SCENE_WISE
from torch import Tensor
from torch.utils.data import RandomSampler

from mia_seg import train, workspace
from mia_seg.errors import MiaSegError
from mia_seg.segmenters._norm import normed
from mia_seg.store import Store, seed_of
from mia_seg.train._order import Plan, Shares, order_of
from mia_seg.workspace import Workspace

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """What one process and two come to."""
    folder = tmp_path_factory.mktemp("joint")
    for part in ("joint", "frozen", "frozen in parts", "staged"):
        (folder / part).mkdir()
    alone = Fabric(accelerator="cpu", devices=1)
    one = all_first_steps(alone, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train._made, "build", None)  # put back, whatever it is replaced by
        one |= staged_steps(alone, folder / "staged")
    script = [sys.executable, "-W", "error", str(ROOT / "tests" / "helpers_joint.py"), str(folder)]
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    environment = {k: v for k, v in os.environ.items() if k not in ("LOCAL_RANK", "WORLD_SIZE", "MASTER_PORT")}
    ran = subprocess.run(
        script, env=environment | {"PYTHONPATH": path}, capture_output=True, text=True, timeout=300, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return one, load_file(folder / "found.safetensors")


def case(tensors: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return {k.partition(":")[2]: tensor for k, tensor in tensors.items() if k.startswith(f"{name}:")}


def assert_close(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    """Relative differences, by the norm: of everything, and of each tensor (a 1x1 bin's batch norm sees 4 values)."""
    assert one.keys() == other.keys()
    whole, wholly = (torch.cat([tensors[k].ravel() for k in one]) for tensors in (one, other))
    assert (wholly - whole).norm() < 1e-5 * whole.norm()
    assert max(float((other[k] - one[k]).norm() / one[k].norm().clamp(min=1e-12)) for k in one) < 1e-4


@pytest.mark.parametrize("name", ["joint", "frozen", "frozen in parts"])
def test_two_processes_take_the_step_of_one(name: str, found: tuple[dict[str, Tensor], dict[str, Tensor]]) -> None:
    one, two = (case(tensors, name) for tensors in found)
    assert len(one) > 100
    assert_close(one, two)


def test_stages_of_two_processes_take_the_steps_of_one(
    found: tuple[dict[str, Tensor], dict[str, Tensor]],
) -> None:
    one, two = (case(tensors, "staged") for tensors in found)
    assert {name.partition(".")[0] for name in one} == {"network", "helpers", "told"}
    assert_close(one, two)


def test_parts_take_the_step_of_the_whole(found: tuple[dict[str, Tensor], dict[str, Tensor]]) -> None:
    for tensors in found:
        assert_close(case(tensors, "frozen"), case(tensors, "frozen in parts"))


@pytest.mark.parametrize("name", SCENE_WISE)
def test_parts_take_the_step_of_the_whole_under_losses_of_single_scenes(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In parts with different numbers of labelled pixels; a batch norm would tell parts apart."""
    monkeypatch.setattr(train._made, "build", lambda section, classes: normed(Toy(classes, None), "group"))
    found = []
    for accumulate in (1, 2):
        made = recipe(accumulate=accumulate).model_copy(update={"objective": {"name": name}})
        fabric = Fabric(accelerator="cpu", devices=1)
        training = train.Training(
            made, unevenly_labelled(4), seed=0, folder=tmp_path, fabric=fabric, workers=0, title="parts"
        )
        training.prepare(None)
        row = training.epoch([])
        (tmp_path / train.STATE).unlink(missing_ok=True)
        gradients = {key: p.grad for key, p in training.network.named_parameters() if p.grad is not None}
        found.append(gradients | {"loss": torch.tensor(row["loss"])})
    assert_close(*found)


def test_a_stopped_run_of_two_processes_ends_with_the_bits_of_an_unbroken_one(
    found: tuple[dict[str, Tensor], dict[str, Tensor]],
) -> None:
    unbroken, broken = (case(found[1], name) for name in ("unbroken", "broken"))
    assert len(unbroken) > 5
    assert all(torch.equal(tensor, broken[name]) for name, tensor in unbroken.items())


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("loss 0", "joint: the training diverged at step 1 of 1, learning rate 0.05: the loss is nan."),
        ("loss 1", "joint: the training diverged at step 1 of 1, learning rate 0.05: the loss is nan."),
        ("scene 0", "joint: another process cannot read a scene. Its own error names the file."),
        ("scene 1", "a.png cannot be read."),
    ],
)
def test_all_processes_stop_where_one_has_to(
    found: tuple[dict[str, Tensor], dict[str, Tensor]], name: str, says: str
) -> None:
    said = bytes(case(found[1], name)["said"].tolist()).decode()
    assert said.startswith(says)


# Who takes which scenes.


@pytest.mark.parametrize("scenes", [4, 9, 80])
def test_the_order_is_that_of_torch_under_the_epochs_seed(scenes: int) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(seed_of(3, 5, "rank 0"))
        torch.empty((), dtype=torch.int64).random_()  # the loader's
        assert order_of(scenes, 3, 5) == list(RandomSampler(range(scenes)))


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("world", [1, 2, 4])
def test_devices_share_every_part_of_a_step(world: int, accumulate: int) -> None:
    settings = recipe(batch=16, accumulate=accumulate, steps=5).train
    order, parts = order_of(55, 0, 1), []
    for rank in range(world):
        shares = Shares(Plan(55, settings, rank, world), 0)
        shares.epoch, shares.first = 1, 1
        parts.append(list(shares))
        assert len(parts[-1]) == len(shares) == accumulate  # three steps in the first epoch, two in the second
    joint = [i for k in range(accumulate) for rank in range(world) for i in parts[rank][k]]
    assert joint == order[16:32]


def test_the_last_epoch_may_be_cut_short() -> None:
    plan = Plan(55, recipe(batch=16, steps=8).train)
    assert (plan.epochs, plan.steps, [plan.steps_of(e) for e in range(3)]) == (3, 8, [3, 3, 2])
    plan = Plan(55, recipe(batch=16, steps=None, epochs=4).train)
    assert (plan.epochs, plan.steps, plan.steps_of(3)) == (4, 12, 3)


@pytest.mark.parametrize(("world", "accumulate"), [(3, 1), (8, 1), (4, 2), (6, 2)])
def test_a_batch_that_cannot_be_shared_is_refused(world: int, accumulate: int) -> None:
    settings = recipe(batch=8, accumulate=accumulate).train
    with pytest.raises(MiaSegError, match=r"x: \[train\] batch = 8 .*Use fewer devices, or change batch"):
        Plan(20, settings, 0, world).check("x")
    Plan(20, settings, 0, 2).check("x")


# What starts the processes.

TORCHRUN = {"TORCHELASTIC_RUN_ID": "1", "LOCAL_WORLD_SIZE": "4", "GROUP_WORLD_SIZE": "2", "RANK": "5"}
SRUN = {"SLURM_NTASKS": "8", "SLURM_NTASKS_PER_NODE": "4", "SLURM_NNODES": "2", "SLURM_PROCID": "5"}
Setter = Callable[[dict[str, str]], None]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Setter:
    """Set a launcher's variables, and none of another."""
    for name in [n for n in os.environ if n.startswith(("SLURM_", "TORCHELASTIC_", "LOCAL_RANK"))]:
        monkeypatch.delenv(name)
    return lambda variables: [monkeypatch.setenv(k, v) for k, v in variables.items()] and None


@pytest.mark.parametrize(
    ("variables", "asked", "expected"),
    [
        ({}, 1, (1, 1, 0)),
        ({}, 3, (3, 1, 0)),
        (TORCHRUN, 1, (4, 2, 5)),
        (TORCHRUN, 4, (4, 2, 5)),
        (SRUN, 1, (4, 2, 5)),
        (SRUN | TORCHRUN | {"LOCAL_WORLD_SIZE": "2"}, 1, (2, 2, 5)),  # torchrun inside of SLURM goes first
        (SRUN | {"SLURM_JOB_NAME": "interactive"}, 2, (2, 1, 0)),
        ({"LOCAL_RANK": "1"}, 2, (2, 1, 1)),  # the second process that Fabric itself starts
    ],
)
def test_a_launcher_says_how_many_processes_there_are(
    started: Setter, variables: dict[str, str], asked: int, expected: tuple[int, int, int]
) -> None:
    started(variables)
    assert (*workspace.devices_and_nodes(asked), workspace.rank()) == expected


def test_devices_that_contradict_the_launcher_are_refused(started: Setter) -> None:
    started(TORCHRUN)
    with pytest.raises(MiaSegError, match=r"--devices 3: torchrun started 4 processes on each node.*Leave --devices"):
        workspace.devices_and_nodes(3)


def test_a_command_trains_one_model_on_several_devices(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    with pytest.raises(MiaSegError, match=r"one model a command.*Run the same command again"):
        Workspace(Store(tmp_path), None, tmp_path, "cpu", devices=2).fabric("32-true", joint=True)


def test_the_package_runs_as_a_module() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "mia_seg", "list", "--help"], cwd=ROOT, capture_output=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
