"""Names that mean something to a terminal, a page, a table or a formula are shown as they are, or as their escapes."""

import csv
import io
import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from helpers_files import assert_refused, call, edit, victim_text
from helpers_results import result
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from mia_seg import progress, recipes, report, texts
from mia_seg.cli import _screen as screen
from mia_seg.errors import MiaSegError
from mia_seg.evaluate import results
from mia_seg.evaluate.results import Result
from mia_seg.report import curves, figures, render, style
from mia_seg.report.cam import CamInput
from mia_seg.report.cells import cells, defenses_of, enriched
from mia_seg.report.galleries import LossInput, SceneInputs, SegmentationInput
from mia_seg.store import Store, shortened
from mia_seg.store.upkeep import damaged, entries, needless

NAMES = (
    "US$$_0 #1", "$x^{2}$", r"$\frac$", r"a_b^c{d}\e%f&g~h", "街道_01", "😀🚗", "[bold]x[/bold]", "[/]",
    "<b>x</b>&amp;", "q\"'`*_x_*`", "-v", "#7", "a  b", "line\nbreak", "tab\there\x1b[31m", ":car:", "100%41", "a|b",
    "_hidden", "[link](to)", "x" * 250, "é" * 100,
)  # fmt: skip
every_name = pytest.mark.parametrize("name", NAMES, ids=ascii)


class Words(HTMLParser):
    """The text of a page, and the ids in it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text, self.ids = "", set[str]()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids |= {str(value) for key, value in attrs if key == "id"}

    def handle_data(self, data: str) -> None:
        self.text += data


def words(text: str) -> str:
    """As a browser shows it: every run of blanks is one."""
    return " ".join(text.split())


def sheets(names: tuple[str, ...]) -> SceneInputs:
    """A sheet of each kind with a scene a name."""
    images = [np.full((6, 8, 3), 90, np.uint8) for _ in names]
    labels = [np.zeros((6, 8), np.uint8) for _ in names]
    maps = [np.linspace(-1, 1, 48).reshape(6, 8) for _ in names]
    cam = CamInput(list(names), images, labels, {"none": maps}, {"none": [1.0] * len(names)}, "")
    sides = [True] * len(names)
    losses = LossInput(list(names), sides, images, labels, maps, None)
    predicted, quality = {"none": labels}, {"none": [(0.5, 0.25)] * len(names)}
    segmentation = SegmentationInput(list(names), sides, images, labels, names, predicted, quality)
    return SceneInputs(cam=cam, losses=losses, segmentation=segmentation)


def parts(names: tuple[str, ...]) -> list[dict[str, object]]:
    return [
        {"cut": "class", "part": name, "auc": 0.6, "low": 0.5, "high": 0.7, "members": 5, "nonmembers": 5}
        for name in names
    ]


def read_latex(text: str) -> str:
    """What LaTeX prints; nothing in it may be left that means something to it."""
    words = {"textasciicircum ": "^", "textasciitilde ": "~", "textbackslash ": "\\"} | {c: c for c in "$&#_%{}"}
    found = re.sub(
        r"\\(textasciicircum |textasciitilde |textbackslash |[$&#_%{}])", lambda m: f"\0{ord(words[m[1]])}\0", text
    )
    assert not set(found.replace("{[}", "[")) & set("$&#_%{}^~\\")
    return re.sub("\0(\\d+)\0", lambda m: chr(int(m[1])), found.replace("{[}", "["))


def of_image_loss(**changes: object) -> Result:
    return result(attack="image_loss", representation="", **changes)


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """A report with odd names of victim, shadow, scenes and classes, and the first two."""
    folder = tmp_path_factory.mktemp("reports")
    victim, shadow = "".join(NAMES[:10]).replace("/", "∕"), "".join(NAMES[10:20]) + "é" * 60
    found = [
        of_image_loss(victim=victim, shadow=shadow, where=parts(NAMES), defense=defense, seed=0, count=8)
        for defense in ("none", "argmax")
    ]
    for one in found:
        results.write(folder, one)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "_curves", lambda *_: iter(()))  # the slowest to draw, and without such names
        written = report.write(folder, results.read_all(folder), {victim: sheets(NAMES[:1] + NAMES[4:5])})
    assert all(path.is_file() for path in written)
    return folder, victim, shadow


def test_the_page_holds_every_name_as_it_is(reported: tuple[Path, str, str]) -> None:
    folder, victim, shadow = reported
    page = Words((folder / victim / "index.html").read_text("utf-8"))
    for name in (victim, shadow, *NAMES):
        assert words(name) in words(page.text), name
    assert victim in page.ids


def test_the_readme_holds_every_name_as_markdown_shows_it(reported: tuple[Path, str, str]) -> None:
    folder, victim, shadow = reported
    shown = Words(MarkdownIt("commonmark").enable("table").render((folder / victim / "README.md").read_text("utf-8")))
    for name in (victim, shadow):
        assert shown.text.count(texts.printable(name)) >= 2, name


@settings(max_examples=60, deadline=None, database=None, derandomize=True)
@given(st.text("ab1_*`~#<>&;$|\\[]()!-+. :\"'=é街\n", min_size=1, max_size=12).filter(str.strip))
def test_markdown_shows_what_it_would_take_for_markup(name: str) -> None:
    said, cell = render.markdown(name), render.markdown_cell(name)
    text = f"## {said}\n\n- Shadow {said}, seed\n\n| a | b |\n| --- | --- |\n| {cell} | 1 |\n"
    rules = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    assert words(Words(rules.render(text)).text).count(words(texts.printable(name))) >= 3


def test_figures_write_names_without_formulas_and_in_glyphs_that_they_have() -> None:
    with style.styled():
        drawn = style.figure(4, 4)
        for k, name in enumerate(NAMES):
            drawn.text(0, k / len(NAMES), style.named(name, 40))
        drawn.subplots().set_yticks(range(len(NAMES)), [style.named(name, 40) for name in NAMES])
        assert style.png(drawn)  # a glyph that is missing would be a warning, which fails
        assert b"US$$_0 #1" in style.svg(drawn)
    assert max(len(text.get_text()) for text in drawn.texts) == 41


def test_no_figure_holds_a_formula() -> None:
    """What matplotlib makes of a logarithmic axis by itself would be shown as its source."""
    found = cells(enriched([of_image_loss(count=200, seed=0), of_image_loss(count=200, seed=0, defense="argmax")]))
    with style.styled():
        drawn = curves.roc_figure([cell for cell in found if cell.level == "image"], style.look(defenses_of(found)))
        said = set(re.findall(">([^<>]+)</text>", style.svg(drawn).decode()))
    assert {"0.01", "0.1", "1"} <= said
    assert not [text for text in said if "$" in text]


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("US$$_0 #1", "US$$_0 #1"),
        ("街_01", r"\u8857_01"),
        ("a\nb", r"a\nb"),
        ("é😀", "é😀"),
        ("x" * 30 + "end", "…" + "x" * 17 + "end"),
    ],
)
def test_what_a_figure_writes(name: str, written: str) -> None:
    assert style.named(name, 20) == written


@dataclass
class Named:
    """What of a stage a line says."""

    title: str
    kind: str = "victims"
    digest: str = "0" * 12


@pytest.fixture
def shown(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], tuple[str, str]]]:
    """What the terminal was given since the last look: stdout and stderr."""
    screen.out.cache_clear()
    progress.show()
    yield lambda: tuple(capsys.readouterr())  # type: ignore[return-value]
    progress.show(False)
    screen.out.cache_clear()


@every_name
def test_every_line_of_the_terminal_holds_a_name_in_one_line(name: str, shown: Callable[[], tuple[str, str]]) -> None:
    line = texts.printable(name)
    screen.say("made", Named(name))  # type: ignore[arg-type]
    assert shown()[1] == f" trained victim {line} ({'0' * 12})\n"
    screen.findings([("ok", name), ("problem", name), ("absent", name)])
    assert shown()[0] == f"ok       {line}\nproblem  {line}\nabsent   {line}\n"
    screen.following([Path(f"a{name}")], name)
    assert shown()[0] == f"   wrote {texts.printable(str(Path(f'a{name}')))}\n    next {line}\n"
    screen.fault(f"{name!r} is wrong.")
    assert shown()[1] == f"mia-seg: {name!r} is wrong.\n"


@every_name
def test_tables_of_results_hold_a_name_whatever_their_form(name: str, shown: Callable[[], tuple[str, str]]) -> None:
    found, line = [of_image_loss(victim=name, count=8)], texts.printable(name)
    screen.as_csv(found)
    assert next(csv.DictReader(io.StringIO(shown()[0], newline="")))["victim"] == name
    screen.as_json(found)
    assert json.loads(shown()[0])[0]["victim"] == name
    screen.as_latex(found)
    row = shown()[0].splitlines()[4]
    assert row.endswith(r" \\")
    assert not row.startswith("[")
    assert read_latex(row.partition(" & ")[0]) == line
    screen.results(found)
    assert "".join(line.split())[:40] in "".join(shown()[0].split())


def test_a_terminal_without_the_characters_of_a_name_shows_escapes(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, "latin-1"))
    screen.escaping()
    screen.as_csv([of_image_loss(victim="é街", count=8)])
    sys.stdout.flush()
    assert "é\\u8857" in raw.getvalue().decode("latin-1")


@pytest.mark.parametrize("name", ["a", "x" * 100, "x" * 101, "街" * 33, "街" * 34, "x" * 250])
def test_long_names_are_cut_for_files_and_stay_apart(name: str, tmp_path: Path) -> None:
    short = shortened(name)
    assert len(short.encode()) <= 100
    assert (short == name) is (len(name.encode()) <= 100)
    assert shortened(f"{name}y") != short
    path = results.write(tmp_path, of_image_loss(victim=name[:80], shadow=name, count=4))
    assert results.read(path).shadow == name


def test_a_long_name_makes_an_artefact_that_is_kept(tmp_path: Path) -> None:
    store = Store(tmp_path)
    one = store.artefact("answers", "[b]*?" + "街" * 80, {"a": 1})
    assert store.make([one], lambda drafts: (drafts[0].folder / "a").write_text("1") and None)
    assert one.whole
    assert [entry.state for entry in entries(store)] == ["whole"]
    assert not list(damaged(store))


# What systems and browsers of files leave behind. No text, no JSON, no TOML.
LEFT = ("._{}", ".DS_Store", "Thumbs.db", "desktop.ini", ".hidden/{}")


def leave(folder: Path, like: str) -> None:
    for name in LEFT:
        path = folder / name.format(like)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\x00\x05\x16\x07\xff Mac OS X")


def test_what_systems_leave_beside_results_recipes_and_artefacts_is_none_of_them(workdir: Path) -> None:
    path = results.write(workdir / "reports", of_image_loss(count=4))
    generator = workdir / "reports/village/generators"
    store = Store(workdir / "runs")
    one = store.artefact("answers", "a", {"a": 1})
    store.make([one], lambda drafts: (drafts[0].folder / "a").write_text("1") and None)
    for folder, like in (
        (path.parent, path.name), (workdir / "reports", path.name), (generator, "dfgan.s0.json"),
        (workdir / "victims", "tiny.toml"), (workdir / "shadows", "x.toml"), (one.path, "a"), (one.path.parent, "a"),
        (store.root, "answers"),
    ):  # fmt: skip
        leave(folder, like)
    assert results.files(workdir / "reports") == [path]
    assert results.read_generators(workdir / "reports") == []
    assert not any(name.startswith(".") for kind in ("victim", "shadow") for name in recipes.names(kind))
    with pytest.raises(MiaSegError, match=r"'\._tiny' is no name of a recipe"):
        recipes.find("victim", "._tiny")
    assert [entry.label for entry in entries(store)] == [f"answers/{one.path.name}"]
    assert not list(damaged(store))
    assert [entry.path for entry in needless(store, workdir / "reports").entries] == [one.path]
    assert call("list").code == 0
    assert call("results").code == 0


def test_a_name_that_is_not_utf_8_is_refused_before_anything_is_trained(workdir: Path, data_root: Path) -> None:
    images = data_root / "labelmefacade/images"
    os.rename(min(images.iterdir()), os.fsencode(images) + b"/caf\xe9.jpg")
    edit(workdir / "victims/tiny_folder.toml", '"random"', '"coin"')
    ran = call("train-victim", "tiny_folder", "--data-root", data_root, "--device", "cpu")
    assert_refused(ran, f"{images}: the file name 'caf\\udce9.jpg' is not UTF-8. Rename the file", "convmv")
    assert not (workdir / "runs").exists()


def test_a_recipe_whose_name_is_not_utf_8_is_refused(workdir: Path) -> None:
    (workdir / os.fsdecode(b"victims/caf\xe9.toml")).write_text(victim_text())
    assert_refused(call("list"), "'caf\\udce9.toml' is not UTF-8")


def test_a_folder_of_results_whose_name_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    path = results.write(tmp_path, of_image_loss(count=4))
    path.parent.rename(tmp_path / os.fsdecode(b"caf\xe9"))
    with pytest.raises(MiaSegError, match=r"'caf\\udce9/village_a1\.none.*' is not UTF-8"):
        results.read_all(tmp_path)
