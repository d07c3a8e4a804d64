"""Query budgets: the gain of an attacker who asks about each scene several times and averages the answers."""

from collections.abc import Sequence

from mia_seg.evaluate.results import Result
from mia_seg.report.cells import Cell, attack_name, attacker_name, cells, defense_name, enriched, shadow_name
from mia_seg.report.tables import Table

READING = (
    "AUC on whole images with its 95% interval. The attacker asks about each image as often as the column says, with "
    "fresh noise each time, and averages the answers. A defense that averaging undoes does not protect. mIoU is that "
    "of the averaged answers on non-members."
)


def once(results: Sequence[Result]) -> list[Result]:
    """The results with a victim's fewest queries a scene, usually one. The rest of a report shows these alone."""
    least: dict[str, int] = {}
    for result in results:
        least[result.victim] = min(result.repeats, least.get(result.victim, result.repeats))
    return [result for result in results if result.repeats == least[result.victim]]


def budget_table(results: Sequence[Result]) -> Table | None:
    """A line for each defense and attack that was tried with several queries a scene; None if there is none."""
    # Seeds with a single query alone would shift the column of one query.
    seeds = {result.seed for result in results if result.repeats > 1}
    results = [result for result in results if result.seed in seeds]
    by_budget = {n: _cells(results, n) for n in sorted({result.repeats for result in results})}
    tried = sorted({key for n, found in by_budget.items() if n > 1 for key in found})
    if not tried:
        return None
    columns = [f"{n} quer{'y' if n == 1 else 'ies'}" for n in by_budget]
    body = [[*_names(key), *(_told(found.get(key)) for found in by_budget.values())] for key in tried]
    return Table("Query budgets", READING, ["Shadow", "Defense", "Attack", "Attacker", *columns], body, texts=4)


def _cells(results: Sequence[Result], repeats: int) -> dict[tuple[str, str, str, str, bool], Cell]:
    found = cells(enriched(result for result in results if result.repeats == repeats))
    image = [cell for cell in found if cell.level == "image"]
    return {(c.shadow, c.defense, c.attack, c.representation, c.adaptive): c for c in image}


def _names(key: tuple[str, str, str, str, bool]) -> list[str]:
    shadow, defense, attack, representation, adaptive = key
    return [
        shadow_name(shadow),
        defense_name(defense),
        attack_name(attack, representation),
        attacker_name(defense, adaptive),
    ]


def _told(cell: Cell | None) -> str:
    if cell is None:
        return "–"
    return f"{cell.auc} (mIoU {100 * cell.mean('miou_nonmembers'):.1f} %)" if cell.labelled else f"{cell.auc}"
