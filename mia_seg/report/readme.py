"""An audit as Markdown with figures as files, and the list of a report's victims."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mia_seg.evaluate.results import Result
from mia_seg.report import figures, frontier, generators, shadows, sources, tables, words
from mia_seg.report.advice import told
from mia_seg.report.budgets import budget_table, once
from mia_seg.report.canaries import canary_table
from mia_seg.report.cells import SCREEN, Row, cells, defenses_of, enriched
from mia_seg.report.changes import change_table
from mia_seg.report.controls import near_twins
from mia_seg.report.equal_auc import equal_table
from mia_seg.report.figures import Figure
from mia_seg.report.galleries import SceneInputs
from mia_seg.report.glossary import glossary
from mia_seg.report.lists import glance, more
from mia_seg.report.render import page, put
from mia_seg.report.style import Look, look
from mia_seg.report.tables import Table

README = "README.md"
Results = Sequence[Result]


@dataclass(frozen=True)
class Shadow:
    """The section on the attacks through one shadow. compared: the tables that compare its attacks and defenses.

    every: the table of all attacks. screen: whether the victim was attacked without a shadow.
    """

    name: str
    about: str
    defended: list[str]
    figures: list[Figure]
    compared: list[Table]
    every: Table
    screen: bool = False

    @property
    def heading(self) -> str:
        """The heading's words on how the victim was attacked."""
        return "attacked without a shadow" if self.screen else f"attacked through {self.name}"


@dataclass(frozen=True)
class Victim:
    """The content of one victim's README.

    leak: the verdict and the next step. own, scenes: figures of the model and of scenes.
    """

    name: str
    leak: str
    controls: list[str]
    tables: list[Table]
    own: list[Figure]
    shadows: list[Shadow]
    scenes: list[Figure]

    @property
    def figures(self) -> list[Figure]:
        """All figures of the README."""
        through = [figure for shadow in self.shadows for figure in shadow.figures]
        return [*self.own, *through, *self.scenes]


def write_audit(
    folder: Path,
    results: Results,
    scenes: SceneInputs | None = None,
    *,
    scores: Sequence[dict[str, Any]] = (),
    digest: str = "",
) -> list[Path]:
    """Write the figures and README.md of one victim into its folder; the files written.

    scenes: inputs of figures of scenes. If one is missing, the figure of an earlier report stays. scores: of
    generators. digest: of all inputs.
    """
    shared = look(defenses_of(cells(enriched(once(results)))))
    victim = _victim(folder, results, scenes=scenes or SceneInputs(), scores=scores, shared=shared)
    content = {"victim": victim, "glossary": glossary(enriched(once(results)))}
    text = put(folder / README, page("readme.md.j2", content), digest)
    return [*(file for figure in victim.figures for file in figure.files), text]


def write_list(reports: Path, results: Results, others: Mapping[str, Results]) -> Path:
    """Write README.md of a report: a line for each of its victims, and for each victim of the reports below it."""
    mine = glance(enriched(once(results))) if results else None
    content = {"glance": mine, "more": more(others) if others else None}
    return put(reports / README, page("list.md.j2", content))


def _victim(
    folder: Path,
    results: Results,
    *,
    scenes: SceneInputs,
    scores: Sequence[dict[str, Any]],
    shared: Look,
) -> Victim:
    name, rows = results[0].victim, enriched(once(results))
    names = sorted({str(row["shadow"]) for row in rows})
    return Victim(
        name=name,
        leak=told(rows),
        controls=[text for text in (*words.controls(rows), near_twins(results)) if text],
        tables=_tables(rows, results, scores),
        own=[
            *figures.confidences(folder, rows), *figures.parts(folder, rows),
            *figures.training_of_generators(folder, scores),
        ],
        shadows=[_shadow(folder, name, [r for r in rows if r["shadow"] == name], shared=shared) for name in names],
        scenes=[
            *figures.cam(folder, scenes.cam), *figures.deleted(folder, scenes.deletion),
            *figures.losses(folder, scenes.losses), *figures.segmentation(folder, scenes.segmentation),
        ],
    )  # fmt: skip


def _tables(rows: Sequence[Row], results: Sequence[Result], scores: Sequence[dict[str, Any]]) -> list[Table]:
    """The tables of a victim over all its shadows."""
    through = [row for row in rows if row["adversary"] != SCREEN]
    controls = tables.shadows(cells(through)) if through else None
    made = generators.generator_table(scores) if scores else None
    asked = [controls, made, budget_table(results), canary_table(cells(rows))]
    return [*tables.utilities(rows), *(table for table in asked if table)]


def _shadow(folder: Path, name: str, rows: list[Row], *, shared: Look) -> Shadow:
    found = cells(rows)
    image = [cell for cell in found if cell.level == "image"]
    points, seen = frontier.points(image), sources.sources(image)
    weighed = [*([frontier.frontier_table(points)] if points else []), *equal_table(points)]
    split = [sources.source_table(seen)] if seen else []
    many = shadows.fleet(image)
    return Shadow(
        name=name,
        about=words.adversary(rows),
        defended=words.defended(rows) + ([sources.source_sentence(seen)] if seen else []),
        figures=figures.draw(folder, name, found, look=shared, note=words.drawn_from(found)),
        compared=change_table(image) + weighed + split + ([shadows.shadows_table(many)] if many else []),
        every=tables.attacks(found, "image"),
        screen=all(row["adversary"] == SCREEN for row in rows),
    )
