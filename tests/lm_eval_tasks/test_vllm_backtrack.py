"""vllm-backtrack: the traces and scores of hf-backtrack from a real vLLM engine."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import lm_eval
import pytest

from halluc_plugin.errors import SettingsError
from halluc_plugin.vllm_engine.launch import PROCESSOR, SCHEDULER

pytest.importorskip("vllm")


SCORED = {
    "How many are 12 and 4?": 9,
    "How many are 2 and 2?": 7,
    "How many are 12 and 3?": 7,
    "Six and 2?": 4,
}
"""Questions, and what is right where the random model is to be: once or twice, by its context."""


@pytest.fixture(scope="module")
def scored_folder(tmp_path_factory):
    """A folder of data sets with a gsm8k that the random model solves in part."""
    root = tmp_path_factory.mktemp("data")
    (root / "gsm8k").mkdir()
    rows = [{"question": question, "answer": f"#### {number}"} for question, number in SCORED.items()]
    for name in ("train.jsonl", "test.jsonl"):
        (root / "gsm8k" / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return root


@pytest.fixture(scope="module")
def results(tiny_model, scored_folder, tmp_path_factory):
    """What both models answered, by context and model."""
    written = tmp_path_factory.mktemp("results") / "results.json"
    script = Path(__file__).with_name("vllm_on_cpu.py")
    tasks = Path(__file__).parents[2] / "lm_eval_tasks"
    done = subprocess.run(
        [sys.executable, str(script), str(tiny_model), str(tasks), str(scored_folder), str(written)],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False, timeout=580,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(written.read_text())


def without_what_was_known(row):
    """An answer of lm-eval's, or the JSON of a trace, without what an engine says of each action."""
    row = json.loads(row) if isinstance(row, str) and row.startswith("{") else row
    if not isinstance(row, dict):
        return row
    return {name: row[name] for name in row.keys() - {"log_probs", "entropies", "edit_probs"}}


@pytest.mark.parametrize("context", ["soft", "hard"])
def test_what_the_context_needs_cannot_be_replaced(context, monkeypatch):
    """An engine that would keep what an edit erases, or would not limit edits, is refused unstarted."""
    monkeypatch.setattr(sys, "meta_path", sys.meta_path[:])
    from lm_eval_tasks.vllm_backtrack import VLLMBacktrack

    with pytest.raises(SettingsError, match=f"itself sets logits_processors for context={context}"):
        VLLMBacktrack("no-such-model", context=context, logits_processors=[])
    with pytest.raises(SettingsError, match="itself sets scheduler_cls for context=hard"):
        VLLMBacktrack("no-such-model", context="hard", scheduler_cls=None)
    with pytest.raises(SettingsError, match=r"context is 'firm'.*soft, hard"):
        VLLMBacktrack("no-such-model", context="firm")


@pytest.mark.e2e
class TestBesideHFBacktrack:
    """Same checkpoint, same prompts, on a CPU."""

    @pytest.mark.parametrize("context", ["soft", "hard"])
    def test_greedy_traces_are_identical(self, results, context):
        """Every trace agrees token by token: a budget of two in soft context, tabu in hard context."""
        got = results[f"{context}_vllm"]["answers"]
        wanted = results[f"{context}_hf"]["answers"]
        for have, want in zip(got, wanted, strict=True):
            assert without_what_was_known(have) == without_what_was_known(want)
            assert have["log_probs"] == pytest.approx(want["log_probs"], abs=1e-3)
            assert have["entropies"] is have["edit_probs"] is None  # the engine does not say it
        assert max(answer["backtracks"] for answer in got) >= 2

    @pytest.mark.parametrize("context", ["soft", "hard"])
    def test_scores_and_rows_are_identical(self, results, context):
        """lm_eval reports the same numbers for a task of ours, and reads the same answers."""
        ours, theirs = results[f"{context}_vllm"], results[f"{context}_hf"]
        assert ours["scores"] == theirs["scores"]
        for have, want in zip(ours["rows"], theirs["rows"], strict=True):
            assert [without_what_was_known(row) for row in have] == [
                without_what_was_known(row) for row in want
            ]
        assert ours["scores"]["backtracks,trace"] > 0
        assert 0 < ours["scores"]["exact_match,flexible-extract"] < 1

    @pytest.mark.parametrize("context", ["soft", "hard"])
    def test_stop_strings_end_the_text_after_collapsing(self, results, context):
        """A stop string cuts what is left, never the trace."""
        whole, cut = results[f"{context}_vllm"]["answers"][0], results[f"{context}_vllm"]["cut"][0]
        assert cut["text"] == whole["text"].split(results[f"{context}_vllm"]["stop"])[0]
        assert cut["record"] == whole["record"]

    def test_greedy_loops_are_refused(self, results):
        """Greedy hard decoding without tabu or a budget is refused in the words of the model's arguments."""
        assert "Set tabu=True, a budget, or a temperature above 0" in results["loop"]


ASKED = {
    "soft": {"halluc_text": "collapsed", "halluc_budget": 2},
    "hard": {
        "halluc_text": "collapsed",
        "halluc_context": "hard",
        "halluc_tabu": 1,
        "halluc_boundary": "mask",
    },
}
"""The arguments of vllm_on_cpu.py, as a client of a server says them."""


@pytest.fixture(scope="module")
def server(tiny_model, tmp_path_factory):
    """Address of ``vllm serve`` with our middleware, for both contexts."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("server") / "log"
    script = Path(__file__).parents[1] / "vllm_engine" / "server_on_cpu.py"
    command = [
        sys.executable, str(script), "serve", str(tiny_model), "--served-model-name=tiny", f"--port={port}",
        "--dtype=float32", "--enforce-eager", "--max-model-len=256", "--max-num-seqs=8", "--block-size=16",
        "--num-gpu-blocks-override=200", f"--scheduler-cls={SCHEDULER}", f"--logits-processors={PROCESSOR}",
        "--no-async-scheduling", "--middleware=halluc_plugin.vllm_engine.serving.CollapsedText",
        "--chat-template={{ messages[0].content }}",
    ]  # fmt: skip
    environment = {
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "OMP_NUM_THREADS": "1",
    }
    with log.open("w") as output:
        process = subprocess.Popen(command, env={**os.environ, **environment}, stdout=output, stderr=output)
    url = f"http://127.0.0.1:{port}"
    while process.poll() is None:
        try:
            urllib.request.urlopen(url + "/health", timeout=5)
            break
        except OSError:
            time.sleep(0.5)
    assert process.poll() is None, log.read_text()[-3000:]
    yield url
    process.terminate()
    process.wait(timeout=60)


@pytest.fixture(scope="module")
def openai(server):
    """A plain OpenAI client."""
    return pytest.importorskip("openai").OpenAI(base_url=server + "/v1", api_key="none", max_retries=0)


@pytest.fixture(scope="module")
def complete(openai):
    """Asks for a completion."""

    def ask(xargs, prompt, **options):
        options = {"max_tokens": 24, "temperature": 0} | options
        return openai.completions.create(
            model="tiny", prompt=prompt, extra_body={"vllm_xargs": xargs}, **options
        )

    return ask


@pytest.mark.e2e
class TestBesideAServer:
    """``vllm serve`` on the same checkpoint, asked for collapsed text."""

    @pytest.mark.parametrize("context", ["soft", "hard"])
    def test_texts_are_identical(self, results, complete, context):
        """Several prompts in a request, with and without a stop string: the texts of vllm-backtrack."""
        ours = results[f"{context}_vllm"]
        prompts = ["1 2 3", "What is 40+2?\n", "abc", "1 2 3 4 5 6 7"]
        for stop, key in ((None, "answers"), ([ours["stop"]], "cut")):
            reply = complete(ASKED[context], prompts, stop=stop)
            assert [choice.text for choice in reply.choices] == [answer["text"] for answer in ours[key]]
            assert reply.usage.completion_tokens == sum(answer["raw_tokens"] for answer in ours[key])

    @pytest.mark.parametrize("context", ["soft", "hard"])
    def test_streams_come_to_the_same_text(self, results, complete, context):
        """Held back, a plain client's pieces are the text; live, those of one that heeds ``halluc_keep``."""
        want = results[f"{context}_vllm"]["answers"][0]["text"]
        pieces = [chunk.choices[0].text for chunk in complete(ASKED[context], "1 2 3", stream=True)]
        assert "".join(pieces) == want
        assert len(pieces) > 4
        text = ""
        for chunk in complete(ASKED[context] | {"halluc_text": "live"}, "1 2 3", stream=True):
            keep = (chunk.choices[0].model_extra or {}).get("halluc_keep", len(text))
            text = text[:keep] + chunk.choices[0].text
        assert text == want

    def test_chats_collapse_too(self, results, openai):
        """A chat's answer is the completion of its prompt, streamed and not."""
        want = results["hard_vllm"]["answers"][0]["text"]
        options = {
            "model": "tiny", "messages": [{"role": "user", "content": "1 2 3"}], "max_tokens": 24,
            "temperature": 0, "extra_body": {"vllm_xargs": ASKED["hard"]},
        }  # fmt: skip
        assert openai.chat.completions.create(**options).choices[0].message.content == want
        usage = {"include_usage": True}
        chunks = list(openai.chat.completions.create(**options, stream=True, stream_options=usage))
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == want
        assert chunks[-1].usage.completion_tokens == 24

    def test_raw_text_is_the_default(self, complete, tiny_model):
        """Who does not ask gets the text of the trace, edits and all; so does who asks for that."""
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(tiny_model)
        xargs = {"halluc_backtrack": tokenizer.convert_tokens_to_ids("<|BACKTRACK|>"), "halluc_budget": 2}
        raw = complete(xargs, "1 2 3").choices[0].text
        assert "<|BACKTRACK|>" in raw
        assert complete(xargs | {"halluc_text": "raw"}, "1 2 3").choices[0].text == raw

    def test_refusals_leave_the_server_as_it_was(self, complete, openai, server):
        """What cannot be had is a 400 of ours or of vLLM's, and the next request is answered."""
        refused = pytest.importorskip("openai").BadRequestError
        for xargs, says in (
            ({"halluc_text": "folded"}, "Give one of: raw, collapsed, live"),
            ({"halluc_text": "collapsed", "halluc_context": "hard"}, "Set halluc_tabu, halluc_budget"),
        ):
            with pytest.raises(refused, match=says):
                complete(xargs, "1 2 3")
        with pytest.raises(refused, match="logprobs is asked for with halluc_text"):
            complete(ASKED["soft"], "1 2 3", logprobs=1)
        broken = urllib.request.Request(
            server + "/v1/completions", b"{", {"Content-Type": "application/json"}
        )
        with pytest.raises(urllib.error.HTTPError, match=r"HTTP Error 4\d\d"):
            urllib.request.urlopen(broken)
        assert complete(ASKED["soft"], "1 2 3").choices[0].text

    def test_a_client_may_leave(self, results, complete):
        """A stream that is closed before its end leaves the others their answers."""
        want = results["soft_vllm"]["answers"][0]["text"]
        for form in ("collapsed", "live"):
            with complete(
                ASKED["soft"] | {"halluc_text": form}, "1 2 3", stream=True, max_tokens=200
            ) as stream:
                next(iter(stream))
            assert complete(ASKED["soft"], "1 2 3").choices[0].text == want


@pytest.fixture(scope="module")
def evaluate(server, tiny_model, task_manager):
    """Scores and extracted answers of gsm8k_backtrack, by one of lm_eval's API models."""
    pytest.importorskip("tenacity")
    models = {
        "local-completions": {
            "base_url": server + "/v1/completions", "tokenizer": str(tiny_model), "batch_size": 4,
            "tokenizer_backend": "huggingface", "max_length": 256,
        },
        "local-chat-completions": {"base_url": server + "/v1/chat/completions"},
    }  # fmt: skip

    def run(model, folder, xargs):
        done = lm_eval.simple_evaluate(
            model=model, model_args={"model": "tiny", **models[model]}, tasks=["gsm8k_backtrack"],
            task_manager=task_manager(data_dir=folder), num_fewshot=0, bootstrap_iters=0,
            apply_chat_template="chat" in model, gen_kwargs={"max_gen_toks": 24, "vllm_xargs": xargs},
        )  # fmt: skip
        samples = done["samples"]["gsm8k_backtrack"]
        rows = [[str(answer) for answer in sample["filtered_resps"]] for sample in samples]
        return done["results"]["gsm8k_backtrack"], rows

    return run


@pytest.mark.e2e
class TestAPIModels:
    """``lm_eval --model local-completions`` and ``local-chat-completions`` against the server."""

    @pytest.mark.parametrize(
        ("model", "context"),
        [("local-completions", "soft"), ("local-completions", "hard"), ("local-chat-completions", "hard")],
    )
    def test_scores_are_identical(self, results, evaluate, scored_folder, model, context):
        """Every score of vllm-backtrack on collapsed text, every extracted answer; no rows of traces."""
        theirs = results[f"{context}_vllm"]
        scores, rows = evaluate(model, scored_folder, ASKED[context])
        assert rows == theirs["rows"][: len(rows)]
        accuracies = {key: value for key, value in scores.items() if "exact_match" in key}
        assert accuracies.items() <= theirs["scores"].items()
        assert accuracies["exact_match,flexible-extract"] > 0
        assert {key.partition(",")[2] for key in accuracies} == {"strict-match", "flexible-extract"}
        assert not any(key.endswith((",trace", "-raw")) for key in scores)
