"""The blind control of a victim's split: how well an attacker does who never sees the model."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mia_seg.data import Scenes
from mia_seg.evaluate.audit import membership_of
from mia_seg.evaluate.controls import blind, features
from mia_seg.stages import Stage
from mia_seg.stages.models import Model
from mia_seg.store import Draft, write_json
from mia_seg.workspace import Workspace

FILE = "blind.json"


@dataclass(frozen=True, eq=False)
class BlindControl(Stage[dict[str, Any]]):
    """The result of `controls.blind.blind` on the victim's scenes; its weights are not needed."""

    kind = "controls"

    victim: Model

    @property
    def name(self) -> str:
        return self.victim.name

    def inputs(self) -> dict[str, Any]:
        scenes = self.victim.scenes
        shaped = {"scenes": scenes.given("audited"), "membership": scenes.given("membership")}
        return shaped | {"seed": self.victim.seed, "version": [features.VERSION, blind.VERSION]}

    def make(self, draft: Draft, workspace: Workspace) -> None:
        parts = self.victim.partition(workspace.store)
        parts = parts.only(set(parts.audited) - self.victim.dataset.canaries - self.victim.dataset.companions)
        scenes, known = Scenes(self.victim.dataset, workspace.data_root, parts.audited), membership_of(parts)
        seen_NF = features.features(scenes, f"  blind control of {self.victim.recipe_name}")
        write_json(draft.folder / FILE, blind.blind(seen_NF, known.members_N, known.groups_N, seed=self.victim.seed))

    def load(self, folder: Path) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((folder / FILE).read_text(encoding="utf-8"))
        return found
