"""The bounds of every setting: no switch for a number, nothing infinite, nothing that would run for ever."""

import importlib
from collections.abc import Iterator
from contextlib import suppress
from typing import Annotated, Any, get_args, get_origin

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from mia_seg import attacks, data, defenses, generators, objectives, plugins, segmenters, updates, values
from mia_seg.errors import MiaSegError
from mia_seg.recipes import sections
from mia_seg.recipes.adversaries import A1, A2, Fleet
from mia_seg.recipes.splits import SplitRule

PACKAGES = (attacks, data, defenses, generators, objectives, segmenters, updates)


def _components() -> Iterator[type[BaseModel]]:
    for package in PACKAGES:
        for name in plugins.names(package):
            module = importlib.import_module(f"{package.__name__}.{name}")
            found = [c for c in vars(module).values() if isinstance(c, type) and issubclass(c, plugins.Component)]
            yield next(c for c in found if c.__module__ == module.__name__)


SECTIONS = (A1, A2, Fleet, SplitRule, *sections.Section.__subclasses__())
FIELDS = [
    (f"{cls.__name__}.{name}", field)
    for cls in dict.fromkeys((*SECTIONS, *_components()))
    for name, field in cls.model_fields.items()
]
KINDS = {"a number": (int, float), "a switch": (bool,), "a text": (str,)}


def _plain(annotation: Any) -> set[Any]:
    """The plain types in an annotation."""
    if get_origin(annotation) in (None, type):
        return {annotation}
    if get_origin(annotation) is Annotated:
        return _plain(get_args(annotation)[0])
    return set().union(*(_plain(inner) for inner in get_args(annotation)))


def _accepts(field: FieldInfo, value: object) -> bool:
    """Whether the field takes a value, alone or as every item of a pair or triple."""
    taken = TypeAdapter(Annotated[field.annotation, field])
    for given in (value, [value] * 2, [value] * 3):
        with suppress(ValidationError):
            taken.validate_python(given)
            return True
    return False


def _fields_of(kind: str) -> list[Any]:
    wanted = set(KINDS[kind])
    return [pytest.param(field, id=name) for name, field in FIELDS if wanted & _plain(field.annotation)]


@pytest.mark.parametrize("field", _fields_of("a number"))
def test_a_number_is_no_switch_and_finite_and_bounded(field: FieldInfo) -> None:
    for value in (True, float("inf"), float("nan"), -float("inf"), 10**9 + 1, 10**30, -(10**30), 10**400, -1, 8.5e9):
        seed = str(field.description).startswith(("the world's seed", "seeds of split"))
        rate = any(getattr(bound, "le", None) == 1e38 for bound in field.metadata)  # a training stops at one too large
        assert not _accepts(field, value) or (seed and value == 10**9 + 1) or (rate and 1 < value <= 1e38), value


@pytest.mark.parametrize("field", _fields_of("a switch"))
def test_a_switch_is_no_number_and_no_text(field: FieldInfo) -> None:
    assert [value for value in (0, 1, 1.0, "yes", "true", None) if _accepts(field, value)] == []


@pytest.mark.parametrize("name", ["ade20k", "bdd100k", "camvid", "cityscapes", "mapillary", "voc"])
def test_a_folder_is_named_once(name: str) -> None:
    first = plugins.load(data, data.Dataset, name).model_fields["folders"].default[0]
    for folders in ([], [first, first]):
        with pytest.raises(MiaSegError, match=r"'folders' = .*: name one folder or several, each once\."):
            plugins.build(data, data.Dataset, name, settings={"folders": folders}, where="[data]")


@pytest.mark.parametrize("value", ["", "a/b", "..", "a\0b", "a\nb", "\ud800", "é" * 51, "x" * 300])
def test_a_recipes_name_can_name_files(value: str) -> None:
    with pytest.raises(ValueError, match="a name "):
        values.named(value)


def test_the_longest_name_is_a_name() -> None:
    assert values.named("é" * 50) == "é" * 50
