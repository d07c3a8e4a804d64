"""The blind control of every split behind docs/results.md: can images and labels alone tell members from others?

    python benchmarks/blind_splits.py --data-root FOLDER     # FOLDER holds labelmefacade/ and camvid/

Writes blind_splits.md. No model is trained or asked. Among many splits some look confounded by chance, so the last
column adjusts p for their number (Benjamini & Hochberg 1995).
"""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scipy.stats import false_discovery_control

from mia_seg.pipeline import Pipeline
from mia_seg.stages.blind import BlindControl
from mia_seg.stages.plan import Plan
from mia_seg.stages.run import run
from mia_seg.store import Store
from mia_seg.workspace import Workspace

# The number of seeds of each victim. Victims of the same scenes, such as those of other epochs, share their splits.
SEEDS = {
    "labelmefacade_100": 3, "labelmefacade_150": 3, "labelmefacade_19": 3, "labelmefacade_small": 3,
    "labelmefacade_small_19": 5, "camvid": 3, "camvid_19": 3, "streets_full": 3,
}  # fmt: skip
HEAD = """# Blind control of the splits behind the results

The attacker sees images and labels, but never the model. AUC is cross-validated over ten draws of folds. p is from 999
shuffles of the memberships. An audit calls a split confounded at p <= 0.01. The last column adjusts p for the number of
splits here (Benjamini & Hochberg 1995).

| victim | seed | AUC [middle 95% of shuffles] | p | adjusted p |
|---|---|---|---|---|
"""


def main() -> None:
    """Make the controls and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path, required=True)
    parser.add_argument("--store", type=Path, default=Path(tempfile.gettempdir()) / "mia-seg-blind")
    given = parser.parse_args()
    workspace = Workspace(Store(given.store), given.data_root, device="cpu")
    pipeline = Pipeline(workspace)
    splits = [(name, seed) for name, seeds in SEEDS.items() for seed in range(seeds)]
    controls = [BlindControl(pipeline.victim(name, seed)) for name, seed in splits]
    run(
        Plan(tuple(controls), workspace.store), workspace, lambda did, stage: print(did, stage.name, flush=True)
    ).check()
    found = [control.load(control.artefact(workspace.store).path) for control in controls]
    adjusted = iter(false_discovery_control([one["p"] for one in found if "p" in one]))
    rows = [
        f"| `{name}` | {seed} | {_cells(one, adjusted)} |\n" for (name, seed), one in zip(splits, found, strict=True)
    ]
    Path(__file__).with_suffix(".md").write_text(HEAD + "".join(rows), encoding="utf-8")


def _cells(one: dict[str, Any], adjusted: Iterator[float]) -> str:
    if "p" not in one:
        return f"not tested: {one['untested']} | |"
    return f"{one['auc']:.2f} [{one['low']:.2f}, {one['high']:.2f}] | {one['p']:.3f} | {next(adjusted):.2f}"


if __name__ == "__main__":
    main()
