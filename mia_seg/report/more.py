"""Reports in folders below a report: a line for each of their victims, and the way there."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from mia_seg.evaluate.results import Result
from mia_seg.report.budgets import once
from mia_seg.report.cells import enriched
from mia_seg.report.tables import Table, glance

READING = (
    "In folders beside this page lie reports of their own, whose victims have no section here: the strongest attack on "
    "each undefended model, as above."
)


def more_table(reports: Path, others: Mapping[str, Sequence[Result]]) -> Table:
    """others: the results of each report, by its folder relative to `reports`; linked where its page was drawn."""
    lines = [(folder, line) for folder in sorted(others) for line in glance(enriched(once(others[folder]))).rows]
    body = [[folder, victim, verdict, auc, miou] for folder, (victim, _, verdict, auc, _, _, miou) in lines]
    pages = [folder if (reports / folder / "index.html").is_file() else "" for folder, _ in lines]
    columns = ["Report", "Victim", "Verdict", "AUC [95%]", "mIoU others, %"]
    return Table("More reports", READING, columns, body, texts=3, pages=pages)
