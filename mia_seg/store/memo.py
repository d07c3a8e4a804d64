"""Findings about files, kept between processes."""

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from mia_seg.progress import track
from mia_seg.store._files import replace

THREADS = 4
MANY = 100  # from so many on there is a bar


class Memo:
    """digest -> finding. cache: the JSON file that keeps them."""

    def __init__(self, cache: Path) -> None:
        self.cache = cache
        self._known = _read(cache)

    def of(self, keys: Sequence[str], find: Callable[[int], Any], title: str) -> list[Any]:
        """The finding of each key, as JSON. Unknown ones are found by `find(place in keys)`, in threads, and kept."""
        lacking = [k for k, key in enumerate(keys) if key not in self._known]
        with ThreadPoolExecutor(THREADS) as pool:
            found = pool.map(find, lacking)
            rows = track(found, title, len(lacking)) if len(lacking) >= MANY else found
            try:
                self._known.update((keys[k], row) for k, row in zip(lacking, rows, strict=True))
            finally:  # what was found before one was refused, or before Ctrl-C, is kept too
                pool.shutdown(cancel_futures=True)
                if lacking:
                    self._save()
        return [self._known[key] for key in keys]

    def _save(self) -> None:
        """A store that takes no more loses nothing but time."""
        self._known = _read(self.cache) | self._known  # another process may have kept others meanwhile
        with suppress(OSError):
            replace(self.cache, json.dumps(self._known).encode())


def _read(cache: Path) -> dict[str, Any]:
    try:
        rows = json.loads(cache.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return rows if isinstance(rows, dict) else {}
