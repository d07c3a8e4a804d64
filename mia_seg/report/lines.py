"""The numbers of a report as flat lines for CSV, JSON and LaTeX: one line for each cell at the level of images."""

import csv
import io
import json
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mia_seg.evaluate import results as results_
from mia_seg.evaluate.results import Result
from mia_seg.report.budgets import once
from mia_seg.report.cells import (
    SCREEN,
    UNDEFENDED,
    Cell,
    Estimate,
    attack_name,
    attacker_name,
    cells,
    defense_name,
    enriched,
    tpr_over_runs,
)
from mia_seg.report.tables import percent
from mia_seg.report.verdicts import RARE, control_state
from mia_seg.texts import printable

Line = dict[str, Any]
MADE_UP = "streets"  # the data set that needs no files
NO_LABELS = {"miou": None, "miou_low": None, "miou_high": None}
SPECIAL = {"\\": r"\textbackslash{}", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "[": "{[}", "]": "{]}"}


def lines(results: Sequence[Result], folder: str = "") -> list[Line]:
    """The lines of one report: one for each attack on each defense. folder: the report's folder below the index.

    Shares are in [0, 1]. None: nothing was measured, or non-members are too few. The labels-only control has a line
    too.
    """
    rows = enriched(once(results))
    states = {name: control_state([row for row in rows if row["victim"] == name]) for name in _victims(rows)}
    image = [cell for cell in cells(rows) if cell.level == "image"]
    return [{"folder": folder, **_line(cell), "controls": states[cell.victim]} for cell in image]


def as_json(found: Sequence[Line]) -> str:
    """The lines as JSON."""
    return json.dumps({"lines": list(found)}, indent=1, ensure_ascii=False) + "\n"


def as_csv(found: Sequence[Line]) -> str:
    """The lines as CSV; lists are joined by spaces."""
    file = io.StringIO()
    writer = csv.DictWriter(file, list(found[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _flat(value) for key, value in line.items()} for line in found)
    return file.getvalue()


def as_latex(found: Sequence[Line]) -> str:
    """The lines as a LaTeX longtable with booktabs, with numbers as the page prints them."""
    head = ["Victim", "Attack", "Defense", "Attacker", "AUC", r"TPR at 1\% FPR", r"mIoU, \%", "Seeds"]
    body = [" & ".join(_tex(text) for text in _texts(line)) + r" \\" for line in found]
    columns = "l" * 4 + "r" * 4
    rows = [rf"\begin{{longtable}}{{{columns}}}", r"\toprule", " & ".join(head) + r" \\", r"\midrule", r"\endhead"]
    return "\n".join(["% needs booktabs and longtable", *rows, *body, r"\bottomrule", r"\end{longtable}"]) + "\n"


FORMS: dict[str, tuple[str, Callable[[Sequence[Line]], str]]] = {
    "csv": ("report.csv", as_csv), "json": ("report.json", as_json), "latex": ("report.tex", as_latex),
}  # fmt: skip


def auc_of(line: Line) -> str:
    """The AUC with its interval as all forms print it: '0.96 [0.91, 0.99]'."""
    return str(Estimate(line["auc"], line["auc_low"], line["auc_high"]))


def command(cell: Cell) -> str:
    """The command that reproduces a cell's results. FOLDER stands for the folder of the data."""
    run = cell.runs[0]
    alone = run["adversary"] == SCREEN
    words = ["mia-seg", "audit", cell.victim] if alone else ["mia-seg", "run", cell.victim, cell.shadow]
    attack = f"{cell.attack}:{cell.representation}" if cell.representation else cell.attack
    words += ["--defense", cell.defense, "--attack", attack]
    words += [word for seed in cell.seeds for word in ("--seed", str(seed))]
    words += ["--repeats", str(run["repeats"])] if run["repeats"] > 1 else []
    return shlex.join([*words, *data_root(run["dataset"])])


def data_root(dataset: str) -> list[str]:
    """The option that names the folder of a data set; generated scenes need none. dataset: its name in results."""
    return [] if dataset.partition(" (")[0] == MADE_UP else ["--data-root", "FOLDER"]


def file_of(run: Line) -> str:
    """The name of a run's result file."""
    return str(results_.path_of(Path(), run["result"]).name)


def _line(cell: Cell) -> Line:
    auc, miou, first = cell.auc, cell.miou, cell.runs[0]
    labelled = {"miou": miou.value, "miou_low": miou.low, "miou_high": miou.high} if miou else NO_LABELS
    return {
        "victim": cell.victim, "shadow": cell.shadow, "dataset": first["dataset"], "adversary": first["adversary"],
        "attack": cell.attack, "representation": cell.representation, "defense": cell.defense,
        "attacker": "" if cell.defense == UNDEFENDED else "adapts" if cell.adaptive else "ignores",
        "control": cell.control, "verdict": auc.verdict, "auc": auc.value, "auc_low": auc.low, "auc_high": auc.high,
        **_rare(cell), **labelled,
        "members": min(run["n_members"] for run in cell.runs),
        "nonmembers": min(run["n_nonmembers"] for run in cell.runs), "seeds": cell.seeds, "command": command(cell),
        "victim_digests": [run["victim_digest"] for run in cell.runs], "anchor": cell.anchor,
    }  # fmt: skip


def _rare(cell: Cell) -> Line:
    rate = tpr_over_runs([run["tpr_at_fpr"][RARE] for run in cell.runs])
    return dict(zip(("tpr", "tpr_low", "tpr_high"), rate or (None, None, None), strict=True))


def _texts(line: Line) -> list[str]:
    """The columns of a line that a LaTeX table prints."""
    rare = "not resolvable" if line["tpr"] is None else f"{line['tpr']:.2f}"
    seeds = ", ".join(map(str, line["seeds"]))
    attacker = attacker_name(line["defense"], line["attacker"] == "adapts")
    names = [attack_name(line["attack"], line["representation"]), defense_name(line["defense"]), attacker]
    return [line["victim"], *names, auc_of(line), rare, percent(line["miou"]), seeds]


def _tex(text: str) -> str:
    return "".join(SPECIAL.get(c, f"\\{c}" if c in "&%$#_{}" else c) for c in printable(text))


def _flat(value: Any) -> Any:
    return " ".join(map(str, value)) if isinstance(value, list) else value


def _victims(rows: Sequence[Line]) -> list[str]:
    return sorted({row["victim"] for row in rows})
