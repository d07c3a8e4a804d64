"""The figures of a report: which ones the results allow, their titles, and how to read them."""

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
    from mia_seg.report.cam import CamInput

LEVELS = {"image": "whole images", "group": "groups of images", "patch": "single patches"}
ROC = (
    "The share of members found (up) against the share of non-members accused falsely (right). The dotted line is a "
    "coin flip; the higher above it, the larger the leak. The panels on the right stretch the small false positive "
    "rates, as far as the number of non-members can show them. Bands run from the lowest to the highest seed."
)
PR = (
    "The share of members among the accused (up) against the share of members found (right). The dotted line is what "
    "accusing everyone achieves; the higher above it, the larger the leak. Bands run from the lowest to the highest "
    "seed."
)
FOREST = (
    "AUC of every attack on whole images, with its 95% interval: 0.5 (dotted) is a coin flip, 1 an attacker who is "
    "never wrong. Filled: the attacker trained against the defense. Hollow: it ignores the defense. Small dots are "
    "single seeds."
)
JOINT = (
    "Leak and quality behind each defense. To the left, towards 0.5, the attack is a coin flip; down, predictions are "
    "worse. The star is the optimum: no leak and the full quality. Lines are 95% intervals. Hollow marks are attackers "
    "who ignore the defense."
)
CAM = (
    "Where in a scene the attacker sees signs of membership, by class activation mapping. Red speaks for “member”, "
    "blue against it, and regions without colour for neither. All maps have one scale, so that defenses can be "
    "compared. The score is that of the attack, in log-odds: above 0 it leans to “member”."
)
LOSSES = (
    "Where in a scene the model's answer is wrong: its loss, in orange. The seed drew the members and non-members. If "
    "a fleet of shadows was asked about the same scenes, their loss is the mean over the shadows that did not train "
    "on the scene. In the difference, red is where the victim is better than these shadows: on a member that may be "
    "memory, on a non-member it is chance or skill. Ignored pixels, black among the labels, have no loss."
)
SEGMENTATION = (
    "The model's predictions behind each defense. The seed drew the members and non-members. Below each prediction "
    "stand the pixel accuracy and the mIoU of that scene. Ignored pixels are black."
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
        """The address of the file of one format, as seen from the README."""
        return quote(f"{self.path.name}.{ending}")


def draw(folder: Path, shadow: str, cells: list[Cell], *, look: Look, note: str) -> list[Figure]:
    """Draw all figures that the results of one shadow allow, into `folder`."""
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


def cam(folder: Path, inputs: "CamInput | None") -> list[Figure]:
    """The figure of the attacker's maps, drawn if there is input; else the figure of an earlier report, if any."""
    return _new_or_kept(Figure(folder / "cam", "Where the attacker looks", CAM), inputs, galleries.cam_figure)


def deleted(folder: Path, inputs: deletion.DeletionInput | None) -> list[Figure]:
    """The figure of the deletion test, as `cam` does; with its finding if it is drawn anew."""
    told = f"{deletion.finding(inputs)} {inputs.note.capitalize()}." if inputs else ""
    made = Figure(folder / "deletion", "What the attacker's map is worth", deletion.READING, told, ("png", "svg"))
    return _new_or_kept(made, inputs, deletion.deletion_figure)


def losses(folder: Path, inputs: galleries.LossInput | None) -> list[Figure]:
    """The figure of losses, as `cam` does."""
    made = Figure(folder / "losses", "Where the model is wrong", LOSSES)
    return _new_or_kept(made, inputs, galleries.loss_figure)


def segmentation(folder: Path, inputs: galleries.SegmentationInput | None) -> list[Figure]:
    """The figure of predictions, as `cam` does."""
    made = Figure(folder / SEGMENTATIONS, "Predictions behind each defense", SEGMENTATION)
    return _new_or_kept(made, inputs, galleries.segmentation_figure)


def confidences(folder: Path, rows: list[Row]) -> list[Figure]:
    """The figure of confidences on members and non-members; empty if all results are too old for it."""
    found = confidence.histograms(rows)
    if not found:
        return []
    made = Figure(folder / "confidence", "How sure the model is", confidence.READING, confidence.note(found, rows))
    with style.styled():
        return [_save(made, confidence.confidence_figure(found))]


def parts(folder: Path, rows: list[Row]) -> list[Figure]:
    """The figure of the leak of each part of the scenes; empty if no result has parts."""
    shown = where.shown(rows)
    if not shown:
        return []
    made = Figure(folder / "where", "The image loss, part by part", where.READING, where.note(shown))
    with style.styled():
        return [_save(made, where.where_figure(shown))]


def training_of_generators(folder: Path, scores: Sequence[dict[str, Any]]) -> list[Figure]:
    """The figure of generators' scores over their training; empty if there are none."""
    if not scores:
        return []
    made = Figure(folder / "generator", "Generators of features over their training", generators.READING)
    with style.styled():
        return [_save(made, generators.generator_figure(scores))]


def _new_or_kept(made: Figure, inputs: S | None, draw: Callable[[S], Drawn]) -> list[Figure]:
    if inputs is not None:
        with style.styled():
            return [_save(made, draw(inputs))]
    return [made] if made.files[0].is_file() else []


def _frontier(path: Path, cells: list[Cell], look: Look, *, note: str) -> list[Figure]:
    """The figure of the frontier; empty if no attacker adapted to a defense."""
    found = frontier.points(cells)
    if not found:
        return []
    about = f"{note} {frontier.remark(cells)}".rstrip()
    with style.styled():
        drawn = frontier.frontier_figure(found, look)
        return [_save(Figure(path, "Which defenses are worth having", frontier.READING, about), drawn)]


def _shadows(path: Path, cells: list[Cell], note: str) -> list[Figure]:
    """The figure of the number of shadows; empty if no attack was measured with several numbers."""
    found = shadows.grown(cells)
    if not found:
        return []
    with style.styled():
        drawn = shadows.shadows_figure(found)
        return [_save(Figure(path, "What more shadows add", shadows.READING, note), drawn)]


def _logits(path: Path, cells: list[Cell], note: str) -> list[Figure]:
    """The figure of scores; empty if results keep no scores of scenes."""
    found = logits.shown(cells)
    if not found:
        return []
    about = f"{note} {logits.left_out(found, cells)}".strip()
    made = Figure(path, "Scores of members and of non-members", logits.READING, about, ("png", "svg"))
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
    """The cells of the `plots.WIDEST` attacks with the largest AUC, and a sentence if there are more attacks."""
    attacks = attacks_of(cells)
    if len(attacks) <= plots.WIDEST:
        return cells, ""
    best = {attack: max(c.auc.value for c in cells if (c.attack, c.representation) == attack) for attack in attacks}
    kept = sorted(attacks, key=lambda attack: -best[attack])[: plots.WIDEST]
    shown = [cell for cell in cells if (cell.attack, cell.representation) in kept]
    return shown, f"Shown are the {plots.WIDEST} of {len(attacks)} attacks with the largest AUC."


def _save(made: Figure, drawn: Drawn) -> Figure:
    style.settle(drawn)
    for file in made.files:
        with writing(file):
            file.parent.mkdir(parents=True, exist_ok=True)
            replace(file, style.svg(drawn) if file.suffix == ".svg" else style.png(drawn))
    return made
