"""What the middleware learns of a real vLLM's server."""

import asyncio
from types import SimpleNamespace

import pytest

pytest.importorskip("vllm")

from halluc_plugin.vllm_engine.compat import look_up_server
from halluc_plugin.vllm_engine.launch import PROCESSOR


def look_up(tokenizer=None, parser=None, processors=None, **changes):
    """What is learned of a server's state."""
    state = {
        "engine_client": SimpleNamespace(tokenizer=tokenizer),
        "openai_serving_chat": SimpleNamespace(parser_cls=parser),
        "vllm_config": SimpleNamespace(model_config=SimpleNamespace(logits_processors=processors)),
    }
    return asyncio.run(look_up_server(SimpleNamespace(**state | changes)))


def test_a_server_is_known_by_its_state(byte_level):
    """Its tokenizer, whether it parses chats, and whether one of its logits processors is ours."""
    from halluc_plugin.vllm_engine.budget import EditBudget

    class Mine(EditBudget):
        pass

    tokenizer = byte_level("<|BACKTRACK|>")
    plain = look_up(tokenizer)
    assert (plain.tokenizer, plain.parses_chats, plain.limits_edits) == (tokenizer, False, False)
    assert look_up(tokenizer, parser=object).parses_chats
    for processors in ([PROCESSOR], [EditBudget], ["json:JSONDecoder", Mine]):
        assert look_up(tokenizer, processors=processors).limits_edits
    assert not look_up(tokenizer, processors=["json:JSONDecoder", "json:dumps"]).limits_edits


def test_a_server_may_lack_what_collapsing_needs():
    """No engine, no tokenizer, one that is not transformers', and no chats: known, and no error."""
    for server in (look_up(engine_client=None), look_up(), look_up(tokenizer=object())):
        assert server.tokenizer is None
    assert not look_up(openai_serving_chat=None).parses_chats


def test_the_server_keeps_its_parser_where_it_is_looked_for():
    """A vLLM that keeps it elsewhere would have its parsed chats collapsed wrongly."""
    from vllm.entrypoints.openai.chat_completion.serving import OpenAIServingChat

    assert "parser_cls" in OpenAIServingChat.__init__.__code__.co_names
