"""Results: one small JSON each; the flat list that scripts, CI and the report read."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mia_seg.errors import MiaSegError
from mia_seg.store import write_json, writing

LEVELS = ("image", "patch")
SIDES = ("both", "victim", "shadow")  # where a class occurs in labels
SCALARS = (
    "n_members", "n_nonmembers", "n_member_units", "n_nonmember_units", "auc", "auc_low", "auc_high",
    "precision_at_recall_80", "precision_at_recall_80_low", "precision_at_recall_80_high", "tpr_at_fpr",
    "threshold", "balanced_accuracy", "balanced_accuracy_low", "balanced_accuracy_high",
)  # fmt: skip
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
    """`reports/<victim>/<shadow>.<defense>.<attack>[.adaptive].s<seed>.json`."""
    attack = result["attack"] + (f"-{result['representation']}" if result["representation"] else "")
    parts = [result["shadow"], slug(result["defense"]), attack]
    parts += ["adaptive"] if result["adaptive"] else []
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


def rows(results: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
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
        | utility
        | {
            "queries": result["queries"],
            **{f"{side}_segmenter": result.get("segmenters", {}).get(side, "") for side in ("victim", "shadow")},
            "shadow_dataset": result.get("shadow_dataset", ""),
            **{f"classes_{side}": ", ".join(result.get("classes", {}).get(side, [])) for side in SIDES},
            "victim_digest": result["digests"]["victim"],
            "shadow_digest": result["digests"]["shadow"],
        }
    )
