"""What the attacks and defenses of a report are: the first line of each component's own file."""

import ast
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from mia_seg.report.cells import UNDEFENDED, Row

SEES = {
    "concat": "the posteriors and the labels.",
    "posterior": "the posteriors alone: an attacker without labels.",
    "loss": "the loss of the labels at every place, nothing else.",
    "labels": "the labels alone, never the model. A control: what it achieves, the split gives away.",
}


class Entry(NamedTuple):
    """A component as results name it, and what it does."""

    name: str
    kind: str
    text: str


def glossary(rows: Iterable[Row]) -> list[Entry]:
    """One entry for each attack and defense among `rows`; none for what is not installed here."""
    kept = list(rows)
    used = [("attack", name) for name in sorted({row["attack"] for row in kept})]
    used += [("defense", name) for name in sorted({row["defense"].partition(":")[0] for row in kept} - {UNDEFENDED})]
    entries = [Entry(name, kind, _first_line(f"{kind}s", name)) for kind, name in used]
    seen = sorted({row["representation"] for row in kept} & set(SEES))
    return [entry for entry in entries if entry.text] + [
        Entry(name, "what the attacker sees:", SEES[name]) for name in seen
    ]


def _first_line(folder: str, name: str) -> str:
    """Read, not imported: components import torch, and a report needs none."""
    file = Path(__file__).parents[1] / folder / f"{name}.py"
    if not file.is_file():
        return ""
    text = ast.get_docstring(ast.parse(file.read_bytes())) or ""
    return " ".join(text.partition("\n\n")[0].replace("*", "").split())
