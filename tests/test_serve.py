"""Serving: the same bits as in process, whoever else is asking; refusals in sentences; a clean end."""

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from helpers_files import assert_refused, call
from helpers_scenes import defended, paired, picture, toy
from helpers_serve import running

from mia_seg import defenses, plugins, train
from mia_seg.defenses import Defense
from mia_seg.errors import MiaSegError
from mia_seg.oracles import doors, protocol
from mia_seg.oracles.door import DoorOracle
from mia_seg.oracles.doors import Door, _post
from mia_seg.pipeline import Pipeline
from mia_seg.serve import Noise, Rules, Service, _clients, _requests, app, deployed, image_key, server
from mia_seg.serve._line import Line
from mia_seg.stages.plan import Plan
from mia_seg.stages.run import run
from mia_seg.store import Store
from mia_seg.workspace import Workspace

client: httpx.Client
SECRET, CLASSES = b"0123456789abcdef", 5
DEFENSES = ("none", "argmax", "gaussian:0.5", "dropout:0.5", "synfeat:0.75", "synfeat:0.75,z=fresh")
IMAGE = picture(0, (16, 20))


def oracle(text: str = "none") -> Any:
    network = paired(toy(CLASSES), CLASSES) if text.startswith("synfeat") else toy(CLASSES)
    return defended(plugins.parse(defenses, Defense, text), network)


def service(text: str = "none", noise: Noise = Noise.IMAGE) -> Service:
    return Service("streets", "7", CLASSES, oracle(text), SECRET, noise)


@pytest.fixture(scope="module", autouse=True)
def web() -> Iterator[None]:
    """One client for all: each that is made reads the certificates of the world."""
    global client
    with httpx.Client(verify=False, trust_env=False, timeout=30) as client:
        yield


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with running(service()) as address:
        yield address


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


def asking(url: str, folder: Path, **more: Any) -> DoorOracle:
    settings = {
        "url": url, "model": "streets", "input_name": "image", "output_name": "posterior", "answers": "posterior",
        "input": {"layout": "NHWC"}, "output": {"layout": "NCHW"},
    }  # fmt: skip
    door = plugins.build(doors, Door, "http", settings=settings | more, where="[door]")
    return DoorOracle(door, door.open_with(folder, {}, folder), [f"class {k}" for k in range(CLASSES)])


def head(**more: Any) -> dict[str, Any]:
    return {"inputs": [protocol.described("image", IMAGE[None])]} | more


def post(url: str, content: bytes, headers: dict[str, str]) -> Any:
    return client.post(f"{url}/v2/models/streets/infer", content=content, headers=headers)


def infer(url: str, given: dict[str, Any] | None = None, tail: bytes = IMAGE.tobytes(), **headers: str) -> Any:
    body, own = protocol.pack(head() if given is None else given, [tail])
    return post(url, body, own | headers)


@pytest.mark.parametrize("text", DEFENSES)
def test_answers_are_those_in_process_bit_for_bit(text: str, tmp_path: Path) -> None:
    with running(service(text)) as url:
        told = asking(url, tmp_path)
        raw = told.ask(IMAGE[None], 1)
        assert raw.dtype == np.float32
        assert np.array_equal(raw[0], oracle(text)(IMAGE, image_key(SECRET, IMAGE)).numpy())
        assert np.array_equal(told.ask(IMAGE[None], 2), raw)  # the same image gets the same noise
        assert (told(IMAGE, 1) - torch.from_numpy(raw[0])).abs().max() < 1e-6


def test_noise_is_fresh_or_the_clients_where_it_is_meant_to_be(tmp_path: Path) -> None:
    with running(service("gaussian:0.5", Noise.FRESH)) as url:
        told = asking(url, tmp_path, fresh=True)
        assert not np.array_equal(told.ask(IMAGE[None], 1), told.ask(IMAGE[None], 2))
        assert infer(url, head(parameters={"key": 1})).status_code == 400
    with running(service("gaussian:0.5", Noise.CLIENT)) as url:
        told = asking(url, tmp_path, noise_parameter="key")
        assert np.array_equal(told.ask(IMAGE[None], 7)[0], oracle("gaussian:0.5")(IMAGE, 7).numpy())
        assert infer(url, head(parameters={"key": -1})).status_code == 400


def test_noise_follows_secret_size_and_pixels() -> None:
    keys = {
        image_key(secret, image)
        for secret in (SECRET, b"another")
        for image in (IMAGE, IMAGE ^ 1, IMAGE.reshape(20, 16, 3))
    }
    assert len(keys) == 6
    assert all(0 <= key < 2**48 for key in keys)


@pytest.mark.parametrize(
    ("asked", "binary"),
    [
        ({}, False),
        ({"outputs": []}, False),
        ({"outputs": [{"name": "posterior"}]}, False),
        ({"parameters": {"binary_data_output": True}}, True),
        ({"outputs": [{"name": "posterior", "parameters": {"binary_data": True}}]}, True),
        (
            {"outputs": [{"name": "posterior", "parameters": {"binary_data": False}}],
             "parameters": {"binary_data_output": True}},
            False,
        ),
    ],
)  # fmt: skip
def test_an_answer_comes_as_it_is_asked_for(url: str, asked: dict[str, Any], binary: bool) -> None:
    reply = infer(url, head(id="mine", **asked))
    assert reply.status_code == 200
    assert (protocol.LENGTH in reply.headers) == binary
    told, tail = protocol.unpack(reply.content, reply.headers.get(protocol.LENGTH))
    assert (told["id"], told["model_name"], told["model_version"]) == ("mine", "streets", "7")
    found = protocol.tensors(told["outputs"], tail)["posterior"]
    assert found.dtype == np.float32
    assert np.array_equal(found[0], oracle()(IMAGE, 0).numpy())


def test_an_image_may_come_as_json(url: str) -> None:
    given = {"name": "image", "datatype": "UINT8", "shape": [1, 16, 20, 3], "data": IMAGE.tolist()}
    reply = client.post(f"{url}/v2/models/streets/versions/7/infer", json={"inputs": [given]})
    assert np.float32(reply.json()["outputs"][0]["data"][3]) == oracle()(IMAGE, 0).flatten()[3]


def test_it_says_what_it_is(url: str) -> None:
    assert client.get(f"{url}/v2/health/live").status_code == 200
    assert client.get(f"{url}/v2/health/ready").status_code == 200
    assert client.get(f"{url}/v2").json()["extensions"] == ["binary_tensor_data"]
    told = client.get(f"{url}/v2/models/streets").json()
    assert told["inputs"] == [{"name": "image", "datatype": "UINT8", "shape": [1, -1, -1, 3]}]
    assert told["outputs"] == [{"name": "posterior", "datatype": "FP32", "shape": [1, CLASSES, -1, -1]}]
    assert client.get(f"{url}/v2/models/streets/ready").json() == {"name": "streets", "ready": True}
    for place, status in {
        "/v2/models/rails": 404,
        "/v2/models/streets/versions/8": 404,
        "/": 404,
        "/docs": 404,
    }.items():
        reply = client.get(f"{url}{place}")
        assert (reply.status_code, list(reply.json())) == (status, ["error"])
    assert client.get(f"{url}/v2/models/streets/infer").status_code == 405


MALFORMED = {
    "nothing": (b"", {}, "no JSON"),
    "text": (b"image", {}, "no JSON"),
    "nesting": (b"[" * 100_000, {}, "no JSON"),
    "long number": (b'{"inputs": ' + b"9" * 5000 + b"}", {}, "no JSON"),
    "header": (b"{}", {protocol.LENGTH: "x"}, "no number"),
    "short": (b"{}", {protocol.LENGTH: "3"}, "cut off"),
    "no inputs": (b"{}", {}, "lists no tensors"),
    "empty": (b'{"inputs": []}', {}, "none"),
}
WRONG = {
    "cut": (head(), IMAGE.tobytes()[:-1], "cut off"),
    "more": (head(), IMAGE.tobytes() + b"x", "bytes of numbers"),
    "name": ({"inputs": [protocol.described("picture", IMAGE[None])]}, IMAGE.tobytes(), "'picture'"),
    "twice": ({"inputs": head()["inputs"] * 2}, IMAGE.tobytes() * 2, "is the one"),
    "planes": ({"inputs": [protocol.described("image", IMAGE)]}, IMAGE.tobytes(), "[16, 20, 3]"),
    "batch": ({"inputs": [protocol.described("image", IMAGE.reshape(2, 8, 20, 3))]}, IMAGE.tobytes(), "[2, 8, 20, 3]"),
    "no pixel": ({"inputs": [protocol.described("image", IMAGE[None, :0])]}, b"", "[1, 0, 20, 3]"),
    "floats": ({"inputs": [protocol.described("image", IMAGE[None] / 255)]}, bytes(8 * IMAGE.size), "UINT8"),
    "output": (head(outputs=[{"name": "logits"}]), IMAGE.tobytes(), "'logits'"),
    "outputs": (head(outputs=[1, 2]), IMAGE.tobytes(), "'posterior'"),
    "maybe": (head(parameters={"binary_data_output": "yes"}), IMAGE.tobytes(), "true nor false"),
    "id": (head(id=7), IMAGE.tobytes(), "no text"),
    "key": (head(parameters={"key": 7}), IMAGE.tobytes(), "'key'"),
}


def refused(reply: Any, status: int, said: str) -> None:
    assert reply.status_code == status
    (sentence,) = reply.json().values()
    assert list(reply.json()) == ["error"]
    assert said in sentence
    assert sentence.endswith(".")


def test_what_is_no_request_is_refused_with_a_sentence(url: str) -> None:
    for body, headers, said in MALFORMED.values():
        refused(post(url, body, headers), 400, said)
    for given, tail, said in WRONG.values():
        refused(infer(url, given, tail), 400, said)
    assert infer(url).status_code == 200


def test_a_request_has_a_size_and_a_time(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "LARGEST", 500)
    refused(infer(url), 413, "Send a smaller image")
    monkeypatch.setattr(app, "ARRIVES", 0.05)
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as slow:
        slow.sendall(b"POST /v2/models/streets/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{")
        assert slow.recv(100).startswith(b"HTTP/1.1 408")


def test_a_model_that_fails_does_not_take_the_server_along(caplog: pytest.LogCaptureFixture) -> None:
    def fails_on_narrow(image_HWC: np.ndarray, key: int) -> torch.Tensor:
        if image_HWC.shape[1] == 1:
            raise RuntimeError("out of memory")
        return oracle()(image_HWC, key)

    with running(replace(service(), oracle=fails_on_narrow)) as url:
        narrow = np.zeros((1, 9, 1, 3), np.uint8)
        reply = infer(url, {"inputs": [protocol.described("image", narrow)]}, narrow.tobytes())
        refused(reply, 500, "failed on an image of 9 x 1")
        assert infer(url).status_code == 200


def test_a_client_is_held_back_and_told_for_how_long(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    now = 1000.0
    monkeypatch.setattr(_clients.time, "monotonic", lambda: now)
    limit = _clients.Limit(2)
    assert [limit.wait("a"), limit.wait("a"), limit.wait("b")] == [None] * 3
    now = 1010.5
    assert limit.wait("a") == pytest.approx(49.5)
    now = 1060.0
    assert [limit.wait("a"), limit.wait("a")] == [None, None]
    assert limit.wait("a") == 60
    monkeypatch.setattr(_clients, "MANY", 1)
    now = 2000.0
    limit.wait("c")
    assert list(limit._asked) == ["c"]


def test_the_door_waits_as_the_server_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(_clients, "MINUTE", 0.05)
    with running(service(), Rules(limit=1)) as url:
        told = asking(url, tmp_path)
        slept: list[float] = []
        monkeypatch.setattr(_post.time, "sleep", lambda seconds: slept.append(seconds) or threading.Event().wait(0.06))
        told(IMAGE, 0)
        monkeypatch.setattr(_clients, "MINUTE", 1e9)
        reply = infer(url)
        refused(reply, 429, "1 requests a minute")
        assert int(reply.headers["Retry-After"]) > 1e8
        monkeypatch.setattr(_clients, "MINUTE", 0.05)
        told(IMAGE, 1)
        assert all(seconds == 1 for seconds in slept)


def test_a_key_opens_and_is_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rules = Rules(key="s3cr3t")
    assert "s3cr3t" not in repr(rules)
    monkeypatch.setenv("SERVICE_KEY", "s3cr3t")
    with running(service(), rules) as url:
        assert asking(url, tmp_path, key_env="SERVICE_KEY")(IMAGE, 0).shape == (CLASSES, 16, 20)
        assert client.get(f"{url}/v2/health/live").status_code == 200
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "s3cr3t"}):
            refused(infer(url, **headers), 401, "valid key")
        assert client.get(f"{url}/v2/models/streets").status_code == 401
        with pytest.raises(MiaSegError, match="wants a key"):
            asking(url, tmp_path)(picture(1, (4, 4)), 0)


def test_many_clients_get_their_own_answers(url: str) -> None:
    images = [picture(k, (12, 12 + 4 * (k % 2))) for k in range(6)]
    wanted = [oracle()(image, 0).numpy()[None] for image in images]
    binary = {"parameters": {"binary_data_output": True}}

    def ask(k: int) -> bool:
        image = images[k % 6][None]
        reply = infer(url, {"inputs": [protocol.described("image", image)]} | binary, image.tobytes())
        told, tail = protocol.unpack(reply.content, reply.headers[protocol.LENGTH])
        return np.array_equal(protocol.tensors(told["outputs"], tail)["posterior"], wanted[k % 6])

    with ThreadPoolExecutor(8) as clients:
        assert all(clients.map(ask, range(60)))


@pytest.mark.parametrize("text", ["none", "gaussian:0.5"])
def test_batches_give_each_client_its_own_answer_nearly(text: str) -> None:
    """Images of two sizes, asked about by eight at once: those of one size are answered together."""
    images = [picture(k, (12, 12 + 4 * (k % 2))) for k in range(8)]
    sizes, served = list[int](), replace(service(text), batch=4)
    together = served.oracle.together  # type: ignore[attr-defined]

    def counted(given: list[np.ndarray], keys: list[int]) -> Any:
        assert len({image.shape for image in given}) == 1
        sizes.append(len(given))
        return together(given, keys)

    served.oracle.together = counted  # type: ignore[attr-defined]
    line = Line(served)
    line.worker.submit(time.sleep, 0.05)  # while all of them come
    queries = [_requests.Query(image, binary=True, name=None, key=None) for image in images]
    replies = [found.result(10) for found in [line.put(query) for query in queries]]
    line.close()
    assert sizes == [4, 4]
    for image, (body, headers) in zip(images, replies, strict=True):
        told, tail = protocol.unpack(body, headers[protocol.LENGTH])
        wanted = oracle(text)(image, image_key(SECRET, image)).numpy()[None]
        assert protocol.tensors(told["outputs"], tail)["posterior"] == pytest.approx(wanted, abs=1e-5)


def test_a_server_says_that_it_batches() -> None:
    with running(replace(service(), batch=4)) as url:
        told = client.get(f"{url}/v2/models/streets").json()["parameters"]
        assert told["batch"] == 4
        assert "last bits" in told["note"]
        assert infer(url).status_code == 200


def test_who_comes_when_the_line_is_full_is_sent_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "LINE", 1)
    begun, go = threading.Event(), threading.Event()

    def slow(image_HWC: np.ndarray, key: int) -> torch.Tensor:
        begun.set()
        go.wait(10)
        return oracle()(image_HWC, key)

    with running(replace(service(), oracle=slow)) as url, ThreadPoolExecutor(1) as clients:
        first = clients.submit(infer, url)
        assert begun.wait(10)
        reply = infer(url)
        refused(reply, 503, "waiting")
        assert reply.headers["Retry-After"] == "1"
        go.set()
        assert first.result().status_code == 200


@pytest.mark.parametrize(
    ("host", "port"), [("127.0.0.1", None), ("256.0.0.1", 0), ("::zz", 0)], ids=["taken", "host", "IPv6"]
)
def test_a_place_that_cannot_be_served_from(host: str, port: int | None) -> None:
    with server.bound("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1] if port is None else port
        with pytest.raises(MiaSegError, match=r"Choose another --host or --port\.$"):
            server.bound(host, port)


def test_the_secret_of_a_store_is_drawn_once(tmp_path: Path) -> None:
    first = deployed.secret_of(Store(tmp_path))
    assert deployed.secret_of(Store(tmp_path)) == first
    (tmp_path / "other").mkdir()
    assert deployed.secret_of(Store(tmp_path / "other")) != first
    assert (tmp_path / deployed.SECRET).stat().st_mode & 0o077 == 0
    (tmp_path / deployed.SECRET).write_bytes(b"")
    with pytest.raises(MiaSegError, match="Remove it"):
        deployed.secret_of(Store(tmp_path))


def test_a_server_that_starts_beside_another_waits_for_its_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deployed, "WRITTEN", 10.0)  # on a busy machine the other server is late
    path, drawn = tmp_path / deployed.SECRET, bytes(range(deployed.BYTES))
    path.touch()  # opened, and not yet written
    other = threading.Timer(0.2, path.write_bytes, [drawn])
    other.start()
    assert deployed.secret_of(Store(tmp_path)) == drawn
    other.join()


def test_a_victim_that_was_trained_is_served_behind_its_defense(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(Plan((Pipeline(workspace).victim("tiny", 0),), workspace.store), workspace)
    monkeypatch.setattr(train, "load_network", lambda *_: toy(CLASSES))
    made = [
        deployed.deployed("tiny", 0, workspace, defense=text, noise=noise)
        for text in ("gaussian:0.5", "dropout:0.5")
        for noise in (Noise.IMAGE, Noise.FRESH)
    ]
    again = deployed.deployed("tiny", 0, workspace, defense="gaussian", noise=Noise.IMAGE)
    assert again.version == made[0].version
    assert len({one.version for one in made}) == 4
    key = image_key(deployed.secret_of(workspace.store), IMAGE)
    for one, text in zip(made[::2], ("gaussian:0.5", "dropout:0.5"), strict=True):
        assert np.array_equal(one.answer(IMAGE)[0], oracle(text)(IMAGE, key).numpy())
    with pytest.raises(MiaSegError, match=r"--batch 2: defense 'dropout:0\.5' draws in the forward pass"):
        deployed.deployed("tiny", 0, workspace, defense="dropout:0.5", noise=Noise.IMAGE, batch=2)
    with pytest.raises(MiaSegError, match="mia-seg train-generator tiny --seed 0"):
        deployed.deployed("tiny", 0, workspace, defense="synfeat", noise=Noise.IMAGE)


def test_no_damage_to_a_request_breaks_the_parser() -> None:
    body, headers = protocol.pack(head(id="mine", parameters={"key": 1}), [IMAGE[:1, :2].tobytes()])
    rng = np.random.default_rng(0)
    for _ in range(1000):
        damaged = np.frombuffer(body, np.uint8).copy()
        damaged[rng.integers(len(body), size=rng.integers(1, 4))] = rng.choice(list(b'{}[]",:-0129.etnufalse\x00\xff'))
        with suppress(protocol.Malformed):
            _requests.parse(damaged[: rng.integers(len(body) + 1)].tobytes(), headers[protocol.LENGTH])


def test_commands_that_cannot_serve_say_why(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_refused(call("serve", "tiny", "--seed", "3"), "'tiny', seed 3", "mia-seg train-victim tiny --seed 3")
    assert_refused(call("serve", "tiny", "--defense", "synfat"), "synfeat")
    assert_refused(call("serve", "tinny"), "tiny")
    ran = call("serve", "tiny", "--key-env", "sk-s3cr3t")
    assert_refused(ran, "--key-env")
    assert "s3cr3t" not in ran.err
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert_refused(call("serve", "tiny"), "pip install 'mia-seg[serve]'")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_after_the_answer_that_was_begun(number: int) -> None:
    def slow(image_HWC: np.ndarray, key: int) -> torch.Tensor:
        os.kill(os.getpid(), number)
        threading.Event().wait(0.2)
        return oracle()(image_HWC, key)

    with ThreadPoolExecutor(1) as clients:
        asked: list[Any] = []
        served = replace(service(), oracle=slow)
        server.serve(served, Rules(), "127.0.0.1", port=0, ready=lambda url: asked.append(clients.submit(infer, url)))
        assert asked[0].result().status_code == 200
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
