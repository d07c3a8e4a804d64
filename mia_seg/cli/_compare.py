"""`mia-seg compare`: two audits, and what of their difference is noise."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mia_seg.cli import _screen as screen
from mia_seg.cli._options import AsJson

if TYPE_CHECKING:
    from mia_seg.verdict.compare import Row

COLUMNS = ("defense", "attack", "adaptive", "seeds", "measure", "A", "B", "B - A [95%]", "scenes", "reading")


def compare(
    a: Annotated[Path, typer.Argument(help="Result file, or folder of results.")],
    b: Annotated[Path, typer.Argument(help="Another one, to compare with A.")],
    as_json: AsJson = False,
) -> None:
    """Compare two audits: AUC, TPR, balanced accuracy and mIoU, and which differences are more than noise.

    Scores of the same scenes are compared scene by scene, which shows more. Otherwise a line says "not paired".
    """
    from mia_seg.texts import printable
    from mia_seg.verdict.compare import compared
    from mia_seg.verdict.found import gathered

    found = compared(gathered([a]), gathered([b]))
    if as_json:
        return print(json.dumps(found.dump(), indent=1))
    for victim in dict.fromkeys(row.victim for row in found.rows):
        screen.out().print(printable(victim), markup=False)
        screen.table(COLUMNS, [_cells(row) for row in found.rows if row.victim == victim])
    for note in found.notes:
        screen.out().print(printable(note), markup=False)


def _cells(row: "Row") -> list[str]:
    from mia_seg.verdict.compare import signed

    attack = (row.attack, "yes" if row.adaptive else "no") if row.attack else ("", "")
    numbers = f"{row.a['value']:.3f}", f"{row.b['value']:.3f}", signed(row.change)
    seeds, scenes = ", ".join(map(str, row.seeds)), str(row.scenes) if row.scenes else "not paired"
    return [row.defense, *attack, seeds, row.measure, *numbers, scenes, row.reading]
