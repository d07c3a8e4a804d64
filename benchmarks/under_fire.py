"""The store under kills, two processes at once, and flipped bytes: products must equal those of an undisturbed run.

Run: python benchmarks/under_fire.py [--kills 20] [--pairs 10] [--seed 0]        (twenty to forty minutes on two cores)
     python benchmarks/under_fire.py --engine jobs --kills 20 --pairs 0 --flips 0
     python benchmarks/under_fire.py --engine ray --aim node --kills 5 --pairs 0 --flips 0
In a kill run SIGKILL strikes two or three times at random moments, and then the run goes on to its end. A run in one
process is killed as a whole, with its group of processes. With another engine SIGKILL strikes the whole run, its driver
alone, or one process that the driver started: a worker, or with Ray a part of the node. Processes that survive may go
on. Products are all files of the store except logs of times: log.csv, journal.jsonl and their hashes.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

RECIPE = """\
# {name}: one epoch on made-up streets.
[data]
name = "streets"
size = [32, 48]
count = 30
[split]
rule = "random"
members = 6
nonmembers = 6
pool = 12
[segmenter]
name = "pspnet"
backbone = "resnet18"
[train]
epochs = 6
batch = 3
lr = 0.01
crop = [32, 48]
"""
SHADOW = """\
[adversary]
kind = "A1"
victim = "tiny"
choose = "confidence"
members = 6
stride = 4
[attacks.patch_resnet50]
patch = [8, 8]
patches = 2
epochs = 1
batch = 4
"""
REQUEST = [
    "run", "tiny", "tiny_a1", "--defense", "none", "--defense", "argmax", "--attack", "image_loss",
    "--attack", "predictability_error", "--attack", "patch_resnet50:loss", "--device", "cpu",
]  # fmt: skip
ENGINES = {"one": [], "jobs": ["--jobs", "2"], "ray": ["--on", "ray"]}
AIMS = ("whole", "driver", "worker", "node", "raylet", "gcs_server")
# Seconds in which processes must notice that their driver is gone. Agents of Ray itself take more than a minute.
ORPHANS = {"one": 60, "jobs": 60, "ray": 300}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--kills", type=int, default=20, help="runs that are killed two or three times each")
    options.add_argument("--pairs", type=int, default=10, help="times that two processes work on one request")
    options.add_argument("--flips", type=int, default=1, help="0: no byte is flipped")
    options.add_argument("--engine", choices=list(ENGINES), default="one", help="of the runs that are killed")
    options.add_argument("--aim", choices=AIMS, help="what each kill hits, if it is there; default: drawn each time")
    options.add_argument("--seed", type=int, default=0)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_recipes(folder)
        started = time.monotonic()
        expect(run(folder, "whole"), 0)
        seconds, whole = time.monotonic() - started, products(folder / "whole")
        print(f"undisturbed: {len(whole)} files in {seconds:.0f} s", flush=True)
        draw, hits = random.Random(given.seed), Counter[str]()
        for k in range(given.kills):
            mine = killed(folder, f"kill{k}", draw, engine=given.engine, aim=given.aim, seconds=seconds, whole=whole)
            hits += mine
            print(f"  run {k + 1}: killed {mine.total()} times", flush=True)
        said = ", ".join(f"{count} times {aim}" for aim, count in sorted(hits.items()))
        print(f"{given.kills} runs, killed {said}: products equal, nothing left over", flush=True)
        for k in range(given.pairs):
            together(folder, f"pair{k}", draw, whole=whole)
        print(f"{given.pairs} times two processes at once: products equal, nothing left over", flush=True)
        if given.flips:
            kinds = flipped(folder, draw, whole)
            print(f"{kinds} kinds of file with a byte flipped: each refused by its name", flush=True)


def write_recipes(folder: Path) -> None:
    for kind, name, text in (("victims", "tiny", ""), ("shadows", "tiny_a1", SHADOW)):
        (folder / kind).mkdir()
        (folder / kind / f"{name}.toml").write_text(RECIPE.format(name=name) + text)


def start(folder: Path, store: str, engine: str = "one") -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "mia_seg", *REQUEST, *ENGINES[engine]]
    command += ["--store", store, "--reports", f"reports_{store}"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[1])}
    return subprocess.Popen(
        command, cwd=folder, env=environment, text=True, start_new_session=True, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )  # fmt: skip


def run(folder: Path, store: str, engine: str = "one") -> tuple[int, str]:
    process = start(folder, store, engine)
    _, said = process.communicate()
    return process.returncode, said


def expect(ran: tuple[int, str], code: int) -> str:
    if ran[0] != code:
        raise SystemExit(f"exit code {ran[0]} in place of {code}: {ran[1]}")
    return ran[1]


def killed(
    folder: Path, store: str, draw: random.Random, *, engine: str, aim: str | None, seconds: float,
    whole: dict[str, str],
) -> Counter[str]:  # fmt: skip
    """Hit a run two or three times, then let it end; how often what was hit."""
    hits = Counter[str]()
    for _ in range(draw.choice((2, 3))):
        process = start(folder, store, engine)
        try:
            process.wait(draw.uniform(0, 0.9 * seconds))
        except subprocess.TimeoutExpired:
            hits[hit(process, draw, engine, aim=aim)] += 1
        process.communicate()
    expect(run(folder, store, engine), 0)
    check(folder / store, whole)
    return hits


def hit(process: subprocess.Popen[str], draw: random.Random, engine: str, *, aim: str | None) -> str:
    """Kill the whole, the driver alone, or one process that it started; which."""
    others = psutil.Process(process.pid).children(recursive=True)
    of_node = [one for one in others if any("/ray/" in word for word in one.cmdline()[:2])]
    targets = {"worker": [one for one in others if one not in of_node], "node": of_node}
    targets |= {part: [one for one in of_node if one.cmdline()[0].endswith(f"/{part}")] for part in AIMS[4:]}
    drawn = [kind for kind in ("worker", "node") if targets[kind]]
    there = ["whole", *(["driver", *drawn] if engine != "one" and others else [])]
    aim = aim if targets.get(aim or "", aim in there) else draw.choice(there)
    if aim in targets:
        one = draw.choice(targets[aim])
        named = next((word for word in one.cmdline()[:2] if "/ray/" in word), "worker").rpartition("/")[2]
        one.kill()
        return named
    os.kill(process.pid, signal.SIGKILL)
    if aim == "whole":
        for one in others:
            with suppress(psutil.NoSuchProcess):
                one.kill()
    _, left = psutil.wait_procs(others, ORPHANS[engine])
    if left:
        raise SystemExit(f"{aim} was killed, and {ORPHANS[engine]} s later there still is {left[0].cmdline()[:2]}")
    return aim


def together(folder: Path, store: str, draw: random.Random, *, whole: dict[str, str]) -> None:
    """Two processes on one request, the second up to two seconds later."""
    first = start(folder, store)
    time.sleep(draw.uniform(0, 2))
    second = start(folder, store)
    for process in (first, second):
        _, said = process.communicate()
        expect((process.returncode, said), 0)
    check(folder / store, whole)


def check(store: Path, whole: dict[str, str]) -> None:
    found = products(store)
    if found != whole:
        other = sorted(name for name in found.keys() | whole.keys() if found.get(name) != whole.get(name))
        raise SystemExit(f"{store.name}: {len(other)} files differ: {', '.join(other[:5])}")
    left = [path for path in store.rglob("*") if path.name.endswith(".part")]
    left += [path for path in (store / "work").rglob("*") if path.is_file()]
    if left:
        raise SystemExit(f"{store.name}: left over: {', '.join(map(str, left[:5]))}")
    shutil.rmtree(store)
    shutil.rmtree(store.with_name(f"reports_{store.name}"))


def products(store: Path) -> dict[str, str]:
    """The hash of every file that is a product; of `made.json` without the hash of the log."""
    return {str(path.relative_to(store)): hashed(path) for path in artefact_files(store) if path.name != "log.csv"}


def artefact_files(store: Path) -> Iterator[Path]:
    for made in sorted(store.glob("*/*/made.json")):
        yield from sorted(path for path in made.parent.rglob("*") if path.is_file())


def hashed(path: Path) -> str:
    content = path.read_bytes()
    if path.name == "made.json":
        made = json.loads(content)
        made["files"].pop("log.csv", None)
        content = json.dumps(made, sort_keys=True).encode()
    return hashlib.sha256(content).hexdigest()


def flipped(folder: Path, draw: random.Random, whole: dict[str, str]) -> int:
    """Flip one byte of one file of each kind, take away what was made from it, and ask again."""
    kinds = {(Path(name).parts[0], Path(name).name): name for name in whole if not name.endswith("made.json")}
    for k, name in enumerate(kinds.values()):
        store = folder / f"flip{k}"
        shutil.copytree(folder / "whole", store)
        target = store / name
        content = bytearray(target.read_bytes())
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        target.write_bytes(content)
        forget(store, target.parent.name.rpartition("-")[2])
        said = expect(run(folder, store.name), 2)
        if target.name not in said or "Traceback" in said:
            raise SystemExit(f"{name} was flipped, and what was said is: {said}")
        shutil.rmtree(store)
    return len(kinds)


def forget(store: Path, digest: str) -> None:
    """Remove all that was made from an artefact, and all that was made from that."""
    for made in list(store.glob("*/*/made.json")):
        if made.is_file() and f'"{digest}"' in json.dumps(json.loads(made.read_text())["inputs"]):
            shutil.rmtree(made.parent)
            forget(store, made.parent.name.rpartition("-")[2])


if __name__ == "__main__":
    main()
