"""The registry: a folder's files are its components, and a wrong name or setting is answered with the right one."""

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Literal

import pytest
from helpers_files import write
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mia_seg import attacks, data, defenses, generators, objectives, segmenters, updates
from mia_seg.attacks import Attack
from mia_seg.data import Dataset
from mia_seg.defenses import Defense
from mia_seg.errors import MiaSegError
from mia_seg.generators import Generator
from mia_seg.objectives import Objective
from mia_seg.oracles import doors
from mia_seg.oracles.doors import Door
from mia_seg.plugins import Component, build, explain, from_section, label, load, names, nearest, parse, select
from mia_seg.segmenters import Segmenter
from mia_seg.updates import Update

KINDS: dict[str, tuple[ModuleType, type[Component]]] = {
    "data": (data, Dataset),
    "segmenters": (segmenters, Segmenter),
    "generators": (generators, Generator),
    "objectives": (objectives, Objective),
    "updates": (updates, Update),
    "defenses": (defenses, Defense),
    "attacks": (attacks, Attack),
    "doors": (doors, Door),
}
EVERY = [(kind, name) for kind, (package, _) in KINDS.items() for name in names(package)]

CAKES = {
    "__init__.py": "from mia_seg.plugins import Component\nclass Cake(Component):\n    pass\n",
    "apple.py": "from cakes import Cake\nclass Apple(Cake):\n    slices: int = 8\n    warm: bool = False\n",
    "plain.py": "from cakes import Cake\nfrom cakes.apple import Apple\nclass Plain(Cake):\n    pass\n",
    "broken.py": "from cakes import Cake\nclass First(Cake):\n    pass\nclass Second(Cake):\n    pass\n",
    "hollow.py": "import mia_seg\n",
    "explosive.py": "raise RuntimeError('imported without need')\n",
    "_tools.py": "raise RuntimeError('private')\n",
    "notes.txt": "no module\n",
}


@pytest.fixture
def cakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A package of components, of which one is public rubbish and one is private."""
    for name, text in CAKES.items():
        write(tmp_path / "cakes" / name, text)
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("cakes", "cakes.apple", "cakes.plain", "cakes.broken", "cakes.hollow"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return importlib.import_module("cakes")


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_every_file_is_one_component_with_a_frozen_record_of_settings(kind: str, name: str) -> None:
    package, base = KINDS[kind]
    component = load(package, base, name)
    assert issubclass(component, base)
    assert component.__module__ == f"{package.__name__}.{name}"
    assert component.__doc__
    assert component.model_config["frozen"]
    assert component.model_config["extra"] == "forbid"


def test_names_are_the_public_files(cakes: ModuleType) -> None:
    assert names(cakes) == ["apple", "broken", "explosive", "hollow", "plain"]


def test_loading_one_imports_no_other_and_ignores_what_it_imports(cakes: ModuleType) -> None:
    assert load(cakes, cakes.Cake, "plain").__name__ == "Plain"


@pytest.mark.parametrize(("name", "count"), [("broken", 2), ("hollow", 0)])
def test_a_file_must_define_exactly_one(cakes: ModuleType, name: str, count: int) -> None:
    with pytest.raises(MiaSegError, match=rf"{name}\.py defines {count} cake classes; it must define exactly one"):
        load(cakes, cakes.Cake, name)


def test_an_unknown_name_is_answered_with_the_nearest_and_all(cakes: ModuleType) -> None:
    with pytest.raises(MiaSegError) as refused:
        load(cakes, cakes.Cake, "aple")
    assert str(refused.value) == (
        "No cake is called 'aple'. Did you mean 'apple'? There are: apple, broken, explosive, hollow, plain."
    )
    with pytest.raises(MiaSegError, match="No cake is called '_tools'"):
        load(cakes, cakes.Cake, "_tools")
    assert nearest("xyz", ["apple"]) == " There are: apple."
    assert nearest("xyz", []) == " There are: none."


def test_text_sets_the_first_field_over_the_defaults(cakes: ModuleType) -> None:
    base = cakes.Cake
    assert parse(cakes, base, "apple").model_dump() == {"slices": 8, "warm": False}
    assert parse(cakes, base, "apple:3").model_dump() == {"slices": 3, "warm": False}
    assert parse(cakes, base, "apple:3", defaults={"slices": 5, "warm": True}).model_dump() == {
        "slices": 3,
        "warm": True,
    }
    assert parse(cakes, base, "plain").model_dump() == {}


def test_text_sets_other_fields_by_name_and_a_label_names_those_that_differ(cakes: ModuleType) -> None:
    base = cakes.Cake
    assert parse(cakes, base, "apple:3,warm=true").model_dump() == {"slices": 3, "warm": True}
    assert parse(cakes, base, "apple:warm=true").model_dump() == {"slices": 8, "warm": True}
    full_of = {
        "apple": "apple:8", "apple:3,warm=true": "apple:3,warm=True", "apple:warm=false": "apple:8", "plain": "plain"
    }  # fmt: skip
    for text, full in full_of.items():
        assert label(cakes, base, text) == full
        assert parse(cakes, base, full) == parse(cakes, base, text)


def test_one_number_is_a_square_on_a_command_line_as_in_a_label() -> None:
    written = "patch_fleet:loss,patch=12"
    found = parse(attacks, Attack, written)
    assert found == build(
        attacks, Attack, "patch_fleet", settings={"representation": "loss", "patch": (12, 12)}, where="[attacks]"
    )
    assert label(attacks, Attack, written) == written
    assert select(attacks, Attack, written).called == written


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("apple:many", "'apple:many': 'slices' = 'many': Input should be a valid integer"),
        ("apple:3:4", "'apple:3:4': 'slices' = '3:4'"),
        ("apple:3,4", "'apple:3,4' sets a field twice. Write 'apple:SLICES' once, others as 'key=value'."),
        ("apple:3,cold=true", "'apple:3,cold=true': unknown key 'cold'."),
        ("plain:3", "'plain:3': plain takes no value. Write 'plain'."),
        ("aple:3", "Did you mean 'apple'?"),
        ("", "No cake is called ''"),
    ],
)
def test_wrong_text_is_refused(cakes: ModuleType, text: str, says: str) -> None:
    with pytest.raises(MiaSegError) as refused:
        parse(cakes, cakes.Cake, text)
    assert says in str(refused.value)


def test_wrong_defaults_name_the_allowed_keys(cakes: ModuleType) -> None:
    with pytest.raises(MiaSegError, match=r"unknown key 'slice'\. Did you mean 'slices'\? There are: slices, warm\."):
        parse(cakes, cakes.Cake, "apple", defaults={"slice": 2})


@pytest.mark.parametrize(
    ("section", "says"),
    [
        ({"slices": 2}, "a.toml: [cake]: the key 'name' is missing. There are: apple,"),
        ({"name": 3}, "a.toml: [cake]: 'name' = 3 is no name: write one, in quotes. There are: apple,"),
        ({"name": "appel"}, "a.toml: [cake]: no cake is called 'appel'. Did you mean 'apple'?"),
        ({"name": "apple", "warn": True}, "a.toml: [cake]: unknown key 'warn'. Did you mean 'warm'?"),
        ({"name": "apple", "slices": []}, "a.toml: [cake]: 'slices' = []: Input should be"),
    ],
)
def test_a_section_is_refused_with_its_place(cakes: ModuleType, section: dict[str, object], says: str) -> None:
    before = dict(section)
    with pytest.raises(MiaSegError) as refused:
        from_section(cakes, cakes.Cake, section, where="a.toml: [cake]")
    assert str(refused.value).startswith(says)
    assert section == before


def test_a_component_cannot_be_changed(cakes: ModuleType) -> None:
    apple = build(cakes, cakes.Cake, "apple", settings={}, where="here")
    with pytest.raises(ValidationError, match="frozen"):
        apple.slices = 2
    assert repr(apple) == "Apple(slices=8, warm=False)"  # what an artefact's digest is made from


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")
    size: tuple[int, int]
    kind: Literal["a", "b"] = "a"


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")
    plain: Inner | None = None
    several: tuple[Inner, ...] = ()
    either: int | str = 0
    count: int = Field(default=1, ge=1)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"plane": 1}, "f: unknown key 'plane'. Did you mean 'plain'? There are: plain, several, either, count."),
        ({"plain": {"sise": [1, 2]}}, "f: unknown key 'plain.sise'. Did you mean 'size'? There are: size, kind."),
        ({"several": [{"size": [1, 2], "kin": "a"}]}, "f: unknown key 'several.0.kin'. Did you mean 'kind'?"),
        ({"kind": "a"}, "f: unknown key 'kind'. Did you mean 'plain.kind'?"),
        ({"plain": {}}, "f: the key 'plain.size' is missing. Add it."),
        ({"plain": {"size": [1]}}, "f: the key 'plain.size' is too short. Give all of it."),
        ({"plain": {"size": [1, 2], "kind": "c"}}, "f: 'plain.kind' = 'c': Input should be 'a' or 'b'."),
        ({"either": 1.5}, "f: 'either' = 1.5: Input should be a valid integer, got"),
        ({"count": 0}, "f: 'count' = 0: Input should be greater than or equal to 1."),
        ({"plain": 3}, "f: 'plain' = 3: Input should be"),
    ],
)
def test_the_first_fault_becomes_one_sentence(content: dict[str, object], says: str) -> None:
    with pytest.raises(ValidationError) as wrong:
        Outer(**content)  # type: ignore[arg-type]
    assert explain(wrong.value, Outer, "f").startswith(says)
