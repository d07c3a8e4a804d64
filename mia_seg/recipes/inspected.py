"""The JSON of `mia-seg check --all`, as one typed model."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
Size = tuple[int, int]  # height and width in pixels


class Part(BaseModel):
    """Base of all parts. Unknown keys, NaN and infinite numbers are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Sizes(Part):
    """Of the images. smallest, largest: by their pixels."""

    smallest: Size
    largest: Size
    distinct: Count


class LabelValue(Part):
    """A stored value, an id or a colour [R, G, B]. name: of its class; None if it is ignored or unknown.

    unknown: neither the class map nor the data set's table has it. share: of all pixels of the label files.
    """

    value: int | tuple[int, int, int]
    name: str | None
    unknown: bool
    pixels: Count
    share: Share


class Scenes(Part):
    """How many scenes, and the stems of the first five."""

    count: Count
    first: list[str]


class TwinScenes(Part):
    """How many scenes have a twin, and the first five pairs."""

    count: Count
    first: list[tuple[str, str]]


class DataPart(Part):
    """One folder of a data set, read one way.

    images, labels: numbers of files by Pillow's format, mode and depth, such as 'PNG L 8-bit'. ignored, unknown: shares
    of the pixels of all label files; the data set's table or the class map says what is ignored. unlabelled: scenes
    without a pixel of any class. exact: scenes whose image equals another. near: scenes whose image looks like another.
    unreadable: a sentence for each file or pair that cannot be read.
    """

    dataset: str
    part: str
    scenes: Count
    sizes: Sizes | None
    images: dict[str, Count]
    labels: dict[str, Count]
    classes: Count
    values: list[LabelValue]
    ignored: Share
    unknown: Share
    with_unknown: Scenes
    unlabelled: Scenes
    exact: TwinScenes
    near: TwinScenes
    unreadable: list[str]

    @property
    def title(self) -> str:
        """'cityscapes: train, fine'."""
        return ": ".join(filter(None, [self.dataset, self.part]))


class Inspection(Part):
    """All data sets below a root.

    exact_across, near_across: images with a twin in another part, each counted in the part that it was first found in.
    problems: data sets and parts that could not be listed and so were not read, and unknown label values. absent:
    missing data sets. unnamed: folders below the root that no data set and no recipe reads.
    """

    schema_: Literal[1] = Field(default=1, alias="schema")
    data_root: str
    parts: list[DataPart]
    exact_across: TwinScenes
    near_across: TwinScenes
    problems: list[str]
    absent: list[str]
    unnamed: list[str]

    def faults(self) -> list[str]:
        """Every sentence about something unreadable or unknown, once."""
        return list(dict.fromkeys([*self.problems, *(line for part in self.parts for line in part.unreadable)]))

    def dump(self) -> dict[str, Any]:
        """The JSON."""
        return self.model_dump(mode="json", by_alias=True)
