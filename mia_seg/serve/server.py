"""The server process: one port, until Ctrl-C or SIGTERM. Requests in progress are answered first."""

import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn

from mia_seg.errors import MiaSegError
from mia_seg.serve import Rules, Service
from mia_seg.serve.app import build

LAST = 10  # seconds for what is being answered when the server is stopped


class Server(uvicorn.Server):
    """Calls back once it is ready. A signal ends it with exit code 0; uvicorn would raise the signal again."""

    def __init__(self, service: Service, rules: Rules, ready: Callable[[], None]) -> None:
        # A client on this machine could give itself any address by X-Forwarded-For, and so pass the limit.
        super().__init__(
            uvicorn.Config(
                build(service, rules), log_level="warning", access_log=False, proxy_headers=False, server_header=False,
                lifespan="on", ws="none", timeout_graceful_shutdown=LAST,
            )
        )  # fmt: skip
        self.ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so."""
        await super().startup(sockets)
        if self.started:
            self.ready()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The signals that end the server."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def serve(service: Service, rules: Rules, host: str, *, port: int, ready: Callable[[str], None]) -> None:
    """Serve until stopped. ready: called with the address, once it is open. Raises MiaSegError for a taken port."""
    with bound(host, port) as taken:
        address = f"[{host}]" if ":" in host else host
        url = f"http://{address}:{taken.getsockname()[1]}"
        Server(service, rules, lambda: ready(url)).run(sockets=[taken])


def bound(host: str, port: int) -> socket.socket:
    """A socket on a port; 0: any that is free."""
    try:
        return socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=128
        )
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise MiaSegError(f"{host}, port {port}: {why}. Choose another --host or --port.") from None
