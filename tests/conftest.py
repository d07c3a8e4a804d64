"""Working directories as a user has them: tiny data sets, tiny recipes, and one small audit that several tests read."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from helpers_datasets import write_examples
from helpers_files import Ran, call, forget, write_recipes

if TYPE_CHECKING:
    from mia_seg.workspace import Workspace

# Tensors of 32 x 48 pixels gain nothing from threads, and threads of two test runs stand in each other's way.
os.environ.setdefault("OMP_NUM_THREADS", "1")

GRID = ("--defense", "none", "--defense", "argmax", "--attack", "image_loss", "--attack", "patch_resnet50:loss")


@dataclass(frozen=True)
class Audit:
    """A working directory in which `mia-seg run tiny tiny_a1` ran twice, and what the two runs said."""

    folder: Path
    first: Ran
    again: Ran

    @property
    def store(self) -> Path:
        return self.folder / "runs"

    @property
    def reports(self) -> Path:
        return self.folder / "reports"


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the developer has set for their own audits does not reach the tests."""
    for name in ("MIA_SEG_DATA", "MIA_SEG_STORE", "MIA_SEG_WEIGHTS", "CITYSCAPES_DATASET"):
        monkeypatch.delenv(name, raising=False)
    forget()


@pytest.fixture(scope="session")
def data_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with the example of every data set; read it, or take `data_root` to change it."""
    root = tmp_path_factory.mktemp("data")
    write_examples(root)
    return root


@pytest.fixture
def data_root(data_template: Path, tmp_path: Path) -> Path:
    """A data root of the test's own."""
    return Path(shutil.copytree(data_template, tmp_path / "data"))


@pytest.fixture
def workdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working directory with the tiny recipes; what was trained in it is not kept after the test."""
    folder = tmp_path / "work"
    write_recipes(folder)
    monkeypatch.chdir(folder)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def audit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Audit]:
    """The whole line on streets, once; tests read it and copy what they change."""
    folder = tmp_path_factory.mktemp("audit")
    write_recipes(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MIA_SEG_STORE", raising=False)
        first, again = (call("run", "tiny", "tiny_a1", *GRID, "--device", "cpu") for _ in range(2))
    yield Audit(folder, first, again)
    shutil.rmtree(folder)


@pytest.fixture
def workspace(workdir: Path, data_template: Path, monkeypatch: pytest.MonkeyPatch) -> "Workspace":
    """A place of work where training takes no time and teaches nothing."""
    # Not above: torch reads the number of threads when it is imported.
    from mia_seg import train
    from mia_seg.store import Store
    from mia_seg.workspace import Workspace

    def nothing(*_: Any, folder: Path, **__: Any) -> None:
        (folder / train.WEIGHTS).write_text("none")

    monkeypatch.setattr(train, "train", nothing)
    return Workspace(Store(workdir / "runs"), data_template, workdir / "reports", "cpu")
