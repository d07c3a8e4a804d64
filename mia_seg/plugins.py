"""Registries of components: a folder is a registry, and a file's name is the component's name."""

import difflib
import importlib
import pkgutil
import reprlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import ModuleType, UnionType
from typing import Any, Generic, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Tag, ValidationError

from mia_seg.errors import MiaSegError

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 100


class Component(BaseModel):
    """A frozen record of settings; unknown keys are refused.

    A subclass that gives its file's name in `mia_seg/<kind>/` becomes selectable under that name
    in recipes and on the command line.

    What a kind's base leaves open raises NotImplementedError: an abstract class cannot be given as the `type[C]` that
    the functions below take.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")


C = TypeVar("C", bound=Component)


@dataclass(frozen=True)
class Selected(Generic[C]):
    """A component as a request names it. label: its name with its first value. changed: settings not at defaults."""

    label: str
    component: C
    changed: str = ""

    @property
    def name(self) -> str:
        """The component's own name."""
        return self.label.partition(":")[0]

    @property
    def variant(self) -> str:
        """What distinguishes results of one component: the changed settings, else what it looks at."""
        return self.changed or str(getattr(self.component, "representation", ""))

    @property
    def called(self) -> str:
        """The name with the variant: 'image_loss', 'patch_resnet50:concat'."""
        return f"{self.name}:{self.variant}" if self.variant else self.name


def select(package: ModuleType, base: type[C], text: str, *, defaults: dict[str, Any] | None = None) -> Selected[C]:
    """Parse `text`, once; later code uses the component's value."""
    component = parse(package, base, text, defaults=defaults)
    return Selected(label(package, base, text), component, changed(package, base, text))


def settings_of(component: Component) -> dict[str, Any]:
    """A component's name and its settings that differ from defaults: what enters digests."""
    name = type(component).__module__.rpartition(".")[2]
    return {"name": name, **component.model_dump(mode="json", exclude_defaults=True)}


def names(package: ModuleType) -> list[str]:
    """The components that `package` holds: its public modules, sorted."""
    return sorted(m.name for m in pkgutil.iter_modules(package.__path__) if not m.name.startswith("_"))


def load(package: ModuleType, base: type[C], name: str) -> type[C]:
    """The subclass of `base` that the file `<package>/<name>.py` defines; only that file is imported."""
    kind = base.__name__.lower()
    if name not in names(package):
        raise MiaSegError(f"No {kind} is called {shown(name)}.{nearest(name, names(package))}")
    module = importlib.import_module(f"{package.__name__}.{name}")
    found = [
        c
        for c in vars(module).values()
        if isinstance(c, type) and issubclass(c, base) and c is not base and c.__module__ == module.__name__
    ]
    if len(found) != 1:
        raise MiaSegError(f"{module.__file__} defines {len(found)} {kind} classes; it must define exactly one.")
    return found[0]


def build(package: ModuleType, base: type[C], name: str, *, settings: dict[str, Any], where: str) -> C:
    """The component `name` with `settings`; a wrong one is refused naming `where`, the key and the allowed keys."""
    cls = load(package, base, name)
    try:
        return cls(**settings)
    except ValidationError as error:
        raise MiaSegError(explain(error, cls, where)) from None


def parse(package: ModuleType, base: type[C], text: str, *, defaults: dict[str, Any] | None = None) -> C:
    """`name`, `name:value` or `name:value,key=other` -> the component; a bare value sets its first field.

    defaults: the fields that the text does not set.
    """
    name, _, values = text.partition(":")
    fields = list(load(package, base, name).model_fields)
    if values and not fields:
        raise MiaSegError(f"'{text}': {name} takes no value. Write '{name}'.")
    given = [value.partition("=") for value in values.split(",") if value]
    settings = {key if equals else fields[0]: _read(value if equals else key) for key, equals, value in given}
    if len(settings) < len(given):
        raise MiaSegError(
            f"'{text}' sets a field twice. Write '{name}:{fields[0].upper()}' once, others as 'key=value'."
        )
    return build(package, base, name, settings=(defaults or {}) | settings, where=f"'{text}'")


def _read(text: str) -> str | float | bool:
    """What a recipe's TOML would have for it: a whole number, a number, a switch, or the text itself."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        with suppress(ValueError):
            return kind(text)
    return text


def label(package: ModuleType, base: type[C], text: str) -> str:
    """`text` with its first value written out, so that one setting has one name: 'gaussian' -> 'gaussian:0.5'.

    Other fields are named where they are not at their defaults: 'synfeat:0.75,z=fresh'.
    """
    component, name = parse(package, base, text), text.partition(":")[0]
    fields = list(type(component).model_fields.items())
    if not fields:
        return name
    values = {key: getattr(component, key) for key, _ in fields}
    changed = [f"{key}={_written(values[key])}" for key, field in fields[1:] if values[key] != field.default]
    return ",".join([f"{name}:{values[fields[0][0]]}", *changed])


def changed(package: ModuleType, base: type[C], text: str) -> str:
    """The settings of `text` that differ from defaults: 'offline_cdf,models=4', or '' for none."""
    component = parse(package, base, text)
    given = {key: getattr(component, key) for key in component.model_fields_set}
    fields = type(component).model_fields
    first, own = next(iter(fields), ""), {k: v for k, v in given.items() if v != fields[k].default}
    return ",".join(("" if key == first else f"{key}=") + _written(own[key]) for key in fields if key in own)


def _written(value: object) -> str:
    """A setting as a command line has it: one number for the sides of a square."""
    return str(value[0] if isinstance(value, tuple) and len({*value}) == 1 else value)


def from_section(package: ModuleType, base: type[C], section: dict[str, Any], *, where: str) -> C:
    """The component of a recipe's section: its `name` says which, the other keys are its settings."""
    settings = dict(section)
    name = settings.pop("name", None)
    if not isinstance(name, str):
        said = (
            "the key 'name' is missing" if name is None else f"'name' = {shown(name)} is no name: write one, in quotes"
        )
        raise MiaSegError(f"{where}: {said}.{nearest('', names(package))}")
    if name not in names(package):
        kind = base.__name__.lower()
        raise MiaSegError(f"{where}: no {kind} is called {shown(name)}.{nearest(name, names(package))}")
    return build(package, base, name, settings=settings, where=where)


def explain(error: ValidationError, model: type[BaseModel], where: str) -> str:
    """The first fault of a pydantic error as one sentence with the fix; a misspelt key before what it left missing."""
    faults = error.errors()
    fault = next((f for f in faults if f["type"] == "extra_forbidden"), faults[0])
    loc, value = fault["loc"], fault["input"]
    key, _ = _trace(model, loc)
    if fault["type"] == "extra_forbidden":
        return f"{where}: unknown key '{key}'.{_placed(model, loc)}"
    if fault["type"] == "missing":
        if isinstance(loc[-1], int):
            return f"{where}: the key '{_trace(model, loc[:-1])[0]}' is too short. Give all of it."
        return f"{where}: the key '{key}' is missing. Add it."
    message = fault["msg"].removeprefix("Value error, ")
    # A fault of a whole section says which keys do not go together; the section itself would only repeat the file.
    named = f"'{key}' = {shown(value)}: " if not isinstance(value, dict) else f"[{key}]: " if key else ""
    return f"{where}: {named}{message}."


def shown(value: object) -> str:
    """A value as an error quotes it, with the middle of a long one left out."""
    try:
        return _SHORT.repr(value)
    except ValueError:  # Python refuses to write a number of thousands of digits
        return "a number of thousands of digits"


def nearest(name: str, known: list[str], *, unlisted: Sequence[str] = ()) -> str:
    """' Did you mean ...? There are: ...' for a name that is not in `known`, and may be meant for an unlisted one."""
    # Nobody misspells a name at such length, and the search takes minutes in a text of megabytes.
    close = difflib.get_close_matches(name[:100], [*known, *unlisted], n=1)
    hint = f" Did you mean '{close[0]}'?" if close else ""
    return f"{hint} There are: {', '.join(known) or 'none'}."


def _placed(model: type[BaseModel], loc: tuple[int | str, ...]) -> str:
    """What may be meant by a key that is not in its section: one of a table in there of that name, or one near it."""
    _, section = _trace(model, loc[:-1])
    allowed = {name: field.annotation for inner in _models(section) for name, field in inner.model_fields.items()}
    name = str(loc[-1])
    tables = [table for table, held in allowed.items() if any(name in inner.model_fields for inner in _models(held))]
    hint = f" Did you mean '{'.'.join([_trace(model, loc[:-1])[0], tables[0], name]).lstrip('.')}'?" if tables else ""
    return hint or nearest(name, list(allowed))


def _trace(model: type[BaseModel], loc: tuple[int | str, ...]) -> tuple[str, Any]:
    """A pydantic location as a dotted key, and the type found there."""
    key: list[str] = []
    here: Any = model
    for part in loc:
        if (branch := _branch(here, part)) is not None:
            here = branch
            continue
        inner = next(_models(here), None)
        if isinstance(part, str) and inner is None and get_origin(here) in (Union, UnionType):
            continue  # not a key, but the branch of the union that pydantic tried
        key.append(str(part))
        if isinstance(part, str):
            here = inner.model_fields[part].annotation if inner and part in inner.model_fields else None
    return ".".join(key), here


def _branch(annotation: Any, part: int | str) -> Any:
    """The type that a tagged union has under a tag; None where `part` is no tag."""
    for option in get_args(annotation):
        for inner in (option, *get_args(option)):
            if any(isinstance(mark, Tag) and mark.tag == part for mark in getattr(inner, "__metadata__", ())):
                return inner
    return None


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models in a type: `Window | None` and `tuple[Rule, ...]` hold one."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)
