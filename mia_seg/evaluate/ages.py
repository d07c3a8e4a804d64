"""Result files of earlier schema versions, brought to the present schema."""

from typing import Any

from mia_seg.errors import MiaSegError
from mia_seg.evaluate.schema import SCHEMA

# What schema 1 called a group of scenes.
RENAMED = {"unit": "group", "n_member_units": "n_member_groups", "n_nonmember_units": "n_nonmember_groups"}
# Keys that levels of schema 1 lack.
LATER = ("tpr", "tpr_low", "tpr_high", "fpr", "fpr_low", "fpr_high", "ppv")


def upgrade(raw: dict[str, Any]) -> dict[str, Any]:
    """A result's JSON of any schema version, in the present schema. Values that old versions lack are None, empty or 1.

    Raises MiaSegError for a schema that is newer than this code.
    """
    age = raw.get("schema", 1)
    if isinstance(age, int) and age > SCHEMA:
        raise MiaSegError(
            f"its schema is {age}, and this mia-seg knows those up to {SCHEMA}. Install the mia-seg that wrote it, "
            f"or a newer one."
        )
    return _from_first(raw) if age == 1 else raw


def _from_first(raw: dict[str, Any]) -> dict[str, Any]:
    levels = {RENAMED.get(name, name): _level(level) for name, level in raw["levels"].items()}
    absent: dict[str, Any] = {
        "repeats": 1, "shadow_dataset": "", "segmenters": {"victim": "", "shadow": ""},
        "classes": {"both": [], "victim": [], "shadow": []}, "controls": None, "epsilon": None, "exposed": None,
        "confidence": None, "where": [], "by_shadows": None, "image_loss": None, "above_loss": None, "tuned": {},
    }  # fmt: skip
    return absent | raw | {"schema": SCHEMA, "levels": levels}


def _level(level: dict[str, Any]) -> dict[str, Any]:
    named = {RENAMED.get(name, name): value for name, value in level.items()}
    bounds = {"fpr_low": None, "fpr_high": None}
    rates = {at: rate if isinstance(rate, str) else bounds | rate for at, rate in named["tpr_at_fpr"].items()}
    return dict.fromkeys(LATER) | named | {"tpr_at_fpr": rates}
