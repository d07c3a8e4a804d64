"""The report: a page for each audit and an index over all, as HTML, Markdown, PDF, CSV, JSON or LaTeX."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

from mia_seg.errors import MiaSegError
from mia_seg.evaluate import arms as arms_
from mia_seg.evaluate.results import Result
from mia_seg.report import audits, fleets, index, readme, trainings
from mia_seg.report.arms import arms_png
from mia_seg.report.audits import Inputs
from mia_seg.report.galleries import SceneInputs
from mia_seg.report.lines import FORMS
from mia_seg.report.render import page, put
from mia_seg.report.worth import worth_png
from mia_seg.store import replace, writing

Results = Sequence[Result]
PAGE = "index.html"
USUAL = ("html", "md")
ALL = (*USUAL, "pdf", *FORMS)


def write(
    reports: Path,
    results: Results,
    scenes: Mapping[str, SceneInputs] | None = None,
    *,
    scores: Sequence[dict[str, Any]] = (),
    forms: Sequence[str] = USUAL,
    about: Mapping[str, Mapping[str, Any]] | None = None,
) -> list[Path]:
    """Write the page and the README of each victim below `reports`; the files written.

    scenes: by victim, the inputs of figures of scenes. scores: of generators; those of victims without results are left
    out. forms: 'html', 'md'. about: by victim, further values of its page: `folder`, `digest`, `thumbnails`. The same
    input gives the same bytes. Raises MiaSegError for no results, and for scenes of a victim without results.
    """
    scenes, about = scenes or {}, about or {}
    made = []
    for victim, mine in by_victim(results, list(scenes)).items():
        of_victim, told = [one for one in scores if one["victim"] == victim], dict(about.get(victim, {}))
        if "md" in forms:
            folder, digest = reports / victim, told.get("digest", "")
            made += readme.write_audit(folder, mine, scenes.get(victim), scores=of_victim, digest=digest)
        if "html" in forms:
            made.append(write_page(reports, victim, mine, scores=of_victim, **told))
    return made


def write_page(reports: Path, victim: str, results: Results, *, digest: str = "", **inputs: Any) -> Path:
    """Write the page of one victim; its path."""
    drawn = sorted(path.name for path in (reports / victim).glob("*.png"))
    content = audits.content(Inputs(victim, results, figures=drawn, **inputs)) | {"digest": digest[:12] or "none"}
    return put(reports / victim / PAGE, page("audit.html.j2", content), digest)


def write_comparison(reports: Path, path: Path, digest: str = "") -> list[Path]:
    """Write the page and the figures of a comparison of trainings beside its file `path`, which is below `reports`."""
    facts, depth = arms_.read(path), len(path.relative_to(reports).parts) - 1
    content = trainings.content(facts, name=path.stem, depth=depth)
    drawn = {".png": arms_png(facts)} | ({".frontier.png": worth_png(facts)} if "frontier" in facts else {})
    pictures = {path.with_suffix(suffix): picture for suffix, picture in drawn.items()}
    with writing(path):
        for place, picture in pictures.items():
            replace(place, picture)
    return [*pictures, put(path.with_suffix(".html"), page("trainings.html.j2", content), digest)]


def write_fleet(reports: Path, path: Path, digest: str = "") -> list[Path]:
    """Write the page of a fleet's own audit beside its file `path`, which is below `reports`."""
    facts, groups = fleets.read(path)
    content = fleets.content(facts, groups, name=path.stem, depth=len(path.relative_to(reports).parts) - 1)
    return [put(path.with_suffix(".html"), page("fleet.html.j2", content), digest)]


def write_index(
    reports: Path,
    by_folder: Mapping[str, Results],
    forms: Sequence[str] = USUAL,
    *,
    comparisons: Sequence[Path] = (),
    alone: Sequence[Path] = (),
) -> list[Path]:
    """Write what covers all audits: index.html, a README.md for each report, and flat lines in the other forms.

    by_folder: results by the folder of their report below `reports`, '' for the report at `reports` itself.
    comparisons: the files of comparisons of trainings. alone: those of fleets' own audits.
    """

    def page_of(path: Path) -> str:
        return path.relative_to(reports).with_suffix(".html").as_posix()

    compared = {page_of(path): arms_.read(path) for path in comparisons}
    in_turn = {page_of(path): fleets.read(path)[0] for path in alone}
    content = index.content(by_folder, compared, in_turn)
    made = [put(reports / PAGE, page("index.html.j2", content))] if "html" in forms else []
    if "md" in forms:
        folders = sorted({"", *by_folder})
        made += [readme.write_list(reports / at, by_folder.get(at, []), _below(by_folder, at)) for at in folders]
    flat = index.all_lines(by_folder)
    return made + [put(reports / FORMS[form][0], FORMS[form][1](flat)) for form in forms if flat and form in FORMS]


def by_victim(results: Results, scenes: Sequence[str] = ()) -> dict[str, list[Result]]:
    """Results by victim. Raises MiaSegError for no results, and for scenes of a victim without results."""
    if not results:
        raise MiaSegError("There are no results to report. Run an audit first: mia-seg run VICTIM SHADOW.")
    by_name = attrgetter("victim")
    found = {name: list(mine) for name, mine in groupby(sorted(results, key=by_name), key=by_name)}
    for stray in sorted(set(scenes) - set(found)):
        raise MiaSegError(f"There are pictures of '{stray}' but no result. Victims with results: {', '.join(found)}.")
    return found


def _below(by_folder: Mapping[str, Results], at: str) -> dict[str, Results]:
    """The reports below the report at `at`, by their folders relative to it."""
    prefix = f"{at}/" if at else ""
    below = {name: found for name, found in by_folder.items() if name != at and name.startswith(prefix)}
    return {name.removeprefix(prefix): found for name, found in below.items()}
