"""Draws the report of a folder of results. Pages whose results did not change are not drawn again."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mia_seg.errors import MiaSegError
from mia_seg.evaluate import arms
from mia_seg.evaluate import results as results_
from mia_seg.evaluate import scores as scores_
from mia_seg.evaluate.results import Result
from mia_seg.progress import say
from mia_seg.recipes import GENERATORS
from mia_seg.report import ALL, PAGE, USUAL, fleets, pdf, write, write_comparison, write_fleet, write_index
from mia_seg.report.figures import SEGMENTATIONS
from mia_seg.report.galleries import SceneInputs
from mia_seg.report.readme import README
from mia_seg.report.render import digest_of, fresh
from mia_seg.store import Store
from mia_seg.texts import files_below

PAGES = {"md": README, "html": PAGE}  # in this order, because a page lists the figures that its README draws
About = Mapping[str, Mapping[str, Any]]


def report(
    reports: Path, store: Store, data_root: Path | None, *, forms: Sequence[str] = USUAL, thumbnails: bool = False
) -> list[Path]:
    """Draw the index, and all pages below `reports` whose inputs changed; the files drawn.

    Pages are of audits, comparisons of trainings and fleets' own audits.

    store: for figures of scenes. data_root: the folder of the images; None if they are not on this machine. forms: some
    of `ALL`; a PDF is a printed page. thumbnails: pages show the most exposed scenes as small photographs, and a figure
    shows predictions for a few scenes behind each defense, if images are on this machine. Raises MiaSegError if there
    are no results, if a result lies in the folder of another victim, and for PDFs if no browser prints them.
    """
    forms = _known(forms)
    found, compared, alone = by_folder(reports), arms.files(reports), fleets.files(reports)
    made, kept = list[Path](), 0
    if not (found or compared or alone):
        raise MiaSegError(f"{reports} holds no results of victims. Run 'mia-seg run VICTIM SHADOW' first.")
    for folder, results in found.items():
        place, victims = reports / folder, sorted({result.victim for result in results})
        about = {name: _about(place / name, folder, store, thumbnails=thumbnails) for name in victims}
        for form in (form for form in PAGES if form in forms):  # thumbnails are always drawn: images may be new here
            names = {n for n in victims if thumbnails or not fresh(place / n / PAGES[form], about[n]["digest"])}
            stale = [result for result in results if result.victim in names]
            made += _drawn(place, stale, form, about=about, at=(store, data_root), thumbnails=thumbnails)
            kept += len(victims) - len(names)
    if "html" in forms:
        drawn, stay = _of_fleets(reports, compared, alone)
        made, kept = made + drawn, kept + stay
    if kept:
        say(f"    kept {kept} page{'s' * (kept != 1)} whose results did not change")
    if "pdf" in forms:
        pages = [reports / folder / victim / PAGE for folder, victim in _audits(found)]
        pages += [path.with_suffix(".html") for path in (*compared, *alone)]
        made += [pdf.printed(page) for page in pages if not pdf.is_newer(page)]
    return made + write_index(reports, found, forms, comparisons=compared, alone=alone)


def _of_fleets(reports: Path, compared: Sequence[Path], alone: Sequence[Path]) -> tuple[list[Path], int]:
    """Draw the pages of comparisons and of fleets' own audits that changed; the files drawn, how many pages stay."""
    made, kept = list[Path](), 0
    for path, draw in [*((path, write_comparison) for path in compared), *((path, write_fleet) for path in alone)]:
        inputs = [each for each in (path, path.with_suffix(".csv")) if each.is_file()]
        digest = digest_of(inputs, path.relative_to(reports).as_posix())
        if fresh(path.with_suffix(".html"), digest):
            kept += 1
        else:
            made += draw(reports, path, digest)
    return made, kept


def by_folder(reports: Path) -> dict[str, list[Result]]:
    """All results below `reports`, by the folder of their report: '' for `reports` itself, 'a2' for `reports`/a2.

    Raises MiaSegError if a result does not lie in the folder of its victim.
    """
    found: dict[str, list[Result]] = {}
    for path in results_.files(reports):
        one = results_.read(path)
        if path.parent == reports:
            raise MiaSegError(
                f"{path} does not lie in a folder named after its victim '{one.victim}'. Move it into one, or give "
                f"--reports the folder above."
            )
        if one.victim != path.parent.name:
            raise MiaSegError(
                f"{path} is a result of the victim '{one.victim}', but lies in the folder of '{path.parent.name}'. "
                f"Move it to a folder '{one.victim}', or remove it."
            )
        place = path.parent.parent.relative_to(reports)
        found.setdefault("" if place == Path() else place.as_posix(), []).append(one)
    return found


def _known(forms: Sequence[str]) -> list[str]:
    strange = [form for form in forms if form not in ALL]
    if strange:
        raise MiaSegError(f"No form of a report is called '{strange[0]}'. There are: {', '.join(ALL)}.")
    if "pdf" in forms:
        pdf.browser()  # fails before the first page is drawn, and not after the last
    return list(dict.fromkeys([*forms, *(["html"] if "pdf" in forms else [])]))


def _about(folder: Path, report_: str, store: Store, *, thumbnails: bool) -> dict[str, Any]:
    """Further values of a page: the folder of its report, and the digest of all its inputs."""
    files = [path for path in results_.files(folder) if path.parent == folder]
    files += [path for one in files if (path := scores_.beside(one)).is_file()]
    files += files_below(folder, f"{GENERATORS}/*.json")
    answers = (store.root / "answers").is_dir()
    return {"folder": report_, "digest": digest_of(files, folder.name, report_, thumbnails, answers)}


def _audits(found: Mapping[str, Sequence[Result]]) -> list[tuple[str, str]]:
    return sorted({(folder, result.victim) for folder, results in found.items() for result in results})


def _drawn(
    reports: Path, stale: Sequence[Result], form: str, *, about: About, at: tuple[Store, Path | None], thumbnails: bool
) -> list[Path]:
    """Draw the pages of one form for the victims of some results; the files drawn."""
    names = sorted({result.victim for result in stale})
    if not stale:
        return []
    scores = results_.read_generators(reports)
    if form == "md":
        if not thumbnails:
            for name in names:  # an earlier call with thumbnails may have drawn it
                (reports / name / f"{SEGMENTATIONS}.png").unlink(missing_ok=True)
        found = _scene_inputs(stale, *at, thumbnails=thumbnails)
        return write(reports, stale, found, scores=scores, forms=["md"], about=about)
    shown = _thumbnails(stale, at[1]) if thumbnails else {}
    told = {name: {**about[name], "thumbnails": shown.get(name, {})} for name in names}
    return write(reports, stale, scores=scores, forms=["html"], about=told)


def _scene_inputs(
    results: Sequence[Result], store: Store, data_root: Path | None, *, thumbnails: bool
) -> dict[str, SceneInputs]:
    """The inputs of figures of scenes, by victim, as far as the store has them."""
    if not (store.root / "answers").is_dir():
        return {}
    from mia_seg.report import scene_inputs  # noqa: PLC0415 (imports torch, and most reports are made from files)

    return scene_inputs.scene_inputs(results, store, data_root, thumbnails=thumbnails)


def _thumbnails(results: Sequence[Result], data_root: Path | None) -> dict[str, dict[str, str]]:
    from mia_seg.report import scene_inputs  # noqa: PLC0415

    return scene_inputs.thumbnails(results, data_root)
