"""Reward components by name: a module each, settings of their own, installed packages."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from halluc_plugin.edits import EditVocab, resolve_row
from halluc_plugin.errors import SettingsError
from halluc_plugin.rewards import COMPONENTS, Answer, RewardSettings, Verdict, component, observe, score
from halluc_plugin.rewards import components as all_components
from halluc_plugin.rewards.components import __path__ as folder
from halluc_plugin.rewards.registry import broken_components
from halluc_plugin.settings import load
from halluc_plugin.verifiers import Outcome


@pytest.fixture(autouse=True)
def restored_components():
    """The registry as it was, and what is installed looked for anew."""
    before = dict(COMPONENTS)
    broken_components.cache_clear()
    yield
    COMPONENTS.clear()
    COMPONENTS.update(before)
    broken_components.cache_clear()


def answer(ids):
    """A right answer of some text ids."""
    trace = observe(resolve_row(ids, EditVocab(backtrack=9)), 0, str)
    verdict = Verdict.of(Outcome.CORRECT)
    return Answer(trace, verdict, verdict, event_values=None, steps=None)


def installed(tmp_path, monkeypatch, entry, **modules):
    """A package with one entry point and some modules."""
    info = tmp_path / "theirs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[halluc.rewards]\n{entry}\n")
    for name, source in modules.items():
        (tmp_path / f"{name}.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)


def test_each_module_of_the_folder_is_a_component():
    """A file is named as the component that it registers, and nothing else has to be told of it."""
    files = {path.stem for path in Path(next(iter(folder))).glob("*.py")} - {"__init__"}
    assert files == {name for name, made in COMPONENTS.items() if made.function.__module__.startswith("hal")}
    assert {COMPONENTS[name].function.__module__.rpartition(".")[2] for name in files} == files


def test_settings_of_a_components_own():
    """They are read strictly, have defaults, and reach the component."""

    @dataclass(frozen=True)
    class Shortness:
        scale: float = 10.0

    @component("shortness", settings=Shortness)
    def shortness(judged, settings):
        return -judged.trace.raw_length / settings.scale

    assert score(answer([1, 2]), RewardSettings())[1]["shortness"] == -0.2
    settings = load({"reward": {"parameters": {"shortness": {"scale": 4}}}}).reward
    assert settings.parameters == {"shortness": Shortness(4.0)}
    assert score(answer([1, 2]), settings)[1]["shortness"] == -0.5


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"shortness": {"scal": 1.0}}, "Unknown setting halluc.reward.parameters.shortness.scal"),
        ({"shortness": {"scale": "x"}}, "halluc.reward.parameters.shortness.scale is 'x', not a number"),
        ({"shortnes": {}}, "Did you mean shortness?"),
        ({"shortness": 1.0}, "halluc.reward.parameters.shortness is 1.0, not a group"),
        ([], "halluc.reward.parameters is [], not a mapping"),
    ],
)
def test_refuses_wrong_settings_of_a_component(parameters, named):
    """What the component does not declare is refused as any other setting is."""

    @dataclass(frozen=True)
    class Shortness:
        scale: float = 10.0

    component("shortness", settings=Shortness)(lambda *_: 0.0)
    with pytest.raises(SettingsError) as caught:
        load({"reward": {"parameters": parameters}})
    assert named in str(caught.value)


def test_settings_of_a_component_without_any_are_refused():
    """With the names of those that have some, if any has."""
    with pytest.raises(SettingsError, match=r"parameters\.outcome.*knows: length_cost"):
        load({"reward": {"parameters": {"outcome": {}}}})
    del COMPONENTS["length_cost"]
    with pytest.raises(SettingsError, match="Nothing has settings under"):
        load({"reward": {"parameters": {"outcome": {}}}})
    with pytest.raises(SettingsError, match=r"parameters\.outcome is 1"):
        RewardSettings(parameters={"outcome": 1})


def test_a_component_of_an_installed_package(tmp_path, monkeypatch):
    """Its entry point is enough: it is reported, and can be paid."""
    source = "from halluc_plugin.rewards import component\ncomponent('theirs')(lambda answer, _: 0.25)\n"
    installed(tmp_path, monkeypatch, "theirs = their_component", their_component=source)
    assert "theirs" in all_components()
    settings = load({"reward": {"weights": {"theirs": 2.0}}}).reward
    assert score(answer([1]), settings)[0] == 0.5


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ("theirs = their_absence", "their_absence of the package theirs: ModuleNotFoundError"),
        ("theirs = json", "json of the package theirs registers none of that name"),
    ],
)
def test_a_broken_package_fails_its_own_component_alone(tmp_path, monkeypatch, entry, why):
    """Runs that do not pay it go on; one that does is told which package it is."""
    installed(tmp_path, monkeypatch, entry)
    assert score(answer([1]), load({}).reward)[0] == 1.0
    with pytest.raises(SettingsError, match=f"'theirs' cannot be used .{why}"):
        load({"reward": {"weights": {"theirs": 1.0}}})


def test_a_package_cannot_take_a_name_of_ours(tmp_path, monkeypatch, caplog):
    """It is named in the log, and ours stays."""
    installed(tmp_path, monkeypatch, "outcome = their_absence")
    assert score(answer([1]), load({}).reward)[0] == 1.0
    assert "the package theirs claims the reward component 'outcome'" in caplog.text
