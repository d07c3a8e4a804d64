"""Pretrained backbones: from a file, from timm's hub, or one sentence that says what is missing."""

import shutil
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import ClassVar

import huggingface_hub.constants
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor

from mia_seg import progress, segmenters, train
from mia_seg.errors import MiaSegError
from mia_seg.plugins import build, load, names
from mia_seg.recipes import Recipe
from mia_seg.segmenters import Network, Segmenter
from mia_seg.segmenters._backbone import STEMS, DilatedResNet
from mia_seg.segmenters._weights import WEIGHTS, create

SMALL = "resnet18.tv_in1k"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that MIA_SEG_WEIGHTS names, on a machine without a network; files of weights are not kept."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MIA_SEG_WEIGHTS", str(tmp_path))
    yield tmp_path
    shutil.rmtree(tmp_path)


def planted(wanted: str) -> dict[str, Tensor]:
    """Weights that fit timm's `wanted`: the k-th tensor is 0.001 k everywhere."""
    with torch.device("meta"):
        tensors = timm.create_model(wanted).state_dict()
    return {
        name: torch.tensor(k if "num_batches" in name else 0.001 * k).expand(tensor.shape)
        for k, (name, tensor) in enumerate(tensors.items())
    }


def write(path: Path, tensors: dict[str, Tensor]) -> None:
    """As timm reads them; a .pth or .bin keeps one number a tensor, so that the file is tiny."""
    if path.suffix == ".safetensors":
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    else:
        torch.save(tensors, path)


def small(name: str, pretrained: bool) -> Network:
    return build(
        segmenters, Segmenter, name, settings={"backbone": "resnet18", "pretrained": pretrained}, where=name
    ).build(3)


def assert_planted(layer: torch.nn.Module, prefix: str, tensors: dict[str, Tensor]) -> None:
    # A learnt dilation is none of the published weights.
    state = {name: tensor for name, tensor in layer.state_dict().items() if not name.endswith("dilation_C")}
    assert state
    for name, tensor in state.items():
        assert torch.equal(tensor, tensors[prefix + name])


@pytest.mark.parametrize("name", WEIGHTS)
def test_the_weights_fit_the_architecture(name: str) -> None:
    with torch.device("meta"):
        mine, theirs = create(name, False, **STEMS.get(name, {})), timm.create_model(WEIGHTS[name], num_classes=0)
    assert timm.is_model_pretrained(WEIGHTS[name])
    assert {n: t.shape for n, t in mine.state_dict().items()} == {n: t.shape for n, t in theirs.state_dict().items()}


@pytest.mark.parametrize("name", names(segmenters))
def test_every_segmenter_starts_from_the_file(name: str, folder: Path) -> None:
    tensors = planted(SMALL)
    write(folder / f"{SMALL}.safetensors", tensors)
    backbone = small(name, True).backbone
    for layer in ("layer1", "layer2", "layer3", "layer4"):
        assert_planted(getattr(backbone, layer), f"{layer}.", tensors)
    assert torch.equal(backbone.stem[0].weight, tensors["conv1.weight"])


@pytest.mark.parametrize("suffix", [".pth", ".bin"])
@pytest.mark.parametrize("name", ["resnet50", "resnet101"])
def test_deep_stems_start_from_the_file(name: str, suffix: str, folder: Path) -> None:
    tensors = planted(WEIGHTS[name])
    write(folder / f"{WEIGHTS[name]}{suffix}", tensors)
    backbone = DilatedResNet(name, True, 1)
    assert_planted(backbone.stem[0], "conv1.", tensors)
    assert_planted(backbone.layer3, "layer3.", tensors)
    # As without weights: strides are gone and every block is dilated.
    assert {m.dilation for m in backbone.layer4.modules() if getattr(m, "kernel_size", 0) == (3, 3)} == {(4, 4)}


@pytest.mark.parametrize("name", ["xception65", "xception71"])
def test_xceptions_start_from_the_file(name: str, folder: Path) -> None:
    tensors = planted(WEIGHTS[name])
    write(folder / f"{WEIGHTS[name]}.pth", tensors)
    backbone = (
        build(segmenters, Segmenter, "dpc", settings={"backbone": name, "pretrained": True}, where="").build(3).backbone
    )
    place = {"xception65": 1, "xception71": 2}[name]
    assert_planted(backbone.stem, "stem.", tensors)
    assert_planted(backbone.early, "blocks.", tensors)
    assert_planted(backbone.tapped, f"blocks.{place}.", tensors)
    assert_planted(backbone.late, "blocks.", tensors)


@pytest.mark.parametrize("name", names(segmenters))
def test_without_file_and_network_one_error_says_what_to_do(name: str, folder: Path) -> None:
    with pytest.raises(MiaSegError) as caught:
        small(name, True)
    said = str(caught.value)
    assert f"huggingface.co/timm/{SMALL}/resolve/main/model.safetensors cannot be fetched (" in said
    assert f"Put {SMALL}.safetensors into the folder {folder} (MIA_SEG_WEIGHTS)" in said
    assert "pretrained = false" in said


def test_without_a_folder_the_error_says_how_to_name_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MIA_SEG_WEIGHTS")
    with pytest.raises(MiaSegError, match=f"Put {SMALL}.safetensors into a folder and let MIA_SEG_WEIGHTS name it"):
        small("pspnet", True)


class Hub(BaseHTTPRequestHandler):
    """A hub at this machine: what it answers to each request, and what it was asked."""

    status = 503
    asked: ClassVar[list[str]] = []

    def do_HEAD(self) -> None:
        self.asked.append(f"{self.command} {self.path}")
        self.send_response(self.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_HEAD

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize("status", [404, 503])
def test_a_hub_that_refuses_is_asked_once_and_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], status: int
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(Hub, "status", status)
    Hub.asked.clear()
    with HTTPServer(("", 0), Hub) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://{server.server_name}:{server.server_port}/model"
        monkeypatch.setattr(huggingface_hub, "hf_hub_url", lambda *_: address)
        progress.show()
        try:
            with pytest.raises(
                MiaSegError, match=rf"'{SMALL}' are not on this machine, and {address} cannot be fetched"
            ):
                small("pspnet", True)
        finally:
            progress.show(False)
            server.shutdown()
    assert Hub.asked == ["HEAD /model"]
    assert f"fetching the weights {SMALL} from {address}" in capsys.readouterr().err


def test_what_is_in_the_cache_is_not_asked_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tensors = planted(SMALL)
    kept = folder / "cache" / f"models--timm--{SMALL}"
    (kept / "snapshots" / "abc").mkdir(parents=True)
    (kept / "refs").mkdir()
    (kept / "refs" / "main").write_text("abc")
    write(kept / "snapshots" / "abc" / "model.safetensors", tensors)
    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", lambda *_, **__: pytest.fail("asked the hub"))
    assert_planted(small("pspnet", True).backbone.layer2, "layer2.", tensors)


@pytest.mark.parametrize("content", [b"", b"no weights" * 100, b"\x08\0\0\0\0\0\0\0{}      "])
def test_a_file_that_holds_no_weights_is_named(content: bytes, folder: Path) -> None:
    (folder / f"{SMALL}.safetensors").write_bytes(content)
    with pytest.raises(MiaSegError, match=rf"{SMALL}\.safetensors does not hold the weights.*pretrained = false"):
        small("pspnet", True)


@pytest.mark.parametrize("content", [b"", b"no weights" * 100])
def test_a_pickle_that_holds_no_weights_is_named(content: bytes, folder: Path) -> None:
    (folder / f"{SMALL}.pth").write_bytes(content)
    with pytest.raises(MiaSegError, match=rf"{SMALL}\.pth does not hold the weights"):
        small("pspnet", True)


def test_weights_that_lack_a_layer_are_refused(folder: Path) -> None:
    tensors = planted(SMALL)
    del tensors["layer2.0.conv1.weight"]
    write(folder / f"{SMALL}.pth", tensors)
    with pytest.raises(MiaSegError, match=r"resnet18.*\(.*layer2\.0\.conv1\.weight"):
        small("pspnet", True)


def test_weights_of_the_plain_stem_are_refused(folder: Path) -> None:
    write(folder / "resnet50s.gluon_in1k.pth", planted("resnet50"))
    with pytest.raises(MiaSegError, match=r"does not hold the weights of timm's 'resnet50s\.gluon_in1k'"):
        DilatedResNet("resnet50", True, 3)


@pytest.mark.parametrize("name", names(segmenters))
def test_random_weights_ask_for_no_file_and_draw_no_more_than_timm(name: str, folder: Path) -> None:
    write(folder / f"{SMALL}.pth", planted(SMALL))
    torch.manual_seed(5)
    plain = timm.create_model("resnet18", num_classes=0)
    torch.manual_seed(5)
    network = small(name, False)
    assert torch.equal(network.backbone.layer4[1].conv2.weight, plain.layer4[1].conv2.weight)


def test_the_draws_after_a_random_backbone_are_those_after_timms() -> None:
    torch.manual_seed(5)
    timm.create_model("resnet18", num_classes=0)
    after = torch.rand(3)
    torch.manual_seed(5)
    DilatedResNet("resnet18", False, 1)
    assert torch.equal(torch.rand(3), after)


def test_a_trained_network_needs_no_longer_what_it_started_from(folder: Path) -> None:
    settings = {"name": "pspnet", "backbone": "resnet18"}
    write(folder / f"{SMALL}.pth", planted(SMALL))
    save_file(small("pspnet", True).state_dict(), folder / "model.safetensors")
    (folder / f"{SMALL}.pth").unlink()
    recipe = Recipe(
        data={"name": "streets", "size": [32, 48], "count": 6},
        split={"rule": "random", "members": 5, "nonmembers": 1, "pool": 0},
        segmenter=settings | {"pretrained": True},
        train={"epochs": 1, "batch": 2, "lr": 0.05, "crop": (32, 48)},
    )
    network = train.load_network(recipe, 3, folder / "model.safetensors")
    assert_planted(network.backbone.layer1, "layer1.", planted(SMALL))


@pytest.mark.parametrize("name", names(segmenters))
def test_every_segmenter_can_start_from_either(name: str) -> None:
    field = load(segmenters, Segmenter, name).model_fields["pretrained"]
    assert field.default is False
    assert "MIA_SEG_WEIGHTS" in field.description


@pytest.mark.parametrize("name", names(segmenters))
def test_the_file_that_a_backbone_begins_with_is_named(name: str, folder: Path) -> None:
    random, pretrained = (
        build(segmenters, Segmenter, name, settings={"backbone": "resnet18", "pretrained": either}, where=name)
        for either in (False, True)
    )
    assert pretrained.files() == ()  # timm's cache or hub has them
    for suffix in (".bin", ".pth", ".safetensors"):  # each goes before those that were there
        (folder / f"{SMALL}{suffix}").touch()
        assert pretrained.files() == (folder / f"{SMALL}{suffix}",)
    assert random.files() == ()


@pytest.mark.parametrize("backbone", WEIGHTS)
def test_each_backbone_has_a_file_of_its_own(backbone: str, folder: Path) -> None:
    for wanted in WEIGHTS.values():
        (folder / f"{wanted}.pth").touch()
    name = next(name for name in names(segmenters) if _takes(name, backbone))
    settings = {"backbone": backbone, "pretrained": True}
    assert build(segmenters, Segmenter, name, settings=settings, where=name).files() == (
        folder / f"{WEIGHTS[backbone]}.pth",
    )


def _takes(name: str, backbone: str) -> bool:
    try:
        build(segmenters, Segmenter, name, settings={"backbone": backbone}, where=name)
    except MiaSegError:
        return False
    return True


def test_what_is_no_file_or_in_no_folder_is_not_begun_with(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    segmenter = build(
        segmenters, Segmenter, "pspnet", settings={"backbone": "resnet18", "pretrained": True}, where="pspnet"
    )
    (folder / f"{SMALL}.safetensors").mkdir()
    (folder / f"{SMALL}.onnx").touch()
    assert segmenter.files() == ()
    (folder / f"{SMALL}.pth").touch()
    assert segmenter.files() == (folder / f"{SMALL}.pth",)
    for value in ("", str(folder / "nowhere")):
        monkeypatch.setenv("MIA_SEG_WEIGHTS", value)
        assert segmenter.files() == ()
    monkeypatch.delenv("MIA_SEG_WEIGHTS")
    assert segmenter.files() == ()


def test_the_file_that_is_named_is_the_file_that_is_read(folder: Path) -> None:
    write(folder / f"{SMALL}.bin", planted(SMALL))
    (folder / f"{SMALL}.pth").write_bytes(b"no weights")
    segmenter = build(
        segmenters, Segmenter, "pspnet", settings={"backbone": "resnet18", "pretrained": True}, where="pspnet"
    )
    (named,) = segmenter.files()
    with pytest.raises(MiaSegError, match=f"{named} does not hold the weights"):
        segmenter.build(3)
    named.unlink()
    assert segmenter.files() == (folder / f"{SMALL}.bin",)
    assert_planted(segmenter.build(3).backbone.layer1, "layer1.", planted(SMALL))
