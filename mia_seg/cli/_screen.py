"""What the command line shows: lines of what happens, tables of plans and results."""

import io
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mia_seg.errors import MiaSegError
from mia_seg.texts import printable, read_text

if TYPE_CHECKING:
    from rich.console import Console

    from mia_seg.data import Finding
    from mia_seg.evaluate.results import Result
    from mia_seg.stages import Stage
    from mia_seg.stages.generators import TrainedGenerator
    from mia_seg.stages.plan import Plan, Step
    from mia_seg.stages.queries import Queries

# The verb for what was made of each kind, and the noun before its name.
DID = {
    "victims": ("trained", "victim"), "shadows": ("trained", "shadow"), "generators": ("trained", "generator"),
    "answers": ("asked", ""), "attackers": ("fitted", "attack"), "results": ("measured", "result"),
}  # fmt: skip
# What of a row fits on paper.
PRINTED = (
    "victim", "shadow", "defense", "attack", "representation", "adaptive", "level", "seed", "auc", "auc_low",
    "auc_high", "miou_nonmembers",
)  # fmt: skip
# Of what is there already these are told; the rest only served to make them.
TOLD = ("victims", "shadows", "generators", "results")


@dataclass
class Manner:
    """How much is said. brief: no files that were written and no next steps. verbose: every stage."""

    brief: bool = False
    verbose: bool = False


MANNER = Manner()


def tell(quiet: bool, verbose: bool, *, as_json: bool) -> None:
    """How much the command says that runs now; JSON stands alone on stdout."""
    from mia_seg import progress

    progress.show(not quiet)
    MANNER.brief, MANNER.verbose = quiet or as_json, verbose


@cache
def out() -> "Console":
    """Where results go. A log has no width of its own, and a table folded to 80 columns cannot be read back."""
    from rich.console import Console

    return Console(highlight=False, emoji=False, soft_wrap=True, width=None if sys.stdout.isatty() else 160)


def escaping() -> None:
    """Let characters that the terminal's encoding lacks be shown as escapes, where Python would stop."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def say(did: str, stage: "Stage[Any]") -> None:
    """A line for what became of a stage."""
    from rich.markup import escape

    from mia_seg.progress import console

    if did == "reused" and stage.kind not in TOLD and not MANNER.verbose:
        return
    verb, noun = DID.get(stage.kind, ("made", stage.kind))
    verb = verb if did == "made" else "waiting for another process with" if did == "waiting" else did
    what = " ".join(filter(None, [noun, escape(printable(stage.title))]))
    console.print(f"[dim]{verb:>8}[/] {what} ({stage.digest})", soft_wrap=True)


def fault(sentence: str) -> None:
    """A user's mistake."""
    from rich.console import Console

    shown = "\n".join(map(printable, sentence.split("\n")))
    # A sentence may name '[train] batch': that is no markup.
    Console(stderr=True, highlight=False, emoji=False, soft_wrap=True).print(
        "mia-seg:", shown, style="red", markup=False
    )


def plan(planned: "Plan", warning: str, *, asked: "Sequence[Queries]", as_json: bool = False) -> None:
    """Every stage with its state and cost, what models behind doors are asked, and a warning of a run of months."""
    from mia_seg.stages.keep import anew

    steps = planned.steps()
    if as_json:
        print(json.dumps([_row(step) for step in steps], indent=1))
        return
    table(("state", "kind", "stage", "digest", "minutes", "size"), [_cells(step) for step in steps])
    missing = [step for step in steps if step.state == "missing"]
    known = [step for step in missing if step.seconds is not None]
    seconds, total = sum(step.seconds or 0 for step in known), sum(step.size or 0 for step in known)
    said = f"{len(steps)} stages, {len(missing)} missing"
    if known:
        said += f"; {len(known)} of them, or others like them, took {seconds / 60:.1f} minutes and {size(total)} before"
    out().print(f"{said}.", markup=False)
    if again := anew(planned):
        out().print(again, markup=False)
    for found in asked:
        out().print(f"Door '{found.door}' gets {found.count:,} queries at most: {found}.", markup=False)
    for head in dict.fromkeys(_expected(step) for step in missing if step.seconds is None):
        if head:
            out().print(printable(head), markup=False)
    if warning:
        out().print(warning, markup=False)


def left_out(reasons: "dict[str, str]") -> None:
    """Attacks that are usual and are not tried; to stderr, so that a plan in JSON stays one."""
    for reason in reasons.values():
        print(f"left out: {printable(reason)}", file=sys.stderr)


def results(found: "Sequence[Result]") -> None:
    """A line a result and level, after what a reader has to know of a victim's scenes."""
    from mia_seg.evaluate import results as results_

    columns = ("victim", "shadow", "defense", "attack", "adaptive", "level", "seed", "AUC [95%]", "mIoU unseen")
    if found:
        rows = list(results_.rows(found))
        for line in (*_confounded(rows), *_left_out(rows), *_told(found)):
            out().print(line, markup=False)
        table(columns, [_result(row) for row in rows])


def _confounded(rows: "Sequence[dict[str, Any]]") -> "Iterator[str]":
    """A line a victim whose split gives members away without any model."""
    from mia_seg.report.controls import blind_sentence, confounded

    for victim in dict.fromkeys(row["victim"] for row in rows if row["confounded"]):
        own = [row for row in rows if row["victim"] == victim]
        yield from [f"{victim}: {blind_sentence(own)}"] if confounded(own) else []


def _left_out(rows: "Sequence[dict[str, Any]]") -> "Iterator[str]":
    """A line a victim that lost scenes."""
    from mia_seg.report.controls import left_out

    for victim in dict.fromkeys(row["victim"] for row in rows):
        said, _ = left_out(row for row in rows if row["victim"] == victim)
        if said:
            yield f"{victim}: {said}"


def verdict(found: "Sequence[Result]") -> None:
    """What the strongest attack achieves and what to do next, in words."""
    from mia_seg.report.advice import told
    from mia_seg.report.audits import tried
    from mia_seg.report.budgets import once
    from mia_seg.report.cells import enriched

    rows = enriched(once(found))
    out().print(printable(f"{told(rows)} Tried: {'. '.join(tried(rows))}"), markup=False)


def _told(found: "Sequence[Result]") -> "Iterator[str]":
    """A line a victim with members that look like non-members, and one with canaries."""
    from mia_seg.report.canaries import canary_sentence
    from mia_seg.report.controls import near_twins

    for victim in dict.fromkeys(result.victim for result in found):
        own = [result for result in found if result.victim == victim]
        yield from (f"{victim}: {said}" for said in (near_twins(own), canary_sentence(own)) if said)


def as_json(found: "Sequence[Result]") -> None:
    """A list of flat rows."""
    from mia_seg.evaluate import results as results_

    print(json.dumps(list(results_.rows(found)), indent=1))


def as_csv(found: "Sequence[Result]") -> None:
    """A column for everything in a row; what is nested there is JSON."""
    from mia_seg.evaluate import results as results_

    table = results_.frame(found)
    for name in ("tpr_at_fpr", "ppv"):
        table[name] = table[name].map(json.dumps, na_action="ignore")
    print(table.to_csv(index=False), end="")


def as_latex(found: "Sequence[Result]") -> None:
    """A tabular that fits a page on its side."""
    from mia_seg.evaluate import results as results_

    table = results_.frame(found)[list(PRINTED)].map(lambda cell: printable(cell) if isinstance(cell, str) else cell)
    text = table.to_latex(index=False, escape=True, float_format="%.3f")
    print(re.sub(r"^\[", "{[}", text, flags=re.MULTILINE), end="")  # LaTeX takes a bracket after a row's end for a gap


FORMS: "dict[str, Callable[[Sequence[Result]], None]]" = {
    "text": results, "json": as_json, "csv": as_csv, "latex": as_latex,
}  # fmt: skip


def findings(found: "Iterable[Finding]") -> int:
    """A line a finding, as it is found; how many of them are faults."""
    from rich.markup import escape

    faults = 0
    for state, line in found:
        style = {"ok": "green", "absent": "dim", "problem": "red"}[state]
        text = escape(printable(line))
        shown = f"[dim]{text}[/]" if state == "absent" else text
        out().print(f"[{style}]{state:<7}[/]  {shown}")
        faults += state == "problem"
    return faults


def found_in(told: "list[dict[str, str]]", found: "Iterable[Finding]") -> int:
    """The same findings, kept for JSON; how many of them are faults."""
    told += ({"state": state, "said": line} for state, line in found)
    return sum(one["state"] == "problem" for one in told)


def says(checks: str) -> None:
    """What is looked at now."""
    if MANNER.brief:
        return
    out().print("[dim]checking[/]", end=" ")
    out().print(printable(checks), markup=False)


def pages(written: Sequence[Path]) -> list[Path]:
    """The pages among a report's files; the figures are counted, not listed."""
    found = [path for path in written if path.suffix not in (".png", ".svg")]
    if not MANNER.brief:
        out().print(f"[dim]    drew[/] {len(written) - len(found)} figures")
    return found


def following(written: Sequence[Path], then: str) -> None:
    """What was written, and what to do next."""
    wrote(written)
    if not MANNER.brief:
        out().print("[dim]    next[/]", end=" ")
        out().print(printable(then), markup=False)


def wrote(paths: Iterable[Path]) -> None:
    """A line a file."""
    for path in paths if not MANNER.brief else ():
        out().print("[dim]   wrote[/]", end=" ")
        out().print(printable(str(path)), markup=False)


def stronger(said: str) -> None:
    """What else could be tried, if anything."""
    if said and not MANNER.brief:
        out().print(printable(said), markup=False)


def doing(verb: str, what: str) -> None:
    """A line of progress, to stderr as all that differs from run to run."""
    from mia_seg.progress import console

    console.print(f"[dim]{verb:>8}[/] {what}", soft_wrap=True)


def table(columns: Sequence[str], lines: Iterable[Sequence[str]]) -> None:
    """Lines below their columns."""
    from rich.table import Table
    from rich.text import Text

    drawn = Table(*columns, box=None, pad_edge=False)
    for line in lines:
        drawn.add_row(*(Text(printable(cell)) for cell in line))
    out().print(drawn)


def size(count: float) -> str:
    """Bytes in the largest unit that leaves a whole number."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def age(seconds: float) -> str:
    """'5 minutes', '3 hours', '12 days'."""
    for unit, many in (("minutes", 60.0), ("hours", 60.0), ("days", 24.0)):
        seconds /= many
        if unit == "days" or seconds < (60 if unit == "minutes" else 48):
            return f"{seconds:.0f} {unit}"
    return ""


def _result(row: dict[str, Any]) -> list[str]:
    from mia_seg.report.cells import Estimate  # as the page prints it

    method = f"{row['attack']}:{row['representation']}" if row["representation"] else row["attack"]
    auc = str(Estimate(row["auc"], row["auc_low"], row["auc_high"]))
    adaptive = "yes" if row["adaptive"] else "no"
    miou = "–" if row["miou_nonmembers"] is None else f"{row['miou_nonmembers']:.3f}"
    place = (row["victim"], row["shadow"], row["defense"], method, adaptive, row["level"], str(row["seed"]))
    return [*place, auc, miou]


def _row(step: "Step") -> dict[str, Any]:
    stage = step.stage
    return {
        "state": step.state, "kind": stage.kind, "stage": stage.title, "digest": stage.digest,
        "seconds": step.seconds, "bytes": step.size, "exact": step.exact, "needs": [s.digest for s in stage.needs],
        "device": stage.device,
    }  # fmt: skip


def _cells(step: "Step") -> list[str]:
    like = "" if step.exact else "~"
    minutes = "" if step.seconds is None else f"{like}{step.seconds / 60:.1f}"
    weight = "" if step.size is None else f"{like}{size(step.size)}"
    return [step.state, step.stage.kind, step.stage.title, step.stage.digest, minutes, weight]


def _expected(step: "Step") -> str:
    """What the head of a recipe says of a training that no earlier run tells of."""
    from mia_seg.stages.generators import TrainedGenerator

    if isinstance(step.stage, TrainedGenerator):
        return _of_generator(step.stage)
    role, name = step.stage.kind.removesuffix("s"), getattr(step.stage, "recipe_name", "")
    expect = " ".join(_after(_head(role, name) or [], "Expect:"))
    return f"{role} {name}: {expect}" if expect else ""


def _of_generator(stage: "TrainedGenerator") -> str:
    """What the head of its model's recipe says of it; if nothing, what its time grows with."""
    role, name = stage.model.role.removesuffix("s"), stage.model.recipe_name
    head = _head(role, name)
    if head is None:
        return ""
    told = " ".join(_after(head, "Generator:")).partition(" ")[2].strip()
    unknown = f"{stage.length}; neither an earlier run nor its recipe tells the minutes."
    return f"generator of {role} {name}: {told or unknown}"


def _head(role: str, name: str) -> list[str] | None:
    """The comment at the top of a recipe; None for a later model of a fleet, whose recipe is the first one's."""
    from mia_seg import recipes

    if role not in ("victim", "shadow") or not name:
        return None
    try:
        text = read_text(recipes.find(role, name))  # type: ignore[arg-type]
    except MiaSegError:
        return None
    return [line.removeprefix("#").strip() for line in takewhile(lambda line: line.startswith("#"), text.split("\n"))]


def _after(head: Sequence[str], word: str) -> list[str]:
    """The lines of a head from the one that begins with `word` to the one before the next such word."""
    starts = [k for k, line in enumerate(head) if line.startswith(word)]
    if not starts:
        return []
    ends = [k for k in range(starts[0] + 1, len(head)) if head[k].partition(" ")[0].endswith(":")]
    return list(head[starts[0] : ends[0] if ends else len(head)])
