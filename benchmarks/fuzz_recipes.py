"""Wrong recipes and options: each must be accepted, or refused with one sentence, within seconds.

Run: python benchmarks/fuzz_recipes.py [--count 1000] [--seed 0] [--seconds 20] [--train 0]
Keys of a tiny recipe and options get bad values, one or two at a time. `mia-seg plan`, `check`, `list` or
`train-victim --dry-run` then runs in a process of its own. Accepted recipes may also be trained: --train says how many.
The exit code is 1 after a traceback, and after a command that took longer than --seconds or was killed.

On two busy cores, 1,000 commands at seed 1 and 300 at seed 0: 957 were refused with a sentence and 343 were accepted.
None ended in a traceback, was killed or took 20 seconds.
"""

import argparse
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

VICTIM = """\
[data]
name = "streets"
size = [32, 48]
style = "city"
count = 30
seed = 0
[split]
rule = "random"
members = 6
nonmembers = 6
pool = 12
block = 1
gap = 0
of = "none.txt"
[segmenter]
name = "pspnet"
backbone = "resnet18"
pretrained = false
dropout = 0.1
cut = 1
[train]
epochs = 1
steps = 2
batch = 3
accumulate = 1
lr = 0.01
head_lr = 1.0
momentum = 0.9
weight_decay = 1e-4
power = 0.9
crop = [32, 48]
scale = [1.0, 1.0]
fill = [0, 0, 0]
flip = true
precision = "32-true"
start = "none"
[window]
size = [32, 32]
overlap = 0.5
mirror = false
[generator]
name = "dfgan"
aspp = 8
width = 16
levels = 1
cells = 0
latent = 2
[train_generator]
epochs = 1
decay = 0.5
batch = 2
lr = 1e-4
reconstruction = 10.0
decoding = 0.0
held_out = 0.2
layout = "labels"
"""
SHADOW = """\
[adversary]
kind = "A1"
victim = "tiny"
choose = "random"
members = 6
stride = 4
[attacks.patch_resnet50]
representation = "concat"
patch = [4, 4]
fuse = "random"
patches = 2
epochs = 1
batch = 4
lr = 1e-3
weight_decay = 1e-2
precision = "32-true"
"""
ABSENT = (("split", "of"), ("train", "steps"), ("train", "start"))  # keys that a sound recipe leaves out
NASTY: tuple[Any, ...] = (
    0, -1, 1, 2, 3, 5, 7, 64, 255, 256, 1000, 65_535, 65_536, 10**6, 10**9, 10**12, 2**31, 2**63 - 1, 2**63, 2**64,
    10**30,
    10**400, -(2**63), 0.0, -0.0, 0.5, 0.99, 0.999999, 1.0, 1e-300, 5e-324, 1e-9, 1e9, 1e300, -1e300, 8.5,
    float("inf"), -float("inf"), float("nan"), True, False, "", "1", "inf", "nan", "name", "../../x", "/etc/passwd",
    ".",
    "a/b", "x" * 300, "x" * 100_000, "é" * 200, "日本語", "\0", "\n", "\u202e", "😀", "'", "[red]", "{}", "%s", "-1",
    "tiny",
    "tiny_a1", "generators", [], [[]], [0], [1], [1, 1], [1, 1, 1], [0, 0], [-1, -1], [2, 3], [64, 64], [10**4, 10**4],
    [65_535, 65_535], [10**6, 10**6], [1e-9, 1e-9], [100.0, 100.0], [0.01, 0.01], [float("inf")], [float("inf")] * 2,
    [float("nan")] * 2, [True, True], ["a", "b"], [1, "a"], [[1, 2], [3, 4]], {}, {"a": 1}, {"name": "streets"}, [{}],
    [1] * 10_000,
)  # fmt: skip
WORDS = {
    "seed": ["-1", "0", "2", "x", "1.5", str(2**63), str(2**64), "9" * 5000, "inf"],
    "repeats": ["0", "-1", "2", "1000", "1000000000", str(2**64), "9" * 5000, "x", "inf"],
    "attack": [
        "", ":", "image_loss", "image_loss:", "image_loss:mean,", "image_loss:statistic", "image_loss:=", "x" * 5000,
        "patch_resnet50:", "patch_resnet50:patch=9", "patch_resnet50:loss,patches=1000000000", "patch_resnet50:lr=inf",
        "patch_resnet50:batch=true", "patch_resnet50:epochs=1e9", "lira", "rmia:gamma=nan", "rmia",
        "base:temperature=0",
        "predictability_error:inf", "predictability_error:1e999", "quantile_regression:1", "learned_combination:nan",
        "learned_combination:1e-300", "attack_p", "../x", "_fleet", "__init__", "image_loss\0", "image_loss\n",
        "\ud800",
        "label_only:distance", "image_loss:statistic=mean,statistic=mean", "patch_resnet50:labels",
    ],
    "defense": [
        "", "none", "none:1", "argmax:", "dropout:2", "dropout:0", "dropout:1", "dropout:nan", "gaussian:-1",
        "gaussian:inf",
        "gaussian:1e-320", "gaussian:1e9", "gaussian_std:0", "gaussian:true", "gaussian:" + "9" * 5000, "synfeat:2",
        "synfeat:0.5,z=new", "synfeat:0.5,mask=agree", "dropout:0.5,0.6", "x" * 300, "é", "\ud800", "dropout:５",
    ],
    "victim": ["x" * 300, "", ".", "..", "/", "../victims/tiny", "tiny.toml", "tiny/", "TINY", "\0", "\ud800",
        "é" * 60, "-"],
    "shadow": ["x" * 300, "", "tiny", "../shadows/tiny_a1", "\n", "generators"],
    "store": ["/proc/x", "/dev/null", "/dev/null/x", "victims/tiny.toml", "", ".", "x" * 300, "a\0b", "/sys", "é",
        "\ud800"],
    "reports": ["/proc/x", "/dev/null", "victims/tiny.toml", "", "x" * 300, "\0"],
    "data-root": ["/proc", "/dev/null", "nowhere", "", "x" * 300, "\0", "victims/tiny.toml", "x" * 5000],
}  # fmt: skip
PLAN = ["plan", "tiny", "tiny_a1", "--defense", "none", "--attack", "image_loss", "--attack", "patch_resnet50:concat"]
Case = tuple[str, list[str]]  # what it is, and the command


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--count", type=int, default=1000)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--seconds", type=int, default=20)
    options.add_argument("--train", type=int, default=0)
    given = options.parse_args()
    from mia_seg import api, pipeline, recipes

    del api, pipeline  # imported once here, and not in every process
    recipes.folders = lambda kind: [Path.cwd() / f"{kind}s"]
    draw, counts, trained = random.Random(given.seed), Counter[str](), Counter[str]()
    with tempfile.TemporaryDirectory() as place:
        os.chdir(place)
        for case, command in cases(draw, given.count):
            counts[told("plan", case, command, seconds=given.seconds)] += 1
            if not counts.total() % 100:
                print(f"{counts.total()}: {dict(counts)}", flush=True)
            if command[0] == "plan" and trained.total() < given.train and draw.random() < 0.5:
                outcome = told("plan again", case, command, seconds=given.seconds)
                if outcome == "read":
                    trained[
                        told("run", case, ["run", *command[1:], "--device", "cpu"], seconds=30 * given.seconds)
                    ] += 1
                    shutil.rmtree("runs", ignore_errors=True)
    print(
        f"{counts.total()} commands: {dict(counts)}" + (f"; {trained.total()} runs: {dict(trained)}" if trained else "")
    )
    return int(bool((counts + trained).keys() & {"traceback", "killed"} or counts["slow"]))


def cases(draw: random.Random, count: int) -> Iterator[Case]:
    """Mutations of recipes and of options by turns; a case's recipes lie in the working directory until the next."""
    for k in range(count):
        recipe = {"victim": tomllib.loads(VICTIM), "shadow": tomllib.loads(VICTIM) | tomllib.loads(SHADOW)}
        for sections in recipe.values():
            for section, key in ABSENT:
                del sections[section][key]
        if k % 4 == 3:
            write(recipe)
            yield optional(draw)
            continue
        said = [mutate(recipe, draw) for _ in range(draw.choice((1, 1, 1, 2)))]
        write(recipe)
        command = draw.choice([PLAN, PLAN, PLAN, ["train-victim", "tiny", "--dry-run"], ["check"], ["list"]])
        yield "; ".join(said), command


def mutate(recipe: dict[str, dict[str, Any]], draw: random.Random) -> str:
    """Give one key a nasty value, or take it away, in both recipes where both have it."""
    whole = tomllib.loads(VICTIM) | tomllib.loads(SHADOW)
    section = draw.choice(list(whole))
    keys = list(whole[section]["patch_resnet50"] if section == "attacks" else whole[section])
    key, value = draw.choice([*keys, "extra"]), deepcopy(draw.choice(NASTY))
    if draw.random() < 0.03:
        key = ""
    for sections in recipe.values():
        if section not in sections:
            continue
        held = sections[section]
        if section == "attacks":
            held = held.get("patch_resnet50", {}) if isinstance(held, dict) else {}
        if not key:
            sections[section] = value
        elif isinstance(held, dict):
            held[key] = value
            if key == "steps":
                held.pop("epochs", None)
    return f"{section}.{key} = {value!r}"[:150]


def optional(draw: random.Random) -> Case:
    """A command with one option or argument in a nasty form."""
    name = draw.choice(list(WORDS))
    word = draw.choice(WORDS[name])
    command = list(PLAN)
    if name in ("victim", "shadow"):
        command[1 + (name == "shadow")] = word
    else:
        command += [f"--{name}", word]
    return f"{name} {word!r}"[:150], command


def write(recipe: dict[str, dict[str, Any]]) -> None:
    for kind, name in (("victim", "tiny"), ("shadow", "tiny_a1")):
        Path(f"{kind}s").mkdir(exist_ok=True)
        text = "".join(table(section, held) for section, held in recipe[kind].items())
        Path(f"{kind}s/{name}.toml").write_text(text, encoding="utf-8")


def table(section: str, held: Any) -> str:
    """A section as TOML; what is not a table of plain values is written in one line."""
    if not isinstance(held, dict):
        return ""  # a bare key cannot stand behind a table: such a section is left out
    inner = {key: value for key, value in held.items() if isinstance(value, dict) and key == "patch_resnet50"}
    plain = [f"{key} = {toml(value)}\n" for key, value in held.items() if key not in inner]
    return f"[{section}]\n{''.join(plain)}" + "".join(table(f"{section}.{key}", value) for key, value in inner.items())


def toml(value: Any) -> str:
    forms: dict[type, Callable[[Any], str]] = {
        bool: lambda v: str(v).lower(), int: str, float: repr, str: quoted,
        list: lambda v: f"[{', '.join(map(toml, v))}]",
        dict: lambda v: "{" + ", ".join(f"{key} = {toml(inner)}" for key, inner in v.items()) + "}",
    }  # fmt: skip
    return forms[type(value)](value)


def quoted(text: str) -> str:
    codes = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\0": "\\u0000"}
    return '"' + "".join(codes.get(letter, letter) for letter in text) + '"'


def told(stage: str, case: str, command: list[str], *, seconds: int) -> str:
    """What a command came to: read, sentence, traceback, slow or killed; the last three are printed."""
    outcome, said = outcome_of(command, seconds)
    if outcome in ("traceback", "slow", "killed"):
        print(f"{outcome} ({stage}): {case}\n  {' '.join(command)!r:.300}\n  {said.strip()[-1500:]}\n", flush=True)
    return outcome


def outcome_of(command: list[str], seconds: int) -> tuple[str, str]:
    sys.stdout.flush()
    started, child = time.monotonic(), os.fork()
    if not child:
        run(command, seconds)
    _, status = os.waitpid(child, 0)
    said = Path("said.txt").read_text(encoding="utf-8", errors="replace")
    if os.WIFSIGNALED(status):
        return ("slow" if os.WTERMSIG(status) == signal.SIGALRM else "killed"), said
    code = os.WEXITSTATUS(status)
    sentence = code == 2 and ("mia-seg: " in said or "Usage: " in said)
    if "Traceback" in said or not (code == 0 or sentence or (command[0] == "check" and code == 2)):
        return "traceback", said
    return ("slow" if time.monotonic() - started > seconds else "read" if code == 0 else "sentence"), said


def run(command: list[str], seconds: int) -> None:
    """The command, in this process: a forked one, which ends here."""
    import faulthandler
    import traceback

    from mia_seg import cli

    code = 70
    resource.setrlimit(resource.RLIMIT_AS, (16 << 30,) * 2)
    with open("said.txt", "w", encoding="utf-8", errors="backslashreplace") as said:
        sys.stdout = sys.stderr = said
        faulthandler.dump_traceback_later(max(1, seconds - 1), file=said)
        signal.alarm(seconds)
        try:
            sys.argv = ["mia-seg", *command]
            cli.main()
            code = 0
        except SystemExit as left:
            code = left.code if isinstance(left.code, int) else int(left.code is not None)
        except BaseException:
            traceback.print_exc()
    os._exit(code)


if __name__ == "__main__":
    sys.exit(main())
