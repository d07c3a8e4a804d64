"""Recipes: a recipe is one TOML file with everything that shapes a model, victim or shadow. Its stem is its name."""

import os
import tomllib
from importlib import import_module
from pathlib import Path
from stat import S_ISREG
from typing import Any, Literal, TypeVar, overload

from pydantic import Field, ValidationError, model_validator

from mia_seg import data, plugins, texts, values
from mia_seg.data import Dataset
from mia_seg.errors import MiaSegError
from mia_seg.plugins import Component
from mia_seg.recipes import variants
from mia_seg.recipes.adversaries import Adversary
from mia_seg.recipes.sections import Precision, Section, Synthetic, Train, TrainGenerator, Window
from mia_seg.recipes.splits import Partition, SplitRule
from mia_seg.values import Name

__all__ = [
    "SUPERVISED", "AuditedRecipe", "DoorRecipe", "File", "Kind", "Precision", "Recipe", "ShadowRecipe", "Synthetic",
    "Train", "TrainGenerator", "VictimRecipe", "Window", "check_file", "find", "folders", "load", "load_shadow",
    "load_trained", "load_victim", "names", "read",
]  # fmt: skip

Kind = Literal["victim", "shadow"]
File = Literal["victim", "shadow", "grid"]  # what is looked for by its name
R = TypeVar("R", bound="AuditedRecipe")
SUPERVISED, PLAIN_SGD = {"name": "supervised"}, {"name": "sgd"}
# Sections that name a component: the package that holds it, and the class that it is of.
COMPONENTS = {
    "segmenter": ("segmenters", "Segmenter"), "generator": ("generators", "Generator"),
    "objective": ("objectives", "Objective"), "update": ("updates", "Update"), "door": ("oracles.doors", "Door"),
}  # fmt: skip


class AuditedRecipe(Section):
    """What an audit needs to know of any model: its scenes, and which of them are members."""

    variant_of: Name | None = Field(
        default=None, description="a victim recipe that gives all keys that this one does not"
    )
    data: dict[str, Any]
    split: SplitRule

    def dataset(self) -> Dataset:
        """The data set that `[data]` names, with its settings."""
        return plugins.from_section(data, Dataset, self.data, where="[data]")

    def cut(self, data_root: Path | None, seed: int) -> tuple[Dataset, Partition]:
        """The data set, with canaries if any, and its parts under `seed`. Raises MiaSegError as `SplitRule.cut`."""
        dataset = self.dataset()
        parts = self.split.cut(dataset, data_root, seed)
        return self.split.planted(dataset, parts, seed), parts

    def inputs(self, *sections: str) -> dict[str, Any]:
        """The named sections as JSON without default values, so that a new key with a default changes no digest."""
        given = self.model_dump(mode="json", exclude_defaults=True)
        return {name: _component(name, getattr(self, name)) or given.get(name, {}) for name in sections}

    @property
    def architecture(self) -> str:
        """'pspnet resnet18'."""
        raise NotImplementedError


class DoorRecipe(AuditedRecipe):
    """A victim that exists already: `[door]` says how it is asked."""

    window: Window | None = None
    door: dict[str, Any]

    @model_validator(mode="after")
    def _one_picture(self) -> "DoorRecipe":
        if self.window is not None and self.window.mirror:
            raise ValueError("[window] mirror adds logits inside a network, which a door does not show: leave it out")
        if self.split.canaries:
            raise ValueError(
                "[split] canaries have to be trained on, and a model behind [door] is trained: leave it out"
            )
        return self

    @property
    def architecture(self) -> str:
        """'callable door': the architecture behind a door is not known."""
        return f"{self.door.get('name')} door"


class Recipe(AuditedRecipe):
    """What shapes a model and its generator, whoever trains it."""

    segmenter: dict[str, Any]
    train: Train
    objective: dict[str, Any] = Field(default_factory=lambda: dict(SUPERVISED), description="what training minimises")
    update: dict[str, Any] = Field(default_factory=lambda: dict(PLAIN_SGD), description="how gradients become a step")
    window: Window | None = None
    generator: dict[str, Any] = Field(
        default_factory=lambda: {"name": "dfgan"}, description="generator of features, for synfeat"
    )
    train_generator: TrainGenerator = TrainGenerator()

    def shaping(self) -> dict[str, Any]:
        """What shapes the trained weights besides scenes and seeds, as JSON; plain training is left out."""
        found = self.inputs("segmenter", "train", "objective", "update")
        plain = {"objective": SUPERVISED, "update": PLAIN_SGD}
        return {name: section for name, section in found.items() if plain.get(name) != section}

    @property
    def architecture(self) -> str:  # noqa: D102 (AuditedRecipe describes it)
        return " ".join(str(self.segmenter[key]) for key in ("name", "backbone") if key in self.segmenter)


class VictimRecipe(Recipe):
    """A victim that mia-seg trains. It may continue another one, with features from that one's generator."""

    synthetic: Synthetic | None = None

    @model_validator(mode="after")
    def _one_beginning(self) -> "VictimRecipe":
        if self.synthetic is not None and self.train.start is not None:
            raise ValueError("[synthetic] begins with the weights of its victim: leave out [train] start")
        return self


class ShadowRecipe(Recipe):
    """An attacker's own model, with what the attacker knows, and the settings of its attacks."""

    adversary: Adversary
    attacks: dict[str, dict[str, Any]] = Field(default_factory=dict, description="settings by attack")


# Sections of what mia-seg trains.
TRAINED = ("segmenter", "train", "objective", "update", "generator", "train_generator", "synthetic")
MOST_BYTES = 1_000_000
GENERATORS = "generators"
FLEET, MODELS = "_fleet", 16  # the fleet of victim NAME is shadow NAME_fleet, whether or not a file says more of it
# No recipes' names.
RESERVED = {
    GENERATORS: "names the folder of generators' scores in reports",
    "screen": "stands in results for a look at a victim without a shadow",
}
# Sections that only the other kind has.
FOREIGN = {
    "victim": {"adversary": "a victim must not have a section [adversary]"},
    "shadow": {
        "door": "[door] is how a victim that exists is asked: a shadow is trained here, by [segmenter] and [train]",
        "synthetic": "[synthetic] goes on from a victim's weights, and no attacker has them: leave it out of a shadow",
    },
}


def _component(section: str, given: Any) -> dict[str, Any] | None:
    """A component's name and what is not at its defaults; None for a section that names no component."""
    if section not in COMPONENTS:
        return None
    package, base = COMPONENTS[section]
    module = import_module(f"mia_seg.{package}")  # by name: what a recipe shapes comes after it in the line
    cls: type[Component] = getattr(module, base)
    component = plugins.from_section(module, cls, given, where=f"[{section}]")
    version = getattr(component, "VERSION", 1)
    return plugins.settings_of(component) | ({"version": version} if version > 1 else {})


def folders(kind: File) -> list[Path]:
    """Where recipes of a kind are looked for: the working directory first, then what came with mia-seg."""
    package = Path(__file__).parents[1]
    # An installed wheel carries the recipes inside the package; a checkout has them beside it.
    return [Path.cwd() / f"{kind}s", package / f"{kind}s", package.parent / f"{kind}s"]


def names(kind: File) -> list[str]:
    """The names of all recipes or grids of a kind, sorted: every path that ends in .toml, even if it is no file."""
    return sorted({name.removesuffix(".toml") for folder in folders(kind) for name in _files(folder)})


def _files(folder: Path) -> list[str]:
    """The names of recipes' files in a folder; hidden ones ('._a.toml' of a Mac) are none."""
    try:
        found = [name for name in os.listdir(folder) if name.endswith(".toml") and not texts.is_hidden(Path(name))]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise MiaSegError(f"{folder} cannot be listed ({error.strerror}). Check that it may be read.") from None
    for name in found:
        texts.check_name(name, folder)
    return found


def find(kind: File, name: str) -> Path:
    """The file of recipe `name`; for a fleet without a file, its victim's. Raises MiaSegError with similar names."""
    try:
        values.named(name)
    except ValueError as error:
        raise MiaSegError(f"{plugins.shown(name)} is no name of a recipe: {error}. See 'mia-seg list'.") from None
    for folder in folders(kind):
        path = folder / f"{name}.toml"
        if os.path.lexists(path):  # a link to nowhere is there, and is said to lead nowhere when it is read
            return path
    if kind == "shadow" and name.removesuffix(FLEET) in {*names("victim")} - {name}:
        return find("victim", name.removesuffix(FLEET))
    what = kind if kind == "grid" else f"{kind} recipe"
    victims = names("victim") if kind == "shadow" else []
    hint = plugins.nearest(name, names(kind), unlisted=[f"{victim}{FLEET}" for victim in victims])
    fleet = f" Victim '{name}' has a fleet too: '{name}{FLEET}'." if name in victims else ""
    raise MiaSegError(f"No {what} is called '{name}'.{hint}{fleet}")


def load_victim(name: str) -> VictimRecipe | DoorRecipe:
    """The validated victim recipe `name`; a wrong key or value is refused naming file, key and the allowed keys."""
    given, path = _given("victim", name)
    given = variants.completed(given, f"{path}", _of_victim, seen=(name,))
    if "door" not in given:
        return _checked(VictimRecipe, given, path)
    if own := [section for section in TRAINED if section in given]:
        raise MiaSegError(f"{path}: a victim with [door] exists already: leave out [{own[0]}].")
    return _checked(DoorRecipe, given, path)


def load_trained(name: str) -> VictimRecipe:
    """A victim recipe that mia-seg trains itself: one with weights. Raises MiaSegError for one behind a door."""
    found = load_victim(name)
    if isinstance(found, DoorRecipe):
        raise MiaSegError(f"Victim '{name}' is behind a door: it has no weights here. Name a victim with [train].")
    return found


def load_shadow(name: str) -> ShadowRecipe:
    """The validated shadow recipe `name`, likewise."""
    given, path = _given("shadow", name)
    given = variants.completed(given, f"{path}", _of_victim)
    left = {"door", "synthetic"} if variants.KEY in given else set()  # an attacker has neither
    return _checked(ShadowRecipe, {key: value for key, value in given.items() if key not in left}, path)


def _of_victim(name: str) -> tuple[dict[str, Any], str]:
    """What a victim's file says, and the file, as errors name it."""
    given, path = _given("victim", name)
    return given, f"{path}"


@overload
def load(kind: Literal["victim"], name: str) -> VictimRecipe | DoorRecipe: ...
@overload
def load(kind: Literal["shadow"], name: str) -> ShadowRecipe: ...
def load(kind: Kind, name: str) -> AuditedRecipe:
    """The validated recipe `name` of a kind."""
    return load_victim(name) if kind == "victim" else load_shadow(name)


def read(path: Path) -> dict[str, Any]:
    """The content of a TOML file. Raises MiaSegError if it is no file, cannot be read, or is no TOML."""
    check_file(path)
    try:
        return tomllib.loads(texts.read_text(path))
    except RecursionError:
        raise MiaSegError(f"{path} is nested too deeply. Write sections, and lists of numbers in them.") from None
    except tomllib.TOMLDecodeError as error:
        raise MiaSegError(f"{path} is not valid TOML: {error}.") from None
    except ValueError:
        raise MiaSegError(f"{path} holds a number of thousands of digits. Write the one that is meant.") from None


def check_file(path: Path) -> None:
    """Raise MiaSegError for a path that cannot be a recipe: a folder, a device, or a file that is too large."""
    try:
        kind, size = path.stat().st_mode, path.stat().st_size
        if S_ISREG(kind):
            path.open("rb").close()
    except OSError as error:  # a link to itself or to nowhere, a file that may not be read
        raise MiaSegError(
            f"{path} cannot be read ({error.strerror}). Put a recipe's file there, or remove what is there."
        ) from None
    if not S_ISREG(kind):  # a pipe would be waited for
        raise MiaSegError(f"{path} is no file. Put a recipe's file there, or remove what is there.")
    if size > MOST_BYTES:
        raise MiaSegError(
            f"{path} has {size} bytes, and a recipe is one screen of text: at most {MOST_BYTES} are read. Shorten it."
        )


def _given(kind: Kind, name: str) -> tuple[dict[str, Any], Path]:
    """What a recipe's file says, and the file."""
    path = find(kind, name)
    if name in RESERVED:
        raise MiaSegError(f"{path}: '{name}' {RESERVED[name]}. Rename the recipe.")
    given = read(path) if path.stem == name else _fleet(path.stem)
    for section, says in FOREIGN[kind].items():
        if section in given:
            raise MiaSegError(f"{path}: {says}.")
    if kind == "shadow" and "adversary" not in given:
        raise MiaSegError(f"{path}: a shadow needs a section [adversary].")
    return given, path


def _fleet(victim: str) -> dict[str, Any]:
    """The shadows of an attacker who trains as the victim does. A door does not say how its model was trained."""
    if "door" in read(find("victim", victim)):
        raise MiaSegError(
            f"Victim '{victim}' is behind a door and has no fleet yet. 'mia-seg audit {victim} --shadows 12 "
            f"--data-root FOLDER' writes a recipe of one and trains it."
        )
    halves = {"kind": "A1", "victim": victim, "choose": "halves", "models": MODELS, "stride": 4}
    return {variants.KEY: victim, "adversary": halves}


def _checked(cls: type[R], given: dict[str, Any], path: Path) -> R:
    try:
        recipe = cls(**given)
    except ValidationError as error:
        raise MiaSegError(plugins.explain(error, cls, str(path))) from None
    plugins.from_section(data, Dataset, recipe.data, where=f"{path}: [data]")
    return recipe
