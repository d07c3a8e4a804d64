"""Answers of a paid service on disk: every answer, the number of requests sent, and a log of them."""

import hashlib
import io
import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from mia_seg.errors import MiaSegError
from mia_seg.store import replace, writing
from mia_seg.store._locks import locked


class Kept:
    """A folder: `answers/<SHA-256>-<key>.npy`; `sent`, a byte a request; `log.jsonl`, a line a request."""

    def __init__(self, folder: Path, budget: int | None) -> None:
        self.folder, self.budget = folder, budget

    @property
    def sent(self) -> int:
        """How many requests were sent so far, by any process."""
        try:
            return (self.folder / "sent").stat().st_size
        except FileNotFoundError:
            return 0

    @property
    def left(self) -> int | None:
        """How many requests the budget leaves; None where there is no budget."""
        return None if self.budget is None else max(0, self.budget - self.sent)

    def spend(self) -> bool:
        """Count a request before it is sent; False where the budget leaves none."""
        with writing(self.folder), locked(self.folder / "lock", _wait):
            if self.left == 0:
                return False
            with (self.folder / "sent").open("ab", buffering=0) as file:
                file.write(b".")
        return True

    def note(self, image: str, status: int | str, *, seconds: float, size: int) -> None:
        """A line of the log. image: SHA-256 of what was sent; size: bytes of the answer."""
        row = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"), "image": image, "status": status,
            "ms": round(1000 * seconds), "bytes": size,
        }  # fmt: skip
        with writing(self.folder), (self.folder / "log.jsonl").open("ab", buffering=0) as file:
            file.write((json.dumps(row) + "\n").encode())

    def answer(self, image: str, key: int) -> np.ndarray | None:
        """The answer that was paid for, if one was. Raises MiaSegError where its file is damaged."""
        path = self._path(image, key)
        try:
            return np.asarray(np.load(path, allow_pickle=False))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, EOFError) as error:
            raise MiaSegError(
                f"{path} is a kept answer that cannot be read ({type(error).__name__}). Remove it, and the service is "
                f"asked once more."
            ) from None

    def keep(self, image: str, key: int, answer: np.ndarray) -> None:
        """Write an answer, whole or not at all."""
        file = io.BytesIO()
        np.save(file, answer, allow_pickle=False)
        with writing(self.folder):
            replace(self._path(image, key), file.getvalue())

    def answered(self) -> Counter[int]:
        """How many answers are kept under each key: of an image that is asked about in windows, one a window."""
        names = (path.stem.rpartition("-")[2] for path in (self.folder / "answers").glob("*.npy"))
        return Counter(int(name) for name in names if name.isdecimal())

    def _path(self, image: str, key: int) -> Path:
        return self.folder / "answers" / f"{image}-{key}.npy"


def sha256(given: np.ndarray) -> str:
    """Hex digits over type, shape and content."""
    hashed = hashlib.sha256(f"{given.dtype.str}{given.shape}".encode())
    hashed.update(np.ascontiguousarray(given).data)
    return hashed.hexdigest()


def _wait() -> None:
    """Another process is counting; it takes no time worth a word."""
