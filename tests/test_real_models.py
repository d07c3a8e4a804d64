"""Models that mia-seg did not train, audited end to end: what comes out is what their owner computes by hand."""

import json
import os
import shutil
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from conftest import Audit
from helpers_doors import CLASSES, door, opened
from helpers_files import RANDOM, STREETS, forget, write
from helpers_scenes import blocky, picture
from helpers_serve import running, serving
from PIL import Image
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn
from torch.nn import functional as F

import mia_seg as mia
from mia_seg.data import IGNORE
from mia_seg.oracles.door import DoorOracle
from mia_seg.serve import Noise, Service
from mia_seg.serve.deployed import deployed
from mia_seg.store import Store
from mia_seg.workspace import Workspace

SIDE, MEMBERS, SCENES = 32, 8, 16
READ, DEFENSE = ("image_loss", "label_only"), "gaussian:0.5"
HERE = "127.0.0.1"
TABLE = '[data]\nname = "table"\npath = "members.csv"\nclass_map = "classes.toml"\n[split]\nrule = "stated"\n'
BYTES = "input = { scale = 255 }\n"
ONE_BY_ONE = 'input = { scale = 255, layout = "NCHW" }\noutput = { layout = "NCHW" }\n'
NETWORK = "import segmentation_models_pytorch as smp\nnetwork = smp.from_pretrained('unet')\n"
HTTP = """\
[door]
name = "http"
url = "{url}"
model = "{model}"
input_name = "image"
output_name = "posterior"
answers = "posterior"
input = {{ layout = "NHWC" }}
output = {{ layout = "NCHW" }}
"""


@pytest.fixture(scope="module")
def owned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where somebody keeps their scenes, their list of members and their models; the working directory."""
    folder = tmp_path_factory.mktemp("owned")
    write_scenes(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.setenv("NO_PROXY", HERE)
        yield folder
    shutil.rmtree(folder)


def write_scenes(folder: Path) -> None:
    """Noise beside labels that it says nothing of: what a model gets right of them, it has learnt by heart."""
    lines = ["image,labels,member"]
    for k in range(SCENES):
        labels_HW = blocky(np.random.default_rng(k), (SIDE, SIDE), len(CLASSES), side=8)
        for kind, pixels in (("image", picture(k, (SIDE, SIDE))), ("labels", labels_HW)):
            Image.fromarray(pixels).save(folder / f"{kind}-{k:02d}.png")
        lines.append(f"image-{k:02d}.png,labels-{k:02d}.png,{int(k < MEMBERS)}")
    write(folder / "members.csv", "\n".join(lines))
    rules = ", ".join(f'{{ name = "{name}", id = {k} }}' for k, name in enumerate(CLASSES))
    write(folder / "classes.toml", f"classes = {json.dumps(CLASSES)}\nmap = [{rules}]\n")


# What an owner does without mia-seg.


def read(kind: str) -> np.ndarray:
    return np.stack([np.asarray(Image.open(f"{kind}-{k:02d}.png")) for k in range(SCENES)])


def images() -> Tensor:
    return torch.from_numpy(read("image").transpose(0, 3, 1, 2) / np.float32(255))


def labels() -> Tensor:
    return torch.from_numpy(read("labels").astype(np.int64))


def logits(network: nn.Module, given: Tensor) -> Tensor:
    """As each toolkit evaluates its models."""
    answer = network(given)
    if isinstance(answer, Tensor):
        return answer
    if "out" in answer:
        return answer["out"]
    return F.interpolate(answer.logits, given.shape[-2:], mode="bilinear", align_corners=False)


def trained(make: Callable[[], nn.Module], steps: int, rate: float = 3e-3) -> nn.Module:
    """On the members, by plain PyTorch."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = make().train()
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.momentum = None  # the mean of all: steps are few
        optimizer = torch.optim.Adam(network.parameters(), lr=rate)
        for _ in range(steps):
            loss = F.cross_entropy(logits(network, images()[:MEMBERS]), labels()[:MEMBERS], ignore_index=IGNORE)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return network.eval().requires_grad_(False)


def losses(network: nn.Module) -> np.ndarray:
    """Mean -log p over each scene's labelled pixels; p is at least a millionth, as answers are kept."""
    posterior, wanted = torch.cat([logits(network, image[None]) for image in images()]).softmax(1), labels()
    p = posterior.gather(1, wanted.clamp(max=len(CLASSES) - 1)[:, None])[:, 0].clip(1e-6, 1 - 1e-6)
    return np.array([-of[y != IGNORE].log().mean().item() for of, y in zip(p, wanted, strict=True)])


def right(network: nn.Module) -> float:
    """The share of the members' labelled pixels that are right."""
    found, wanted = logits(network, images()[:MEMBERS]).argmax(1), labels()[:MEMBERS]
    return (found == wanted)[wanted != IGNORE].float().mean().item()


# What mia-seg says of it.


def look(name: str, door: str = "", attacks: tuple[str, ...] = (), **more: Any) -> "mia.Audit":
    """The screen of a model behind a door, run."""
    forget()
    if door:
        write(Path("victims", f"{name}.toml"), TABLE + door)
    return mia.audit(victim=name, attacks=attacks, data_root=Path.cwd(), device="cpu", **more).run()


def scores(audited: "mia.Audit", attack: str) -> np.ndarray:
    """One a scene."""
    work, stage = audited.workspace, next(s for s in audited.stages if s.cell.attack.name == attack)
    return stage.attacker.attacker(work).score(stage.seen.value(work.store), 0).image_N  # type: ignore[arg-type]


def assert_as_by_hand(audited: "mia.Audit", network: nn.Module) -> None:
    loss_N = losses(network)
    found = {result.attack: result for result in audited.made}
    assert found.keys() == {"image_loss", "label_only", "image_confidence", "predictability_error"}
    np.testing.assert_allclose(scores(audited, "image_loss"), -loss_N, atol=1e-5)
    auc = roc_auc_score(np.arange(SCENES) < MEMBERS, -loss_N)
    assert found["image_loss"].levels["image"].auc == pytest.approx(auc, abs=1e-9)
    assert found["image_loss"].utility.members.pix_acc == pytest.approx(right(network), abs=1e-6)
    assert auc > 0.9, "it knows its members by heart"


def assert_scored_alike(one: "mia.Audit", other: "mia.Audit") -> None:
    for attack in READ:
        np.testing.assert_allclose(scores(one, attack), scores(other, attack), atol=1e-5)


@pytest.fixture(scope="module")
def unet(owned: Path) -> Any:
    """A U-Net that knows its members by heart."""
    smp = pytest.importorskip("segmentation_models_pytorch")
    network = trained(
        lambda: smp.Unet(
            "mobilenet_v2", encoder_depth=3, decoder_channels=(32, 16, 8), encoder_weights=None, classes=3
        ),
        steps=20,
    )
    network.save_pretrained(owned / "unet")
    return network


@pytest.fixture(scope="module")
def screened(unet: Any) -> "mia.Audit":
    return look("unet", '[door]\nname = "smp"\npath = "unet"\n' + BYTES)


def test_a_unet_of_smp(unet: Any, screened: "mia.Audit") -> None:
    assert_as_by_hand(screened, unet)


def test_a_deeplab_of_torchvision(owned: Path) -> None:
    architecture = "deeplabv3_mobilenet_v3_large"
    settings = {"weights": None, "weights_backbone": None, "num_classes": len(CLASSES)}
    network = trained(lambda: torchvision.models.get_model(architecture, **settings), steps=3, rate=1e-4)
    torch.save(network.state_dict(), "deeplab.pth")
    door = f'[door]\nname = "torchvision"\narchitecture = "{architecture}"\npath = "deeplab.pth"\n'
    assert_as_by_hand(look("deeplab", door + BYTES), network)


def test_a_segformer_of_transformers(owned: Path) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.SegformerConfig(
        depths=[1] * 4, hidden_sizes=[8, 16, 16, 16], num_attention_heads=[1] * 4, decoder_hidden_size=16, num_labels=3
    )
    network = trained(lambda: transformers.SegformerForSemanticSegmentation(config), steps=30)
    network.save_pretrained("segformer")
    door = '[door]\nname = "transformers"\npath = "segformer"\nanswers = "logits"\noutput = { stride = 4 }\n'
    assert_as_by_hand(look("segformer", door + BYTES), network)


# One model behind every door.


def test_a_function_is_scored_as_the_model(owned: Path, screened: "mia.Audit") -> None:
    write(owned / "unet_of_mine.py", NETWORK)
    door = '[door]\nname = "callable"\ntarget = "unet_of_mine:network"\nanswers = "logits"\n'
    found = look("function", door + 'loads = ["unet/model.safetensors"]\n' + ONE_BY_ONE, READ)
    assert_scored_alike(found, screened)


def test_a_folder_of_answers_is_scored_as_the_model(owned: Path, unet: Any, screened: "mia.Audit") -> None:
    (owned / "given").mkdir()
    for k, image in enumerate(images()):
        np.save(owned / "given" / f"image-{k:02d}.npy", unet(image[None])[0].numpy())
    found = look("folder", '[door]\nname = "folder"\npath = "given"\nanswers = "logits"\n', READ)
    assert_scored_alike(found, screened)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
def test_an_export_is_scored_as_the_model(owned: Path, unet: Any, screened: "mia.Audit") -> None:
    for toolkit in ("onnx", "onnxruntime"):
        pytest.importorskip(toolkit)
    torch.onnx.export(unet, (images()[:1],), "unet.onnx", dynamo=False)  # the newer exporter takes ten seconds
    found = look("export", '[door]\nname = "onnx"\npath = "unet.onnx"\nanswers = "logits"\n' + BYTES, READ)
    assert_scored_alike(found, screened)


def test_a_service_is_scored_as_the_model(owned: Path, screened: "mia.Audit") -> None:
    oracle = opened(owned, name="smp", path="unet", input={"scale": 255})
    with running(Service("unet", "1", len(CLASSES), oracle, b"")) as url:
        found = look("service", HTTP.format(url=url, model="unet"), READ)
    assert_scored_alike(found, screened)


# One that mia-seg trained and serves, in a process of its own.


def linked(source: str, target: str) -> None:
    """Weights are large and stay as they are; what else a store keeps is written again."""
    (os.link if source.endswith(".safetensors") else shutil.copy2)(source, target)


@pytest.fixture(scope="module")
def deployment(audit: Audit, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The working directory with the store that is served from, and the recipes."""
    folder = tmp_path_factory.mktemp("deployed")
    shutil.copytree(audit.store, folder / "runs", copy_function=linked)
    shutil.copytree(audit.folder / "victims", folder / "victims")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("NO_PROXY", HERE)
        yield folder
    shutil.rmtree(folder)


def test_a_defended_service_is_scored_as_its_owner_scores_it(deployment: Path) -> None:
    with serving(deployment, "tiny", "--defense", DEFENSE, "--noise", "client") as url:
        door = HTTP.format(url=url, model="tiny") + 'noise_parameter = "key"\n'
        write(Path("victims", "served.toml"), STREETS + RANDOM + door)
        outside = look("served", attacks=READ)
    owner, undefended = (look("tiny", attacks=READ, defenses=[defense]) for defense in (DEFENSE, "none"))
    assert_scored_alike(outside, owner)
    apart = np.abs(scores(undefended, "image_loss") - scores(owner, "image_loss"))
    assert apart.max() > 1e-2, "which the defense changes"


def test_a_service_behind_argmax_answers_as_the_model_in_process_to_the_bit(deployment: Path) -> None:
    workspace = Workspace(Store(deployment / "runs"), device="cpu")
    inside, open_ = (deployed("tiny", 0, workspace, defense=text, noise=Noise.IMAGE) for text in ("argmax", "none"))
    with serving(deployment, "tiny", "--defense", "argmax") as url:
        section = tomllib.loads(HTTP.format(url=url, model="tiny"))["door"]
        asked = DoorOracle(
            door(**section), door(**section).open(deployment, {}), [str(k) for k in range(inside.classes)]
        )
        for image in (picture(0, (32, 48)), picture(1, (33, 20))):
            told = asked(image, 0).numpy()
            assert np.array_equal(told, inside.answer(image)[0])
            assert not np.array_equal(told, open_.answer(image)[0])
            assert np.array_equal(told.argmax(0), open_.answer(image)[0].argmax(0))
