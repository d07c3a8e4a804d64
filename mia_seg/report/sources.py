"""Where the leak is: in the predicted labels, or in the confidences."""

from mia_seg.report.cells import UNDEFENDED, Cell, attack_name, strongest, strongest_like
from mia_seg.report.changes import effect
from mia_seg.report.tables import Table

LABELS, CONFIDENCES = "argmax", "image_confidence"
READING = (
    "“Everything” is the undefended answer. “Labels alone” are the predicted labels without confidences (argmax, the "
    "attacker adapts). “Confidences alone” are the mean largest posterior, without any label. The first two rows hold "
    "the strongest of several attacks, and the third a single one, so the first two look stronger by choice."
)
SAYS = {
    "leaks": "give members away",
    "inverted": "rank members below non-members, which gives them away too",
    "not shown": "were not shown to give members away",
}


def sources(cells: list[Cell]) -> dict[str, Cell]:
    """The strongest attack for each thing that an attacker may see; empty unless all three were measured.

    cells: image-level cells of one shadow.
    """
    undefended = [cell for cell in cells if cell.defense == UNDEFENDED]
    labels = [cell for cell in cells if cell.defense == LABELS and cell.adaptive]
    found = {
        "everything": strongest_like(undefended, labels),
        "labels alone": strongest_like(labels, undefended),
        "confidences alone": strongest(undefended, lambda cell: cell.attack == CONFIDENCES),
    }
    seen = {name: cell for name, cell in found.items() if cell}
    return seen if len(seen) == len(found) else {}


def source_table(found: dict[str, Cell]) -> Table:
    """A line for each thing that the attacker may see."""
    return Table(
        "Labels and confidences",
        READING,
        ["The attacker sees", "Attack", "Verdict", "AUC [95%]", "Seeds"],
        [[name, *_attack(cell)] for name, cell in found.items()],
        texts=3,
        anchors=[cell.anchor for cell in found.values()],
    )


def source_sentence(found: dict[str, Cell]) -> str:
    """What each source gives away, and whether labels alone leak less, in a sentence or two.

    The last is told by the paired difference on the same images.
    """
    everything, labels, confidences = (cell.auc for cell in found.values())
    alone = (
        f"Predicted labels alone (AUC {labels}) {SAYS[labels.verdict]}; "
        f"confidences alone (AUC {confidences}) {SAYS[confidences.verdict]}"
    )
    side, why = effect(found["labels alone"], found["everything"])
    says = {
        -1: "labels alone leak less",
        0: "no effect of hiding the confidences is shown",
        1: "labels alone leak more",
    }
    return f"{alone}. Everything reaches {everything}: {says[side]}. {why}"


def _attack(cell: Cell) -> list[str]:
    auc, seeds = cell.auc, ", ".join(map(str, cell.seeds))
    return [attack_name(cell.attack, cell.representation), auc.verdict, str(auc), seeds]
