"""A grid: one TOML file that lists audits or comparisons, so that all results of a page come from one command."""

from typing import Annotated, Any

from pydantic import Field, ValidationError, model_validator

from mia_seg import plugins, recipes
from mia_seg.errors import MiaSegError
from mia_seg.recipes.adversaries import Models
from mia_seg.recipes.sections import Section
from mia_seg.values import Whole

Seed = Annotated[Whole, Field(ge=0, le=2**63 - 1)]


class Asked(Section):
    """One audit of a grid, with the options that `mia-seg run` has."""

    victim: str
    shadow: str | None = Field(default=None, description="none: the victim is audited without a shadow")
    seeds: tuple[Seed, ...] = Field(default=(0,), min_length=1, description="seeds of split, weights and noise")
    defenses: tuple[str, ...] = Field(default=(), description="none: the usual ones")
    attacks: tuple[str, ...] = Field(default=(), description="none: the usual ones")
    repeats: Annotated[Whole, Field(ge=1, le=10**6)] = 1


class Fleets(Section):
    """One comparison of trainings, with the options that `mia-seg fleet` has."""

    names: tuple[str, ...] = Field(default=(), description="fleets to compare and audit")
    curve: tuple[str, ...] = Field(default=(), description="fleets of plain training, of several lengths")
    models: Models | None = Field(default=None, description="models of each fleet; none: as many as its recipe says")
    seeds: tuple[Seed, ...] = Field(default=(0,), min_length=1, description="seeds of split, weights and noise")
    # Members can only score higher with BASE. An attack that learns the sign too takes more models to tell a scene.
    attacks: tuple[str, ...] = Field(default=("base",), min_length=1, description="attacks on a fleet")
    defenses: tuple[str, ...] = Field(default=("none",), min_length=1, description="that all models answer behind")
    also: dict[str, tuple[str, ...]] = Field(default={}, description="more defenses, of single fleets by name")
    rounds: Annotated[Whole, Field(ge=99, le=10**5)] = Field(default=999, description="shuffles of memberships")


class Grid(Section):
    """A file of `grids/`: `[[audit]]` for each audit, `[[fleets]]` for each comparison of trainings."""

    audit: tuple[Asked, ...] = ()
    fleets: tuple[Fleets, ...] = ()

    @model_validator(mode="after")
    def _something(self) -> "Grid":
        if not (self.audit or self.fleets):
            raise ValueError("it lists nothing: give [[audit]] or [[fleets]]")
        return self


def load(name: str) -> Grid:
    """The grid `name` of a folder `grids/`. Raises MiaSegError with file, key and the allowed keys."""
    path = recipes.find("grid", name)
    given: dict[str, Any] = recipes.read(path)
    try:
        return Grid(**given)
    except ValidationError as error:
        raise MiaSegError(plugins.explain(error, Grid, str(path))) from None


def load_fleets(name: str) -> tuple[Fleets, ...]:
    """The comparisons of trainings that a grid lists. Raises MiaSegError where it lists none."""
    found = load(name).fleets
    if not found:
        raise MiaSegError(f"Grid '{name}' lists no [[fleets]]. Its audits are run by 'mia-seg run --grid {name}'.")
    return found
