"""Adversaries: what an attacker knows, and how it chooses its shadow's members (thesis 7.2)."""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from mia_seg.recipes.sections import Section
from mia_seg.values import Below, Name, Scenes, Side, Whole

CHOOSING = ("victim", "choose", "members", "models")  # adversary A1's
# LiRA's authors train 256; more than ten thousand would be a slip.
Models = Annotated[Whole, Field(ge=4, le=10**4, multiple_of=2)]
STRIDE = Field(default=8, description="answers are kept at every stride-th pixel")


class A1(Section):
    """Adversary A1 has the split's pool, asks the victim about it, and trains one shadow on part of it."""

    kind: Literal["A1"]
    victim: Name = Field(description="the recipe whose service the attacker queries")
    choose: Literal["confidence", "random", "listed"] = Field(
        description="the shadow's members: the scenes the victim is surest of, drawn at random (the control), or those "
        "of a published list; 'halves': many shadows, each trained on a random half of the audited scenes"
    )
    members: Annotated[Scenes, Field(ge=1)] | Below = Field(
        description="how many scenes the shadow trains on, or the file that lists them; the rest of the pool are its "
        "non-members"
    )
    stride: Side = STRIDE

    @model_validator(mode="before")
    @classmethod
    def _of_one(cls, given: dict[str, Any]) -> dict[str, Any]:
        return _keys(given, "members", "models")

    @model_validator(mode="after")
    def _file_or_count(self) -> "A1":
        if isinstance(self.members, str) != (self.choose == "listed"):
            raise ValueError("members must be a file where choose = 'listed', and a count elsewhere")
        return self


class Fleet(Section):
    """Adversary A1 with many shadows: each is trained on a random half of the audited scenes."""

    kind: Literal["A1"]
    victim: Name = Field(description="the recipe whose service the attacker queries")
    choose: Literal["halves"]
    models: Models = Field(description="number of shadows; two of them share the scenes")
    stride: Side = STRIDE

    @model_validator(mode="before")
    @classmethod
    def _of_many(cls, given: dict[str, Any]) -> dict[str, Any]:
        return _keys(given, "models", "members")


class A2(Section):
    """Adversary A2 knows only the task. Its shadow trains on its own data, and the victim is not asked before."""

    kind: Literal["A2"]
    stride: Side = STRIDE

    @model_validator(mode="before")
    @classmethod
    def _asks_nobody(cls, given: dict[str, Any]) -> dict[str, Any]:
        if extra := [key for key in CHOOSING if key in given]:
            raise ValueError(f"adversary A2 asks no victim and chooses no members: leave out {', '.join(extra)}")
        return given

    @property
    def choose(self) -> str:
        """Nothing is chosen."""
        return ""


class Screen(Section):
    """An audit without shadows: auditors know the members of their own model, ask only it, and train nothing."""

    kind: Literal["screen"] = "screen"
    stride: Side = STRIDE

    @property
    def choose(self) -> str:
        """Nothing is chosen."""
        return ""


def _keys(given: dict[str, Any], count: str, other: str) -> dict[str, Any]:
    """Adversary A1's keys are all there, and none of its other form."""
    if other in given:
        raise ValueError(f"{other} does not go with choose = '{given.get('choose')}': give {count} instead")
    if set(given) - {*CHOOSING, "kind", "stride"}:
        return given  # a key is misspelt: that is told before what it leaves missing
    if lacking := [key for key in ("victim", "choose", count) if key not in given]:
        raise ValueError(f"adversary A1 queries a victim to choose its shadow's members: give {', '.join(lacking)}")
    return given


def _tag(given: Any) -> str:
    """Which adversary a table is; a wrong kind is left to the plainest of them to refuse."""
    kind, choose = (given.get(key) if isinstance(given, dict) else getattr(given, key) for key in ("kind", "choose"))
    return "A2" if kind == "A2" else "Fleet" if choose == "halves" else "A1"


Adversary = Annotated[
    Annotated[A1, Tag("A1")] | Annotated[Fleet, Tag("Fleet")] | Annotated[A2, Tag("A2")], Discriminator(_tag)
]
