"""Pages and texts from their templates: escaped, self-contained, and with a stamp of their inputs."""

import hashlib
import json
import re
from collections.abc import Iterable
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
from markupsafe import Markup, escape

from mia_seg import __version__
from mia_seg.report.glossary import TERMS
from mia_seg.store import replace, writing
from mia_seg.texts import printable

HERE = Path(__file__).parent
# Characters that begin or end Markdown or HTML markup; without brackets and underscores in harmless places.
MARKUP = re.compile(r"[\\`*$~]|<(?=[A-Za-z/!?])|&(?=#?\w+;)|(?<!\w)_|_(?!\w)|#$|](?=\()")
STAMP = re.compile(r"\n<!-- drawn from ([0-9a-f]{64}), ([0-9a-f]{64}) -->\n\Z")
WORD = re.compile(rf"\b({'|'.join(word for word in TERMS if word.isalpha())})\b|95%")


def page(template: str, content: dict[str, Any]) -> str:
    """The text of a page, from a template in this folder and its values."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=jinja2.select_autoescape(["html.j2"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"cell": markdown_cell, "plain": markdown, "abbreviated": abbreviated, "json": json.dumps}
    numbers = count()
    shared = {"css": _own("page.css"), "js": _own("page.js"), "version": __version__, "unique": lambda: next(numbers)}
    # Loops and macros leave runs of empty lines, which are reduced to one.
    return re.sub(r"\n{3,}", "\n\n", environment.get_template(template).render(shared | content)).lstrip()


def put(path: Path, text: str, digest: str = "") -> Path:
    """Write a text, with a stamp if there is a digest; its path. A file with the same bytes is not touched."""
    content = text + (f"\n<!-- drawn from {_made(digest, path)}, {_hash([text.encode()])} -->\n" if digest else "")
    with writing(path):
        if not path.is_file() or path.read_bytes() != content.encode():
            path.parent.mkdir(parents=True, exist_ok=True)
            replace(path, content.encode())
    return path


def fresh(path: Path, digest: str) -> bool:
    """Whether a page was made from inputs of this digest by the present code, and has not been edited since."""
    text = path.read_text("utf-8", errors="replace") if path.is_file() else ""
    stamp = STAMP.search(text)
    return bool(stamp and stamp[1] == _made(digest, path) and stamp[2] == _hash([text[: stamp.start()].encode()]))


def digest_of(files: Iterable[Path], *facts: object) -> str:
    """64 hex digits, the hash of the files' names and content and of further facts."""
    parts = [part for path in files for part in (path.name.encode(), path.read_bytes())]
    return _hash([*parts, repr(facts).encode()])


def abbreviated(text: str, link: bool = False) -> Markup:
    """A text in which glossary words have their meaning as a tooltip. link: they also link to the glossary."""
    parts, at = [], 0
    for found in WORD.finditer(text):
        parts += [escape(text[at : found.start()]), _term(found[0], link)]
        at = found.end()
    return Markup("").join([*parts, escape(text[at:])])


def _term(word: str, link: bool) -> Markup:
    told = Markup('<a class="term" href="#term-{}" title="{}">{}</a>' if link else '<abbr title="{1}">{2}</abbr>')
    return told.format(quote(word), TERMS[word], word)


def markdown_cell(text: str) -> str:
    """A text escaped for a cell of a Markdown table."""
    return markdown(text).replace("|", "\\|")


def markdown(text: str) -> str:
    """A text escaped for Markdown, since names may look like markup or HTML."""
    return MARKUP.sub(r"\\\g<0>", printable(text))


def _made(digest: str, path: Path) -> str:
    """The hash of a page's inputs and of the code that draws such pages."""
    return _hash([digest.encode(), _code(path.suffix).encode()])


@cache
def _code(suffix: str) -> str:
    other = (".md.j2",) if suffix == ".html" else (".html.j2", ".css", ".js")
    files = sorted(path for path in HERE.iterdir() if path.is_file() and not path.name.endswith(other))
    return __version__ + _hash([path.read_bytes() for path in files])


@cache
def _own(name: str) -> Markup:
    """The content of a style sheet or script of this folder, to be put into a page."""
    return Markup((HERE / name).read_text("utf-8"))


def _hash(parts: Iterable[bytes]) -> str:
    found = hashlib.sha256()
    for part in parts:
        found.update(len(part).to_bytes(8, "big") + part)
    return found.hexdigest()
