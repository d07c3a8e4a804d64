"""Attacks on a fleet of shadows: golden AUCs on planted leaks, definitions against loops, and every known trap."""

import math
from collections.abc import Callable
from functools import cache
from itertools import pairwise, product
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from lightning_fabric import Fabric
from scipy.stats import norm

from mia_seg import attacks
from mia_seg.attacks import Attack, Membership
from mia_seg.attacks._fleet import FleetAttack, FleetAttacker, SignalAttack
from mia_seg.attacks._population import PopulationAttack
from mia_seg.attacks._readings import Fleet, Readings, Signals
from mia_seg.attacks.attack_p import AttackP, share_above
from mia_seg.attacks.attack_r import AttackR
from mia_seg.attacks.base import Base
from mia_seg.attacks.calibration import Calibration
from mia_seg.attacks.learned_calibration import LearnedCalibration
from mia_seg.attacks.learned_combination import features, weigh
from mia_seg.attacks.lira import LiRA
from mia_seg.attacks.quantile_regression import QuantileRegression
from mia_seg.attacks.rmia import RMIA
from mia_seg.errors import MiaSegError
from mia_seg.metrics.membership import auc
from mia_seg.plugins import load, names
from mia_seg.testing import Leak, World

LEAK = Leak(shift=2.0)
WORLD = World(LEAK, scenes=400, population=200)
# They see one model: how hard a scene is stays noise to them.
WITHOUT_SHADOWS = [AttackP(), QuantileRegression()]


def variants() -> list[FleetAttack]:
    """Fleet attacks on statistics, once for each choice of their first setting; LiRA for each of its statistics."""
    found: list[FleetAttack] = []
    for cls in (load(attacks, Attack, name) for name in names(attacks)):
        if issubclass(cls, SignalAttack):
            first, field = next(iter(cls.model_fields.items()))
            found += [cls(**{first: choice}) for choice in get_args(field.annotation) or (field.default,)]
    return [*found, LiRA(statistic="geometric"), LiRA(statistic="vector"), LiRA(mode="offline_pdf", statistic="vector")]


def title(method: Attack) -> str:
    changed = [str(v) for v in method.model_dump(exclude_defaults=True).values()]
    return " ".join([type(method).__name__, *changed])


EVERY = pytest.mark.parametrize("method", variants(), ids=title)


@cache
def leaking() -> Fleet:
    return WORLD.fleet(16)


@cache
def tight() -> World:
    return World(Leak(shift=0.0), scenes=400, population=200, seed=1)


@cache
def fitted(method: FleetAttack) -> FleetAttacker:
    return method.fit_fleet(leaking())


def area(attacker: FleetAttacker, world: World) -> float:
    answers, members = world.victim()
    return auc(attacker.score(answers, 0).image_N, members)


@EVERY
def test_every_attack_reaches_its_golden_range_on_a_planted_leak(method: FleetAttack) -> None:
    """0.74 is the most without shadows and 0.92 with endlessly many; losses and few shadows cost some of that."""
    assert pytest.approx((0.736, 0.921), abs=1e-3) == (LEAK.auc_without_shadows, LEAK.auc)
    reached = area(fitted(method), WORLD)
    if isinstance(method, LiRA) and method.mode == "offline_pdf":
        assert 0.6 < reached < LEAK.auc + 0.03, "surprise of either sign: what is unusually hard counts as a member"
    else:
        assert LEAK.auc_without_shadows + 0.04 < reached < LEAK.auc + 0.03


@pytest.mark.parametrize("method", WITHOUT_SHADOWS, ids=title)
def test_without_shadows_an_attack_reaches_what_one_model_shows(method: PopulationAttack) -> None:
    """One shadow sets the threshold; the population is what the victim never saw."""
    (shadow, seen), (answers, members) = WORLD.shadow(), WORLD.victim()
    attacker = method.fit(shadow, Membership(seen, np.arange(400)), 0, fabric=Fabric(accelerator="cpu", devices=1))
    scores = attacker.score(answers, 0)
    assert auc(scores.image_N, members) == pytest.approx(LEAK.auc_without_shadows, abs=0.06)
    assert scores.by_shadows == ()
    called = scores.image_N >= attacker.thresholds.image
    assert (called[members].mean() + 1 - called[~members].mean()) / 2 > 0.57
    answers, members = tight().victim()
    assert auc(attacker.score(answers, 0).image_N, members) == pytest.approx(0.5, abs=0.09)


@EVERY
@pytest.mark.parametrize("models", [4, 6, 8])
def test_too_few_shadows_are_refused_before_and_only_where_the_attack_would_fail(
    method: FleetAttack, models: int
) -> None:
    """Whether it would fail is tried on what a fleet of so many reads."""
    fleet, needed = World(LEAK, 60, 40).fleet(models), 2 * method.least_pairs() + 2
    if models >= needed:
        method.check_shadows(models)
        method.fit_fleet(fleet)
        return
    with pytest.raises(MiaSegError, match=f"needs {needed} shadows"):
        method.check_shadows(models)
    readings = fleet.read(method.reading)
    with pytest.raises((MiaSegError, IndexError)):
        method.tuned(readings).rehearse(readings)


@EVERY
def test_no_attack_finds_a_leak_where_there_is_none(method: FleetAttack) -> None:
    """Neither in the victim nor in the rehearsals, whose number of shadows must not tell members."""
    fleet = tight().fleet(8)
    attacker = method.fit_fleet(fleet)
    assert area(attacker, tight()) == pytest.approx(0.5, abs=0.09)
    readings = attacker.fleet
    rehearsed = attacker.settings.rehearse(readings)
    assert np.mean([auc(s, m) for s, m in zip(rehearsed, readings.members_MN, strict=True)]) == pytest.approx(
        0.5, abs=0.05
    )


@EVERY
def test_thresholds_from_rehearsals_hold_for_the_victim(method: FleetAttack) -> None:
    attacker, (answers, members) = fitted(method), WORLD.victim()
    called = attacker.score(answers, 0).image_N >= attacker.thresholds.image
    right = (called[members].mean() + 1 - called[~members].mean()) / 2
    assert right > 0.57
    assert 0.2 < called.mean() < 0.8


@EVERY
def test_every_attacker_comes_back_from_disk(tmp_path: Path, method: FleetAttack) -> None:
    attacker, answers = fitted(method), WORLD.victim()[0]
    attacker.save(tmp_path)
    back = type(method)().load(tmp_path, Fabric(accelerator="cpu", devices=1))
    assert back.thresholds == attacker.thresholds
    assert (back.score(answers, 1).image_N == attacker.score(answers, 0).image_N).all()
    assert back.smaller == attacker.smaller


@EVERY
def test_scores_are_finite_and_one_a_scene(method: FleetAttack) -> None:
    scores = fitted(method).score(WORLD.victim()[0], 0)
    assert scores.image_N.shape == (400,)
    assert np.isfinite(scores.image_N).all()
    assert scores.patch_NP is None


@EVERY
def test_the_curve_over_shadows_ends_at_the_attack_itself_and_rises_to_it(method: FleetAttack) -> None:
    answers, members = WORLD.victim()
    scores = fitted(method).score(answers, 0)
    *fewer, last = scores.by_shadows
    assert (last.trained, last.compared) == (16, 8 * method.kinds())
    assert last.image_N is scores.image_N
    assert [size.trained for size in fewer] == [2, 4, 8][3 - len(fewer) :]
    assert all(size.compared == method.kinds() * size.trained // 2 for size in fewer)
    areas = [auc(size.image_N, members) for size in scores.by_shadows]
    assert all(more > less - 0.015 for less, more in pairwise(areas))
    assert areas[-1] > areas[0]


@pytest.mark.parametrize("method", [LiRA(models=4), RMIA(mode="offline", models=2), AttackR(models=2)], ids=title)
def test_a_point_of_the_curve_is_the_attack_asked_for_with_so_many_shadows(method: FleetAttack) -> None:
    answers = WORLD.victim()[0]
    whole = fitted(method.model_copy(update={"models": None})).score(answers, 0).by_shadows
    (point,) = (size for size in whole if size.trained == 4)
    assert (point.image_N == fitted(method).score(answers, 0).image_N).all()


def test_a_curve_begins_where_the_attack_has_shadows_enough() -> None:
    """One shadow has no variance of its own."""
    answers = WORLD.victim()[0]
    assert [size.trained for size in fitted(AttackR()).score(answers, 0).by_shadows] == [4, 8, 16]
    assert [size.trained for size in fitted(AttackR(form="ranks")).score(answers, 0).by_shadows] == [2, 4, 8, 16]
    assert [size.trained for size in fitted(Calibration(models=5)).score(answers, 0).by_shadows] == [2, 4, 8, 10]


# Definitions, against loops over scenes and shadows.


def readings(models: int = 6, scenes: int = 7, population: int = 5, seed: int = 0) -> Readings:
    rng = np.random.default_rng(seed)
    first = rng.random((models // 2, scenes)) < 0.5
    members = np.stack([first, ~first], 1).reshape(models, scenes)
    values, others = rng.normal(size=(models, scenes)), rng.normal(size=(models, population))
    return Readings([f"s{i}" for i in range(scenes)], values, others, members)


def sides(fleet: Readings, scene: int) -> tuple[list[float], list[float]]:
    """What shadows that saw the scene read of it, and what the others did."""
    columns = list(zip(fleet.scenes_MN[:, scene], fleet.members_MN[:, scene], strict=True))
    return [float(v) for v, seen in columns if seen], [float(v) for v, seen in columns if not seen]


def target(scenes: int = 7, population: int = 5) -> Signals:
    rng = np.random.default_rng(9)
    return Signals(rng.normal(size=scenes), rng.normal(size=population))


def by_loop(score: Callable[[float, list[float], list[float]], float], fleet: Readings) -> np.ndarray:
    return np.array([score(float(x), *sides(fleet, scene)) for scene, x in enumerate(target().scenes_N)])


def everything(fleet: Readings, side: int) -> list[float]:
    return [v for scene in range(len(fleet.ids)) for v in sides(fleet, scene)[side]]


@pytest.mark.parametrize("variance", ["fixed", "scene"])
@pytest.mark.parametrize("mode", ["online", "offline_cdf", "offline_pdf"])
def test_lira_is_its_definition(mode: Any, variance: Any) -> None:
    fleet = readings()

    def score(x: float, seen: list[float], unseen: list[float]) -> float:
        deviations = [
            np.std(everything(fleet, side)) if variance == "fixed" else np.std(values)
            for side, values in enumerate((seen, unseen))
        ]
        inside = norm.logpdf(x, np.median(seen), deviations[0])
        outside = norm.logpdf(x, np.median(unseen), deviations[1])
        by_mode = {
            "online": inside - outside,
            "offline_cdf": norm.logcdf(x, np.median(unseen), deviations[1]),
            "offline_pdf": -outside,
        }
        return float(by_mode[mode])

    assert LiRA(mode=mode, variance=variance).judge(target(), fleet) == pytest.approx(by_loop(score, fleet), rel=1e-6)


def test_lira_takes_the_deviation_of_each_side_from_its_own_models() -> None:
    """The published code takes that of IN for OUT in one branch."""
    fleet = readings()
    wide = np.where(fleet.members_MN, fleet.scenes_MN, 10 * fleet.scenes_MN)
    changed = Readings(fleet.ids, wide, fleet.population_MZ, fleet.members_MN)
    flat = LiRA(mode="offline_pdf", variance="fixed").judge(target(), changed)
    assert flat == pytest.approx(
        by_loop(lambda x, _, out: -norm.logpdf(x, np.median(out), np.std(everything(changed, 1))), changed), rel=1e-6
    )


def test_vector_lira_is_two_gaussians_with_one_covariance_each() -> None:
    rng, plain = np.random.default_rng(3), readings(8, 40)
    fleet = Readings(plain.ids, rng.normal(size=(8, 40, 3)) * (1, 2, 3), np.zeros((8, 0, 3)), plain.members_MN)
    victim = Signals(rng.normal(size=(40, 3)), np.zeros((0, 3)))
    from sklearn.covariance import ledoit_wolf

    densities = []
    for seen in (True, False):
        parts = [fleet.scenes_MN[fleet.members_MN[:, n] == seen, n] for n in range(40)]
        rest = np.concatenate([p - p.mean(0) for p in parts])
        covariance = ledoit_wolf(rest, assume_centered=True)[0] * 4 / 3
        inverse, logdet = np.linalg.inv(covariance), np.linalg.slogdet(covariance)[1]
        away = [victim.scenes_N[n] - parts[n].mean(0) for n in range(40)]
        densities.append(np.array([-0.5 * (d @ inverse @ d + logdet) for d in away]))
    expected = densities[0] - densities[1]
    assert LiRA(statistic="vector").judge(victim, fleet) == pytest.approx(expected, rel=1e-6)


def positive(fleet: Readings) -> Readings:
    """The same as probabilities."""
    return Readings(fleet.ids, norm.cdf(fleet.scenes_MN), norm.cdf(fleet.population_MZ), fleet.members_MN)


@pytest.mark.parametrize(("mode", "gamma", "a"), [("online", 1.0, None), ("offline", 1.0, 0.3), ("offline", 2.0, 1.0)])
def test_rmia_is_its_definition(mode: Any, gamma: float, a: float | None) -> None:
    fleet = positive(readings())
    victim = Signals(norm.cdf(target().scenes_N), norm.cdf(target().population_Z))

    def prior(seen: list[float], unseen: list[float]) -> float:
        out = sum(unseen) / len(unseen)
        return (sum(seen) / len(seen) + out) / 2 if a is None else ((1 + a) * out + (1 - a)) / 2

    scores = []
    for n, p in enumerate(victim.scenes_N):
        beaten = 0
        for z, p_z in enumerate(victim.population_Z):
            column = [float(v) for v in fleet.population_MZ[:, z]]
            beaten += p / prior(*sides(fleet, n)) / (p_z / prior(column, column)) >= gamma
        scores.append(beaten / len(victim.population_Z))
    assert RMIA(mode=mode, gamma=gamma, a=a).judge(victim, fleet) == pytest.approx(scores, abs=1e-6)
    assert np.std(scores) > 0


def test_base_is_its_definition() -> None:
    fleet = readings()

    def mean(values: list[float]) -> float:
        return math.log(sum(math.exp(v) for v in values) / len(values))

    online = by_loop(lambda x, seen, unseen: x - mean(seen + unseen), fleet)
    offline = by_loop(lambda x, _, unseen: x - 0.33 * mean(unseen), fleet)
    assert Base().judge(target(), fleet) == pytest.approx(online, rel=1e-6)
    assert Base(mode="offline").judge(target(), fleet) == pytest.approx(offline, rel=1e-6)


def test_calibration_and_attack_r_are_their_definitions() -> None:
    fleet = readings()
    calibrated = by_loop(lambda x, _, out: float(np.mean(out)) - x, fleet)
    assert Calibration().judge(target(), fleet) == pytest.approx(calibrated, rel=1e-6)
    gaussian = by_loop(lambda x, _, out: float(norm.logsf(x, np.mean(out), np.std(out))), fleet)
    assert AttackR().judge(target(), fleet) == pytest.approx(gaussian, rel=1e-6)
    ranks = by_loop(lambda x, _, out: sum((v > x) + (v == x) / 2 for v in out) / len(out), fleet)
    assert AttackR(form="ranks").judge(target(), fleet) == pytest.approx(ranks, abs=1e-6)


def test_attack_p_is_the_share_of_the_population_that_loses_more() -> None:
    victim = target()
    pairs = Signals(np.stack([victim.scenes_N, 0 * victim.scenes_N], 1), np.stack([victim.population_Z] * 2, 1))
    expected = [np.mean([z > x for z in victim.population_Z]) for x in victim.scenes_N]
    assert AttackP().judge(pairs) == pytest.approx(expected, abs=1e-6)


def test_attack_p_keeps_its_false_alarms_at_the_rate_that_was_asked_for() -> None:
    """One in ten non-members lies among the lowest tenth of the population's losses."""
    world = World(LEAK, scenes=3000, population=1000)
    answers, members = world.victim()
    scores = AttackP().signal(answers)
    assert (scores[~members] >= 0.9).mean() == pytest.approx(0.1, abs=0.03)
    assert (scores[members] >= 0.9).mean() > 0.2


def test_groups_of_attack_p_are_compared_with_their_own() -> None:
    """Class 1 loses ten more than class 0, which hides its members; class 2 is too rare for a group."""
    rng = np.random.default_rng(0)
    groups, others = np.repeat([0, 1, 2], 50), np.repeat([0, 1, 2], [300, 300, 19])
    loss, population = rng.normal(size=150) + 10 * (groups == 1), rng.normal(size=619) + 10 * (others == 1)
    victim = Signals(np.stack([loss, groups], 1), np.stack([population, others], 1))
    found = AttackP(group="dominant_class").judge(victim)
    for group in (0, 1):
        peers = population[others == group]
        assert found[groups == group] == pytest.approx([(peers > x).mean() for x in loss[groups == group]])
    assert found[groups == 2] == pytest.approx([(population > x).mean() for x in loss[groups == 2]])
    assert (found != AttackP().judge(victim))[:100].any()


def test_quantile_regression_finds_the_quantile_that_labels_tell() -> None:
    """Where the statistic is a line in the features plus noise, one in ten non-members is above it."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(4000, 2))
    phi = features @ (2.0, -1.0) + 3 + rng.normal(size=4000)
    rows = np.column_stack([phi, features])
    found = QuantileRegression().judge(Signals(rows[2000:], rows[:2000]))
    assert (found > 0).mean() == pytest.approx(0.1, abs=0.02)
    assert found == pytest.approx(phi[2000:] - features[2000:] @ (2.0, -1.0) - 3 - norm.ppf(0.9), abs=0.2)


# Traps.


def refused(method: FleetAttack, fleet: Readings, says: str) -> None:
    with pytest.raises(MiaSegError, match=says):
        method.judge(target(), fleet)


def flat() -> Readings:
    """Shadows that all say the same of everything."""
    fleet = readings()
    return Readings(fleet.ids, np.full_like(fleet.scenes_MN, 0.1), fleet.population_MZ, fleet.members_MN)


@pytest.mark.parametrize("mode", ["online", "offline_cdf", "offline_pdf"])
@pytest.mark.parametrize("variance", ["fixed", "scene"])
def test_lira_without_variance_is_refused(mode: Any, variance: Any) -> None:
    refused(LiRA(mode=mode, variance=variance), flat(), "'lira' has no variance.*variance = 'fixed'")


def test_a_scene_of_which_all_shadows_say_the_same_is_named() -> None:
    fleet = readings()
    values = fleet.scenes_MN.copy()
    values[:, 4] = 1 / 3
    same = Readings(fleet.ids, values, fleet.population_MZ, fleet.members_MN)
    refused(LiRA(variance="scene"), same, "3 shadows that left out scene 's4' all answer it alike")
    refused(AttackR(), same, "3 shadows that left out scene 's4' all have the same loss")
    assert np.isfinite(LiRA(variance="fixed").judge(target(), same)).all()
    assert np.isfinite(AttackR(form="ranks").judge(target(), same)).all()


def test_one_shadow_of_each_kind_has_a_fixed_variance_and_none_of_its_own() -> None:
    fleet = readings(2)
    assert np.isfinite(LiRA(variance="fixed").judge(target(), fleet)).all()
    refused(LiRA(variance="scene"), fleet, "the 1 shadows that left out scene 's0'")
    refused(AttackR(), fleet, "the 1 shadows that left out scene 's0'")
    for shadows in (2, 6):  # too few, or too much alike
        plain = readings(shadows)
        wide = Readings(plain.ids, np.full((shadows, 7, 3), 0.1), np.zeros((shadows, 0, 3)), plain.members_MN)
        with pytest.raises(MiaSegError, match="'lira' has no variance"):
            LiRA(statistic="vector").judge(Signals(np.ones((7, 3)), np.zeros((0, 3))), wide)


def test_a_fleet_of_one_pair_cannot_rehearse() -> None:
    with pytest.raises(
        MiaSegError, match=r"'calibration' needs 4 shadows: .*There are 2. Set \[adversary\] models = 4"
    ):
        Calibration().fit_fleet(World(LEAK, 10).fleet(2))


@pytest.mark.parametrize(("method", "models"), [(LearnedCalibration(), 4), (LearnedCalibration(models=1), 8)])
def test_one_pair_teaches_no_weights(method: FleetAttack, models: int) -> None:
    with pytest.raises(MiaSegError, match=r"'learned_calibration'(: models = 1, and of 8| needs 6 shadows)"):
        method.fit_fleet(World(LEAK, 10).fleet(models))


def test_a_scene_that_no_shadow_left_out_is_named() -> None:
    fleet = readings()
    for seen, did in ((True, "was trained on"), (False, "was left out")):
        members = fleet.members_MN.copy()
        members[2:4, 3] = seen
        with pytest.raises(MiaSegError, match=f"Scene 's3' {did} by both shadows 2 and 3"):
            Readings(fleet.ids, fleet.scenes_MN, fleet.population_MZ, members)


@pytest.mark.parametrize("models", [0, 1, 5])
def test_shadows_without_a_partner_are_refused(models: int) -> None:
    fleet = readings()
    with pytest.raises(MiaSegError, match=f"fleet of {models} shadows is not one of pairs"):
        Readings(fleet.ids, fleet.scenes_MN[:models], fleet.population_MZ[:models], fleet.members_MN[:models])


def test_in_a_rehearsal_the_number_of_shadows_does_not_tell_members() -> None:
    fleet = readings(8, 11)
    for model in range(8):
        rest = fleet.apart(model)
        assert len(rest) == 6
        assert (rest.members_MN.sum(0) == 3).all()
        assert not any((values == fleet.scenes_MN[model]).all() for values in rest.scenes_MN)


@pytest.mark.parametrize("scenes", [1, 3, 101])
def test_odd_numbers_of_scenes_are_no_trouble(scenes: int) -> None:
    fleet = World(LEAK, scenes).fleet(4).read(Calibration().reading)
    assert (fleet.members_MN.sum(0) == 2).all()
    assert fleet.inside(2).shape == fleet.outside(2).shape == (2, scenes)


def test_ties_count_half() -> None:
    assert share_above(np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 2.0, 2.0, 3.0])).tolist() == [
        0.875,
        0.5,
        0.125,
        0.0,
    ]


@pytest.mark.parametrize("method", [Calibration(), Base(), RMIA(), RMIA(mode="offline"), AttackR(form="ranks")])
def test_models_that_all_answer_alike_give_everyone_one_score(method: FleetAttack) -> None:
    """Constant scores say nothing: AUC 0.5, and a threshold that calls all or nobody."""
    fleet = World(LEAK, scenes=20, population=9).fleet(4)
    same = Fleet(tuple(fleet.answers[0] for _ in fleet.answers), fleet.members_MN)
    read = same.read(method.reading)
    one = Readings(read.ids, np.ones_like(read.scenes_MN), np.ones_like(read.population_MZ), read.members_MN)
    tuned = method.tuned(one)
    scores = tuned.judge(one.target(0), one.apart(0))
    assert len(np.unique(scores)) == 1
    assert auc(scores, read.members_MN[0]) == 0.5


@pytest.mark.parametrize(
    ("method", "says"),
    [
        (Calibration(models=5), "'calibration': models = 5, and of 8 shadows .* 1 to 4, in steps of 1"),
        (LiRA(models=3), "'lira': models = 3, .* 2 to 8, in steps of 2"),
        (LiRA(models=10), "'lira': models = 10, .* 2 to 8"),
        (RMIA(mode="offline", models=9), "'rmia': models = 9, .* 1 to 4"),
    ],
)
def test_a_number_of_shadows_that_there_is_not_is_refused(method: FleetAttack, says: str) -> None:
    with pytest.raises(MiaSegError, match=says):
        method.fit_fleet(World(LEAK, 20, 9).fleet(8))


@pytest.mark.parametrize(
    ("method", "used"),
    [(Calibration(models=1), 2), (LiRA(models=4), 4), (RMIA(models=2), 2), (RMIA(mode="offline", a=0.3, models=2), 4)],
)
def test_no_more_shadows_are_looked_at_than_asked_for(method: FleetAttack, used: int) -> None:
    """The others may say anything."""
    fleet = positive(readings(8))
    victim = Signals(norm.cdf(target().scenes_N), norm.cdf(target().population_Z))
    wild = Readings(fleet.ids, fleet.scenes_MN.copy(), fleet.population_MZ.copy(), fleet.members_MN)
    wild.scenes_MN[used:] = np.nan
    wild.population_MZ[used:] = np.nan
    before, after = (method.tuned(f).judge(victim, f) for f in (fleet, wild))
    assert (before == after).all()
    wild.scenes_MN[used - 2 :] = 7.0
    assert (method.tuned(wild).judge(victim, wild) != before).any()


def test_learned_weights_come_from_no_more_shadows_than_asked_for() -> None:
    read, (answers, _) = leaking().read(LearnedCalibration().reading), WORLD.victim()
    victim, method = Signals(features(answers.statistics), read.population_MZ[0]), LearnedCalibration(models=2)
    for changed, same in ((slice(4, 16), True), (slice(3, 4), False)):
        values = read.scenes_MN.copy()
        values[changed] = np.random.default_rng(0).normal(size=values[changed].shape)
        wild = Readings(read.ids, values, read.population_MZ, read.members_MN)
        assert (method.judge(victim, wild) == method.judge(victim, read)).all() == same


def test_learned_weights_are_those_of_every_shadow_beside_those_of_other_pairs() -> None:
    """By hand: three pairs, one statistic; each shadow's rows and what they are above the mean of the others' out."""
    plain = readings(6, 40)
    fleet = Readings(plain.ids, plain.scenes_MN[..., None], np.zeros((6, 0, 1)), plain.members_MN)
    rows, classes = [], []
    for model, scene in product(range(6), range(40)):
        out = [o for o in range(6) if o // 2 != model // 2 and not plain.members_MN[o, scene]]
        rows.append([plain.scenes_MN[model, scene], plain.scenes_MN[model, scene] - plain.scenes_MN[out, scene].mean()])
        classes.append(plain.members_MN[model, scene])
    seen = target(40).scenes_N
    beside = [[x, x - np.mean(sides(plain, scene)[1])] for scene, x in enumerate(seen)]
    expected = weigh(np.array(rows), np.array(classes), 0.1).apply(np.array(beside))
    found = LearnedCalibration().judge(Signals(seen[:, None], np.zeros((0, 1))), fleet)
    assert found == pytest.approx(expected, rel=1e-4)


NO_POPULATION = r"scenes that nobody trained on, and there are none. Give \[split\] a pool"


def test_without_a_population_a_fleet_attack_that_needs_one_is_refused() -> None:
    with pytest.raises(MiaSegError, match=NO_POPULATION):
        RMIA().fit_fleet(World(LEAK, 20).fleet(4))
    attacker = RMIA().fit_fleet(World(LEAK, 20, 30).fleet(4))
    with pytest.raises(MiaSegError, match="asked about no population"):
        attacker.score(World(LEAK, 20).victim()[0], 0)


@pytest.mark.parametrize("method", WITHOUT_SHADOWS, ids=title)
def test_without_a_population_nothing_can_be_compared_with_it(method: PopulationAttack) -> None:
    assert method.needs_population
    with pytest.raises(MiaSegError, match=NO_POPULATION):
        method.signal(World(LEAK, 20).victim()[0])


def test_a_population_too_small_for_its_regression_is_refused() -> None:
    with pytest.raises(MiaSegError, match=r"fits 8 numbers to 8 scenes of the population.*larger pool"):
        QuantileRegression().signal(World(LEAK, 20, 8).victim()[0])


def test_other_scenes_than_the_fleet_s_are_refused() -> None:
    answers = WORLD.victim()[0]
    with pytest.raises(MiaSegError, match="answered 400 scenes and the target 399 others or in another order"):
        fitted(Calibration()).score(answers.take(answers.ids[1:]), 0)


def test_a_is_the_best_in_rehearsals_alone() -> None:
    read = leaking().read(RMIA(mode="offline").reading)
    rehearsed = {}
    for a in np.arange(11) / 10:
        scores = RMIA(mode="offline", a=a).rehearse(read)
        rehearsed[a] = np.mean([auc(s, m) for s, m in zip(scores, read.members_MN, strict=True)])
    tuned = fitted(RMIA(mode="offline")).settings
    assert isinstance(tuned, RMIA)
    assert tuned.a == pytest.approx(max(rehearsed, key=lambda a: rehearsed[a]))
    assert fitted(RMIA(mode="offline", a=0.2)).settings == RMIA(mode="offline", a=0.2)


def test_auto_variance_is_settled_by_the_whole_fleet() -> None:
    """Rehearsals have two shadows less; they must not be judged by another rule than the victim."""
    for shadows, variance in ((62, "fixed"), (64, "scene")):
        tuned = LiRA().tuned(readings(shadows))
        assert tuned.variance == variance
    assert LiRA(models=32).tuned(readings(64)).variance == "fixed"


def test_a_one_sided_test_of_a_vector_is_refused() -> None:
    with pytest.raises(ValueError, match="statistic = 'vector' has more; take 'offline_pdf'"):
        LiRA(mode="offline_cdf", statistic="vector")


def test_the_geometric_mean_does_not_underflow() -> None:
    """Pixels by the ten thousand: their product is 0 for every scene, their geometric mean is not."""
    answers = WORLD.victim()[0]
    total = answers.statistics.loss_NK.sum(1)
    assert (np.exp(-total) == 0).mean() > 0.5
    assert (RMIA().signal(answers.statistics) > 1e-6).all()


@pytest.mark.parametrize("shift", [-2.0, 2.0])
def test_scores_follow_the_sign_of_the_leak(shift: float) -> None:
    """A model that is less sure of its members is no leak turned round: the attack says what it was told to say."""
    world = World(Leak(shift), 200, 50)
    answers, members = world.victim()
    attacker = Calibration().fit_fleet(world.fleet(8))
    assert (auc(attacker.score(answers, 0).image_N, members) > 0.5) == (shift > 0)
