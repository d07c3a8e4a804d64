"""Verdicts for other programs: JUnit XML for a CI, and a badge as a self-contained SVG."""

import unicodedata
from collections.abc import Sequence
from xml.etree import ElementTree as Tree
from xml.sax.saxutils import escape

from mia_seg.texts import printable
from mia_seg.verdict.gate import State, Verdict, overall

SUITE = "mia-seg gate"
LABEL = "membership leak"
COLOURS: dict[State, str] = {"pass": "#2c7a3f", "fail": "#b3261e", "cannot tell": "#6b6b6b"}
WORDS: dict[State, str] = {"pass": "pass", "fail": "fail", "cannot tell": "unknown"}
BADGE = """\
<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="20" role="img" aria-label="{title}">
<title>{title}</title>
<clipPath id="r"><rect width="{width}" height="20" rx="3"/></clipPath>
<g clip-path="url(#r)"><rect width="{left}" height="20" fill="#444"/>\
<rect x="{left}" width="{right}" height="20" fill="{colour}"/></g>
<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">
<text x="6" y="14" textLength="{label_length}" lengthAdjust="spacingAndGlyphs">{label}</text>
<text x="{place}" y="14" textLength="{length}" lengthAdjust="spacingAndGlyphs">{word}</text>
</g>
</svg>
"""


def junit(verdicts: Sequence[Verdict]) -> str:
    """A test case a verdict. What cannot be told is an error: a CI counts skipped ones as passed."""
    counts = {state: sum(verdict.state == state for verdict in verdicts) for state in COLOURS}
    numbers = {"tests": len(verdicts), "failures": counts["fail"], "errors": counts["cannot tell"], "skipped": 0}
    told = {name: str(number) for name, number in numbers.items()}
    root = Tree.Element("testsuites", told)
    suite = Tree.SubElement(root, "testsuite", {"name": SUITE} | told)
    for verdict in verdicts:
        _case(suite, verdict)
    Tree.indent(root)
    return Tree.tostring(root, encoding="unicode", xml_declaration=True).replace("us-ascii", "utf-8") + "\n"


def badge(verdicts: Sequence[Verdict]) -> str:
    """One badge for all: 'membership leak | pass'; every sentence is in its title."""
    state = overall(verdicts)
    label, word = _length(LABEL), _length(WORDS[state])
    title = escape(shown(" ".join([f"{LABEL}: {WORDS[state]}.", *map(str, verdicts)])), {'"': "&quot;"})
    return BADGE.format(
        width=label + word + 24, left=label + 12, right=word + 12, place=label + 18, label_length=label, length=word,
        colour=COLOURS[state], label=LABEL, word=WORDS[state], title=title,
    )  # fmt: skip


def shown(text: str) -> str:
    r"""The text in one line of characters that XML may hold: others as their escapes ('\x1b', '\uffff')."""
    return "".join(ascii(c)[1:-1] if unicodedata.category(c) == "Cn" else c for c in printable(text))


def _case(suite: Tree.Element, verdict: Verdict) -> None:
    name = f"{verdict.defense}: {verdict.limit}"
    case = Tree.SubElement(suite, "testcase", {"classname": shown(verdict.victim), "name": shown(name)})
    said = shown(str(verdict))
    if verdict.state == "pass":
        Tree.SubElement(case, "system-out").text = said
    else:
        kind = "failure" if verdict.state == "fail" else "error"
        Tree.SubElement(case, kind, {"message": said, "type": verdict.state}).text = said


def _length(text: str) -> int:
    """Pixels of a text of 11 points: `textLength` fits what a viewer's own letters need into them."""
    return round(6.6 * len(text))
