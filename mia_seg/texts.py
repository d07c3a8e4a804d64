"""Reading users' text files in any common encoding, listing files, and making names printable."""

import codecs
import json
import tomllib
import unicodedata
from pathlib import Path
from typing import Any

from mia_seg.errors import MiaSegError

# A mark of UTF-32 begins as that of UTF-16 does; its zero bytes give it away.
MARKS = {codecs.BOM_UTF8: "UTF-8", codecs.BOM_UTF16_LE: "UTF-16-LE", codecs.BOM_UTF16_BE: "UTF-16-BE"}
LEFT_BEHIND = {"thumbs.db", "desktop.ini", "__macosx"}  # by Windows, and by archives of a Mac
UNSEEN = {"Cc", "Cs", "Zl", "Zp"}  # control characters, halves of characters, line and paragraph separators


def read_text(path: Path) -> str:
    r"""The text of a file in UTF-8 (with or without mark) or in UTF-16 with its mark; every line ends in '\n'.

    Raises FileNotFoundError, and MiaSegError naming the first line and byte of what is no such text.
    """
    raw = _bytes(path)
    mark = next((mark for mark in MARKS if raw.startswith(mark)), b"")
    content, encoding = raw.removeprefix(mark), MARKS.get(mark, "UTF-8")
    try:
        text = _lines(content.decode(encoding))
    except UnicodeDecodeError as error:
        line = _lines(content[: error.start].decode(encoding)).count("\n") + 1
        raise MiaSegError(
            f"{path}: byte {len(mark) + error.start + 1}, in line {line}, is 0x{content[error.start]:02x}, which is "
            f"not {encoding[:6].rstrip('-')}. Save the file as UTF-8."
        ) from None
    if "\0" in text:
        line = text.partition("\0")[0].count("\n") + 1
        raise MiaSegError(
            f"{path}: line {line} holds a zero byte, so that the file is no text in UTF-8. Save it as UTF-8."
        )
    return text


def read_lines(path: Path) -> list[str]:
    """The lines of a text that are not blank, each as it is. Raises what `read_text` does."""
    # Files that were joined may have marks inside; other separators than line ends may be part of a name.
    return [line for line in read_text(path).replace("\ufeff", "").split("\n") if line.strip()]


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file. Raises what `read_text` does, and MiaSegError for a text that is none."""
    text = read_text(path)
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # a number of thousands of digits is a ValueError of its own
        raise MiaSegError(f"{path} is not valid TOML: {error}.") from None


def read_json(path: Path) -> Any:
    """A JSON file. Raises what `read_text` does, and ValueError for a text that is none."""
    text = read_text(path)
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("lists or objects lie too deep in each other") from None


def files_below(folder: Path, pattern: str) -> list[Path]:
    """The files below a folder that match a glob pattern, sorted, without hidden ones and hidden folders.

    macOS leaves '._a.json' beside a.json. Raises MiaSegError for a name that is not UTF-8.
    """
    found = [path for path in folder.glob(pattern) if not is_hidden(path.relative_to(folder))]
    for path in found:
        check_name(path.relative_to(folder).as_posix(), folder)
    return sorted(path for path in found if path.is_file())


def is_hidden(path: Path) -> bool:
    """Whether it is a hidden file such as systems leave behind, or lies in a hidden folder."""
    return any(part.startswith(".") or part.lower() in LEFT_BEHIND for part in path.parts)


def check_name(name: str, folder: Path) -> None:
    """Raise MiaSegError for a file name that is not UTF-8: no list, result or page can hold it."""
    try:
        name.encode()
    except UnicodeEncodeError:
        raise MiaSegError(
            f"{folder}: the file name {name!r} is not UTF-8. Rename the file, or all of them with a tool like 'convmv "
            f"-f latin1 -t utf8 --notest FOLDER/*'."
        ) from None


def printable(text: str) -> str:
    r"""The text in one line: control characters and line breaks as their escapes ('\n', '\x1b')."""
    return "".join(ascii(c)[1:-1] if unicodedata.category(c) in UNSEEN else c for c in text)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise MiaSegError(f"{path} cannot be read ({error.strerror}). Put a readable text file there.") from None


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")
