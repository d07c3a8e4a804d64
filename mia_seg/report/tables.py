"""The tables of a report, as text. The page and the README show the same ones."""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from mia_seg.evaluate.results import Result
from mia_seg.metrics.auditing import allowed
from mia_seg.report.cells import (
    SCREEN,
    UNDEFENDED,
    Cell,
    Estimate,
    Row,
    attack_name,
    attacker_name,
    by_strength,
    defense_name,
    shadow_name,
    tpr_over_runs,
    widest,
)

K = TypeVar("K")
METRICS = {"pix_acc": "PixAcc", "cls_acc": "ClsAcc", "miou": "mIoU", "fwiou": "fwIoU"}
SIDES = {"members": "members", "nonmembers": "non-members"}
STEPS = {"image": "image by image", "group": "group by group", "patch": "patch by patch"}
GROUPS = (
    "A group is what the split drew as one piece: a run of a drive's frames, a drive, a city. Its score is the mean of "
    "its images' scores. Its threshold is the one for images. "
)
OVER_SEEDS = (
    "Over several seeds a number is the mean of their models. Its interval allows for other scenes, which splits may "
    "share, and not for other trainings. That of a rate of one side (TPR at an FPR, mIoU) runs from the lowest to the "
    "highest end."
)

PROVEN = (
    "What DP-SGD promises whatever the attack: with this epsilon and delta, for adding or removing one scene, no "
    "attack has a larger TPR at an FPR of 1%. Where that is 1, nothing of use is proven. Noise is in multiples of the "
    "clip."
)
MOST = 3  # names that a cell has, where the list may be long


@dataclass(frozen=True)
class Table:
    """A table of a report. reading: how to read it. The first `texts` columns are words, the others numbers.

    pages: for each row the folder of the report that its first cell links to, '' for none; empty if no row has a link.
    anchors: for each row the place on the page that lists its sources; empty if rows do not belong to single cells.
    """

    title: str
    reading: str
    columns: list[str]
    rows: list[list[str]]
    texts: int = 1
    pages: Sequence[str] = ()
    anchors: Sequence[str] = ()


def few(names: Sequence[str]) -> str:
    """The first `MOST` names and how many more there are; a dash for none."""
    more = f" and {len(names) - MOST} more" if len(names) > MOST else ""
    return "; ".join(names[:MOST]) + more or "–"


def utilities(rows: Sequence[Row]) -> list[Table]:
    """The table of utility; empty if no scene has labels."""
    labelled = [row for row in rows if row["miou_members"] is not None]
    return [utility(labelled)] if labelled else []


def utility(rows: list[Row]) -> Table:
    """The quality of a victim's predictions behind each defense (thesis table 7.2)."""
    by_defense = _once(rows, lambda row: row["defense"])
    body = [
        [SIDES[side], defense_name(defense), *_metrics(runs, f"_{side}")]
        for side in SIDES
        for defense, runs in sorted(by_defense.items(), key=lambda item: by_strength(item[0]))
    ]
    return Table(
        "What a defense costs",
        "Quality of the predictions in percent. Members are the images that the victim was trained on. A large gap "
        "between the two sides is overfitting, which helps the attack. Parentheses hold the lowest and the highest "
        f"seed, brackets the 95% interval. {OVER_SEEDS}",
        ["Split", "Defense", "PixAcc", "ClsAcc", "mIoU", "mIoU 95%", "fwIoU"],
        body,
        texts=2,
    )


def attacks(found: list[Cell], level: str) -> Table:
    """Every attack on every defense at one level."""
    return Table(
        f"Every attack, {STEPS[level]}",
        f"{GROUPS if level == 'group' else ''}An attacker who adapts trained against the defense. AUC is the chance "
        "that a member gets a higher score than a non-member. The verdict is “not shown” if the interval of AUC "
        "includes 0.5. Precision is the share of members among the accused when 80% of the members are found. TPR is "
        "the share of members found at that FPR; parentheses hold the FPR that was reached. Its interval begins at 0 "
        "if non-members are too few to bound the threshold. Balanced accuracy is the share of right answers at "
        f"{_threshold(found)}. {OVER_SEEDS}",
        [
            "Attack", "Defense", "Attacker", "Verdict", "AUC [95%]", "Precision at recall 80%", "TPR at FPR 10%",
            "TPR at FPR 1%", "Balanced accuracy", "Seeds",
        ],
        [_attack(cell) for cell in found if cell.level == level],
        texts=4,
        anchors=[cell.anchor for cell in found if cell.level == level],
    )  # fmt: skip


def _threshold(found: list[Cell]) -> str:
    """The attacker's threshold in words. An attacker without a shadow has no model of its own to choose it on."""
    alone = {run["adversary"] == SCREEN for cell in found for run in cell.runs}
    if alone == {True}:
        return "the threshold that is best on the other half of the scenes"
    own = "the threshold that the attacker chose on its own model"
    return f"{own} (without a shadow: on the other half of the scenes)" if True in alone else own


def rare(found: list[Cell]) -> list[Table]:
    """The shares of members among the accused if members are rare; empty for results without predictive values."""
    shown = [cell for cell in found if cell.level == "image" and all(run["ppv"] for run in cell.runs)]
    table = Table(
        "What an accusation is worth",
        f"All rates are at {_threshold(found)}. The columns “50% are members”, “10%” and “1%” hold the share of "
        "members among the accused, if so many of all images are members. An audit asks about as many members as "
        "non-members; an attacker seldom does. Exposed members stand out from the model's own non-members. On "
        "average at most a tenth of a list is false. A dash: scenes come in blocks, so no list can be made. "
        f"{OVER_SEEDS}",
        [
            "Attack", "Defense", "Attacker", "TPR", "FPR", "50% are members", "10%", "1%", "TPR at FPR 0.1%", "Exposed",
            "Seeds",
        ],
        [_worth(cell) for cell in shown],
        texts=3,
        anchors=[cell.anchor for cell in shown],
    )  # fmt: skip
    return [table] if shown else []


def privacy(found: list[Cell]) -> list[Table]:
    """The lower bounds on epsilon and mu; empty if members were not drawn by fair coins."""
    shown = [cell for cell in found if all(run["epsilon_low"] is not None for run in cell.runs)]
    table = Table(
        "Lower bounds on differential privacy",
        "A fair coin put each scene into the training or left it out. If the training is epsilon-differentially "
        "private (delta 0), its epsilon is at least the number here, with 95% confidence for each line by itself. "
        "The largest of several lines has less confidence. Behind a defense, epsilon is that of training and defense "
        "together. A bound of 0 shows nothing, and few scenes cannot show much. Over several seeds the lowest bound "
        "stands here. Mu is for a training that adds Gaussian noise. Under mu-Gaussian privacy no test of a scene's "
        "membership is better than one that tells N(0, 1) from N(mu, 1).",
        ["Attack", "Defense", "Attacker", "Epsilon at least", "Mu at least", "Scenes", "Seeds"],
        [_private(cell) for cell in shown],
        texts=3,
        anchors=[cell.anchor for cell in shown],
    )
    return [table] if shown else []


def proven(spent: Mapping[str, Mapping[str, Any]]) -> list[Table]:
    """What trainings by DP-SGD promise, a row for each that is named; empty if there are none."""
    rows = [
        [
            name, f"{one['noise']:.3g}", f"{one['clip']:.3g}", f"{one['delta']:.2g}",
            *(("none", "1") if one["epsilon"] is None
              else (f"{one['epsilon']:.3g}", f"{allowed(one['epsilon'], one['delta'], 0.01):.4g}")),
            one["accountant"],
        ]
        for name, one in spent.items()
    ]  # fmt: skip
    columns = ["Training", "Noise", "Clip", "Delta", "Epsilon", "TPR allowed at FPR 1%", "Accountant"]
    return [Table("What is proven", PROVEN, columns, rows)] if rows else []


def shadows(found: list[Cell]) -> Table:
    """The attacks on the undefended model, with how each shadow's members were chosen; of whole images."""
    shown = [cell for cell in found if cell.level == "image" and cell.defense == UNDEFENDED]
    return Table(
        "Controls",
        "Attacks on the undefended model through each shadow. “Labels only” never sees the model and should stay at "
        "AUC 0.5. Anything above that comes from the split. A shadow that trains on random scenes needs no query of "
        "the victim. If it does as well as one with chosen scenes, the leak does not depend on that choice.",
        ["Shadow", "Its members", "Attack", "AUC [95%]", "Queries", "Seeds"],
        [_shadow(cell) for cell in shown],
        texts=3,
        anchors=[cell.anchor for cell in shown],
    )


def counts(rows: list[Row]) -> Table:
    """The numbers of scenes, groups and queries behind each shadow and level."""
    kept = _once(rows, lambda row: (row["shadow"], row["level"]))
    return Table(
        "How much was measured",
        "Members and non-members with a score, and their independent groups. Intervals count groups: several scenes of "
        "one drive count as one. Queries are the scenes that the victim was asked about.",
        ["Shadow", "Level", "Members", "Non-members", "Member groups", "Non-member groups", "Queries", "Seeds"],
        [[shadow_name(shadow), level, *_counts(runs)] for (shadow, level), runs in sorted(kept.items())],
        texts=2,
    )


def shadow_utility(results: Sequence[Result]) -> Table:
    """The quality of the shadow's predictions. The attack transfers best if it overfits as the victim does."""
    plain = [r for r in results if r.defense == UNDEFENDED] or results
    flat = [
        {"shadow": r.shadow, "seed": r.seed}
        | {f"{name}_{side}": value for side, values in r.shadow_utility for name, value in values}
        for r in plain
        if r.shadow_utility
    ]
    kept = _once(flat, lambda row: row["shadow"])
    return Table(
        "The attacker's own model",
        "The same measures for the shadow, on its own members and non-members. The attack transfers better if the "
        "shadow's gap between members and non-members resembles the victim's.",
        ["Shadow", "Split", "PixAcc", "ClsAcc", "mIoU", "mIoU 95%", "fwIoU"],
        [[s, SIDES[side], *_metrics(runs, f"_{side}")] for s, runs in sorted(kept.items()) for side in SIDES],
        texts=2,
    )


def settings(results: Sequence[Result]) -> Table:
    """The versions of libraries and the settings of attacks. Each distinct value stands once."""
    facts = [(f"version of {name}", value) for r in results for name, value in r.versions.items()]
    facts += [
        (f"settings of {attack_name(r.attack, r.representation)}", json.dumps(r.settings | r.tuned, sort_keys=True))
        for r in results
    ]
    values: dict[str, list[str]] = {}
    for name, value in sorted(set(facts)):
        values.setdefault(name, []).append(value)
    body = [[name, " · ".join(several)] for name, several in values.items()]
    return Table("Versions and settings", "", ["What", "Value"], body, texts=2)


def percent(share: float | None) -> str:
    """A share in percent, '84.1', without the sign, which stands in the column's name. A dash for None."""
    return "–" if share is None else f"{100 * share:.1f}"


def rate(cell: Cell, target: str) -> str:
    """The TPR at a target FPR with its interval and the realised FPR, or 'not resolvable'."""
    rates = [run["tpr_at_fpr"][target] for run in cell.runs]
    found = tpr_over_runs(rates)
    if found is None:
        return "not resolvable"
    realised = sum(rate["realised_fpr"] for rate in rates) / len(rates)
    return f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}] ({percent(realised)}%)"


def _metrics(runs: list[Row], side: str) -> list[str]:
    """The four measures of one side, with the interval of mIoU after mIoU."""
    texts = [_ranged([run[metric + side] for run in runs]) for metric in METRICS]
    names = [f"miou{which}{side}" for which in ("", "_low", "_high")]
    _, low, high = widest([Estimate(*(run[name] for name in names)) for run in runs])
    return [*texts[:3], f"[{percent(low)}, {percent(high)}]", texts[3]]


def _ranged(values: list[float]) -> str:
    mean = percent(sum(values) / len(values))
    return mean if len(values) == 1 else f"{mean} ({percent(min(values))}–{percent(max(values))})"


def _attack(cell: Cell) -> list[str]:
    precision, accuracy = cell.estimate("precision_at_recall_80"), cell.estimate("balanced_accuracy")
    numbers = [
        str(cell.auc),
        str(precision),
        rate(cell, "0.1"),
        rate(cell, "0.01"),
        str(accuracy),
        _seeds(cell.seeds),
    ]
    return [
        attack_name(cell.attack, cell.representation),
        defense_name(cell.defense),
        attacker_name(cell.defense, cell.adaptive),
        cell.auc.verdict,
        *numbers,
    ]


def _worth(cell: Cell) -> list[str]:
    values = [str(cell.ppv(base) or "nobody accused") for base in ("0.5", "0.1", "0.01")]
    return [
        attack_name(cell.attack, cell.representation),
        defense_name(cell.defense),
        attacker_name(cell.defense, cell.adaptive),
        str(cell.estimate("tpr")),
        str(cell.estimate("fpr")),
        *values,
        rate(cell, "0.001"),
        _exposed(cell),
        _seeds(cell.seeds),
    ]


def at_least(bounds: list[float | None]) -> str:
    """The lowest bound, rounded down: rounded up it might not hold. A dash for old results without bounds."""
    found = [bound for bound in bounds if bound is not None]
    return f"{math.floor(100 * min(found)) / 100:.2f}" if len(found) == len(bounds) else "–"


def _private(cell: Cell) -> list[str]:
    return [
        attack_name(cell.attack, cell.representation),
        defense_name(cell.defense),
        attacker_name(cell.defense, cell.adaptive),
        at_least([run["epsilon_low"] for run in cell.runs]),
        at_least([run["result"].epsilon.mu for run in cell.runs]),
        _span(run["n_members"] + run["n_nonmembers"] for run in cell.runs),
        _seeds(cell.seeds),
    ]


def _exposed(cell: Cell) -> str:
    lists = [run["exposed"] for run in cell.runs]
    if not all(lists):
        return "–"
    tested = _span(one["tested"] for one in lists)
    return f"{_span(len(one['scenes']) for one in lists)} of {tested}"


def _shadow(cell: Cell) -> list[str]:
    chosen = {
        "confidence": "by the victim's confidence",
        "random": "at random",
        "listed": "a published list",
        "halves": "random halves",
        "": "own data",
    }
    how = chosen.get(cell.runs[0]["choose"], str(cell.runs[0]["choose"]))
    name = attack_name(cell.attack, cell.representation)
    return [cell.shadow, how, name, str(cell.auc), _span(run["queries"] for run in cell.runs), _seeds(cell.seeds)]


def _counts(runs: list[Row]) -> list[str]:
    names = ("n_members", "n_nonmembers", "n_member_groups", "n_nonmember_groups", "queries")
    return [*(_span(run[name] for run in runs) for name in names), _seeds(run["seed"] for run in runs)]


def _once(rows: Iterable[Row], key: Callable[[Row], K]) -> dict[K, list[Row]]:
    """Rows by key, one for each seed. What several attacks measured of the same model counts once."""
    kept: dict[K, dict[int, Row]] = {}
    for row in sorted(rows, key=lambda row: int(row["seed"])):
        kept.setdefault(key(row), {}).setdefault(row["seed"], row)
    return {name: list(of_seed.values()) for name, of_seed in kept.items()}


def _span(values: Iterable[int]) -> str:
    distinct = sorted(set(values))
    return f"{distinct[0]}" if len(distinct) == 1 else f"{distinct[0]}–{distinct[-1]}"


def _seeds(values: Iterable[int]) -> str:
    return ", ".join(str(seed) for seed in values)
