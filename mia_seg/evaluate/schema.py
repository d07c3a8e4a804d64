"""The content of a result file, as one typed model."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, model_validator

from mia_seg.data._canaries import Kind
from mia_seg.evaluate.scores import SceneScores

SCHEMA = 2
LevelName = Literal["image", "group", "patch"]
LEVELS: tuple[LevelName, ...] = ("image", "group", "patch")
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]


class Part(BaseModel):
    """Base of all parts of a result. Unknown keys are refused; no number is a text, NaN or infinite."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Rate(Part):
    """A rate and its 95% interval."""

    value: Share
    low: Share
    high: Share


class RateAtFpr(Part):
    """The TPR at a target FPR, as `metrics.membership.RateAtFpr` defines it. fpr_low, fpr_high: None in old results."""

    tpr: Share
    low: Share
    high: Share
    realised_fpr: Share
    false_positives: Count
    fpr_low: Share | None
    fpr_high: Share | None


class Ranked(Part):
    """Metrics that depend on the order of scores alone and need no threshold."""

    auc: Share
    auc_low: Share
    auc_high: Share
    tpr_at_fpr: dict[str, RateAtFpr | str]


class Level(Ranked):
    """The metrics of an attack on images, groups or patches, as `metrics.membership.Measurement` defines them.

    Rates at the attacker's threshold and predictive values are None in old results.
    """

    n_members: Count
    n_nonmembers: Count
    n_member_groups: Count
    n_nonmember_groups: Count
    precision_at_recall_80: Share
    precision_at_recall_80_low: Share
    precision_at_recall_80_high: Share
    threshold: float
    balanced_accuracy: Share
    balanced_accuracy_low: Share
    balanced_accuracy_high: Share
    tpr: Share | None
    tpr_low: Share | None
    tpr_high: Share | None
    fpr: Share | None
    fpr_low: Share | None
    fpr_high: Share | None
    ppv: dict[str, Rate | str] | None
    roc_points: list[list[Share]]
    pr_points: list[list[Share]]


class Utility(Part):
    """The quality of predictions on one side of a split: shares in [0, 1] with 95% intervals."""

    pix_acc: Share
    cls_acc: Share
    miou: Share
    fwiou: Share
    pix_acc_low: Share
    pix_acc_high: Share
    cls_acc_low: Share
    cls_acc_high: Share
    miou_low: Share
    miou_high: Share
    fwiou_low: Share
    fwiou_high: Share


class Utilities(Part):
    """The quality of predictions on the scenes that a model was trained on, and on the others."""

    members: Utility
    nonmembers: Utility


class Sides(Part):
    """A fact of the victim and of the shadow; '' in old results."""

    victim: str
    shadow: str


class LeftOut(Part):
    """Ids of the scenes that were left out: the attack sees no labelled pixel of them, so they have no loss."""

    members: list[str]
    nonmembers: list[str]


class Classes(Part):
    """The names of the classes in the labels of both sides, of the victim's alone and of the shadow's alone."""

    both: list[str]
    victim: list[str]
    shadow: list[str]


class Digests(Part):
    """Digests, of twelve hex digits, of what the result was made from."""

    victim: str
    shadow: str
    attacker: str
    victim_answers: str
    shadow_answers: str


class Untested(Part):
    """The reason why a control was not tested."""

    untested: str


class Blind(Part):
    """The result of `controls.blind`. above: for confounded splits, the attack's AUC minus the blind attacker's."""

    auc: Share
    low: Share
    high: Share
    p: Share
    confounded: bool
    alpha: Share
    folds: Count
    features: Count
    above: float | None = None


class Shuffle(Part):
    """The result of `controls.nulls.shuffled`."""

    mean: Share
    low: Share
    high: Share
    p: Share


class Halves(Part):
    """The result of `controls.nulls.halves`."""

    distance: Share
    low: Share
    high: Share
    by_order: Share
    p_order: Share


class Controls(Part):
    """The results of `evaluate.controls`."""

    blind: Blind | Untested
    shuffle: Shuffle
    halves: Halves | Untested


class Epsilon(Part):
    """A lower bound on epsilon, or None and the reason why there is none. mu: a bound on the mu of Gaussian privacy."""

    low: Annotated[float, Field(ge=0)] | None
    mu: Annotated[float, Field(ge=0)] | None = None
    reason: str | None = None
    delta: Share | None = None
    guesses: Count | None = None
    level: Share | None = None
    design: str | None = None


class Exposed(Part):
    """Members that stand out from the non-members, the most exposed first.

    fdr: a bound on the expected share of false discoveries. tested: the number of members.
    """

    fdr: Share
    tested: Count
    scenes: list[str]


class Confidence(Part):
    """Histograms of the largest posterior of each cell, in equal bins of [0, 1]."""

    members: list[Count]
    nonmembers: list[Count]


class PartOfScenes(Part):
    """The leak of one part of the scenes alone; auc, low and high are None if too few groups have the part."""

    cut: str
    part: str
    auc: Share | None
    low: Share | None
    high: Share | None
    members: Count
    nonmembers: Count


class Canaries(Part):
    """The leak of the canaries alone. auc, low and high: None if a side has fewer than two groups."""

    kind: Kind
    auc: Share | None
    low: Share | None
    high: Share | None
    members: Count
    nonmembers: Count
    epsilon: Epsilon


class BySize(Ranked):
    """The metrics of an attack with some of the shadows.

    trained: the number of these shadows. compared: the number of shadows that each scene is compared with.
    """

    trained: Count
    compared: Count


class Alike(Part):
    """The ids of a member and of the non-member that looks most like it."""

    member: str
    nonmember: str


class NearTwins(Part):
    """Members that look nearly like a non-member: no attack can be expected to tell the two apart.

    members: the number of such members among `of`. distance: perceptual hashes of near twins differ in at most so many
    of 256 bits. pairs: the most similar pairs.
    """

    members: Annotated[int, Field(ge=1)]
    of: Count
    distance: Count
    pairs: list[Alike]


class Difference(Part):
    """A difference of two rates and its 95% interval."""

    value: float
    low: float
    high: float


class AboveLoss(Part):
    """The attack's AUC and TPRs minus those of the image-loss attack on the same answers."""

    auc: Difference
    tpr_at_fpr: dict[str, Difference | str]


class Change(Part):
    """The defended model's mIoU minus the undefended model's, on the same scenes."""

    members: Difference
    nonmembers: Difference


class Privacy(Part):
    """The proven privacy of the victim's training: epsilon at delta for adding or removing one scene; None if infinite.

    clip: the largest norm of a scene's gradient. noise: the standard deviation of the noise, as a multiple of clip.
    """

    epsilon: Annotated[float, Field(ge=0)] | None
    delta: Annotated[float, Field(gt=0, lt=1)]
    accountant: str
    noise: Annotated[float, Field(ge=0)]
    clip: Annotated[float, Field(gt=0)]


class Result(Part):
    """The result of one attack on one defense at one seed: a JSON file of numbers, seeds, digests and versions.

    These values may be None:

    - controls, epsilon, confidence, left_out: in old results. exposed: there, and if scenes come in groups.
    - by_shadows, image_loss, above_loss: for attacks that compare with no fleet of shadows.
    - near_twins: if no member has one, for generated scenes, and in old results.
    - utility, shadow_utility: if the scenes have no labels. utility_change: there, for undefended models, and in old
      results.
    - knows (whether the shadow has the victim's objective and update): if the victim's are the plain ones.
    - privacy: if the victim's training has no privacy proof.
    - canaries: if the victim trained on none. Canaries count nowhere else in a result.

    where: the leak of each part of the scenes. tuned: the settings of the attack that tuning changed.
    """

    _scores: SceneScores | None = PrivateAttr(None)

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
    seed: Count
    repeats: Annotated[int, Field(ge=1)]
    queries: Count
    segmenters: Sides
    classes: Classes
    left_out: LeftOut | None = None
    levels: dict[LevelName, Level]
    utility: Utilities | None
    shadow_utility: Utilities | None
    utility_change: Change | None = None
    controls: Controls | None
    epsilon: Epsilon | None
    exposed: Exposed | None
    confidence: Confidence | None
    where: list[PartOfScenes]
    by_shadows: list[BySize] | None = None
    image_loss: Ranked | None = None
    above_loss: AboveLoss | None = None
    near_twins: NearTwins | None = None
    knows: Literal["training", "nothing"] | None = None
    privacy: Privacy | None = None
    canaries: Canaries | None = None
    settings: dict[str, Any]
    tuned: dict[str, Any]
    versions: dict[str, str]
    digests: Digests

    @model_validator(mode="after")
    def _of_images(self) -> "Result":
        if "image" not in self.levels:
            raise ValueError("levels holds no 'image', but every attack is measured on images")
        return self

    @property
    def sought_twins(self) -> bool:
        """Whether near twins were looked for: old files lack the key, and others hold null where there are none."""
        return "near_twins" in self.model_fields_set

    @property
    def scores(self) -> SceneScores | None:
        """The attack's score of every scene; None if no file of scores lies beside the result's file."""
        return self._scores

    def with_scores(self, scores: SceneScores | None) -> "Result":
        """The result itself, with its scores set."""
        self._scores = scores
        return self

    def dump(self) -> dict[str, Any]:
        """The JSON value of the result's file."""
        return self.model_dump(mode="json", by_alias=True)


def json_schema() -> dict[str, Any]:
    """The JSON schema of result files."""
    return Result.model_json_schema(by_alias=True, mode="serialization")
