"""The content of a result file, as one typed model."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, model_validator

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
    """An operating point, as `metrics.membership` defines it; in old results its FPR has no bounds."""

    tpr: Share
    low: Share
    high: Share
    realised_fpr: Share
    false_positives: Count
    fpr_low: Share | None
    fpr_high: Share | None


class Ranked(Part):
    """Metrics of the order of scores, which need no threshold."""

    auc: Share
    auc_low: Share
    auc_high: Share
    tpr_at_fpr: dict[str, RateAtFpr | str]


class Level(Ranked):
    """What an attack achieved on images, groups or patches: see `metrics.membership.Measurement`.

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
    """Quality of the predictions on one side of a split: shares in [0, 1] with 95% intervals."""

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
    """Quality on the scenes that a model was trained on, and on others."""

    members: Utility
    nonmembers: Utility


class Sides(Part):
    """A fact of the victim and of the shadow; '' in old results."""

    victim: str
    shadow: str


class LeftOut(Part):
    """Numbers of scenes left out, as no labelled pixel of theirs is seen by the attack: they have no loss."""

    members: list[str]
    nonmembers: list[str]


class Classes(Part):
    """Names of the classes in the labels of both sides, of the victim's alone, of the shadow's alone."""

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
    """The result of `controls.blind`. above: if the split is confounded, attack's AUC less the blind attacker's."""

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
    """A lower bound on epsilon, or None and the reason why there is none. mu: the same of Gaussian privacy."""

    low: Annotated[float, Field(ge=0)] | None
    mu: Annotated[float, Field(ge=0)] | None = None
    reason: str | None = None
    delta: Share | None = None
    guesses: Count | None = None
    level: Share | None = None
    design: str | None = None


class Exposed(Part):
    """Members that stand out from the non-members, most exposed first. fdr: bound on the mean share of false ones."""

    fdr: Share
    tested: Count
    scenes: list[str]


class Confidence(Part):
    """Histogram of the largest posterior of each cell, in equal bins of [0, 1]."""

    members: list[Count]
    nonmembers: list[Count]


class PartOfScenes(Part):
    """The leak of one part of the scenes alone; None if too few groups have the part."""

    cut: str
    part: str
    auc: Share | None
    low: Share | None
    high: Share | None
    members: Count
    nonmembers: Count


class Canaries(Part):
    """The leak of the scenes with wrong labels alone; None if a side has fewer than two groups of them."""

    kind: str
    auc: Share | None
    low: Share | None
    high: Share | None
    members: Count
    nonmembers: Count
    epsilon: Epsilon


class BySize(Ranked):
    """What an attack achieves with some of the shadows. compared: how many shadows a scene is compared with."""

    trained: Count
    compared: Count


class Alike(Part):
    """A member and the non-member that looks most like it."""

    member: str
    nonmember: str


class NearTwins(Part):
    """Members that look nearly like a non-member: no attack can be expected to tell such two apart.

    members: how many do, of how many. distance: the most bits of 256 in which perceptual hashes of near twins differ.
    pairs: the first ones, the most similar before others.
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
    """The attack's AUC and TPRs less those of the image loss on the same answers."""

    auc: Difference
    tpr_at_fpr: dict[str, Difference | str]


class Change(Part):
    """The defended model's mIoU less the undefended one's, on the same scenes."""

    members: Difference
    nonmembers: Difference


class Privacy(Part):
    """The proven privacy of the victim's training: epsilon at delta for adding or removing one scene; None: infinite.

    noise: its standard deviation, in clips. clip: the largest norm of a scene's gradient.
    """

    epsilon: Annotated[float, Field(ge=0)] | None
    delta: Annotated[float, Field(gt=0, lt=1)]
    accountant: str
    noise: Annotated[float, Field(ge=0)]
    clip: Annotated[float, Field(gt=0)]


class Result(Part):
    """The result of one attack on one defense at one seed: a JSON file of numbers, seeds, digests and versions.

    controls, epsilon, confidence, left_out: None in old results. exposed: None also if scenes come in groups.
    by_shadows, image_loss, above_loss: only for attacks that compare with a fleet. near_twins: None if no member has
    one, for generated scenes, and in old results. where: the leak of each part of the scenes. tuned: settings of the
    attacker that differ from those asked for. utility, shadow_utility: None if the scenes have no labels.
    utility_change: only for defended models; None also without labels and in old results. knows: whether the attacker
    trains as the victim does; only for victims whose training is not plain. privacy: only for trainings with a proof.
    canaries: only for victims that trained on some; canaries count nowhere else.
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
            raise ValueError("levels holds no 'image', which every attack is measured on")
        return self

    @property
    def scores(self) -> SceneScores | None:
        """The attack's score of every scene; None where no file of them lies beside the result's."""
        return self._scores

    def with_scores(self, scores: SceneScores | None) -> "Result":
        """Itself, with scores."""
        self._scores = scores
        return self

    def dump(self) -> dict[str, Any]:
        """The JSON of its file."""
        return self.model_dump(mode="json", by_alias=True)


def json_schema() -> dict[str, Any]:
    """The JSON schema of a result's file."""
    return Result.model_json_schema(by_alias=True, mode="serialization")
