"""Doors to toolkits' models in files: answers equal the toolkit's own, and a file that is not whole is refused."""

import json
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from helpers_doors import door, drawn, opened, refusal, scaled
from helpers_scenes import picture
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

IMAGE = picture(0, (32, 64))
FLOATS = {"scale": 255}


def edit(path: Path, **values: Any) -> None:
    """Other values in a JSON file."""
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def drop(path: Path, start: str) -> None:
    """Weights without those whose name begins so."""
    save_file({k: v for k, v in load_file(path).items() if not k.startswith(start)}, path, {"format": "pt"})


# segmentation_models_pytorch


@pytest.fixture
def smp() -> Any:
    return pytest.importorskip("segmentation_models_pytorch")


def unet(smp: Any, folder: Path, **settings: Any) -> Any:
    """A small U-Net, saved."""
    network = drawn(lambda: smp.Unet("mobilenet_v2", encoder_weights=None, classes=3, **settings))
    network.save_pretrained(folder)
    return network


def asked_smp(base: Path, **more: Any) -> Any:
    return opened(base, **{"name": "smp", "path": "unet", "input": FLOATS} | more)


def test_smp_answers_as_it_does_itself_and_downloads_nothing(smp: Any, tmp_path: Path, capfd: Any) -> None:
    network = unet(smp, tmp_path / "unet")
    edit(tmp_path / "unet" / "config.json", encoder_weights="imagenet")  # as most models are saved
    capfd.readouterr()
    answer = asked_smp(tmp_path)(IMAGE, 0)
    np.testing.assert_allclose(answer, network(scaled(IMAGE))[0].softmax(0), atol=1e-5)
    assert capfd.readouterr() == ("", "")
    small = picture(1, (20, 40))
    assert asked_smp(tmp_path, input=FLOATS | {"multiple": 32})(small, 0).shape == (3, 20, 40)
    files = door(name="smp", path="unet").files(tmp_path)
    assert [file.name for file in files] == ["config.json", "model.safetensors"]


def test_smp_with_a_second_head_and_an_activation(smp: Any, tmp_path: Path) -> None:
    network = unet(smp, tmp_path / "unet", aux_params={"classes": 2}, activation="softmax2d")
    assert "activation = 'softmax2d', so the model does not answer logits" in refusal(lambda: asked_smp(tmp_path))
    answer = asked_smp(tmp_path, answers="posterior")(IMAGE, 0)
    np.testing.assert_allclose(answer, network(scaled(IMAGE))[0][0], atol=1e-5)


def test_smp_folders_that_are_not_whole(smp: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, weights = tmp_path / "unet" / "config.json", tmp_path / "unet" / "model.safetensors"
    unet(smp, tmp_path / "unet")
    assert "the model takes floats, and [door.input] does not say which" in refusal(
        lambda: asked_smp(tmp_path, input={})
    )
    drop(weights, "segmentation_head")
    assert f"{weights} does not fit {config} (Error" in refusal(lambda: asked_smp(tmp_path))
    weights.write_bytes(b"no weights")
    assert f"{weights} does not fit" in refusal(lambda: asked_smp(tmp_path))
    weights.unlink()
    assert f"{weights} does not exist. Let [door] path name the folder" in refusal(lambda: asked_smp(tmp_path))
    weights.touch()
    edit(config, _model_class="create_model")
    assert "names no model of smp" in refusal(lambda: asked_smp(tmp_path))
    config.write_text("{")
    assert f"{config} is no JSON" in refusal(lambda: asked_smp(tmp_path))
    monkeypatch.setitem(sys.modules, "segmentation_models_pytorch", None)
    assert "Install it: pip install 'mia-seg[smp]'." in refusal(lambda: asked_smp(tmp_path))


# torchvision


@pytest.fixture(scope="module")
def lraspp() -> Any:
    return drawn(
        lambda: torchvision.models.get_model(
            "lraspp_mobilenet_v3_large", weights=None, weights_backbone=None, num_classes=3
        )
    )


def asked_torchvision(base: Path, path: str = "weights.pth", **more: Any) -> Any:
    section = {"name": "torchvision", "architecture": "lraspp_mobilenet_v3_large", "path": path, "input": FLOATS}
    return opened(base, **section | more)


@pytest.mark.parametrize("form", ["safetensors", "pth", "model", "model_state_dict"])
def test_torchvision_answers_as_it_does_itself(lraspp: Any, tmp_path: Path, form: str) -> None:
    path = tmp_path / ("weights.safetensors" if form == "safetensors" else "weights.pth")
    state = lraspp.state_dict()
    if form == "safetensors":
        save_file(state, path)
    else:
        torch.save(state if form == "pth" else {form: state, "epoch": 3}, path)
    answer = asked_torchvision(tmp_path, path.name)(IMAGE, 0)
    np.testing.assert_allclose(answer, lraspp(scaled(IMAGE))["out"][0].softmax(0), atol=1e-5)
    assert door(name="torchvision", architecture="a", path=path.name).files(tmp_path) == (path,)


def test_torchvision_with_a_second_head(tmp_path: Path) -> None:
    settings = {"weights": None, "weights_backbone": None, "num_classes": 3, "aux_loss": True}
    with torch.device("meta"):
        network = torchvision.models.get_model("fcn_resnet50", **settings)
    state = {name: torch.zeros(()).expand(weight.shape) for name, weight in network.state_dict().items()}
    state |= {"classifier.4.bias": torch.tensor([1.0, 2, 3]), "aux_classifier.4.bias": torch.tensor([3.0, 2, 1])}
    torch.save(state, tmp_path / "weights.pth")
    answer = asked_torchvision(tmp_path, architecture="fcn_resnet50")(IMAGE, 0)
    np.testing.assert_allclose(answer[:, 5, 5], torch.tensor([1.0, 2, 3]).softmax(0), atol=1e-6)


class Runs:
    """An object that runs code when it is unpickled."""

    def __reduce__(self) -> Any:
        return exec, ("raise SystemExit('ran')",)


def test_torchvision_files_that_are_not_weights(lraspp: Any, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    assert f"{path} does not exist" in refusal(lambda: asked_torchvision(tmp_path))
    for content in (pickle.dumps(Runs()), b"", b"no weights"):
        path.write_bytes(content)
        assert f"{path} cannot be read as tensors alone" in refusal(lambda: asked_torchvision(tmp_path))
    torch.save(lraspp, path)
    assert "Save the model's state_dict, not the model" in refusal(lambda: asked_torchvision(tmp_path))
    torch.save([1, 2], path)
    assert f"{path} holds no state_dict" in refusal(lambda: asked_torchvision(tmp_path))
    torch.save({f"module.{name}": weight for name, weight in lraspp.state_dict().items()}, path)
    assert "DataParallel puts 'module.' before each" in refusal(lambda: asked_torchvision(tmp_path))
    torch.save({"classifier.bias": torch.tensor(0.0)}, path)
    assert f"{path} does not hold the weights of lraspp" in refusal(lambda: asked_torchvision(tmp_path))
    torch.save({k: v for k, v in lraspp.state_dict().items() if "low" not in k}, path)
    assert f"{path} does not hold the weights of lraspp" in refusal(lambda: asked_torchvision(tmp_path))
    said = refusal(lambda: asked_torchvision(tmp_path, architecture="deeplabv3_resnet"))
    assert "no architecture is called 'deeplabv3_resnet'. Did you mean 'deeplabv3_resnet50'?" in said


# transformers


@pytest.fixture
def transformers(monkeypatch: pytest.MonkeyPatch) -> Any:
    found = pytest.importorskip("transformers")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return found


def segformer(transformers: Any, folder: Path) -> Any:
    config = transformers.SegformerConfig(
        depths=[1] * 4, hidden_sizes=[8] * 4, num_attention_heads=[1] * 4, decoder_hidden_size=8, num_labels=3
    )
    network = drawn(lambda: transformers.SegformerForSemanticSegmentation(config), 3)
    network.save_pretrained(folder)
    return network


def mask2former(transformers: Any, folder: Path) -> Any:
    backbone = transformers.SwinConfig(
        image_size=32, embed_dim=8, depths=[1] * 4, num_heads=[1] * 4, window_size=2,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )  # fmt: skip
    config = transformers.Mask2FormerConfig(
        backbone_config=backbone, feature_size=32, mask_feature_size=32, hidden_dim=32, encoder_feedforward_dim=16,
        encoder_layers=1, decoder_layers=2, num_attention_heads=2, dim_feedforward=16, num_queries=5, num_labels=3,
    )  # fmt: skip
    network = drawn(lambda: transformers.Mask2FormerForUniversalSegmentation(config))
    network.save_pretrained(folder)
    return network


QUARTER = {"stride": 4}
MASKS = {"answers": "posterior", "output": {"normalise": True}}


def asked_transformers(base: Path, **more: Any) -> Any:
    section = {"name": "transformers", "path": "model", "answers": "logits", "input": FLOATS, "output": QUARTER}
    return opened(base, **section | more)


def test_segformer_answers_as_it_does_itself(transformers: Any, tmp_path: Path, capfd: Any) -> None:
    network = segformer(transformers, tmp_path / "model")
    capfd.readouterr()
    answer = asked_transformers(tmp_path)(IMAGE, 0)
    logits = F.interpolate(network(scaled(IMAGE)).logits, (32, 64), mode="bilinear", align_corners=False)
    np.testing.assert_allclose(answer, logits[0].softmax(0), atol=1e-5)
    assert capfd.readouterr() == ("", "")
    assert "[door.output] stride = 4 fits" in refusal(lambda: asked_transformers(tmp_path, output={})(IMAGE, 0))


def test_mask2former_answers_as_its_authors_evaluate_it(transformers: Any, tmp_path: Path) -> None:
    network = mask2former(transformers, tmp_path / "model")
    said = refusal(lambda: asked_transformers(tmp_path))
    assert "answers = 'posterior' and [door.output] normalise = true" in said
    answer = asked_transformers(tmp_path, **MASKS)(IMAGE, 0)
    found = network(scaled(IMAGE))
    classes_QK = found.class_queries_logits[0].softmax(-1)[:, :3]
    masks = F.interpolate(found.masks_queries_logits, (32, 64), mode="bilinear", align_corners=False)[0].sigmoid()
    scores = sum(c[:, None, None] * mask for c, mask in zip(classes_QK, masks, strict=True))
    np.testing.assert_allclose(answer, scores / scores.sum(0), atol=1e-5)


def test_transformers_folders_that_are_not_whole(
    transformers: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, weights = tmp_path / "model" / "config.json", tmp_path / "model" / "model.safetensors"
    segformer(transformers, tmp_path / "model")
    assert door(name="transformers", path="model", answers="logits").files(tmp_path) == (config, weights)
    drop(weights, "decode_head")
    said = refusal(lambda: asked_transformers(tmp_path))
    assert "lacks" in said
    assert "would draw them at random" in said
    weights.write_bytes(b"no weights")
    assert "cannot be read" in refusal(lambda: asked_transformers(tmp_path))
    weights.rename(tmp_path / "model" / "pytorch_model.bin")
    assert "holds no model.safetensors" in refusal(lambda: asked_transformers(tmp_path))
    weights.touch()
    config.write_text('{"model_type": "bert"}')
    assert "is of a bert, which gives no score a class and pixel" in refusal(lambda: asked_transformers(tmp_path))
    config.write_text('{"model_type": "own", "auto_map": {"AutoConfig": "code.Config"}}')
    assert "is none of transformers" in refusal(lambda: asked_transformers(tmp_path))
    config.unlink()
    assert f"{config} does not exist" in refusal(lambda: asked_transformers(tmp_path))
    monkeypatch.setitem(sys.modules, "transformers", None)
    config.touch()
    assert "Install it: pip install 'mia-seg[transformers]'." in refusal(lambda: asked_transformers(tmp_path))


# TorchScript


class Two(torch.nn.Module):
    """Answers a dictionary, as torchvision's models do."""

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"out": image * 3, "aux": -image}


def asked_script(base: Path, **more: Any) -> Any:
    section = {"name": "torchscript", "path": "model.pt", "answers": "logits", "trust": True, "input": FLOATS}
    return opened(base, **section | more)


@pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning")
def test_torchscript_runs_where_it_is_trusted(tmp_path: Path) -> None:
    torch.jit.script(Two()).save(tmp_path / "model.pt")
    answer = asked_script(tmp_path, part="out")(IMAGE, 0)
    np.testing.assert_allclose(answer, (3 * scaled(IMAGE))[0].softmax(0), atol=1e-6)
    assert "the model returns a dict with out, aux" in refusal(lambda: asked_script(tmp_path)(IMAGE, 0))
    assert "KeyError" in refusal(lambda: asked_script(tmp_path, part="logits")(IMAGE, 0))


def test_torchscript_that_is_not_trusted_or_is_none(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    assert f"{path} does not exist" in refusal(lambda: asked_script(tmp_path))
    path.write_bytes(b"no archive")
    assert "holds a program that runs as you. Set [door] trust = true" in refusal(
        lambda: asked_script(tmp_path, trust=False)
    )
    assert f"{path} cannot be read as TorchScript" in refusal(lambda: asked_script(tmp_path))


# torch.export


def asked_program(base: Path, **more: Any) -> Any:
    section = {"name": "pt2", "path": "model.pt2", "answers": "logits", "trust": True, "part": "out", "input": FLOATS}
    return opened(base, **section | more)


def write_program(path: Path, sides: dict[int, Any]) -> None:
    torch.export.save(torch.export.export(Two(), (torch.rand(1, 3, 8, 12),), dynamic_shapes=(sides,)), path)


def test_an_exported_program_runs_where_it_is_trusted(tmp_path: Path) -> None:
    path, free, other = tmp_path / "model.pt2", torch.export.Dim.AUTO, picture(1, (7, 9))
    write_program(path, {2: free, 3: free})
    for image in (other, picture(1, (8, 12))):
        np.testing.assert_allclose(asked_program(tmp_path)(image, 0), (3 * scaled(image))[0].softmax(0), atol=1e-6)
    said = refusal(lambda: asked_program(tmp_path, trust=False))
    assert "which run code when they are read. Set [door] trust = true" in said
    write_program(path, {})
    assert "failed on an image of (1, 3, 7, 9), float32" in refusal(lambda: asked_program(tmp_path)(other, 0))


def test_what_is_no_exported_program(tmp_path: Path, capfd: Any) -> None:
    path = tmp_path / "model.pt2"
    assert f"{path} does not exist" in refusal(lambda: asked_program(tmp_path))
    path.write_bytes(b"no archive")
    assert f"{path} cannot be read as an exported program" in refusal(lambda: asked_program(tmp_path))
    assert capfd.readouterr() == ("", "")
