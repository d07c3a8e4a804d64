"""A model in an ONNX file, run by onnxruntime. It runs no code of the model, and needs no toolkit.

An export can be wrong without an error: PSPNet's, for example, is right only at the size of the export.
Give `examples`, answers of the original model.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from mia_seg.errors import MiaSegError
from mia_seg.oracles.door import padded
from mia_seg.oracles.doors import Ask, Door
from mia_seg.oracles.doors._models import Batched, BatchedOutput, asked, existing, fault, scaled, toolkit

TYPES = {"float": np.float32, "float16": np.float16, "double": np.float64, "uint8": np.uint8}
PROVIDERS = ("CUDAExecutionProvider", "CPUExecutionProvider")


class Onnx(Door):
    """`path` is an ONNX file with one input, the image. By default it takes NCHW and gives NCHW."""

    path: str = Field(description="the .onnx file, relative to the working directory; its external data lies beside it")
    output_name: str | None = Field(default=None, description="the output to read; default: the only one")
    threads: int = Field(default=1, ge=1, description="threads of onnxruntime on the CPU")
    input: Batched = Field(default=Batched(), description="how an image is prepared for the model")
    output: BatchedOutput = Field(default=BatchedOutput(), description="what its answer means")

    def open(self, base: Path, scenes: Mapping[int, str]) -> Ask:
        del scenes
        session, place = self._session(base), base / self.path
        wanted, dtype = self._input(session, place)
        output = self._output(session, place)

        def answer(given: np.ndarray) -> Any:
            return session.run([output], {wanted.name: given.astype(dtype, copy=False)})[0]

        run = asked(answer, "onnx", str(place))

        def ask(given: np.ndarray, key: int) -> np.ndarray:
            _check_shape(place, wanted.shape, given.shape)
            return run(given, key)

        return ask

    def files(self, base: Path) -> tuple[Path, ...]:
        """The model and its external data."""
        place, onnx = self._place(base), toolkit("onnx", "onnx")
        try:
            model = onnx.load(place, load_external_data=False)
        except Exception as error:  # protobuf's own kinds, which differ between its versions
            raise _unreadable(place, error) from None
        beside = {place.parent / entry.value for entry in _external(model) if entry.key == "location"}
        return (place, *sorted(beside))

    def _place(self, base: Path) -> Path:
        return existing(base / self.path, "onnx", "the model's .onnx file")

    def _session(self, base: Path) -> Any:
        """Loaded whole, so that a lacking operator or file is found before anything is asked."""
        place, runtime = self._place(base), toolkit("onnxruntime", "onnx")
        settings = runtime.SessionOptions()
        settings.intra_op_num_threads, settings.inter_op_num_threads = self.threads, 1
        settings.log_severity_level = 4  # its errors are raised too, and lines of its own would stand between ours
        providers = [name for name in PROVIDERS if name in runtime.get_available_providers()]
        try:
            return runtime.InferenceSession(str(place), settings, providers=providers)
        except Exception as error:  # onnxruntime has no common class for its errors
            raise _unreadable(place, error) from None

    def _input(self, session: Any, place: Path) -> tuple[Any, type]:
        """The one input and the type that it takes, held against [door.input]."""
        inputs = session.get_inputs()
        if len(inputs) != 1:
            raise MiaSegError(f"{place} has {len(inputs)} inputs: {_listed(inputs)}. Export it with one, the image.")
        wanted = inputs[0]
        dtype = TYPES.get(wanted.type.removeprefix("tensor(").removesuffix(")"))
        if dtype is None:
            raise MiaSegError(f"{place} takes {wanted.type}. Export it with an input of floats or of bytes.")
        if dtype is np.uint8 and self.input.scales:
            raise MiaSegError(f"{place} takes bytes (uint8). Leave scale, mean and std out of [door.input].")
        if dtype is not np.uint8:
            scaled(self)
        self._check_input(place, wanted.shape)
        return wanted, dtype

    def _check_input(self, place: Path, shape: Sequence[Any]) -> None:
        """What can be known of sizes before an image is seen."""
        axes = dict(zip(self.input.layout, shape, strict=False))
        fixed = {axis: side for axis, side in axes.items() if isinstance(side, int)}
        if len(shape) != len(self.input.layout) or fixed.get("C", 3) != 3:
            raise MiaSegError(
                f"{place} takes {_shape(shape)}. Set [door.input] layout, now {self.input.layout}, to its axes."
            )
        if fixed.get("N", 1) != 1:
            raise MiaSegError(f"{place} takes {fixed['N']} images at once, {_shape(shape)}. Export it for one.")
        if self.input.size is not None:
            _check_shape(place, shape, self._given(self.input.size))

    def _given(self, size: tuple[int, int]) -> tuple[int, ...]:
        height, width = padded(size, self.input.multiple)
        sides = {"N": 1, "C": 3, "H": height, "W": width}
        return tuple(sides[axis] for axis in self.input.layout)

    def _output(self, session: Any, place: Path) -> str:
        outputs = session.get_outputs()
        names = [output.name for output in outputs]
        if self.output_name is None and len(names) == 1:
            return str(names[0])
        if self.output_name is None or self.output_name not in names:
            what = f"no output '{self.output_name}'" if self.output_name else f"{len(names)} outputs"
            raise MiaSegError(f"{place} has {what}: {_listed(outputs)}. Let [door] output_name name one.")
        return self.output_name


def _check_shape(place: Path, wanted: Sequence[Any], given: Sequence[int]) -> None:
    if any(isinstance(side, int) and side != have for side, have in zip(wanted, given, strict=True)):
        raise MiaSegError(
            f"{place} takes images of {_shape(wanted)} only, and these are {_shape(given)}. Set [door.input] size to "
            f"it, or export it again with sides that may change."
        )


def _unreadable(place: Path, error: Exception) -> MiaSegError:
    why = fault(error, str(error).rpartition("failed:")[2])
    if "No Op registered" in why or "not a registered function" in why or "NOT_IMPLEMENTED" in str(error):
        return MiaSegError(
            f"{place} needs an operator that onnxruntime does not have ({why}). Update onnxruntime, or export the "
            f"model without that operator."
        )
    return MiaSegError(
        f"{place} cannot be read as an ONNX model ({why}). Export it again, and keep its data beside it."
    )


def _listed(values: Sequence[Any]) -> str:
    return ", ".join(f"'{value.name}' {_shape(value.shape)}" for value in values)


def _shape(shape: Sequence[Any]) -> str:
    """'1 x 3 x height x width'."""
    return " x ".join("?" if side is None else str(side) for side in shape)


def _external(message: Any) -> Iterator[Any]:
    """Every entry of external data in a model, in subgraphs and functions too."""
    for field, value in message.ListFields():
        if field.name == "external_data":
            yield from value
        elif field.message_type is not None:
            for inner in value if hasattr(value, "__len__") else [value]:
                yield from _external(inner)
