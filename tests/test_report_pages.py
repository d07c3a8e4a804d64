"""The page of an audit and the index: every form has the same numbers, all is reachable, only what changed is drawn."""

import csv
import io
import json
import re
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from helpers_files import assert_refused, call
from helpers_results import result
from test_equal_gap import facts
from test_report import shown

from mia_seg import report
from mia_seg.cli._fleet import _worth
from mia_seg.errors import MiaSegError
from mia_seg.evaluate import arms, results
from mia_seg.evaluate.results import Result
from mia_seg.evaluate.scores import SceneScores
from mia_seg.metrics.intervals import mean_of
from mia_seg.report import audits, exposed, index, pdf, trainings, verdicts
from mia_seg.report.cells import cells, enriched
from mia_seg.report.from_store import report as draw
from mia_seg.report.worth import worth_png
from mia_seg.stages import fleets
from mia_seg.store import Store

QUICK = {"attack": "image_loss", "representation": ""}
ODD = 'a <b>"q" $x_y & 街 it\'s'
VOID = {"meta", "input", "img"}


def found() -> list[Result]:
    """Two victims, two attacks, a defense by both kinds of attacker, two seeds, the control."""
    made = [result(0.0, representation="labels")]
    for seed in (1, 2):
        made += [result(1.8, seed=seed), result(1.5, seed=seed, **QUICK)]
        for value, miou in (("0.5", 0.35), ("1.0", 0.3)):
            kind = {"defense": f"gaussian:{value}", "seed": seed, "miou": miou}
            made += [result(1.2, adaptive=side, **kind, **QUICK) for side in (False, True)]
    return [*made, result(0.2, victim="alps", exposed={"fdr": 0.1, "tested": 60, "scenes": ["peak", ODD]}, **QUICK)]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report in every form that needs no browser and no figures."""
    folder = tmp_path_factory.mktemp("reports")
    for one in found():
        results.write(folder / ("" if one.victim == "village" else "below"), one)
    fleets.write_compared(folder / "below", facts())
    draw(folder, Store(folder / "none"), None, forms=["html", "csv", "json", "latex"])
    return folder


class Page(HTMLParser):
    """What a page is made of."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def all(self, *names: str) -> Iterator[dict[str, str | None]]:
        return (attrs for tag, attrs in self.tags if tag in names)


def pages(drawn: Path) -> list[Path]:
    places = ["index.html", "village/index.html", "below/alps/index.html", "below/arms.rmia.s0.fleet.html"]
    return [drawn / place for place in places]


def rows_of(page: str, table: str) -> list[str]:
    """The rows of the table with a caption, as text between bars."""
    body = page.split(f"<caption>{table}</caption>")[1].split("</table>", maxsplit=1)[0].split("<tbody>")[1]
    return ["|".join(re.findall(r">([^<>]+)</(?:a|td|th)>", row)) for row in body.split("</tr>")[:-1]]


def test_every_form_has_the_same_numbers(drawn: Path) -> None:
    lines = json.loads((drawn / "report.json").read_text())["lines"]
    flat = list(csv.DictReader(io.StringIO((drawn / "report.csv").read_text())))
    tex = [line for line in (drawn / "report.tex").read_text().splitlines() if line.startswith(("village &", "alps &"))]
    board = rows_of((drawn / "index.html").read_text(), "Leaderboard")
    village = rows_of((drawn / "village" / "index.html").read_text(), "Every attack, image by image")
    assert len(lines) == len(flat) == len(tex) == 8
    assert len(board) == 7, "the control is no attack"
    assert len(village) == 7
    for line, other, printed in zip(lines, flat, tex, strict=True):
        auc = shown(line["auc_low"], line["auc_high"], line["auc"])
        assert all(float(other[name]) == line[name] for name in ("auc", "auc_low", "auc_high", "miou"))
        assert f"{auc} &".replace("[", "{[}").replace("]", "{]}") in printed
        assert f"& {100 * line['miou']:.1f} &" in printed
        mine = [row for row in board if f"|{auc}|" in row and row.startswith(line["victim"])]
        assert bool(mine) is not line["control"] or line["victim"] == "alps"
        if line["victim"] == "village":
            assert any(f"|{auc}|" in row for row in village)


def test_the_board_stands_by_what_was_shown() -> None:
    lines = index.all_lines({"": found()})
    wide = lines[0] | {"auc": 1.0, "auc_low": 0.1, "control": False, "defense": "argmax"}
    board = index.board([wide, *lines])
    assert board[-1]["texts"][0].startswith("1.00 [0.10")
    assert board[-1]["strongest"], "on its defense"
    lows = [float(row["texts"][0].split("[")[1].split(",")[0]) for row in board]
    assert lows == sorted(lows, reverse=True)


def test_numbers_are_those_of_the_results(drawn: Path) -> None:
    lines = json.loads((drawn / "report.json").read_text())["lines"]
    (line,) = (one for one in lines if (one["attack"], one["control"]) == ("patch_resnet50", False))
    mine = [one.levels["image"] for one in found() if (one.attack, one.representation) == ("patch_resnet50", "concat")]
    pooled = mean_of([(one.auc, one.auc_low, one.auc_high) for one in mine])
    assert (line["auc"], line["auc_low"], line["auc_high"]) == pytest.approx(pooled)
    assert line["command"].endswith("--defense none --attack patch_resnet50:concat --seed 1 --seed 2")


def test_a_printed_command_names_the_folder_of_the_data() -> None:
    """Generated scenes need none."""
    for name, end in (("streets (city)", "--seed 1"), ("streets", "--seed 1"), ("streets_of_my_town", "FOLDER")):
        (line,) = index.all_lines({"": [result(1.0, dataset=name)]})
        assert line["command"].endswith(end), name


def test_an_attack_that_was_not_tried_on_every_defense_is_named(drawn: Path) -> None:
    page = (drawn / "village" / "index.html").read_text()
    assert "Not tried on every defense: patch resnet50 (concat). A row that met fewer attacks looks better." in page
    assert "Not tried on every defense" not in (drawn / "below" / "alps" / "index.html").read_text()
    assert audits.uneven(cells(enriched([result(1.0), result(0.5, defense="argmax")]))) == ""


def test_a_screen_has_no_shadow_on_its_page(tmp_path: Path) -> None:
    line = {"cut": "region", "part": "region 11", "auc": 0.6, "low": 0.5, "high": 0.7, "members": 9, "nonmembers": 9}
    alone = {"shadow": "screen", "adversary": "screen", "choose": "", **QUICK}
    report.write(tmp_path, [result(1.0, where=[line], **alone)], forms=["html"])
    page = (tmp_path / "village" / "index.html").read_text()
    assert rows_of(page, "How much was measured")[0].startswith("none|image|")
    assert rows_of(page, "The image loss, part by part")[0].startswith("region|middle centre|")
    assert "without a shadow: AUC" in page
    assert not re.search(r"shadow(_| )?(answers)? <code>|region 11|>screen<", page)


def test_every_link_leads_somewhere(drawn: Path) -> None:
    for path in pages(drawn):
        page = Page(path)
        ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
        assert len(ids) == len(set(ids))
        links = [attrs["href"] or "" for attrs in page.all("a")]
        assert len(links) > (10 if path.name == "index.html" else 3)
        for link in links:
            file, _, anchor = link.partition("#")
            assert (path.parent / file).exists() if file else anchor in ids, link
    anchors = re.findall(r'href="village/index.html#([^"]+)"', (drawn / "index.html").read_text())
    there = (drawn / "village" / "index.html").read_text()
    assert anchors
    assert all(f'id="{anchor}"' in there for anchor in anchors)


def test_a_page_can_be_used_without_eyes_and_without_a_mouse(drawn: Path) -> None:
    for path in pages(drawn):
        page = Page(path)
        assert page.open == []
        assert len(list(page.all("main"))) == 1
        levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h\d", tag)]
        assert levels[0] == 1
        assert all(after - before <= 1 for before, after in pairwise(levels))
        regions = [attrs for attrs in page.all("div") if "scroll" in (attrs.get("class") or "")]
        assert all(attrs["tabindex"] == "0" and attrs["aria-label"] for attrs in regions)
        assert len({attrs["aria-label"] for attrs in regions}) == len(regions)
        pictures = [attrs for attrs in page.all("svg") if attrs.get("class") == "chart"]
        assert all(attrs["aria-label"] for attrs in pictures)
        assert dict(page.tags)["html"] == {"lang": "en"}


def test_trainings_are_compared_on_a_page_of_their_own(drawn: Path) -> None:
    path, told = drawn / "below" / "arms.rmia.s0.fleet.html", facts()
    text = path.read_text("utf-8")
    (other,) = told["others"]
    rows = {row.partition("|")[0]: row for row in rows_of(text, "What each training is worth")}
    assert list(rows) == ["short", "long", "other"]
    assert f"{other['strongest']['value']:.3f} [{other['strongest']['low']:.3f}, " in rows["other"]
    assert rows["other"].split("|")[2] == "rmia behind argmax"
    assert [row.split("|")[8].partition(" ")[0] for row in rows.values()] == [
        "plain", "plain", f"+{other['worth']['value']:.3f}"
    ]  # fmt: skip
    assert rows["other"].endswith("|1.5")
    above = other["above"]["rmia"]
    assert f"{other['auc']['rmia']:.3f}|+{above['value']:.3f} [+{above['low']:.3f}, " in "".join(
        rows_of(text, "Each attack")
    )
    assert f"{other['canaries']['rmia']['auc']['value']:.3f} [" in "".join(rows_of(text, "Canaries"))
    assert "AUC is shown to be above plain training with the same gap: other (by image loss and rmia)." in text
    assert '<img src="data:image/png;base64,' in text
    index_page = (drawn / "index.html").read_text("utf-8")
    assert 'href="below/arms.rmia.s0.fleet.html">3 trainings, by image loss and rmia, seed 0<' in index_page
    assert trainings.said(told) in index_page


def test_trainings_behind_several_defenses_have_one_frontier() -> None:
    told, hidden = facts(), facts()
    for one in (told["others"][0], hidden["others"][0]):
        one["miou"]["others"] += 0.01
    for one in (*hidden["plain"], *hidden["others"]):
        one["defense"] = "argmax"
        one["strongest"] |= {"value": 0.5, "low": 0.4, "high": 0.6}
    plain = facts() | {"others": []}
    plain["plain"] = plain["plain"][:1]
    plain["plain"][0]["defense"] = "synfeat:0.75"
    every = [one for each in (told, hidden, plain) for one in (*each["plain"], *each["others"])]
    told["frontier"] = arms.marked([{"worth": None} | one for one in every])
    page = trainings.content(told, name="arms", depth=0)
    rows = {tuple(row[:2]): row for table in page["tables"][1:2] for row in table.rows}
    assert len(rows) == 7
    assert [pair for pair, row in rows.items() if row[2] == "–"] == [("other", "argmax")]
    assert [pair for pair, row in rows.items() if row[5] == "plain"] == [
        ("short", "no defense"),
        ("long", "no defense"),
    ]
    assert rows["other", "argmax"][5].startswith("+0.")
    assert rows["other", "no defense"][2] == "other, argmax"
    miou = f"{100 * hidden['others'][0]['miou']['others']:.1f}"
    assert page["verdict"] == (
        f"By the numbers choose other with argmax (AUC 0.50, mIoU {miou}%). For each of the other 6 there is one that "
        f"leaks no more and segments no worse."
    )
    assert page["measured"][0] == "Shown to leak, by an AUC above 0.5: 4 of 7."
    assert len(worth_png(told)) > 5000
    command = trainings.command(told, "arms")
    assert "--defense none --defense argmax --also short_fleet=synfeat:0.75" in command
    told["plain"][0]["digests"]["attackers"] = {"base": "0", "lira": "1", "lira:statistic=vector": "2"}
    in_order = trainings.command(told, "arms.lira-statistic-vector+base+lira.s0.fleet")
    assert "--attack lira:statistic=vector --attack base --attack lira --defense" in in_order


def test_what_is_worth_more_than_stopping_earlier_is_said() -> None:
    told = facts()
    (other,) = told["others"]
    for low, high, words in ((-0.3, -0.1, "less"), (0.1, 0.3, "more"), (-0.1, 0.1, ""), (None, None, "")):
        other["worth"] = {"plain": 0.8, "value": 0.2 if words == "more" else -0.2, "low": low, "high": high}
        said = [text for text in trainings.measured(told) if "plain training that stops" in text]
        assert said == (
            [f"Shown to leak {words} than plain training that stops where it segments others as well: other."]
            if words
            else []
        )
    assert _worth(other)[6] == "-0.200 [not tested]"
    assert _worth(other | {"worth": None})[6] == "no plain one there"
    assert _worth(told["plain"][0])[6] == "plain"
    page = trainings.content(told, name="arms", depth=0)
    assert [row[8] for row in page["tables"][0].rows] == ["plain", "plain", "−0.200"]


def test_what_a_training_proves_stands_beside_what_it_leaks() -> None:
    told = facts()
    assert "What is proven" not in [table.title for table in trainings.content(told, name="arms", depth=0)["tables"]]
    spent = {"accountant": "RDP", "clip": 1.0, "delta": 0.001, "noise": 0.05}
    told["others"][0]["privacy"] = spent | {"epsilon": 52822.8}
    told["plain"][0]["privacy"] = spent | {"noise": 0.0, "epsilon": None}
    *_, table = trainings.content(told, name="arms", depth=0)["tables"]
    assert [row[4:6] for row in table.rows] == [["none", "1"], ["5.28e+04", "1"]]


def test_a_page_says_which_trainings_to_choose_among() -> None:
    told = facts()
    (best,) = (one for one in (*told["plain"], *told["others"]) if not one["dominated_by"])
    assert trainings.said(told) == (
        f"By the numbers choose {best['title']} (AUC {best['strongest']['value']:.2f}, mIoU "
        f"{100 * best['miou']['others']:.1f}%). For each of the other 2 there is one that leaks no more and segments "
        f"no worse."
    )
    for one in (*told["plain"], *told["others"]):
        one |= {"title": f"demo_{one['title']}", "variant_of": "demo", "dominated_by": []}
    assert trainings.said(told) == "By the numbers none is left out: what leaks less segments worse."
    assert trainings.called(told).startswith("3 trainings, variants of demo, by rmia and image loss")
    told["plain"][0]["variant_of"] = "another"
    assert trainings.called(told).startswith("3 trainings, by rmia and image loss")


def test_a_comparison_alone_is_a_report_of_any_age_or_refused(tmp_path: Path) -> None:
    told = facts()
    path, *_ = fleets.write_compared(tmp_path, told)
    assert [made.name for made in draw(tmp_path, Store(tmp_path / "none"), None, forms=["html", "csv"])] == [
        "arms.rmia.s0.fleet.png", "arms.rmia.s0.fleet.html", "index.html"
    ]  # fmt: skip
    assert [made.name for made in draw(tmp_path, Store(tmp_path / "none"), None, forms=["html"])] == ["index.html"]
    for one in (*told["plain"], *told["others"]):
        for key in ("strongest", "minutes", "defense"):
            del one[key]
        one |= {"attack": "rmia", "digests": {"attacker": "0", "shadow": "1"}}
    path.write_text(json.dumps(told))
    draw(tmp_path, Store(tmp_path / "none"), None, forms=["html"])
    text = path.with_suffix(".html").read_text()
    assert "the requested attack stands in for it" in text
    assert "|rmia|8|" in "".join(rows_of(text, "What each training is worth"))
    path.write_text('{"plain": []}')
    assert_refused(call("report", "--reports", tmp_path), path.name, "is not a comparison of trainings", "Delete it")


def test_a_defense_of_several_strengths_has_a_slider(drawn: Path) -> None:
    (slider,) = (one for one in Page(drawn / "village" / "index.html").all("input") if one["type"] == "range")
    told = json.loads(slider["data-told"] or "")
    assert slider["max"] == "1"
    assert [text.split(":")[0] for text in told] == ["gaussian 0.5", "gaussian 1.0"]
    assert all("mIoU" in text for text in told)


def test_only_what_changed_is_drawn_again(tmp_path: Path) -> None:
    for victim in ("alps", "village"):
        results.write(tmp_path, result(1.0, victim=victim, **QUICK))
    store, page = Store(tmp_path / "none"), tmp_path / "village" / "index.html"

    def again() -> list[str]:
        made = draw(tmp_path, store, None, forms=["html"])
        return [path.relative_to(tmp_path).as_posix() for path in made]

    assert again() == ["alps/index.html", "village/index.html", "index.html"]
    assert again() == ["index.html"]
    results.write(tmp_path, result(1.2, victim="village", seed=2, **QUICK))
    assert again() == ["village/index.html", "index.html"]
    text = page.read_text()
    page.write_text(text.replace("This model leaks", "This model hides"))
    assert again() == ["village/index.html", "index.html"], "what was edited by hand is no page of the results"
    assert page.read_text() == text


def test_a_name_stays_a_name(tmp_path: Path) -> None:
    results.write(tmp_path, result(1.0, victim=ODD, shadow=ODD, **QUICK))
    draw(tmp_path, Store(tmp_path / "none"), None, forms=["html", "csv", "json", "latex"])
    for path in (tmp_path / "index.html", tmp_path / ODD / "index.html"):
        assert "<b>" not in path.read_text()
        assert Page(path).open == []
    assert json.loads((tmp_path / "report.json").read_text())["lines"][0]["victim"] == ODD
    assert r"a <b>\"q\" \$x\_y \& 街 it's &".replace('\\"', '"') in (tmp_path / "report.tex").read_text()


def test_two_victims_in_one_folder_are_refused(tmp_path: Path) -> None:
    path = results.write(tmp_path, result(1.0, **QUICK))
    stray = tmp_path / "alps" / path.name
    stray.parent.mkdir()
    shutil.copy(path, stray)
    ran = call("report", "--reports", tmp_path, "--format", "html")
    assert_refused(ran, "is a result of the victim 'village'", "in the folder of 'alps'", "Move it")


def test_the_folder_of_one_victim_is_no_report(tmp_path: Path) -> None:
    results.write(tmp_path, result(1.0, **QUICK))
    ran = call("report", "--reports", tmp_path / "village", "--format", "html")
    assert_refused(ran, "does not lie in a folder named after its victim 'village'", "the folder above")


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    path = results.write(tmp_path, result(1.0, **QUICK))
    path.write_text(path.read_text().replace('"schema": 2', '"schema": 99'))
    assert_refused(call("report", "--reports", tmp_path), path.name, "its schema is 99")


def test_a_form_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MiaSegError, match=r"No form of a report is called 'docx'\. There are: html, md, pdf"):
        draw(tmp_path, Store(tmp_path), None, forms=["docx"])


def test_without_a_browser_a_pdf_is_refused_before_anything_is_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results.write(tmp_path, result(1.0, **QUICK))
    monkeypatch.setattr(pdf.shutil, "which", lambda _: None)
    assert_refused(call("report", "--reports", tmp_path, "--format", "pdf"), "printed by Chromium", "--format html")
    assert not (tmp_path / "index.html").exists()


def test_a_browser_that_prints_nothing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    idle = shutil.which("true")
    monkeypatch.setattr(pdf.shutil, "which", lambda _: idle)
    (tmp_path / "index.html").write_text("<p>hello")
    with pytest.raises(MiaSegError, match="printed no PDF"):
        pdf.printed(tmp_path / "index.html")


def test_the_price_is_of_the_seeds_that_both_have() -> None:
    kinds = [("none", 1, 0.4), ("none", 2, 0.3), ("argmax", 2, 0.25)]
    made = [result(1.0, defense=name, seed=seed, miou=miou, **QUICK) for name, seed, miou in kinds]
    _, argmax = verdicts.standings(enriched(made))
    assert argmax.change == pytest.approx(-0.05)
    assert verdicts.points(argmax.change) == "−5.0"


@pytest.mark.parametrize(
    ("flags", "state"), [((False, False), "sound"), ((False, True), "confounded"), ((False, None), "partly tested")]
)
def test_controls_are_sound_where_every_seed_is(flags: tuple[bool | None, ...], state: str) -> None:
    controls = [{"confounded": flag, "blind_p": {True: 0.001, False: 0.5, None: None}[flag]} for flag in flags]
    rows = [row | told for seed, told in enumerate(controls) for row in _image(result(1.0, seed=seed))]
    assert verdicts.control_state(rows) == state


def _image(one: Result) -> list[dict[str, object]]:
    return [row for row in results.rows([one]) if row["level"] == "image"]


def test_the_most_exposed_scene_stands_out_in_most_seeds() -> None:
    lists = {1: ["b", "a"], 2: ["c", "a"]}
    made = [result(1.0, seed=s, exposed={"fdr": 0.1, "tested": 9, "scenes": ids}, **QUICK) for s, ids in lists.items()]
    (cell,) = (cell for cell in cells(enriched(made)) if cell.level == "image")
    assert exposed.scene_ids(cell) == ["a", "b", "c"]
    table = exposed.scene_table(cell)
    assert table
    assert table.rows[0] == ["a", "2 of 2"]


def test_groups_say_how_many_of_their_scenes_are_found() -> None:
    ids = [f"m{k}" for k in range(4)] + [f"n{k}" for k in range(10)]
    members = np.arange(14) < 4
    scored = np.array([5.0, 0.0, 5.0, 5.0, *np.linspace(0, 1, 10)])
    one = SceneScores(ids, members, ["x", "x", "y", "y", *ids[4:]], scored)
    (cell, *_) = cells(enriched([result(1.0, **QUICK).with_scores(one)]))
    table = exposed.group_table(cell)
    assert table
    assert table.rows == [["y", "2", "100"], ["x", "2", "50"]]
    alone = result(1.0, **QUICK).with_scores(SceneScores(ids, members, ids, scored))
    assert exposed.group_table(cells(enriched([alone]))[0]) is None


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ({"defense": "argmax", "adaptive": True}, "No attack was measured on the undefended model."),
        ({"representation": "labels"}, "No attack was measured on the undefended model."),
        ({"adversary": "screen", "choose": "", **QUICK}, "No shadow was trained."),
    ],
)
def test_a_page_is_drawn_of_whatever_there_is(tmp_path: Path, kind: dict[str, object], says: str) -> None:
    (path,) = report.write(tmp_path, [result(1.0, **kind)], forms=["html"])
    assert says in path.read_text()
    assert Page(path).open == []


def test_a_page_that_was_printed_is_not_printed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results.write(tmp_path, result(1.0, **QUICK))
    monkeypatch.setattr(pdf, "browser", lambda: "a browser")
    printed: list[Path] = []

    def run(command: list[str], page: Path) -> None:
        Path(command[-2].removeprefix("--print-to-pdf=")).write_bytes(b"%PDF")
        printed.append(page)

    monkeypatch.setattr(pdf, "_run", run)
    for _ in range(2):
        draw(tmp_path, Store(tmp_path / "none"), None, forms=["pdf"])
    assert printed == [tmp_path / "village" / "index.html"]
    assert (tmp_path / "village" / "index.pdf").read_bytes() == b"%PDF"


@pytest.mark.parametrize("place", ["evidence/labelmefacade_small", "evidence/labelmefacade_small_19", "benchmark"])
def test_results_of_every_age_have_a_row_each(place: str) -> None:
    """Those of this repository, from before scores of scenes were kept, and later ones."""
    everything = results.read_all(Path(__file__).parents[1] / "reports" / place)
    keys = ("victim", "shadow", "attack", "representation", "defense")
    made = {tuple(getattr(one, key) for key in keys) for one in everything}
    assert {tuple(line[key] for key in keys) for line in index.all_lines({"": everything})} == made
    assert index.content({"": everything})["audits"][0]["name"] == everything[0].victim
