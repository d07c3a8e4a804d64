"""Generators of a model's features: trained on the scenes that the model itself was trained on, and no others."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mia_seg import gan, generators, plugins
from mia_seg.data import Scenes
from mia_seg.generators import Generator, WithGenerator
from mia_seg.recipes import Recipe
from mia_seg.stages import Stage
from mia_seg.stages.models import CACHE_BYTES, TrainedModel
from mia_seg.store import Draft, Store
from mia_seg.workspace import Workspace


@dataclass(frozen=True, eq=False)
class TrainedGenerator(Stage[Path]):
    """The generator of a model. recipe: the model's, with the requested `[generator]`."""

    kind = "generators"
    device = True

    model: TrainedModel
    recipe: Recipe

    @property
    def name(self) -> str:
        return self.model.name

    @property
    def title(self) -> str:
        return f"of {self.model.title}"

    @property
    def length(self) -> str:
        """What its training takes time for, whatever the machine."""
        height, width = self.recipe.train.crop
        epochs = self.recipe.train_generator.epochs
        return f"{self.recipe.generator['name']}, {epochs} epochs of the model's members at {height} x {width} pixels"

    def inputs(self) -> dict[str, Any]:
        settings = self.recipe.inputs("generator", "train_generator")
        groups = self.model.scenes.given("membership")  # whole groups are set aside
        return settings | {"model": self.model, "groups": groups, "seed": self._seed, "version": gan.VERSION}

    def make(self, draft: Draft, workspace: Workspace) -> None:
        model, store = self.model, workspace.store
        known, aside = (Scenes(model.dataset, workspace.data_root, ids, CACHE_BYTES) for ids in self.set_aside(store))
        network = model.network(store)
        workspace.fabric("32-true").to_device(network)
        gan.train(
            self.recipe,
            network,
            known,
            aside=aside,
            seed=self._seed,
            folder=draft.folder,
            scratch=draft.scratch,
            title=f"generator {self.title}",
            model=model.digest,
        )

    def load(self, folder: Path) -> Path:
        """The file of its weights."""
        return folder / gan.WEIGHTS

    def set_aside(self, store: Store) -> tuple[list[str], list[str]]:
        """The members that it learns from, and those that it is scored on."""
        parts, share = self.model.partition(store), self.recipe.train_generator.held_out
        return gan.set_aside(parts.members, parts.group, share, seed=self.model.seed)

    def paired(self, store: Store) -> WithGenerator:
        """The trained network with its generator, whose digest is the key of z."""
        network, model = self.model.network(store), self.model
        drawn = gan.load(self.recipe, network, model.classes, path=self.value(store), model=model.digest)
        return WithGenerator(network, drawn, self.digest)

    def score(self, store: Store) -> dict[str, Any]:
        """How well the segmenter reads its features, epoch by epoch, and what reads out of real ones."""
        rows = gan.read_log(self.value(store).parent, self.recipe.train_generator.epochs)
        known, aside = self.set_aside(store)
        real = {key.removeprefix("real_"): value for key, value in rows[-1].items() if key.startswith("real_")}
        return {
            "victim": self.model.recipe_name, "seed": self.model.seed, "generator": self.recipe.generator,
            "settings": self.recipe.train_generator.model_dump(mode="json"),
            "scenes": len(known), "held_out": len(aside),
            "digests": {"victim": self.model.digest, "generator": self.digest},
            "real": real, "epochs": [{key: row[key] for key in ("epoch", *real)} for row in rows],
        }  # fmt: skip

    def seconds(self, store: Store) -> float | None:
        """Seconds of its training by its log; None if none is kept."""
        made = self.artefact(store)
        return sum(row["seconds"] for row in gan.read_log(made.path)) if made.whole else None

    @property
    def _seed(self) -> int:
        """The seed of the segmenter's own weights: no attacker knows those that its victim's generator started from."""
        return self.model.weight_seed


def with_generator(recipe: Recipe, text: str | None) -> Recipe:
    """A recipe with another `[generator]`: `name` or `name:value,key=other` goes before what it says of that one."""
    if text is None:
        return recipe
    others = {key: value for key, value in recipe.generator.items() if key != "name"}
    chosen = plugins.parse(generators, Generator, text, defaults=others)
    return recipe.model_copy(update={"generator": plugins.settings_of(chosen)})
