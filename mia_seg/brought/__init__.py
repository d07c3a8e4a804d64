"""What somebody brings who has a model already, written down: a table of its scenes, and recipes to go on from."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mia_seg import data, plugins, recipes, values
from mia_seg.data import Dataset
from mia_seg.errors import MiaSegError, Stopped

Sections = dict[str, dict[str, Any]]


@dataclass
class Files:
    """Files to be written that a reader may have edited: what is there and says something else is left alone.

    fix: what to do then. ours: what is there is known to be nobody's edit, and is written over.
    """

    fix: str
    texts: dict[Path, str] = field(default_factory=dict)
    ours: bool = False

    @contextmanager
    def written(self, *, only_now: bool, proven: Callable[[], bool] = lambda: True) -> Iterator[None]:
        """With the files there; `only_now`: afterwards all is as it was.

        So it is after a MiaSegError where they are not `proven` by then: what never worked stands in nobody's way. What
        was Stopped goes on with them.
        """
        before = {path: path.read_text(encoding="utf-8") for path in self.texts if path.is_file()}
        for path, text in before.items():
            if text != self.texts[path] and not self.ours:
                raise MiaSegError(f"{path} exists with other content. {self.fix}")
        try:
            for path, text in self.texts.items():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
            yield
        except Stopped:
            raise
        except MiaSegError:
            only_now = only_now or not proven()
            raise
        finally:
            for path in self.texts if only_now else ():
                if path in before:
                    path.write_text(before[path], encoding="utf-8")
                else:
                    path.unlink(missing_ok=True)


def recipe(place: str, meaning: Mapping[str, Any], door: Mapping[str, Any]) -> Sections:
    """The sections of a recipe. place: the table, below the data root. Raises MiaSegError for classes that are none."""
    sections = {"data": {"name": "table", "path": place, **meaning}, "split": {"rule": "stated"}, "door": dict(door)}
    plugins.from_section(data, Dataset, sections["data"], where="[data]").classes()
    return sections


def check_name(name: str) -> None:
    """Nothing is written that could not be read back, and no recipe that came along is hidden."""
    try:
        values.named(name)
    except ValueError as error:
        raise MiaSegError(f"--name '{name}': {error}. Give another one.") from None
    if name in recipes.RESERVED:
        raise MiaSegError(f"--name {name}: '{name}' {recipes.RESERVED[name]}. Give another one.")
    if name in recipes.names("victim") and recipes.find("victim", name).parent != Path.cwd() / "victims":
        raise MiaSegError(f"--name {name}: a recipe of that name came with mia-seg. Give another one.")


def toml(sections: Mapping[str, Any], above: str = "") -> str:
    """Tables in TOML; JSON's texts, numbers, switches and lists are TOML's."""
    found = ""
    for name, section in sections.items():
        plain = {key: value for key, value in section.items() if not isinstance(value, Mapping)}
        inner = {key: value for key, value in section.items() if isinstance(value, Mapping)}
        lines = "".join(f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in plain.items())
        found += f"{'' if not (found or above) else chr(10)}[{above}{name}]\n{lines}{toml(inner, f'{above}{name}.')}"
    return found
