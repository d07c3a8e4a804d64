"""The ONNX door: files of every fault, sizes and types that do not fit, and answers equal to the network's own.

The files are written node by node, because exporting one takes seconds.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers_doors import CLASSES, door, drawn, opened, refusal, scaled
from helpers_scenes import picture
from torch import nn

from mia_seg.oracles.door import DoorOracle

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
helper, TensorProto = onnx.helper, onnx.TensorProto

IMAGE = picture(0, (8, 12))
FREE = (1, 3, "height", "width")
TYPES = {"float": TensorProto.FLOAT, "half": TensorProto.FLOAT16, "bytes": TensorProto.UINT8, "int": TensorProto.INT64}


@pytest.fixture(scope="module")
def network() -> nn.Module:
    return drawn(lambda: nn.Conv2d(3, 3, 3, padding=1), 10)


def write(path: Path, network: nn.Module, *, shape: Any = FREE, kind: str = "float", **more: Any) -> Path:
    """The convolution as an ONNX file. outputs: their names; inputs: more of them; to: the type that is cast to."""
    outputs, to = more.get("outputs", ["scores"]), TYPES["half" if kind == "half" else "float"]
    values = [helper.make_tensor_value_info(name, TYPES[kind], shape) for name in ["image", *more.get("inputs", [])]]
    results = [helper.make_tensor_value_info(name, to, [1, 3, None, None]) for name in outputs]
    weights = [
        onnx.numpy_helper.from_array(getattr(network, name).numpy().astype("f2" if kind == "half" else "f4"), name)
        for name in ("weight", "bias")
    ]
    nodes = [helper.make_node("Cast", ["image"], ["floats"], to=to)]
    for name in outputs:
        nodes.append(helper.make_node("Conv", ["floats", "weight", "bias"], [name], pads=[1, 1, 1, 1]))
    nodes += [helper.make_node(operator, ["image"], ["unused"]) for operator in more.get("operators", [])]
    graph = helper.make_graph(nodes, "made by hand", values, results, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.save(model, path, save_as_external_data="data" in more, location=more.get("data"), size_threshold=0)
    return path


def ask(folder: Path, **more: Any) -> DoorOracle:
    section = {"name": "onnx", "path": "model.onnx", "answers": "logits", "input": {"scale": 255}}
    return opened(folder, **section | more)


def direct(network: nn.Module, image_HWC: np.ndarray) -> torch.Tensor:
    return network(scaled(image_HWC))[0].softmax(0)


@pytest.mark.parametrize("size", [(8, 12), (5, 7), (1, 30)])
def test_free_sides_take_every_size(tmp_path: Path, network: nn.Module, size: tuple[int, int]) -> None:
    write(tmp_path / "model.onnx", network)
    image = picture(1, size)
    np.testing.assert_allclose(ask(tmp_path)(image, 0), direct(network, image), atol=1e-5)


def test_a_function_a_folder_and_a_file_of_one_network_answer_alike(
    tmp_path: Path, network: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "model.onnx", network)
    code = "import torch\nnet = torch.nn.Conv2d(3, 3, 3, padding=1)\nnet.load_state_dict(torch.load('net.pt'))\n"
    (tmp_path / "one_network.py").write_text(code)
    torch.save(network.state_dict(), tmp_path / "net.pt")
    np.save(tmp_path / "scene.npy", network(scaled(IMAGE)).numpy())
    monkeypatch.chdir(tmp_path)
    as_tensors = {"answers": "logits", "input": {"scale": 255, "layout": "NCHW"}, "output": {"layout": "NCHW"}}
    kept = door(name="folder", path=".", **as_tensors)
    answers = [
        ask(tmp_path)(IMAGE, 7),
        opened(tmp_path, name="callable", target="one_network:net", **as_tensors)(IMAGE, 7),
        DoorOracle(kept, kept.open(tmp_path, {7: "scene"}), CLASSES)(IMAGE, 7),
    ]
    monkeypatch.delitem(sys.modules, "one_network")
    for answer in answers:
        np.testing.assert_allclose(answer, direct(network, IMAGE), atol=1e-5)


def test_bytes_and_half_precision(tmp_path: Path, network: nn.Module) -> None:
    write(tmp_path / "model.onnx", network, kind="half")
    np.testing.assert_allclose(ask(tmp_path)(IMAGE, 0), direct(network, IMAGE), atol=0.01)
    write(tmp_path / "model.onnx", network, kind="bytes")
    wanted = network(255 * scaled(IMAGE))[0].softmax(0)
    np.testing.assert_allclose(ask(tmp_path, input={})(IMAGE, 0), wanted, atol=1e-4)
    assert "takes bytes (uint8). Leave scale, mean and std out" in refusal(lambda: ask(tmp_path))


def test_one_of_several_outputs(tmp_path: Path, network: nn.Module) -> None:
    write(tmp_path / "model.onnx", network, outputs=["out", "aux"])
    said = refusal(lambda: ask(tmp_path))
    assert "has 2 outputs: 'out' 1 x 3 x ? x ?, 'aux' 1 x 3 x ? x ?. Let [door] output_name name one." in said
    assert "has no output 'logits': 'out'" in refusal(lambda: ask(tmp_path, output_name="logits"))
    np.testing.assert_allclose(ask(tmp_path, output_name="aux")(IMAGE, 0), direct(network, IMAGE), atol=1e-5)


@pytest.mark.parametrize(
    ("made", "section", "words"),
    [
        ({"shape": (4, 3, "h", "w")}, {}, "takes 4 images at once, 4 x 3 x h x w. Export it for one"),
        ({"shape": (1, 8, 12, 3)}, {}, "Set [door.input] layout, now NCHW, to its axes"),
        (
            {},
            {"input": {"scale": 255, "layout": "CHW"}},
            "takes 1 x 3 x height x width. Set [door.input] layout, now CHW",
        ),
        ({"shape": (1, 3, 16, 16)}, {"input": {"scale": 255, "size": (8, 12)}}, "takes images of 1 x 3 x 16 x 16 only"),
        ({"kind": "int"}, {}, "takes tensor(int64). Export it with an input of floats or of bytes"),
        ({"inputs": ["size"]}, {}, "has 2 inputs: 'image' 1 x 3 x height x width, 'size'"),
        ({}, {"input": {}}, "takes floats, and [door.input] does not say which. Set scale = 255"),
        ({"operators": ["Foo"]}, {}, "needs an operator that onnxruntime does not have"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_when_it_is_opened(
    tmp_path: Path, network: nn.Module, made: dict[str, Any], section: dict[str, Any], words: str
) -> None:
    write(tmp_path / "model.onnx", network, **made)
    assert words in refusal(lambda: ask(tmp_path, **section))


@pytest.mark.parametrize("shape", [(1, 3, 16, 16), (1, 3, "h", 16)])
def test_a_fixed_size_is_said_before_the_model_is_asked(tmp_path: Path, network: nn.Module, shape: Any) -> None:
    write(tmp_path / "model.onnx", network, shape=shape)
    said = refusal(lambda: ask(tmp_path)(IMAGE, 0))
    assert "only, and these are 1 x 3 x 8 x 12. Set [door.input] size to it" in said
    answer = ask(tmp_path, input={"scale": 255, "size": (16, 16)})(IMAGE, 0)
    assert answer.shape == (3, 8, 12)
    assert ask(tmp_path, input={"scale": 255, "multiple": 16})(IMAGE, 0).shape == (3, 8, 12)


def test_the_file_and_its_external_data_are_the_model(tmp_path: Path, network: nn.Module) -> None:
    path = write(tmp_path / "model.onnx", network)
    known = door(name="onnx", path="model.onnx", answers="logits")
    assert known.files(tmp_path) == (path,)
    write(path, network, data="model.weights")
    assert known.files(tmp_path) == (path, tmp_path / "model.weights")
    np.testing.assert_allclose(ask(tmp_path)(IMAGE, 0), direct(network, IMAGE), atol=1e-5)
    (tmp_path / "model.weights").unlink()
    assert "model.weights" in refusal(lambda: ask(tmp_path))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 an archive", None])
def test_what_is_no_onnx_file(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "model.onnx"
    path.mkdir() if content is None else path.write_bytes(content)
    assert f"{path} cannot be read as an ONNX model (" in refusal(lambda: ask(tmp_path))
    path.rmdir() if content is None else path.unlink()
    said = f"Door 'onnx': {path} does not exist. Let [door] path name the model's .onnx file."
    assert refusal(lambda: ask(tmp_path)) == said
    assert refusal(lambda: door(name="onnx", path="model.onnx", answers="logits").files(tmp_path)) == said


def test_without_onnxruntime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.onnx").touch()
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert "Install it: pip install 'mia-seg[onnx]'." in refusal(lambda: ask(tmp_path))
