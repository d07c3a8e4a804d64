"""A served model: Open Inference Protocol v2 over HTTP, as KServe, Triton, Seldon and `mia-seg serve` speak it."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote, urlsplit

import numpy as np
from pydantic import Field, model_validator

from mia_seg.oracles import protocol
from mia_seg.oracles.doors import Ask, Door
from mia_seg.oracles.doors._kept import Kept, sha256
from mia_seg.oracles.doors._post import Manners, Post, refuse
from mia_seg.plugins import settings_of
from mia_seg.store import ASKED, digest

# Settings that change no answer: what is kept is found again under others.
OUTSIDE = frozenset({"examples", "key_env", "key_header", "budget", "rate", "timeout", "retries", "patience"})
# Settings of what is made of an answer: it is kept as it came.
AFTER = frozenset({"answers", "output", "fresh"})


class Http(Door):
    """A model behind an address. Each answer is kept as soon as it is there, and nothing is asked twice."""

    outside: ClassVar[frozenset[str]] = OUTSIDE

    url: str = Field(description="http(s)://host[:port][/path] of the service, without /v2; no key in it")
    model: str = Field(min_length=1, description="the model's name at the service")
    version: str | None = Field(
        default=None, min_length=1, description="the model's version; none: the service's default"
    )
    input_name: str = Field(min_length=1, description="the input's name")
    output_name: str = Field(min_length=1, description="the output's name")
    key_env: str | None = Field(default=None, description="NAME of the environment variable that holds the key")
    key_header: str = Field(
        default="Authorization", pattern=r"^[A-Za-z][A-Za-z0-9-]*$",
        description="header of the key; in Authorization it is sent as a bearer token",
    )  # fmt: skip
    budget: int | None = Field(
        default=None, ge=1, description="most requests in all runs together, repeated ones included"
    )
    rate: float | None = Field(default=None, gt=0, description="most requests a second")
    timeout: float = Field(default=60, gt=0, description="most seconds for a complete answer")
    retries: int = Field(default=4, ge=0, description="most repeats of a request without an answer")
    patience: float = Field(
        default=300, ge=0, description="most seconds to wait before a repeat if the service asks to"
    )
    noise_parameter: str | None = Field(
        default=None, min_length=1,
        description="request parameter that carries the key of the noise (mia-seg serve --noise client: key)",
    )  # fmt: skip
    fresh: bool = Field(
        default=False, description="answers to the same image may differ, because the service adds fresh noise"
    )

    @model_validator(mode="after")
    def _no_secrets(self) -> "Http":
        """What looks like a secret is refused without being repeated: hence no pattern of a field."""
        if not re.fullmatch(r"https?://[^\s/?#@\\]+(/[^\s?#@\\]*)?", self.url) or not _has_port(self.url):
            raise ValueError("url must be http(s)://host[:port][/path], without user, password, '?' or '#'")
        if self.key_env is not None and not re.fullmatch(r"[A-Za-z_]\w*", self.key_env, re.ASCII):
            raise ValueError("key_env must be the name of an environment variable, never the key itself")
        return self

    def open(self, base: Path, scenes: Mapping[int, str]) -> Ask:
        """Keeps what it pays for in `asked/` below the working directory."""
        return self.open_with(base, scenes, base / ASKED)

    def open_with(self, base: Path, scenes: Mapping[int, str], scratch: Path) -> Ask:
        del base, scenes
        post = Post(self._url, self._key(), Manners(self.timeout, self.rate, self.retries, self.patience))
        return Asked(self, post, self.kept(scratch))

    def kept(self, scratch: Path) -> Kept:
        return Kept(scratch / self.identity, self.budget)

    def files(self, base: Path) -> tuple[Path, ...]:
        """(): the model behind an address cannot be seen. Its version identifies it."""
        del base
        return ()

    @property
    def identity(self) -> str:
        """Twelve hex digits over the settings that change an answer. The image is identified by its own SHA-256."""
        left_out = OUTSIDE | AFTER | {"input"}
        return digest({name: value for name, value in settings_of(self).items() if name not in left_out})

    @property
    def deterministic(self) -> bool:
        return not self.fresh

    @property
    def _url(self) -> str:
        version = f"/versions/{quote(self.version, safe='')}" if self.version else ""
        return f"{self.url.rstrip('/')}/v2/models/{quote(self.model, safe='')}{version}"

    def _key(self) -> dict[str, str]:
        """The header with the key."""
        if self.key_env is None:
            return {}
        key = os.environ.get(self.key_env, "").strip()
        if not key:
            refuse("the environment variable that [door] key_env names is not set. Set it to the key")
        if not (key.isascii() and key.isprintable()):
            refuse("the key in the environment variable of [door] key_env has characters that no header takes. Copy it")
        return {self.key_header: f"Bearer {key}" if self.key_header.lower() == "authorization" else key}


def _has_port(url: str) -> bool:
    """Whether the port, if there is one, is one."""
    try:
        return urlsplit(url).port != 0
    except ValueError:
        return False


class Asked:
    """Asks about one image after the other; what was answered before is read from the disk."""

    def __init__(self, door: Http, post: Post, kept: Kept) -> None:
        self.door, self.post, self.kept = door, post, kept

    def __call__(self, given: np.ndarray, key: int) -> np.ndarray:
        """The answer as it came, kept before it is used."""
        image = sha256(given)
        if (answer := self.kept.answer(image, key)) is not None:
            return answer
        reply = self.post(*self._request(given, key, image), image=image, kept=self.kept)
        answer = self._read(reply.body, reply.length, name=image[:16])
        self.kept.keep(image, key, answer)
        return answer

    def _request(self, given: np.ndarray, key: int, image: str) -> tuple[bytes, dict[str, str]]:
        head: dict[str, Any] = {
            "id": image[:16],
            "inputs": [protocol.described(self.door.input_name, given)],
            "outputs": [{"name": self.door.output_name, "parameters": {"binary_data": True}}],
        }
        if self.door.noise_parameter:
            head["parameters"] = {self.door.noise_parameter: key}
        return protocol.pack(head, [protocol.numbers(given)])

    def _read(self, body: bytes, length: str | None, *, name: str) -> np.ndarray:
        """The output of a reply. `name` is the request's: a service that mixes requests up would be found out."""
        try:
            head, tail = protocol.unpack(body, length)
            if "error" in head:
                refuse("it answers with an error where an output is expected. Look into the service's own log")
            if head.get("id", name) not in (name, ""):
                refuse("it answers another request than it was sent. Ask through one service that keeps them apart")
            found = protocol.tensors(head.get("outputs"), tail)
        except protocol.Malformed as error:
            refuse(f"its answer {error}. Check that it speaks the Open Inference Protocol v2 under [door] url")
        if self.door.output_name not in found:
            refuse(
                f"its answer has no output '{self.door.output_name}', but {protocol.plain(list(found)) or 'none'}. "
                f"Correct [door] output_name"
            )
        return found[self.door.output_name]
