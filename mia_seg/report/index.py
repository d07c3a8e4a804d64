"""The page over all audits: a row for each audit, and a leaderboard of every attack on every defense."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from mia_seg.evaluate.results import Result
from mia_seg.report import fleets, trainings, variants
from mia_seg.report.budgets import once
from mia_seg.report.cells import Row, attack_name, defense_name, enriched, shadow_name
from mia_seg.report.glossary import TERMS
from mia_seg.report.lines import Line, auc_of, lines
from mia_seg.report.style import inline
from mia_seg.report.tables import percent
from mia_seg.report.verdicts import points, rare, standings, strongest_defense, verdict

Results = Sequence[Result]
Pages = Mapping[str, Mapping[str, Any]]


def content(
    by_folder: Mapping[str, Results], compared: Pages | None = None, in_turn: Pages | None = None
) -> dict[str, Any]:
    """All values of the template.

    by_folder: results by the folder of their report, '' for the report beside the index. compared, in_turn: facts of
    comparisons of trainings and of fleets' own audits by their page.
    """
    told = [
        {"page": quote(page), "name": trainings.called(facts), "said": trainings.said(facts)}
        for page, facts in sorted((compared or {}).items())
    ]
    alone = [
        {
            "page": quote(page), "name": fleets.called(facts), "auc": fleets.bounded(facts["pooled"]["auc"]),
            "models": facts["models"], "exposed": fleets.exposed(facts),
        }
        for page, facts in sorted((in_turn or {}).items())
    ]  # fmt: skip
    audits = [audit for folder, found in sorted(by_folder.items()) for audit in _audits(folder, found)]
    joined = [
        {"table": one.table, "picture": inline(one.picture)}
        for folder, found in sorted(by_folder.items())
        for one in variants.families(found, folder)
    ]
    board_ = board(all_lines(by_folder))
    return {
        "audits": audits, "compared": told, "in_turn": alone, "variants": joined, "board": board_, "terms": TERMS
    }  # fmt: skip


def all_lines(by_folder: Mapping[str, Results]) -> list[Line]:
    """The lines of all reports."""
    return [line for folder, found in sorted(by_folder.items()) for line in lines(found, folder)]


def board(found: Sequence[Line]) -> list[dict[str, Any]]:
    """The rows of the leaderboard, sorted by the lower end of AUC, because a wide interval shows little.

    Controls are left out.
    """
    attacks = [line for line in found if not line["control"]]
    shown = sorted(attacks, key=lambda line: (-line["auc_low"], -line["auc"]))
    first: dict[tuple[str, str, str], str] = {}
    for line in sorted(attacks, key=lambda line: (-line["auc"], line["attacker"] != "adapts")):
        first.setdefault((line["folder"], line["victim"], line["defense"]), line["anchor"])
    return [
        {
            "page": page(line["folder"], line["victim"]), "anchor": line["anchor"],
            "name": _name(line["folder"], line["victim"]),
            "texts": _texts(line), "bare": line["defense"] == "none",
            "strongest": first[line["folder"], line["victim"], line["defense"]] == line["anchor"],
        }
        for line in shown
    ]  # fmt: skip


def page(folder: str, victim: str) -> str:
    """The address of an audit's page from the index."""
    return quote("/".join(part for part in (folder, victim, "index.html") if part))


def _name(folder: str, victim: str) -> str:
    """The victim's name, with its folder for reports below: several reports may have a victim of one name."""
    return f"{folder}/{victim}" if folder else victim


def _texts(line: Line) -> list[str]:
    rate = "not resolvable" if line["tpr"] is None else f"{line['tpr']:.2f}"
    attacker = {"": "–", "adapts": "adapts", "ignores": "ignores it"}[line["attacker"]]
    attack, seeds = attack_name(line["attack"], line["representation"]), ", ".join(map(str, line["seeds"]))
    shown = [attack, defense_name(line["defense"]), attacker, rate, percent(line["miou"])]
    return [auc_of(line), *shown, shadow_name(line["shadow"]), line["controls"], seeds]


def _audits(folder: str, found: Results) -> list[dict[str, Any]]:
    rows = enriched(once(found))
    victims = sorted({str(row["victim"]) for row in rows})
    return [_audit(folder, name, [row for row in rows if row["victim"] == name]) for name in victims]


def _audit(folder: str, name: str, rows: list[Row]) -> dict[str, Any]:
    said, standing = verdict(rows), standings(rows)
    best, none = strongest_defense(standing, said.state), "no leak shown" if len(standing) > 1 else "none tried"
    return {
        "name": _name(folder, name), "page": page(folder, name), "state": said.state, "controls": said.controls,
        "auc": str(said.best.auc) if said.best else "–", "rare": rare(said.best) if said.best else "–",
        "defended": f"{defense_name(best.defense)}: {best.judged.auc}" if best else none,
        "price": points(best.change) if best else "–", "dataset": rows[0]["dataset"],
        "seeds": ", ".join(map(str, sorted({row["seed"] for row in rows}))),
    }  # fmt: skip
