"""A server of the Open Inference Protocol for as long as a test asks it, in a thread or in a process of its own."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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


@contextmanager
def serving(folder: Path, *arguments: str) -> Iterator[str]:
    """`mia-seg serve <arguments>` in a process that works in the folder; its address. It is asked to end, and does."""
    command = [sys.executable, "-m", "mia_seg", "serve", *arguments, "--port", "0", "--device", "cpu"]
    env = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        said = process.stdout.readline()
        try:
            yield "".join(re.findall(r"http://[\d.:]+", said))
        finally:
            process.terminate()
        assert process.stdout.read().split()[-1] == "Stopped.", said
    assert process.returncode == 0
