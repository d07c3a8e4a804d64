"""Models that exist already, behind a door. Their answers are checked on ten scenes before any attack."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mia_seg import plugins, progress, query
from mia_seg.data import Scenes
from mia_seg.oracles import Oracle, doors
from mia_seg.oracles.door import DoorOracle
from mia_seg.oracles.doors import Door
from mia_seg.oracles.verify import TEN, Verified, verify
from mia_seg.oracles.windowed import Windowed
from mia_seg.recipes import DoorRecipe
from mia_seg.stages.models import ModelStage
from mia_seg.stages.scenes import Cut
from mia_seg.store import ASKED, Draft, write_json
from mia_seg.workspace import Workspace

VERSION = 1
FILE = "verified.json"


@dataclass(frozen=True, eq=False)
class ExistingModel(ModelStage[Verified]):
    """A victim behind a door. Making this stage asks about ten scenes, and raises MiaSegError for wrong answers.

    content: hashes of the files behind the door.
    """

    kind = "doors"

    recipe_name: str
    recipe: DoorRecipe
    seed: int
    scenes: Cut
    content: tuple[str, ...]

    @property
    def door(self) -> Door:
        """How it is asked."""
        return door_of(self.recipe)

    def inputs(self) -> dict[str, Any]:
        settings = {k: v for k, v in plugins.settings_of(self.door).items() if k not in self.door.outside}
        known = {"classes": list(self.dataset.classes()), "scenes": self.scenes.given("audited"), "seed": self.seed}
        window = self.recipe.inputs("window") if self.recipe.window else {}
        return {"door": settings, "files": list(self.content), "version": VERSION} | known | window

    def make(self, draft: Draft, workspace: Workspace) -> None:
        ids, keys = zip(*self.first_look(), strict=True)
        oracle = self.oracle(workspace, dict(zip(keys, ids, strict=True)))
        scenes = Scenes(self.dataset, workspace.data_root, ids)
        found = verify(oracle, self.door, scenes, keys=keys, title=f"  {self.title}", base=Path.cwd())
        _say(found, self.title)
        write_json(draft.folder / FILE, found.model_dump(mode="json"))

    def first_look(self) -> list[tuple[str, int]]:
        """Ten audited scenes, each with the key under which it is asked about, twice."""
        audited = self.scenes.parts.audited
        return [(i, query.key(i, self.seed)) for i in audited[:: max(1, len(audited) // TEN)][:TEN]]

    def load(self, folder: Path) -> Verified:
        return Verified.model_validate_json((folder / FILE).read_text(encoding="utf-8"))

    def oracle(self, workspace: Workspace, scenes: Mapping[int, str]) -> Oracle:
        """It as a service. scenes: the scene that each key is of."""
        ask = self.door.open_with(Path.cwd(), scenes, workspace.store.root / ASKED)
        oracle = DoorOracle(self.door, ask, self.dataset.classes())
        return Windowed(oracle, self.recipe.window) if self.recipe.window else oracle


def _say(found: Verified, title: str) -> None:
    """The check that its owner can judge at once, and what makes it doubtful."""
    if found.miou is not None:
        one = f"answering one class everywhere: {found.miou_of_one_class:.3f}"
        known = "If you know a higher one, check how images and classes are given"
        progress.say(f"  {title}: mIoU {found.miou:.3f} on {found.scenes} scenes ({one}). {known}.")
    if found.doubtful:
        progress.say(
            f"  {title}: that is no better than one class everywhere. Does the model get images as in its training "
            f"([door.input] channels, scale, mean and std, or the function that asks it), and are its classes in this "
            f"order ([door.output] classes)?"
        )
    if found.lacking:
        progress.say(f"  {title}: it does not know {', '.join(found.lacking)}")
    if found.beside:
        progress.say(f"  {title}: its classes {', '.join(found.beside)} are left out")


def door_of(recipe: DoorRecipe) -> Door:
    """The door that `[door]` names."""
    return plugins.from_section(doors, Door, recipe.door, where="[door]")
