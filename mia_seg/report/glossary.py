"""The glossary of a report: terms, and a line on each attack and defense, which is the first one of its file."""

import ast
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from mia_seg.report.cells import UNDEFENDED, Row

SEES = {
    "concat": "the posteriors and the labels.",
    "posterior": "the posteriors alone: an attacker without labels.",
    "loss": "the loss at every cell, and nothing else.",
    "labels": "the labels alone, never the model. A control: what it achieves comes from the split.",
}

TERMS = {
    "AUC": "The chance that a random training image gets a higher attack score than a random other image. 0.5 is a "
    "coin flip, 1 is never wrong.",
    "95%": "An interval that includes the true value in 95 of 100 repetitions. Over several seeds it is that of "
    "their mean. It allows for other scenes, not for other trainings.",
    "TPR": "True positive rate: the share of training images that the attack finds.",
    "FPR": "False positive rate: the share of other images that the attack accuses wrongly.",
    "mIoU": "Mean intersection over union: the quality of the predictions, from 0 to 100%.",
    "Adaptive": "An attacker who adapts knows the defense and trains against it. A defense is judged by this attacker.",
    "Member": "An image that the model was trained on. A non-member is an image that it was not trained on.",
    "Victim": "The model that is audited.",
    "Shadow": "A model that the attacker trains, whose training images the attacker knows.",
    "Control": "An attack that never sees the model. Above AUC 0.5 it shows that the split itself tells members apart.",
    "Confounded": "Members and non-members differ even without the model, so no AUC measures the model's leak alone.",
    "Group": "Scenes that belong together, such as frames of one drive. Intervals count groups, not scenes.",
    "Seed": "One repetition of the audit, with another split, other first weights and other noise.",
    "Digest": "Twelve hex digits that stand for everything that a model, an attacker or an answer was made from.",
    "Not resolvable": "There are too few non-members to measure so small a false positive rate.",
    "Balanced accuracy": "The share of right answers at the attacker's threshold, members and non-members counting "
    "alike. 0.5 is a coin flip.",
}


class Entry(NamedTuple):
    """A component's name in results, its kind, and what it does."""

    name: str
    kind: str
    text: str


def glossary(rows: Iterable[Row]) -> list[Entry]:
    """One entry for each attack and defense in `rows` that is installed here, and for what each attacker sees."""
    kept = list(rows)
    used = [("attack", name) for name in sorted({row["attack"] for row in kept})]
    used += [("defense", name) for name in sorted({row["defense"].partition(":")[0] for row in kept} - {UNDEFENDED})]
    entries = [Entry(name, kind, _first_line(f"{kind}s", name)) for kind, name in used]
    seen = sorted({row["representation"] for row in kept} & set(SEES))
    return [entry for entry in entries if entry.text] + [
        Entry(name, "what the attacker sees:", SEES[name]) for name in seen
    ]


def _first_line(folder: str, name: str) -> str:
    """The first line of a component's docstring. Its file is parsed, not imported, because components import torch."""
    file = Path(__file__).parents[1] / folder / f"{name}.py"
    if not file.is_file():
        return ""
    text = ast.get_docstring(ast.parse(file.read_bytes())) or ""
    return " ".join(text.partition("\n\n")[0].replace("*", "").split())
