"""Recipes: each that comes along is sound and says how to run it; a wrong one is answered with file, key and fix."""

import re
import shutil
from pathlib import Path
from typing import get_args

import pytest
from helpers_files import HEAD, MODEL, RANDOM, STREETS, edit, shadow_text, victim_text, write
from pydantic import ValidationError

from mia_seg import recipes
from mia_seg.data import Dataset, Scene
from mia_seg.errors import MiaSegError
from mia_seg.recipes import Kind, ShadowRecipe, Train, VictimRecipe, Window
from mia_seg.recipes.adversaries import A1, A2, Fleet
from mia_seg.stages import checks

ROOT = Path(__file__).parents[1]
KINDS: tuple[Kind, ...] = get_args(Kind)
SHIPPED = [(kind, path.stem) for kind in KINDS for path in sorted((ROOT / f"{kind}s").glob("*.toml"))]
SHADOWS = [name for kind, name in SHIPPED if kind == "shadow"]


class Anything(Dataset):
    """Enough scenes for any recipe's split, in drives of a hundred."""

    def classes(self) -> tuple[str, ...]:
        return ("any",)

    def ids(self, data_root: Path | None) -> list[str]:
        return [f"{drive:03d}_{k:05d}" for drive in range(130) for k in range(100)]

    def scene(self, data_root: Path | None, scene_id: str) -> Scene:
        raise AssertionError("a split needs no images")

    def group(self, scene_id: str) -> str:
        return scene_id[:3]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory without recipes, so that those that come along are the ones found."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def victim(elsewhere: Path) -> Path:
    """The file of a sound recipe `tiny`."""
    return write(elsewhere / "victims" / "tiny.toml", victim_text())


def refusal(kind: Kind = "victim", name: str = "tiny") -> str:
    with pytest.raises(MiaSegError) as refused:
        checks.recipe_of(kind, name)
    return str(refused.value)


@pytest.mark.parametrize(("kind", "name"), SHIPPED)
def test_what_comes_along_is_sound(kind: Kind, name: str) -> None:
    settings = checks.recipe_of(kind, name)
    single = isinstance(settings, ShadowRecipe) and isinstance(settings.adversary, A1)
    chosen = settings.adversary.members if single else None
    trained = settings.split.members if chosen is None else chosen
    assert isinstance(trained, str) or trained >= settings.train.batch
    assert len(settings.dataset().classes()) > 1


@pytest.mark.parametrize(("kind", "name"), SHIPPED)
def test_its_head_says_how_to_run_it_and_where_it_is_from(kind: Kind, name: str) -> None:
    lines = recipes.find(kind, name).read_text("utf-8").splitlines()
    head = lines[: next(i for i, line in enumerate(lines) if not line.startswith("#"))]
    assert re.match(r"# \w.*\.$", head[0]), f"{kind} {name}: the first line is what 'mia-seg list' shows."
    for title in ("Run", "Expect", "Source"):
        assert any(re.match(rf"# {title}: +\S", line) for line in head), f"{kind} {name}: its head has no '# {title}:'."
    command = next(line for line in head if line.startswith("# Run:")).split("mia-seg ")[1].split()
    assert command[0] in ("audit", "demo", "run", "train-generator", "train-victim")
    if command[0] == "audit":
        assert command[1] == name
    if command[0] == "train-victim":
        assert command[1] == name, "what only lends its weights is no victim of an audit"
        assert any(recipes.load(k, n).train.start == name for k, n in SHIPPED)
    if command[0] == "run":
        assert command[1] in recipes.names("victim")
        assert recipes.find("shadow", command[2])
        assert command[KINDS.index(kind) + 1] == name or kind == "victim"


@pytest.mark.parametrize("name", SHADOWS)
def test_an_a1_shadow_owns_a_pool_that_its_victim_never_sees(name: str) -> None:
    shadow = recipes.load_shadow(name)
    if not isinstance(shadow.adversary, A2):
        victim = recipes.load_victim(shadow.adversary.victim)
        assert shadow.data == victim.data
        assert shadow.split == victim.split
        assert shadow.segmenter == victim.segmenter
        for seed in range(4):
            # Published parts are known by their names, which made-up scenes do not have.
            splits = (settings.split.model_copy(update={"sha256": {}, "of": None}) for settings in (shadow, victim))
            own, theirs = (split.cut(Anything(), None, seed) for split in splits)
            chosen = getattr(shadow.adversary, "members", 0)
            assert isinstance(chosen, str) or len(own.pool) > chosen
            assert not {own.group[i] for i in own.pool} & {theirs.group[i] for i in theirs.members + theirs.nonmembers}


def test_every_victim_has_a_fleet_whose_models_train_as_it_does(victim: Path) -> None:
    found, own = recipes.load_shadow("tiny_fleet"), recipes.load_victim("tiny")
    assert found.adversary == Fleet(kind="A1", victim="tiny", choose="halves", models=16, stride=4)
    assert found.shaping() == own.shaping()
    assert (found.data, found.split) == (own.data, own.split)
    assert recipes.find("shadow", "tiny_fleet") == victim
    file = victim.parents[1] / "shadows" / "tiny_fleet.toml"
    shadow = 'variant_of = "tiny"\n[adversary]\nkind = "A1"\nvictim = "tiny"\nchoose = "halves"\nmodels = 4\n'
    write(file, shadow)
    assert recipes.load_shadow("tiny_fleet").adversary.models == 4, "a file of its own goes first"
    with pytest.raises(MiaSegError, match="No shadow recipe is called 'nobody_fleet'"):
        recipes.load_shadow("nobody_fleet")


def test_the_working_directory_goes_first(victim: Path) -> None:
    shipped = next(name for kind, name in SHIPPED if kind == "victim")
    assert recipes.find("victim", shipped) == ROOT / "victims" / f"{shipped}.toml"
    own = Path(shutil.copy(victim, victim.with_name(f"{shipped}.toml")))
    assert recipes.find("victim", shipped) == own
    assert recipes.load_victim(shipped) == recipes.load_victim("tiny")
    assert recipes.names("victim") == sorted({name for kind, name in SHIPPED if kind == "victim"} | {"tiny"})
    assert "tiny" not in recipes.names("shadow")


def test_a_misspelt_name_is_answered_with_the_nearest(victim: Path) -> None:
    assert refusal(name="tinny").startswith("No victim recipe is called 'tinny'. Did you mean 'tiny'? There are: ")
    assert refusal("shadow", "demo").startswith("No shadow recipe is called 'demo'. Did you mean 'demo_a1'?")
    assert refusal("shadow", "demo").endswith(" Victim 'demo' has a fleet too: 'demo_fleet'.")
    assert "Did you mean 'protect_selena_fleet'?" in refusal("shadow", "protect_selena_flet")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        # misspelt keys and sections, at every depth
        (
            "epochs = 1",
            "epoch = 1",
            "unknown key 'train.epoch'. Did you mean 'epochs'? There are: epochs, steps,",
        ),
        (
            "[train]",
            "[trian]",
            "unknown key 'trian'. Did you mean 'train'? There are: variant_of, data, split, segmenter, train,",
        ),
        ("pool = 12", "pol = 12", "unknown key 'split.pol'. Did you mean 'pool'? There are: rule, members,"),
        ("size = ", "sise = ", "[data]: unknown key 'sise'. Did you mean 'size'? There are: size, style, count, seed."),
        (
            "backbone =",
            "backbon =",
            "[segmenter]: unknown key 'backbon'. Did you mean 'backbone'? There are: norm,",
        ),
        ("[train]", "[window]\nsise = [3, 3]\n[train]", "unknown key 'window.sise'. Did you mean 'size'?"),
        ("[train]", "[fruit]\n[train]", "unknown key 'fruit'. There are: variant_of, data,"),
        # misspelt components
        ('"streets"', '"street"', "[data]: no dataset is called 'street'. Did you mean 'streets'? There are: ade20k,"),
        ('"pspnet"', '"pspnets"', "[segmenter]: no segmenter is called 'pspnets'. Did you mean 'pspnet'?"),
        ('name = "streets"', "", "[data]: the key 'name' is missing. There are: ade20k,"),
        # wrong values
        ("epochs = 1", "epochs = 0", "'train.epochs' = 0: Input should be greater than or equal to 1."),
        ("epochs = 1", 'epochs = "many"', "'train.epochs' = 'many': Input should be a valid integer"),
        ("epochs = 1", "epochs = 1\nsteps = 3", "[train]: give epochs or steps, one of the two."),
        ("epochs = 1\n", "", "[train]: give epochs or steps, one of the two."),
        ("batch = 3", "batch = 9\naccumulate = 2", "[train]: batch = 9 is not accumulate = 2 parts of two scenes or"),
        ("batch = 3", "batch = 3\naccumulate = 3", "[train]: batch = 3 is not accumulate = 3 parts of two scenes or"),
        ("lr = 0.01", "lr = -0.01", "'train.lr' = -0.01: Input should be greater than 0."),
        ("batch = 3", "batch = 1", "'train.batch' = 1: Input should be greater than or equal to 2."),
        ("crop = [32, 48]", "crop = [32]", "the key 'train.crop' is too short."),
        ("crop = [32, 48]", "crop = [0, 48]", "'train.crop.0' = 0: Input should be greater than or equal to 1."),
        (
            "crop = [32, 48]",
            "crop = [32, 48]\nscale = [0, 1]",
            "'train.scale.0' = 0: Input should be greater than or equal to 0.01.",
        ),
        ("nonmembers = 6", "nonmembers = 6.5", "'split.nonmembers' = 6.5: Input should be a valid integer"),
        ("nonmembers = 6", "nonmembers = 0", "[split]: nonmembers = 0 is an empty split; give at least 1."),
        (
            '"random"',
            '"radnom"',
            "'split.rule' = 'radnom': Input should be 'random', 'coin', 'blocks', 'groups', 'order', 'lists' or",
        ),
        ("size = [32, 48]", "size = [8, 48]", "[data]: 'size.0' = 8: Input should be greater than or equal to 32."),
        ('"resnet18"', '"resnet19"', "[segmenter]: 'backbone' = 'resnet19': Input should be 'resnet18',"),
        # what is missing
        ("lr = 0.01\n", "", "the key 'train.lr' is missing."),
        (MODEL, "", "the key 'segmenter' is missing."),
        (STREETS, "data = 3\n", "'data' = 3: Input should be a valid dictionary."),
    ],
)
def test_a_wrong_recipe_names_file_section_and_key(victim: Path, old: str, new: str, says: str) -> None:
    edit(victim, old, new)
    assert refusal().startswith(f"{victim}: {says}")


@pytest.mark.parametrize("content", [b"[train\n", b"a = 1\na = 2\n"])
def test_what_is_not_toml_is_said_so(victim: Path, content: bytes) -> None:
    victim.write_bytes(content)
    assert refusal().startswith(f"{victim} is not valid TOML: ")


def test_an_empty_file_lacks_its_first_section(victim: Path) -> None:
    victim.write_text("")
    assert refusal() == f"{victim}: the key 'data' is missing. Add it."


def test_the_adversary_belongs_to_shadows_alone(elsewhere: Path, victim: Path) -> None:
    shadow = write(elsewhere / "shadows" / "tiny_a1.toml", victim_text())
    assert refusal("shadow", "tiny_a1") == f"{shadow}: a shadow needs a section [adversary]."
    victim.write_text(shadow_text())
    assert refusal() == f"{victim}: a victim must not have a section [adversary]."


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("generators", "names the folder of generators' scores in reports"),
        ("screen", "stands in results for a look at a victim without a shadow"),
    ],
)
def test_a_recipe_is_not_called_as_something_else_in_reports_is(elsewhere: Path, name: str, says: str) -> None:
    path = write(elsewhere / "shadows" / f"{name}.toml", shadow_text())
    assert refusal("shadow", name) == f"{path}: '{name}' {says}. Rename the recipe."


def test_a_door_may_be_asked_by_windows_and_takes_nothing_of_a_training(elsewhere: Path) -> None:
    text = f"{HEAD}{STREETS}{RANDOM}[door]\nname = 'callable'\ntarget = 'own:predict'\nanswers = 'logits'\n"
    path = write(elsewhere / "victims" / "mine.toml", text)
    assert checks.victim_of("mine").window is None
    assert "has no fleet yet. 'mia-seg audit mine --shadows 12" in refusal("shadow", "mine_fleet")
    path.write_text(f"{text}[window]\nsize = [16, 16]\n", encoding="utf-8")
    assert checks.victim_of("mine").window == Window(size=(16, 16))
    path.write_text(f"{text}[window]\nsize = [16, 16]\nmirror = true\n", encoding="utf-8")
    assert "[window] mirror adds logits inside a network" in refusal("victim", "mine")
    held = text.replace("'callable'\ntarget = 'own:predict'", "'folder'\npath = 'answers'")
    path.write_text(f"{held}[window]\nsize = [16, 16]\n", encoding="utf-8")
    assert "door 'folder' holds answers to whole ones" in refusal("victim", "mine")
    path.write_text(text + MODEL, encoding="utf-8")
    assert refusal("victim", "mine") == f"{path}: a victim with [door] exists already: leave out [segmenter]."


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('kind = "A1"', 'kind = "A9"', "'adversary.kind' = 'A9': Input should be"),
        ("choose =", "chose =", "unknown key 'adversary.chose'. Did you mean 'choose'? There are: kind, victim,"),
        ("[attacks.patch_resnet50]", "[attacks.patch_resnet5]", "[attacks.patch_resnet5]: no attack is called"),
        (
            'victim = "tiny"\n',
            "",
            "[adversary]: adversary A1 queries a victim to choose its shadow's members: give ",
        ),
        (
            'kind = "A1"',
            'kind = "A2"',
            "[adversary]: adversary A2 asks no victim and chooses no members: leave out",
        ),
        ('"confidence"', '"halves"', "[adversary]: members does not go with choose = 'halves': give models instead."),
        ("members = 6\nstride", "models = 4\nstride", "[adversary]: models does not go with choose = 'confidence': "),
        ('"confidence"\nmembers = 6', '"halves"', "[adversary]: adversary A1 queries a victim to choose its shadow's"),
        (
            '"confidence"\nmembers = 6',
            '"halves"\nmodels = 5',
            "'adversary.models' = 5: Input should be a multiple of 2",
        ),
        ('"confidence"\nmembers = 6', '"halves"\nmodels = 2', "'adversary.models' = 2: Input should be greater"),
        ("members = 6\nstride", 'members = "a.txt"\nstride', "[adversary]: members must be a file where choose = "),
        (
            '"confidence"',
            '"listed"',
            "[adversary]: members must be a file where choose = 'listed'",
        ),
        ("patches = 2", "patchs = 2", "[attacks.patch_resnet50]: unknown key 'patchs'. Did you mean 'patches'?"),
        ("patches = 2", "patches = 0", "[attacks.patch_resnet50]: 'patches' = 0: Input should be"),
    ],
)
def test_a_wrong_shadow_is_refused_too(elsewhere: Path, old: str, new: str, says: str) -> None:
    path = write(elsewhere / "shadows" / "tiny_a1.toml", shadow_text())
    edit(path, old, new)
    assert refusal("shadow", "tiny_a1").startswith(f"{path}: {says}")


def loaded(path: Path, text: str) -> VictimRecipe:
    write(path, text)
    return recipes.load_victim(path.stem)


SECTIONS = [name for name in VictimRecipe.model_fields if name not in ("data", "split")]


def test_inputs_are_what_is_not_at_its_default(victim: Path) -> None:
    """Known answers: with others, every trained model would be trained again."""
    settings = recipes.load_victim("tiny")
    assert settings.inputs("segmenter", "train", "window", "generator") == {
        "segmenter": {"name": "pspnet", "backbone": "resnet18"},
        "train": {"epochs": 1, "batch": 3, "lr": 0.01, "crop": [32, 48]},
        "window": {},
        "generator": {"name": "dfgan"},
    }


def test_inputs_do_not_hear_how_a_recipe_is_written(victim: Path) -> None:
    before = recipes.load_victim("tiny").inputs(*SECTIONS)
    spaced = victim_text().replace(" = ", "=").replace(HEAD.format(victim="tiny"), "# Another head.\n\n")
    turned = MODEL + STREETS + RANDOM + "gap = 0\nblock = 1\n"
    explicit = victim_text() + 'momentum = 0.9\nflip = true\nprecision = "32-true"\nscale = [1, 1]\n'
    spelt = victim_text().replace('"resnet18"\n', '"resnet18"\ndropout = 0.1\npretrained = false\n')
    for text in (spaced, turned, explicit, spelt, victim_text() + '[generator]\nname = "dfgan"\nlatent = 8\n'):
        assert loaded(victim, text).inputs(*SECTIONS) == before


def test_a_new_key_with_a_default_changes_no_inputs(victim: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Later(Train):
        warmup: int = 0

    class LaterRecipe(VictimRecipe):
        train: Later
        colour: str = "red"

    before = recipes.load_victim("tiny").inputs(*SECTIONS)
    monkeypatch.setattr(recipes, "VictimRecipe", LaterRecipe)
    assert recipes.load_victim("tiny").inputs(*SECTIONS) == before


@pytest.mark.parametrize(
    ("section", "old", "new"),
    [
        ("segmenter", '"resnet18"', '"resnet50"'),
        ("train", "lr = 0.01", "lr = 0.02"),
        ("train", "epochs = 1", "epochs = 1\nflip = false"),
        ("train", "epochs = 1", "steps = 9"),
        ("train", "epochs = 1", "epochs = 1\nfill = [1, 2, 3]"),
        ("train", "epochs = 1", 'epochs = 1\nstart = "demo"'),
        ("window", "[train]", "[window]\nsize = [32, 32]\n[train]"),
        ("generator", "[train]", '[generator]\nname = "bicyclegan"\n[train]'),
        ("train_generator", "[train]", "[train_generator]\nepochs = 7\n[train]"),
    ],
)
def test_inputs_change_where_and_only_where_a_section_does(victim: Path, section: str, old: str, new: str) -> None:
    before = recipes.load_victim("tiny").inputs(*SECTIONS)
    edit(victim, old, new)
    after = recipes.load_victim("tiny").inputs(*SECTIONS)
    assert {name for name in SECTIONS if before[name] != after[name]} == {section}


def test_a_recipe_cannot_be_changed_after_it_was_read(victim: Path) -> None:
    settings = recipes.load_victim("tiny")
    with pytest.raises(ValidationError, match="frozen"):
        settings.train.lr = 1.0


def test_a_generator_is_described_beside_its_segmenter(victim: Path) -> None:
    edit(victim, "[segmenter]\n", '[generator]\nname = "bicyclegan"\n[train_generator]\nepochs = 7\n[segmenter]\n')
    assert checks.victim_of("tiny").generator == {"name": "bicyclegan"}
    edit(victim, '"bicyclegan"', '"bicycle"')
    assert refusal() == (
        f"{victim}: [generator]: no generator is called 'bicycle'. Did you mean 'bicyclegan'? "
        "There are: bicyclegan, dfgan, stochastic."
    )
    edit(victim, 'name = "bicycle"', 'name = "dfgan"\nwide = 3')
    assert "[generator]: unknown key 'wide'. Did you mean 'width'?" in refusal()
    edit(victim, "wide = 3\n", "")
    edit(victim, "epochs = 7", "batch = 3")
    assert "'train_generator.batch' = 3: Input should be a multiple of 2" in refusal()
    edit(victim, "batch = 3\n[segm", "neighbours = 0.1\n[segm")
    assert "[train_generator]: neighbours is for objective = 'regression' alone" in refusal()
    edit(victim, "neighbours = 0.1\n", "objective = 'regression'\nneighbours = 0.1\n")
    assert checks.victim_of("tiny").inputs("train_generator")["train_generator"] == {
        "objective": "regression", "neighbours": 0.1
    }  # fmt: skip


# Variants of a victim.


def test_a_variant_takes_from_its_victim_what_it_does_not_give(victim: Path, elsewhere: Path) -> None:
    base = recipes.load_trained("tiny")
    text = 'variant_of = "tiny"\n[objective]\nname = "supervised"\n[train]\nlr = 0.5\n'
    write(elsewhere / "victims" / "other.toml", text)
    found = recipes.load_trained("other")
    assert found.train == base.train.model_copy(update={"lr": 0.5})
    assert (found.data, found.split, found.segmenter) == (base.data, base.split, base.segmenter)
    same = recipes.load_trained("tiny").model_copy(update={"train": found.train})
    assert found.shaping() == same.shaping()


def test_a_shadow_may_train_as_a_variants_victim_does(victim: Path, elsewhere: Path) -> None:
    write(elsewhere / "victims" / "other.toml", 'variant_of = "tiny"\n[train]\nlr = 0.5\n')
    text = 'variant_of = "other"\n[adversary]\nkind = "A1"\nvictim = "other"\nchoose = "halves"\nmodels = 4\n'
    write(elsewhere / "shadows" / "fleet.toml", text)
    shadow, other = checks.shadow_of("fleet"), recipes.load_trained("other")
    assert shadow.shaping() == other.shaping()
    assert (shadow.data, shadow.split) == (other.data, other.split)


def test_a_section_of_another_name_takes_nothing_and_steps_replace_epochs(victim: Path, elsewhere: Path) -> None:
    text = 'variant_of = "tiny"\n[segmenter]\nname = "upernet"\n[train]\nsteps = 5\n'
    write(elsewhere / "victims" / "other.toml", text)
    found = recipes.load_trained("other")
    assert found.segmenter == {"name": "upernet"}
    assert (found.train.epochs, found.train.steps) == (None, 5)


@pytest.mark.parametrize(("base", "own"), [("noise", "epsilon"), ("epsilon", "noise")])
def test_noise_and_epsilon_replace_each_other(victim: Path, elsewhere: Path, base: str, own: str) -> None:
    private = f'variant_of = "tiny"\n[update]\nname = "dp_sgd"\nclip = 0.5\n{base} = 2.0\n'
    write(elsewhere / "victims" / "private.toml", private)
    write(elsewhere / "victims" / "other.toml", f'variant_of = "private"\n[update]\n{own} = 8.0\n')
    assert recipes.load_trained("other").shaping()["update"].items() >= {"clip": 0.5, own: 8.0}.items()


@pytest.mark.parametrize(
    ("base", "says"),
    [
        ('"absent"', "other.toml: variant_of = 'absent': No victim recipe is called 'absent'"),
        ('"other"', "variant_of goes round in a circle: other -> other. Break it."),
        ("3", "variant_of is no name of a victim recipe. Write variant_of = 'NAME'."),
        ('"no/name"', "is no name of a recipe"),
    ],
)
def test_a_variant_of_nothing_sound_is_refused(victim: Path, elsewhere: Path, base: str, says: str) -> None:
    write(elsewhere / "victims" / "other.toml", f"variant_of = {base}\n")
    assert says in refusal(name="other")
