"""Parts of SVG drawings inside a page: marks, intervals and axes. The page's style sheet colours them."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

SHAPES = {
    "circle": "M-5 0a5 5 0 1 0 10 0a5 5 0 1 0-10 0z",
    "square": "M-4.5-4.5h9v9h-9z",
    "triangle": "M0-5.5L5.5 4.5h-11z",
    "diamond": "M0-6L6 0 0 6-6 0z",
    "down": "M0 5.5L5.5-4.5h-11z",
    "cross": "M-2-6h4v4h4v4h-4v4h-4v-4h-4v-4h4z",
}
HUES = 6  # classes h1 to h6 of the style sheet; h0 is the ink


def tag(name: str, *inside: str, **attributes: object) -> Markup:
    """An SVG element. 'stroke_width' stands for the attribute stroke-width, 'class_' for class. Text is escaped."""
    told = "".join(f' {key.rstrip("_").replace("_", "-")}="{escape(_short(v))}"' for key, v in attributes.items())
    body = Markup("").join(inside)
    return Markup(f"<{name}{told}>{body}</{name}>" if inside else f"<{name}{told}/>")


def shape(place: int, x: object, y: object, *, filled: bool = True) -> Markup:
    """The mark of a defense, by its place among the defenses; hollow if the attacker ignores the defense."""
    path = tag("path", d=list(SHAPES.values())[place % len(SHAPES)], class_="mark" if filled else "mark hollow")
    return tag("svg", path, x=x, y=y, overflow="visible")


def swatch(place: int, *, mark: bool = False) -> Markup:
    """The line, or the mark, of an entry in a legend."""
    drawn = shape(place, 17, 6) if mark else line(0, 6, 34, 6, f"d{place}")
    return tag("svg", drawn, class_=f"swatch {hue(place)}", aria_hidden="true")


def hue(place: int) -> str:
    """The style sheet's class of a colour; place 0 is the ink."""
    return f"h{1 + (place - 1) % HUES}" if place else "h0"


@dataclass(frozen=True)
class Axis:
    """An axis that maps values from `low` to `high` to pixels from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high, at = (math.log(v) if self.log else v for v in (self.low, self.high, max(value, self._least)))
        return self.start + (at - low) / (high - low) * (self.end - self.start)

    @property
    def _least(self) -> float:
        return self.low if self.log else -math.inf


def axes(x: Axis, y: Axis, ticks: tuple[Sequence[float], Sequence[float]], *, names: tuple[str, str]) -> Markup:
    """Two axes with their ticks and names. ticks, names: those of x, then those of y."""
    parts = [_line(x(t), y.start, x(t), y.end, "grid") for t in ticks[0]]
    parts += [_line(x.start, y(t), x.end, y(t), "grid") for t in ticks[1]]
    parts += [tag("text", f"{t:g}", x=x(t), y=y.start + 16, text_anchor="middle") for t in ticks[0]]
    parts += [tag("text", f"{t:g}", x=x.start - 6, y=y(t) + 4, text_anchor="end") for t in ticks[1]]
    parts.append(tag("text", names[0], x=(x.start + x.end) / 2, y=y.start + 34, text_anchor="middle"))
    middle = (y.start + y.end) / 2
    parts.append(tag("text", names[1], transform=f"translate(12 {_short(middle)}) rotate(-90)", text_anchor="middle"))
    return Markup("").join(parts)


def polyline(x: Iterable[float], y: Iterable[float], *, class_: str) -> Markup:
    """A line through points given in pixels."""
    steps = "L".join(f"{_short(a)} {_short(b)}" for a, b in zip(x, y, strict=True))
    return tag("path", d=f"M{steps}", class_=class_)


def line(x1: object, y1: object, x2: object, y2: object, class_: str) -> Markup:  # noqa: PLR0917 (as SVG has them)
    """A straight line."""
    return tag("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def picture(width: int, height: int, *inside: Markup, label: str, role: str = "img") -> Markup:
    """An SVG picture. label: its text alternative. role: 'img', or 'group' if the picture has links."""
    return tag("svg", *inside, viewBox=f"0 0 {width} {height}", class_="chart", role=role, aria_label=label)


_line = line


def _short(value: object) -> str:
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else str(value)
