"""Options that several commands share, declared once: a parameter that is a group of options becomes these options."""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import MISSING, fields, is_dataclass
from functools import wraps
from inspect import Parameter
from typing import Annotated, Any, get_type_hints

import typer

from mia_seg.cli import _screen as screen

TOLD = {
    "quiet": (Annotated[bool, typer.Option("--quiet", "-q", help="Print only results and errors.")]),
    "verbose": (Annotated[bool, typer.Option("--verbose", "-v", help="Print every stage, also reused ones.")]),
}


def command(function: Callable[..., None]) -> Callable[..., None]:
    """A function as a command: groups (dataclasses of annotated options) spread out, --quiet and --verbose added."""
    hints = get_type_hints(function, include_extras=True)
    groups: dict[str, Any] = {name: hint for name, hint in hints.items() if is_dataclass(hint)}

    @wraps(function)
    def called(**given: Any) -> None:
        screen.tell(given.pop("quiet"), given.pop("verbose"), as_json=given.get("as_json", False))
        taken = {name: group(**{f.name: given.pop(f.name) for f in fields(group)}) for name, group in groups.items()}
        function(**given, **taken)

    parameters = [one for p in inspect.signature(function).parameters.values() for one in _spread(p, hints[p.name])]
    parameters += [_option(name, hint, False) for name, hint in TOLD.items()]
    called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    called.__annotations__ = {p.name: p.annotation for p in parameters}
    return called


def _spread(parameter: Parameter, hint: Any) -> Iterator[Parameter]:
    if not is_dataclass(hint):
        yield parameter.replace(annotation=hint, kind=Parameter.KEYWORD_ONLY)
        return
    hints = get_type_hints(hint, include_extras=True)
    yield from (_option(field.name, hints[field.name], field.default) for field in fields(hint))


def _option(name: str, hint: Any, default: Any) -> Parameter:
    default = Parameter.empty if default is MISSING else default
    return Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=hint)
