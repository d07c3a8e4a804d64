"""The classes that an independent attacker looks at."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mia_seg.errors import MiaSegError
from mia_seg.stages import Stage
from mia_seg.stages.answers import AskedModel
from mia_seg.store import Draft, write_json
from mia_seg.workspace import Workspace

FILE = "classes.json"


@dataclass(frozen=True, eq=False)
class CommonClasses(Stage[list[int]]):
    """The classes that occur in the labels of both victim and shadow; adversary A2 cannot learn of any other."""

    kind = "classes"

    victim: AskedModel
    shadow: AskedModel

    @property
    def name(self) -> str:
        return f"{self.shadow.model.name}.{self.victim.model.name}"

    def inputs(self) -> dict[str, Any]:
        return {"victim": self.victim, "shadow": self.shadow}

    def make(self, draft: Draft, workspace: Workspace) -> None:
        victim, shadow = (side.value(workspace.store).occurring() for side in (self.victim, self.shadow))
        if len(common := sorted(victim & shadow)) < 2:
            raise MiaSegError(
                f"Shadow '{self.shadow.model.recipe_name}' and the victim share {len(common)} classes with a labelled "
                f"pixel; an attack needs two. Take a shadow whose scenes show what the victim's do."
            )
        write_json(draft.folder / FILE, common)

    def load(self, folder: Path) -> list[int]:
        found: list[int] = json.loads((folder / FILE).read_text(encoding="utf-8"))
        return found
