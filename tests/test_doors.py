"""Doors: what a model is given of an image, what its answer comes to, and what is refused with which words."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers_images import png
from helpers_scenes import picture, softmax
from PIL import Image
from pydantic import BaseModel, ValidationError
from torch.nn import functional as F

from mia_seg.errors import MiaSegError
from mia_seg.oracles import doors
from mia_seg.oracles.door import DoorOracle, padded, prepare
from mia_seg.oracles.doors import Door, Input, Output
from mia_seg.oracles.doors.callable import Callable as CallableDoor
from mia_seg.oracles.doors.folder import Folder
from mia_seg.plugins import from_section, load, names

CLASSES = ("road", "sky", "car")
IMAGE = picture(0, (4, 6))
MODULES = iter(range(1000))


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def oracle(answer: Any, answers: str = "logits", output: dict[str, Any] | None = None, **given: Any) -> DoorOracle:
    """Whoever answers `answer` (or what it makes of what it is given), as an oracle over road, sky and car."""
    door = Door(answers=answers, output=Output(**(output or {})), input=Input(**given))  # type: ignore[arg-type]

    def ask(image: np.ndarray, key: int) -> np.ndarray:
        return answer(image) if callable(answer) else answer

    return DoorOracle(door, ask, CLASSES)


def refusal(act: Callable[[], Any]) -> str:
    with pytest.raises(MiaSegError) as refused:
        act()
    return str(refused.value)


# What a model is given.


@pytest.mark.parametrize("layout", ["HWC", "CHW", "NHWC", "NCHW"])
@pytest.mark.parametrize("channels", ["RGB", "BGR"])
def test_layout_and_order_of_channels(layout: str, channels: str) -> None:
    given = prepare(IMAGE, Input(layout=layout, channels=channels))  # type: ignore[arg-type]
    assert given.dtype == np.uint8
    assert given.flags.c_contiguous
    image_HWC = given[0] if layout[0] == "N" else given
    image_HWC = image_HWC.transpose(1, 2, 0) if layout.endswith("CHW") else image_HWC
    np.testing.assert_array_equal(image_HWC, IMAGE if channels == "RGB" else IMAGE[..., [2, 1, 0]])


def test_channels_are_scaled_then_shifted_in_the_order_in_which_they_are_given() -> None:
    wanted = Input(channels="BGR", scale=255, mean=(0.1, 0.2, 0.3), std=(1, 2, 4))
    given = prepare(np.full((1, 1, 3), (51, 102, 204), np.uint8), wanted)
    assert given.dtype == np.float32
    np.testing.assert_allclose(given[0, 0], [(0.8 - 0.1) / 1, (0.4 - 0.2) / 2, (0.2 - 0.3) / 4], rtol=1e-6)


@pytest.mark.parametrize(
    ("wanted", "value"), [({"scale": 1}, 51), ({"mean": (1, 1, 1)}, 50), ({"std": (2, 2, 2)}, 25.5), ({"scale": 51}, 1)]
)
def test_any_scaling_makes_float32(wanted: dict[str, Any], value: float) -> None:
    given = prepare(np.full((1, 1, 3), 51, np.uint8), Input(**wanted))
    assert given.dtype == np.float32
    assert given.ravel().tolist() == [value] * 3


def test_shrinking_with_antialias_is_pillows_and_without_it_picks_neighbours() -> None:
    image = picture(3, (32, 48))
    pillow = np.asarray(Image.fromarray(image).resize((12, 8), Image.Resampling.BILINEAR)).astype(int)
    smooth = prepare(image, Input(size=(8, 12))).astype(int)
    assert abs(smooth - pillow).max() <= 1
    rough = prepare(image, Input(size=(8, 12), antialias=False)).astype(int)
    middle = image.reshape(8, 4, 12, 4, 3)[:, 1:3, :, 1:3].astype(float).mean((1, 3))  # half-pixel centres, as OpenCV
    assert abs(rough - middle).max() <= 1
    assert abs(smooth - rough).max() > 20


def test_nearest_takes_a_pixel_as_it_is() -> None:
    image = picture(3, (32, 48))
    np.testing.assert_array_equal(prepare(image, Input(size=(8, 12), resize="nearest")), image[::4, ::4])


def test_images_are_padded_below_and_to_the_right_after_resizing() -> None:
    given = prepare(IMAGE, Input(size=(5, 7), resize="nearest", multiple=4, fill=(1, 2, 3), channels="BGR"))
    assert given.shape == (8, 8, 3)
    assert (given[5:] == [3, 2, 1]).all()
    assert (given[:, 7:] == [3, 2, 1]).all()
    np.testing.assert_array_equal(given[:5, :7], prepare(IMAGE, Input(size=(5, 7), resize="nearest", channels="BGR")))


def test_what_the_model_does_to_its_image_does_not_reach_ours() -> None:
    prepare(image := IMAGE.copy(), Input())[:] = 0
    np.testing.assert_array_equal(image, IMAGE)


def test_arrays_that_may_not_be_written_are_read(rng: np.random.Generator) -> None:
    image, logits = IMAGE.copy(), rng.normal(size=(3, 4, 6)).astype(np.float32)
    labels = rng.integers(3, size=(4, 6))
    for array in (image, logits, labels):
        array.flags.writeable = False
    np.testing.assert_allclose(oracle(logits)(image, 0), softmax(logits), atol=1e-6)
    np.testing.assert_array_equal(oracle(labels, "labels")(image, 0).argmax(0), labels)


@pytest.mark.parametrize(
    ("size", "multiple", "outer"), [((4, 6), 1, (4, 6)), ((5, 8), 4, (8, 8)), ((1, 33), 32, (32, 64))]
)
def test_padded_sizes(size: tuple[int, int], multiple: int, outer: tuple[int, int]) -> None:
    assert padded(size, multiple) == outer


# What an answer comes to.


@pytest.mark.parametrize("layout", ["HWC", "CHW", "NHWC", "NCHW"])
@pytest.mark.parametrize("form", ["logits", "posterior"])
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f4"])
def test_scores_in_every_layout_and_precision(rng: np.random.Generator, layout: str, form: str, dtype: str) -> None:
    logits = rng.normal(size=(3, 4, 6))
    raw = logits if form == "logits" else softmax(logits)
    raw = raw.transpose(1, 2, 0) if layout.endswith("HWC") else raw
    raw = (raw[None] if layout[0] == "N" else raw).astype(dtype)
    answer = oracle(raw, form, {"layout": layout})(IMAGE, 0)
    assert answer.dtype == torch.float32
    assert answer.shape == (3, 4, 6)
    np.testing.assert_allclose(answer, softmax(logits), atol=2e-3 if dtype == "f2" else 1e-6)
    np.testing.assert_allclose(answer.sum(0), 1, atol=1e-6)


@pytest.mark.parametrize("dtype", ["u1", "u2", "i4", "i8", ">i2"])
def test_labels_become_certain(rng: np.random.Generator, dtype: str) -> None:
    labels = rng.integers(3, size=(4, 6))
    for raw in (labels, labels[None]):
        answer = oracle(raw.astype(dtype), "labels")(IMAGE, 0)
        np.testing.assert_array_equal(answer.argmax(0), labels)
        assert set(answer.unique().tolist()) == {0, 1}


@pytest.mark.parametrize("enlarge", ["logits", "posterior"])
def test_a_quarter_is_enlarged_before_or_after_the_softmax(rng: np.random.Generator, enlarge: str) -> None:
    cells = torch.from_numpy(4 * rng.normal(size=(1, 3, 2, 3))).float()  # 8 x 10 in cells of 4: the last are cut

    def wide(scores: torch.Tensor) -> torch.Tensor:
        return F.interpolate(scores, (8, 10), mode="bilinear", align_corners=False)

    wanted = wide(cells).softmax(1) if enlarge == "logits" else wide(cells.softmax(1))
    box = oracle(cells.numpy(), output={"stride": 4, "layout": "NCHW", "enlarge": enlarge})
    np.testing.assert_allclose(box(picture(0, (8, 10)), 0), wanted[0], atol=1e-6)


def test_labels_are_enlarged_by_repeating_them() -> None:
    answer = oracle(np.array([[0, 1, 2]]), "labels", {"stride": 4})(picture(0, (4, 12)), 0)
    np.testing.assert_array_equal(answer.argmax(0), np.repeat([[0, 1, 2]], 4, 0).repeat(4, 1))


def test_padding_is_cropped_off_an_answer() -> None:
    def ask(given: np.ndarray) -> np.ndarray:
        return np.stack([(given[..., 0] == c).astype(np.float32) for c in (7, 8, 9)])

    image = np.full((5, 6, 3), 7, np.uint8)
    image[4, 5] = 8
    answer = oracle(ask, "posterior", multiple=4, fill=(9, 9, 9))(image, 0)
    np.testing.assert_array_equal(answer.argmax(0), (image[..., 0] == 8).astype(int))


def test_an_answer_to_a_resized_image_comes_back_to_the_images_size_in_one_step(rng: np.random.Generator) -> None:
    cells = rng.normal(size=(3, 2, 2)).astype(np.float32)  # stride 4 of 8 x 8, made of 16 x 12
    wanted = F.interpolate(torch.from_numpy(cells)[None], (16, 12), mode="bilinear", align_corners=False)[0].softmax(0)
    np.testing.assert_allclose(
        oracle(cells, output={"stride": 4}, size=(8, 8))(picture(0, (16, 12)), 0), wanted, atol=1e-6
    )


def test_scores_that_never_sum_to_one_are_enlarged_and_then_divided_by_their_sum() -> None:
    scores = np.array([[[2.0, 0.0]], [[2.0, 1.0]], [[0.0, 0.0]]], np.float32)
    answer = oracle(scores, "posterior", {"normalise": True, "stride": 2})(picture(0, (1, 4)), 0)
    np.testing.assert_allclose(answer[0, 0], [0.5, 1.5 / 3.25, 0.5 / 1.75, 0], rtol=1e-6)
    np.testing.assert_allclose(answer.sum(0), 1, rtol=1e-6)


def test_where_all_scores_are_zero_every_class_is_as_likely() -> None:
    answer = oracle(np.zeros((3, 4, 6), np.float32), "posterior", {"normalise": True})(IMAGE, 0)
    np.testing.assert_allclose(answer, 1 / 3)


@pytest.mark.parametrize("normalise", [False, True])
def test_what_rounding_left_below_zero_is_zero(normalise: bool) -> None:
    raw = np.zeros((3, 4, 6), np.float32)
    raw[0], raw[1] = 1.001, -0.001
    answer = oracle(raw, "posterior", {"normalise": normalise})(IMAGE, 0)
    np.testing.assert_array_equal(answer[0], 1)
    np.testing.assert_array_equal(answer[1:], 0)


@pytest.mark.parametrize(
    ("theirs", "posterior", "ours"),
    [
        (("car", "road", "sky"), [0.5, 0.3, 0.2], [0.3, 0.2, 0.5]),  # in another order
        (("sky", "road"), [0.25, 0.75], [0.75, 0.25, 0]),  # fewer
        (("car", "sky", "dog", "road"), [0.1, 0.1, 0.5, 0.3], [0.6, 0.2, 0.2]),  # more
        (("dog", "car"), [0.5, 0.5], [0, 0, 1]),
        (("dog", "car"), [1, 0], [1 / 3, 1 / 3, 1 / 3]),  # nothing of the data set's
    ],
)
def test_the_models_classes_by_name(theirs: tuple[str, ...], posterior: list[float], ours: list[float]) -> None:
    raw = np.broadcast_to(np.array(posterior, np.float32)[:, None, None], (len(theirs), 4, 6))
    box = oracle(raw, "posterior", {"classes": theirs})
    np.testing.assert_allclose(box(IMAGE, 0)[:, 2, 3], ours, atol=1e-6)
    assert box.lacking == tuple(name for name in CLASSES if name not in theirs)
    assert box.beside == (("dog",) if "dog" in theirs else ())


def test_labels_by_name() -> None:
    answer = oracle(np.tile([[0, 1]], (4, 3)), "labels", {"classes": ("car", "road")})(IMAGE, 0)
    np.testing.assert_array_equal(answer.argmax(0), np.tile([[2, 0]], (4, 3)))


# What is refused.


def of(shape: tuple[int, ...], value: float = 0, dtype: str = "f4") -> np.ndarray:
    return np.full(shape, value, dtype)


REFUSED = {
    "another size": (of((3, 5, 6)), "logits", {}, "answers 5 x 6 to an image of 4 x 6, and 4 x 6 are expected"),
    "a quarter": (of((3, 1, 2)), "logits", {}, r"\[door.output\] stride = 4 fits"),
    "labels of another size": (of((2, 3), dtype="u1"), "labels", {}, "stride = 2 fits"),
    "more classes": (of((4, 4, 6)), "logits", {}, r"answers 4 classes, and 3 are expected.*\[door.output\] classes"),
    "another layout": (of((4, 6, 3)), "logits", {}, r"correct its layout \(CHW\)"),
    "a batch": (of((1, 3, 4, 6)), "logits", {}, r"shape \(1, 3, 4, 6\), and \[door.output\] layout says CHW"),
    "two images": (of((2, 3, 4, 6)), "logits", {"layout": "NCHW"}, "answers 2 images, having been given one"),
    "a NaN": (of((3, 4, 6), np.nan), "logits", {}, "not finite"),
    "an infinity": (of((3, 4, 6), np.inf), "posterior", {}, "not finite"),
    "more than float32 holds": (of((3, 4, 6), 1e300, "f8"), "logits", {}, "not finite"),
    "sums of two": (of((3, 4, 6), 2 / 3), "posterior", {}, "is off by 1 in its sums.*normalise = true"),
    "sums a little off": (of((3, 4, 6), 0.335), "posterior", {}, "is off by 0.005 in its sums"),
    "below zero": (of((3, 4, 6), -0.5), "posterior", {"normalise": True}, "down to -0.5: no posterior"),
    "a posterior as logits": (of((3, 4, 6), 1 / 3), "logits", {}, r"Set \[door\] answers to 'posterior'"),
    "ids as logits": (of((4, 6), dtype="u1"), "logits", {}, r"answers uint8.*Is \[door\] answers 'labels'"),
    "bits as logits": (of((3, 4, 6), dtype="?"), "posterior", {}, "answers bool where posterior are floats"),
    "scores as labels": (of((4, 6)), "labels", {}, "answers float32 where class ids are expected"),
    "a class too many": (of((4, 6), 3, "u1"), "labels", {}, r"has class 3, and it has 3 classes \(0 to 2\)"),
    "a void class": (of((4, 6), 255, "u1"), "labels", {}, "has class 255"),
    "a class below": (of((4, 6), -1, "i8"), "labels", {}, "has class -1"),
    "two label maps": (of((2, 4, 6), dtype="u1"), "labels", {}, r"shape \(2, 4, 6\), where labels have one id a pixel"),
    "colours": (of((4, 6, 3), dtype="u1"), "labels", {}, r"shape \(4, 6, 3\), where labels"),
    "a number": (of((), dtype="u1"), "labels", {}, r"shape \(\), where labels"),
    "a score": (of(()), "logits", {}, r"shape \(\), and"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_an_answer_that_is_none_is_refused(case: str) -> None:
    raw, form, output, words = REFUSED[case]
    with pytest.raises(MiaSegError, match=f"^Door 'doors': .*{words}") as refused:
        oracle(raw, form, output)(IMAGE, 0)
    assert str(refused.value)[-1] in ".?"


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        (("dog", "cat"), r"none of the data set's \(road, sky, car\)"),
        (("Road", "sky"), "has 'Road'. Write 'road', as the data set does"),
        (("s-K_y", "car"), "has 's-K_y'. Write 'sky'"),
    ],
)
def test_class_names_that_cannot_be_meant(classes: tuple[str, ...], words: str) -> None:
    with pytest.raises(MiaSegError, match=words):
        oracle(IMAGE, output={"classes": classes})


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"output": {"classes": ["a", "b", "a"]}}, "'a' stands there twice"),
        ({"output": {"stride": 0}}, "'output.stride' = 0"),
        ({"input": {"std": [1, 0, 1]}}, "'input.std.1' = 0"),
        ({"input": {"mean": [1]}}, "input.mean"),
        ({"input": {"scale": 0}}, "'input.scale' = 0"),
        ({"input": {"chanels": "BGR"}}, "unknown key 'input.chanels'. Did you mean 'channels'?"),
        ({"answers": "scores"}, "'answers' = 'scores'"),
        (
            {"output": {"normalise": True}},
            "[door]: output.normalise = true is for answers = 'posterior', and these are l",
        ),
        ({"target": "nothing"}, "target = 'nothing' names no function"),
        ({"target": "a..b:c"}, "target = 'a..b:c' names no function"),
        ({"target": "own.py:predict"}, "write 'module:function', as 'own:predict' for predict in own.py"),
        ({"name": "folder", "path": "x", "examples": "y", "target": None}, "folder of answers cannot be asked"),
        ({"name": "calable"}, "no door is called 'calable'. Did you mean 'callable'?"),
    ],
)
def test_settings_are_refused_by_name(section: dict[str, Any], words: str) -> None:
    whole = {"name": "callable", "target": "a:b", "answers": "logits"} | section
    whole = {key: value for key, value in whole.items() if value is not None}
    assert words in refusal(lambda: from_section(doors, Door, whole, where="[door]"))


# Functions.


@pytest.fixture
def module(tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """Writes a module into the working directory under a new name."""
    made = []

    def write(text: str) -> str:
        made.append(name := f"own_model_{next(MODULES)}")
        (tmp_path / f"{name}.py").write_text(text)
        return name

    yield write
    for name in made:
        sys.modules.pop(name, None)


FUNCTIONS = """\
import numpy as np, torch
def good(image): return torch.from_numpy(np.moveaxis(image, 2, 0) / 50.0)
def half(image): return good(image).bfloat16()
def broken(image): raise KeyError('no such layer')
def table(image): return {'out': good(image), 'aux': good(image)}
def pair(image): return good(image), good(image)
def ragged(image): return np.array(['a'])
def nothing(image): pass
class Net(torch.nn.Module):
    def forward(self, image): return image.permute(2, 0, 1) / 50.0 if not self.training else None
class inside: net = Net()
number = 3
"""


def called(tmp_path: Path, target: str) -> DoorOracle:
    door = CallableDoor(target=target, answers="logits")
    return DoorOracle(door, door.open(tmp_path, {}), CLASSES)


@pytest.mark.parametrize(("name", "near"), [("good", 1e-6), ("half", 0.05), ("inside.net", 1e-6)])
def test_functions_and_modules_of_the_working_directory(
    module: Callable[[str], str], tmp_path: Path, name: str, near: float
) -> None:
    target, path = f"{module(FUNCTIONS)}:{name}", list(sys.path)
    answer = called(tmp_path, target)(IMAGE, 0)
    np.testing.assert_allclose(answer, softmax(np.moveaxis(IMAGE, 2, 0) / 50.0), atol=near)
    assert CallableDoor(target=target, answers="logits").files(tmp_path) == (
        tmp_path / f"{target.partition(':')[0]}.py",
    )
    assert sys.path == path


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("broken", r"failed on an image of \(4, 6, 3\), uint8 \(KeyError: 'no such layer'\). Mend it, or set"),
        ("table", "returns a dict with out, aux. Let it return one array or tensor"),
        ("pair", "returns a tuple"),
        ("ragged", "returns an array of <U1"),
        ("nothing", "returns a NoneType"),
        ("number", "is no function"),
        ("missing", "cannot be imported .*no attribute 'missing'"),
    ],
)
def test_functions_that_cannot_be_asked(module: Callable[[str], str], tmp_path: Path, name: str, words: str) -> None:
    with pytest.raises(MiaSegError, match=words):
        called(tmp_path, f"{module(FUNCTIONS)}:{name}")(IMAGE, 0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import a_package_that_is_not_there", "No module named 'a_package_that_is_not_there'"),
        ("open('weights.pt')", "FileNotFoundError"),
        ("def f(:", "SyntaxError"),
    ],
)
def test_modules_that_cannot_be_imported(module: Callable[[str], str], tmp_path: Path, text: str, words: str) -> None:
    name = module(text)
    assert words in refusal(lambda: called(tmp_path, f"{name}:f"))
    assert "Correct [door] target or the module" in refusal(lambda: called(tmp_path, f"{name}.inner:f"))
    assert CallableDoor(target="nowhere_to_be.found:f", answers="logits").files(tmp_path) == ()


def test_a_module_hidden_by_another_of_its_name(tmp_path: Path) -> None:
    (tmp_path / "colorsys.py").write_text("def f(image): return image")
    assert "is hidden by the module 'colorsys' of" in refusal(lambda: called(tmp_path, "colorsys:f"))


# Folders of answers.


def kept(tmp_path: Path, answers: str = "posterior") -> DoorOracle:
    door = Folder(path="answers", answers=answers)  # type: ignore[arg-type]
    return DoorOracle(door, door.open(tmp_path, {7: "drive/one", 8: "two"}), CLASSES)


@pytest.fixture
def answers(tmp_path: Path) -> Path:
    (tmp_path / "answers" / "drive").mkdir(parents=True)
    return tmp_path / "answers"


def test_answers_are_found_by_the_scenes_names(answers: Path, tmp_path: Path, rng: np.random.Generator) -> None:
    one, two = (softmax(rng.normal(size=(3, 4, 6))) for _ in range(2))
    np.save(answers / "drive" / "one.npy", one)
    np.savez_compressed(answers / "two.npz", answer=two)
    box = kept(tmp_path)
    np.testing.assert_allclose(box(IMAGE, 7), one, atol=1e-6)
    np.testing.assert_allclose(box(IMAGE, 8), two, atol=1e-6)
    assert box.door.files(tmp_path) == (answers / "drive" / "one.npy", answers / "two.npz")


@pytest.mark.parametrize("mode", ["L", "P", "I;16"])
def test_label_images(answers: Path, tmp_path: Path, rng: np.random.Generator, mode: str) -> None:
    labels = rng.integers(3, size=(4, 6)).astype(np.uint16 if mode == "I;16" else np.uint8)
    image = Image.fromarray(labels)
    if mode == "P":
        image.putpalette([9, 9, 9, 5, 5, 5, 7, 7, 7])
    image.save(answers / "two.png")
    np.testing.assert_array_equal(kept(tmp_path, "labels")(IMAGE, 8).argmax(0), labels)


@pytest.mark.parametrize(("colour", "depth"), [(0, 1), (0, 2), (0, 4), (3, 2), (3, 4)])
def test_label_images_of_few_bits(answers: Path, tmp_path: Path, colour: int, depth: int) -> None:
    """Programs that shrink PNG files make such ones; Pillow spreads grey of 2 and 4 bits over the byte."""
    labels = np.arange(24, dtype=np.uint8).reshape(4, 6) % (2 if depth == 1 else 3)
    palette = [(b"PLTE", bytes(range(9)))] if colour == 3 else []
    (answers / "two.png").write_bytes(png(labels, colour, depth, before=palette))
    np.testing.assert_array_equal(kept(tmp_path, "labels")(IMAGE, 8).argmax(0), labels)


class Runs:
    """An object that runs code when it is unpickled."""

    def __reduce__(self) -> Any:
        return exec, ("raise SystemExit('ran')",)


def damage(folder: Path, how: str) -> None:
    np.save(folder / "two.npy", np.zeros((3, 4, 6)))
    if how == "two files":
        np.save(folder / "two.npz", 0)
        (folder / "two.npz.npy").rename(folder / "two.npz")
    elif how == "truncated":
        (folder / "two.npy").write_bytes((folder / "two.npy").read_bytes()[:-8])
    elif how == "pickled":
        np.save(folder / "two.npy", np.array([Runs()]), allow_pickle=True)
    else:
        (folder / "two.npy").unlink()
    if how == "two arrays":
        np.savez(folder / "two.npz", a=1, b=2)
    elif how == "broken archive":
        (folder / "two.npz").write_bytes(b"PK\x03\x04 and no more")
    elif how == "empty":
        (folder / "two.npy").touch()
    elif how == "broken image":
        (folder / "two.png").write_bytes(b"\x89PNG\r\n")
    elif how == "colours":
        Image.fromarray(IMAGE).save(folder / "two.png")
    elif how == "a photograph":  # grey, under another name: its 25th byte is no depth
        Image.fromarray(IMAGE[..., 0]).save(folder / "two.png", "JPEG")


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("missing", r"no answer to scene 'two' in .*answers \(.npy or .npz or .png\). Give one file each"),
        ("two files", "2 answers to scene 'two'"),
        ("truncated", r"two.npy cannot be read .* Write it again, as numpy.save does"),
        ("pickled", "two.npy cannot be read .*allow_pickle"),
        ("two arrays", r"two.npz cannot be read \(2 arrays, one is expected\)"),
        ("broken archive", "two.npz cannot be read"),
        ("empty", "two.npy cannot be read"),
        ("broken image", "two.png cannot be read .* Write it again, as an 8-bit grey"),
        (
            "colours",
            r"two.png holds RGB pixels, where one byte with a class id is expected\. Write it again, as an 8-bit",
        ),
        ("a photograph", r"two.png is compressed as JPEG, which changes the values of labels\. Write it again"),
    ],
)
def test_answers_that_cannot_be_read(answers: Path, tmp_path: Path, how: str, words: str) -> None:
    damage(answers, how)
    with pytest.raises(MiaSegError, match=words):
        kept(tmp_path)(IMAGE, 8)


def test_a_folder_answers_its_scenes_and_no_others(answers: Path, tmp_path: Path) -> None:
    assert "holds answers to the scenes as they are, once each" in refusal(lambda: kept(tmp_path)(IMAGE, 9))
    assert "nowhere is no folder" in refusal(lambda: Folder(path="nowhere", answers="labels").open(tmp_path, {}))


# The contract.


def described(settings: type[BaseModel]) -> Iterator[tuple[str, str | None]]:
    for name, field in settings.model_fields.items():
        yield f"{settings.__name__}.{name}", field.description
        if isinstance(inner := field.annotation, type) and issubclass(inner, BaseModel):
            yield from described(inner)


@pytest.mark.parametrize("name", names(doors))
def test_every_door_is_found_and_describes_its_settings(name: str) -> None:
    door = load(doors, Door, name)
    assert door.__doc__
    assert {"open", "files"} <= vars(door).keys(), "a door says how it is opened and what its identity is"
    assert not [setting for setting, words in described(door) if not words]
    with pytest.raises(ValidationError):
        door(no_such_setting=1)
