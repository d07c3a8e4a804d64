"""A model that options describe, as `mia-seg audit --door` takes them."""

import shlex
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mia_seg import plugins
from mia_seg.brought import Files, check_name, recipe, toml
from mia_seg.data import Part
from mia_seg.data._sides import of_csv, of_folders, of_lists
from mia_seg.data.table import Row, table
from mia_seg.errors import MiaSegError
from mia_seg.oracles import doors
from mia_seg.oracles.doors import Door

HEAD = """\
# {name}: a model that exists, asked through a door. Written by mia-seg audit; edit it and run it again.
# Run:    mia-seg audit {name} --data-root {root}
"""
THEN = "# Then:   mia-seg audit {name} --shadows 8 --data-root {root}\n"  # which trains, and so needs labels


@dataclass(frozen=True)
class Brought:
    """A model and its scenes as options describe them; None where an option was not given.

    door: 'kind:VALUE' of its main setting. settings: 'key=value' or 'table.key=value', values as in TOML. members: a
    CSV, or of one side each a list of scenes beside `images` and `labels`, or a folder that has both.
    """

    door: str
    answers: str | None = None
    settings: Sequence[str] = ()
    members: Path | None = None
    nonmembers: Path | None = None
    pool: Path | None = None
    images: Path | None = None
    labels: Path | None = None
    class_map: str | None = None
    classes: str | None = None

    def check(self) -> None:
        """Raise MiaSegError for options that are lacking or do not go together."""
        both = "--members" if self.nonmembers else "--members (and --nonmembers, unless it is a CSV)"
        needed: dict[str, Any] = {both: self.members}
        if self._kind.model_fields["answers"].is_required():  # some doors know what they answer
            needed = {"--answers": self.answers, **needed}
        lacking = [option for option, value in needed.items() if value is None]
        if self.class_map is None and self.classes is None:
            lacking.append("--classes or --class-map")
        if lacking:
            raise MiaSegError(f"--door needs {', '.join(lacking)} too. See 'mia-seg audit --help'.")
        if self.class_map is not None and self.classes is not None:
            raise MiaSegError("--classes and --class-map both say what label values mean. Give one of them.")
        if self.images is None and self.labels is not None:
            raise MiaSegError("--labels names label files of --images, which is not given. Give it too.")

    @property
    def _kind(self) -> type[Door]:
        return plugins.load(doors, Door, self.door.partition(":")[0])

    def door_section(self) -> dict[str, Any]:
        """`[door]`. Raises MiaSegError for a kind or setting that there is not."""
        kind, _, value = self.door.partition(":")
        main = next(key for key in self._kind.model_fields if key not in Door.model_fields)
        if not value:
            raise MiaSegError(f"--door {kind}: give its {main} as '{kind}:{main.upper()}'.")
        section: dict[str, Any] = {"name": kind, main: value} | (
            {} if self.answers is None else {"answers": self.answers}
        )
        for text in self.settings:
            _set(section, text)
        plugins.from_section(doors, Door, section, where="--door, --answers and --set")
        return section

    def meaning(self) -> dict[str, Any]:
        """What label values mean, as `[data]` says it."""
        if self.classes is None:
            return {"class_map": self.class_map}
        return {"names": [name.strip() for name in self.classes.split(",")]}

    @property
    def listed(self) -> bool:
        """Whether the members are a table already."""
        alone = self.images is None and self.nonmembers is None and self.pool is None
        return alone and self.members is not None and not self.members.is_dir()

    def rows(self) -> list[Row]:
        """The scenes of lists or folders."""
        sides: dict[Part, Path | None] = {"members": self.members, "nonmembers": self.nonmembers, "pool": self.pool}
        given = {part: path for part, path in sides.items() if path is not None}
        if self.nonmembers is None and (self.images is None or self.pool is not None):
            raise MiaSegError("--members names one side alone. Give --nonmembers too, in the same form.")
        if self.images is None:
            if strays := [path for path in given.values() if not path.is_dir()]:
                raise MiaSegError(
                    f"{strays[0]} is no folder. Give folders that hold images/ and labels/, or say with --images and "
                    f"--labels where the scenes of a list lie."
                )
            return of_folders(given)
        if self.nonmembers is None:
            return of_csv(self.images, self.labels, given["members"])
        return of_lists(self.images, self.labels, given)


def described(brought: Brought, name: str, data_root: Path | None) -> tuple[Files, Path]:
    """The recipe of a model, with a table of its scenes where they come as lists or folders; and the data root.

    Raises MiaSegError before anything is written for what could not be read back.
    """
    brought.check()
    check_name(name)
    door, folder = brought.door_section(), Path.cwd() / "victims"
    plugins.from_section(doors, Door, door, where="[door]").files(Path.cwd())  # a model that is not there is said now
    head = HEAD + THEN
    files = Files(f"Run 'mia-seg audit {name}' to use it, edit or remove it, or give another --name.")
    if brought.listed:
        assert brought.members is not None
        root = data_root or brought.members.parent
        place = _below(brought.members, root)
    else:
        root, place, rows = Path(), f"victims/{name}.csv", brought.rows()
        head = HEAD if rows[0].labels is None else head
        files.texts[folder / f"{name}.csv"] = table(rows, folder)
    sections = recipe(place, brought.meaning(), door)
    files.texts[folder / f"{name}.toml"] = head.format(name=name, root=shlex.quote(str(root))) + toml(sections)
    return files, root


def _set(section: dict[str, Any], text: str) -> None:
    """'input.scale=255' -> section["input"]["scale"] = 255; what is no TOML is a text."""
    key, equals, value = text.partition("=")
    *tables, last = key.strip().split(".")
    if not equals or not last:
        raise MiaSegError(f"--set '{text}': write KEY=VALUE, as input.scale=255.")
    for name in tables:
        section = section.setdefault(name, {})
        if not isinstance(section, dict):
            raise MiaSegError(
                f"--set '{text}': '{name}' is no section of settings. Write KEY=VALUE, as input.scale=255."
            )
    try:
        section[last] = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        section[last] = value


def _below(members: Path, data_root: Path) -> str:
    try:
        return members.resolve().relative_to(data_root.resolve()).as_posix()
    except ValueError:
        raise MiaSegError(
            f"{members} does not lie below {data_root}. Point --data-root to a folder above it."
        ) from None
