"""The page of a comparison of trainings: the verdict first, then the figure, the numbers, and what made them."""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mia_seg.evaluate.arms import beside_plain, is_plain, outside
from mia_seg.evaluate.results import slug
from mia_seg.metrics.membership import CHANCE
from mia_seg.report.arms import arms_png, family
from mia_seg.report.cells import UNDEFENDED, attack_name, defense_name
from mia_seg.report.glossary import Entry, glossary
from mia_seg.report.lines import data_root
from mia_seg.report.style import inline
from mia_seg.report.tables import Table, few, percent, proven
from mia_seg.report.worth import undominated, worth_png

Facts = Mapping[str, Any]
WORTH = (
    "The gap is the mIoU on a model's own training images minus that on others, in points. The strongest attack is "
    "chosen on one half of the models and measured on the other half, and the reverse; “Chosen” names both. "
    "“Above plain” is the AUC of the strongest attack minus that on plain training with the same mIoU on others, which "
    "is read off lines between the plain trainings: does the training beat stopping earlier? A dash: no plain training "
    "segments worse, or none better. “Dominated by” names trainings that leak no more and segment no worse, and are "
    "better in one of the two. This goes by the numbers. A star follows a training that is shown to leak less: on the "
    "same images and halves the interval of the difference leaves out zero. Each star stands by itself. Older results "
    "have none. Minutes are the time of a model's training steps, including its teachers'."
)
BY_ATTACK = (
    "Each model is the victim in turn. “Above plain” is the AUC minus that of plain training with the same gap, which "
    "is read off straight lines from chance through the plain trainings. Leaks rise ever less steeply with the gap, so "
    "these lines lie too low between two plain trainings: an interval below zero shows a smaller leak, but one above "
    "zero may not show a larger one. The sentences at the top allow for that. Below the first plain training nothing "
    "is tested. Each interval holds by itself, for other scenes and models, and with many attacks one in twenty may "
    "leave out zero by chance."
)
BEHIND = (
    "Every training behind every defense, under the strongest attack that the attacker can try there. “Above plain” "
    "compares with plain training without a defense that segments others as well. “Dominated by” compares all lines of "
    "this table, and names at most three. A star is one as above."
)
SAME = "No difference from plain training with the same gap is shown"
UNTESTED = "Not tested against plain training, for which there are too few models or lengths"
NARROW = "Not tested at the same gap, because no plain training overfits as little"
WIDE = "Beyond the widest gap of plain training, where the line is extended"
CANARIES = "Scenes that a model is likely to memorise: the worst case. They count nowhere else."
COLUMNS = (
    "Training", "Dominated by", "Chosen", "Models", "mIoU members, %", "mIoU others, %", "Gap", "AUC, strongest [95%]",
    "Above plain, same mIoU [95%]", "Minutes",
)  # fmt: skip
ENDS = ("value", "low", "high")
WORTHS = {
    "less": "Shown to leak less than plain training that stops where it segments others as well",
    "more": "Shown to leak more than plain training that stops where it segments others as well",
}
KINDS = {
    "more": "The AUC is shown to be above plain training with the same gap",
    "less": "The AUC is shown to be below plain training with the same gap",
    "perhaps more": "Above the straight line between two plain trainings, but no further than plain training may lie",
}


def content(facts: Facts, *, name: str, depth: int) -> dict[str, Any]:
    """All values of the template. name: the file's name without suffix. depth: the folders between index and file."""
    return {
        "back": "../" * depth + "index.html", "name": name, "called": called(facts), "verdict": said(facts),
        "measured": measured(facts), "unshown": unshown(facts), "facts": _facts(facts),
        "picture": inline(arms_png(facts)), "command": command(facts, name),
        "tables": [_worth(facts), *_behind(facts), _by_attack(facts), *_canaries(facts), *_proven(facts)],
        "digests": _digests(facts), "glossary": _glossary(facts),
        "worth": inline(worth_png(facts)) if "frontier" in facts else "",
    }  # fmt: skip


def called(facts: Facts) -> str:
    """The comparison's name in the index: '5 trainings, variants of demo, by base and image loss, seed 0'."""
    first, count, base = facts["plain"][0], len(_every(facts)), family(facts)
    parts = [f"{count} training{'s' * (count != 1)}", *([f"variants of {base}"] if base else [])]
    parts.append(f"by {_listed([_attack(name) for name in first['auc']])}")
    parts += [f"behind {defense_name(first['defense'])}"] if first["defense"] != UNDEFENDED else []
    return ", ".join([*parts, f"seed {first['seed']}"])


def said(facts: Facts) -> str:
    """The sentence that names what no other dominates, in words that need no glossary: of all defenses, if several."""
    every = facts.get("frontier", _every(facts))
    kept = [
        f"{_point(one, facts)} (AUC {one['strongest']['value']:.2f}, mIoU {percent(one['miou']['others'])}%)"
        for one in undominated(every)
    ]
    lost = len(every) - len(kept)
    if len(every) == 1:
        return f"{_point(every[0], facts)} was measured alone, so nothing is compared."
    if not lost:
        return "By the numbers none is left out: what leaks less segments worse."
    others = f"For each of the other {lost}" if lost > 1 else "For the other one"
    why = f"{others} there is one that leaks no more and segments no worse."
    if len(kept) == 1:
        return f"By the numbers choose {kept[0]}. {why}"
    return f"By the numbers choose among these, of which those that leak less segment worse: {', '.join(kept)}. {why}"


def _point(one: Facts, facts: Facts) -> str:
    """A training, and the defense of its answers where some of those that are compared have another."""
    return f"{one['title']} with {defense_name(one['defense'])}" if "frontier" in facts else one["title"]


def measured(facts: Facts) -> list[str]:
    """The sentences on trainings that leak more or less than plain ones, if intervals show it."""
    texts = list(_leaking(facts))
    worths = {one["title"]: one["worth"] for one in facts["others"] if one["worth"]}
    for kind, said_so in WORTHS.items():
        if found := [name for name, worth in worths.items() if beside_plain(worth) == kind]:
            texts.append(f"{said_so}: {_listed(found)}.")
    return texts + _at_same_gap(facts)


def _at_same_gap(facts: Facts) -> list[str]:
    """The sentences on trainings that leak more or less than plain ones that overfit as much."""
    narrow, wide = outside(facts)
    kinds = {one["title"]: {a: beside_plain(above) for a, above in one["above"].items()} for one in facts["others"]}
    tested = {one["title"] for one in facts["others"] for above in one["above"].values() if above["low"] is not None}
    shown = {
        said_so: [
            f"{name} (by {_listed(by)})"
            for name, of in kinds.items()
            if (by := [_attack(a) for a in of if of[a] == kind])
        ]
        for kind, said_so in KINDS.items()
    }
    listed = shown | {
        SAME: [name for name in kinds if name in tested and not any(kinds[name].values())],
        UNTESTED: [name for name in kinds if name not in tested and name not in narrow],
        NARROW: narrow,
        WIDE: wide,
    }
    return [f"{text}: {_listed(found)}." for text, found in listed.items() if found]


def _leaking(facts: Facts) -> Iterator[str]:
    """The sentence on how many are shown to leak; none without intervals."""
    every = facts.get("frontier", _every(facts))
    known = [one["strongest"]["low"] > CHANCE for one in every if one["strongest"]["low"] is not None]
    if known:
        count = "all" if all(known) and len(known) == len(every) else f"{sum(known)} of"
        yield f"Shown to leak, by an AUC above 0.5: {count} {len(every)}."


def unshown(facts: Facts) -> list[str]:
    """What the comparison does not show."""
    first = facts["plain"][0]
    few = ["intervals, which take 6 models"] if first["models"] < 6 else []
    alone = ["what the strongest attack reaches, because the requested attack stands in for it"]
    return [
        *few, *(alone if len(first["strongest"]["chosen"]) < 2 else []), "attacks that were not tried",
        "other data, sizes and seeds",
    ]  # fmt: skip


def command(facts: Facts, name: str) -> str:
    """The command that makes the comparison again. name: of its file, which has the attacks in their order."""
    first, order = facts["plain"][0], re.split(r"[.+]", name)
    attacks = sorted(
        first["digests"]["attackers"], key=lambda of: order.index(slug(of)) if slug(of) in order else len(order)
    )
    words = ["mia-seg", "fleet", *(one["shadow"] for one in facts["others"])]
    words += [word for one in facts["plain"] for word in ("--curve", one["shadow"])]
    words += [word for attack in attacks for word in ("--attack", attack)]
    points, fleets = facts.get("frontier", [first]), {one["title"]: one["shadow"] for one in _every(facts)}
    by_defense = {
        one["defense"]: [other["title"] for other in points if other["defense"] == one["defense"]] for one in points
    }
    for defense, met in by_defense.items():
        alone = [f"{fleets[title]}={defense}" for title in met]
        all_of_them = len(met) == len(fleets) or "frontier" not in facts
        words += ["--defense", defense] if all_of_them else [word for one in alone for word in ("--also", one)]
    words += ["--models", str(first["models"]), "--seed", str(first["seed"])]
    return shlex.join([*words, *data_root(first["dataset"])])


def _every(facts: Facts) -> Sequence[Facts]:
    return [*facts["plain"], *facts["others"]]


def _facts(facts: Facts) -> list[tuple[str, str, str]]:
    """The numbers of the first screen: name, value and note of each."""
    first = facts["plain"][0]
    return [
        ("Trainings", str(len(_every(facts))), f"{len(facts['plain'])} of them plain, of several lengths."),
        ("Models of each", str(first["models"]), "Each is the victim in turn."),
        ("Attacks", str(len(first["auc"])), f"{_listed([_attack(name) for name in first['auc']])}."),
        ("Defense", *_defended(facts)),
    ]


def _defended(facts: Facts) -> tuple[str, str]:
    """The defenses behind which trainings are compared, and the seed and data, in two texts."""
    first = facts["plain"][0]
    found = list(dict.fromkeys(one["defense"] for one in facts.get("frontier", [first])))
    told = f"Seed {first['seed']}, on {first['dataset']}."
    if len(found) == 1:
        return defense_name(found[0]), told
    named = _listed([defense_name(name) for name in found if name != UNDEFENDED])
    return f"{len(found) - (UNDEFENDED in found)}", f"{named}, beside no defense. {told}"


def _worth(facts: Facts) -> Table:
    rows = list[list[str]]()
    for one in _every(facts):
        better = ", ".join(f"{of}{'*' * (of in one['leaking_less'])}" for of in one["dominated_by"]) or "–"
        chosen = ", ".join(dict.fromkeys(_attack(name) for name in one["strongest"]["chosen"]))
        shares = [percent(one["miou"][key]) for key in ("members", "others", "gap")]
        words = [one["title"], better, chosen]
        leak, beside = _between(one["strongest"], ".3f"), _beside(one) if "above" in one else "plain"
        rows.append([*words, str(one["models"]), *shares, leak, beside, _minutes(one)])
    return Table("What each training is worth", WORTH, _headed(COLUMNS, facts), rows, texts=3)


def _headed(columns: Sequence[str], facts: Facts) -> list[str]:
    """The heads of columns. Fleets of few models have no intervals, so their heads name none."""
    known = facts["plain"][0]["strongest"]["low"] is not None
    return [column if known else column.removesuffix(" [95%]") for column in columns]


def _behind(facts: Facts) -> list[Table]:
    """The table of trainings behind defenses; empty if there was one defense."""
    if "frontier" not in facts:
        return []
    rows = list[list[str]]()
    for one in facts["frontier"]:
        better = [
            f"{by['title']}, {defense_name(by['defense'])}{'*' * by.get('leaks_less', False)}"
            for by in one["dominated_by"]
        ]
        beside = "plain" if is_plain(one, facts) else _beside(one)
        leak, minutes = _between(one["strongest"], ".3f"), _minutes(one)
        words = [one["title"], defense_name(one["defense"]), few(better)]
        rows.append([*words, percent(one["miou"]["others"]), leak, beside, minutes])
    columns = ["Training", "Defense", "Dominated by", "mIoU others, %", *COLUMNS[-3:]]
    return [Table("Trainings behind defenses", BEHIND, _headed(columns, facts), rows, texts=3)]


def _beside(one: Facts) -> str:
    return _between(one["worth"], "+.3f") if one.get("worth") else "–"


def _minutes(one: Facts) -> str:
    return "not kept" if one["minutes"] is None else f"{one['minutes']:.1f}"


def _by_attack(facts: Facts) -> Table:
    attacks = list(facts["plain"][0]["auc"])
    columns = [column for a in attacks for column in (f"AUC, {_attack(a)}", "above plain [95%]")]
    rows = []
    for one in _every(facts):
        above = [_between(one["above"][a], "+.3f") if "above" in one else "plain" for a in attacks]
        aucs = [f"{one['auc'][a]:.3f}" for a in attacks]
        rows.append([one["title"], *(text for pair in zip(aucs, above, strict=True) for text in pair)])
    return Table("Each attack", BY_ATTACK, ["Training", *_headed(columns, facts)], rows)


def _canaries(facts: Facts) -> list[Table]:
    """The table of AUCs on canaries; empty if there are none."""
    shown = [one for one in _every(facts) if "canaries" in one]
    if not shown:
        return []
    attacks = list(shown[0]["canaries"])
    columns = [f"AUC, {_attack(a)} [95%]" for a in attacks]
    rows = [[one["title"], *(_between(one["canaries"][a]["auc"], ".3f") for a in attacks)] for one in shown]
    return [Table("Canaries", CANARIES, ["Training", *columns], rows)]


def _proven(facts: Facts) -> list[Table]:
    """The table of what trainings by DP-SGD promise; empty if there are none."""
    return proven({one["title"]: one["privacy"] for one in _every(facts) if one.get("privacy")})


def _digests(facts: Facts) -> Table:
    rows = [
        [one["title"], one["shadow"], one["digests"]["shadow"], " ".join(one["digests"]["attackers"].values())]
        for one in _every(facts)
    ]
    columns = ["Training", "Fleet", "Digest of its models", "Digests of its attackers"]
    return Table("Digests", "", columns, rows, texts=4)


def _glossary(facts: Facts) -> list[Entry]:
    """The attacks and defenses of the comparison."""
    attacks = [name.partition(":") for name in facts["plain"][0]["auc"]]
    defenses = [one["defense"] for one in facts.get("frontier", facts["plain"])]
    return glossary([
        *({"attack": name, "defense": UNDEFENDED, "representation": seen} for name, _, seen in attacks),
        *({"attack": attacks[0][0], "defense": name, "representation": ""} for name in defenses),
    ])  # fmt: skip


def _between(of: Facts, form: str) -> str:
    """A number as text, with its interval if there is one."""
    value, *ends = (of[key] if of[key] is None else f"{of[key]:{form}}".replace("-", "−") for key in ENDS)
    return f"{value}" if None in ends else f"{value} [{', '.join(ends)}]"


def _attack(name: str) -> str:
    return attack_name(name, "").replace(":", " ")


def _listed(words: Sequence[str]) -> str:
    """'a', 'a and b', 'a, b and c'."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last
