"""Old names of modules, and of what is in them: the same objects, and one warning that names both."""

import importlib.util
import pickle
import pkgutil
import sys
import warnings
from importlib import import_module
from pathlib import Path

import pytest

import halluc_plugin.old_names
import verl_ext.old_names
from halluc_plugin import moved

MODULES = {**halluc_plugin.old_names.MODULES, **verl_ext.old_names.MODULES}
NAMES = {**halluc_plugin.old_names.NAMES, **verl_ext.old_names.NAMES}
# Every public module of before modules moved, and behind each that has moved what was in it.
BEFORE = [line.split() for line in Path(__file__).with_name("names-0.1.txt").read_text().splitlines()]


def owner(name):
    """The module of an object's dotted name."""
    return name.rpartition(".")[0]


def look_up(name):
    """An object by its dotted name."""
    module, _, attribute = name.rpartition(".")
    return getattr(import_module(module), attribute)


@pytest.fixture
def afresh(monkeypatch):
    """Imports a module as if it had not been imported before; returns it and the warnings of ours."""

    def load(name):
        monkeypatch.delitem(sys.modules, name, raising=False)
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            module = import_module(name)
        return module, ours(told)

    return load


def forget(module, name, monkeypatch):
    """As if nobody had asked the module for it."""
    monkeypatch.delitem(vars(module), name, raising=False)


def ours(told):
    """What was said of names that have changed."""
    return [warning for warning in told if "the old name goes in halluc" in str(warning.message)]


@pytest.mark.parametrize(("old", "new"), MODULES.items())
def test_an_old_module_is_the_new_one(old, new, afresh):
    """It is imported with one warning that names both, and holds the very same objects."""
    there = import_module(new)
    module, (told,) = afresh(old)
    assert told.category is FutureWarning
    assert f"{old} is now {new}" in str(told.message)
    assert module.__doc__ == there.__doc__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name, value in vars(there).items():
            if not name.startswith("_") and f"{old}.{name}" not in NAMES:
                assert getattr(module, name) is value


@pytest.mark.parametrize(("old", "new"), NAMES.items())
def test_an_old_name_is_the_new_object(old, new, afresh, monkeypatch):
    """Wherever it is now, whether its old module is there or not, and both names are told once."""
    if owner(old) in MODULES:
        module, told = afresh(owner(old))
        assert f"its {old.rpartition('.')[2]} {new}" in str(told[0].message)
    else:
        module, told = import_module(owner(old)), []
        forget(module, old.rpartition(".")[2], monkeypatch)
    with warnings.catch_warnings(record=True) as more:
        warnings.simplefilter("always")
        found = getattr(module, old.rpartition(".")[2])
    assert found is look_up(new)
    (only,) = [*told, *ours(more)]
    assert old in str(only.message) or owner(old) in MODULES
    assert new in str(only.message)


def test_the_caller_is_told_where_and_once(monkeypatch):
    """A warning points at the line that has the old name; the next such line is silent."""
    forget(import_module("halluc_plugin.settings"), "Context", monkeypatch)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        from halluc_plugin.settings import Context
        from halluc_plugin.settings import Context as Again
    assert Again is Context
    (told,) = ours(told)
    assert told.filename == __file__


@pytest.mark.filterwarnings("ignore:.*the old name goes in halluc:FutureWarning")
@pytest.mark.parametrize(("module", "names"), [(module, names) for module, *names in BEFORE])
def test_nothing_is_forgotten(module, names):
    """What could be imported before modules moved can be imported, or is known by its old name."""
    assert importlib.util.find_spec(module) is not None
    for name in names:
        assert hasattr(import_module(module), name)


def test_an_old_pickle_is_read(monkeypatch):
    """Pickles name modules; those of before find them."""
    monkeypatch.delitem(sys.modules, "halluc_plugin.search.problems", raising=False)
    with pytest.warns(FutureWarning, match="search.problems is now"):
        found = pickle.loads(b"challuc_plugin.search.problems\nProblem\n.")
    assert found is look_up("halluc_plugin.sampling.problems.PosedProblem")


def test_names_of_no_module_stay_unknown():
    """A module that leads on says no more than it knows."""
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        pkgutil.resolve_name("halluc_plugin.metrics:Nothing")
    with pytest.raises(AttributeError, match="Nothing"):
        pkgutil.resolve_name("halluc_plugin.decoding:Nothing")  # which looks names up itself, too
    with pytest.raises(ModuleNotFoundError):
        import_module("halluc_plugin.search.nothing")


def test_installing_again_changes_nothing():
    """A second import of a package of ours adds no second finder."""
    before = list(sys.meta_path)
    moved.install(halluc_plugin.old_names.MODULES, halluc_plugin.old_names.NAMES)
    assert sys.meta_path == before
