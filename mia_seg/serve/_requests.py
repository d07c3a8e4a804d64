"""Parsing a request, and encoding its answer."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from mia_seg.oracles import protocol
from mia_seg.serve import INPUT, OUTPUT

KEYS = 1 << 63


@dataclass(frozen=True)
class Query:
    """image uint8 [H, W, 3]. name: the request's own id; key: of the noise, where one is given."""

    image_HWC: np.ndarray
    binary: bool
    name: str | None
    key: int | None


def parse(body: bytes, length: str | None) -> Query:
    """What a request asks. Raises protocol.Malformed."""
    head, tail = protocol.unpack(body, length)
    given = protocol.tensors(head.get("inputs"), tail)
    if list(given) != [INPUT] or len(head["inputs"]) != 1:
        raise protocol.Malformed(f"has the inputs {protocol.plain(list(given)) or 'none'}, where '{INPUT}' is the one")
    name = head.get("id")
    if name is not None and not isinstance(name, str):
        raise protocol.Malformed("has an id that is no text")
    return Query(_image(given[INPUT]), _binary(head), name, _key(protocol.parameters(head).get("key")))


def reply(query: Query, posterior_1KHW: np.ndarray, *, model: dict[str, str]) -> tuple[bytes, dict[str, str]]:
    """Body and headers of an answer."""
    head: dict[str, Any] = model | ({} if query.name is None else {"id": query.name})
    entry = protocol.described(OUTPUT, posterior_1KHW)
    if query.binary:
        return protocol.pack(head | {"outputs": [entry]}, [protocol.numbers(posterior_1KHW)])
    del entry["parameters"]
    body, _ = protocol.pack(head | {"outputs": [entry | {"data": posterior_1KHW.ravel().tolist()}]}, [])
    return body, {"Content-Type": "application/json"}


def _image(given: np.ndarray) -> np.ndarray:
    if given.dtype != np.uint8:
        raise protocol.Malformed(f"has '{INPUT}' as {protocol.NAMES[given.dtype]}, where UINT8 is expected")
    if given.ndim != 4 or given.shape[0] != 1 or given.shape[3] != 3 or not given.size:
        shape = list(given.shape)
        raise protocol.Malformed(f"has '{INPUT}' of the shape {shape}, where [1, height, width, 3] is expected")
    return given[0]


def _binary(head: dict[str, Any]) -> bool:
    """Whether the output is wanted in binary: as it says itself, else as the request says for all outputs."""
    general, wanted = protocol.parameters(head).get("binary_data_output", False), head.get("outputs")
    if wanted is None or wanted == []:
        return _truth(general)
    if not isinstance(wanted, list) or len(wanted) != 1 or not isinstance(wanted[0], dict):
        raise protocol.Malformed(f"does not ask for the one output that there is, '{OUTPUT}'")
    if wanted[0].get("name") != OUTPUT:
        raise protocol.Malformed(f"asks for the output {protocol.plain([wanted[0].get('name')])}, where '{OUTPUT}' is")
    return _truth(protocol.parameters(wanted[0]).get("binary_data", general))


def _truth(given: object) -> bool:
    if not isinstance(given, bool):
        raise protocol.Malformed("says neither true nor false to binary data")
    return given


def _key(given: object) -> int | None:
    if given is None or (type(given) is int and 0 <= given < KEYS):
        return given
    raise protocol.Malformed("has a parameter 'key' that is no number from 0 to 2^63 - 1")
