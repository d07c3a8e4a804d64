"""Results: one small JSON each; the flat list that scripts, CI and the report read."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mia_seg.errors import MiaSegError
from mia_seg.store import write_json, writing

Result = dict[str, Any]

LEVELS = ("image", "unit", "patch")
SIDES = ("both", "victim", "shadow")  # where a class occurs in labels
SCALARS = (
    "n_members", "n_nonmembers", "n_member_units", "n_nonmember_units", "auc", "auc_low", "auc_high",
    "precision_at_recall_80", "precision_at_recall_80_low", "precision_at_recall_80_high", "tpr_at_fpr",
    "threshold", "balanced_accuracy", "balanced_accuracy_low", "balanced_accuracy_high",
)  # fmt: skip
UTILITY = ("pix_acc", "cls_acc", "miou", "fwiou")
# None in results from before there were any.
LATER = ("tpr", "tpr_low", "tpr_high", "fpr", "fpr_low", "fpr_high", "ppv")
NAMES = (
    "victim",
    "shadow",
    "dataset",
    "adversary",
    "choose",
    "defense",
    "attack",
    "representation",
    "adaptive",
    "seed",
)


def slug(text: str) -> str:
    """A name for files: 'gaussian:0.5' -> 'gaussian-0.5', 'synfeat:0.75,z=fresh' -> 'synfeat-0.75-z-fresh'."""
    return text.translate(str.maketrans(":,=", "---"))


def path_of(reports: Path, result: dict[str, Any]) -> Path:
    """`reports/<victim>/<shadow>.<defense>.<attack>[.adaptive][.x<repeats>].s<seed>.json`."""
    attack = result["attack"] + (f"-{slug(result['representation'])}" if result["representation"] else "")
    parts = [result["shadow"], slug(result["defense"]), attack]
    parts += ["adaptive"] if result["adaptive"] else []
    parts += [f"x{result['repeats']}"] if result.get("repeats", 1) > 1 else []
    return reports / result["victim"] / f"{'.'.join([*parts, 's' + str(result['seed'])])}.json"


def write(reports: Path, result: dict[str, Any]) -> Path:
    """Store a result at its place in the grid."""
    path = path_of(reports, result)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, result)
    return path


def read(path: Path) -> dict[str, Any]:
    """One result. Raises MiaSegError for a file that is not one."""
    try:
        result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        row(result, "image")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise MiaSegError(
            f"{path} is not a result of mia-seg ({error!r}). Delete it and run the attack again."
        ) from None
    return result


def read_all(reports: Path, victim: str | None = None) -> list[dict[str, Any]]:
    """Every result under `reports` (of one victim), in the order of their paths."""
    return [read(path) for path in sorted(reports.glob(f"{victim or '*'}/*.s*.json"))]


def write_generator(reports: Path, score: dict[str, Any]) -> Path:
    """Store the score of a generator beside its victim's results; its settings are part of the file's name."""
    settings = dict(score["generator"])
    name = slug(",".join([settings.pop("name"), *(f"{key}={value}" for key, value in sorted(settings.items()))]))
    path = reports / score["victim"] / "generators" / f"{name}.s{score['seed']}.json"
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, score)
    return path


def read_generators(reports: Path) -> list[dict[str, Any]]:
    """The scores of every generator under `reports` (`<victim>/generators/<generator>.s<seed>.json`), in that order.

    Each holds `real` and, epoch after epoch, generated `utility` on held-out layouts. Raises MiaSegError for a file
    that does not.
    """
    return [_read_generator(path) for path in sorted(reports.glob("*/generators/*.s*.json"))]


def _read_generator(path: Path) -> dict[str, Any]:
    try:
        score: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        _ = score["victim"], score["seed"], score["generator"]["name"], score["scenes"], score["held_out"]
        _ = [epoch["epoch"] for epoch in score["epochs"]]
        _ = [utility[name] for utility in (score["real"], *score["epochs"]) for name in UTILITY]
        _ = score["epochs"][-1]
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise MiaSegError(
            f"{path} is not the score of a generator ({error!r}). Delete it and train the generator again."
        ) from None
    return score


def rows(results: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """One flat row a result and level; every row has the same keys."""
    for result in results:
        for level in LEVELS:
            if level in result["levels"]:
                yield row(result, level)


def row(result: dict[str, Any], level: str) -> dict[str, Any]:
    """The flat row of one level of a result."""
    measured = result["levels"][level]
    utility = {
        f"{metric}_{side}": value for side, metrics in result["utility"].items() for metric, value in metrics.items()
    }
    return (
        {name: result[name] for name in NAMES}
        | {"level": level}
        | {name: measured[name] for name in SCALARS}
        | {name: measured.get(name) for name in LATER}
        | utility
        | {
            "repeats": result.get("repeats", 1),
            "queries": result["queries"],
            **{f"{side}_segmenter": result.get("segmenters", {}).get(side, "") for side in ("victim", "shadow")},
            "shadow_dataset": result.get("shadow_dataset", ""),
            **{f"classes_{side}": ", ".join(result.get("classes", {}).get(side, [])) for side in SIDES},
            "victim_digest": result["digests"]["victim"],
            "shadow_digest": result["digests"]["shadow"],
        }
        | _controls(result.get("controls", {}), level)
        | {"epsilon_low": result.get("epsilon", {}).get("low") if level == "image" else None}
    )


def _controls(found: dict[str, Any], level: str) -> dict[str, Any]:
    """None for what was not tested, and in results from before the controls; the split's are those of every level."""
    blind, shuffle = found.get("blind", {}), found.get("shuffle", {})
    split = {"blind_auc": blind.get("auc"), "blind_p": blind.get("p"), "confounded": blind.get("confounded")}
    return split | {"shuffle_p": shuffle.get("p") if level == "image" else None}
