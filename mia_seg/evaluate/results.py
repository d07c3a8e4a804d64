"""Result files: one small JSON file for each result, and the flat table that scripts, CI and the report read."""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from mia_seg import progress
from mia_seg.errors import MiaSegError
from mia_seg.evaluate import scores
from mia_seg.evaluate.ages import upgrade
from mia_seg.evaluate.schema import LEVELS, LevelName, Result, Utilities, Utility, json_schema
from mia_seg.evaluate.scores import SceneScores
from mia_seg.recipes import GENERATORS
from mia_seg.store import replace, shortened, writing
from mia_seg.texts import files_below, read_json

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["LEVELS", "LevelName", "Result", "json_schema", "upgrade"]

UTILITY = ("pix_acc", "cls_acc", "miou", "fwiou")
NAMES = (
    "victim", "shadow", "dataset", "adversary", "choose", "defense", "attack", "representation", "adaptive", "seed",
)  # fmt: skip
CURVES = {"roc_points", "pr_points"}
SHARED = 0.05  # the chance that any of many sound splits is called confounded or doubtful: their seeds share it


def slug(text: str) -> str:
    """A text for a file's name: 'gaussian:0.5' -> 'gaussian-0.5', 'synfeat:0.75,z=fresh' -> 'synfeat-0.75-z-fresh'."""
    return text.translate(str.maketrans(":,=", "---"))


def path_of(reports: Path, result: Result) -> Path:
    """The path of a result's file: `<victim>/<shadow>.<defense>.<attack>[.adaptive][.x<repeats>].s<seed>.json`."""
    attack = result.attack + (f"-{slug(result.representation)}" if result.representation else "")
    parts = [shortened(result.shadow), slug(result.defense), attack]
    parts += ["adaptive"] if result.adaptive else []
    parts += [f"x{result.repeats}"] if result.repeats > 1 else []
    return reports / result.victim / f"{'.'.join([*parts, f's{result.seed}'])}.json"


def write(reports: Path, result: Result) -> Path:
    """Write a result's file, with its scores beside it. A file that holds the same bytes already is not touched."""
    path = _put(path_of(reports, result), result.dump())
    beside = scores.beside(path)
    if result.scores is not None:
        _put_text(beside, result.scores.text())
    else:
        with writing(beside):
            beside.unlink(missing_ok=True)  # scores of an earlier result at this path
    return path


def read(path: Path) -> Result:
    """One result of any schema version, with its scores if their file lies beside it.

    Raises MiaSegError for a file that is no result, and for a newer schema.
    """
    try:
        found = Result.model_validate(_upgraded(path, read_json(path)))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise MiaSegError(
            f"{path} is not a result of mia-seg ({_fault(error)}). Name another file. If it was one and is damaged, "
            f"delete it and run the attack again."
        ) from None
    return found.with_scores(_scores_of(path, found))


def _scores_of(path: Path, result: Result) -> SceneScores | None:
    """The scores beside a result's file, which are as many as the result was measured on; None if there are none."""
    beside = scores.beside(path)
    if not beside.is_file():
        return None
    kept, image = scores.read(beside), result.levels["image"]
    members = int(kept.members_N.sum())
    sides, measured = (members, len(kept.ids) - members), (image.n_members, image.n_nonmembers)
    if sides != measured:
        raise MiaSegError(
            f"{beside} holds {_sides(sides)}, and {path.name} was measured on {_sides(measured)}: it is cut off, or of "
            f"another result. Remove it, or run the attack again."
        )
    return kept


def _sides(counts: tuple[int, int]) -> str:
    return "{} members and {} non-members".format(*counts)


def _upgraded(path: Path, raw: Any) -> Any:
    try:
        return upgrade(raw)
    except MiaSegError as error:
        raise MiaSegError(f"{path} cannot be read: {error}") from None


def files(root: Path) -> list[Path]:
    """The files of all results in the tree below `root`, sorted; without scores of generators and hidden files."""
    named = (path for path in files_below(root, "**/*.json") if re.search(r"\.s\d+\.json$", path.name))
    return [path for path in named if path.parent.name != GENERATORS]


def read_all(root: Path, victim: str | None = None) -> list[Result]:
    """All results in the tree below `root`, or those of one victim there, in the order of their paths."""
    paths = [path for path in files(root) if victim in (None, path.parent.name)]
    return [read(path) for path in progress.track(paths, "reading results", len(paths))]


def write_generator(reports: Path, score: dict[str, Any]) -> Path:
    """Write the score of a generator into its victim's folder. The generator's settings are part of the file's name."""
    settings = dict(score["generator"])
    name = slug(",".join([settings.pop("name"), *(f"{key}={value}" for key, value in sorted(settings.items()))]))
    return _put(reports / score["victim"] / GENERATORS / f"{name}.s{score['seed']}.json", score)


def read_generators(reports: Path) -> list[dict[str, Any]]:
    """The scores of all generators under `reports` (`<victim>/generators/<generator>.s<seed>.json`), by their paths.

    Each has `real`, the utility on real features, and `epochs`, the utility on generated features after each epoch;
    both are of held-out layouts. Raises MiaSegError for any other file.
    """
    return [_read_generator(path) for path in files_below(reports, f"*/{GENERATORS}/*.s*.json")]


def _read_generator(path: Path) -> dict[str, Any]:
    try:
        score: dict[str, Any] = read_json(path)
        _ = score["victim"], score["seed"], score["generator"]["name"], score["scenes"], score["held_out"]
        _ = [epoch["epoch"] for epoch in score["epochs"]]
        _ = [utility[name] for utility in (score["real"], *score["epochs"]) for name in UTILITY]
        _ = score["epochs"][-1]
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise MiaSegError(
            f"{path} is not the score of a generator ({error!r}). Delete it and train the generator again."
        ) from None
    return score


def frame(results: Sequence[Result]) -> "pd.DataFrame":
    """One row for each result and level, with the columns of `row`."""
    import pandas as pd  # noqa: PLC0415 (takes longer to load than all the rest)

    return pd.DataFrame(rows(results))


def rows(results: Sequence[Result]) -> Iterator[dict[str, Any]]:
    """One flat row for each result and level; all rows have the same keys."""
    for result in results:
        for level in LEVELS:
            if level in result.levels:
                yield row(result, level)


def material(labelled: bool) -> str:
    """The data that the blind attacker sees, in words. labelled: whether the scenes have labels."""
    return "images and labels" if labelled else "images"


def row(result: Result, level: LevelName) -> dict[str, Any]:
    """The flat row of one level of a result."""
    utility = {
        f"{metric}_{side}": getattr(getattr(result.utility, side), metric) if result.utility else None
        for side in Utilities.model_fields
        for metric in Utility.model_fields
    }
    return (
        {name: getattr(result, name) for name in NAMES}
        | {"level": level}
        | result.levels[level].model_dump(exclude=CURVES)
        | utility
        | {
            "repeats": result.repeats,
            "queries": result.queries,
            **{f"{side}_segmenter": name for side, name in result.segmenters},
            "shadow_dataset": result.shadow_dataset,
            **{f"classes_{side}": ", ".join(names) for side, names in result.classes},
            "victim_digest": result.digests.victim,
            "shadow_digest": result.digests.shadow,
            "knows": result.knows,
        }
        | {f"left_out_{side}": len(getattr(result.left_out, side, ())) for side in ("members", "nonmembers")}
        | _controls(result, level)
        | {"near_twins": result.near_twins.members if result.near_twins else None}
    )


def _controls(result: Result, level: LevelName) -> dict[str, Any]:
    """The columns of controls and epsilon: None if not tested, and in old results.

    The blind control belongs to the split, so all levels have it. Shuffles and epsilon belong to images alone.
    """
    blind = result.controls.blind if result.controls else None
    split = {f"blind_{name}": getattr(blind, name, None) for name in ("auc", "p")}
    split["confounded"] = getattr(blind, "confounded", None)
    shuffle = result.controls.shuffle if result.controls and level == "image" else None
    low = result.epsilon.low if result.epsilon and level == "image" else None
    return split | {"shuffle_p": shuffle and shuffle.p, "epsilon_low": low}


def _put(path: Path, content: object) -> Path:
    return _put_text(path, json.dumps(content, indent=1, sort_keys=True) + "\n")


def _put_text(path: Path, text: str) -> Path:
    with writing(path):
        if not path.is_file() or path.read_bytes() != text.encode():
            replace(path, text.encode())
    return path


def _fault(error: Exception) -> str:
    """The error in one line, with the key that is wrong."""
    if not isinstance(error, ValidationError):
        return repr(error)
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}".removeprefix(": ")
