"""A server of the Open Inference Protocol for as long as a test asks it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from mia_seg.serve import Rules, Service, server


@contextmanager
def running(served: Service, rules: Rules = Rules()) -> Iterator[str]:  # noqa: B008
    """A server on a port of its own; its address."""
    ready = threading.Event()
    with server.bound("127.0.0.1", 0) as taken:
        process = server.Server(served, rules, ready.set)
        thread = threading.Thread(target=lambda: process.run(sockets=[taken]))
        thread.start()
        assert ready.wait(30)
        try:
            yield "http://{}:{}".format(*taken.getsockname())
        finally:
            process.should_exit = True
            thread.join()
