"""`mia-seg serve` under load: answers per second for 8 clients, and a soak test in which one request in 20 is broken.

Run: OMP_NUM_THREADS=1 python benchmarks/serve.py [--requests 10000] [--size 48 64] [--clients 8] [--seconds 10]
Short, without the soak test, in less than a minute of CPU time: python benchmarks/serve.py --short [--size 32 48]
The network is a PSPNet-ResNet-18 of 19 classes, not trained. "Bare" is its forward pass in this process, in batches and
one by one. Two servers run in processes of their own, one with batches and one without; threads of this process are the
clients. All variants take turns. Medians of paired ratios are given, with the smallest and the largest. On a shared
machine CPU time per image is what counts. Soak test: each answer of the server without batches is compared bit for bit
with an answer in this process. One request in 20 is cut off in its head, cut off in its body, or malformed. Memory is
the server's resident set, after a warm-up of 500 requests and at the end.

2 cores of x86_64 with no other work but single tests, one thread, 5 rounds of 3 s. Speed for 8 clients relative to bare
batches of the same size, as medians with the smallest and the largest:

    size, --batch    by the clock           by CPU time            bare, an image
    96 x 128, 8      0.88 (0.69 to 1.19)    0.92 (0.71 to 1.22)    50 ms
    48 x 64, 8       0.64 (0.56 to 0.71)    0.67 (0.59 to 0.80)    7.8 ms
    48 x 64, 4       0.90 (0.87 to 1.02)    0.89 (0.87 to 1.01)    12.8 ms

A forward pass of the small image costs 25 ms alone and 8 ms in a batch of 8. Eight clients that wait for one batch
leave the network idle while they read their answers. Batches of 4 give as many answers per second (76 and 74), because
one batch is read while the next is computed. In a batch a posterior differs by 2e-8 at most.

Soak test of 2,000 requests beside these: 1,900 right, 0 wrong, 33 malformed ones refused, 67 cut off; memory 840 MiB,
then 840 MiB. Soak test of 10,000 requests in 300 s, before batches existed: 9,500 right, 0 wrong, 166 malformed ones
refused, 334 cut off; memory 821 MiB, then 821 MiB.
"""

import argparse
import os
import platform
import socket
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import count
from typing import NamedTuple

import httpx
import numpy as np
import psutil
import torch

from mia_seg.oracles import protocol
from mia_seg.oracles.network import NetworkOracle
from mia_seg.segmenters import Network
from mia_seg.segmenters.pspnet import PSPNet
from mia_seg.serve import Rules, Service
from mia_seg.serve.server import serve

CLASSES, IMAGES, BROKEN, WARM = 19, 16, 20, 500
BINARY = {"parameters": {"binary_data_output": True}}


class Rate(NamedTuple):
    """speed: images a second. cost: seconds of CPU an image."""

    speed: float
    cost: float


def network() -> Network:
    torch.manual_seed(0)
    return PSPNet(backbone="resnet18").build(CLASSES).eval()


def server(batch: int) -> None:
    service = Service("bench", "1", CLASSES, NetworkOracle(network()), b"", batch=batch)
    serve(service, Rules(), "127.0.0.1", port=0, ready=lambda url: print(url, flush=True))


@contextmanager
def running(batch: int) -> Iterator[tuple[str, psutil.Process]]:
    command = [sys.executable, __file__, "--server", "--batch", str(batch)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    try:
        yield process.stdout.readline().strip(), psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def pictures(size: tuple[int, int]) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(256, size=(1, *size, 3), dtype=np.uint8) for _ in range(IMAGES)]


@torch.inference_mode()
def bare(model: Network, images: list[np.ndarray], batch: int, *, seconds: float) -> Rate:
    """Forwards of so many images at once."""
    given = torch.from_numpy(np.concatenate(images[:batch])).permute(0, 3, 1, 2).float().div(255).contiguous()
    started, used, done = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - started < seconds:
        model(given).softmax(1)
        done += batch
    return rate(done, time.perf_counter() - started, time.process_time() - used)


def rate(images: int, seconds: float, used: float) -> Rate:
    return Rate(images / seconds, used / images)


def packed(image: np.ndarray) -> tuple[bytes, dict[str, str]]:
    entry = protocol.described("image", image)
    return protocol.pack(BINARY | {"inputs": [entry]}, [protocol.numbers(image)])


def ask(client: httpx.Client, url: str, image: np.ndarray) -> np.ndarray:
    body, headers = packed(image)
    reply = client.post(f"{url}/v2/models/bench/infer", content=body, headers=headers).raise_for_status()
    head, tail = protocol.unpack(reply.content, reply.headers[protocol.LENGTH])
    return protocol.tensors(head["outputs"], tail)["posterior"][0]


def break_off(client: httpx.Client, url: str, image: np.ndarray, *, how: int) -> str:
    """A request that is cut off in its head or body, or malformed; what came of it."""
    body, headers = packed(image)
    if how == 2:
        return str(client.post(f"{url}/v2/models/bench/infer", content=body[:-9], headers=headers).status_code)
    host, port = url.removeprefix("http://").split(":")
    head = f"POST /v2/models/bench/infer HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(body)}\r\n"
    whole = (head + "".join(f"{name}: {value}\r\n" for name, value in headers.items()) + "\r\n").encode() + body
    with socket.create_connection((host, int(port))) as cut:
        cut.sendall(whole[: 40 if how == 0 else len(whole) - 100])
    return "cut"


def throughput(url: str, process: psutil.Process, images: list[np.ndarray], *, clients: int, seconds: float) -> Rate:
    """Answers while so many clients ask one after the other, and the server's CPU time."""
    until = time.perf_counter() + seconds

    def work(_: int) -> int:
        done = 0
        with httpx.Client(verify=False, trust_env=False, timeout=60) as client:
            while time.perf_counter() < until:
                ask(client, url, images[done % IMAGES])
                done += 1
        return done

    started, before = time.perf_counter(), process.cpu_times()
    with ThreadPoolExecutor(clients) as pool:
        total = sum(pool.map(work, range(clients)))
    after = process.cpu_times()
    return rate(total, time.perf_counter() - started, after.user + after.system - before.user - before.system)


def soak(url: str, images: list[np.ndarray], wanted: list[np.ndarray], *, clients: int, requests: int) -> Counter[str]:
    """How many requests ended how."""
    numbers, found = iter(count()), [Counter[str]() for _ in range(clients)]

    def work(own: Counter[str]) -> None:
        with httpx.Client(verify=False, trust_env=False, timeout=60) as client:
            while (k := next(numbers)) < requests:
                image = images[k % IMAGES]
                if k % BROKEN == BROKEN - 1:
                    own[f"broken: {break_off(client, url, image, how=k // BROKEN % 3)}"] += 1
                else:
                    own["right" if np.array_equal(ask(client, url, image), wanted[k % IMAGES]) else "WRONG"] += 1

    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(work, found))
    return sum(found, Counter())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--size", type=int, nargs=2, default=(48, 64))
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--batch", type=int, default=8, help="of the second server, beside the one that has none")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--short", action="store_true", help="--batch against bare batches alone: 5 rounds of 3 s")
    parser.add_argument("--server", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.server:
        return server(given.batch)
    if given.short:
        given.seconds, given.rounds = 3.0, 5
    model, images = network(), pictures(tuple(given.size))
    oracle = NetworkOracle(model)
    wanted = [oracle(image[0], 0).numpy() for image in images]
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {given.size} pixels")
    print(f"in a batch of {len(images)} answers differ by {differ(oracle, images, wanted):.1g} at most")
    batch, clients, seconds = given.batch, given.clients, given.seconds
    with ExitStack() as servers:
        batched = servers.enter_context(running(batch))
        runs: dict[str, Callable[[], Rate]] = {
            f"bare, batches of {batch}": lambda: bare(model, images, batch, seconds=seconds),
            f"served to {clients}, --batch {batch}": lambda: throughput(
                *batched, images, clients=clients, seconds=seconds
            ),
        }
        if not given.short:
            alone = servers.enter_context(running(1))
            runs |= {
                "bare, one by one": lambda: bare(model, images, 1, seconds=seconds),
                f"served to {clients}": lambda: throughput(*alone, images, clients=clients, seconds=seconds),
                "served to 1": lambda: throughput(*alone, images, clients=1, seconds=seconds),
            }
        tell([{name: run() for name, run in runs.items()} for _ in range(given.rounds)])
        if not given.short:
            stay(alone, images, wanted, clients=clients, requests=given.requests)
    print(f"load {os.getloadavg()[0]:.1f}; {used():.0f} s of processor time in all")


def used() -> float:
    """Seconds of processor time, of this process and of those that it started and that have ended."""
    return sum(os.times()[:4])


def differ(oracle: NetworkOracle, images: list[np.ndarray], wanted: list[np.ndarray]) -> float:
    """The largest difference between an answer in a batch and the same alone."""
    found = oracle.together([image[0] for image in images], [0] * len(images))
    return max(float(np.abs(one.numpy() - other).max()) for one, other in zip(found, wanted, strict=True))


def tell(rounds: list[dict[str, Rate]]) -> None:
    """Medians over rounds that took turns, and of the paired ratios to the first, with the least and the most."""
    first = next(iter(rounds[0]))
    for name in rounds[0]:
        speed, cost = (statistics.median(getattr(one[name], what) for one in rounds) for what in Rate._fields)
        ratios = [(one[name].speed / one[first].speed, one[first].cost / one[name].cost) for one in rounds]
        by_clock, by_cpu = (
            f"{statistics.median(ratio):.2f} ({min(ratio):.2f} to {max(ratio):.2f})"
            for ratio in zip(*ratios, strict=True)
        )
        print(
            f"{name:26} {speed:6.1f} images a second, {1000 * cost:5.1f} ms of CPU each: {by_clock} times as fast "
            f"as {first} by the clock, {by_cpu} in CPU time"
        )


def stay(
    server: tuple[str, psutil.Process], images: list[np.ndarray], wanted: list[np.ndarray], *, clients: int,
    requests: int,
) -> None:  # fmt: skip
    """The soak, and what the server's memory came to."""
    url, process = server
    soak(url, images, wanted, clients=clients, requests=min(WARM, requests))
    first, started = process.memory_info().rss, time.perf_counter()
    ends = soak(url, images, wanted, clients=clients, requests=requests)
    last = process.memory_info().rss
    said = ", ".join(f"{how} {number}" for how, number in sorted(ends.items()))
    print(f"soak of {requests} in {time.perf_counter() - started:.0f} s: {said}")
    print(f"memory: {first >> 20} MiB, then {last >> 20} MiB; {process.num_fds()} open files")


if __name__ == "__main__":
    main()
