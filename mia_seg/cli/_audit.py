"""`mia-seg audit`: one model looked at alone, from its recipe or from options that describe it."""

import json
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mia_seg import values
from mia_seg.api import SCREEN, WITH_POOL, Audit
from mia_seg.cli import _screen as screen
from mia_seg.cli import _work as work
from mia_seg.cli._options import DataRoot, Device, DryRun, Reports, Seeds, StoreRoot, Yes
from mia_seg.errors import MiaSegError

if TYPE_CHECKING:
    from mia_seg.workspace import Workspace

HEAD = """\
# {name}: a model that exists, asked through a door. Written by mia-seg audit; edit it and run it again.
# Run:    mia-seg audit {name} --data-root {root}
# Then:   a shadow recipe with [adversary] victim = "{name}", and mia-seg run {name} SHADOW
"""
DoorText = Annotated[
    str | None,
    typer.Option("--door", help="How the model is asked: callable:module:function, folder:PATH, onnx:PATH, ..."),
]
Answers = Annotated[str | None, typer.Option(help="What it answers: logits, posterior or labels.")]
Members = Annotated[
    Path | None, typer.Option(help="CSV with columns image, labels, member (1, 0), and perhaps id and group.")
]
ClassMap = Annotated[str | None, typer.Option(help="Class map of the labels: a packaged name or a .toml.")]
Screened = Annotated[
    list[str] | None,
    typer.Option(
        "--attack", help=f"name or name:value; repeat for several. Default: {', '.join(SCREEN)}; with a pool, "
        f"{', '.join(WITH_POOL)} too.",
    ),
]  # fmt: skip
Released = Annotated[
    list[str] | None, typer.Option("--defense", help="name or name:value; repeat for several. Default: none.")
]
Name = Annotated[str, typer.Option(help="What the recipe is called that this writes.")]


def audit(
    victim: Annotated[str | None, typer.Argument(help="A victim recipe; or describe a model with --door.")] = None,
    door: DoorText = None,
    answers: Answers = None,
    *,
    members: Members = None,
    class_map: ClassMap = None,
    name: Name = "mine",
    defense: Released = None,
    attack: Screened = None,
    seed: Seeds = None,
    data_root: DataRoot = None,
    store: StoreRoot = Path("runs"),
    reports: Reports = Path("reports"),
    device: Device = "auto",
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Look at one model in minutes, without a shadow: what its answers tell somebody who knows its members."""
    if (victim is None) == (door is None):
        raise MiaSegError("Name a victim recipe, or describe a model with --door: one of the two.")
    described = {"--answers": answers, "--members": members, "--class-map": class_map}
    if victim is not None and (beside := [option for option, value in described.items() if value is not None]):
        raise MiaSegError(f"{', '.join(beside)} describe a model with --door, and '{victim}' has a recipe. Edit that.")
    if door is not None:
        root = data_root or (members.parent if members else Path())
        with written(name, sections(door, described, root), root, only_now=dry_run) as path:
            if not dry_run:
                screen.following([path], f"mia-seg audit {name} --data-root {shlex.quote(str(root))}")
            workspace = work.opened(store, root, reports, device=device)
            return _look(name, workspace, defense, attacks=attack, seeds=seed, dry_run=dry_run, yes=yes)
    workspace = work.opened(store, data_root, reports, device=device)
    return _look(str(victim), workspace, defense, attacks=attack, seeds=seed, dry_run=dry_run, yes=yes)


def _look(
    victim: str, workspace: "Workspace", defenses: list[str] | None, *, attacks: list[str] | None,
    seeds: list[int] | None, dry_run: bool, yes: bool,
) -> None:  # fmt: skip
    looked = Audit(victim, None, defenses or (), attacks=attacks or (), seeds=seeds or [0], workspace=workspace)
    if dry_run:
        return work.planned(looked)
    if work.audited(looked, yes):
        screen.verdict(looked.results)
        screen.following(screen.pages(work.drawn(workspace)), f"open the page, or mia-seg run {victim} SHADOW")


def sections(door: str, described: dict[str, Any], data_root: Path) -> dict[str, dict[str, Any]]:
    """The recipe of a model behind a door, by the values of options. Raises MiaSegError for what is lacking."""
    from mia_seg import plugins
    from mia_seg.oracles import doors
    from mia_seg.oracles.doors import Door

    if lacking := [option for option, value in described.items() if value is None]:
        raise MiaSegError(f"--door needs {', '.join(lacking)} too. See 'mia-seg audit --help'.")
    kind, _, value = door.partition(":")
    cls = plugins.load(doors, Door, kind)
    main = next(key for key in cls.model_fields if key not in Door.model_fields)
    if not value:
        raise MiaSegError(f"--door {kind}: give its {main} as '{kind}:{main.upper()}'.")
    path = _below(described["--members"], data_root)
    return {
        "data": {"name": "table", "path": path, "class_map": described["--class-map"]},
        "split": {"rule": "stated"},
        "door": {"name": kind, main: value, "answers": described["--answers"]},
    }


@contextmanager
def written(name: str, found: dict[str, dict[str, Any]], data_root: Path, *, only_now: bool) -> Iterator[Path]:
    """The file of a recipe; one that was not there before is `only_now` there. Raises MiaSegError for another one."""
    _check(name, found)
    root = shlex.quote(str(data_root))
    text = HEAD.format(name=name, root=root) + _toml(found)
    path = Path.cwd() / "victims" / f"{name}.toml"
    there = path.is_file()
    if there and path.read_text(encoding="utf-8") != text:
        raise MiaSegError(
            f"{path} is there and says something else. Run 'mia-seg audit {name} --data-root {root}' to use it, edit "
            f"or remove it, or give another --name."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    try:
        yield path
    finally:
        if only_now and not there:
            path.unlink()


def _check(name: str, sections: dict[str, dict[str, Any]]) -> None:
    """Nothing is written that could not be read back, and no recipe that came along is hidden."""
    from mia_seg import data, plugins, recipes
    from mia_seg.data import Dataset
    from mia_seg.oracles import doors
    from mia_seg.oracles.doors import Door

    plugins.from_section(data, Dataset, sections["data"], where="--members and --class-map").classes()
    plugins.from_section(doors, Door, sections["door"], where="--door and --answers")
    if name in recipes.names("victim") and recipes.find("victim", name).parent != Path.cwd() / "victims":
        raise MiaSegError(f"--name {name}: a recipe of that name came with mia-seg. Give another one.")
    try:
        values.named(name)
    except ValueError as error:
        raise MiaSegError(f"--name '{name}': {error}. Give another one.") from None


def _below(members: Path, data_root: Path) -> str:
    try:
        return members.resolve().relative_to(data_root.resolve()).as_posix()
    except ValueError:
        raise MiaSegError(
            f"{members} does not lie below {data_root}. Point --data-root to a folder above it."
        ) from None


def _toml(sections: dict[str, dict[str, Any]]) -> str:
    """Tables of texts; JSON's quotes are TOML's."""
    tables = (
        f"[{name}]\n" + "".join(f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in values.items())
        for name, values in sections.items()
    )
    return "\n".join(tables)
