"""Running our code after a host module has been imported."""

import importlib
import sys
import textwrap

import pytest

from verl_ext.hooks import _HookFinder, after_import


@pytest.fixture
def modules(tmp_path, monkeypatch):
    """Writes throw-away modules; finders and modules are put back afterwards."""
    monkeypatch.syspath_prepend(tmp_path)
    before, finders = set(sys.modules), sys.meta_path[:]
    monkeypatch.setattr(sys, "meta_path", [f for f in finders if not isinstance(f, _HookFinder)])

    def write(**sources):
        for name, source in sources.items():
            (tmp_path / f"{name}.py").write_text(textwrap.dedent(source))
        importlib.invalidate_caches()

    yield write
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_runs_after_the_host_and_not_before(modules):
    """The target sees a host module that is complete."""
    modules(host_a="value = 1", ours_a="import host_a; seen = host_a.value")
    after_import("host_a", "ours_a")
    assert "ours_a" not in sys.modules
    importlib.import_module("host_a")
    assert sys.modules["ours_a"].seen == 1


def test_runs_at_once_when_the_host_is_there(modules):
    """A module that is already imported is not waited for, and a function gets it."""
    modules(host_b="value = 1", ours_b="seen = []\ndef look(host): seen.append(host.value)")
    importlib.import_module("host_b")
    after_import("host_b", "ours_b:look")
    assert sys.modules["ours_b"].seen == [1]


def test_waits_for_a_host_that_is_being_imported(modules):
    """Asked for in the middle of the host's import, the target runs when nothing is missing."""
    modules(
        host_c="import ours_c_asks; late = 2",
        ours_c_asks="from verl_ext.hooks import after_import; after_import('host_c', 'ours_c')",
        ours_c="import host_c; seen = getattr(host_c, 'late', None)",
    )
    importlib.import_module("host_c")
    assert "ours_c" not in sys.modules  # its own import had begun before we could see it
    importlib.reload(sys.modules["host_c"])
    assert sys.modules["ours_c"].seen == 2


def test_each_target_runs_once(modules):
    """Registering twice, as two imports of the plugin would, runs the target once."""
    modules(host_d="", ours_d="runs = []\ndef run(_): runs.append(1)")
    for _ in range(2):
        after_import("host_d", "ours_d:run")
    importlib.import_module("host_d")
    assert sys.modules["ours_d"].runs == [1]


def test_an_error_of_ours_is_not_swallowed(modules):
    """What fails in the target fails the host's import, where it is seen."""
    modules(host_e="", ours_e="raise RuntimeError('ours')")
    after_import("host_e", "ours_e")
    with pytest.raises(RuntimeError, match="ours"):
        importlib.import_module("host_e")


def test_tools_meet_the_real_loader(modules):
    """The module's loader is the host's own, so that sources and resources are found."""
    import inspect

    modules(host_f="value = 1", ours_f="")
    after_import("host_f", "ours_f")
    module = importlib.import_module("host_f")
    assert type(module.__loader__).__name__ == type(module.__spec__.loader).__name__ == "SourceFileLoader"
    assert inspect.getsource(module).strip() == "value = 1"


def test_other_modules_are_left_alone(modules):
    """Nothing but the awaited module is wrapped."""
    modules(host_g="", other_g="", ours_g="")
    after_import("host_g", "ours_g")
    assert type(importlib.import_module("other_g").__spec__.loader).__name__ == "SourceFileLoader"
    assert "ours_g" not in sys.modules
