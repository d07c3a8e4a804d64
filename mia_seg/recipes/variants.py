"""A recipe that says only what differs from a victim's: `variant_of = "NAME"` gives it the rest."""

from collections.abc import Callable, Mapping
from typing import Any

from mia_seg.errors import MiaSegError

KEY = "variant_of"
EITHER = ({"epochs", "steps"}, {"noise", "epsilon"})  # of which a section gives one
Read = Callable[[str], tuple[dict[str, Any], str]]


def completed(given: Mapping[str, Any], where: str, read: Read, *, seen: tuple[str, ...] = ()) -> dict[str, Any]:
    """`given`, completed by the sections and keys of the victim recipe that it is a variant of.

    where: the file of `given`, for errors. read: victim's name -> content of its file, and the file. A section with
    another `name` than the victim's takes nothing from it. Of two keys that exclude each other the given one is taken.
    Raises MiaSegError for a base that is missing, cannot be read, no name, or a variant of itself.
    """
    if KEY not in given:
        return dict(given)
    base = given[KEY]
    if not isinstance(base, str):
        raise MiaSegError(f"{where}: {KEY} is no name of a victim recipe. Write {KEY} = 'NAME'.")
    if base in seen:
        raise MiaSegError(f"{where}: {KEY} goes round in a circle: {' -> '.join([*seen, base])}. Break it.")
    try:
        found, file = read(base)
    except MiaSegError as error:
        raise MiaSegError(f"{where}: {KEY} = '{base}': {error}") from None
    whole = completed(found, file, read, seen=(*seen, base))
    return whole | {name: _merged(whole.get(name), own) for name, own in given.items()}


def _merged(base: Any, own: Any) -> Any:
    """A section's keys over those of its base."""
    if not isinstance(base, dict) or not isinstance(own, dict) or own.get("name", base.get("name")) != base.get("name"):
        return own
    replaced = {key for group in EITHER if group & set(own) for key in group}
    return {key: value for key, value in base.items() if key not in replaced} | own
