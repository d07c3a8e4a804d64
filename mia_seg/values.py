"""The values that a setting may have: how large, and why no larger.

A switch is no number, a whole number is written without a point, and nothing is infinite: `true`, `8.0` and `inf` are
slips. The upper bounds are far beyond what anyone has used; they are what keeps a slip of the hand from running for
ever or filling the memory.

Where a type sets no lower bound, each field that is of it sets its own: of two, pydantic takes the type's.
"""

from typing import Annotated
from unicodedata import category

from pydantic import AfterValidator, Field

# Refused: true for 1, 8.0 for 8, '8' for 8.
_WHOLE = Field(strict=True)
_FINITE = Field(strict=True, allow_inf_nan=False)

Switch = Annotated[bool, Field(strict=True)]
Whole = Annotated[int, _WHOLE]
Finite = Annotated[float, _FINITE]

# Pixels or cells along one side: a JPEG holds no longer one.
Side = Annotated[int, _WHOLE, Field(ge=1, le=65_535)]
Byte = Annotated[int, _WHOLE, Field(ge=0, le=255)]
# Scenes: no data set of dense labels has a hundred million.
Scenes = Annotated[int, _WHOLE, Field(le=10**8)]
# Passes over all scenes: published trainings take some hundreds.
Epochs = Annotated[int, _WHOLE, Field(ge=1, le=10**6)]
# Scenes or patches that are processed at once: the largest published batches have some ten thousands.
Batch = Annotated[int, _WHOLE, Field(ge=2, le=10**5)]
# A step size, or a factor on one, within single precision. Training itself stops where one is too large.
Rate = Annotated[float, _FINITE, Field(gt=0, le=1e38)]
# Weights of terms, exponents, temperatures, noise: of all that is trained and answered here, numbers near one.
Weight = Annotated[float, _FINITE, Field(ge=0, le=10**6)]
Factor = Annotated[float, _FINITE, Field(gt=0, le=10**6)]
# What exponents are divided by: nearer to 0 or to infinity all scores are one.
Temperature = Annotated[float, _FINITE, Field(ge=1e-6, le=10**6)]
# A share of a whole, without the whole (`Share`) or with it (`Part`).
Share = Annotated[float, _FINITE, Field(ge=0, lt=1)]
Part = Annotated[float, _FINITE, Field(ge=0, le=1)]
# Layers of a network of our own making: wider ones than any published.
Width = Annotated[int, _WHOLE, Field(le=4096)]


def named(text: str, most: int = 100) -> str:
    """The text where it can name a file of a recipe, or ValueError.

    A recipe's name becomes part of the names of folders and files, which have 255 bytes at most.
    """
    if not text or "/" in text or text.startswith("."):
        raise ValueError("a name is a file's name without its ending: no path, and no dot in front")
    if len(_writable(text).encode()) > most:
        raise ValueError(f"a name has at most {most} bytes")
    return text


def _writable(text: str) -> str:
    """Refuse what is in no name of a file (a null byte, a line break), or cannot be written (half a surrogate pair)."""
    if any(category(letter) in ("Cc", "Cs") for letter in text):
        raise ValueError("a name has no control characters, no line break and no byte that is not UTF-8")
    return text


def _short_steps(path: str) -> str:
    """Each step of a path is a file's name."""
    if any(len(step.encode()) > 255 for step in path.split("/")):
        raise ValueError("a file's name has at most 255 bytes")
    return path


Name = Annotated[str, Field(strict=True), AfterValidator(named)]
# A file or folder below another one.
Below = Annotated[
    str, Field(strict=True, min_length=1, max_length=1000), AfterValidator(_writable), AfterValidator(_short_steps)
]
