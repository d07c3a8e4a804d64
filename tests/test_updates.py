"""DP-SGD: what single scenes do to a step is bounded and hidden, and what is spent is counted; plain SGD beside it."""

import math
import runpy
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers_files import assert_refused, call, write
from helpers_scenes import Toy
from lightning_fabric import Fabric
from test_objectives import CLASSES, batch, check_killed, folder
from test_train import recipe, run, tiny
from torch import Tensor, nn

from mia_seg import objectives, train, updates
from mia_seg.data import IGNORE
from mia_seg.errors import MiaSegError
from mia_seg.objectives import Batch, Goal, Helper, Objective, Stage
from mia_seg.plugins import build, names
from mia_seg.recipes import Train
from mia_seg.segmenters import Network
from mia_seg.segmenters._norm import normed
from mia_seg.segmenters.pspnet import PSPNet
from mia_seg.store import seed_of
from mia_seg.updates import Step, Training, dp_sgd
from mia_seg.updates.dp_sgd import DPSGD

__all__ = ["folder", "tiny"]

BENCHMARK = Path(__file__).parents[1] / "benchmarks" / "dp_sgd.py"
TERMS = Training("a test", scenes=4, batch=4, steps=10)
MANY = Training("a test", scenes=150, batch=16, steps=468)


def network(norm: str = "group") -> Network:
    torch.manual_seed(0)
    return normed(Toy(CLASSES, dropout=None), norm)


def supervised(made: Network) -> Goal:
    return goal_of("supervised", made)


def goal_of(name: str, made: Network) -> Goal:
    return build(objectives, Objective, name, settings={}, where="here").build(made, CLASSES, ids=[])


def gradient(
    method: DPSGD, made: Network, given: Batch, terms: Training = TERMS, step: int = 0, seed: int = 0, epoch: int = 0
) -> Tensor:
    """The gradient that a step takes, as one vector."""
    fabric, goal = Fabric(accelerator="cpu", devices=1), supervised(made)
    parameters = list(made.parameters())
    share = [torch.ones(())]
    method.gradients(
        Step(
            fabric.setup_module(goal),
            fabric,
            Stage("segment"),
            [given],
            share,
            parameters,
            terms,
            (seed, epoch, f"step {step}"),
        )
    )
    return torch.cat([p.grad.flatten() for p in parameters if p.grad is not None])


def alone(made: Network, given: Batch) -> list[Tensor]:
    """Each scene's gradient by a loop that knows nothing of updates."""
    found = []
    for k in range(len(given.image_N3HW)):
        made.zero_grad()
        made.loss(given.image_N3HW[k : k + 1], given.labels_NHW[k : k + 1])[0].backward()
        found.append(
            torch.cat([p.new_zeros(p.numel()) if p.grad is None else p.grad.flatten() for p in made.parameters()])
        )
    return found


# A step.


def test_without_noise_and_clip_it_is_the_mean_of_single_scenes_gradients() -> None:
    made, given = network(), batch()
    expected = torch.stack(alone(made, given)).sum(0) / TERMS.batch
    torch.testing.assert_close(gradient(DPSGD(noise=0, clip=1e6), made, given), expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("clip", [0.01, 0.3, 3.0])
def test_each_scene_moves_a_step_by_no_more_than_the_clip(clip: float) -> None:
    made, given = network(), batch()
    singles = alone(made, given)
    clipped = [g * min(1.0, clip / float(g.norm())) for g in singles]
    found = gradient(DPSGD(noise=0, clip=clip), made, given)
    torch.testing.assert_close(found, torch.stack(clipped).sum(0) / TERMS.batch, rtol=1e-5, atol=1e-8)
    assert float(found.norm()) * TERMS.batch <= clip * 4 * (1 + 1e-5)
    for left in range(4):
        rest = gradient(DPSGD(noise=0, clip=clip), made, given.only(torch.tensor([k for k in range(4) if k != left])))
        assert float((found - rest).norm()) * TERMS.batch <= clip * (1 + 1e-5), "one scene"
    given.image_N3HW[2] = 1 - given.image_N3HW[2]
    assert float((found - gradient(DPSGD(noise=0, clip=clip), made, given)).norm()) * TERMS.batch <= 2 * clip


def test_a_scenes_gradient_does_not_depend_on_its_mates() -> None:
    made, given = network(), batch()
    one = gradient(DPSGD(noise=0, clip=0.1), made, given.only(torch.tensor([1])))
    both = gradient(DPSGD(noise=0, clip=0.1), made, given.only(torch.tensor([1, 3])))
    other = gradient(DPSGD(noise=0, clip=0.1), made, given.only(torch.tensor([3])))
    torch.testing.assert_close(both, one + other, rtol=1e-5, atol=1e-8)


class Layers(Network):
    """Layers of every kind that a pass over many scenes can and cannot tell apart; some places are many, some few."""

    def __init__(self, odd: str) -> None:
        super().__init__()
        first = [nn.Conv2d(3, 16, 5, 2, 2), nn.GroupNorm(4, 16), nn.ReLU(inplace=True)]
        apart = [nn.Conv2d(16, 16, 3, 2, 1, groups=16), nn.Conv2d(16, 96, 1), nn.GroupNorm(8, 96)]
        wide = [nn.Conv2d(96, 96, 3, 2, 2, dilation=2, groups=2, bias=False), nn.ReLU(inplace=True)]
        self.backbone = nn.Sequential(*first, *apart, *wide)
        self.unused, self.odd = nn.Conv2d(96, CLASSES, 1), odd
        self.classify = Halved(96, CLASSES, 1) if odd == "subclass" else nn.Conv2d(96, CLASSES, 1)
        if odd == "tied":
            self.unused.weight = self.classify.weight

    def encode(self, image_N3HW: Tensor) -> Tensor:
        feature = self.backbone(image_N3HW)
        self.unused(feature)
        return feature

    def decode(self, feature_NCHW: Tensor, size: tuple[int, int]) -> Tensor:
        if self.odd == "past hooks":
            logits = nn.functional.conv2d(feature_NCHW, self.classify.weight, self.classify.bias)
        else:
            logits = self.classify(feature_NCHW)
        if self.odd == "twice":
            logits = logits + self.classify(feature_NCHW.flip(1))
        return nn.functional.interpolate(logits, size)

    def backbone_parameters(self) -> list[nn.Parameter]:
        return list(self.backbone.parameters())


class Halved(nn.Conv2d):
    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input) / 2


def sums(
    way: str, made: Network, given: Batch, *, views: int = 1, clip: float = 0.1, objective: str = "supervised"
) -> list[Tensor] | None:
    """Sums of clipped gradients, taken together or each scene alone; None where together cannot be."""
    fabric, goal, found = Fabric(accelerator="cpu", devices=1), goal_of(objective, made), dp_sgd.Sums()
    parameters, method = [p for p in made.parameters() if p.requires_grad], DPSGD(noise=0, clip=clip, views=views)
    key = (0, 0, "step 0")
    step = Step(fabric.setup_module(goal), fabric, Stage("segment"), [], [], parameters, TERMS, key)
    scenes = [list(range(k, k + views)) for k in range(0, len(given.labels_NHW), views)]
    parts = [given] if way == "together" else [given.only(torch.tensor(rows)) for rows in scenes]
    judged = [getattr(method, f"_{way}")(step, part, found) for part in parts]
    assert all(p.requires_grad for p in parameters)
    return [found.get(p, torch.zeros_like(p)) for p in parameters] if judged != [[]] else None


@pytest.mark.parametrize("views", [1, 2])
@pytest.mark.parametrize("clip", [0.01, 1e3])
def test_one_pass_finds_what_a_loop_over_scenes_finds(views: int, clip: float) -> None:
    torch.manual_seed(0)
    made, given = Layers("").double(), batch()
    given.image_N3HW, given.labels_NHW[0, :9] = given.image_N3HW.double(), IGNORE  # scenes differ in labelled pixels
    found = sums("together", made, given, views=views, clip=clip)
    assert found is not None
    for gradient, expected in zip(found, sums("alone", made, given, views=views, clip=clip) or [], strict=True):
        assert float((gradient - expected).norm()) <= 1e-6 * float(expected.norm())
    assert any(g.any() for g in found)


def accepted() -> list[str]:
    """The objectives that go with DP-SGD."""
    found = []
    for name in names(objectives):
        with suppress(MiaSegError):
            DPSGD(noise=0).check(goal_of(name, network()), MANY)
            found.append(name)
    return found


def unevenly_labelled() -> Batch:
    """Scenes in float64 with all labels but a few rows', half of them, a few rows and a few pixels."""
    given = batch()
    given.image_N3HW, given.labels_NHW = given.image_N3HW.double(), given.labels_NHW.clone()
    for scene, rows in enumerate((6, 16, 28, 31)):
        given.labels_NHW[scene, :rows] = IGNORE
    given.labels_NHW[3, :, 5:] = IGNORE
    return given


def test_these_objectives_go_with_it() -> None:
    assert {"supervised", "label_smoothing", "hamp", "relax_loss"} <= set(accepted())


@pytest.mark.parametrize("views", [1, 2])
@pytest.mark.parametrize("epoch", [8, 9])  # RelaxLoss has a loss for each parity
@pytest.mark.parametrize("name", accepted())
def test_under_every_objective_a_scene_gives_its_own_gradient_and_moves_the_sum_by_a_clip(
    name: str, epoch: int, views: int
) -> None:
    made, given = network().double(), unevenly_labelled()
    given.epoch, rows = epoch, [list(range(k, k + views)) for k in range(0, 4, views)]

    def summed(way: str, scenes: list[list[int]], clip: float) -> Tensor:
        part = given.only(torch.tensor([row for scene in scenes for row in scene]))
        found = sums(way, made, part, views=views, clip=clip, objective=name)
        assert found is not None
        return torch.cat([gradient.flatten() for gradient in found])

    norms = [float(summed("alone", [scene], 1e6).norm()) for scene in rows]
    for clip in (min(norms) / 2, sum(norms) / len(norms), max(norms)):
        both = [summed(way, rows, clip) for way in ("together", "alone")]
        assert float((both[0] - both[1]).norm()) <= 1e-6 * float(both[1].norm())
        for left in rows:
            rest = summed("together", [scene for scene in rows if scene != left], clip)
            assert float((both[0] - rest).norm()) <= clip * (1 + 1e-6), "one scene"


@pytest.mark.parametrize("head", [False, True])
def test_one_pass_holds_for_a_real_network_and_its_head_alone(head: bool) -> None:
    """timm adds in place, and a head has no trained layer before it."""
    torch.manual_seed(0)
    made, given = normed(PSPNet(backbone="resnet18").build(CLASSES), "group").double().eval(), batch()
    given.image_N3HW = given.image_N3HW.double()
    for name, parameter in made.named_parameters():
        parameter.requires_grad_(not head or name.startswith("classify."))
    found, expected = (sums(way, made, given) for way in ("together", "alone"))
    assert found is not None
    for gradient, other in zip(found, expected or [], strict=True):
        assert float((gradient - other).norm()) <= 1e-6 * float(other.norm())
    assert sum(bool(gradient.any()) for gradient in found) > (1 if head else 40), "only the auxiliary head rests"


@pytest.mark.parametrize("odd", ["subclass", "tied", "twice", "past hooks"])
def test_layers_that_one_pass_cannot_tell_apart_are_taken_scene_by_scene(odd: str) -> None:
    torch.manual_seed(0)
    made, given = Layers(odd), batch()
    assert sums("together", made, given) is None
    clipped = [g * min(1.0, 0.1 / float(g.norm())) for g in alone(made, given)]
    found = gradient(DPSGD(noise=0, clip=0.1), made, given)
    torch.testing.assert_close(found, torch.stack(clipped).sum(0) / TERMS.batch, rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize(("batch", "steps"), [(1000, 1), (500, 5)])  # all scenes in one step, or a coin a scene
@pytest.mark.parametrize(("share", "keeps"), [(1.0, True), (0.25, False), (0.0, False)])
def test_an_audit_of_the_weights_keeps_below_epsilon_and_finds_noise_that_is_lacking(
    share: float, keeps: bool, batch: int, steps: int
) -> None:
    pytest.importorskip("opacus")
    terms = Training("an audit", scenes=1000, batch=batch, steps=steps)
    method = DPSGD(noise=share * DPSGD(epsilon=2.0, delta=1e-5).amount(terms))
    found = runpy.run_path(str(BENCHMARK))["seen_in_weights"](method, terms, 0)
    assert (found <= 2.0) == keeps
    assert found > 0.2, "an audit that finds nothing tests nothing"


def test_noise_has_the_deviation_that_it_says_and_no_other_law() -> None:
    made, nothing = network(), batch().only(torch.tensor([], dtype=torch.long))
    method = DPSGD(noise=2.0, clip=0.5)
    draws = torch.stack([gradient(method, made, nothing, step=k) for k in range(40)])
    assert draws.numel() > 20_000
    assert float(draws.std()) == pytest.approx(2.0 * 0.5 / TERMS.batch, rel=0.02)
    assert float(draws.mean()) == pytest.approx(0, abs=0.005)
    assert float((draws**4).mean() / (draws**2).mean() ** 2) == pytest.approx(3, rel=0.05), "a Gaussian's fourth moment"
    assert abs(np.corrcoef(draws[:2].numpy())[0, 1]) < 0.2, "each step its own"
    torch.testing.assert_close(gradient(method, made, nothing, step=3), draws[3], rtol=0, atol=0)


def test_every_weight_step_epoch_and_seed_has_numbers_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """The accountant takes them for independent; a fleet's models would share noise, which then hides nothing."""
    streams = list[tuple[object, ...]]()
    monkeypatch.setattr(dp_sgd, "seed_of", lambda *key: streams.append(key) or seed_of(*key))
    made, nothing, method = network(), batch().only(torch.tensor([], dtype=torch.long)), DPSGD(noise=1)
    keys = [(0, 0), (1, 0), (0, 1)]
    noises = torch.stack([gradient(method, made, nothing, seed=seed, epoch=epoch) for seed, epoch in keys])
    coins = [list(islice(method.lists(MANY, (seed, epoch, "scenes")), 2)) for seed, epoch in keys]
    assert len({*noises.flatten().tolist()}) > 0.99 * noises.numel(), "no weight repeats another"
    assert abs(np.corrcoef(noises.numpy())[np.triu_indices(3, 1)]).max() < 0.2
    assert len({str(drawn) for each in coins for drawn in each}) == 6
    assert len({*streams}) == len(streams) == 3 + 6, "nor do coins and noise share a stream"


def test_crops_of_one_scene_share_its_bound() -> None:
    made, given = network(), batch()
    given.scene_N = torch.tensor([1, 1 + TERMS.scenes, 2, 2 + TERMS.scenes])  # two views each
    found = gradient(DPSGD(noise=0, clip=0.01, views=2), made, given)
    assert float(found.norm()) * TERMS.batch <= 0.01 * 2 * (1 + 1e-5)
    pooled = [given.only(torch.tensor(rows)) for rows in ([0, 1], [2, 3])]
    singles = []
    for two in pooled:
        made.zero_grad()
        made.loss(two.image_N3HW, two.labels_NHW)[0].backward()
        singles.append(torch.cat([p.grad.flatten() for p in made.parameters() if p.grad is not None]))
    expected = torch.stack([g * min(1.0, 0.01 / float(g.norm())) for g in singles]).sum(0) / TERMS.batch
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-9)


def test_a_scene_without_a_label_moves_nothing() -> None:
    made, given = network(), batch(labelled=False)
    assert (given.labels_NHW == IGNORE).all()
    assert not gradient(DPSGD(noise=0), made, given).any()


# Which scenes.


def test_scenes_are_drawn_by_a_coin_each() -> None:
    lists = list(islice(DPSGD(noise=1).lists(MANY, (0, 0, "scenes")) or (), 2000))
    sizes = np.array([len(one) for one in lists])
    rate = MANY.batch / MANY.scenes
    assert sizes.mean() == pytest.approx(MANY.batch, rel=0.02)
    assert sizes.var() == pytest.approx(MANY.scenes * rate * (1 - rate), rel=0.1)
    often = np.bincount(np.concatenate(lists), minlength=MANY.scenes) / len(lists)
    assert abs(often - rate).max() < 5 * math.sqrt(rate * (1 - rate) / len(lists))
    assert lists[:3] == list(islice(DPSGD(noise=1).lists(MANY, (0, 0, "scenes")) or (), 3))
    (first,) = islice(DPSGD(noise=1, views=2).lists(MANY, (0, 0, "scenes")) or (), 1)
    assert first == [scene + view * 150 for scene in lists[0] for view in (0, 1)]


# A training.


def private(**settings: Any) -> train.Recipe:
    made = recipe(6, epochs=4, batch=5)
    return made.model_copy(update={"update": {"name": "dp_sgd", "noise": 0.01, **settings}})


@pytest.fixture
def grouped(monkeypatch: pytest.MonkeyPatch, tiny: list[Toy]) -> None:
    whole = train._made.build
    monkeypatch.setattr(train._made, "build", lambda section, classes: normed(whole(section, classes), "group"))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_killed_run_draws_the_same_scenes_and_noise(folder: Path, grouped: None) -> None:
    pytest.importorskip("opacus")
    check_killed(private(views=2), folder)
    other = run(private(views=2, noise=0.02), folder / "other")
    assert other != (folder / "unbroken" / train.WEIGHTS).read_bytes()


def test_the_head_alone_trains_on_statistics_that_stay() -> None:
    torch.manual_seed(0)
    made = PSPNet(backbone="resnet18").build(CLASSES)
    settings = Train(epochs=1, batch=2, lr=0.1, crop=(32, 48), start="base", trains="head")
    optimizers = train.optimizers_of(supervised(made), settings)
    train.keep_statistics(made.train())
    before = {key: value.clone() for key, value in made.state_dict().items()}
    given = batch(2)
    made.loss(given.image_N3HW, given.labels_NHW)[0].backward()
    optimizers["network"].step()
    changed = {key for key, value in made.state_dict().items() if not torch.equal(value, before[key])}
    assert changed == {"classify.weight", "classify.bias"}
    with pytest.raises(ValueError, match="give start"):
        Train(epochs=1, batch=2, lr=0.1, crop=(32, 48), trains="head")


def test_group_norm_takes_the_place_of_every_batch_norm() -> None:
    made = normed(PSPNet(backbone="resnet18").build(CLASSES), "group").train()
    assert not [m for m in made.modules() if isinstance(m, nn.BatchNorm2d)]
    weights = sum(p.numel() for p in made.parameters())
    assert weights == sum(p.numel() for p in PSPNet(backbone="resnet18").build(CLASSES).parameters())
    given = batch(2)
    made.eval()
    one = made(given.image_N3HW[:1])
    torch.testing.assert_close(made(given.image_N3HW)[:1], one, rtol=1e-4, atol=1e-5)


# What is spent.


def test_one_step_on_all_scenes_is_the_gaussian_mechanism() -> None:
    """Its least epsilon in closed form: Balle & Wang, ICML 2018, theorem 8. Renyi's bound is above, and not far."""
    pytest.importorskip("opacus")
    spent = DPSGD(noise=1.5, delta=1e-3).spent(Training("t", scenes=100, batch=100, steps=1))
    assert spent.epsilon is not None
    exact = _gaussian(1.5, 1e-3)
    assert exact < spent.epsilon < 1.25 * exact


@pytest.mark.parametrize("noise", [1.4, 2.0, 3.0])
def test_a_second_accountant_agrees(noise: float) -> None:
    """By numerical composition of the privacy loss itself (Gopi, Lee & Wutschitz, NeurIPS 2021), which is tighter."""
    tight = pytest.importorskip("opacus.accountants").PRVAccountant()
    tight.history = [(noise, MANY.batch / MANY.scenes, MANY.steps)]
    spent = DPSGD(noise=noise, delta=1e-3).spent(MANY)
    assert spent.epsilon is not None
    assert 0.85 * spent.epsilon < tight.get_epsilon(delta=1e-3, eps_error=0.01) < spent.epsilon


def test_noise_for_an_epsilon_spends_it_and_no_more() -> None:
    pytest.importorskip("opacus")
    spent = DPSGD(epsilon=8, delta=1e-3).spent(MANY)
    assert spent.epsilon is not None
    assert 7.9 < spent.epsilon <= 8
    assert spent.noise == pytest.approx(1.41, abs=0.02)
    assert DPSGD(noise=0).spent(MANY).epsilon is None, "without noise nothing is proven"
    assert DPSGD(noise=1).spent(MANY).delta == pytest.approx(1 / 1500)


def _gaussian(noise: float, delta: float) -> float:
    def excess(epsilon: float) -> float:
        a, b = 1 / (2 * noise) - epsilon * noise, -1 / (2 * noise) - epsilon * noise
        cdf = [math.erfc(-x / math.sqrt(2)) / 2 for x in (a, b)]
        return cdf[0] - math.exp(epsilon) * cdf[1] - delta

    low, high = 0.0, 50.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if excess(middle) > 0 else (low, middle)
    return high


# What is refused.


def refusal(method: DPSGD, goal: Goal, terms: Training = MANY) -> str:
    with pytest.raises(MiaSegError) as refused:
        method.check(goal, terms)
    return str(refused.value)


def test_what_cannot_be_private_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    method, good = DPSGD(noise=1), supervised(network())
    assert "a BatchNorm2d mixes those of a batch. Set norm = 'group'" in refusal(method, supervised(network("batch")))
    mixed = replace(MANY, objective="mix")
    says = "[objective] mix lets scenes act on each other, on helper networks or by way of teachers. Leave [objective]"
    assert says in refusal(method, goal_of("mix", network()), mixed)
    helped = supervised(network())
    helped.settings = {"critic": Helper(nn.Linear(1, 1), 1e-3)}
    assert "helper networks" in refusal(method, helped)
    for changed, says in (
        ({"drawn": True}, "Leave out [synthetic]"), ({"devices": 2}, "--devices 1"),
        ({"accumulate": 2}, "[train] accumulate"), ({"precision": "16-mixed"}, "Use bf16-mixed"),
        ({"batch": 4}, "one step in 55 draws none"),
    ):  # fmt: skip
        terms = Training(**{"title": "a test", "scenes": 150, "batch": 16, "steps": 9} | changed)  # type: ignore[arg-type]
        assert says in refusal(method, good, terms)
    assert "above 1 / 150" in refusal(DPSGD(noise=1, delta=0.01), good)
    for settings, wrong in (
        ({}, "give noise or epsilon, one of the two"), ({"noise": 1, "epsilon": 8}, "one of the two"),
        ({"noise": 1e-160}, "noise = 1e-160 hides nothing: give 1e-06 or more, or 0 for none"),
    ):  # fmt: skip
        with pytest.raises(MiaSegError, match=wrong):
            build(updates, updates.Update, "dp_sgd", settings=settings, where="[update]")


def test_the_least_noise_is_accounted_for() -> None:
    pytest.importorskip("opacus")
    spent = DPSGD(noise=dp_sgd.LEAST_NOISE).spent(MANY)
    assert spent.epsilon is not None
    assert spent.epsilon > 1e12


def test_an_epsilon_out_of_reach_and_a_missing_accountant_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    good = supervised(network())
    with monkeypatch.context() as patch:
        patch.setitem(__import__("sys").modules, "opacus.accountants.analysis.rdp", None)
        says = "a test: [update] dp_sgd counts with Opacus what it spends, and that is missing. Install it: pip install"
        assert says in refusal(DPSGD(noise=1.23), good)
    pytest.importorskip("opacus")
    assert "no noise lets" in refusal(DPSGD(epsilon=1e-6), good)


def test_it_is_refused_before_anything_is_trained(workdir: Path) -> None:
    text = 'variant_of = "tiny"\n[update]\nname = "dp_sgd"\nnoise = 0.01\n'
    write(workdir / "victims" / "private.toml", text)
    for only_listed in ([], ["--dry-run"]):
        refused = call("train-victim", "private", "--device", "cpu", *only_listed)
        assert_refused(refused, "private, seed 0: [update] dp_sgd needs a network", "Set norm = 'group' in [segmenter]")
    assert not (workdir / "runs" / "victims").exists()


def test_a_start_that_saw_the_scenes_is_refused(workdir: Path) -> None:
    private = 'batch = 5\n[segmenter]\nnorm = "group"\n[update]\nname = "dp_sgd"\nnoise = 0\n'
    write(workdir / "victims" / "begun.toml", 'variant_of = "tiny"\n[train]\nstart = "tiny"\n' + private)
    refused = call("train-victim", "begun", "--device", "cpu")
    says = (
        "Scenes of 'begun', of which [update] proves something, and the scenes behind its weights (begun -> tiny) share"
    )
    assert_refused(refused, says)


@pytest.mark.parametrize("name", ["selena", "distillation"])
def test_teachers_are_refused_by_the_section_that_asks_for_them(workdir: Path, name: str) -> None:
    """Not by the scenes that they share with their student, of which no list could be mended."""
    private = f'[segmenter]\nnorm = "group"\n[update]\nname = "dp_sgd"\nnoise = 1\n[objective]\nname = "{name}"\n'
    write(workdir / "victims" / "taught.toml", 'variant_of = "tiny"\n[split]\npool = 6\n' + private)
    refused = call("train-victim", "taught", "--device", "cpu", "--dry-run")
    assert_refused(
        refused, f"taught, seed 0: [update] dp_sgd bounds what one scene does to the segmenter, and [objective] {name}"
    )


TAKES = '[segmenter]\nname = "{}"\nbackbone = "resnet18"\n[objective]\nname = "{}"\n[train]\nbatch = 2\n'
NEVER = {
    "cannot train on synthetic features": '[objective]\nname = "hamp"\n[synthetic]\nof = "tiny"\n',
    "by its own loss": TAKES.format("image_level", "hamp"),
    "[objective] dual is not to read them": TAKES.format("gss", "dual"),
    "[objective] selena is not to read them": TAKES.format("gss", "selena"),
}


@pytest.mark.parametrize("says", NEVER)
def test_an_objective_that_does_not_fit_is_refused_before_anything_is_trained(workdir: Path, says: str) -> None:
    """Some only at the first step of their own training; and a codebook would tell what the objective keeps back."""
    write(workdir / "victims" / "odd.toml", 'variant_of = "tiny"\n' + NEVER[says])
    for only_listed in ([], ["--dry-run"]):
        assert_refused(call("train-victim", "odd", "--device", "cpu", *only_listed), says)
    assert not (workdir / "runs" / "victims").exists()
