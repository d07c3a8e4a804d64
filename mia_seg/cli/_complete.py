"""What a shell completes: names of recipes and components. Nothing heavy is imported for it."""

from collections.abc import Callable
from pathlib import Path

Complete = Callable[[str], list[str]]
PACKAGE = Path(__file__).parents[1]


def recipes(kind: str) -> Complete:
    """Victims or shadows, packaged and where the user works; none where a folder cannot be read."""

    def found(incomplete: str) -> list[str]:
        from mia_seg.errors import MiaSegError
        from mia_seg.recipes import names

        try:
            return [name for name in names(kind) if name.startswith(incomplete)]  # type: ignore[arg-type]
        except MiaSegError:
            return []

    return found


def files(folder: str, pattern: str = "[!_.]*.py") -> Complete:
    """The stems of a folder's files: the folder is the registry, and to import it could take seconds."""

    def found(incomplete: str) -> list[str]:
        stems = (path.stem for path in (PACKAGE / folder).glob(pattern))
        return sorted(stem for stem in stems if stem.startswith(incomplete))

    return found


VICTIMS, SHADOWS = recipes("victim"), recipes("shadow")
ATTACKS, DEFENSES, GENERATORS = files("attacks"), files("defenses"), files("generators")
CLASS_MAPS = files("data/class_maps", "*.toml")
