"""Stages: the steps of an audit as values. Building one runs nothing; `run` makes those that a store lacks."""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

from mia_seg.store import Artefact, Draft, Store, digest, reading
from mia_seg.workspace import Workspace

T = TypeVar("T")


class Stage(ABC, Generic[T]):
    """One step of an audit: its inputs, how it is made into a folder, and what is read back from there.

    kind: the folder in the store. inputs: JSON values or other stages, which enter by their digests. Two stages with
    equal inputs are the same artefact. device: it computes on the accelerator. joint: several devices may share it.
    """

    kind: ClassVar[str]
    device: ClassVar[bool] = False
    joint: ClassVar[bool] = False

    @property
    @abstractmethod
    def name(self) -> str:
        """The name of its folder in the store, before the digest."""

    @abstractmethod
    def inputs(self) -> dict[str, Any]:
        """All that shapes its content: JSON values and stages, at any depth of lists and dicts."""

    @abstractmethod
    def make(self, draft: Draft, workspace: Workspace) -> None:
        """Write the content into `draft.folder`. Its inputs are made. State to resume from goes to `draft.scratch`."""

    @abstractmethod
    def load(self, folder: Path) -> T:
        """The content of a finished folder."""

    def check(self, workspace: Workspace) -> None:
        """Raise MiaSegError if this machine cannot make it. Called for all missing stages before the first is made."""
        if self.device:
            workspace.check()

    @property
    def title(self) -> str:
        """Its name on the screen."""
        return self.name

    @property
    def together(self) -> Hashable:
        """Stages of one class that share this value are made in one pass (`make_together`)."""
        return self.digest

    @classmethod
    def make_together(cls, stages: Sequence[Self], drafts: Sequence[Draft], workspace: Workspace) -> None:
        """Make stages that share `together`, each into its draft."""
        for stage, draft in zip(stages, drafts, strict=True):
            stage.make(draft, workspace)

    @cached_property
    def needs(self) -> tuple["Stage[Any]", ...]:
        """The stages among the inputs, each once."""
        return tuple({stage.digest: stage for stage in self.built_on}.values())

    @property
    def built_on(self) -> tuple["Stage[Any]", ...]:
        """The stages among the inputs, found without computing any digest."""
        return tuple(_stages(self._given))

    @cached_property
    def settled(self) -> dict[str, Any]:
        """The inputs as JSON: what `made.json` keeps."""
        return {key: settled(value) for key, value in self._given.items()}

    @cached_property
    def digest(self) -> str:
        """Twelve hex digits over the inputs."""
        return digest(self.settled)

    @cached_property
    def _given(self) -> dict[str, Any]:
        return self.inputs()

    def artefact(self, store: Store) -> Artefact:
        """Its place in a store."""
        return store.artefact(self.kind, self.name, self.settled)

    def value(self, store: Store) -> T:
        """Its content, loaded. Raises MiaSegError if one of its files was altered, or if it was not made."""
        folder = self.artefact(store).check()
        with reading(folder):
            return self.load(folder)


def _stages(given: object) -> Iterator[Stage[Any]]:
    if isinstance(given, Stage):
        yield given
    elif isinstance(given, dict | list | tuple):
        for inner in given.values() if isinstance(given, dict) else given:
            yield from _stages(inner)


def settled(given: Any) -> Any:
    """JSON: stages become their digests, at any depth."""
    if isinstance(given, Stage):
        return given.digest
    if isinstance(given, dict):
        return {key: settled(value) for key, value in given.items()}
    return [settled(value) for value in given] if isinstance(given, list | tuple) else given
