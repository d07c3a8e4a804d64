"""Write tables and numbers into README.md and the pages below docs/, from the files below reports/ and benchmarks/.

    python docs/tables.py           # writes them
    python docs/tables.py --check   # says which page would change, and ends with 1

A table stands between `<!-- table: NAME -->` and `<!-- end -->`. No number of it is typed. Its numbers are those of
results, or of a table on a page below benchmarks/, which the benchmark beside that page made.

A number in a sentence is followed by `<!-- NAME | CELL | ... | COLUMN -->`: the table that it is taken from, cells that
its row has, and how its column begins. It is written with as many digits as it had, without its sign. A number that has
one in the table needs the same before NAME, so that a gain never stands for a loss. A number of a page below
benchmarks/ has the page as NAME, then its heading; `lowest` or `highest` takes that of all rows and columns that fit:
`<!-- over_seeds.md | Differences | lowest | 3 | spread -->`.
"""

import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import ROUND_HALF_DOWN, ROUND_HALF_UP, Decimal
from functools import cache, partial
from math import exp
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from mia_seg.evaluate import arms
from mia_seg.evaluate import results as results_
from mia_seg.evaluate.schema import Blind, Result
from mia_seg.metrics.membership import NOT_RESOLVABLE
from mia_seg.metrics.paired import over_seeds, unpaired
from mia_seg.report.canaries import canary_table
from mia_seg.report.cells import SCREEN, Cell, Estimate, cells, enriched, pooled, tpr_over_runs, widest
from mia_seg.report.cells import shared as errors_of
from mia_seg.report.changes import auc_change, change_table, miou_change, signed
from mia_seg.report.equal_auc import equal_table
from mia_seg.report.frontier import points
from mia_seg.report.tables import privacy

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", *(ROOT / "docs" / f"{name}.md" for name in ("results", "protective_results", "benchmark")))
PLACE = re.compile(r"(<!-- table: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
OTHERS = tuple(page for page in sorted((ROOT / "docs").glob("*.md")) if page not in PAGES)
CITED = re.compile(r"(\d+(?:\.\d+)?)(<!-- ([−+]?[\w.]+) \| ([^>]*?) -->)")
EXTREMES = {"lowest": min, "highest": max}
NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?")
CONTROL = "labels"  # the patch attack that never sees the model
VIEWS = "base:views=augmented"  # the attack that also asks about a scene mirrored and enlarged
KEYS = ["attack", "representation"]


@cache
def images() -> pd.DataFrame:
    """Every result, a row each: by image, asked once, by attackers who adapt and on undefended models."""
    table = pd.DataFrame(enriched(results_.read_all(ROOT / "reports")))
    known = (table["adaptive"] | (table["defense"] == "none")) & (table["level"] == "image") & (table["repeats"] == 1)
    return table[known & (table["representation"] != CONTROL)]


def of(victim: str, shadow: str) -> pd.DataFrame:
    """The results of one victim attacked through one shadow."""
    table = images()
    found = table[(table["victim"] == victim) & (table["shadow"] == shadow)]
    assert len(found), f"reports/ holds nothing of {victim}, {shadow}"
    return found


def shared(table: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """The rows of those seeds that all values of `by` have: no mean is held against one of other seeds."""
    seeds = [set(rows["seed"]) for _, rows in table.groupby(list(by))]
    return table[table["seed"].isin(set.intersection(*seeds))]


def strongest(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of the attack with the largest mean AUC, among those that have all seeds of the table."""
    whole = table.groupby(KEYS)["seed"].nunique() == table["seed"].nunique()
    means = table.groupby(KEYS)["auc"].mean()[whole]
    attack, representation = means.idxmax()
    return table[(table["attack"] == attack) & (table["representation"] == representation)]


def called(rows: pd.DataFrame) -> str:
    """'`patch_resnet50:loss`' for the attack of some rows."""
    first = rows.iloc[0]
    return f"`{':'.join(part for part in (first['attack'], first['representation']) if part)}`"


def auc(rows: pd.DataFrame) -> str:
    """The mean over seeds, and its interval."""
    runs = rows.to_dict("records")
    return str(pooled([Estimate(run["auc"], run["auc_low"], run["auc_high"]) for run in runs], errors_of(runs)))


def mean(rows: pd.DataFrame, column: str) -> str:
    """The mean of a column over seeds."""
    return f"{rows[column].mean():.2f}"


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


HEAD = (
    "defense",
    "strongest attack that knows the defense",
    "AUC [95%]",
    "balanced accuracy",
    "mIoU on unseen images",
    "seeds",
)


def defense_row(rows: pd.DataFrame) -> tuple[str, ...]:
    """One defense under the strongest attack that knows it."""
    best = strongest(rows)
    return (
        best.iloc[0]["defense"].replace(":", " "), called(best), auc(best), mean(best, "balanced_accuracy"),
        mean(best, "miou_nonmembers"), str(best["seed"].nunique()),
    )  # fmt: skip


def defenses(victim: str, shadow: str, *chosen: str) -> str:
    """A victim's defenses, by the attacks and over the seeds that all of them have. chosen: these, in this order."""
    table = shared(met_all(of(victim, shadow), chosen), ["defense"])
    return markdown(HEAD, (defense_row(table[table["defense"] == name]) for name in chosen))


def met_all(table: pd.DataFrame, chosen: Sequence[str]) -> pd.DataFrame:
    """The rows of some defenses, of the attacks that were tried on all of them: no defense is judged by fewer."""
    table = table[table["defense"].isin(chosen)]
    return table[table.groupby(KEYS)["defense"].transform("nunique") == len(set(chosen))]


# What the first page shows: one row a question. Victim, shadow, defense, and what it is called there.
FIRST = (
    ("labelmefacade_small_19", "labelmefacade_small_19_a1", "none", "30 epochs, no defense"),
    ("labelmefacade_small_19", "labelmefacade_small_19_a1", "argmax", "30 epochs, labels alone (`argmax`)"),
    ("labelmefacade_small_19", "labelmefacade_small_19_a1", "gaussian:1.0", "30 epochs, Gaussian noise"),
    ("labelmefacade_small_19", "labelmefacade_small_19_a1", "synfeat:0.75", "30 epochs, SynFeat"),
    ("labelmefacade_small_19_10_epochs", "labelmefacade_small_19_10_epochs_a1", "none", "10 epochs, no defense"),
    ("labelmefacade_small", "labelmefacade_small_fleet", "argmax", "30 epochs, labels alone; 16 shadows, 8 classes"),
    (
        "labelmefacade_small_10_epochs",
        "labelmefacade_small_10_epochs_fleet",
        "none",
        "10 epochs, no defense; 6 shadows, 8 classes",
    ),
)


def first() -> str:
    """The rows of README; those of one victim over the seeds that they share."""

    def row(victim: str, shadow: str, defense: str, *, name: str) -> tuple[str, ...]:
        table = met_all(of(victim, shadow), [line[2] for line in FIRST if line[0] == victim])
        table = shared(table, ["defense"])
        best = strongest(table[table["defense"] == defense])
        means = (mean(best, column) for column in ("balanced_accuracy", "miou_members", "miou_nonmembers"))
        return (name, auc(best), *means, str(best["seed"].nunique()))

    head = ("victim and defense", "AUC [95%] of the strongest attack that knows it", "balanced accuracy",
            "mIoU, its training images", "mIoU, unseen images", "seeds")  # fmt: skip
    return markdown(head, (row(*line[:3], name=line[3]) for line in FIRST))


def attacks(victim: str, shadow: str, *chosen: str) -> str:
    """Every attack that met all chosen defenses, AUC averaged over the seeds that it met them all with."""
    rows = []
    for _, mine in met_all(of(victim, shadow), chosen).groupby(KEYS):
        found = shared(mine, ["defense"])
        means = (mean(found[found["defense"] == name], "auc") for name in chosen)
        rows.append((called(found), *means, str(found["seed"].nunique())))
    return markdown(("attack, AUC", *(name.replace(":", " ") for name in chosen), "seeds"), rows)


def image_cells(victim: str, shadow: str) -> list[Cell]:
    """What a page shows of one victim attacked through one shadow, on images."""
    found = results_.read_all(ROOT / "reports", victim)
    rows = enriched(result for result in found if (result.shadow, result.repeats) == (shadow, 1))
    return [cell for cell in cells(rows) if cell.level == "image"]


def changes(victim: str, shadow: str, *, beside: int = 0, attack: str = "") -> str:
    """What each defense changes for each attack that adapts, on the same images.

    beside: 1 for beside labels alone. attack: the one that counts; '' for all.
    """
    table = change_table(image_cells(victim, shadow))[beside]
    head = ("attack", "defense", "change of AUC [95%]", "change of mIoU on unseen images, points [95%]", "seeds")
    rows = (row for row in table.rows if row[2] == "adapts" and attack in ("", row[0]))
    return markdown(head, ((row[0], row[1], row[5], row[6], str(len(row[7].split(", ")))) for row in rows))


def victims(less: str, more: str, defense: str) -> str:
    """What each attack reaches on one victim less what it reaches on another, and on that behind a defense.

    Both are attacked through their shadows of adversary A1. The first has no defense; the attacker knows the other's.
    """

    def of_attack(victim: str, wanted: str) -> dict[tuple[str, str], Cell]:
        found = image_cells(victim, f"{victim}_a1")
        kept = (one for one in found if one.defense == wanted and not one.control)
        return {(one.attack, one.representation): one for one in kept if one.adaptive or wanted == "none"}

    mine, theirs, behind = of_attack(less, "none"), of_attack(more, "none"), of_attack(more, defense)
    rows = [
        (f"`{':'.join(filter(None, key))}`", change_of(mine[key], theirs[key]), change_of(mine[key], behind[key]),
         str(len(set(mine[key].seeds) & set(theirs[key].seeds) & set(behind[key].seeds))))
        for key in mine
        if key in theirs and key in behind
    ]  # fmt: skip
    return markdown(("attack", "change of AUC [95%]", f"the same beside `{defense}` [95%]", "seeds"), rows)


def equal(victim: str, shadow: str, beside: str) -> str:
    """By how much one defense's settings segment better or worse than another defense at the same AUC."""
    (table,) = equal_table(points(image_cells(victim, shadow)))
    head = ("defense", "AUC [95%]", f"mIoU more than {beside} at that AUC, points [95%]", "seeds")
    mine = (row for row in table.rows if row[1] == beside)
    return markdown(head, ((name, auc, gain, str(len(seeds.split(", ")))) for name, _, auc, gain, seeds in mine))


CUTS = {
    "labelmefacade_small_19": ("1 of 2", "labelmefacade_small_19_a1"),
    "labelmefacade_small_19_cut_2": ("2 of 2", SCREEN),
}


def cuts(defense: str, *attacks: str) -> str:
    """SynFeat where the network is cut early and late: its generator's score, and what it changes."""

    def pairs(victim: str, shadow: str) -> list[tuple[Cell, Cell]]:
        kept = {(c.attack, c.defense): c for c in image_cells(victim, shadow) if c.adaptive or c.defense == "none"}
        return [(kept[name, defense], kept[name, "none"]) for name in attacks]

    found = {victim: pairs(victim, shadow) for victim, (_, shadow) in CUTS.items()}
    seeds = set.intersection(*(set(cell.seeds) for mine in found.values() for pair in mine for cell in pair))

    def row(victim: str) -> tuple[str, ...]:
        files = (ROOT / "reports").glob(f"*/{victim}/generators/*.json")
        made = [one for one in map(_read, files) if one["seed"] in seeds]
        assert len(made) == len(seeds), f"{victim}: as many generators as seeds"
        scores = [[one["epochs"][-1]["miou"] for one in made], [one["real"]["miou"] for one in made]]
        means = (f"{sum(side) / len(side):.2f}" for side in scores)
        changes = (change_of(one.of(seeds), other.of(seeds)) for one, other in found[victim])
        utility = miou_change(found[victim][0][0].of(seeds))
        assert utility is not None, f"{victim}: the results hold no change of mIoU"
        return (CUTS[victim][0], *means, *changes, signed(utility, 100, 1), str(len(seeds)))

    changed = (f"change of AUC, `{name}` [95%]" for name in attacks)
    head = (
        "cut after block",
        "mIoU, generated features",
        "real ones",
        *changed,
        "change of mIoU, points [95%]",
        "seeds",
    )
    return markdown(head, map(row, CUTS))


def change_of(one: Cell, other: Cell) -> str:
    """The AUC of one less that of the other, on the same images."""
    change = auc_change(one, other)
    assert change is not None, f"{one.victim}: the results keep no scores"
    return signed(change)


def _read(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return found


def picked(page: str, title: str, columns: Sequence[str], *rows: Sequence[str]) -> str:
    """Columns of the table below a heading of a page of benchmarks: of the rows that begin with these cells, or all."""
    ((head, found),) = _tables(section(page, title))
    places = [head.index(column) for column in columns]
    kept = [row for row in found if not rows or any(row[: len(one)] == [*one] for one in rows)]
    assert len(kept) == len(rows or found), f"benchmarks/{page} has {len(kept)} rows of {rows}"
    return markdown(columns, ([row[place] for place in places] for row in kept))


COVERED = {"AUC": "AUC", "TPR at FPR 10%": "TPR at 10% FPR", "TPR at FPR 1%": "TPR at 1% FPR"}


def coverage() -> str:
    """In how many simulated settings intervals include the truth as often as they should."""
    page = "How often a 95% interval includes the truth"
    (aim,) = re.findall(r"The aim is (\S+ to \S+)\. ", section("coverage.md", page))

    def row(title: str, name: str) -> tuple[str, ...]:
        (count,) = re.findall(r"(?m)^(\d+ of \d+) cells within the aim,", section("coverage.md", title))
        return name, count

    head = ("95% intervals of", f"settings with a coverage of {aim}%")
    return markdown(head, (row(*item) for item in COVERED.items()))


TUNED = {
    "labelmefacade_100": "base", "labelmefacade_100_tuned": "tuned further, the control",
    "labelmefacade_100_drawn": "with drawn features", "labelmefacade_100_masks": "and other photographs' labels",
}  # fmt: skip
MASKS = {
    "labelmefacade_small_19_share_0": "none, the control",
    "labelmefacade_small_19_share_30": "its own photographs' labels",
    "labelmefacade_small_19_camvid_masks": "and CamVid's labels",
    "labelmefacade_small_19_pseudo_masks": "and pseudo-labels of CamVid's frames",
}
SHARES = {
    "labelmefacade_small_19_share_0": "none, the control", "labelmefacade_small_19_share_10": "1",
    "labelmefacade_small_19_share_30": "3", "labelmefacade_small_19_share_50": "7",
    "labelmefacade_small_19_any_layout": "3, for any layout",
}  # fmt: skip


def tuned(head: str, named: dict[str, str], shadow: str, *, control: str, base: str = "") -> str:
    """Victims that go on training, with and without synthetic features: a number a seed. base: before it goes on."""

    def of_loss(victim: str) -> pd.DataFrame:
        table = of(victim, shadow)
        return table[(table["attack"] == "image_loss") & (table["defense"] == "none")].set_index("seed").sort_index()

    def row(victim: str, name: str) -> tuple[str, ...]:
        table = of_loss(victim)
        numbers = (", ".join(f"{value:.3f}" for value in table[column]) for column in (*gained, "auc"))
        if victim in (control, base):
            return (name, *numbers, *[""] * (1 + len(gained)))
        return (name, *numbers, *(gain(table, column) for column in gained), change_of(loss(victim), loss(control)))

    def loss(victim: str) -> Cell:
        found = image_cells(victim, shadow)
        (cell,) = (one for one in found if (one.attack, one.representation, one.defense) == ("image_loss", "", "none"))
        return cell

    def gain(table: pd.DataFrame, column: str) -> str:
        """Points over the control, paired by seed."""
        beside = of_loss(control)[column]
        changes = 100 * (table[column] - beside)
        assert len(changes.dropna()) == len(beside), f"{table.iloc[0]['victim']} and its control have other seeds"
        half = stdtrit(len(changes) - 1, 0.975) * changes.std(ddof=1) / len(changes) ** 0.5
        return f"{changes.mean():+.2f} [{changes.mean() - half:+.2f}, {changes.mean() + half:+.2f}]"

    gained = ("miou_nonmembers", "cls_acc_nonmembers")
    columns = (head, "mIoU on unseen images", "class accuracy on unseen images", "AUC of the image loss",
               "change of mIoU over the control [95%]", "of class accuracy [95%]", "of AUC [95%]")  # fmt: skip
    return markdown(columns, (row(*item) for item in named.items()))


def asked_again(*asked: tuple[str, str]) -> str:
    """The image loss of victims, each through a shadow, where the attacker averages several answers to an image."""

    def rows(victim: str, shadow: str) -> Iterator[tuple[str, ...]]:
        found = results_.read_all(ROOT / "reports", victim)
        kept = [one for one in found if (one.shadow, one.attack, one.representation) == (shadow, "image_loss", "")]
        by_times = {
            times: {c.defense: c for c in cells(enriched(one for one in kept if one.repeats == times)) if shown(c)}
            for times in sorted({one.repeats for one in kept})
        }
        (once, *_, most), seeds = by_times.values(), {one.seed for one in kept if one.repeats > 1}
        for defense, cell in most.items():
            every = {times: mine[defense] for times, mine in by_times.items()}
            assert {*cell.seeds} == seeds, f"{victim}, {defense}: not asked again with every seed"
            told = (f"{times}: {one.of(seeds).auc}" for times, one in every.items())
            changes = change_of(cell, once[defense]), change_of(cell, once["none"])
            yield f"`{victim}`", defense.replace(":", " "), ", ".join(told), *changes, str(len(seeds))

    def shown(cell: Cell) -> bool:
        return cell.level == "image" and (cell.adaptive or cell.defense == "none")

    head = ("victim", "defense", "questions a scene: AUC [95%]", "most questions beside one [95%]",
            "beside no defense [95%]", "seeds")  # fmt: skip
    return markdown(head, (row for pair in asked for row in rows(*pair)))


SHADOWS = {
    "labelmefacade_small_19_a1": "A1, as long as the victim", "labelmefacade_small_19_a1_half": "A1, half as long",
    "camvid_small_a2": "A2",
}  # fmt: skip
LEARNED = (("patch_resnet50", "loss"), ("patch_resnet50", "concat"))


def shadows(victim: str) -> str:
    """The learned attack on an undefended victim through each shadow, and what that changes from the first shadow."""
    bare = [[c for c in image_cells(victim, shadow) if c.defense == "none"] for shadow in SHADOWS]
    found = [[c for kind in LEARNED for c in mine if (c.attack, c.representation) == kind] for mine in bare]
    seeds = set.intersection(*(set(cell.seeds) for mine in found for cell in mine))
    found = [[cell.of(seeds) for cell in mine] for mine in found]

    def told(cell: Cell, first: Cell) -> tuple[str, ...]:
        change = "" if cell is first else change_of(cell, first)
        return str(cell.auc), f"{cell.mean('balanced_accuracy'):.2f}", change

    told_of = ("AUC [95%]", "balanced accuracy", "change of AUC [95%]")
    head = ["shadow", *(f"{kind}: {what}" for kind in ("loss map", "posteriors and labels") for what in told_of)]
    rows = [[text for pair in zip(mine, found[0], strict=True) for text in told(*pair)] for mine in found]
    return markdown(
        (*head, "seeds"),
        ((name, *row, str(len(seeds))) for name, row in zip(SHADOWS.values(), rows, strict=True)),
    )


def through_fleet(victim: str) -> dict[str, Cell]:
    """What each attack reaches on an undefended victim through the fleet that trains as it does."""
    cells_ = [c for c in image_cells(victim, f"{victim}_fleet") if c.defense == "none" and not c.control]
    return {":".join(filter(None, (cell.attack, cell.representation))): cell for cell in cells_}


def fleet(victim: str, *others: str) -> str:
    """Attacks through many shadows, and what each has above the image loss and others on the same images."""
    found = through_fleet(victim)

    def row(name: str) -> tuple[str, ...]:
        cell = found[name]
        rate = tpr_over_runs([run["tpr_at_fpr"]["0.01"] for run in cell.runs])
        rates = f"{cell.mean('balanced_accuracy'):.2f}", str(rate or NOT_RESOLVABLE)
        return f"`{name}`", str(cell.auc), *(above(name, other) for other in beside), *rates, str(len(cell.seeds))

    def above(name: str, other: str) -> str:
        assert {*found[name].seeds} <= {*found[other].seeds}, f"{other} lacks a seed of {name}"
        return "" if name == other else change_of(found[name], found[other])

    beside = ("image_loss", *others)
    called_ = ("the image loss", *(f"`{other}`" for other in others))
    head = ("attack", "AUC [95%]", *(f"above {name} [95%]" for name in called_), "balanced accuracy",
            "TPR at 1% FPR [95%]", "seeds")  # fmt: skip
    return markdown(head, map(row, sorted(found, key=lambda name: found[name].auc.value)))


def own(learned: str, *victims: str) -> str:
    """Victims of their own, each through a fleet that trains as it does: the AUC of every attack.

    learned: an attack that only such victims can be asked for; its difference from BASE is told too.
    """
    found = {victim: {k.partition(",")[0]: cell for k, cell in through_fleet(victim).items()} for victim in victims}
    attacks = sorted(set.intersection(*(set(by_name) for by_name in found.values())))
    head = ("training", "mIoU, others", *(f"`{name}`" for name in attacks), f"`{learned}` above `base` [95%]")

    def row(victim: str) -> tuple[str, ...]:
        by_name = found[victim]
        told = (str(by_name[name].auc) for name in attacks)
        miou = f"{by_name['base'].mean('miou_nonmembers'):.3f}"
        return f"`{victim}`", miou, *told, change_of(by_name[learned], by_name["base"])

    return markdown(head, map(row, victims))


ALONE = ("image_loss", "predictability_error")
ADVERSARIES = {"screen": "none", "A1": "one, of the victim's recipe (A1)", "A2": "one, of other data and network (A2)"}


def benchmark(victim: str, trained: str, *shadows: str) -> str:
    """The attacks on the model whose answers are released, the best first. trained: its digest."""
    found = [
        result for result in results_.read_all(ROOT / "reports", victim)
        if result.digests.victim == trained and result.defense == "none" and result.representation != CONTROL
        and result.shadow in shadows
    ]  # fmt: skip
    # These rank alike beside every shadow, which sets their thresholds alone.
    rows = {(one.attack, one.representation, "" if one.attack in ALONE else one.adversary): one for one in found}
    best = sorted(rows.values(), key=lambda result: -result.levels["image"].auc)
    return markdown(("attack", "shadow", "AUC [95%]", "TPR at 10% FPR [95%]", "TPR at 1% FPR [95%]"), map(_entry, best))


def _entry(result: Result) -> tuple[str, ...]:
    level = result.levels["image"]
    shadow = ADVERSARIES["screen" if result.attack in ALONE else result.adversary]
    name = ":".join(part for part in (result.attack, result.representation) if part)
    rates = (_rate(level.tpr_at_fpr[target]) for target in ("0.1", "0.01"))
    return (f"`{name}`", shadow, f"{level.auc:.3f} [{level.auc_low:.3f}, {level.auc_high:.3f}]", *rates)


def _rate(rate: Any) -> str:
    return rate if isinstance(rate, str) else f"{rate.tpr:.2f} [{rate.low:.2f}, {rate.high:.2f}]"


def trainings(folder: str, seed: int) -> str:
    """Trainings by a fleet of their own: what they leak, and how far that is from plain training at their gap."""
    (file,) = (ROOT / "reports" / folder).glob(f"arms.*.s{seed}.fleet.json")
    facts = json.loads(file.read_text(encoding="utf-8"))
    attacks = list(facts["plain"][0]["auc"])
    head = ["training", "mIoU, members", "others", "gap"]
    head += [text for attack in attacks for text in (f"AUC of `{attack}`", "above plain [95%]")]
    return markdown(head, (_training_row(one, attacks) for one in (*facts["plain"], *facts["others"])))


def protective(folder: str, seed: int, title: str) -> str:
    """Trainings that protect, beside plain training that segments as well: whole answers, then labels alone.

    title: of a training, by which the comparison is found among those of that seed that ask for one view.
    """
    return _filled_columns(_most_useful_first(_protective_rows(folder, seed, title)))


def joined(folder: str, seed: int, *titles: str) -> str:
    """The same of several comparisons, with the plain trainings of the first.

    Minutes are left out: other work shared the machine, more of it beside one comparison than beside another.
    """
    rows: dict[str, dict[str, str]] = {}
    for title in titles:
        for row in _protective_rows(folder, seed, title):
            rows.setdefault(row["training"], row | {"minutes": ""})
    return _filled_columns(_most_useful_first(rows.values()))


def by_attack(folder: str, seed: int, title: str) -> str:
    """The AUC of each attack, on whole answers / on labels alone, on the trainings of which one is `title`."""
    facts, labels = _with_labels(folder, seed, title)
    rows = (
        {"training": f"`{one['title']}`", "mIoU, others": f"{one['miou']['others']:.3f}"}
        | {f"`{of}`": f"{auc:.3f} / {labels[one['title']]['auc'][of]:.3f}" for of, auc in one["auc"].items()}
        for one in (*facts["plain"], *facts["others"])
    )
    return _filled_columns(_most_useful_first(rows))


def _with_labels(folder: str, seed: int, title: str) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """A comparison on whole answers, and the same trainings by title on labels alone; {} if that was not made."""
    found, hidden = (
        [one for one in _comparisons(folder, seed, title, defense=defense) if VIEWS not in one["plain"][0]["auc"]]
        for defense in ("none", "argmax")
    )
    (facts,) = found
    return facts, {one["title"]: one for each in hidden for one in (*each["plain"], *each["others"])}


def _protective_rows(folder: str, seed: int, title: str) -> list[dict[str, str]]:
    facts, by_title = _with_labels(folder, seed, title)
    return [
        {
            "training": f"`{one['title']}`",
            "mIoU, others": f"{one['miou']['others']:.3f}",
            "AUC, strongest": _leak(one["strongest"]),
            "above plain at that mIoU": _worth(one),
            "behind `argmax`": _leak(by_title[one["title"]]["strongest"]) if by_title else "",
            "above plain behind it": _worth(by_title[one["title"]]) if by_title else "",
            "canaries, `base`": _leak(one["canaries"]["base"]["auc"]),
            "epsilon": _epsilon(one),
            "minutes": f"{one['minutes']:.1f}",
        }
        for one in (*facts["plain"], *facts["others"])
    ]


def _most_useful_first(rows: Iterable[dict[str, str]]) -> list[dict[str, str]]:
    return sorted(rows, key=lambda row: row["mIoU, others"], reverse=True)


def views(folder: str, seed: int, title: str) -> str:
    """What asking for augmented views gains on trainings, one of which is `title`."""
    (facts,) = (one for one in _comparisons(folder, seed, title) if VIEWS in one["plain"][0]["auc"])
    rows = (
        {
            "training": f"`{one['title']}`",
            "mIoU, others": f"{one['miou']['others']:.3f}",
            "AUC of `base`": f"{one['auc']['base']:.3f}",
            "with augmented views": f"{one['auc'][VIEWS]:.3f}",
            "AUC, strongest": _leak(one["strongest"]),
            "above plain at that mIoU": _worth(one),
        }
        for one in (*facts["plain"], *facts["others"])
    )
    return _filled_columns(_most_useful_first(rows))


def _filled_columns(rows: list[dict[str, str]]) -> str:
    """A table without columns of which nothing is known."""
    head = [column for column in rows[0] if any(row[column] for row in rows)]
    return markdown(head, ([row[column] for column in head] for row in rows))


def _epsilon(one: dict[str, Any]) -> str:
    """What is proven of a training by DP-SGD; empty for others."""
    found = (one.get("privacy") or {}).get("epsilon")
    return "" if found is None else f"{found:,.0f}" if found > 100 else f"{found:.3g}"


def behind(folder: str, seed: int, training: str) -> str:
    """One training behind every defense, beside plain training without one that segments as well."""
    found = (one["frontier"] for one in _comparisons(folder, seed, training) if "frontier" in one)
    points = max(([one for one in every if one["title"] == training] for every in found), key=len)
    rows = (
        (f"`{one['defense']}`", f"{one['miou']['others']:.3f}", _leak(one["strongest"]), _worth(one)) for one in points
    )
    return markdown(("defense", "mIoU, others", "AUC, strongest", "above plain at that mIoU"), rows)


def _comparisons(folder: str, seed: int, title: str, *, defense: str = "none") -> list[dict[str, Any]]:
    """The comparisons of trainings at a seed behind a defense in which a training takes part."""
    found = map(arms.read, (ROOT / "reports" / folder).glob(f"arms.*.s{seed}.fleet.json"))
    sides = ((facts, (*facts["plain"], *facts["others"])) for facts in found)
    return [facts for facts, every in sides if (title, defense) in {(one["title"], one["defense"]) for one in every}]


def _worth(one: dict[str, Any]) -> str:
    """By how much a training leaks more than plain training with its mIoU; empty where none has it."""
    found = one.get("worth")
    if found is None:
        return ""
    ends = "" if found["low"] is None else f" [{found['low']:+.3f}, {found['high']:+.3f}]"
    return f"{found['value']:+.3f}{ends}".replace("-", "−")


def _leak(auc: dict[str, Any]) -> str:
    return f"{auc['value']:.3f}" + ("" if auc["low"] is None else f" [{auc['low']:.3f}, {auc['high']:.3f}]")


def kinds(folder: str, fleet: str, attack: str) -> str:
    """The kinds of scenes that a training tells apart, in its fleet's own audit."""
    (file,) = (ROOT / "reports" / folder).glob(f"*/{fleet}.{attack}.s0.fleet.json")
    parts = json.loads(file.read_text(encoding="utf-8"))["parts"]
    rows = [
        (part["part"], str(part["groups"]), f"{part['value']:.2f}", f"{part['low']:.2f} to {part['high']:.2f}")
        for part in parts if part["part"] == "all" or "if a member" in part["part"]
    ]  # fmt: skip
    return markdown(("photographs", "how many", f"mean AUC of `{attack}`", "after shuffles"), rows)


def groups(victim: str, fleet: str, attack: str) -> str:
    """What a fleet's own audits say of all groups, of those that show a rare class or none, and of each class."""
    found = _in_turn(victim, fleet)[attack]
    by_part = [{part["part"]: part for part in facts["parts"]} for facts in found]
    assert len({tuple(mine) for mine in by_part}) == 1, f"{fleet}: seeds have other parts"

    def row(part: str) -> tuple[str, ...]:
        every = [mine[part] for mine in by_part]
        (count,) = {one["groups"] for one in every}
        ends = [[exp(end) for end in one["log_ratio_null"]] for one in every]
        return (
            part,
            str(count),
            f"{fmean(one['value'] for one in every):.2f}",
            f"{min(one['low'] for one in every):.2f} to {max(one['high'] for one in every):.2f}",
            *(", ".join(str(one[name]) for one in every) for name in ("above", "exposed")),
            ", ".join(f"{exp(one['log_ratio']):.0f}" for one in every),
            f"{min(low for low, _ in ends):.2f} to {max(high for _, high in ends):.2f}",
        )

    head = ("which show", "how many", f"mean AUC of `{attack}`", "after shuffles", "above their band", "exposed",
            "odds times", "odds after shuffles")  # fmt: skip
    return markdown(head, map(row, by_part[0]))


def minority(victim: str, fleet: str) -> str:
    """By how much better groups with an under-represented class are told than the others, by each attack."""

    def row(attack: str, found: list[dict[str, Any]]) -> tuple[str, ...]:
        # Seeds divide the same photographs, whose errors are then the same.
        alike = [[1.0] * len(found)] * len(found)
        above = over_seeds([facts["under_represented"] for facts in found], related=alike)
        return f"`{attack}`", signed(Estimate(**above)), str(len(found))

    head = ("attack", "mean AUC with the class minus that without [95%]", "seeds")
    return markdown(head, (row(*item) for item in sorted(_in_turn(victim, fleet).items())))


def _in_turn(victim: str, fleet: str) -> dict[str, list[dict[str, Any]]]:
    """A fleet's own audits, by attack and in the order of seeds."""
    by_attack: dict[str, list[dict[str, Any]]] = {}
    files = (ROOT / "reports" / "evidence" / victim).glob(f"{fleet}.*.fleet.json")
    for facts in sorted(map(_read, files), key=lambda facts: facts["seed"]):
        by_attack.setdefault(facts["attack"], []).append(facts)
    return by_attack


def in_turn(victim: str, fleet: str) -> str:
    """What attacks on a fleet find with each model the victim in turn, and how many scenes they name; over seeds."""
    by_attack = _in_turn(victim, fleet)

    def strength(attack: str) -> float:
        return fmean(facts["pooled"]["auc"]["value"] for facts in by_attack[attack])

    def row(attack: str) -> tuple[str, ...]:
        found = by_attack[attack]
        every = [facts["parts"][0] for facts in found]
        odds = [part["log_ratio_null"] for part in every if "log_ratio_null" in part]
        (scenes,) = {facts["groups"] for facts in found}
        # Seeds have other halves of the same photographs, so that a mean over seeds is no surer of these.
        auc = widest([Estimate(**facts["pooled"]["auc"]) for facts in found])
        rate = widest([Estimate(**facts["pooled"]["tpr_at_fpr"]["0.01"]) for facts in found])
        return (
            f"`{attack}`",
            _leak(auc._asdict()),
            str(rate),
            f"{fmean(part['value'] for part in every):.3f}",
            f"{min(part['low'] for part in every):.3f} to {max(part['high'] for part in every):.3f}",
            f"{', '.join(str(part['above']) for part in every)} of {scenes}",
            ", ".join(str(part["exposed"]) for part in every),
            ", ".join(f"{exp(part['log_ratio']):.0f}" if "log_ratio" in part else "–" for part in every),
            " to ".join(f"{exp(end):.2f}" for end in (min(odds)[0], max(high for _, high in odds))),
            str(len(found)),
        )

    head = ("attack", "AUC of all scores [95%]", "TPR at 1% FPR [95%]", "mean AUC of a photograph", "after shuffles",
            "above their band", "exposed", "odds times", "odds after shuffles", "seeds")  # fmt: skip
    return markdown(head, map(row, sorted(by_attack, key=strength)))


KINDS = {
    "protect_10_epochs": "`swapped`: labels of another canary", "canaries_mirrored": "`mirrored`: labels mirrored",
    "canaries_permuted": "`permuted`: classes permuted", "canaries_pasted": "`pasted`: a rare object, rightly labelled",
    "canaries_duplicated": "`duplicated`: trained on twice, rightly labelled",
}  # fmt: skip


def canaries(attack: str) -> str:
    """How well an attack tells canaries of each kind, and the natural scenes beside them; over seeds."""

    def row(victim: str, name: str) -> tuple[str, ...]:
        found = [
            _read(file) for file in (ROOT / "reports" / "evidence" / victim).glob(f"*_fleet.{attack}.*.fleet.json")
        ]
        aucs = [[Estimate(**side["auc"]) for side in (facts["canaries"], facts["pooled"])] for facts in found]
        worst, natural = zip(*aucs, strict=True)  # seeds draw other canaries, but share natural photographs
        count = sum(facts["canaries"]["scenes"] for facts in found)
        # Both are of the same models, so that an interval made of both errs on the wide side.
        differences = [unpaired(mine._asdict(), other._asdict()) for mine, other in aucs]
        # Of the errors of two seeds' differences that part is alike which the natural photographs make.
        shares = [
            (one.high - one.low) / (both["high"] - both["low"]) for one, both in zip(natural, differences, strict=True)
        ]
        related = np.outer(shares, shares)
        np.fill_diagonal(related, 1)
        above = over_seeds(differences, related=related)
        return (
            name,
            str(count),
            _leak(pooled(worst, None)._asdict()),
            _leak(widest(natural)._asdict()),
            signed(Estimate(**above)),
            str(len(found)),
        )

    head = (
        "canaries",
        "how many",
        f"their AUC, `{attack}` [95%]",
        "AUC of natural photographs [95%]",
        "difference [95%]",
        "seeds",
    )
    return markdown(head, (row(*item) for item in KINDS.items()))


def canary_victim(victim: str) -> str:
    """A victim with canaries, attacked through its fleet: AUC and the least epsilon of natural scenes and canaries."""
    found = [cell for cell in image_cells(victim, f"{victim}_fleet") if not cell.control]
    kept = [cell for cell in found if cell.adaptive or cell.defense == "none"]
    table = canary_table(kept)
    assert table is not None, f"reports/ holds no canaries of {victim}"
    (bounds,) = privacy(kept)
    head = ("attack", "defense", "AUC, natural [95%]", "epsilon at least", "mu at least", "AUC, canaries [95%]",
            "epsilon at least, canaries", "seeds")  # fmt: skip
    rows = (
        (f"`{':'.join(filter(None, (cell.attack, cell.representation)))}`", cell.defense, str(cell.auc), *bound[3:5],
         row[3], row[4], str(len(cell.seeds)))
        for cell, row, bound in zip(kept, table.rows, bounds.rows, strict=True)
    )  # fmt: skip
    return markdown(head, rows)


def above_blind(victim: str, *attacks: str) -> str:
    """What attacks reach on each seed's split, and by how much more than an attacker who never sees the model."""
    found = [one for one in results_.read_all(ROOT / "reports", victim) if one.defense == "none"]

    def row(seed: int) -> tuple[str, ...]:
        mine = {one.attack: one for one in found if one.seed == seed and one.representation != CONTROL}
        controls = mine[attacks[0]].controls
        assert controls is not None
        blind = controls.blind
        assert isinstance(blind, Blind), f"{victim}, seed {seed}: the blind control was not made"
        levels = [mine[name].levels["image"] for name in attacks]
        told = (str(Estimate(one.auc, one.auc_low, one.auc_high)) for one in levels)
        above = f"{max(one.auc for one in levels) - blind.auc:+.2f}".replace("-", "−")
        return str(seed), f"{blind.auc:.2f} (p {blind.p:.2g})", *told, above

    head = ("seed", "blind AUC", *(f"AUC of `{name}` [95%]" for name in attacks), "the larger above blind")
    return markdown(head, map(row, sorted({one.seed for one in found})))


def _training_row(one: dict[str, Any], attacks: Sequence[str]) -> tuple[str, ...]:
    cells = [f"`{one['title']}`", *(f"{one['miou'][side]:.3f}" for side in ("members", "others", "gap"))]
    for attack in attacks:
        above = one.get("above", {}).get(attack)
        told = f"{above['value']:+.3f} [{above['low']:+.3f}, {above['high']:+.3f}]" if above else "plain"
        cells += [f"{one['auc'][attack]:.3f}", told]
    return tuple(cells)


WITH_SYNFEAT = ("none", "argmax", "gaussian:1.0", "synfeat:0.5", "synfeat:0.75", "synfeat:0.95", "synfeat:1.0")
TRIED = ("none", "argmax", "gaussian:1.0", "dropout:0.9", "synfeat:0.75")
LESS = "labelmefacade_small_19_10_epochs"
LESS_TRIED = ("none", "argmax", "gaussian:1.0", "synfeat:0.75")
TABLES: dict[str, Callable[[], str]] = {
    "first": first,
    "synfeat": partial(defenses, "labelmefacade_100", "labelmefacade_100_a1", *WITH_SYNFEAT),
    "synfeat_attacks": partial(attacks, "labelmefacade_100", "labelmefacade_100_a1", *WITH_SYNFEAT),
    "cuts": partial(cuts, "synfeat:0.75", "image_loss", "predictability_error"),
    "synfeat_beside": partial(
        changes, "labelmefacade_100", "labelmefacade_100_a1", beside=1, attack="predictability error"
    ),
    "equal": partial(equal, "labelmefacade_100", "labelmefacade_100_a1", "synfeat"),
    "asked_again": partial(
        asked_again, ("labelmefacade_100", "labelmefacade_100_a1"), ("labelmefacade_small", "labelmefacade_small_fleet")
    ),
    "tuned": partial(
        tuned, "victim", TUNED, "labelmefacade_100_a1", control="labelmefacade_100_tuned", base="labelmefacade_100"
    ),
    "shares": partial(tuned, "drawn features a batch", SHARES, "screen", control="labelmefacade_small_19_share_0"),
    "masks": partial(tuned, "features drawn for", MASKS, "screen", control="labelmefacade_small_19_share_0"),
    "a1_defenses": partial(defenses, "labelmefacade_small_19", "labelmefacade_small_19_a1", *TRIED),
    "a1_attacks": partial(attacks, "labelmefacade_small_19", "labelmefacade_small_19_a1", *TRIED),
    "a1_changes": partial(changes, "labelmefacade_small_19", "labelmefacade_small_19_a1"),
    "a1_beside": partial(changes, "labelmefacade_small_19", "labelmefacade_small_19_a1", beside=1),
    "less_beside": partial(changes, LESS, f"{LESS}_a1", beside=1),
    "a2_beside": partial(changes, "labelmefacade_small_19", "camvid_small_a2", beside=1),
    "a2_changes": partial(changes, "labelmefacade_small_19", "camvid_small_a2"),
    "less": partial(defenses, LESS, f"{LESS}_a1", *LESS_TRIED),
    "less_attacks": partial(attacks, LESS, f"{LESS}_a1", *LESS_TRIED),
    "less_changes": partial(changes, LESS, f"{LESS}_a1"),
    "fewer_epochs": partial(victims, LESS, "labelmefacade_small_19", "argmax"),
    "layouts": partial(defenses, LESS, f"{LESS}_a1", "none", "argmax", "morphology:1", "synfeat:0.75,answer=labels"),
    "a2_defenses": partial(defenses, "labelmefacade_small_19", "camvid_small_a2", *TRIED),
    "a2_attacks": partial(attacks, "labelmefacade_small_19", "camvid_small_a2", *TRIED),
    "shadows": partial(shadows, "labelmefacade_small_19"),
    "benchmark": partial(
        benchmark, "labelmefacade_small_19", "415ca71bdb9a", "screen", "labelmefacade_small_19_a1", "camvid_small_a2"
    ),
    "fleet": partial(fleet, "labelmefacade_small"),
    "fleet_changes": partial(changes, "labelmefacade_small", "labelmefacade_small_fleet"),
    "in_turn": partial(in_turn, "labelmefacade_small", "labelmefacade_small_fleet"),
    "rare": partial(groups, "labelmefacade_few_cars", "labelmefacade_few_cars_fleet", "base"),
    "minority": partial(minority, "labelmefacade_few_cars", "labelmefacade_few_cars_fleet"),
    "blocks": partial(groups, "camvid_blocks", "camvid_blocks_fleet", "base"),
    "canaries": partial(canaries, "base"),
    "above_blind": partial(above_blind, "labelmefacade_moderate", "image_loss", "predictability_error"),
    "canary_victim": partial(canary_victim, "protect_10_epochs"),
    "six_shadows": partial(fleet, "labelmefacade_small_10_epochs", "lira:statistic=vector", "base"),
    "six_defenses": partial(
        defenses,
        "labelmefacade_small_10_epochs",
        "labelmefacade_small_10_epochs_fleet",
        "none",
        "argmax",
        "dropout:0.9",
        "gaussian:1.0",
    ),
    "six_changes": partial(changes, "labelmefacade_small_10_epochs", "labelmefacade_small_10_epochs_fleet"),
    "trainings": partial(trainings, "trainings", 0),
    "more_trainings": partial(trainings, "trainings", 1),
    "views": partial(views, "protective", 1, "protect_scale"),
    "eight": partial(protective, "moderate", 2, "protect_selena_8_epochs"),
    "eight_attacks": partial(by_attack, "moderate", 2, "protect_selena_8_epochs"),
    "eight_behind": partial(behind, "moderate", 2, "protect_8_epochs"),
    "moderate": partial(protective, "moderate", 1, "protect_selena_8_epochs"),
    "moderate_views": partial(views, "moderate", 1, "protect_selena_8_epochs"),
    "moderate_behind": partial(behind, "moderate", 1, "protect_8_epochs"),
    "twins": partial(protective, "protective", 1, "protect_selena_twins"),
    "head": partial(protective, "protective", 1, "protect_head_dp_8"),
    "screen": partial(joined, "protective", 0, "protect_selena", "protect_smoothing"),
    "six": partial(joined, "protective", 1, "protect_selena", "protect_scale"),
    "sixteen": partial(protective, "protective", 2, "protect_selena"),
    "sixteen_attacks": partial(by_attack, "protective", 2, "protect_selena"),
    "sixteen_behind": partial(behind, "protective", 2, "protect_none"),
    "mixup": partial(protective, "protective", 2, "protect_mixup"),
    "own": partial(
        own,
        "patch_fleet:loss",
        *(f"protect_{name}" for name in ("none", "15_epochs", "scale", "distillation", "dp_5e-2", "selena")),
    ),
    "behind": partial(behind, "protective", 1, "protect_none"),
    "coverage": coverage,
    "entropies": partial(
        picked,
        "features.md",
        "How even features are, and how far those of two classes overlap",
        ("layer", "channels", "entropy", "overlap"),
    ),
    "gate": partial(
        picked,
        "gate.md",
        "Verdicts of the gate",
        ("scenes a side", "attacks", "AUC 0.5", "AUC 0.7"),
        ("150", "1"),
        ("150", "8"),
        ("500", "8"),
    ),
    "dual": partial(kinds, "trainings", "labelmefacade_small_dual_fleet", "base"),
}


@cache
def made(name: str) -> str:
    """A table of the pages."""
    return TABLES[name]()


@cache
def section(page: str, title: str) -> str:
    """The text below a heading of a page of benchmarks."""
    text = (ROOT / "benchmarks" / page).read_text("utf-8")
    _, found, after = text.partition(f"# {title}\n")
    assert found, f"benchmarks/{page} has no heading '{title}'"
    return after.partition("\n#")[0]


def cited(name: str, *keys: str) -> str:
    """The first number of a cell of a table, with its sign. keys: cells of its row, then how its column begins."""
    text, keys = (section(name, keys[0]), keys[1:]) if name.endswith(".md") else (made(name), keys)
    extreme, keys = (EXTREMES[keys[0]], keys[1:]) if keys[0] in EXTREMES else (None, keys)
    found = list(_cells(text, {*keys[:-1]}, keys[-1]))
    assert extreme or len(found) == 1, f"{name} has {len(found)} cells of {keys}"
    numbers = [number[0] for cell in found if (number := NUMBER.search(cell.replace("−", "-")))]
    assert numbers, f"the cells {keys} of {name} hold no number"
    return (extreme(numbers, key=Decimal) if extreme else numbers[0]).replace("-", "−")


def _cells(text: str, keys: set[str], begins: str) -> Iterator[str]:
    """Each cell whose row has the keys and whose column begins so."""
    for head, rows in _tables(text):
        columns = [place for place, title in enumerate(head) if title.replace("`", "").startswith(begins)]
        yield from (row[column] for row in rows if keys <= {*row} for column in columns)


def _tables(text: str) -> Iterator[tuple[list[str], list[list[str]]]]:
    """The head and the rows of each table."""
    for table in (block for block in text.strip().split("\n\n") if block.startswith("|")):
        head, _, *rows = ([cell.strip("` ") for cell in line.strip("|").split("|")] for line in table.splitlines())
        yield head, rows


def _cited(found: re.Match[str]) -> str:
    """A number with its mark, as the table has it."""
    typed, mark, name, keys = found.groups()
    exact = cited(name.lstrip("−+"), *" ".join(keys.split()).split(" | "))
    assert exact[0].isdigit() or exact[0] == name[0], f"{mark}: the table has {exact}"
    value, digits = Decimal(exact.lstrip("−+")), Decimal(1).scaleb(-len(typed.partition(".")[2]))
    up, down = (value.quantize(digits, rounding) for rounding in (ROUND_HALF_UP, ROUND_HALF_DOWN))
    assert up == down, f"{mark}: {exact} was rounded already, so give one digit more"
    return f"{up}{mark}"


def filled(text: str) -> str:
    """A page with its tables, and the numbers that it takes from them, as the results have them."""
    return CITED.sub(_cited, PLACE.sub(lambda found: f"{found[1]}\n{made(found[2])}\n{found[3]}", text))


def main(check: bool) -> int:
    """Write the pages, or count those that would change."""
    stale = [page for page in (*PAGES, *OTHERS) if filled(page.read_text("utf-8")) != page.read_text("utf-8")]
    for page in stale:
        print(f"{page.relative_to(ROOT)}: {'differs from reports/ or benchmarks/' if check else 'written'}")
        if not check:
            page.write_text(filled(page.read_text("utf-8")), "utf-8")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
