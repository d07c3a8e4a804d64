"""Trained segmenters: victims and shadows go through the same stage, and nothing in it asks which one it holds."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

from lightning_fabric import Fabric

from mia_seg import objectives, plugins, progress, segmenters, train
from mia_seg.data import Dataset, Scenes
from mia_seg.objectives import Objective
from mia_seg.oracles import Oracle
from mia_seg.oracles.network import NetworkOracle
from mia_seg.recipes import DoorRecipe, Recipe
from mia_seg.recipes.splits import Partition
from mia_seg.segmenters import Network, Segmenter
from mia_seg.stages import Stage
from mia_seg.stages.scenes import Cut, Divided
from mia_seg.store import Draft, Store
from mia_seg.train._order import Plan
from mia_seg.updates import Spent
from mia_seg.updates import Training as Terms
from mia_seg.workspace import Workspace, devices_and_nodes

T = TypeVar("T")
Role = Literal["victims", "shadows"]
NAMED = 5  # scenes that a line names
CACHE_BYTES = 1 << 30  # decoded training scenes that stay in memory from one epoch to the next


class Features(Protocol):
    """What a training with synthetic features needs besides its scenes; `mia_seg.stages.synthetic` implements it."""

    @property
    def base(self) -> "TrainedModel":
        """The model whose weights it begins with."""

    @property
    def more(self) -> Cut | None:
        """Scenes with further layouts, as members."""

    def inputs(self) -> dict[str, Any]:
        """The inputs that shape the drawn features."""

    def source(self, workspace: Workspace, fabric: Fabric) -> train.Source | None:
        """The source of features; None for the control that draws none."""


class ModelStage(Stage[T]):
    """A model that can be asked, with scenes that it did or did not train on. seed: of its recipe and of queries."""

    recipe_name: str
    recipe: Recipe | DoorRecipe
    seed: int
    scenes: Divided

    @property
    def name(self) -> str:
        return f"{self.recipe_name}.s{self.seed}"

    @property
    def title(self) -> str:
        return f"{self.recipe_name}, seed {self.seed}"

    @property
    def dataset(self) -> Dataset:
        """The data set of its scenes."""
        return self.scenes.dataset

    @abstractmethod
    def oracle(self, workspace: Workspace, scenes: Mapping[int, str]) -> Oracle:
        """It as a service. scenes: the scene that each key is of."""

    def partition(self, store: Store) -> Partition:
        """Its members, non-members and pool."""
        return self.scenes.partition(store)


Model = ModelStage[Any]


class Aids(Protocol):
    """An objective's inputs besides the members; `mia_seg.stages.company` implements it."""

    @property
    def teachers(self) -> "Sequence[TrainedModel]":
        """Models that were trained for it."""

    @property
    def reference(self) -> Cut | None:
        """Scenes outside the split that it reads, as members."""

    def inputs(self) -> dict[str, Any]:
        """What shapes the training."""

    def trained_on(self) -> list[str] | None:
        """The scenes that take the members' place; None: the members stay."""

    def company(self, workspace: Workspace) -> train.Company:
        """The same, loaded."""


@dataclass(frozen=True, eq=False)
class TrainedModel(ModelStage[Path]):
    """A segmenter trained on the members of its scenes. seed: of the recipe. weight_seed: of its first weights.

    start: a model whose weights it begins with. pretrained: hashes of the backbone's weight files. aids: its
    objective's inputs besides the members.
    """

    device = True
    joint = True

    recipe_name: str
    recipe: Recipe
    seed: int
    weight_seed: int
    scenes: Divided
    role: Role
    start: "TrainedModel | None" = None
    features: Features | None = None
    pretrained: tuple[str, ...] = ()
    aids: Aids | None = None

    @property
    def kind(self) -> str:  # type: ignore[override]
        """ "victims" or "shadows": the folder in the store."""
        return self.role

    @property
    def classes(self) -> int:
        """The number of its classes."""
        return len(self.dataset.classes())

    def inputs(self) -> dict[str, Any]:
        settings = self.recipe.shaping()
        settings["train"].pop("start", None)  # the model stands for its recipe's name
        given = {"scenes": self.scenes.given("members"), "seed": self.weight_seed, "version": train.VERSION}
        begun = {"start": self.start} if self.start else {}
        read = {"pretrained": list(self.pretrained)} if self.pretrained else {}
        beside = (self.features.inputs() if self.features else {}) | (self.aids.inputs() if self.aids else {})
        return settings | given | begun | read | beside

    def check(self, workspace: Workspace) -> None:
        settings = self.recipe.train
        workspace.check(settings.precision, "[train]", joint=True)
        devices, nodes = devices_and_nodes(workspace.devices)
        train.check_shared(self.title, settings, devices * nodes)
        plugins.from_section(segmenters, Segmenter, self.recipe.segmenter, where="[segmenter]").fetch()

    def make(self, draft: Draft, workspace: Workspace) -> None:
        store, members = workspace.store, self.partition(workspace.store).members
        staged = "objective" in self.special
        fabric = workspace.fabric(self.recipe.train.precision, joint=True, staged=staged)
        self._say_labels()
        instead = self.aids.trained_on() if self.aids else None
        company = self.aids.company(workspace) if self.aids else train.Company()
        train.train(
            self.recipe,
            Scenes(
                self.dataset,
                workspace.data_root,
                self.dataset.trained(members) if instead is None else instead,
                room=CACHE_BYTES,
            ),
            seed=self.weight_seed,
            folder=draft.folder,
            scratch=draft.scratch,
            fabric=fabric,
            workers=workspace.workers,
            title=self.title,
            start=self._beginning.value(store) if self._beginning else None,
            company=replace(company, source=self.features.source(workspace, fabric) if self.features else None),
        )

    def _say_labels(self) -> None:
        """What the labels' values came to, where somebody reads along."""
        cut = self.scenes.cut
        if cut.labels is not None:
            progress.say(f"  {self.title}: of the labels, {cut.labels.says()}")
        if lost := [i for part in cut.left_out.values() for i in part]:
            named = f"{', '.join(lost[:NAMED])}{', ...' if len(lost) > NAMED else ''}"
            progress.say(f"  {self.title}: left out for want of a labelled pixel, {len(lost)} scenes: {named}")

    @property
    def _beginning(self) -> "TrainedModel | None":
        return self.features.base if self.features else self.start

    def beside(self) -> Iterator[tuple[list[str], Cut]]:
        """What shapes its weights besides its own scenes, at any remove: names from it to there, and the members."""
        read = {
            "[objective]": self.aids.reference if self.aids else None,
            "[synthetic]": self.features.more if self.features else None,
        }
        yield from (([self.recipe_name, section], cut) for section, cut in read.items() if cut)
        for model in (self._beginning, *(self.aids.teachers if self.aids else ())):
            if model is not None:
                yield [self.recipe_name, model.recipe_name], model.scenes.cut
                yield from (([self.recipe_name, *way], cut) for way, cut in model.beside())

    def load(self, folder: Path) -> Path:
        """The file of its weights."""
        return folder / train.WEIGHTS

    @property
    def objective(self) -> Objective:
        """What its training minimises."""
        return plugins.from_section(objectives, Objective, self.recipe.objective, where="[objective]")

    @property
    def special(self) -> dict[str, Any]:
        """[objective] and [update], if the recipe gives them: {} for plain training."""
        shaping = self.recipe.shaping()
        return {section: shaping[section] for section in ("objective", "update") if section in shaping}

    def spent(self) -> Spent | None:
        """The privacy proven of its training; None if nothing is, or if a shadow's members are not chosen yet."""
        if not isinstance(self.scenes, Cut):
            return None
        members, drawn = self.scenes.parts.members, self.features is not None
        given = terms(self.title, self.recipe, self.dataset, members=members, drawn=drawn)
        return train.update_of(self.recipe).spent(given)

    def seconds(self, store: Store) -> float | None:
        """Seconds of the steps of its training and its teachers', by their logs; None if a log is not kept.

        Waiting between a kill and the next run is not counted.
        """
        made = self.artefact(store)
        rows = train.read_log(made.path) if made.whole else [{}]
        told: list[float | None] = [row.get("seconds") for row in rows]
        told += [teacher.seconds(store) for teacher in (self.aids.teachers if self.aids else ())]
        kept = [seconds for seconds in told if seconds is not None]
        return sum(kept) if len(kept) == len(told) else None

    def network(self, store: Store) -> Network:
        """The trained network, in evaluation mode."""
        return train.load_network(self.recipe, self.classes, self.value(store))

    def oracle(self, workspace: Workspace, scenes: Mapping[int, str]) -> Oracle:
        """On the workspace's device."""
        del scenes
        network = self.network(workspace.store)
        workspace.fabric("32-true").to_device(network)
        return NetworkOracle(network, self.recipe.window)


def terms(
    title: str, recipe: Recipe, dataset: Dataset, *, members: Sequence[str], drawn: bool, devices: int = 1
) -> Terms:
    """What a training's update is checked against and accounts for. drawn: whether synthetic features join it."""
    settings, count = recipe.train, len(dataset.trained(members))
    return Terms(
        title, count, settings.batch, Plan(count, settings).steps, settings.accumulate, devices,
        drawn=drawn, frozen=settings.trains == "head", repeated=count > len(members), precision=settings.precision,
        objective=recipe.objective["name"],
    )  # fmt: skip
