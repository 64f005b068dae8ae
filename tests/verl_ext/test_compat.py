"""What differs between the versions of verl in the window is asked in the version's own way."""

import asyncio
from types import SimpleNamespace

import pytest

from halluc_plugin.errors import HostVersionError
from verl_ext import compat

ASKED = [{"role": "user", "content": "3 5"}]
SAID = [*ASKED, {"role": "assistant", "content": "8"}]


class Loop:
    """An agent loop of verl that notes which of its methods is called."""

    def __init__(self, *missing, builder=None):
        self.continuous_token_builder = builder
        self._missing = missing

    def __getattr__(self, name):
        if name in self._missing or name.startswith("__"):
            raise AttributeError(name)

        async def called(*_arguments):
            return [name] if name in {"apply_chat_template", "ct_build_initial_tokens"} else (name, [], [])

        return called


@pytest.mark.parametrize(
    ("installed", "builder", "method"),
    [
        ("0.9.0", None, "apply_chat_template"),
        ("0.9.0", "one", "ct_build_initial_tokens"),
        ("0.9.1", "one", "ct_build_initial_tokens"),
    ],
)
def test_how_a_prompt_is_made(monkeypatch, installed, builder, method):
    """Verl 0.9.0 applies the chat template itself unless continuous tokens are switched on."""
    monkeypatch.setattr(compat, "version", lambda name: installed)
    assert asyncio.run(compat.initial_ids(Loop(builder=builder), ASKED)) == [method]


@pytest.mark.parametrize(
    ("installed", "method", "missing"),
    [
        ("0.9.0", "ct_merge_non_assistant_msg", "ct_merge_context_msg"),
        ("0.9.1", "ct_merge_context_msg", "ct_merge_non_assistant_msg"),
        ("0.9.2.dev0", "ct_merge_context_msg", "ct_merge_non_assistant_msg"),
    ],
)
def test_how_a_turn_is_merged(monkeypatch, installed, method, missing):
    """The method has another name in verl 0.9.0."""
    monkeypatch.setattr(compat, "version", lambda name: installed)
    assert asyncio.run(compat.merged_turn(Loop(missing, builder="one"), ASKED, SAID, [1])) == method


@pytest.mark.parametrize(
    ("model_type", "configured", "family"),
    [("qwen2", "auto", "qwen"), ("llama", "auto", "auto"), ("qwen3", "glm5", "glm5")],
)
def test_the_builder_that_verl_0_9_0_does_not_make(monkeypatch, model_type, configured, family):
    """A Qwen under any name gets Qwen's builder; what the run says of the family comes first."""
    from verl.utils.tokenizer import continuous_token_wiring as wiring

    asked = {}
    monkeypatch.setattr(compat, "version", lambda name: "0.9.0")
    monkeypatch.setattr(compat, "_model_type", lambda path: model_type)
    monkeypatch.setattr(
        wiring, "create_continuous_token_builder", lambda tok, **kw: asked.update(kw) or "new"
    )
    loop = Loop()
    loop.config = SimpleNamespace(
        actor_rollout_ref=SimpleNamespace(model=SimpleNamespace(path="/m/mine", tokenizer_path=None))
    )
    loop.data_config = SimpleNamespace(continuous_token=SimpleNamespace(model_family=configured))
    loop.tokenizer, loop.apply_chat_template_kwargs = None, {}
    asyncio.run(compat.merged_turn(loop, ASKED, SAID, [1]))
    assert (loop.continuous_token_builder, asked["model_family"]) == ("new", family)


def test_a_model_that_cannot_be_read_has_no_type(tmp_path):
    """The family is then verl's guess from the name."""
    assert compat._model_type(str(tmp_path)) == ""


@pytest.mark.parametrize(
    ("installed", "refused"), [("0.8.0", True), ("0.9.0", False), ("0.9.1", False), ("0.10.0", True)]
)
def test_the_window(monkeypatch, installed, refused):
    """Both versions that were run are taken; the versions next to them are refused by name."""
    monkeypatch.setattr(compat, "version", lambda name: installed)
    if not refused:
        assert compat.require_tested_verl() is None
        return
    with pytest.raises(HostVersionError, match=rf"verl {installed} is installed; .* verl>=0.9.0,<0.10"):
        compat.require_tested_verl()
