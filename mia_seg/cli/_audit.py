"""`mia-seg audit`: a model that exists, from its recipe or from options that describe it."""

import shlex
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mia_seg.api import SCREEN, WITH_POOL, Audit
from mia_seg.cli import _complete as complete
from mia_seg.cli import _screen as screen
from mia_seg.cli import _work as work
from mia_seg.cli._options import Attacking, Device, Machine, Places, Seeds
from mia_seg.errors import MiaSegError

if TYPE_CHECKING:
    from mia_seg.workspace import Workspace

SHADOWS = 8  # what a stronger audit is priced for

DoorText = Annotated[
    str | None,
    typer.Option(
        "--door", help="How to ask the model: callable:MODULE:FUNCTION, onnx:PATH, http:URL, folder:PATH, ..."
    ),
]
Answers = Annotated[str | None, typer.Option(help="What the model answers: logits, posterior or labels.")]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set", help="Another setting of the door: input.scale=255, output.stride=4, model=NAME; repeatable."
    ),
]
Members = Annotated[
    Path | None,
    typer.Option(
        help="Scenes that the model was trained on: a folder with images/ and labels/; or, with --images, a list. Or a "
        "CSV of all scenes with the columns image, member (1 or 0), and optionally labels, id and group."
    ),
]
NonMembers = Annotated[
    Path | None, typer.Option("--nonmembers", help="Scenes that it never saw: a list or folder, too.")
]
Pool = Annotated[Path | None, typer.Option(help="Further scenes that the attacker may use: a list or folder, too.")]
Images = Annotated[Path | None, typer.Option(help="Folder of the images that the lists name.")]
Labels = Annotated[
    Path | None, typer.Option(help="Folder of the label files, with the same stems. Leave out if there are no labels.")
]
Classes = Annotated[
    str | None,
    typer.Option(help="Class names, separated by commas, in the order of their ids 0, 1, 2, ... in label files."),
]
ClassMap = Annotated[
    str | None,
    typer.Option(
        help="Or a class map of the labels: a packaged one, or a .toml file.", autocompletion=complete.CLASS_MAPS
    ),
]
Screened = Annotated[
    list[str] | None,
    typer.Option(
        "--attack", help=f"Attack as name or name:value; repeatable. Default: {', '.join(SCREEN)}; with a pool also "
        f"{', '.join(WITH_POOL)}.", autocompletion=complete.ATTACKS,
    ),
]  # fmt: skip
Released = Annotated[
    list[str] | None,
    typer.Option(
        "--defense", help="Defense as name or name:value; repeatable. Default: none.", autocompletion=complete.DEFENSES
    ),
]
Shadows = Annotated[
    int, typer.Option(min=0, help="Also train so many shadow models (even, 4 or more), which finds more. Default: 0.")
]
Name = Annotated[str, typer.Option(help="Name of the recipe that this command writes.")]


def audit(
    victim: Annotated[
        str | None,
        typer.Argument(help="Recipe of the model; or describe it with --door.", autocompletion=complete.VICTIMS),
    ] = None,
    door: DoorText = None,
    answers: Answers = None,
    *,
    settings: Settings = None,
    members: Members = None,
    nonmembers: NonMembers = None,
    pool: Pool = None,
    images: Images = None,
    labels: Labels = None,
    classes: Classes = None,
    class_map: ClassMap = None,
    name: Name = "mine",
    defense: Released = None,
    attack: Screened = None,
    shadows: Shadows = 0,
    seed: Seeds = None,
    places: Places,
    making: Attacking,
    device: Device = "auto",
) -> None:
    """Audit your own model in minutes: do its answers give its training images away? Trains nothing.

    With --shadows, the attacker also trains models of its own, and finds more.
    """
    given: dict[str, Any] = {
        "door": door, "answers": answers, "settings": settings or (), "members": members, "nonmembers": nonmembers,
        "pool": pool, "images": images, "labels": labels, "class_map": class_map, "classes": classes,
    }  # fmt: skip
    seeds = seed or [0]
    asked = {"defenses": defense or (), "attacks": attack or (), "seeds": seeds}
    machine = Machine(device)
    if (victim is None) == (door is None):
        raise MiaSegError(
            "Name a victim recipe, or describe a model with --door: one of the two. Beside --door, --name names it."
        )
    if victim is not None:
        if beside := [_option(key) for key, value in given.items() if value]:
            raise MiaSegError(
                f"{', '.join(beside)} describe a model with --door, and '{victim}' has a recipe. Edit that."
            )
        return _look(victim, work.opened(places, machine), shadows, asked=asked, making=making)
    from mia_seg.brought.options import Brought, described

    files, root = described(Brought(**given), name, places.data_root)
    workspace = work.opened(replace(places, data_root=root), machine)
    with files.written(only_now=making.dry_run, proven=lambda: _answered(name, seeds[0], workspace)):
        if not making.dry_run:
            screen.wrote(files.texts)
        return _look(name, workspace, shadows, asked=asked, making=making)


def _answered(name: str, seed: int, workspace: "Workspace") -> bool:
    """Whether a model behind a door has passed the first look; else its recipe goes, and what was refused is said."""
    from rich.markup import escape

    from mia_seg.pipeline import Pipeline

    with suppress(MiaSegError):
        if Pipeline(workspace).victim(name, seed).artefact(workspace.store).whole:
            return True
    meant = "[door] target means --door, [door] answers means --answers, [door.output] layout means --set output.layout"
    screen.doing("removed", escape(f"the recipe of '{name}', which did not work yet. Below, {meant}"))
    return False


def _option(key: str) -> str:
    return "--set" if key == "settings" else f"--{key.replace('_', '-')}"


def _look(victim: str, workspace: "Workspace", shadows: int, *, asked: dict[str, Any], making: Attacking) -> None:
    """Look at a victim alone, or attack it through shadows whose recipe is written first."""
    from mia_seg.brought.fleet import fleet

    if not shadows:
        return _audit(Audit(victim, None, **asked, workspace=workspace), making)
    files, name = fleet(victim, shadows, workspace)
    with files.written(only_now=making.dry_run):
        return _audit(Audit(victim, name, **asked, workspace=workspace), making)


def _audit(looked: Audit, making: Attacking) -> None:
    from mia_seg.evaluate import results

    def finish() -> None:
        if not making.as_json:
            # As on the page: earlier results of this model count too, such as those without a defense.
            screen.verdict(results.read_all(looked.workspace.reports / looked.request.victim))
        written = screen.pages(work.drawn(looked.workspace))
        if looked.request.shadow is None:
            screen.stronger(_stronger(looked))
        screen.following(written, work.opening(looked.workspace.reports))

    work.audited(looked, making, finish)


def _stronger(looked: Audit) -> str:
    """What an attacker with shadows would cost and could add."""
    from mia_seg import recipes
    from mia_seg.brought.fleet import priced
    from mia_seg.stages import checks

    victim = looked.request.victim
    price = "" if checks.labels_only(recipes.load_victim(victim)) else priced(victim, SHADOWS, looked.workspace)
    if not price:
        return ""
    return (
        f"A stronger audit: mia-seg audit {victim} --shadows {SHADOWS}{_root(looked.workspace)} trains {price}. It "
        f"compares your model with some that trained on a scene and some that did not (LiRA), and finds more members."
    )


def _root(workspace: "Workspace") -> str:
    return f" --data-root {shlex.quote(str(workspace.data_root))}" if workspace.data_root else ""
