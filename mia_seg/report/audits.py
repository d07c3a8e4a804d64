"""The page of an audit: one victim with all its shadows. The verdict comes first, the sources of all numbers last."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from mia_seg.evaluate.results import Result, material
from mia_seg.report import charts, exposed, frontier, generators, shadows, sources, tables, verdicts, where, words
from mia_seg.report.advice import next_step
from mia_seg.report.budgets import budget_table, once
from mia_seg.report.canaries import canary_table
from mia_seg.report.cells import (
    SCREEN,
    UNDEFENDED,
    Cell,
    Estimate,
    Row,
    anchor_of,
    attack_name,
    cells,
    defense_name,
    defenses_met,
    enriched,
    through_shadow,
)
from mia_seg.report.changes import change_table
from mia_seg.report.charts import Chart, Mark
from mia_seg.report.controls import control_tables, near_twins
from mia_seg.report.equal_auc import equal_table
from mia_seg.report.glossary import TERMS, glossary
from mia_seg.report.lines import command, file_of
from mia_seg.report.tables import Table
from mia_seg.report.verdicts import Standing, Verdict

CONTROLS = {
    "sound": "An attacker who never sees the model stays at chance.",
    "doubtful": "An attacker who never sees the model strays further from chance than it usually does.",
    "confounded": "Members and non-members differ without the model.",
    "partly tested": "An attack by {material} alone, without the model, was not tried on every seed.",
    "untested": "No attacker without the model was tested.",
}
DEFENDED = "What each defense does, in words"
ALONE = "Every scene is a group of its own."
NAMED = 3  # attacks that a sentence names
NO_SCORES = "These results keep no scores of single scenes, so groups cannot be shown."


@dataclass(frozen=True)
class Words:
    """Sentences under a title."""

    title: str
    texts: Sequence[str]


Titled = TypeVar("Titled", Words, Chart, Table)


@dataclass(frozen=True)
class Inputs:
    """The input of a page.

    scores: of generators. folder: the folder of its report below the index. figures: names of the figure files beside
    the page. thumbnails: by scene, data URIs of small photographs.
    """

    victim: str
    results: Sequence[Result]
    scores: Sequence[dict[str, Any]] = ()
    folder: str = ""
    figures: Sequence[str] = ()
    thumbnails: dict[str, str] = field(default_factory=dict)

    @property
    def depth(self) -> int:
        """The number of folders from the index to the page."""
        return 1 + len([part for part in self.folder.split("/") if part])


@dataclass(frozen=True)
class Fact:
    """A number of the first screen with its meaning. anchor: the place on the page that lists its sources, or ''."""

    name: str
    value: str
    note: str
    anchor: str = ""


@dataclass(frozen=True)
class Lane:
    """A row with a bar. numbers: texts, each with the anchor that it links to."""

    name: str
    bar: Any
    numbers: list[tuple[str, str]]


@dataclass(frozen=True)
class Threat:
    """The card on one attacker: what it knows and has."""

    name: str
    about: str
    facts: list[tuple[str, str]]


def content(inputs: Inputs) -> dict[str, Any]:
    """All values of a page's template."""
    rows = enriched(once(inputs.results))
    found = [cell for cell in cells(rows) if cell.level == "image"]
    said, standing = verdicts.verdict(rows), verdicts.standings(rows)
    return {
        "victim": inputs.victim, "back": "../" * inputs.depth + "index.html", "verdict": said,
        "next": next_step(said, standing, rows), "uneven": uneven(found),
        "facts": facts(rows, said, standing), "forest": _forest(standing), "scale": _scale(standing),
        "threats": [_threat(rows, name) for name in _shadows(rows)], "curves": _curves(found, said, standing),
        **_defenses(inputs, rows), "where": _where(rows), "partwise": where.where_tables(where.shown(rows)),
        **_people(said.best, rows, inputs), "attacks": _attacks(rows), "controls": _controls(rows, inputs.results),
        "method": [*_proven(inputs.results), tables.counts(rows), *_shadow_utility(inputs.results)],
        "settings": tables.settings(inputs.results),
        "sources": [_source(cell) for cell in found], "figures": inputs.figures, "terms": TERMS,
        "glossary": glossary(rows),
    }  # fmt: skip


def facts(rows: Sequence[Row], said: Verdict, standing: Sequence[Standing]) -> list[Fact]:
    """The numbers of the first screen."""
    cost, about = verdicts.price(standing, said.state)
    seen = material(all(row["miou_members"] is not None for row in rows))
    return [
        *_strongest(said),
        Fact("Price of the strongest defense in mIoU", cost, about),
        Fact("Controls", said.controls, CONTROLS[said.controls].format(material=seen), "controls"),
        Fact("Tried", *tried(rows)),
    ]


def uneven(found: Sequence[Cell]) -> str:
    """The sentence on attacks that were tried on some defenses alone; '' if all were tried on all. found: of images."""
    seen = [cell for cell in found if not cell.control]
    every = {cell.defense for cell in seen}
    few = [attack_name(*attack) for attack, met in defenses_met(seen).items() if met != every]
    if not few:
        return ""
    named = ", ".join(few[:NAMED]) + (f" and {len(few) - NAMED} more attacks" if few[NAMED:] else "")
    return f"Not tried on every defense: {named}. A row that met fewer attacks looks better."


def _strongest(said: Verdict) -> list[Fact]:
    best = said.best
    if best is None:
        return []
    name = attack_name(best.attack, best.representation)
    gap = "The images have no labels, so no mIoU."
    if best.labelled:
        members, others = (tables.percent(best.mean(f"miou_{side}")) for side in ("members", "nonmembers"))
        gap = f"mIoU {members}% on training images, {others}% on others."
    found = f"Training images found while 1% of others are accused. {said.worth}".rstrip()
    return [
        Fact("AUC of the strongest attack", str(best.auc), f"{name}, no defense. {gap}", best.anchor),
        Fact("TPR at 1% FPR", verdicts.rare(best), found, best.anchor),
    ]


def tried(rows: Sequence[Row]) -> tuple[str, str]:
    """The numbers of attacks, seeds, defenses and images behind a verdict, in two texts."""
    seen = [row for row in rows if row["representation"] != "labels"]
    attacks = len({(row["attack"], row["representation"]) for row in seen})
    defenses = len({row["defense"] for row in rows} - {UNDEFENDED})
    seeds = len({row["seed"] for row in rows})
    image = [row for row in rows if row["level"] == "image"]
    members, others = (max(row[f"n_{side}"] for row in image) for side in ("members", "nonmembers"))
    return (
        f"{attacks} attack{'s' * (attacks != 1)}, {seeds} seed{'s' * (seeds != 1)}",
        f"{defenses or 'No'} defense{'s' * (defenses != 1)}. {members} training images and {others} others per seed.",
    )


def _scale(standing: Sequence[Standing]) -> Any:
    return charts.scale(charts.left_of(_aucs(standing)))


def _aucs(standing: Sequence[Standing]) -> list[Estimate]:
    return [cell.auc for one in standing for cell in (one.adaptive, one.ignoring) if cell]


def _forest(standing: Sequence[Standing]) -> list[Lane]:
    left, places = charts.left_of(_aucs(standing)), _places([one.defense for one in standing])
    return [_lane(one, places[one.defense.partition(":")[0]], left) for one in standing]


def _places(defenses: Sequence[str]) -> dict[str, int]:
    """A number for each family of defenses, which sets its colour and shape; 0 is the undefended model's."""
    families = dict.fromkeys(name.partition(":")[0] for name in defenses if name != UNDEFENDED)
    return {UNDEFENDED: 0} | {name: place for place, name in enumerate(families, 1)}


def _lane(one: Standing, place: int, left: float) -> Lane:
    bare = one.defense == UNDEFENDED
    pair = [(cell, bare or cell.adaptive) for cell in (one.adaptive, one.ignoring) if cell]
    marks = [Mark(cell.auc, place, filled) for cell, filled in pair]
    told = one.ignoring if bare else one.adaptive
    return Lane(
        defense_name(one.defense),
        charts.bar(marks, left),
        [
            (str(told.auc) if told else "not tried", told.anchor if told else ""),
            ("–", "") if bare or not one.ignoring else (str(one.ignoring.auc), one.ignoring.anchor),
            (tables.percent(one.miou and one.miou.value), one.judged.anchor),
            (verdicts.points(one.change), one.judged.anchor),
            (attack_name(one.judged.attack, one.judged.representation), one.judged.anchor),
        ],
    )


def _shadows(rows: Sequence[Row]) -> list[str]:
    return sorted({str(row["shadow"]) for row in rows})


def _threat(rows: Sequence[Row], name: str) -> Threat:
    mine = [row for row in rows if row["shadow"] == name]
    row, alone = mine[0], mine[0]["adversary"] == SCREEN
    queries = sorted({row["queries"] for row in mine})
    asked = " to ".join(f"{n:,}" for n in dict.fromkeys((queries[0], queries[-1])))
    seen = sorted({attack_name(row["attack"], row["representation"]) for row in mine})
    known = [
        ("Adversary", "without a shadow" if alone else row["adversary"]),
        ("Model", " ".join(part for part in (row["victim_segmenter"], f"on {row['dataset']}") if part)),
        ("Shadow", "none" if alone else " ".join(p for p in (row["shadow_segmenter"], row["shadow_dataset"]) if p)),
        ("Queries of the model", asked),
        ("Queries per scene", str(row["repeats"])),
        ("Attacks", ", ".join(seen)),
    ]
    return Threat("Without a shadow" if alone else name, words.adversary(mine), [(k, v) for k, v in known if v])


def _curves(found: Sequence[Cell], said: Verdict, standing: Sequence[Standing]) -> list[Chart]:
    if said.best is None:
        return []
    bare = [c for c in found if (c.defense, c.shadow, c.control) == (UNDEFENDED, said.best.shadow, False)]
    bare.sort(key=lambda cell: -cell.auc.value)
    one = charts.roc(bare, "Attacks on the undefended model", [charts.named(c, defense=False) for c in bare])
    drawn = _titled(said.best.shadow, [one], several=len({cell.shadow for cell in found}) > 1)
    judged = sorted((one.judged for one in standing), key=lambda c: (c.defense != UNDEFENDED, -c.auc.value))
    if len(judged) > 1:
        names = [charts.named(cell, defense=True) for cell in judged]
        drawn.append(charts.roc(judged, "Strongest attack on each defense", names))
    many = [cell for cell in shadows.grown(list(found)) if not cell.control]
    return drawn + ([charts.grown(many)] if many else [])


def _defenses(inputs: Inputs, rows: Sequence[Row]) -> dict[str, Any]:
    """The values of the section on defenses: sentences, the frontier with its sliders, and tables."""
    by_shadow = {name: [row for row in rows if row["shadow"] == name] for name in _shadows(rows)}
    image = {name: [c for c in cells(mine) if c.level == "image"] for name, mine in by_shadow.items()}
    points = {name: frontier.points(found) for name, found in image.items()}
    repeated = budget_table(inputs.results)
    made = [generators.generator_table(inputs.scores)] if inputs.scores else []
    told: list[Words] = []
    frontiers: list[tuple[Chart, list[tuple[str, list[str], int]]]] = []
    compared: list[Table] = []
    for name, found in image.items():
        several, one = len(image) > 1, points[name]
        if texts := _said(by_shadow[name], found):
            told += _titled(name, [Words(DEFENDED, texts)], several=several)
        if len(one) > 1:
            (chart,) = _titled(name, [charts.frontier(one, frontier.remark(found))], several=several)
            frontiers.append((chart, charts.sliders(one)))
        compared += _titled(name, _compared(found, one), several=several)
    return {
        "defended": told,
        "frontiers": frontiers,
        "compared": [*compared, *tables.utilities(rows), *([repeated] if repeated else []), *made],
    }


def _said(rows: Sequence[Row], image: list[Cell]) -> list[str]:
    seen = sources.sources(image)
    return words.defended(rows) + ([sources.source_sentence(seen)] if seen else [])


def _titled(shadow: str, parts: Sequence[Titled], *, several: bool) -> list[Titled]:
    """The parts with the shadow in their titles, if a page has several."""
    return [replace(one, title=f"{one.title}, {through_shadow(shadow)}") if several else one for one in parts]


def _compared(image: list[Cell], points: list[frontier.Point]) -> list[Table]:
    seen, many = sources.sources(image), shadows.fleet(image)
    return [
        *change_table(image),
        *([frontier.frontier_table(points)] if points else []),
        *equal_table(points),
        *([sources.source_table(seen)] if seen else []),
        *([shadows.shadows_table(many)] if many else []),
    ]


def _where(rows: Sequence[Row]) -> dict[str, Any] | None:
    """The bars of the parts of scenes; None if no result has parts."""
    shown = where.shown(rows)
    parts = [(part, part.auc) for part in where.parts(shown)]
    told = [(part, auc) for part, auc in parts if auc]
    if not told:
        return None
    left, at = charts.left_of([auc for _, auc in told]), anchor_of(shown[0])
    lanes = [
        Lane(where.named_part(part), charts.bar([Mark(auc)], left), [(str(auc), at), (" + ".join(part.counts), "")])
        for part, auc in told
    ]
    return {"lanes": lanes, "scale": charts.scale(left), "note": where.note(shown)}


def _people(best: Cell | None, rows: Sequence[Row], inputs: Inputs) -> dict[str, Any]:
    """The values of the section on groups and scenes; `without_groups` says why there is no table of groups."""
    scenes, groups = (exposed.scene_table(best), exposed.group_table(best)) if best else (None, None)
    kept = best is not None and any(run["scores"] is not None for run in best.runs)
    return {
        "scenes": scenes,
        "groups": groups,
        "canaries": canary_table(cells(rows)),
        "thumbnails": inputs.thumbnails,
        "without_groups": ALONE if kept else NO_SCORES,
    }


def _attacks(rows: Sequence[Row]) -> list[tuple[str, list[Table]]]:
    found = []
    for name in _shadows(rows):
        mine = cells(row for row in rows if row["shadow"] == name)
        levels = [level for level in tables.STEPS if any(cell.level == level for cell in mine)]
        image = [*(tables.attacks(mine, level) for level in levels), *tables.rare(mine), *tables.privacy(mine)]
        found.append((through_shadow(name), image))
    return found


def _controls(rows: Sequence[Row], results: Sequence[Result]) -> dict[str, Any]:
    through = [row for row in rows if row["adversary"] != SCREEN]
    compared = [tables.shadows(cells(through))] if through else []
    return {
        "texts": [text for text in (*words.controls(rows), near_twins(results)) if text],
        "tables": [*compared, *control_tables(results)],
    }


def _proven(results: Sequence[Result]) -> list[Table]:
    """What the victim's training promises. Where sides differ in size over seeds, so does it."""
    spent = {one.seed: one.privacy.model_dump() for one in results if one.privacy}
    return tables.proven({f"{results[0].victim}, seed {seed}": told for seed, told in sorted(spent.items())})


def _shadow_utility(results: Sequence[Result]) -> list[Table]:
    through = [result for result in results if result.adversary != SCREEN]
    return [tables.shadow_utility(through)] if through else []


def _source(cell: Cell) -> dict[str, Any]:
    """The files, the command and the digests of one cell."""
    digests = cell.runs[0]["result"].digests.model_dump()
    if cell.shadow == SCREEN:  # whoever screens has no shadow, and reads the victim's answers alone
        digests = {name: found for name, found in digests.items() if not name.startswith("shadow")}
    return {
        "anchor": cell.anchor,
        "name": charts.named(cell, defense=True),
        "shadow": through_shadow(cell.shadow),
        "auc": str(cell.auc),
        "command": command(cell),
        "files": [(str(run["seed"]), file_of(run)) for run in cell.runs],
        "digests": [
            (name.replace("_", " "), list(dict.fromkeys(getattr(run["result"].digests, name) for run in cell.runs)))
            for name in digests
        ],
    }
