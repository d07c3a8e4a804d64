"""A fleet of eight small shadows with --jobs 2, compared with one after the other: seconds, and whether bits are equal.

Run: OMP_NUM_THREADS=1 python benchmarks/jobs.py [--epochs 6] [--rounds 3]
Scenes are made-up streets. Both variants take turns, A B A B, each with a store of its own; the median ratio counts.
The time to load the libraries for the first process is given separately, because each command pays it once.

The bits are the same. On two cores with no other work but single tests: 34.6 s instead of 63.3 s, which is 1.84 times
as fast (1.64 to 2.04 over 2 rounds). Loading the libraries took 2 to 12 s more the first time.
"""

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

MODELS = 8
SCENES = '[data]\nname = "streets"\nsize = [48, 64]\ncount = 80\n'
SPLIT = '[split]\nrule = "random"\nmembers = 24\nnonmembers = 24\npool = 24\n'
MODEL = '[segmenter]\nname = "pspnet"\nbackbone = "resnet18"\n[train]\nbatch = 8\nlr = 0.02\ncrop = [48, 64]\n'
FLEET = f'[adversary]\nkind = "A1"\nvictim = "small"\nchoose = "halves"\nmodels = {MODELS}\nstride = 4\n'
HEAD = "# Run:    python benchmarks/jobs.py\n# Expect: seconds.\n# Source: our own.\n"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--epochs", type=int, default=6)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--jobs", type=int, default=2)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as place:
        os.chdir(place)
        for folder, name, text in (("victims", "small", ""), ("shadows", "fleet", FLEET)):
            Path(folder).mkdir()
            Path(folder, f"{name}.toml").write_text(HEAD + SCENES + SPLIT + MODEL + f"epochs = {given.epochs}\n" + text)
        loading, _ = made(given.jobs, 0)  # a fleet of its own seed, so that the first process is there
        beside, alone = [], []
        for _ in range(given.rounds):
            alone.append(made(1, 1))
            beside.append(made(given.jobs, 1))
        assert all(bits == alone[0][1] for _, bits in alone + beside), "the weights differ"
    one, several = (statistics.median(seconds for seconds, _ in runs) for runs in (alone, beside))
    ratios = sorted(a / b for (a, _), (b, _) in zip(alone, beside, strict=True))
    print(f"{MODELS} shadows one after the other {one:.1f} s, --jobs {given.jobs} {several:.1f} s, the same bits")
    print(f"ratio {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f} over {given.rounds} rounds)")
    print(f"the first time, with the libraries to load, {loading - several:.1f} s more")


def made(jobs: int, seed: int) -> tuple[float, list[bytes]]:
    """Seconds for a fleet in an empty store, and the weights of each shadow."""
    from mia_seg import engines
    from mia_seg.pipeline import Pipeline
    from mia_seg.stages.plan import Plan
    from mia_seg.stages.run import run
    from mia_seg.store import Store
    from mia_seg.workspace import Workspace

    workspace = Workspace(Store(Path(tempfile.mkdtemp(dir="."))), device="cpu")
    shadows = Pipeline(workspace).shadows("fleet", seed)
    plan = Plan(shadows, workspace.store)
    assert len(plan.missing) == MODELS
    started = time.monotonic()
    run(plan, workspace, engine=engines.chosen(workspace, jobs=jobs)).check()
    return time.monotonic() - started, [shadow.value(workspace.store).read_bytes() for shadow in shadows]


if __name__ == "__main__":
    main()
