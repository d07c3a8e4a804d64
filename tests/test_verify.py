"""Whether a model behind a door is found to be what it should be, and each way of being otherwise is refused."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers_doors import CLASSES, door, drawn, refusal, scaled
from helpers_images import GREY, jpeg, png
from helpers_scenes import Held, blocky, picture
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from mia_seg.data import IGNORE, Scene, Scenes
from mia_seg.oracles.door import DoorOracle
from mia_seg.oracles.doors import Door
from mia_seg.oracles.verify import TEN, Verified, verify

Answer = Callable[[np.ndarray], np.ndarray]


class Named(Held):
    """Hand-made scenes of roads, skies and cars."""

    def classes(self) -> tuple[str, ...]:
        return CLASSES


def scenes(count: int = 12, sizes: Sequence[tuple[int, int]] = ((8, 12), (6, 10))) -> Scenes:
    """Images whose red is the class: 0, 100 or 200, and 50 where nothing is labelled."""
    held = {}
    for i in range(count):
        labels = blocky(np.random.default_rng(i), sizes[i % len(sizes)], 3, side=2)
        image = picture(i, labels.shape)
        image[..., 0] = np.where(labels == IGNORE, 50, 100 * np.minimum(labels, 2))
        held[f"scene-{i:02d}"] = Scene(f"scene-{i:02d}", image, labels)
    return Scenes(Named(count=3, held=held), None, list(held))


def right(image_HWC: np.ndarray) -> np.ndarray:
    """A model that reads the class off the image; it is surer where there is more blue."""
    logits = -(((image_HWC[..., 0].astype(np.float32) - np.array([0, 100, 200]).reshape(3, 1, 1)) / 100) ** 2)
    return logits * (1 + image_HWC[..., 2] / 255)


def check(answer: Answer, known: Scenes | None = None, base: Path = Path(), **section: Any) -> Verified:
    """What is found of a model that is a function."""
    one, known = door(**{"name": "callable", "target": "a:b", "answers": "logits"} | section), known or scenes()
    oracle = DoorOracle(one, lambda given, key: answer(given), CLASSES)
    return verify(oracle, one, known, keys=range(len(known)), title="asked", base=base)


def test_a_sound_model(tmp_path: Path) -> None:
    found = check(right)
    assert (found.scenes, found.twice, found.miou) == (TEN, 0, 1)
    assert found.between is not None
    assert found.between > 0.1
    assert found.examples is None
    assert not found.doubtful
    assert Verified.model_validate_json(found.model_dump_json()) == found


def test_every_scene_is_asked_under_its_own_key_twice() -> None:
    asked: list[tuple[int, int]] = []

    def ask(given: np.ndarray, key: int) -> np.ndarray:
        asked.append((int(given.sum()), key))
        return right(given)

    known, one = scenes(), door(name="callable", target="a:b", answers="logits")
    verify(DoorOracle(one, ask, CLASSES), one, known, keys=[10 * i for i in range(12)], title="asked")
    assert asked == [(int(known[i].image_HWC.sum()), 10 * i) for i in range(TEN) for _ in range(2)]


def test_classes_that_only_one_side_has_are_told() -> None:
    found = check(lambda given: right(given)[[2, 0, 1]], output={"classes": ["car", "road", "dog"]})
    assert (found.lacking, found.beside) == (("sky",), ("dog",))


def test_a_model_that_segments_no_better_than_one_class_is_doubtful() -> None:
    """Channels in another order: nothing is refused, because a model may be bad, but it is said."""
    found = check(right, input={"channels": "BGR"})
    assert found.miou is not None
    assert found.miou < 0.4
    labels = np.concatenate([scenes()[i].labels_HW.ravel() for i in range(TEN)])
    commonest = np.eye(3)[np.bincount(labels)[:3].argmax()].reshape(3, 1, 1)
    blind = check(lambda given: 0.01 * right(given) + commonest)
    assert blind.miou == blind.miou_of_one_class
    assert blind.doubtful


def test_scenes_without_a_labelled_pixel_have_no_utility() -> None:
    known = scenes(2)
    for scene in known.dataset.held.values():  # type: ignore[attr-defined]
        scene.labels_HW[:] = IGNORE
    found = check(right, known)
    assert (found.miou, found.miou_of_one_class, found.doubtful) == (None, None, False)


def test_a_model_that_draws_noise_is_refused() -> None:
    rng = np.random.default_rng(0)
    said = refusal(lambda: check(lambda given: right(given) + rng.normal(size=(3, 1, 1))))
    assert "two answers to scene 'scene-00' differ by up to 0." in said
    assert "model.eval()" in said
    assert check(lambda given: right(given) + 1e-5 * rng.normal(size=(3, 1, 1))).twice < 1e-4


def test_a_door_that_may_answer_otherwise_each_time_is_not_held_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    monkeypatch.setattr(Door, "deterministic", False)
    assert check(lambda given: right(given) + rng.normal(size=(3, 1, 1))).twice > 0.01


@pytest.mark.parametrize("sizes", [[(8, 12)], [(8, 12), (4, 6)]])
@pytest.mark.parametrize("form", ["logits", "labels"])
def test_a_model_that_does_not_look_is_refused(form: str, sizes: list[tuple[int, int]]) -> None:
    def blind(given: np.ndarray) -> np.ndarray:
        ones = np.ones(given.shape[:2])
        return ones.astype(int) if form == "labels" else np.stack([0 * ones, 2 * ones, ones])

    said = refusal(lambda: check(blind, scenes(sizes=sizes), answers=form))
    assert "its answers to 10 different images are the same" in said
    assert "[door.input] scale, mean and std" in said
    assert check(blind, scenes(1), answers=form).between is None


# The owner's own answers.


def posterior(image_HWC: np.ndarray, answer: Answer = right) -> Tensor:
    return torch.from_numpy(answer(image_HWC)).softmax(0)


@pytest.fixture
def examples(tmp_path: Path) -> Path:
    """Three images with posteriors of `right`."""
    folder = tmp_path / "examples"
    folder.mkdir()
    for scene in scenes(3):
        Image.fromarray(scene.image_HWC).save(folder / f"{scene.id}.png")
        np.save(folder / f"{scene.id}.npy", posterior(scene.image_HWC).numpy())
    return folder


def against(examples: Path, answer: Answer = right, **section: Any) -> Verified:
    return check(answer, base=examples.parent, examples="examples", **section)


def test_examples_that_are_answered_as_by_the_owner(examples: Path) -> None:
    found = against(examples).examples
    assert found is not None
    assert (found.images, found.same_class) == (3, 1)
    assert found.largest is not None
    assert found.largest < 1e-6


def test_examples_are_read_as_the_images_of_data_sets_are(examples: Path) -> None:
    """Pillow alone clips 16 bits of grey to white, and leaves a photograph as the camera lay."""
    grey = np.tile(np.array([0, 100, 200], np.uint16), (6, 4))
    answer = posterior(np.repeat(grey.astype(np.uint8)[..., None], 3, 2)).numpy()
    (examples / "scene-00.png").write_bytes(png(257 * grey, GREY, 16))
    np.save(examples / "scene-00.npy", answer)
    bands = np.repeat(np.repeat(grey.astype(np.uint8), 8, 0), 8, 1)  # a JPEG keeps what is even over its blocks
    upright = np.repeat(bands[..., None], 3, 2)
    (examples / "scene-01.png").unlink()
    (examples / "scene-01.jpg").write_bytes(jpeg(np.rot90(upright), orientation=6))
    np.save(examples / "scene-01.npy", posterior(upright).numpy())
    found = against(examples).examples
    assert found is not None
    assert (found.images, found.same_class) == (3, 1)
    np.save(examples / "scene-01.npy", posterior(np.rot90(upright).copy()).numpy())
    fault = "scene-01.npy, the owner's answer, cannot be one: it answers 96 x 48 to an image of 48 x 96"
    said = refusal(lambda: against(examples))
    assert fault in said
    assert said.endswith("at the image's size, which is that after its EXIF has turned it.")


def test_examples_over_the_models_own_classes_and_as_labels(examples: Path) -> None:
    for path in examples.glob("*.npy"):
        np.save(path, np.load(path)[[2, 1, 0]])
    turned = {"output": {"classes": ["car", "sky", "road"]}}
    assert against(examples, lambda given: right(given)[::-1].copy(), **turned).examples is not None
    assert "have the owner's class, and 99% must" in refusal(lambda: against(examples))
    for path in examples.glob("*.npy"):
        np.save(path, np.load(path).argmax(0).astype(np.uint8))
    found = against(examples, lambda given: right(given)[::-1].argmax(0), answers="labels", **turned).examples
    assert found is not None
    assert (found.same_class, found.largest) == (1, None)


@pytest.mark.parametrize(
    ("answer", "section", "words"),
    [
        (right, {"input": {"channels": "BGR"}}, r"\d+\.\d% of the pixels have the owner's class, and 99% must"),
        (lambda given: 2 * right(given), {}, r"its posterior differs by up to 0\.\d+, and 0\.05 is allowed"),
        (right, {"input": {"size": (4, 6)}}, "of the pixels have the owner's class"),
    ],
)
def test_another_preprocessing_is_caught(examples: Path, answer: Answer, section: dict[str, Any], words: str) -> None:
    said = refusal(lambda: against(examples, answer, **section))
    assert re.search(f"Door 'callable' answers .*scene-00.png otherwise than its owner: .*{words}", said)


class Pooled(nn.Module):
    """A pyramid of averages over the whole image, as PSPNet has."""

    def __init__(self, fixed: tuple[int, int] | None = None) -> None:
        super().__init__()
        self.fixed, self.classify = fixed, nn.Conv2d(6, 3, 1)

    def forward(self, image_N3HW: Tensor) -> Tensor:
        if self.fixed is None:
            pooled = F.adaptive_avg_pool2d(image_N3HW, 2)
        else:  # an exporter's pooling: windows as large as they were at the size of the export
            pooled = F.avg_pool2d(image_N3HW, (self.fixed[0] // 2, self.fixed[1] // 2))
        wide = F.interpolate(pooled, image_N3HW.shape[2:], mode="bilinear", align_corners=False)
        return self.classify(torch.cat([image_N3HW, wide], 1))


def test_an_export_that_is_right_at_its_own_size_only_is_caught_by_an_example_of_another(tmp_path: Path) -> None:
    network, exported = (drawn(lambda fixed=fixed: Pooled(fixed), 10) for fixed in (None, (8, 12)))
    folder = tmp_path / "examples"
    folder.mkdir()

    def add(size: tuple[int, int]) -> None:
        ramp = np.linspace(0, 255, size[0] * size[1] * 3).reshape(*size, 3).astype(np.uint8)
        Image.fromarray(ramp).save(folder / f"{size[0]}.png")
        np.save(folder / f"{size[0]}.npy", network(scaled(ramp))[0].softmax(0).numpy())

    def answer(given: np.ndarray) -> np.ndarray:
        return exported(scaled(given))[0].numpy()

    add((8, 12))
    found = against(folder, answer).examples
    assert found is not None
    assert found.largest is not None
    assert found.largest < 1e-5
    add((32, 48))
    assert re.search(
        r"32.png otherwise than its owner: .* the export is wrong", refusal(lambda: against(folder, answer))
    )


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("scene-01.npy", None, "scene-01.png has no answer beside it. Save the owner's as scene-01.npy"),
        ("scene-01.npy", b"no array", "scene-01.npy cannot be read"),
        ("scene-01.npy", np.zeros((3, 6, 10)), "scene-01.npy, the owner's answer, cannot be one: its answer is off"),
        ("scene-01.npy", np.zeros((3, 10), int), "answers 3 x 10 to an image of 6 x 10.*An example holds class ids"),
        ("scene-01.npy", np.full((6, 10), 7), "has class 7, and it has 3 classes"),
        ("scene-01.png", b"no image", "scene-01.png cannot be read as an image"),
    ],
)
def test_examples_that_are_not_whole(examples: Path, name: str, content: Any, words: str) -> None:
    if content is None:
        (examples / name).unlink()
    elif isinstance(content, bytes):
        (examples / name).write_bytes(content)
    else:
        np.save(examples / name, content)
    assert re.search(words, refusal(lambda: against(examples)))


def test_a_folder_without_examples(tmp_path: Path) -> None:
    assert "examples is no folder. Let [door] examples name one" in refusal(lambda: against(tmp_path / "examples"))
    (tmp_path / "examples").mkdir()
    assert "examples holds no image (.png, .jpg, .jpeg)" in refusal(lambda: against(tmp_path / "examples"))
