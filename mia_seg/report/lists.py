"""The lists in a README: a line for each victim of this report, and of the reports in folders below."""

from collections.abc import Mapping, Sequence

from mia_seg.evaluate.results import Result
from mia_seg.report.budgets import once
from mia_seg.report.cells import Row, enriched
from mia_seg.report.tables import Table, percent
from mia_seg.report.verdicts import rare, verdict

COLUMNS = ["Verdict", "Controls", "AUC [95%]", "TPR at 1% FPR", "mIoU members, %", "mIoU others, %"]
READING = (
    "The strongest attack on each undefended model. AUC 0.5 is a coin flip, 1 is never wrong. Brackets hold the 95% "
    "interval. The attack was chosen as the strongest of those tried, which makes it look stronger than it is. mIoU is "
    "the quality of the predictions."
)
BELOW = "The audits of the reports in folders below."


def glance(rows: Sequence[Row]) -> Table:
    """The table of this report's victims, with a line for each."""
    victims = sorted({str(row["victim"]) for row in rows})
    body = [[name, *_line([row for row in rows if row["victim"] == name])] for name in victims]
    return Table("Audits", READING, ["Victim", *COLUMNS], body, texts=3, pages=victims)


def more(others: Mapping[str, Sequence[Result]]) -> Table:
    """The table of further audits. others: results by the folder of their report, relative to this report."""
    lines = [(folder, row) for folder in sorted(others) for row in glance(enriched(once(others[folder]))).rows]
    body = [[folder, *row] for folder, row in lines]
    return Table("More audits", BELOW, ["Report", "Victim", *COLUMNS], body, texts=4, pages=[at for at, _ in lines])


def _line(rows: Sequence[Row]) -> list[str]:
    said = verdict(rows)
    if said.best is None:
        return [said.state, said.controls, "–", "–", "–", "–"]
    sides = ("members", "nonmembers")
    miou = [percent(said.best.mean(f"miou_{side}") if said.best.labelled else None) for side in sides]
    return [said.state, said.controls, str(said.best.auc), rare(said.best), *miou]
