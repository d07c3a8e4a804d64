"""The inputs of the graph from disk: scenes and weights, by the content of their files."""

from collections.abc import Callable, Hashable
from functools import wraps
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from mia_seg import data, plugins, segmenters
from mia_seg.data import Dataset
from mia_seg.errors import MiaSegError
from mia_seg.oracles.doors import Door
from mia_seg.recipes import AuditedRecipe, Recipe, Synthetic
from mia_seg.recipes.splits import Partition, SplitRule
from mia_seg.segmenters import Segmenter
from mia_seg.stages.labels import labelled
from mia_seg.stages.pictures import seen
from mia_seg.stages.scenes import Cut, check_parts, read_cut
from mia_seg.store.content import Content
from mia_seg.workspace import Workspace

P = ParamSpec("P")
S = TypeVar("S")
T = TypeVar("T")
R = TypeVar("R", bound=AuditedRecipe)


def once(build: Callable[Concatenate[S, P], T]) -> Callable[Concatenate[S, P], T]:
    """Decorate a method to cache its results for the lifetime of its object."""

    @wraps(build)
    def found(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        built: dict[Hashable, T] = self.__dict__.setdefault("_built", {})
        place = (build.__name__, args, tuple(sorted(kwargs.items())))
        if place not in built:
            built[place] = build(self, *args, **kwargs)
        return built[place]

    return found


class Sources:
    """Scenes and weights of recipes, as this machine has them. Each file is read once for its hash."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.content = Content(workspace.store.root / "content.json")

    def recipe(self, recipe: R) -> R:
        """The recipe at the precision that the workspace asks for; it shapes the model."""
        if self.workspace.precision is None or not isinstance(recipe, Recipe):
            return recipe
        train = recipe.train.model_copy(update={"precision": self.workspace.precision})
        return recipe.model_copy(update={"train": train})

    def cut(self, recipe: AuditedRecipe, seed: int, whose: str = "the recipe") -> Cut:
        """A recipe's scenes, cut by its rule. Raises MiaSegError naming `whose` where two parts have one picture."""
        found = self._cut(*recipe.cut(self.workspace.data_root, seed))
        found = labelled(found, self.workspace)
        if isinstance(recipe, Recipe):
            _check_labelled(found, whose)
        check_parts(found, whose)
        return found

    def more(self, base: Cut, name: str, settings: Synthetic, *, rule: SplitRule) -> Cut:
        """Scenes for further layouts: outside all parts of a victim's split, which `rule` cut, or of another data set.

        The labels of audited scenes would make these half members.
        """
        dataset = base.dataset
        # Of another data set too: [synthetic.data] may name the same one, resized.
        used, near = _taken(base)
        if settings.data is not None:
            dataset = plugins.from_section(data, Dataset, settings.data, where="[synthetic.data]")
        if dataset.classes() != base.dataset.classes():
            raise MiaSegError(f"[synthetic.data] has other classes than '{name}'. Merge its labels into the same ones.")
        root = self.workspace.data_root
        every = rule.every(dataset, root) if settings.data is None else dataset.ids(root)
        found = self._cut(dataset, Partition(every, [], [], {i: i for i in every}))
        if settings.masks == "labels":  # pseudo-labels need none
            found = labelled(found, self.workspace)
            _check_labelled(found, f"'{name}'")
        if settings.data is not None:
            near = frozenset()  # ids of another data set are other scenes
        left = [i for i in found.parts.members if found.pictures[i] not in used and i not in near]
        if not left:
            raise MiaSegError(
                f"[synthetic] masks = '{settings.masks}': every scene is in a part of '{name}'s split. Leave some "
                f"over in [split], name another data set in [synthetic.data], or use masks = 'members'."
            )
        return found.with_parts(Partition(left, [], [], {i: i for i in left}))

    def left(self, base: Cut, name: str, *, rule: SplitRule) -> Cut:
        """The labelled scenes that a model's rule cuts and that are in no part of its split, as members of another cut.

        Raises MiaSegError where there are none.
        """
        every, (used, near) = rule.every(base.dataset, self.workspace.data_root), _taken(base)
        found = labelled(self._cut(base.dataset, Partition(every, [], [], {i: i for i in every})), self.workspace)
        left = [i for i in found.parts.members if found.pictures[i] not in used and i not in near]
        if not left:
            raise MiaSegError(
                f"The [objective] of '{name}' reads scenes of no part of its split, and every scene is in one. Leave "
                f"some over in [split]."
            )
        return found.with_parts(Partition(left, [], [], {i: i for i in left}))

    def pretrained(self, recipe: Recipe) -> tuple[str, ...]:
        """Hashes of the local files whose weights a backbone begins with."""
        segmenter = plugins.from_section(segmenters, Segmenter, recipe.segmenter, where="[segmenter]")
        return tuple(self.content.of(segmenter.files()))

    def behind(self, door: Door) -> tuple[str, ...]:
        """Hashes of the files behind a door."""
        found = tuple(self.content.of(door.files(Path.cwd())))
        self.content.save()
        return found

    def _cut(self, dataset: Dataset, parts: Partition) -> Cut:
        found = read_cut(dataset, parts, self.workspace.data_root, content=self.content)
        self.content.save()
        return seen(found, self.workspace)


def _taken(base: Cut) -> tuple[set[str], frozenset[str]]:
    """The pictures of a split's parts, and the scenes of their groups: what is left of a block looks like the rest."""
    parts = base.parts
    inside = (*parts.members, *parts.nonmembers, *parts.pool)
    groups = {parts.group[i] for i in inside}
    return {base.pictures[i] for i in inside}, frozenset(i for i, group in parts.group.items() if group in groups)


def _check_labelled(cut: Cut, whose: str) -> None:
    if cut.unlabelled:
        raise MiaSegError(
            f"The data of {whose} have no labels, and training needs them. Name label files in the table."
        )
