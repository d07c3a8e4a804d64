"""The service as an ASGI application. One batch is computed at a time; other requests wait, or get an error."""

import asyncio
import logging
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException as Refused
from starlette.requests import ClientDisconnect

from mia_seg import __version__
from mia_seg.oracles import protocol
from mia_seg.serve import INPUT, OUTPUT, Noise, Rules, Service, _requests
from mia_seg.serve._clients import Limit, shows
from mia_seg.serve._line import Line

LARGEST = 64 << 20  # bytes of a request: an image of 4096 x 4096 takes 48 MiB
ARRIVES = 30.0  # seconds within which a request must be whole
LINE = 64  # requests that wait; the next is told to come again
BATCHED = "images of several requests are answered at once, and the last bits of an answer may differ"
log = logging.getLogger("uvicorn.error")


def build(service: Service, rules: Rules) -> FastAPI:
    """The application. Its worker thread ends with it."""
    desk = Desk(service, rules)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        desk.line.close()

    app = FastAPI(title="mia-seg serve", version=__version__, lifespan=lifespan, openapi_url=None)
    app.add_exception_handler(Refused, _said)
    app.get("/v2")(_server)
    app.get("/v2/health/live")(_healthy)
    app.get("/v2/health/ready")(_healthy)
    for place in ("/v2/models/{name}", "/v2/models/{name}/versions/{version}"):
        app.get(place)(desk.metadata)
        app.get(f"{place}/ready")(desk.ready)
        app.post(f"{place}/infer")(desk.infer)
    return app


class Desk:
    """Takes requests in, and hands answers out."""

    def __init__(self, service: Service, rules: Rules) -> None:
        self.service, self.rules = service, rules
        self.limit, self.waiting = Limit(rules.limit), 0
        self.line = Line(service)

    async def metadata(self, request: Request) -> dict[str, Any]:
        """Names, types and shapes of the model's input and output."""
        self._admit(request)
        batch = self.service.batch
        batched = {"parameters": {"batch": batch, "note": BATCHED}} if batch > 1 else {}
        return {
            "name": self.service.name, "versions": [self.service.version], "platform": "mia-seg",
            "inputs": [{"name": INPUT, "datatype": "UINT8", "shape": [1, -1, -1, 3]}],
            "outputs": [{"name": OUTPUT, "datatype": "FP32", "shape": [1, self.service.classes, -1, -1]}],
        } | batched  # fmt: skip

    async def ready(self, request: Request) -> dict[str, Any]:
        """Whether the model can be asked: it is loaded before the first request is let in."""
        self._admit(request)
        return {"name": self.service.name, "ready": True}

    async def infer(self, request: Request) -> Response:
        """The answer to an image."""
        self._admit(request)
        self._hold_back(request)
        body, length = await _body(request), request.headers.get(protocol.LENGTH)
        try:
            query = _requests.parse(body, length)
        except protocol.Malformed as error:
            raise HTTPException(400, f"The request {error}.") from None
        if query.key is not None and self.service.noise is not Noise.CLIENT:
            raise HTTPException(400, "The parameter 'key' is not taken: this server draws its noise itself.")
        return await self._in_line(query)

    async def _in_line(self, query: _requests.Query) -> Response:
        if self.waiting >= LINE:
            raise HTTPException(503, f"{LINE} requests are waiting. Come again.", {"Retry-After": "1"})
        self.waiting += 1
        try:
            content, headers = await asyncio.wrap_future(self.line.put(query))
        except Exception as error:  # the network, the device, its memory: the server goes on with the next request
            height, width = query.image_HWC.shape[:2]
            log.error("No answer to an image of %d x %d: %s", height, width, type(error).__name__)
            raise HTTPException(500, f"The model failed on an image of {height} x {width}.") from None
        finally:
            self.waiting -= 1
        return Response(content, headers=headers)

    def _admit(self, request: Request) -> None:
        """Who has the key and names the model that is there."""
        if self.rules.key is not None and not shows(request.headers.get("Authorization"), self.rules.key):
            said = "A valid key is wanted in the header 'Authorization: Bearer KEY'."
            raise HTTPException(401, said, {"WWW-Authenticate": "Bearer"})
        named, version = request.path_params["name"], request.path_params.get("version", self.service.version)
        if (named, version) != (self.service.name, self.service.version):
            raise HTTPException(404, f"The model here is '{self.service.name}', version '{self.service.version}'.")

    def _hold_back(self, request: Request) -> None:
        wait = self.limit.wait(request.client.host if request.client else "")
        if wait is not None:
            said = f"A client may send {self.rules.limit} requests a minute. Wait {wait:.0f} s."
            raise HTTPException(429, said, {"Retry-After": str(max(1, math.ceil(wait)))})


async def _body(request: Request) -> bytes:
    """All of a request, if it is neither too large nor too slow."""
    body = bytearray()
    try:
        async with asyncio.timeout(ARRIVES):
            async for part in request.stream():
                body += part
                if len(body) > LARGEST:
                    raise HTTPException(413, f"A request may have {LARGEST >> 20} MiB. Send a smaller image.")
    except TimeoutError:
        raise HTTPException(408, f"The request was not whole after {ARRIVES:.0f} s.", {"Connection": "close"}) from None
    except ClientDisconnect:
        raise HTTPException(400, "The request was cut off.") from None
    return bytes(body)


async def _said(_: Request, error: Exception) -> Response:
    """Every refusal as the protocol has it: {"error": a sentence}."""
    assert isinstance(error, Refused)
    return JSONResponse({"error": error.detail}, error.status_code, headers=error.headers)


async def _healthy() -> dict[str, bool]:
    return {"live": True, "ready": True}


async def _server() -> dict[str, Any]:
    return {"name": "mia-seg", "version": __version__, "extensions": ["binary_tensor_data"]}
