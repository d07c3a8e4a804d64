"""The http door: what it sends, what it makes of every kind of answer, and that nothing is paid twice or shown."""

import json
import logging
import re
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers_files import RANDOM, STREETS, call, write
from helpers_scenes import picture
from PIL import Image

import mia_seg as mia
from mia_seg import plugins
from mia_seg.errors import MiaSegError
from mia_seg.oracles import doors, protocol
from mia_seg.oracles.door import DoorOracle
from mia_seg.oracles.doors import Ask, Door, _post
from mia_seg.oracles.doors.http import Http
from mia_seg.stages.queries import Queries, Question
from mia_seg.store import Store
from mia_seg.store.upkeep import entries

SECRET = "s3cr3t-of-the-service"
IMAGE = picture(0, (4, 6))
HERE = "127.0.0.1"
Handler = Callable[["Service", dict[str, Any]], None]


class Service(BaseHTTPRequestHandler):
    """Answers with the next of the server's script, the last one for ever."""

    server: "Server"
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        size = int(self.headers["Content-Length"])
        head, tail = protocol.unpack(self.rfile.read(size), self.headers[protocol.LENGTH])
        given = protocol.tensors(head["inputs"], tail)
        self.server.seen.append((self.path, dict(self.headers), head, given))
        script = self.server.script
        (script.pop(0) if len(script) > 1 else script[0])(self, head)

    def do_GET(self) -> None:
        known = {"inputs": [{"name": "pixels"}], "outputs": [{"name": "scores"}, {"name": SECRET * 9}]}
        self.say(200, json.dumps(known).encode())

    def say(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    """Remembers what it was sent."""

    def __init__(self) -> None:
        super().__init__((HERE, 0), Service)
        self.seen: list[tuple[str, dict[str, str], dict[str, Any], dict[str, np.ndarray]]] = []
        self.script: list[Handler] = [answers(posterior())]
        self.url = f"http://{HERE}:{self.server_port}"

    def handle_error(self, *_: object) -> None:
        pass  # the client hung up


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(_post, "BACK_OFF", 0.001)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    running = Server()
    thread = threading.Thread(target=lambda: running.serve_forever(poll_interval=0.01))
    thread.start()
    yield running
    running.shutdown()
    thread.join()
    running.server_close()


def date(seconds: int) -> str:
    return time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + seconds))


def posterior(classes: int = 3, size: tuple[int, int] = (4, 6)) -> np.ndarray:
    drawn = np.random.default_rng(1).random((1, classes, *size), np.float32) + 0.1
    return (drawn / drawn.sum(1, keepdims=True)).astype(np.float32)


def answers(array: np.ndarray, name: str = "posterior", cut: int = 0, **changed: Any) -> Handler:
    def handle(service: Service, head: dict[str, Any]) -> None:
        entry = protocol.described(name, array) | changed
        body, headers = protocol.pack({"id": head["id"], "outputs": [entry]}, [protocol.numbers(array)])
        service.say(200, body[: len(body) - cut], **headers)

    return handle


def says(status: int, body: bytes = b"", **headers: str) -> Handler:
    return lambda service, _: service.say(status, body, **headers)


def announces(size: int, body: bytes) -> Handler:
    """More than is sent before the connection is cut."""

    def handle(service: Service, _: dict[str, Any]) -> None:
        service.send_response(200)
        service.send_header("Content-Length", str(size))
        service.end_headers()
        service.wfile.write(body)
        service.wfile.flush()
        service.connection.shutdown(socket.SHUT_RDWR)
        service.close_connection = True

    return handle


def hangs(service: Service, _: dict[str, Any]) -> None:
    time.sleep(1)
    service.close_connection = True


def drips(service: Service, _: dict[str, Any]) -> None:
    service.send_response(200)
    service.send_header("Content-Length", "1000")
    service.end_headers()
    for _ in range(50):
        service.wfile.write(b" ")
        service.wfile.flush()
        time.sleep(0.02)


def door(server: Server | str, **more: Any) -> Http:
    settings = {
        "url": server if isinstance(server, str) else server.url, "model": "streets", "input_name": "image",
        "output_name": "posterior", "answers": "posterior", "input": {"layout": "NHWC"}, "output": {"layout": "NCHW"},
    }  # fmt: skip
    return plugins.build(doors, Door, "http", settings=settings | more, where="[door]")


def opened(server: Server | str, folder: Path, **more: Any) -> Ask:
    return door(server, **more).open_with(folder, {}, folder / "asked")


def refused(call: Callable[[], object], *said: str) -> str:
    with pytest.raises(MiaSegError) as caught:
        call()
    sentence = str(caught.value)
    assert sentence.endswith(".")
    assert SECRET not in sentence
    for part in said:
        assert part in sentence
    return sentence


def rows(folder: Path) -> list[dict[str, Any]]:
    (log,) = folder.rglob("log.jsonl")
    return [json.loads(line) for line in log.read_text().splitlines()]


def test_an_image_goes_out_in_binary_and_comes_back_as_a_posterior(server: Server, tmp_path: Path) -> None:
    settings = door(server, version="7")
    oracle = DoorOracle(settings, settings.open_with(tmp_path, {}, tmp_path / "asked"), ["a", "b", "c"])
    assert np.abs(oracle(IMAGE, 5).numpy() - posterior()[0]).max() < 1e-6
    ((path, headers, head, given),) = server.seen
    assert path == "/v2/models/streets/versions/7/infer"
    assert int(headers[protocol.LENGTH]) == len(json.dumps(head).encode())
    assert head["outputs"] == [{"name": "posterior", "parameters": {"binary_data": True}}]
    assert "Authorization" not in headers
    assert "parameters" not in head
    assert np.array_equal(given["image"], IMAGE[None])


@pytest.mark.parametrize("dtype", ["FP16", "FP32", "FP64", "INT64", "UINT8", "INT32"])
@pytest.mark.parametrize("binary", [True, False])
def test_every_type_is_read_bit_for_bit(server: Server, tmp_path: Path, dtype: str, binary: bool) -> None:
    array = (posterior() * 200).astype(np.dtype(protocol.DTYPES[dtype]).newbyteorder("="))
    listed = {"name": "posterior", "datatype": dtype, "shape": list(array.shape), "data": array.ravel().tolist()}
    server.script = [answers(array) if binary else says(200, json.dumps({"outputs": [listed]}).encode())]
    answer = opened(server, tmp_path)(IMAGE, 0)
    assert answer.dtype == array.dtype
    assert np.array_equal(answer, array)
    assert np.array_equal(opened(server, tmp_path)(IMAGE, 0), array)  # as it is kept, too


def test_nothing_is_asked_twice(server: Server, tmp_path: Path) -> None:
    first = opened(server, tmp_path)(IMAGE, 1)
    again = opened(server, tmp_path, budget=1, rate=9, timeout=5, output={"layout": "CHW"})  # manners are no identity
    assert np.array_equal(again(IMAGE, 1), first)
    assert len(server.seen) == 1
    other = opened(server, tmp_path, model="rails")
    other(IMAGE, 1), other(IMAGE, 2), other(picture(1, (4, 6)), 1), other(IMAGE, 1)
    assert len(server.seen) == 4
    assert not list(tmp_path.rglob("*.part"))


def test_an_answer_that_is_no_posterior_is_kept_and_read_otherwise(server: Server, tmp_path: Path) -> None:
    server.script = [answers(posterior() * 40 * np.linspace(1, 2, 6, dtype=np.float32))]
    for answered, fits in (("posterior", False), ("logits", True)):
        settings = door(server, answers=answered)
        oracle = DoorOracle(settings, settings.open_with(tmp_path, {}, tmp_path / "asked"), ["a", "b", "c"])
        if fits:
            assert oracle(IMAGE, 0).shape == (3, 4, 6)
        else:
            refused(lambda told=oracle: told(IMAGE, 0), "'http'", "logits")
    assert len(server.seen) == 1


def test_a_budget_is_counted_before_sending_and_by_all_runs_together(server: Server, tmp_path: Path) -> None:
    server.script = [says(503), answers(posterior())]
    ask = opened(server, tmp_path, budget=3)
    ask(IMAGE, 0), ask(IMAGE, 1)
    assert len(server.seen) == 3
    refused(lambda: ask(IMAGE, 2), "budget = 3", "0 are left")
    refused(lambda: opened(server, tmp_path, budget=3)(IMAGE, 2), "budget = 3")
    assert len(server.seen) == 3
    opened(server, tmp_path, budget=3)(IMAGE, 1)
    opened(server, tmp_path, budget=4)(IMAGE, 2)
    assert len(server.seen) == 4


def segments(service: Service, head: dict[str, Any]) -> None:
    """By the colour of each pixel, whatever the image's size: 19 classes, one of them likelier."""
    (image,) = service.server.seen[-1][3].values()
    of_19_HW = image[0].astype(np.float32).mean(-1).astype(np.int64) % 19
    scores_KHW = np.full((19, *of_19_HW.shape), 0.01, np.float32)
    np.put_along_axis(scores_KHW, of_19_HW[None], 0.82, axis=0)
    answers(scores_KHW[None])(service, head)


def served(server: Server, more: str = "", budget: int | None = None) -> None:
    """A victim recipe of 12 audited scenes of 32 x 48 behind the service. more: other lines and sections."""
    line = "" if budget is None else f"budget = {budget}\n"
    told = f'[door]\nname = "http"\nurl = "{server.url}"\nmodel = "streets"\ninput_name = "image"\n'
    told += 'output_name = "posterior"\nanswers = "posterior"\n'
    write(Path("victims", "served.toml"), f"{STREETS}{RANDOM}{told}{line}{LAYOUTS}{more}")


LAYOUTS = 'input = { layout = "NHWC" }\noutput = { layout = "NCHW" }\n'
HALVES = "[window]\nsize = [32, 32]\noverlap = 0.5\n"
EXAMPLES = 'examples = "own"\n'
COUNTED = {
    "whole": ("", ["image_loss", "label_only"], 12, "12 scenes, 1 window a scene"),
    "windows": (
        EXAMPLES + HALVES, ["image_loss", "firmness"], (12 * 5 + 1) * 2,
        "12 scenes, 2 windows a scene, each asked about up to 5 times, 1 example",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", COUNTED)
def test_what_a_plan_says_is_what_is_sent(server: Server, workdir: Path, what: str) -> None:
    more, attacks, count, said = COUNTED[what]
    server.script = [segments]
    example(workdir / "own")
    served(server, more, budget=count)
    ran = call("audit", "served", "--dry-run", *(word for attack in attacks for word in ("--attack", attack)))
    assert f"Door 'http' gets {count} queries at most: {said}." in ran.out, ran.err
    assert not server.seen
    audited = mia.audit(victim="served", attacks=attacks, device="cpu")
    audited.run()
    assert len(server.seen) == count
    assert not audited.plan().missing


def test_scenes_of_several_sizes_are_told_by_the_fewest_windows_and_the_most() -> None:
    found = Queries("onnx", [Question("a", 1, 4), Question("b", 2, 6), Question("b", 2, 6)], None)
    assert (found.count, str(found)) == (16, "2 scenes, 4 to 6 windows a scene, each asked about up to 2 times")


def example(folder: Path) -> None:
    """An image with the service's own answer."""
    image_HWC = np.random.default_rng(9).integers(256, size=(32, 48, 3), dtype=np.uint8)
    folder.mkdir()
    Image.fromarray(image_HWC).save(folder / "street.png")
    np.save(folder / "street.npy", image_HWC.astype(np.float32).mean(-1).astype(np.int64) % 19)


def test_a_budget_that_cannot_pay_for_every_query_is_refused_before_the_first(server: Server, workdir: Path) -> None:
    def audit() -> None:
        mia.audit(victim="served", attacks=["image_loss"], device="cpu").run()

    served(server, HALVES, budget=23)
    said = "24 queries are still to be sent (12 scenes, 2 windows a scene), and [door] budget = 23 leaves 23 (0 were"
    refused(audit, "Door 'http'", said, "Raise it to 24 or more")
    assert not server.seen
    server.script = [segments] * 7 + [says(401)]
    served(server, HALVES, budget=24)
    refused(audit, "status 401")
    assert len(server.seen) == 8, "the last of which has no answer"
    server.script = [segments]
    refused(audit, "17 queries are still to be sent", "7 answers kept", "leaves 16 (8 were sent)", "to 25 or more")
    served(server, HALVES, budget=25)
    audit()
    assert len(server.seen) == 25


REFUSED = {
    "401": (says(401, SECRET.encode()), "key", "status 401", "key_env"),
    "403": (says(403), "key", "status 403"),
    "redirect": (says(307, Location=f"https://elsewhere.org/{SECRET}"), "redirects", "status 307", "[door] url"),
    "400": (says(400, b'{"error": "[12, 13, 14]"}'), "status 400", "takes 'pixels' and gives 'scores', another"),
    "404": (says(404, b"{}"), "status 404", "[door] model"),
    "413": (says(413), "status 413", "[door.input] size"),
    "204": (says(204), "status 204"),
    "page": (says(200, b"<!doctype html>", Content_Type="text/html"), "web page", "url"),
    "page without a type": (says(200, b"\n<html>"), "web page"),
    "error": (says(200, b'{"error": "out of memory"}'), "error"),
    "text": (says(200, b"ok"), "no JSON"),
    "nesting": (says(200, b"[" * 100_000), "no JSON"),
    "list": (says(200, b"[]"), "no JSON object"),
    "no outputs": (says(200, b"{}"), "lists no tensors"),
    "no such output": (answers(posterior(), "scores"), "no output 'posterior', but 'scores'", "output_name"),
    "datatype": (answers(posterior(), datatype="BF16"), "datatype"),
    "other datatype": (answers(posterior(), datatype="FP16"), "binary_data_size"),
    "shape": (answers(posterior(), shape=[1, 3, 4, 7]), "binary_data_size", "336 bytes"),
    "negative": (answers(posterior(), shape=[1, 3, -4, -6]), "no list of sizes"),
    "truth": (answers(posterior(), shape=[True, 3, 4, 6]), "no list of sizes"),
    "cut numbers": (answers(posterior(), cut=5), "cut off", "288 bytes", "283"),
    "cut header": (says(200, b"{}", **{protocol.LENGTH: "99"}), "cut off", "99"),
    "no length": (says(200, b"{}", **{protocol.LENGTH: "-1"}), "no number"),
    "more": (says(200, b'{"outputs": []}rest', **{protocol.LENGTH: "15"}), "4 bytes of numbers"),
    "other id": (says(200, b'{"id": "another", "outputs": []}'), "another request"),
    "ragged": (
        says(200, b'{"outputs": [{"name": "posterior", "datatype": "FP32", "shape": [2], "data": [[1], [1, 2]]}]}'),
        "no array of numbers",
    ),
    "words": (
        says(200, b'{"outputs": [{"name": "posterior", "datatype": "FP32", "shape": [1], "data": ["1"]}]}'),
        "not of the datatype FP32",
    ),
    "range": (
        says(200, b'{"outputs": [{"name": "posterior", "datatype": "UINT8", "shape": [1], "data": [256]}]}'),
        "beyond the range",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_no_repeat_mends_is_refused_at_once(
    server: Server, tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVICE_KEY", SECRET)
    handler, *said = REFUSED[what]
    server.script = [handler]
    refused(lambda: opened(server, tmp_path, key_env="SERVICE_KEY")(IMAGE, 0), "Door 'http': it", *said)
    assert len(server.seen) == 1
    assert not list(tmp_path.rglob("*.npy"))
    assert len(rows(tmp_path)) == 1


AGAIN = {
    "429": (says(429), 429),
    "503": (says(503), 503),
    "500": (says(500, b"<html>"), 500),
    "cut": (announces(1000, b"{"), "cut"),
    "silence": (announces(1000, b""), "cut"),
}


@pytest.mark.parametrize("what", AGAIN)
def test_what_a_repeat_may_mend_is_repeated(server: Server, tmp_path: Path, what: str) -> None:
    handler, status = AGAIN[what]
    server.script = [handler, answers(posterior())]
    assert np.array_equal(opened(server, tmp_path)(IMAGE, 0), posterior())
    assert [row["status"] for row in rows(tmp_path)] == [status, 200]
    server.script = [handler]
    refused(lambda: opened(server, tmp_path, retries=1)(IMAGE, 1), "2 requests")
    assert len(server.seen) == 4


@pytest.mark.parametrize("handler", [hangs, drips])
def test_an_answer_that_does_not_end_is_given_up(server: Server, tmp_path: Path, handler: Handler) -> None:
    server.script = [handler]
    refused(lambda: opened(server, tmp_path, timeout=0.3, retries=0)(IMAGE, 0), "one request", "timeout")
    assert [row["status"] for row in rows(tmp_path)] == ["timeout"]


def test_a_service_that_is_not_there(tmp_path: Path, server: Server) -> None:
    with socket.socket() as free:
        free.bind((HERE, 0))
        url = f"http://{HERE}:{free.getsockname()[1]}"
        refused(
            lambda: opened(url, tmp_path, retries=1)(IMAGE, 0),
            "cannot be reached (2 requests). Start it, or correct [door] url",
        )


@pytest.mark.parametrize(
    "header", [str, lambda s: time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + s))]
)
def test_the_service_says_how_long_to_wait(
    server: Server, tmp_path: Path, header: Callable[[int], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        if threading.current_thread() is threading.main_thread():  # other threads wait, too
            slept.append(seconds)

    monkeypatch.setattr(_post.time, "sleep", sleep)
    server.script = [says(429, Retry_After=header(7)), says(503, Retry_After="soon"), answers(posterior())]
    opened(server, tmp_path)(IMAGE, 0)
    assert slept[0] == pytest.approx(7, abs=1.1)
    assert slept[1] == pytest.approx(0.002)
    server.script = [says(429, Retry_After=header(4000))]
    refused(lambda: opened(server, tmp_path)(IMAGE, 1), "asks to wait", "patience")
    assert len(slept) == 2


def test_requests_keep_their_distance(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    monkeypatch.setattr(_post.time, "sleep", sleep)
    monkeypatch.setattr(_post.time, "monotonic", lambda: now)
    ask = opened(server, tmp_path, rate=4)
    for key in (0, 1, 2, 1, 1):
        ask(IMAGE, key)
    assert now == pytest.approx(100.5)


@pytest.mark.parametrize(("header", "sent"), [("Authorization", f"Bearer {SECRET}"), ("X-Api-Key", SECRET)])
def test_a_key_goes_to_the_service_and_nowhere_else(
    server: Server, tmp_path: Path, header: str, sent: str,
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:  # fmt: skip
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("SERVICE_KEY", f"{SECRET}\n")
    settings = door(server, key_env="SERVICE_KEY", key_header=header)
    settings.open_with(tmp_path, {}, tmp_path / "asked")(IMAGE, 0)
    assert server.seen[0][1][header] == sent
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert SECRET.encode() not in written
    assert SECRET not in caplog.text + repr(settings) + settings.model_dump_json()
    ((row),) = rows(tmp_path)
    assert row.keys() == {"time", "image", "status", "ms", "bytes"}
    assert re.fullmatch("[0-9a-f]{64}", row["image"])
    assert row["status"] == 200


@pytest.mark.parametrize("key", ["", " ", f"{SECRET}\x00", f"{SECRET}ü"])
def test_a_key_that_no_header_takes(tmp_path: Path, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if "\x00" not in key:
        monkeypatch.setenv("SERVICE_KEY", key)
    refused(lambda: opened("https://service.org", tmp_path, key_env="SERVICE_KEY"), "key_env")


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": f"https://user:{SECRET}@service.org"},
        {"url": f"https://service.org/?key={SECRET}"},
        {"url": f"https://service.org/#{SECRET}"},
        {"url": "ftp://service.org"},
        {"url": "service.org:8000"},
        {"url": "http://service.org:99999"},
        {"url": "http://[::1"},
        {"url": "http://"},
        {"key_env": f"sk-{SECRET}"},
        {"key": SECRET},
        {"budget": 0},
        {"rate": 0},
    ],
)
def test_settings_that_cannot_be_meant(wrong: dict[str, Any]) -> None:
    refused(lambda: door("https://service.org", **wrong), "[door]")


@pytest.mark.parametrize("host", ["xn--", "a..b", "*" * 300, "\u00fc" * 70])
def test_a_host_that_no_client_takes(tmp_path: Path, host: str) -> None:
    refused(lambda: opened(f"http://{host}", tmp_path, retries=0)(IMAGE, 0), "Door 'http'")


def test_a_kept_answer_that_is_damaged_is_named(server: Server, tmp_path: Path) -> None:
    opened(server, tmp_path)(IMAGE, 0)
    (kept,) = tmp_path.rglob("*.npy")
    kept.write_bytes(kept.read_bytes()[:50])
    refused(lambda: opened(server, tmp_path)(IMAGE, 0), str(kept), "Remove it")
    assert len(server.seen) == 1


def test_the_key_of_the_noise_is_sent_where_it_is_asked_for(server: Server, tmp_path: Path) -> None:
    settings = door(server, noise_parameter="key", fresh=True)
    settings.open_with(tmp_path, {}, tmp_path)(IMAGE, 2**48 - 1)
    assert server.seen[0][2]["parameters"] == {"key": 2**48 - 1}
    assert not settings.deterministic
    assert door(server).deterministic


def test_upkeep_of_a_store_leaves_paid_answers_alone(server: Server, tmp_path: Path) -> None:
    opened(server, tmp_path)(IMAGE, 0)
    assert list((tmp_path / "asked").iterdir())
    assert not entries(Store(tmp_path))


def test_without_httpx_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httpx", None)
    refused(lambda: opened("https://service.org", tmp_path), "pip install 'mia-seg[http]'")
