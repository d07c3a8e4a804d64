"""Building network, goal and update from a recipe's sections."""

from collections.abc import Sequence
from typing import Any

import torch

from mia_seg import objectives, plugins, segmenters, updates
from mia_seg.errors import MiaSegError
from mia_seg.objectives import Goal, Objective
from mia_seg.recipes import Recipe
from mia_seg.segmenters import Network, Segmenter
from mia_seg.segmenters._layout import laid, layout
from mia_seg.segmenters._norm import normed
from mia_seg.train._loading import Part
from mia_seg.updates import Training as Terms
from mia_seg.updates import Update


def build(section: dict[str, Any], classes: int) -> Network:
    chosen = plugins.from_section(segmenters, Segmenter, section, where="[segmenter]")
    return normed(chosen.build(classes), chosen.norm)


def fresh_network(recipe: Recipe, classes: int, seed: int) -> Network:
    torch.manual_seed(seed)
    return build(recipe.segmenter, classes).to(memory_format=layout())


def goal_of(recipe: Recipe, network: Network, classes: int, *, ids: Sequence[str]) -> Goal:
    chosen = plugins.from_section(objectives, Objective, recipe.objective, where="[objective]")
    return chosen.build(network, classes, ids=ids)


def check_objective(recipe: Recipe, classes: int, title: str, *, drawn: bool) -> None:
    """Raise MiaSegError where [objective] does not fit the network or synthetic features."""
    chosen = plugins.from_section(objectives, Objective, recipe.objective, where="[objective]")
    name = recipe.objective["name"]
    if chosen.replaces and drawn:
        raise MiaSegError(f"{title}: [objective] {name} cannot train on synthetic features. Leave out [synthetic].")
    section = {key: value for key, value in recipe.segmenter.items() if key != "pretrained"}
    with torch.device("meta"):
        network = build(section, classes)
        if chosen.replaces and type(network).outputs is not Network.outputs:
            network.outputs(torch.zeros(2, 3, *recipe.train.crop))  # what has none says so
    if chosen.hides and type(network).fit is not Network.fit and recipe.train.start is None:
        raise MiaSegError(
            f"{title}: [segmenter] {recipe.segmenter['name']} learns of all label maps before its first step, and "
            f"[objective] {name} is not to read them. Choose another [segmenter]."
        )


def update_of(recipe: Recipe) -> Update:
    """The recipe's `[update]`: how gradients become a step."""
    return plugins.from_section(updates, Update, recipe.update, where="[update]")


def placed(part: Part) -> Part:
    return laid(part[0]), part[1], part[2]


def check_update(recipe: Recipe, classes: int, terms: Terms) -> None:
    """Raise MiaSegError where [update] does not fit the network or the objective; weights need not be there."""
    section = {key: value for key, value in recipe.segmenter.items() if key != "pretrained"}
    with torch.device("meta"):
        goal = goal_of(recipe, build(section, classes), classes, ids=[])
    update_of(recipe).check(goal, terms)
