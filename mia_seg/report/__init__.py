"""The report: results -> tables, figures, one self-contained page and a README; regenerated, never edited."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2

from mia_seg.errors import MiaSegError
from mia_seg.evaluate.results import Result
from mia_seg.report import figures, frontier, generators, shadows, sources, tables, where, words
from mia_seg.report.budgets import budget_table, once
from mia_seg.report.cells import Row, cells, defenses_of, enriched
from mia_seg.report.changes import change_table
from mia_seg.report.controls import control_tables, near_twins
from mia_seg.report.figures import Figure
from mia_seg.report.galleries import LossSheet
from mia_seg.report.glossary import glossary
from mia_seg.report.more import more_table
from mia_seg.report.style import Look, look
from mia_seg.report.tables import Table
from mia_seg.store import replace, writing
from mia_seg.texts import printable

if TYPE_CHECKING:  # its module imports torch, and a report is made from files
    from mia_seg.report.cam import CamSheet

Results = Sequence[Result]
Scores = Sequence[dict[str, Any]]


@dataclass(frozen=True)
class Shadow:
    """What one shadow showed of a victim. `compared`: tables that weigh its attacks and defenses."""

    name: str
    about: str
    defended: list[str]
    figures: list[Figure]
    compared: list[Table]
    tables: list[Table]
    screen: bool = False

    @property
    def heading(self) -> str:
        """How the victim was attacked."""
        return "looked at alone" if self.screen else f"attacked through {self.name}"

    @property
    def way(self) -> str:
        """The same in a table's title."""
        return "alone" if self.screen else f"through {self.name}"


@dataclass(frozen=True)
class Victim:
    """The section of one victim. `own`: figures of the model itself; `details`: tables for those who check."""

    name: str
    leak: str
    controls: list[str]
    tables: list[Table]
    own: list[Figure]
    shadows: list[Shadow]
    sheets: list[Figure]
    details: list[Table]

    @property
    def figures(self) -> list[Figure]:
        """All figures of the section."""
        through = [figure for shadow in self.shadows for figure in shadow.figures]
        return [*self.own, *through, *self.sheets]


def write(
    reports: Path,
    results: Results,
    cams: "dict[str, CamSheet]",
    *,
    scores: Scores = (),
    losses: dict[str, LossSheet] | None = None,
    others: Mapping[str, Results] | None = None,
) -> list[Path]:
    """Figures, `index.html` and `README.md` under `reports`, from results and sheets by victim; what was written.

    scores: those of generators; of victims without results they are left out. others: the results of reports in
    folders below, by folder, which get a line each. The same input gives the same bytes. Where no sheet is given, the
    figure that an earlier report left stays.
    Raises MiaSegError for no results, and for a sheet of a victim without any.
    """
    losses = losses or {}
    by_victim = _by_victim(results, [*cams, *losses])
    rows = enriched(once(results))
    # One look for all victims: a defense has the same colour on the whole page.
    shared = look(defenses_of(cells(rows)))
    victims = [
        _victim(reports, name, mine, sheets=(cams.get(name), losses.get(name)), scores=_of(scores, name), shared=shared)
        for name, mine in by_victim.items()
    ]
    more = more_table(reports, others) if others else None
    content = {"victims": victims, "glance": tables.glance(rows), "more": more, "glossary": glossary(rows)}
    pages = [_render(reports / name, template, content) for name, template in PAGES.items()]
    return [file for victim in victims for figure in victim.figures for file in figure.files] + pages


# What begins or ends markup, but for brackets and underscores where they do not.
MARKUP = re.compile(r"[\\`*$~]|<(?=[A-Za-z/!?])|&(?=#?\w+;)|(?<!\w)_|_(?!\w)|#$|](?=\()")
PAGES = {"index.html": "page.html.j2", "README.md": "readme.md.j2"}


def _of(scores: Scores, victim: str) -> list[dict[str, Any]]:
    return [score for score in scores if score["victim"] == victim]


def _by_victim(results: Results, sheets: Iterable[str]) -> dict[str, list[Result]]:
    if not results:
        raise MiaSegError("There are no results to report. Run an audit first: mia-seg run VICTIM SHADOW.")
    by_name = attrgetter("victim")
    found = {name: list(mine) for name, mine in groupby(sorted(results, key=by_name), key=by_name)}
    for stray in sorted(set(sheets) - set(found)):
        raise MiaSegError(f"There is a sheet for '{stray}' but no result. Victims with results: {', '.join(found)}.")
    return found


def _victim(
    reports: Path,
    name: str,
    results: Results,
    *,
    sheets: "tuple[CamSheet | None, LossSheet | None]",
    scores: Scores,
    shared: Look,
) -> Victim:
    folder, rows = reports / name, enriched(once(results))
    repeated = budget_table(results)
    names = sorted({str(row["shadow"]) for row in rows})
    through = [row for row in rows if row["adversary"] != "screen"]
    labelled = [row for row in rows if row["miou_members"] is not None]
    return Victim(
        name=name,
        leak=words.leak(rows),
        controls=[text for text in (*words.controls(rows), near_twins(results)) if text],
        tables=[
            *([tables.utility(labelled)] if labelled else []),
            *([tables.shadows(cells(through))] if through else []),
            *([generators.generator_table(scores)] if scores else []),
            *([repeated] if repeated else []),
        ],
        own=[
            *figures.confidences(folder, rows), *figures.parts(folder, rows),
            *figures.training_of_generators(folder, scores),
        ],
        shadows=[_shadow(folder, name, [r for r in rows if r["shadow"] == name], shared=shared) for name in names],
        sheets=[*figures.cam(folder, sheets[0]), *figures.losses(folder, sheets[1])],
        details=[
            tables.counts(rows), *_shadow_utility(results), tables.settings(results),
            *control_tables(results), *where.where_tables(where.shown(rows)), tables.provenance(results),
        ],
    )  # fmt: skip


def _shadow_utility(results: Results) -> list[Table]:
    through = [result for result in results if result.adversary != "screen"]
    return [tables.shadow_utility(through)] if through else []


def _shadow(folder: Path, name: str, rows: list[Row], *, shared: Look) -> Shadow:
    found = cells(rows)
    image = [cell for cell in found if cell.level == "image"]
    levels = [level for level in figures.LEVELS if any(cell.level == level for cell in found)]
    points, seen = frontier.points(image), sources.sources(image)
    weighed = [frontier.frontier_table(points)] if points else []
    split = [sources.source_table(seen)] if seen else []
    many = shadows.fleet(image)
    return Shadow(
        name=name,
        about=words.adversary(rows),
        defended=words.defended(rows) + ([sources.source_sentence(seen)] if seen else []),
        figures=figures.draw(folder, name, found, look=shared, note=words.drawn_from(found)),
        compared=change_table(image) + weighed + split + ([shadows.shadows_table(many)] if many else []),
        tables=[*(tables.attacks(found, level) for level in levels), *tables.rare(found), *tables.privacy(found)],
        screen=all(row["adversary"] == "screen" for row in rows),
    )


def _render(path: Path, template: str, content: dict[str, Any]) -> Path:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=jinja2.select_autoescape(["html.j2"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"cell": _markdown_cell, "plain": _markdown}
    # Loops and macros leave runs of empty lines.
    text = re.sub(r"\n{3,}", "\n\n", environment.get_template(template).render(content)).lstrip()
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        replace(path, text.encode())
    return path


def _markdown_cell(text: str) -> str:
    """Text that stays in its cell of a Markdown table."""
    return _markdown(text).replace("|", "\\|")


def _markdown(text: str) -> str:
    """Text as Markdown shows it: a name may look like its markup, or like HTML."""
    return MARKUP.sub(r"\\\g<0>", printable(text))
