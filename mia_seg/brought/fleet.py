"""A fleet of shadows for a model that exists, by the recipe of `labelmefacade_small_fleet`, at a small size."""

import math
import shlex
from pathlib import Path

from pydantic import ValidationError

from mia_seg import plugins, recipes
from mia_seg.brought import Files, Sections, toml
from mia_seg.data._paired import Paired
from mia_seg.errors import MiaSegError
from mia_seg.recipes import ShadowRecipe
from mia_seg.recipes.adversaries import Fleet
from mia_seg.train import seconds_a_step
from mia_seg.train._order import Plan
from mia_seg.workspace import Workspace

BASE = "labelmefacade_small_fleet"
PIXELS, STEP = 96 * 128, 8  # what a shadow sees of a scene at most, and what its sides are multiples of
LEAST, LOOKED_AT = 32, 20  # pixels of a side; scenes whose size is looked at
HEAD = """\
# {models} shadows of {victim}, each trained on a random half of the scenes that it is audited on.
# Run:    mia-seg audit {victim} --shadows {models} --data-root {root}
# Written by mia-seg audit; edit it and run it again.
"""


def fleet(victim: str, models: int, workspace: Workspace) -> tuple[Files, str]:
    """The recipe of `models` shadows of a victim, as a file to be written, and its name.

    One that is there and says another number alone is written anew: a larger fleet begins with the models of a smaller
    one, under one name. Raises MiaSegError for a number that is none, and for scenes whose size cannot be set.
    """
    name, root = f"{victim}_fleet", shlex.quote(str(workspace.data_root or "FOLDER"))
    head = HEAD.format(victim=victim, models=models, root=root)
    sections, path = _sections(victim, models, workspace), Path.cwd() / "shadows" / f"{name}.toml"
    _recipe(sections)
    fix = f"Run 'mia-seg run {victim} {name}' to use it, or remove it."
    return Files(fix, {path: head + "\n" + toml(sections)}, ours=_is_ours(path, name, sections)), name


def _is_ours(path: Path, name: str, sections: Sections) -> bool:
    """Whether the file differs in the number of shadows alone."""
    if not path.is_file():
        return False
    there = recipes.load_shadow(name)
    if not isinstance(there.adversary, Fleet):
        return False
    more = sections | {"adversary": sections["adversary"] | {"models": there.adversary.models}}
    return there == _recipe(more)


def _recipe(sections: Sections) -> ShadowRecipe:
    """Nothing is written that could not be read back."""
    try:
        return ShadowRecipe.model_validate(sections)
    except ValidationError as error:
        raise MiaSegError(plugins.explain(error, ShadowRecipe, "--shadows")) from None


def priced(victim: str, models: int, workspace: Workspace) -> str:
    """What such a fleet trains and about how long that takes here; '' where there cannot be one."""
    try:
        recipe = _recipe(_sections(victim, models, workspace))
        cut = recipe.split.cut(recipe.dataset(), workspace.data_root, 0)
        plan = Plan(len(cut.audited) // 2, recipe.train)
        plan.check(victim)
    except MiaSegError:
        return ""
    classes, fabric = len(recipe.dataset().classes()), workspace.fabric(recipe.train.precision)
    minutes = models * plan.steps * seconds_a_step(recipe, classes, fabric) / 60
    height, width = recipe.train.crop
    return (
        f"{models} shadows of {recipe.architecture} on halves of the {len(cut.audited)} scenes, {plan.epochs} epochs "
        f"at {height} x {width}: about {max(1, round(minutes))} minutes here"
    )


def _sections(victim: str, models: int, workspace: Workspace) -> Sections:
    found, base, data_root = recipes.load_victim(victim), recipes.load_shadow(BASE), workspace.data_root
    dataset = found.dataset()
    parts = found.split.cut(dataset, data_root, 0)
    if not isinstance(dataset, Paired):
        raise MiaSegError(f"--shadows: '{victim}' has generated scenes, no image files. Write a shadow recipe for it.")
    if not dataset.has_labels(data_root):
        raise MiaSegError(
            f"--shadows: the scenes of '{victim}' have no labels to train on. Name label files in its table."
        )
    ids = parts.audited[:: max(1, len(parts.audited) // LOOKED_AT)]
    size = list(_size([dataset.shape(data_root, i) for i in ids]))
    train = base.train.model_dump(mode="json", exclude_defaults=True)
    train |= {
        "crop": size,
        "batch": max(2, min(base.train.batch, len(parts.audited) // 2)),
        "precision": workspace.fastest,
    }
    return {
        "adversary": {"kind": "A1", "victim": victim, "choose": "halves", "models": models},
        "data": found.data | {"size": size},
        "split": found.split.model_dump(mode="json", exclude_defaults=True),
        "segmenter": base.segmenter,
        "train": train,
    }


def _size(shapes: list[tuple[int, int]]) -> tuple[int, int]:
    """The middle of some scenes' sizes, shrunk to `PIXELS` where it is larger."""
    height, width = (sorted(sides)[len(sides) // 2] for sides in zip(*shapes, strict=True))
    shrunk = min(1.0, math.sqrt(PIXELS / (height * width)))
    return tuple(max(LEAST, STEP * round(side * shrunk / STEP)) for side in (height, width))
