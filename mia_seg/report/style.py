"""The look of figures: one colour and marker for each defense in all figures, and small, reproducible files."""

import io
import re
import textwrap
from base64 import b64encode
from collections.abc import Iterable, Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

import matplotlib as mpl
import numpy as np
import seaborn as sns
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font
from matplotlib.lines import Line2D
from PIL import Image

from mia_seg.report.cells import UNDEFENDED, Cell, by_strength, defense_name
from mia_seg.texts import printable

DPI = 110
LARGEST_PNG = 150_000
FONT = "DejaVu Sans"
INK, GREY = "#222222", "#8a8a8a"
# Hues of seaborn's colour-blind palette, one for each family of defenses; those that print well come first.
HUES = (1, 0, 2, 4, 3, 5, 9, 8)
MARKERS = "sD^vPX<>p*h"
PALEST = 0.5
SETTINGS = {
    "font.size": 9, "axes.titlesize": 9, "axes.labelsize": 9, "legend.fontsize": 9, "legend.frameon": False,
    "axes.spines.top": False, "axes.spines.right": False, "svg.hashsalt": "mia-seg", "svg.fonttype": "none",
    "font.family": [FONT, "sans-serif"], "text.parse_math": False, "figure.constrained_layout.use": True,
}  # fmt: skip


@dataclass(frozen=True)
class Look:
    """The colour and the marker of each defense."""

    colours: dict[str, str]
    markers: dict[str, str]


def look(defenses: Iterable[str]) -> Look:
    """The look of some defenses: one hue for each family, paler for weaker settings, and a marker for each defense."""
    ordered = sorted({UNDEFENDED, *defenses}, key=by_strength)
    families = list(dict.fromkeys(name.partition(":")[0] for name in ordered[1:]))
    palette = sns.color_palette("colorblind").as_hex()
    colours = {UNDEFENDED: INK}
    for place, family in enumerate(families):
        of_family = [name for name in ordered if name.partition(":")[0] == family]
        hue = palette[HUES[place % len(HUES)]]
        colours |= {name: _paler(hue, i, len(of_family)) for i, name in enumerate(reversed(of_family))}
    markers = {name: MARKERS[place % len(MARKERS)] for place, name in enumerate(ordered[1:])}
    return Look(colours, {UNDEFENDED: "o"} | markers)


@contextmanager
def styled() -> Iterator[None]:
    """The settings inside which all figures are drawn. The caller's own settings neither affect figures nor change."""
    with mpl.rc_context(sns.axes_style("ticks") | SETTINGS):
        yield


def named(name: str, longest: int) -> str:
    r"""A name for a figure. Characters that the font lacks become escapes ('\\u8857'); long names keep their end."""
    text = "".join(c if ord(c) in _glyphs() else ascii(c).strip("'") for c in printable(name))
    return text if len(text) <= longest else f"…{text[-longest:]}"


@cache
def _glyphs() -> Set[int]:
    return get_font(findfont(FONT)).get_charmap().keys()


def wrapped(name: str, width: int = 24) -> str:
    """A name in lines of at most `width` characters, as far as it has commas or spaces to break at."""
    spaced = re.sub(r",(?=\S)", ", ", name)
    return textwrap.fill(spaced, width, break_long_words=False, break_on_hyphens=False)


def figure(width: float, height: float) -> Figure:
    """An empty figure of a size in inches, made without pyplot and thus without windows or global state."""
    return Figure(figsize=(width, height), dpi=DPI)


def settle(drawn: Figure) -> Figure:
    """Lay the figure out once. Otherwise each format, size and attempt to save it would repeat the layout."""
    engine = drawn.get_layout_engine()
    assert engine is not None
    engine.execute(drawn)
    drawn.set_layout_engine("none")
    return drawn


def inline(picture: bytes) -> str:
    """A PNG as the address of an image, so that a page holds it."""
    return f"data:image/png;base64,{b64encode(picture).decode()}"


def png(drawn: Figure) -> bytes:
    """The figure as a palette PNG. The resolution is lowered until the file has at most 150 kB."""
    for dpi in (DPI, 95, 80, 70, 60):
        content = _png(drawn, dpi)
        if len(content) <= LARGEST_PNG:
            break
    return content


def svg(drawn: Figure) -> bytes:
    """The figure as SVG without a date. Coordinates in tenths of a point, which nobody sees, save two thirds of it."""
    buffer = io.BytesIO()
    drawn.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = "\n".join(line.strip() for line in buffer.getvalue().decode().splitlines())
    text = re.sub(r'<g id="[^"]*">', "<g>", text)  # nothing refers to a group
    return re.sub(r' d="([^"]*)"', lambda path: f' d="{_shorter(path[1])}"', text).encode()


def legend(drawn: Figure, cells: Iterable[Cell], look_: Look, *, markers: bool) -> None:
    """Draw one legend above all panels, with the colour of each defense."""
    names = sorted({cell.defense for cell in cells}, key=by_strength)
    handles = [
        Line2D(
            [], [], color=look_.colours[name], marker=look_.markers[name] if markers else "",
            linestyle="" if markers else "-", linewidth=2, label=defense_name(name),
        )
        for name in names
    ]  # fmt: skip
    rows = -(-len(handles) // max(2, int(drawn.get_figwidth() / 1.35)))
    drawn.legend(handles=handles, loc="outside upper center", ncols=-(-len(handles) // rows))


def _paler(hue: str, place: int, count: int) -> str:
    share = PALEST * place / max(1, count - 1)
    return to_hex(sns.blend_palette([hue, "white"], 101)[round(100 * share)])


def _png(drawn: Figure, dpi: int) -> bytes:
    raw, small = io.BytesIO(), io.BytesIO()
    drawn.savefig(raw, format="png", dpi=dpi, facecolor="white")
    # Colours are chosen by coverage of the colour space and not by frequency: thin lines have few pixels.
    image = Image.open(raw).convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE, 2, dither=Image.Dither.NONE)
    image.save(small, format="png", optimize=True)
    return small.getvalue()


def _shorter(path: str) -> str:
    """A polyline as relative steps in tenths of a point. Other paths (markers, ticks) are short already."""
    if not re.fullmatch(r"M [^A-Za-z]+(L [^A-Za-z]+)+z?\s*", path):
        return " ".join(path.split())
    points = np.array(re.findall(r"-?\d+(?:\.\d+)?", path), float).reshape(-1, 2)
    # Points are rounded before steps are taken, because rounded steps would add up their errors.
    x, y = np.diff((points * 10).round(), axis=0, prepend=0).T / 10
    steps = " ".join(f"{a:g} {b:g}" for a, b in zip(x, y, strict=True))
    return f"m{steps}" + ("z" if path.rstrip().endswith("z") else "")
