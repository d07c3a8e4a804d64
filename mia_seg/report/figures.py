"""The figures of a report: which there are of what was measured, what they are called, and how to read them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from matplotlib.figure import Figure as Drawn

from mia_seg.report import (
    confidence,
    curves,
    deletion,
    frontier,
    galleries,
    generators,
    logits,
    plots,
    shadows,
    style,
    where,
)
from mia_seg.report.cells import UNDEFENDED, Cell, Row, attacks_of
from mia_seg.report.style import Look
from mia_seg.store import replace, shortened, writing

if TYPE_CHECKING:  # its module imports torch, and a report is made from files
    from mia_seg.report.cam import CamSheet

LEVELS = {"image": "whole photographs", "group": "groups of photographs", "patch": "single patches"}
ROC = (
    "How many members are found (up) for how many non-members accused wrongly (right). The dotted line is a coin flip; "
    "the higher above it, the larger the leak. The panels on the right spread out the rare false accusations, as far "
    "as the number of non-members can show them. Bands run from the lowest to the highest seed."
)
PR = (
    "How many of the accused are members (up), for the share of members found (right). The dotted line is what "
    "accusing everyone achieves; the higher above it, the larger the leak. Bands run from the lowest to the highest "
    "seed."
)
FOREST = (
    "AUC of every attack on photographs, with its 95% interval: 0.5 (dotted) is a coin flip, 1 an attacker who is "
    "never wrong. Filled: the attacker trained against the defense; hollow: it ignores the defense. Small dots are "
    "single seeds."
)
JOINT = (
    "What a defense buys (towards 0.5: the attack is a coin flip) and what it costs (down: worse predictions). The "
    "star is the optimum: no leak and all of the quality. Lines are 95% intervals; hollow marks are attackers who "
    "ignore the defense."
)
CAM = (
    "Where in a scene the attacker sees the signs of membership, by class activation mapping: red speaks for “member”, "
    "blue against, uncoloured regions for neither. One scale holds for all, so that defenses compare. The score is "
    "that of the attack, in log-odds: above 0 it leans to “member”."
)
LOSSES = (
    "Where in a scene the model's answer is wrong (its loss, orange), on members and non-members that were drawn by "
    "the seed and not chosen. Where a fleet of shadows was asked about the same scenes, theirs is the mean over those "
    "that were not trained on the scene, and in the difference red is what the victim knows better than they do: on a "
    "member that may be memory, on a non-member it is chance or skill. Ignored pixels, black among the labels, have "
    "no loss."
)
SEGMENTATION = (
    "What the model predicts behind each defense, on members and non-members that were drawn by the seed and not "
    "chosen. Below each prediction stand the pixel accuracy and the mIoU of that scene. Ignored pixels are black."
)
SEGMENTATIONS = "segmentation"
S = TypeVar("S")


@dataclass(frozen=True)
class Figure:
    """One figure on disk: a PNG and, for curves, an SVG beside it."""

    path: Path
    title: str
    reading: str
    note: str = ""
    formats: tuple[str, ...] = ("png",)

    @property
    def files(self) -> list[Path]:
        """The files of all formats."""
        return [self.path.with_name(f"{self.path.name}.{ending}") for ending in self.formats]

    def link(self, ending: str) -> str:
        """Address of one format beside the README."""
        return quote(f"{self.path.name}.{ending}")


def draw(folder: Path, shadow: str, cells: list[Cell], *, look: Look, note: str) -> list[Figure]:
    """Draw what the results of one shadow allow."""
    seen = [cell for cell in cells if not cell.control]
    shadow, made = shortened(shadow), []
    for name, title, reading, left_out, drawn in _plots([cell for cell in cells if cell.level == "image"], look):
        about = f"{note} {left_out}".strip()
        made.append(_save(Figure(folder / f"{shadow}.{name}", title, reading, about), drawn))
    made += _frontier(folder / f"{shadow}.frontier", [cell for cell in seen if cell.level == "image"], look, note=note)
    made += _shadows(folder / f"{shadow}.shadows", [cell for cell in seen if cell.level == "image"], note)
    made += _logits(folder / f"{shadow}.scores", seen, note)
    for name, title, reading, left_out, drawn in _curves(seen, look):
        about = f"{note} {left_out}".strip()
        made.append(_save(Figure(folder / f"{shadow}.{name}", title, reading, about, ("png", "svg")), drawn))
    return made


def cam(folder: Path, sheet: "CamSheet | None") -> list[Figure]:
    """The figure of attacker's maps, drawn if there is input; else the one of an earlier report, if any."""
    return _new_or_kept(Figure(folder / "cam", "Where the attacker looks", CAM), sheet, galleries.sheet_figure)


def deleted(folder: Path, sheet: deletion.DeletionSheet | None) -> list[Figure]:
    """The test of the attacker's map, as `cam` does, with its finding where it is drawn anew."""
    told = f"{deletion.finding(sheet)} {sheet.note.capitalize()}." if sheet else ""
    made = Figure(folder / "deletion", "What the attacker's map is worth", deletion.READING, told, ("png", "svg"))
    return _new_or_kept(made, sheet, deletion.deletion_figure)


def losses(folder: Path, sheet: galleries.LossSheet | None) -> list[Figure]:
    """The figure of losses, as `cam`."""
    return _new_or_kept(Figure(folder / "losses", "Where the model knows better", LOSSES), sheet, galleries.loss_figure)


def segmentation(folder: Path, sheet: galleries.SegmentationSheet | None) -> list[Figure]:
    """The figure of predictions, as `cam`."""
    made = Figure(folder / SEGMENTATIONS, "Predictions behind each defense", SEGMENTATION)
    return _new_or_kept(made, sheet, galleries.segmentation_figure)


def confidences(folder: Path, rows: list[Row]) -> list[Figure]:
    """How sure a victim is of members and others; none where all results are too old to say."""
    found = confidence.histograms(rows)
    if not found:
        return []
    made = Figure(folder / "confidence", "How sure the model is", confidence.READING, confidence.note(found, rows))
    with style.styled():
        return [_save(made, confidence.confidence_figure(found))]


def parts(folder: Path, rows: list[Row]) -> list[Figure]:
    """The leak of each part of the scenes; none where no result tells it."""
    shown = where.shown(rows)
    if not shown:
        return []
    made = Figure(folder / "where", "Where it leaks", where.READING, where.note(shown))
    with style.styled():
        return [_save(made, where.where_figure(shown))]


def training_of_generators(folder: Path, scores: Sequence[dict[str, Any]]) -> list[Figure]:
    """The scores of a victim's generators over their training; none where there are none."""
    if not scores:
        return []
    made = Figure(folder / "generator", "Generators of features over their training", generators.READING)
    with style.styled():
        return [_save(made, generators.generator_figure(scores))]


def _new_or_kept(made: Figure, sheet: S | None, draw: Callable[[S], Drawn]) -> list[Figure]:
    if sheet is not None:
        with style.styled():
            return [_save(made, draw(sheet))]
    return [made] if made.files[0].is_file() else []


def _frontier(path: Path, cells: list[Cell], look: Look, *, note: str) -> list[Figure]:
    """Only where an attacker adapted to a defense."""
    found = frontier.points(cells)
    if not found:
        return []
    about = f"{note} {frontier.remark(cells)}".rstrip()
    with style.styled():
        drawn = frontier.frontier_figure(found, look)
        return [_save(Figure(path, "What is worth having of the defenses", frontier.READING, about), drawn)]


def _shadows(path: Path, cells: list[Cell], note: str) -> list[Figure]:
    """Only where an attack compared with several numbers of shadows."""
    found = shadows.grown(cells)
    if not found:
        return []
    with style.styled():
        drawn = shadows.shadows_figure(found)
        return [_save(Figure(path, "What more shadows buy", shadows.READING, note), drawn)]


def _logits(path: Path, cells: list[Cell], note: str) -> list[Figure]:
    """Only where results keep the scores of scenes."""
    found = logits.shown(cells)
    if not found:
        return []
    about = f"{note} {logits.left_out(found, cells)}".strip()
    made = Figure(path, "Scores of members and of others", logits.READING, about, ("png", "svg"))
    with style.styled():
        return [_save(made, logits.logits_figure(found))]


def _curves(cells: list[Cell], look: Look) -> Iterator[tuple[str, str, str, str, Drawn]]:
    for level, of in LEVELS.items():
        mine, left_out = _leading([cell for cell in cells if cell.level == level])
        if mine:
            with style.styled():
                yield f"roc-{level}", f"ROC, {of}", ROC, left_out, curves.roc_figure(mine, look)
                yield f"pr-{level}", f"Precision and recall, {of}", PR, left_out, curves.pr_figure(mine, look)


def _plots(cells: list[Cell], look: Look) -> Iterator[tuple[str, str, str, str, Drawn]]:
    with style.styled():
        yield "forest", "Every attack with its interval", FOREST, "", plots.forest_figure(cells, look)
        tried = {(cell.attack, cell.representation) for cell in cells if cell.defense != UNDEFENDED}
        seen = [
            cell for cell in cells if cell.labelled and not cell.control and (cell.attack, cell.representation) in tried
        ]
        if seen:
            shown, left_out = _leading(seen)
            yield "joint", "Leak against quality", JOINT, left_out, plots.joint_figure(shown, look)


def _leading(cells: list[Cell]) -> tuple[list[Cell], str]:
    """The cells of at most `plots.WIDEST` attacks, those with the largest AUC, and a sentence on who is not shown."""
    attacks = attacks_of(cells)
    if len(attacks) <= plots.WIDEST:
        return cells, ""
    best = {attack: max(c.auc.value for c in cells if (c.attack, c.representation) == attack) for attack in attacks}
    kept = sorted(attacks, key=lambda attack: -best[attack])[: plots.WIDEST]
    shown = [cell for cell in cells if (cell.attack, cell.representation) in kept]
    return shown, f"Shown are the {plots.WIDEST} attacks of {len(attacks)} that reach the largest AUC."


def _save(made: Figure, drawn: Drawn) -> Figure:
    style.settle(drawn)
    for file in made.files:
        with writing(file):
            file.parent.mkdir(parents=True, exist_ok=True)
            replace(file, style.svg(drawn) if file.suffix == ".svg" else style.png(drawn))
    return made
