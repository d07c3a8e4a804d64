"""Who may ask, and how often."""

import hmac
import time
from collections import deque

MINUTE = 60.0
MANY = 10_000  # clients after which those that are long gone are forgotten


class Limit:
    """At most so many requests a client in any 60 seconds."""

    def __init__(self, requests: int | None) -> None:
        self.requests = requests
        self._asked: dict[str, deque[float]] = {}

    def wait(self, client: str) -> float | None:
        """Count a request; None where it may pass, else the seconds until one may, and nothing is counted."""
        if self.requests is None:
            return None
        now = time.monotonic()
        asked = self._asked.setdefault(client, deque())
        while asked and asked[0] <= now - MINUTE:
            asked.popleft()
        if len(asked) >= self.requests:
            return asked[0] + MINUTE - now
        asked.append(now)
        if len(self._asked) > MANY:
            self._forget(now - MINUTE)
        return None

    def _forget(self, before: float) -> None:
        self._asked = {client: asked for client, asked in self._asked.items() if asked and asked[-1] > before}


def shows(authorization: str | None, key: str) -> bool:
    """Whether a request's header holds the key, found out in a time that tells nothing of it."""
    return hmac.compare_digest((authorization or "").encode(), f"Bearer {key}".encode())
