"""A recipe: one TOML file that says all that shapes a model, victim or shadow. Its stem is its name."""

import hashlib
import json
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

import mia_seg
from mia_seg import data, plugins
from mia_seg.data import Dataset, Side
from mia_seg.errors import MiaSegError
from mia_seg.recipes.splits import SplitRule

Kind = Literal["victim", "shadow"]
Precision = Literal["32-true", "bf16-mixed", "16-mixed"]
Factor = Annotated[float, Field(gt=0)]
Byte = Annotated[int, Field(ge=0, le=255)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Train(_Section):
    """Optimisation: SGD with momentum under the poly schedule, lr * (1 - step/steps)^power."""

    epochs: int | None = Field(default=None, ge=1, description="passes over the scenes; this or `steps`")
    steps: int | None = Field(default=None, ge=1, description="steps in all, as published recipes count")
    batch: int = Field(ge=2, description="scenes a step, on all devices together; batch normalisation needs two")
    accumulate: int = Field(
        default=1, ge=1, description="parts that a step's batch is processed in; batch norm's statistics are a part's"
    )
    lr: float = Field(gt=0)
    head_lr: float = Field(default=1.0, gt=0, description="factor on lr outside the backbone (PSPNet: 10)")
    momentum: float = Field(default=0.9, ge=0, lt=1)
    weight_decay: float = Field(default=1e-4, ge=0)
    power: float = Field(default=0.9, gt=0)
    crop: tuple[Side, Side] = Field(description="(height, width) of a training crop")
    scale: tuple[Factor, Factor] = Field(default=(1.0, 1.0), description="range of the random rescaling")
    fill: tuple[Byte, Byte, Byte] | None = Field(
        default=None, description="RGB beyond the edges of a scene smaller than the crop; default: black"
    )
    flip: bool = Field(default=True, description="mirror half of the scenes")
    precision: Precision = "32-true"
    start: str | None = Field(default=None, description="a victim recipe whose weights to begin with")

    @model_validator(mode="after")
    def _possible(self) -> "Train":
        if (self.epochs is None) == (self.steps is None):
            raise ValueError("give epochs or steps, one of the two")
        if self.batch % self.accumulate or self.batch // self.accumulate < 2:
            raise ValueError(
                f"batch = {self.batch} is not accumulate = {self.accumulate} parts of two scenes or more. Change one"
            )
        return self

    @model_serializer(mode="wrap")
    def _dump(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # What was trained before these keys came keeps its digest.
        came_later = {"epochs": None, "steps": None, "accumulate": 1, "fill": None, "start": None}
        return {k: v for k, v in dump(self).items() if k not in came_later or v != came_later[k]}


class Window(_Section):
    """How the service reads an image that is larger than its window; absent: the image in one piece."""

    size: tuple[Side, Side] = Field(description="(height, width) of a window")
    overlap: float = Field(default=1 / 3, ge=0, lt=1, description="share of a window that its neighbour covers")
    mirror: bool = Field(default=False, description="add the logits of every window's mirror image")


class TrainGenerator(_Section):
    """Optimisation of a generator of features: Adam at a constant rate that then falls linearly (BicycleGAN)."""

    epochs: int = Field(default=40, ge=1, description="passes over the scenes (thesis 6.3.1: 60 and 20)")
    decay: float = Field(
        default=0.5, ge=0, le=1, description="share of the epochs, at the end, in which the rate falls"
    )
    batch: int = Field(default=4, ge=2, multiple_of=2, description="half is encoded, half is what is to be met")
    lr: float = Field(default=2e-4, gt=0)
    reconstruction: float = Field(default=10.0, ge=0, description="weight of the L1 term (BicycleGAN: 10)")
    decoding: float = Field(
        default=0.0,
        ge=0,
        description="weight of the cross-entropy between what drawn and real features decode to (thesis: 0)",
    )
    held_out: float = Field(default=0.1, gt=0, lt=1, description="share of the members kept aside for the score")
    layout: Literal["labels", "predictions"] = Field(
        default="labels",
        description="what the generator learns from: labels, ignored pixels filled by the segmenter's "
        "prediction, or its predictions everywhere",
    )


class Synthetic(_Section):
    """Features that a generator draws join the real scenes of each batch and teach the decoder (thesis, chapter 6)."""

    of: str = Field(
        description="the victim recipe, at the same seed, whose weights this one begins with and whose generator draws"
    )
    share: float = Field(
        default=0.3, ge=0, lt=1, description="share of a batch that is drawn, beside `batch` scenes; 0: the control"
    )
    smoothing: float = Field(
        default=0.1, ge=0, lt=1, description="epsilon of equation 6.3 (ADE20K: 0.1, Cityscapes: 1e-4)"
    )
    mine: int = Field(
        default=12, ge=0, description="layouts looked at every 10 steps, the harder half of which is drawn for; 0: any"
    )
    masks: Literal["members", "labels", "pseudo"] = Field(
        default="members",
        description="for a quarter of the layouts: labels or pseudo-labels of scenes that are in no part of the split",
    )
    data: dict[str, Any] | None = Field(
        default=None, description="another data set, as in [data], to take those scenes from"
    )


class Adversary(_Section):
    """What the attacker knows, and how it comes by its shadow's members (thesis 7.2).

    A1 owns the split's pool and asks the victim about it; `victim`, `choose` and `members` say how.
    A2 knows the task alone: other data, never a query. Its shadow trains on its own split's members.
    """

    kind: Literal["A1", "A2"]
    victim: str | None = Field(default=None, description="A1: the recipe whose service the attacker queries")
    choose: Literal["confidence", "random", "listed", "halves"] | None = Field(
        default=None,
        description="A1: the shadow's members: the scenes the victim is surest of, drawn at random (the control), "
        "or those of a published list; or many shadows, each trained on a random half of the audited scenes",
    )
    members: Annotated[int, Field(ge=1)] | str | None = Field(
        default=None,
        description="A1: how many scenes the shadow trains on, or the file that lists them; the rest of the pool are "
        "its non-members",
    )
    models: int | None = Field(
        default=None, ge=4, multiple_of=2, description="A1, choose = 'halves': how many shadows; two share the scenes"
    )
    stride: int = Field(default=8, ge=1, description="answers are kept at every stride-th pixel")

    @model_validator(mode="after")
    def _what_each_knows(self) -> "Adversary":
        count, other = ("models", "members") if self.choose == "halves" else ("members", "models")
        given = {name: getattr(self, name) is not None for name in ("victim", "choose", "members", "models")}
        if self.kind == "A2" and any(given.values()):
            extra = ", ".join(name for name, there in given.items() if there)
            raise ValueError(f"adversary A2 asks no victim and chooses no members: leave out {extra}")
        if self.kind == "A1" and given.pop(other):
            raise ValueError(f"{other} does not go with choose = '{self.choose}': give {count} instead")
        if self.kind == "A1" and not all(given.values()):
            lacking = ", ".join(name for name, there in given.items() if not there)
            raise ValueError(f"adversary A1 queries a victim to choose its shadow's members: give {lacking}")
        if self.kind == "A1" and isinstance(self.members, str) != (self.choose == "listed"):
            raise ValueError("members must be a file where choose = 'listed', and a count elsewhere")
        return self


class Recipe(_Section):
    """Everything that shapes a model and its generator. `attacks` and `adversary` belong to shadows alone."""

    data: dict[str, Any]
    split: SplitRule
    segmenter: dict[str, Any]
    train: Train
    window: Window | None = None
    generator: dict[str, Any] = Field(default_factory=lambda: {"name": "dfgan"}, description="of features, for synfeat")
    train_generator: TrainGenerator = TrainGenerator()
    synthetic: Synthetic | None = None
    adversary: Adversary | None = None
    attacks: dict[str, dict[str, Any]] = Field(default_factory=dict, description="settings by attack")

    @model_validator(mode="after")
    def _one_beginning(self) -> "Recipe":
        if self.synthetic is not None and self.train.start is not None:
            raise ValueError("[synthetic] begins with the weights of its victim: leave out [train] start")
        if self.synthetic is not None and self.adversary is not None:
            raise ValueError(
                "[synthetic] goes on from a victim's weights, and no attacker has them: leave it out of a shadow"
            )
        return self

    def dataset(self) -> Dataset:
        """The data set that `[data]` names, with its settings."""
        return plugins.from_section(data, Dataset, self.data, "[data]")

    def digest(self, *sections: str) -> str:
        """Twelve hex digits over the named sections."""
        return digest({section: self.model_dump(mode="json")[section] for section in sections})


def digest(parts: object) -> str:
    """Twelve hex digits of SHA-256 over the canonical JSON of `parts`."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]


def folders(kind: Kind) -> list[Path]:
    """Where recipes of a kind are looked for: the working directory first, then what came with mia-seg."""
    package = Path(mia_seg.__file__).parent
    # An installed wheel carries the recipes inside the package; a checkout has them beside it.
    return [Path.cwd() / f"{kind}s", package / f"{kind}s", package.parent / f"{kind}s"]


def names(kind: Kind) -> list[str]:
    """The recipes of a kind, sorted."""
    return sorted({path.stem for folder in folders(kind) for path in folder.glob("*.toml")})


def find(kind: Kind, name: str) -> Path:
    """The file of the recipe `name`. Raises MiaSegError with the nearest names."""
    for folder in folders(kind):
        if (folder / f"{name}.toml").is_file():
            return folder / f"{name}.toml"
    raise MiaSegError(f"No {kind} recipe is called '{name}'.{plugins.nearest(name, names(kind))}")


def load(kind: Kind, name: str) -> Recipe:
    """The validated recipe `name`; a wrong key or value is refused naming the file, the key and the allowed keys."""
    path = find(kind, name)
    try:
        recipe = Recipe(**tomllib.loads(path.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise MiaSegError(f"{path} is not valid TOML: {error}.") from None
    except ValidationError as error:
        raise MiaSegError(plugins.explain(error, Recipe, str(path))) from None
    if (kind == "shadow") != (recipe.adversary is not None):
        verb = "needs" if kind == "shadow" else "must not have"
        raise MiaSegError(f"{path}: a {kind} {verb} a section [adversary].")
    plugins.from_section(data, Dataset, recipe.data, f"{path}: [data]")
    return recipe
