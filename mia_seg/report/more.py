"""Reports in folders below a report: a line for each of their victims, and the way there."""

from collections.abc import Mapping, Sequence

from mia_seg.evaluate.results import Result
from mia_seg.report.budgets import once
from mia_seg.report.cells import enriched
from mia_seg.report.tables import Table, glance

READING = "Reports in folders below, with victims of their own: the strongest attack on each undefended model."


def more_table(others: Mapping[str, Sequence[Result]]) -> Table:
    """others: the results of each report, by its folder below the one that has the table."""
    lines = [(folder, line) for folder in sorted(others) for line in glance(enriched(once(others[folder]))).rows]
    body = [[folder, victim, verdict, auc, miou] for folder, (victim, _, verdict, auc, _, _, miou) in lines]
    pages = [folder for folder, _ in lines]
    columns = ["Report", "Victim", "Verdict", "AUC [95%]", "mIoU others, %"]
    return Table("More reports", READING, columns, body, texts=3, pages=pages)
