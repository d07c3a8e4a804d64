"""Checks before a run: sections and sizes fit each other, the memory suffices, a budget pays for the queries."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mia_seg import attacks, gan, objectives, plugins, train
from mia_seg.attacks import Attack
from mia_seg.attacks.patch_resnet50 import PatchResNet50
from mia_seg.data import Dataset
from mia_seg.errors import MiaSegError
from mia_seg.objectives import Objective
from mia_seg.recipes import AuditedRecipe, Recipe, ShadowRecipe, VictimRecipe
from mia_seg.recipes.adversaries import A1, Fleet
from mia_seg.recipes.splits import Partition
from mia_seg.stages import Stage, memory, queries
from mia_seg.stages.answers import AskedModel
from mia_seg.stages.attackers import FittedAttacker
from mia_seg.stages.generators import TrainedGenerator
from mia_seg.stages.models import CACHE_BYTES, TrainedModel, terms
from mia_seg.stages.plan import Plan
from mia_seg.stages.results import Measured
from mia_seg.stages.scenes import Cut
from mia_seg.stages.shadow_members import check_room, halves, listed, scenes_of
from mia_seg.train._order import Plan as Steps
from mia_seg.workspace import Workspace, devices_and_nodes


def check(plan: Plan, workspace: Workspace) -> None:
    """Raise MiaSegError for the first missing stage that cannot be made."""
    for stage in plan.missing:
        if isinstance(stage, TrainedModel):
            devices, drawn = math.prod(devices_and_nodes(workspace.devices)), stage.features is not None
            instead = stage.aids and stage.aids.trained_on()
            members = instead or scenes_of(stage.scenes, "members")
            title = f"{stage.title}, on the scenes that [split] leaves over" if instead else stage.title
            check_training(title, stage.recipe, stage.dataset, members=members, drawn=drawn, devices=devices)
        elif isinstance(stage, TrainedGenerator):
            _check_generator(stage)
        elif isinstance(stage, AskedModel):
            _check_answer(stage, workspace.data_root)
    for method, asked in dict.fromkeys(_patched(plan.missing)):
        dataset, ids = asked.scenes.dataset, scenes_of(asked.scenes, asked.part)
        check_patches(method, dataset, ids, stride=asked.stride, data_root=workspace.data_root)
    queries.check(plan, workspace)


def held(stage: Stage[Any], workspace: Workspace) -> int:
    """A lower bound on the bytes of memory to make a stage."""
    if isinstance(stage, TrainedModel):
        scenes, dataset = scenes_of(stage.scenes, "members"), stage.dataset
        decoded = memory.of_scenes(dataset.shape(workspace.data_root, scenes[0]), len(scenes))
        return memory.PROCESS + min(CACHE_BYTES, decoded) + memory.of_step(stage.recipe.train, stage.classes)
    if isinstance(stage, TrainedGenerator):
        settings = stage.recipe.train_generator
        return memory.PROCESS + memory.of_layouts(stage.recipe.train.crop, settings.batch, stage.model.classes)
    if isinstance(stage, AskedModel):
        return memory.PROCESS + _of_answer(stage, scenes_of(stage.scenes, stage.part)[0], workspace.data_root)
    patched = [memory.of_patches(method, len(asked.model.dataset.classes())) for method, asked in _patched([stage])]
    return memory.PROCESS + sum(patched)


def check_recipe(name: str, recipe: AuditedRecipe, cut: tuple[Dataset, Partition], *, data_root: Path | None) -> None:
    """Raise MiaSegError if a recipe whose scenes exist cannot be run: batches, sections, patches, memory."""
    if not isinstance(recipe, Recipe):
        return
    (dataset, parts), drawn = cut, isinstance(recipe, VictimRecipe) and recipe.synthetic is not None
    members = _trained_on(name, recipe, parts, data_root=data_root)
    check_training(name, recipe, dataset, members=members, drawn=drawn)
    _check_teachers(name, recipe, members, group=parts.group)
    gan.check(recipe)
    if not isinstance(recipe, ShadowRecipe):
        return
    settings = recipe.attacks.get("patch_resnet50", {})
    if settings or not isinstance(recipe.adversary, Fleet):  # no attack that is usual for a fleet looks at patches
        method = plugins.build(attacks, Attack, "patch_resnet50", settings=settings, where="[attacks.patch_resnet50]")
        assert isinstance(method, PatchResNet50)
        asked = parts.pool if isinstance(recipe.adversary, A1) else parts.audited
        check_patches(method, dataset, asked, stride=recipe.adversary.stride, data_root=data_root)


def _check_teachers(name: str, recipe: Recipe, members: Sequence[str], *, group: Mapping[str, str]) -> None:
    """Raise MiaSegError if the members of an objective's teachers do not fill a batch."""
    objective = plugins.from_section(objectives, Objective, recipe.objective, where="[objective]")
    taught = objective.taught_by(members, group, seed=0)
    if taught:
        Steps(min(map(len, taught)), recipe.train).check(f"{name}, a teacher")


def check_training(
    title: str, recipe: Recipe, dataset: Dataset, *, members: Sequence[str], drawn: bool, devices: int = 1
) -> None:
    """Raise MiaSegError if members do not fill a batch, a step does not fit into memory, or a section does not fit.

    drawn: whether synthetic features join the training.
    """
    settings, classes, special = recipe.train, len(dataset.classes()), recipe.shaping()
    Steps(len(members), settings).check(title)
    what = f"{title}: [train] batch = {settings.batch} and crop = {list(settings.crop)}, in {classes} classes,"
    memory.check(what, memory.of_step(settings, classes), "Lower crop, or batch.")
    if "objective" in special:
        train.check_objective(recipe, classes, title, drawn=drawn)
    if "update" in special:
        given = terms(title, recipe, dataset, members=members, drawn=drawn, devices=devices)
        train.check_update(recipe, classes, given)


def check_update(model: TrainedModel) -> None:
    """Raise MiaSegError if the model's [update] does not go with its other sections, or promises what it cannot."""
    members, drawn = scenes_of(model.scenes, "members"), model.features is not None
    given = terms(model.title, model.recipe, model.dataset, members=members, drawn=drawn)
    train.check_update(model.recipe, model.classes, given)


def check_patches(
    method: PatchResNet50, dataset: Dataset, ids: Sequence[str], *, stride: int, data_root: Path | None
) -> None:
    """Raise MiaSegError if an answer is smaller than a patch, or if a batch of patches does not fit into memory."""
    name = plugins.settings_of(method)["name"]
    for scene_id in ids:
        cells = tuple(-(-side // stride) for side in dataset.shape(data_root, scene_id))
        if cells[0] < method.patch[0] or cells[1] < method.patch[1]:
            raise MiaSegError(
                f"Attack '{name}' looks at patches of {method.patch} cells, and the answer to scene '{scene_id}' has "
                f"{cells}: one for every {stride} pixels each way. Write '{name}:patch={min(cells)}', lower 'patch' in "
                f"[attacks.{name}] or 'stride' in [adversary], or leave the attack out."
            )
    what = f"Attack '{name}' with patch = {list(method.patch)}, batch = {method.batch}, patches = {method.patches}"
    memory.check(what, memory.of_patches(method, len(dataset.classes())), f"Lower one of these in [attacks.{name}].")


def _check_generator(stage: TrainedGenerator) -> None:
    recipe, classes, settings = stage.recipe, stage.model.classes, stage.recipe.train_generator
    gan.check(recipe)
    if isinstance(stage.model.scenes, Cut):
        parts = stage.model.scenes.parts
        known, _ = gan.set_aside(parts.members, parts.group, settings.held_out, seed=stage.model.seed)
        if len(known) < settings.batch:
            raise MiaSegError(
                f"Generator {stage.title}: {len(known)} scenes are left to learn from, which do not fill a batch of "
                f"{settings.batch}. Lower [train_generator] batch or held_out, or leave synfeat out."
            )
    what = f"Generator {stage.title}: [train_generator] batch = {settings.batch} and crop = {list(recipe.train.crop)}"
    memory.check(what, memory.of_layouts(recipe.train.crop, settings.batch, classes), "Lower one of these.")


def _check_answer(stage: AskedModel, data_root: Path | None) -> None:
    first = scenes_of(stage.scenes, stage.part)[0]
    image, classes = stage.scenes.dataset.shape(data_root, first), len(stage.model.dataset.classes())
    stage.defense.component.check(classes)
    what = f"To hold {stage.repeats} answers about scene '{first}' of {image} pixels, in {classes} classes,"
    memory.check(what, _of_answer(stage, first, data_root), "Lower --repeats, or [data] size.")


def _of_answer(stage: AskedModel, scene_id: str, data_root: Path | None) -> int:
    image = stage.scenes.dataset.shape(data_root, scene_id)
    return memory.of_answer(image, len(stage.model.dataset.classes()), stage.repeats)


def _patched(stages: Sequence[Stage[Any]]) -> Iterator[tuple[PatchResNet50, AskedModel]]:
    """The answers that are cut into patches, by an attack that learns from them or scores them."""
    for stage in stages:
        fitted = stage.attacker if isinstance(stage, Measured) else stage
        if isinstance(fitted, FittedAttacker) and isinstance(fitted.method, PatchResNet50):
            seen = stage.seen if isinstance(stage, Measured) else fitted.seen[0]
            yield fitted.method, seen.audited


def _trained_on(name: str, recipe: Recipe, parts: Partition, *, data_root: Path | None) -> list[str]:
    """The scenes of a recipe's model: of a fleet's the fewest, and as many of the pool as are still to be chosen."""
    adversary = recipe.adversary if isinstance(recipe, ShadowRecipe) else None
    if isinstance(adversary, Fleet):
        return min((half.members for half in halves(parts, adversary.models, 0)), key=len)
    if not isinstance(adversary, A1):
        return parts.members
    check_room(name, parts, adversary)
    if isinstance(adversary.members, str):
        return listed(parts, data_root, adversary.members).members
    return parts.pool[: adversary.members]
