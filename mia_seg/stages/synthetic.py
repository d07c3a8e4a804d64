"""Training with synthetic features (thesis 6.2): the stages that they come from."""

from dataclasses import dataclass
from typing import Any

from lightning_fabric import Fabric

from mia_seg import gan
from mia_seg.data import Scenes
from mia_seg.gan.synthetic import Masks, Source
from mia_seg.recipes import Synthetic
from mia_seg.stages.generators import TrainedGenerator
from mia_seg.stages.models import CACHE_BYTES, TrainedModel
from mia_seg.stages.scenes import Cut
from mia_seg.train import Crops
from mia_seg.workspace import Workspace


@dataclass(frozen=True, eq=False)
class SyntheticFeatures:
    """The inputs of training with synthetic features: the generator that draws them, and scenes with more layouts."""

    settings: Synthetic
    generator: TrainedGenerator
    more: Cut | None

    @property
    def base(self) -> TrainedModel:
        """The model whose weights a training begins with, and whose generator draws."""
        return self.generator.model

    def inputs(self) -> dict[str, Any]:
        """The inputs that shape the drawn features."""
        settings = self.settings.model_dump(mode="json", exclude_defaults=True, exclude={"of", "data"})
        more = None if self.more is None else self.more.given("audited")
        return {"synthetic": settings, "generator": self.generator, "more": more}

    def source(self, workspace: Workspace, fabric: Fabric) -> Source | None:
        """The source of features; None for the control that draws none."""
        if not self.settings.share:
            return None
        base, store = self.base, workspace.store
        members = Scenes(base.dataset, workspace.data_root, base.partition(store).members, CACHE_BYTES)
        crops = gan.crops_of(base.recipe, members, base.seed)
        paired = self.generator.paired(store)
        fabric.to_device(paired)
        return Source(self.settings, paired, Masks(crops, self._more(workspace), self.settings.masks == "pseudo"))

    def _more(self, workspace: Workspace) -> Crops | None:
        if self.more is None:
            return None
        scenes = Scenes(self.more.dataset, workspace.data_root, self.more.parts.members)
        return gan.crops_of(self.base.recipe, scenes, self.base.seed)
