"""A grid: one TOML file that lists audits, so that all results of a page come from one command."""

from typing import Annotated, Any

from pydantic import Field, ValidationError

from mia_seg import plugins, recipes
from mia_seg.errors import MiaSegError
from mia_seg.recipes.sections import Section
from mia_seg.values import Whole

Seed = Annotated[Whole, Field(ge=0, le=2**63 - 1)]


class Asked(Section):
    """One audit of a grid, with the options that `mia-seg run` has."""

    victim: str
    shadow: str | None = Field(default=None, description="none: the victim alone is looked at, by the screen")
    seeds: tuple[Seed, ...] = Field(default=(0,), min_length=1, description="seeds of split, weights and noise")
    defenses: tuple[str, ...] = Field(default=(), description="none: the usual ones")
    attacks: tuple[str, ...] = Field(default=(), description="none: the usual ones")
    repeats: Annotated[Whole, Field(ge=1, le=10**6)] = 1


class Grid(Section):
    """`[[audit]]`, as often as there are audits."""

    audit: tuple[Asked, ...] = Field(min_length=1)


def load(name: str) -> Grid:
    """The grid `name` of a folder `grids/`. Raises MiaSegError with file, key and the allowed keys."""
    path = recipes.find("grid", name)
    given: dict[str, Any] = recipes.read(path)
    try:
        return Grid(**given)
    except ValidationError as error:
        raise MiaSegError(plugins.explain(error, Grid, str(path))) from None
