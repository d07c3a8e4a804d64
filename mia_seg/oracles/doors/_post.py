"""Sending HTTP requests: counted before they are sent, at a limited rate, with retries, without redirects."""

import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, NoReturn

from mia_seg import __version__
from mia_seg.errors import MiaSegError
from mia_seg.oracles import protocol
from mia_seg.oracles.doors._kept import Kept

if TYPE_CHECKING:
    import httpx

BACK_OFF, LONGEST = 0.5, 30.0  # seconds before the first repeat, doubled each time, and the longest of them
LARGEST = 1 << 30  # bytes of an answer: 19 classes of 2048 x 4096 pixels in FP32 are 0.6 GiB
HINT = 5.0  # seconds for what the service says of its model
BUSY = {408, 425, 429}


@dataclass(frozen=True)
class Manners:
    """How a service is treated. timeout and patience: seconds; rate: requests a second; retries: repeats a request."""

    timeout: float
    rate: float | None
    retries: int
    patience: float


@dataclass(frozen=True)
class Reply:
    """An answer of status 200. length: the header that says where its JSON ends."""

    body: bytes
    length: str | None


class _Again(Exception):
    """A request without an answer that may have one when it is repeated. why: the end of 'it ...'."""

    def __init__(self, why: str, status: int | str, wait: float | None = None) -> None:
        super().__init__(why)
        self.why, self.status, self.wait = why, status, wait


class Post:
    """Sends requests to one model. key: the header that carries it; it is neither shown nor kept."""

    def __init__(self, url: str, key: dict[str, str], manners: Manners) -> None:
        self.url, self.keyed, self.manners, self._next = url, bool(key), manners, 0.0
        # Reading the certificates of all authorities takes a while, and plain HTTP asks for none.
        self.client = _client(key, manners.timeout, verify=url.startswith("https:"))
        weakref.finalize(self, self.client.close)

    def __call__(self, body: bytes, headers: dict[str, str], *, image: str, kept: Kept) -> Reply:
        """The reply to a request. Raises MiaSegError where the budget is spent, or where repeats did not help."""
        for repeat in range(self.manners.retries + 1):
            self._pace()
            if not kept.spend():
                refuse(f"[door] budget = {kept.budget} requests is spent: 0 are left. Raise it; what was paid is kept")
            try:
                return self._send(body, headers, image=image, kept=kept)
            except _Again as error:
                again = error
            if repeat < self.manners.retries:
                time.sleep(self._wait(again, repeat))
        times = f"{self.manners.retries + 1} requests" if self.manners.retries else "one request"
        lost = again.status == "unreachable"
        fix = "Start it, or correct [door] url" if lost else "Try later. Or raise [door] retries or timeout"
        refuse(f"it {again.why} ({times}). {fix}: what was answered is kept")

    def _send(self, body: bytes, headers: dict[str, str], *, image: str, kept: Kept) -> Reply:
        """Send once, and log it whatever becomes of it."""
        started, size = time.monotonic(), 0
        status: int | str = "failed"
        try:
            with _sentences(), self.client.stream("POST", f"{self.url}/infer", content=body, headers=headers) as reply:
                status = reply.status_code
                content = self._content(reply, started + self.manners.timeout)
                size = len(content)
                self._judge(reply, content)
                return Reply(content, reply.headers.get(protocol.LENGTH))
        except _Again as error:
            status = error.status
            raise
        finally:
            kept.note(image, status, seconds=time.monotonic() - started, size=size)

    def _content(self, reply: "httpx.Response", deadline: float) -> bytes:
        """All that is answered; a service that sends a little now and then does not hold us up for ever."""
        content = bytearray()
        for part in reply.iter_bytes():
            content += part
            if time.monotonic() > deadline:
                raise _Again(f"did not end its answer within {self.manners.timeout:g} s", "timeout")
            if len(content) > LARGEST:
                refuse(f"its answer is larger than {LARGEST >> 20} MiB. Ask about smaller images ([door.input] size)")
        return bytes(content)

    def _judge(self, reply: "httpx.Response", content: bytes) -> None:
        """Pass what may be an answer; say what any other status means."""
        status = reply.status_code
        if status in BUSY or status >= 500:
            raise _Again(f"answers with status {status}", status, _seconds(reply.headers.get("Retry-After")))
        if 300 <= status < 400:
            refuse(f"it redirects (status {status}), and key and images go nowhere else. Set [door] url to its target")
        if status in (401, 403):
            what = "refuses the key" if self.keyed else "wants a key"
            refuse(f"it {what} (status {status}). Let [door] key_env name an environment variable with a valid key")
        page = reply.headers.get("Content-Type", "").startswith("text/html") or content[:64].lstrip()[:1] == b"<"
        if page:
            refuse(f"it answers with a web page (status {status}). Set [door] url to the service, past any log-in page")
        if status != 200:
            refuse(f"it answers with status {status}.{self._known()} Correct {MEANING.get(status, REQUEST)}")

    def _known(self) -> str:
        """What the service says that the model takes and gives, where it says so: a hint behind an error."""
        with suppress(Exception):  # a hint alone: the status says that something is wrong already
            found = self.client.get(self.url, timeout=HINT).json()
            takes, gives = (protocol.plain([one["name"] for one in found[what]]) for what in ("inputs", "outputs"))
            return f" The model takes {takes} and gives {gives}."
        return ""

    def _pace(self) -> None:
        if self.manners.rate is not None:
            time.sleep(max(0.0, self._next - time.monotonic()))
            self._next = time.monotonic() + 1 / self.manners.rate

    def _wait(self, again: _Again, repeat: int) -> float:
        """Seconds before a repeat: as many as the service asks for, else more each time."""
        if again.wait is None:
            return min(LONGEST, BACK_OFF * 2**repeat)
        if again.wait > self.manners.patience:
            refuse(
                f"it {again.why} and asks to wait {again.wait:.0f} s. Try then: what was answered is kept. Or raise "
                f"[door] patience"
            )
        return again.wait


REQUEST = "[door] input_name and output_name, or what [door.input] makes of an image"
MEANING = {404: "[door] model, version or url", 405: "[door] url", 413: "[door.input] size: the image is too large"}


def refuse(why: str) -> NoReturn:
    """Raise the sentence."""
    raise MiaSegError(f"Door 'http': {why}.")


def _client(key: dict[str, str], timeout: float, *, verify: bool) -> "httpx.Client":
    try:
        import httpx  # noqa: PLC0415 (an extra)
    except ImportError:
        refuse("it needs httpx. Install it: pip install 'mia-seg[http]'")
    headers = {"User-Agent": f"mia-seg/{__version__}", "Accept-Encoding": "identity"} | key
    return httpx.Client(headers=headers, timeout=timeout, verify=verify, follow_redirects=False)


@contextmanager
def _sentences() -> Iterator[None]:
    """What httpx raises, as what may be repeated or as a sentence. Its own words may hold a header, and so the key."""
    import httpx  # noqa: PLC0415 (an extra)

    try:
        yield
    except httpx.TimeoutException:
        raise _Again("does not answer in time", "timeout") from None
    except (httpx.ConnectError, httpx.ProxyError):
        raise _Again("cannot be reached", "unreachable") from None
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, UnicodeError):
        refuse("[door] url names no host that can be looked up. Write http(s)://host[:port][/path]")
    except httpx.DecodingError:
        refuse("its answer is packed in a way that it does not announce. Turn compression off there")
    except httpx.RequestError:
        raise _Again("cuts the connection before the answer is whole", "cut") from None


def _seconds(text: Any) -> float | None:
    """Retry-After, in seconds or as a date; None where it is neither."""
    if text is None:
        return None
    with suppress(ValueError, OverflowError):
        return max(0.0, float(int(text)))
    with suppress(ValueError, TypeError):
        when = parsedate_to_datetime(text)
        return max(0.0, (when.replace(tzinfo=when.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
    return None
