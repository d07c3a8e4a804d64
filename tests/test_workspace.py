"""What a machine cannot do is refused before the first stage, and nothing is taken in its place."""

from collections.abc import Iterator
from pathlib import Path

import huggingface_hub.constants
import pytest
import torch
from helpers_files import Ran, assert_refused, call, edit, wholes

import mia_seg
from mia_seg import workspace
from mia_seg.api import LARGEST_SEED
from mia_seg.errors import MiaSegError
from mia_seg.pipeline import SHADOW_SEEDS
from mia_seg.store import Store
from mia_seg.workspace import Workspace


@pytest.fixture(autouse=True)
def _asks_again() -> Iterator[None]:
    """What a device computes in is asked once a process."""
    workspace.precisions.cache_clear()
    yield
    workspace.precisions.cache_clear()


def place(tmp_path: Path, device: str = "auto", devices: int = 1) -> Workspace:
    return Workspace(Store(tmp_path), None, tmp_path, device, devices)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """The GPUs that a machine has, by kind; they take every step."""
    has: dict[str, int] = {}
    monkeypatch.setattr(workspace, "count", lambda kind: float("inf") if kind == "cpu" else has.get(kind, 0))
    monkeypatch.setattr(workspace, "steps_in", lambda precision, kind: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Tesla V100")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: including_emulation)
    return has


@pytest.mark.parametrize(
    ("device", "says"),
    [
        ("tpu", ""), ("gpu", ""), ("", ""), (" cpu", ""), ("CUDA", ""),
        ("cuda:7", "Say which one with the variable CUDA_VISIBLE_DEVICES."),
    ],
)  # fmt: skip
def test_a_device_that_there_is_not_is_refused(tmp_path: Path, device: str, says: str) -> None:
    with pytest.raises(MiaSegError, match=rf"^--device '{device}': choose one of auto, cpu, cuda, mps\..*{says}$"):
        place(tmp_path, device)


@pytest.mark.parametrize(
    ("has", "device", "devices", "says"),
    [
        ({}, "cuda", 1, r"--device cuda: PyTorch finds none .*Choose --device cpu or auto"),
        ({}, "cuda", 4, r"--device cuda: PyTorch finds none"),
        ({}, "mps", 1, r"--device mps: PyTorch finds none .*Choose --device cpu or auto"),
        ({"cuda": 2}, "cuda", 4, r"--devices 4: this machine has 2 of 'cuda'. Ask for no more"),
        ({"cuda": 2}, "auto", 3, r"--devices 3: this machine has 2 of 'cuda'"),
        ({"mps": 1}, "auto", 2, r"--devices 2: this machine has 1 of 'mps'"),
    ],
)
def test_devices_that_are_not_here_are_refused(
    tmp_path: Path, machine: dict[str, int], has: dict[str, int], device: str, devices: int, says: str
) -> None:
    machine |= has
    with pytest.raises(MiaSegError, match=says):
        place(tmp_path, device, devices).check(joint=True)


def test_only_what_devices_share_needs_as_many(tmp_path: Path, machine: dict[str, int]) -> None:
    machine["cuda"] = 2
    place(tmp_path, "cuda", 4).check()
    place(tmp_path, "cuda", 2).check(joint=True)
    place(tmp_path, "cpu", 4).check(joint=True)


@pytest.mark.parametrize(
    ("has", "device", "can"),
    [
        ({}, "auto", {"32-true", "bf16-mixed"}),
        ({"cuda": 1}, "cpu", {"32-true", "bf16-mixed"}),
        ({"cuda": 1}, "auto", {"32-true", "16-mixed"}),  # a V100 only emulates bfloat16
        ({"mps": 1}, "auto", {"32-true", "bf16-mixed", "16-mixed"}),
    ],
)
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "16-mixed"])
def test_a_precision_that_a_device_cannot_do_is_refused(
    tmp_path: Path, machine: dict[str, int], has: dict[str, int], device: str, can: set[str], precision: str
) -> None:
    machine |= has
    here = place(tmp_path, device)
    if precision in can:
        return here.check(precision)
    kind = r"'cuda' \(Tesla V100\)" if has and device == "auto" else "'cpu'"
    both = " or ".join(p for p in ("32-true", "bf16-mixed", "16-mixed") if p in can)
    with pytest.raises(
        MiaSegError, match=rf"'{precision}' in \[train\] is none .* device {kind} .*Choose {both} there or"
    ):
        here.check(precision)
    return None


@pytest.mark.parametrize(
    ("has", "device", "able", "fastest"),
    [
        ({}, "auto", {}, "32-true"),  # it computes in bfloat16, and emulates it
        ({}, "cpu", {"avx512_bf16": True}, "bf16-mixed"),
        ({"cuda": 1}, "auto", {"amx_bf16": True}, "32-true"),  # a V100
        ({"mps": 1}, "auto", {}, "bf16-mixed"),
    ],
)
def test_the_fastest_precision_is_one_that_nothing_emulates(
    tmp_path: Path, machine: dict[str, int], monkeypatch: pytest.MonkeyPatch, *, has: dict[str, int], device: str,
    able: dict[str, bool], fastest: str,
) -> None:  # fmt: skip
    machine |= has
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
    assert place(tmp_path, device).fastest == fastest


def test_a_device_that_fails_at_a_step_or_takes_another_type_cannot_do_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert workspace.steps_in("bf16-mixed", "cpu")
    assert workspace.steps_in("16-mixed", "cpu")  # Fabric, which would not run it, is not asked
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: torch.no_grad())
    assert not workspace.steps_in("bf16-mixed", "cpu")
    monkeypatch.undo()
    assert not workspace.steps_in("bf16-mixed", "meta")


def refused_before_training(workdir: Path, ran: Ran, *says: str) -> None:
    assert_refused(ran, *says)
    assert not wholes(workdir / "runs")
    assert "failed" not in ran.err


def test_what_the_machine_cannot_do_is_said_before_the_first_stage(workdir: Path) -> None:
    """The victim could be trained, and the shadow is the one at fault."""
    edit(workdir / "shadows" / "tiny_a1.toml", "lr = 0.01\n", 'lr = 0.01\nprecision = "16-mixed"\n')
    asked = ("run", "tiny", "tiny_a1", "--device", "cpu", "--attack", "patch_resnet50")
    says = ("'16-mixed' in [train]", "'cpu'", "32-true or bf16-mixed", "--precision")
    refused_before_training(workdir, call(*asked), *says)
    refused_before_training(workdir, call("train-victim", "tiny", "--precision", "16-mixed", "--device", "cpu"), *says)


def test_weights_to_begin_with_are_fetched_before_the_first_stage(
    workdir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    edit(workdir / "shadows" / "tiny_a1.toml", 'backbone = "resnet18"', 'backbone = "resnet18"\npretrained = true')
    ran = call("run", "tiny", "tiny_a1", "--device", "cpu", "--attack", "image_loss")
    refused_before_training(
        workdir, ran, "The weights 'resnet18.tv_in1k' are not on this machine", "pretrained = false"
    )


def test_a_batch_that_devices_cannot_share_is_refused_before_they_are_started(workdir: Path) -> None:
    ran = call("train-victim", "tiny", "--devices", "64", "--device", "cpu")
    refused_before_training(workdir, ran, "batch = 3", "64 of them", "Use fewer devices")


@pytest.mark.parametrize("seed", [-1, LARGEST_SEED + 1, 2**64])
def test_a_seed_that_is_none_is_refused(workdir: Path, seed: int) -> None:
    ran = call("train-victim", "tiny", "--seed", f"{seed}")
    assert ran.code == 2
    assert "--seed" in ran.err
    assert "Traceback" not in ran.err
    with pytest.raises(MiaSegError, match=rf"Seed {seed} is outside 0 to {LARGEST_SEED} \(2\^63 - 1\)"):
        mia_seg.audit(victim="tiny", shadow="tiny_a1", seeds=[0, seed])


def test_the_largest_seed_seeds_all_that_is_drawn() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(SHADOW_SEEDS * 1000 + LARGEST_SEED)
