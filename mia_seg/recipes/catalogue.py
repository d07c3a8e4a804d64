"""Lists of all components and recipes, and checks of these: what `mia-seg list` and `mia-seg check` print."""

import ast
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from mia_seg import data, plugins, recipes
from mia_seg.data import Dataset, Finding
from mia_seg.errors import AbsentData, AbsentPackage, AbsentPart, MiaSegError, TooFewScenes
from mia_seg.recipes import AuditedRecipe, Kind, ShadowRecipe
from mia_seg.recipes.adversaries import A2
from mia_seg.recipes.splits import Partition
from mia_seg.texts import read_text

# Raises MiaSegError for a recipe (its name, itself, its data set and parts) whose sizes or sections do not go together.
Sizes = Callable[[str, AuditedRecipe, tuple[Dataset, Partition]], None]
KINDS: tuple[Kind, ...] = ("victim", "shadow")
PACKAGES = {
    "data sets": "data",
    "segmenters": "segmenters",
    "objectives": "objectives",
    "updates": "updates",
    "generators": "generators",
    "doors": "oracles.doors",
    "defenses": "defenses",
    "attacks": "attacks",
}


def catalogue() -> dict[str, list[tuple[str, str]]]:
    """Kind -> [(name, one line)] of all components and recipes; reads files without importing them."""
    titles: dict[recipes.File, str] = {"victim": "victim recipes", "shadow": "shadow recipes", "grid": "grids"}
    written = {title: [(n, _head(kind, n)) for n in recipes.names(kind)] for kind, title in titles.items()}
    return written | {title: list(_components(name)) for title, name in PACKAGES.items()}


def survey(data_root: Path) -> Iterator[Finding]:
    """What of each data set lies below a root, under any settings."""
    if not data_root.is_dir():
        yield "problem", f"{data_root} is no folder. Point --data-root (or MIA_SEG_DATA) to one."
        return
    absent = []
    for name, dataset in datasets():
        try:
            yield from ((state, f"{name}: {line}") for state, line in dataset.survey(data_root))
        except AbsentData:
            absent.append(name)
        except MiaSegError as error:
            yield "problem", f"{name}: {error}"
    if absent:
        yield "absent", f"not below {data_root}: {', '.join(absent)}"


def check(load: Callable[[Kind, str], AuditedRecipe], data_root: Path | None, sizes: Sizes) -> Iterator[Finding]:
    """Check every recipe: its keys, its data, its split, its first scene. Yields a line for each.

    load and sizes are passed in, so that lists need not import the stages.
    """
    for kind in KINDS:
        for name in recipes.names(kind):
            try:
                yield "ok", f"{kind} {name}: {_check(name, load(kind, name), data_root, sizes=sizes)}"
            except AbsentData:
                section = recipes.load(kind, name).data
                yield "absent", f"{kind} {name}: its data set '{section.get('path', section['name'])}' is not there"
            except (AbsentPart, AbsentPackage) as error:
                yield "absent", f"{kind} {name}: {error}"
            except MiaSegError as error:
                yield "problem", f"{kind} {name}: {error}"


def _check(name: str, settings: AuditedRecipe, data_root: Path | None, *, sizes: Sizes) -> str:
    try:
        dataset, parts = settings.cut(data_root, 0)
    except TooFewScenes as error:
        if lacks := settings.dataset().lacks(data_root):
            raise AbsentPart(f"{error} Of the whole data set there are: {lacks}.") from error
        raise
    scene = data.Scenes(dataset, data_root, parts.members)[0]
    if isinstance(settings, ShadowRecipe) and not isinstance(settings.adversary, A2):
        recipes.load_victim(settings.adversary.victim)
    sizes(name, settings, (dataset, parts))
    size = "x".join(str(s) for s in scene.labels_HW.shape)
    return f"{len(parts.members)} + {len(parts.nonmembers)} + {len(parts.pool)} scenes of {size}"


def datasets() -> Iterator[tuple[str, Dataset]]:
    """Every data set with its name; those that need settings, such as `folder`, as the recipes set them."""
    for name in plugins.names(data):
        cls = plugins.load(data, Dataset, name)
        needed = [key for key, field in cls.model_fields.items() if field.is_required() or key in cls.either]
        wanted = [{k: section[k] for k in needed if k in section} for section in _sections(name)] if needed else [{}]
        for dataset in dict.fromkeys(cls(**settings) for settings in wanted):
            values = dict.fromkeys(str(value) for key in needed if (value := getattr(dataset, key)) is not None)
            yield " ".join([name, ", ".join(values)]).strip(), dataset


def _sections(name: str) -> Iterator[dict[str, Any]]:
    """The `[data]` of each recipe that names a data set; a recipe that cannot be read is `check`'s to report."""
    for kind in KINDS:
        for each in recipes.names(kind):
            with suppress(MiaSegError):
                settings = recipes.load(kind, each)
                if settings.data["name"] == name:
                    yield settings.data


def _head(kind: recipes.File, name: str) -> str:
    """The first line of a recipe; what keeps it from being read, where something does."""
    try:
        path = recipes.find(kind, name)
        recipes.check_file(path)
        return read_text(path).partition("\n")[0].removeprefix("#").strip()
    except MiaSegError as error:
        return str(error)


def _components(package: str) -> Iterator[tuple[str, str]]:
    folder = Path(__file__).parents[1] / package.replace(".", "/")  # looked up by name it would be imported
    for path in sorted(folder.glob("[!_.]*.py")):
        yield path.stem, (ast.get_docstring(ast.parse(path.read_bytes())) or "").partition("\n")[0]
