"""One frontier over a victim, its variants and their defenses, for each family that was audited alike."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mia_seg import recipes
from mia_seg.evaluate.results import Result
from mia_seg.recipes.variants import KEY
from mia_seg.report.budgets import once
from mia_seg.report.cells import (
    SCREEN,
    UNDEFENDED,
    Cell,
    attack_name,
    attacks_of,
    cells,
    comparable,
    defense_name,
    enriched,
    strongest,
    through_shadow,
)
from mia_seg.report.frontier import Point, point_of
from mia_seg.report.tables import Table, few
from mia_seg.report.worth import worth_png

READING = (
    "Each victim of the family behind each defense, under the strongest attack that adapts to it. All are measured on "
    "the same images, memberships and seeds: {shadows}. Only attacks that were tried on every line count: {attacks}. "
    "The choice of the strongest was made after the fact. “Dominated by” names lines that leak no more and segment no "
    "worse, and are better in one of the two, at most three of them. This goes by the numbers. A star follows a line "
    "that is shown to leak less: on the same images the interval of the difference leaves out zero. It allows for the "
    "choice of the attack. Each star stands by itself.{left}"
)
COLUMNS = ["Victim", "Defense", "Strongest adaptive attack", "Dominated by", "AUC [95%]", "mIoU non-members, % [95%]",
           "Seeds"]  # fmt: skip
HALVES = "halves"
FLEETS = " The numbers of shadows may differ."


@dataclass(frozen=True)
class Family:
    """A victim and its variants on one frontier: the table, and the figure as a PNG."""

    table: Table
    picture: bytes


@dataclass(frozen=True)
class Line:
    """A victim behind a defense."""

    victim: str
    point: Point

    @property
    def name(self) -> str:
        return f"{self.victim}, {defense_name(self.point.defense)}"


def families(results: Sequence[Result], folder: str = "") -> list[Family]:
    """The families of the victims of some results, for each kind of adversary; empty without variants.

    folder: of the report, for titles. A victim belongs to the family of the recipe that its own is a `variant_of`, and
    that one's in turn. It is left out if it was audited on other images or memberships than the first of its family, on
    none of its seeds, or by fewer attacks. The first is the recipe that the others are variants of, or else the victim
    with the most attacks.
    """
    rows = [row for row in enriched(once(results)) if row["level"] == "image"]
    roots = {victim: _root(victim) for victim in dict.fromkeys(row["victim"] for row in rows)}
    found: dict[tuple[str, str], dict[str, dict[str, list[Cell]]]] = {}
    for cell in (cell for cell in cells(rows) if cell.labelled and not cell.control):
        if cell.adaptive or cell.defense == UNDEFENDED:
            members = found.setdefault((roots[cell.victim], _adversary(cell)), {})
            members.setdefault(cell.victim, {}).setdefault(cell.shadow, []).append(cell)
    # Of several shadows of one kind that by which most was tried; two would be a stronger attacker than one.
    kept = {
        key: {victim: max(by_shadow.values(), key=len) for victim, by_shadow in members.items()}
        for key, members in found.items()
    }
    several = ((key, members) for key, members in kept.items() if len(members) > 1)
    return [one for (root, kind), members in several for one in _family(root, kind, members, folder=folder)]


def _adversary(cell: Cell) -> str:
    result: Result = cell.runs[0]["result"]
    if result.adversary == SCREEN:
        return "an adversary without a shadow"
    return f"adversary {result.adversary}{', many shadows' if result.choose == HALVES else ''}"


def _root(victim: str) -> str:
    """The recipe that a victim's is a variant of, through all variants between; its own name without a recipe."""
    known, seen = set(recipes.names("victim")), [victim]
    while seen[-1] in known:
        base = recipes.read(recipes.find("victim", seen[-1])).get(KEY)
        if not isinstance(base, str) or base in seen:
            break
        seen.append(base)
    return seen[-1]


def _family(root: str, adversary: str, members: dict[str, list[Cell]], *, folder: str) -> Iterator[Family]:
    """The family, if at least two of its members can be compared."""
    first = root if root in members else max(members, key=lambda name: len(attacks_of(members[name])))
    attacks = set(attacks_of(comparable(members[first])))
    alike = {name: found for name, found in members.items() if _alike(found, members[first], attacks)}
    seeds = set.intersection(*({seed for cell in found for seed in cell.seeds} for found in alike.values()))
    lines = [
        Line(name, point) for name, found in alike.items() for point in _points(found, attacks=attacks, seeds=seeds)
    ]
    victims = list(dict.fromkeys(line.victim for line in lines))
    if len(victims) < 2:
        return
    missing = sorted(set(members) - set(victims))
    left = FLEETS if HALVES in {line.point.cell.runs[0]["choose"] for line in lines} else ""
    left += f" Left out, because other images, seeds or fewer attacks were tried: {', '.join(missing)}." * bool(missing)
    shadows = "; ".join(f"{name} {through_shadow(alike[name][0].shadow)}" for name in victims)
    named = ", ".join(attack_name(*attack) for attack in sorted(attacks))
    told = READING.format(shadows=shadows, attacks=named, left=left)
    rows = [_row(line, lines) for line in sorted(lines, key=lambda line: line.point.leak)]
    title = f"{folder}/{root}" if folder else root
    table = Table(f"{title} and its variants, {adversary}", told, COLUMNS, rows, texts=4)
    yield Family(table, _picture(lines))


def _picture(lines: list[Line]) -> bytes:
    """The figure of a comparison of trainings behind defenses, of these lines."""
    found = [
        {
            "title": line.victim, "defense": line.point.defense, "miou": {"others": line.point.miou.value},
            "strongest": line.point.auc._asdict(),
            "dominated_by": [other.name for other in lines if other.point.dominates(line.point)],
        }
        for line in lines
    ]  # fmt: skip
    return worth_png({"frontier": found, "plain": found, "others": []})


def _alike(found: Sequence[Cell], first: Sequence[Cell], attacks: set[tuple[str, str]]) -> bool:
    """Whether a victim met these attacks without a defense, on the images and memberships of the first."""
    bare = [cell for cell in found if cell.defense == UNDEFENDED]
    mine, theirs = _scenes(found), _scenes(first)
    common = set(mine) & set(theirs)
    return attacks <= set(attacks_of(bare)) and bool(common) and all(mine[seed] == theirs[seed] for seed in common)


def _scenes(found: Sequence[Cell]) -> dict[int, dict[str, bool]]:
    """Of each seed whether each audited scene is a member; without seeds whose results keep no scores."""
    kept = [(run["seed"], run["scores"]) for cell in found for run in cell.runs if run.get("scores") is not None]
    return {seed: dict(zip(one.ids, one.members_N.tolist(), strict=True)) for seed, one in kept}


def _points(found: list[Cell], *, attacks: set[tuple[str, str]], seeds: set[int]) -> Iterator[Point]:
    """A point for each defense on which all attacks were tried with all seeds."""
    kept = [c for c in found if (c.attack, c.representation) in attacks and seeds <= set(c.seeds)]
    for defense in dict.fromkeys(cell.defense for cell in kept):
        mine = [cell.of(seeds) for cell in kept if cell.defense == defense]
        best = strongest(mine) if attacks <= set(attacks_of(mine)) else None
        if best is not None:
            yield point_of(best, len(attacks))


def _row(line: Line, lines: list[Line]) -> list[str]:
    point = line.point
    better = [f"{other.name}{'*' * point.leaks_more(other.point)}" for other in lines if other.point.dominates(point)]
    attack = attack_name(point.cell.attack, point.cell.representation)
    seeds = ", ".join(map(str, point.cell.seeds))
    return [line.victim, defense_name(point.defense), attack, few(better), str(point.auc), point.miou_text, seeds]
