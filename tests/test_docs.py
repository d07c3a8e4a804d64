"""README and docs: links lead somewhere, tables are the results', and code is what mia-seg takes."""

import json
import re
import runpy
import shlex
import tomllib
from collections import Counter
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import typer

from mia_seg import objectives, plugins, updates
from mia_seg.cli import app
from mia_seg.evaluate import results
from mia_seg.objectives import Objective
from mia_seg.plugins import Component
from mia_seg.recipes import grids
from mia_seg.report.cells import SCREEN
from mia_seg.updates import Update

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)

MEASURED = re.compile(r"(?<![\w.])(?:\d+\.\d+%?(?![\d.])|\d+ points\b|\d+%(?! FPR)|\d{1,3},\d{3}\b)")
# Numbers of chance, counts, versions, the thesis's figures and tables, and what the thesis and a paper found.
TYPED = Counter(
    ["0.5"] * 6 + ["1,200"] + ["3.11", "2.0", "95%", "7.5", "7.6", "7.12", "7.9", "6.1", "6.3", "6.3", "6.6"]
    + ["0.8", "0.83", "0.75", "4.8", "3.1", "4.1", "0.56", "0.28", "0.1%", "15,000", "30,000", "7.10", "6.4"]
)  # fmt: skip

BASELINE = "patch_resnet50:labels"  # it sees no answer, so no defense

parametrize_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def anchors(page: Path) -> set[str]:
    """What links into a page may name: its headings, in lower case, words joined by '-'."""
    titles = re.findall(r"(?m)^#+ (.+)$", BLOCK.sub("", page.read_text("utf-8")))
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def blocks(page: Path, kind: str) -> Iterator[str]:
    """The code of a page in one language."""
    return (text for named, text in BLOCK.findall(page.read_text("utf-8")) if named == kind)


@parametrize_page
def test_links_lead_to_a_file_and_a_heading(page: Path) -> None:
    for target, anchor in LINK.findall(page.read_text("utf-8")):
        place = (page.parent / target).resolve() if target else page
        assert place.exists(), f"{page.name} links to {target}"
        if anchor and place.suffix == ".md":
            assert anchor in anchors(place), f"{page.name} links to {target}#{anchor}"


def test_tables_say_what_the_results_say(capsys: pytest.CaptureFixture[str]) -> None:
    """Every table, and none is empty."""
    check = runpy.run_path(str(ROOT / "docs" / "tables.py"))
    assert check["main"](True) == 0, capsys.readouterr().out
    places = [check["PLACE"].findall(page.read_text("utf-8")) for page in (*check["PAGES"], *check["OTHERS"])]
    assert {name for found in places for _, name, _ in found} == set(check["TABLES"])
    text = check["PAGES"][1].read_text("utf-8")
    other = str.maketrans("0123456789", "1234567890")
    typed = text.replace("| 0.", "| 1.")
    assert check["filled"](typed) != typed, "a typed number is seen"
    for page in (text, (ROOT / "docs" / "method.md").read_text("utf-8")):
        typed = check["CITED"].sub(lambda m: m[1].translate(other) + m[2], page)
        assert typed != page
        assert check["filled"](typed) == page, "and one in a sentence"


def test_measured_numbers_in_sentences_are_taken_from_tables() -> None:
    """On the pages of results. Chance is typed, and so is what the thesis and papers have, each number named here."""
    check = runpy.run_path(str(ROOT / "docs" / "tables.py"))
    found = Counter(
        number
        for page in check["PAGES"]
        for sentence in sentences(check["CITED"].sub("", page.read_text("utf-8")))
        for number in MEASURED.findall(sentence)
    )
    assert found == TYPED


def sentences(text: str) -> list[str]:
    """The sentences of a page, without tables, headings, code and addresses."""
    text = re.sub(r"(?m)^ *(\||#|!|<).*$|^    [^*\s].*$|`[^`]*`|\]\([^)]*\)|<!--[^>]*-->", "", BLOCK.sub("", text))
    return [" ".join(one.split()) for one in re.split(r"[.:?!]\W*\s|\n *(?:\*|\d+\.) |\n\n", text)]


def test_settings_of_trainings_that_protect_have_the_defaults_of_their_classes() -> None:
    text = (ROOT / "docs" / "protective.md").read_text("utf-8")
    rows = {row[1]: row[0] for row in re.findall(r'^(\|[^\n]*?`(?:\[\w+\] name = )?"(\w+)"`.*)$', text, re.MULTILINE)}
    kinds: dict[str, type[Component]] = {
        name: plugins.load(package, base, name)
        for package, base in ((objectives, Objective), (updates, Update))
        for name in plugins.names(package)
        if name in rows
    }
    assert len(kinds) == len(rows) == 8
    for name, kind in kinds.items():
        told = dict(re.findall(r'`(\w+) = ("?[\w.]+"?)`', rows[name]))
        assert {key: kind.model_fields[key].default for key in told} == {key: json.loads(told[key]) for key in told}


def test_the_grid_names_every_run_of_the_evidence() -> None:
    """And every run that it names has its results."""
    made = {
        (one.victim, one.shadow, one.seed, one.repeats, one.defense, f"{one.attack}:{one.representation}".rstrip(":"))
        for one in results.read_all(ROOT / "reports" / "evidence")
    }
    named = {
        (audit.victim, audit.shadow or SCREEN, seed, audit.repeats, defense, attack)
        for audit in grids.load("evidence").audit
        for seed, defense, attack in product(audit.seeds, audit.defenses, audit.attacks)
        if attack != BASELINE or defense == "none"
    }
    assert made == named


def test_the_site_holds_every_page_and_its_menu_leads_there() -> None:
    site = runpy.run_path(str(ROOT / "docs" / "site.py"))
    gathered, menu = site["gathered"](), {ROOT / page for pages in site["MENU"].values() for page in pages}
    assert {ROOT / "README.md", *PAGES} <= {*gathered}
    assert menu == {*PAGES}


@parametrize_page
def test_python_and_toml_can_be_read(page: Path) -> None:
    for text in blocks(page, "python"):
        compile(text, page.name, "exec")
    for text in blocks(page, "toml"):
        tomllib.loads(text)


@parametrize_page
def test_commands_and_their_options_exist(page: Path) -> None:
    root = typer.main.get_command(app)
    for line in (line for text in blocks(page, "console") for line in text.replace("\\\n", " ").splitlines()):
        words = shlex.split(line, comments=True)
        if words[:1] == ["mia-seg"]:
            command = found(root, words[1:])
            known = {name for parameter in command.params for name in parameter.opts} | {"--help"}
            for word in (word.partition("=")[0] for word in words if word.startswith("--")):
                assert word in known, f"{page.name}: {line}"


def found(command: Any, words: list[str]) -> Any:
    """The command that a line begins with."""
    while hasattr(command, "commands") and (names := [word for word in words if not word.startswith("-")]):
        name = names[0]
        words = words[words.index(name) + 1 :]
        assert name in command.commands, f"there is no command '{name}'"
        command = command.commands[name]
    return command


@parametrize_page
def test_sentences_are_short(page: Path) -> None:
    """On average, and nine of ten of them. Tables, headings and code are left out."""
    counts = (len(sentence.split()) for sentence in sentences(page.read_text("utf-8")))
    lengths = sorted(count for count in counts if count > 1)
    assert sum(lengths) / len(lengths) <= 15
    assert lengths[len(lengths) * 9 // 10] <= 22


def test_the_readme_is_read_in_a_minute() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 90
