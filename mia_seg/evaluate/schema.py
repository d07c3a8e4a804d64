"""What a result holds, as one typed model, and how results of earlier ages become it."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from mia_seg.errors import MiaSegError

SCHEMA = 2
LevelName = Literal["image", "group", "patch"]
LEVELS: tuple[LevelName, ...] = ("image", "group", "patch")
# What schema 1 called a group of scenes.
RENAMED = {"unit": "group", "n_member_units": "n_member_groups", "n_nonmember_units": "n_nonmember_groups"}
# Absent from levels that were measured before there were any.
LATER = ("tpr", "tpr_low", "tpr_high", "fpr", "fpr_low", "fpr_high", "ppv")


class Part(BaseModel):
    """Unknown keys are refused: a result says nothing that no reader knows of."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Rate(Part):
    """A rate and its 95% interval."""

    value: float
    low: float
    high: float


class RateAtFpr(Part):
    """An operating point, as `metrics.membership` defines it; its FPR has no bounds in results from before them."""

    tpr: float
    low: float
    high: float
    realised_fpr: float
    false_positives: int
    fpr_low: float | None
    fpr_high: float | None


class Level(Part):
    """What an attack achieved on images, groups or patches, as `metrics.membership.Measurement` has it.

    Rates at the attacker's threshold and predictive values are None in results from before there were any.
    """

    n_members: int
    n_nonmembers: int
    n_member_groups: int
    n_nonmember_groups: int
    auc: float
    auc_low: float
    auc_high: float
    precision_at_recall_80: float
    precision_at_recall_80_low: float
    precision_at_recall_80_high: float
    tpr_at_fpr: dict[str, RateAtFpr | str]
    threshold: float
    balanced_accuracy: float
    balanced_accuracy_low: float
    balanced_accuracy_high: float
    tpr: float | None
    tpr_low: float | None
    tpr_high: float | None
    fpr: float | None
    fpr_low: float | None
    fpr_high: float | None
    ppv: dict[str, Rate | str] | None
    roc_points: list[list[float]]
    pr_points: list[list[float]]


class Utility(Part):
    """Quality of the predictions on one side of a split: shares in [0, 1] with 95% intervals."""

    pix_acc: float
    cls_acc: float
    miou: float
    fwiou: float
    pix_acc_low: float
    pix_acc_high: float
    cls_acc_low: float
    cls_acc_high: float
    miou_low: float
    miou_high: float
    fwiou_low: float
    fwiou_high: float


class Utilities(Part):
    """On the scenes that a model was trained on, and on others."""

    members: Utility
    nonmembers: Utility


class Sides(Part):
    """A fact of the victim and of the shadow; '' in results from before it was kept."""

    victim: str
    shadow: str


class Classes(Part):
    """Names of the classes in the labels of both sides, of the victim's alone, of the shadow's alone."""

    both: list[str]
    victim: list[str]
    shadow: list[str]


class Digests(Part):
    """Twelve hex digits for each thing that a result was made from."""

    victim: str
    shadow: str
    attacker: str
    victim_answers: str
    shadow_answers: str


class Controls(Part):
    """What `evaluate.controls` found, each with numbers or the reason why it was `untested`."""

    blind: dict[str, Any]
    shuffle: dict[str, Any]
    halves: dict[str, Any]


class Epsilon(Part):
    """The bound on epsilon, or None and the reason why there is none."""

    low: float | None
    reason: str | None = None
    delta: float | None = None
    guesses: int | None = None
    level: float | None = None
    design: str | None = None


class Result(Part):
    """One cell of the grid, measured on one seed: a JSON file of numbers, seeds, digests and versions.

    controls, epsilon, confidence: None in results from before them. exposed: None also where scenes come in groups.
    by_shadows, image_loss, above_loss: of attacks that compare with a fleet. where: the leak of each part of the
    scenes. tuned: settings of the attacker where they are not those that were asked for.
    """

    schema_: Literal[2] = Field(2, alias="schema")
    victim: str
    shadow: str
    dataset: str
    shadow_dataset: str
    adversary: str
    choose: str
    defense: str
    attack: str
    representation: str
    adaptive: bool
    seed: int
    repeats: int
    queries: int
    segmenters: Sides
    classes: Classes
    levels: dict[LevelName, Level]
    utility: Utilities
    shadow_utility: Utilities
    controls: Controls | None
    epsilon: Epsilon | None
    exposed: dict[str, Any] | None
    confidence: dict[str, list[int]] | None
    where: list[dict[str, Any]]
    by_shadows: list[dict[str, Any]] | None = None
    image_loss: dict[str, Any] | None = None
    above_loss: dict[str, Any] | None = None
    settings: dict[str, Any]
    tuned: dict[str, Any]
    versions: dict[str, str]
    digests: Digests

    @model_validator(mode="after")
    def _of_images(self) -> "Result":
        if "image" not in self.levels:
            raise ValueError("levels holds no 'image', which every attack is measured on")
        return self

    def dump(self) -> dict[str, Any]:
        """The JSON of its file."""
        return self.model_dump(mode="json", by_alias=True)


def json_schema() -> dict[str, Any]:
    """The JSON schema of a result's file."""
    return Result.model_json_schema(by_alias=True, mode="serialization")


def upgrade(raw: dict[str, Any]) -> dict[str, Any]:
    """The JSON of any age in the present schema; what an earlier age did not know is None, empty or 1.

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
