"""How hard the labels of the audited scenes are to predict, for any model of these scenes."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mia_seg.data import Scenes
from mia_seg.query import difficulty
from mia_seg.stages import Stage
from mia_seg.stages.scenes import Divided
from mia_seg.store import Draft, write_json
from mia_seg.workspace import Workspace

FILE = "difficulty.json"


@dataclass(frozen=True, eq=False)
class Difficulty(Stage[np.ndarray]):
    """One number for each audited scene [N], in their order. of: whose scenes they are."""

    kind = "difficulty"

    of: str
    scenes: Divided

    @property
    def name(self) -> str:
        return self.of

    def inputs(self) -> dict[str, Any]:
        return {"scenes": self.scenes.given("audited"), "version": difficulty.VERSION}

    def make(self, draft: Draft, workspace: Workspace) -> None:
        ids = self.scenes.partition(workspace.store).audited
        scenes = Scenes(self.scenes.dataset, workspace.data_root, ids)
        found_N = difficulty.difficulty(scenes, f"  difficulty of the scenes of {self.of}")
        write_json(draft.folder / FILE, found_N.tolist())

    def load(self, folder: Path) -> np.ndarray:
        return np.array(json.loads((folder / FILE).read_text(encoding="utf-8")))
