"""Where the time of a run went: what each kind of stage took, what was made and what was there."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mia_seg.cli import _screen as screen

if TYPE_CHECKING:
    from mia_seg.stages import Stage

KINDS = 4  # that took longest are named


class Spent:
    """Told of each stage, it tells of all of them."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.made: set[str] = set()
        self.reused: set[str] = set()

    def say(self, did: str, stage: "Stage[Any]") -> None:
        """A line for what became of a stage, which counts from now on."""
        screen.say(did, stage)
        if did in ("made", "reused"):
            (self.made if did == "made" else self.reused).add(stage.digest)

    def told(self, journal: Sequence[dict[str, Any]]) -> str:
        """'4.2 min; victims 2.5 min, shadows 1.2 min, answers 20 s; 9 stages made, 4 reused'."""
        seconds: dict[str, float] = {}
        for row in {row["digest"]: row for row in journal if row["digest"] in self.made}.values():
            seconds[row["kind"]] = seconds.get(row["kind"], 0.0) + row["seconds"]
        longest = sorted(seconds, key=lambda kind: -seconds[kind])
        named = {kind: seconds[kind] for kind in longest[:KINDS]}
        if len(longest) > KINDS:
            named["others"] = sum(seconds[kind] for kind in longest[KINDS:])
        stages = ", ".join(f"{kind} {span(took)}" for kind, took in named.items())
        counts = f"{len(self.made)} stages made, {len(self.reused)} reused"
        return "; ".join(filter(None, [span(time.monotonic() - self.started), stages, counts]))


def span(seconds: float) -> str:
    """'40 s', '3.2 min', '5.0 h'."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"
