"""lm_eval's API models: what tasks of ours make of the raw and of the collapsed text of a server."""

import json

import pytest

from halluc_plugin.errors import SettingsError
from halluc_plugin.vllm_engine.serving.asked import SWITCH

B = "<|BACKTRACK|>"


@pytest.fixture
def collapsed_task(load_task, gsm8k_folder, bytes_tokenizer):
    """gsm8k_backtrack, run with ``--gen_kwargs '{"vllm_xargs": {"halluc_text": "collapsed"}}'``."""
    task = load_task("gsm8k_backtrack", data_dir=gsm8k_folder, pretrained=bytes_tokenizer)
    task.set_config("generation_kwargs", {"vllm_xargs": {SWITCH: "collapsed"}}, update=True)
    return task


def test_collapsed_answers_are_scored_and_their_traces_unknown(run_pipelines, collapsed_task):
    """Accuracies are those of the text; what only a trace can tell is absent, not zero."""
    docs = list(collapsed_task.test_docs())
    rows = run_pipelines(collapsed_task, docs, ["#### 42", "#### 7"])
    assert set(rows) == {"strict-match", "flexible-extract"}
    assert [row["exact_match"] for row in rows["strict-match"]] == [1.0, 0.0]


def test_raw_answers_are_traces_read_again(run_pipelines, load_task, gsm8k_folder, bytes_tokenizer):
    """Raw text from any API is tokenised again: every row is there, and says that it is not certain."""
    task = load_task("gsm8k_backtrack", data_dir=gsm8k_folder, tokenizer=bytes_tokenizer)
    (doc, _) = task.test_docs()
    rows = run_pipelines(task, [doc], [f"#### 43{B}2"])
    assert (rows["strict-match"][0]["exact_match"], rows["strict-match-raw"][0]["exact_match"]) == (1.0, 0.0)
    assert (rows["trace"][0]["backtracks"], rows["trace"][0]["collapse_exact"]) == (1, 0)


def test_a_server_that_does_not_collapse_is_noticed(run_pipelines, collapsed_task):
    """Edit tokens in text that should be collapsed end the evaluation with the cause."""
    docs = list(collapsed_task.test_docs())
    with pytest.raises(
        SettingsError, match=r"(?s)an answer has edit tokens.*Start the server with the middleware"
    ):
        run_pipelines(collapsed_task, docs, [f"#### 43{B}2", "#### 7"])


def test_an_unknown_form_is_refused_before_the_server_is_asked(collapsed_task):
    """A slip in the switch ends the evaluation at once."""
    collapsed_task.set_config("generation_kwargs", {"vllm_xargs": {SWITCH: "folded"}}, update=True)
    with pytest.raises(SettingsError, match="Give one of: raw, collapsed, live"):
        collapsed_task.build_all_requests(limit=1)


def test_what_judges_traces_needs_them(load_task, bytes_tokenizer, tmp_path):
    """Whether a step is taken back cannot be told from collapsed text: refused, and not read as kept."""
    row = {
        "id": "1",
        "generator": "g",
        "problem": "p",
        "steps": ["1+1=2"],
        "label": -1,
        "final_answer_correct": True,
    }
    (tmp_path / "processbench").mkdir()
    (tmp_path / "processbench" / "gsm8k.json").write_text(json.dumps([row]))
    task = load_task("processbench_backtrack_gsm8k", data_dir=tmp_path, tokenizer=bytes_tokenizer)
    task.set_config("generation_kwargs", {"vllm_xargs": {SWITCH: "collapsed"}}, update=True)
    with pytest.raises(SettingsError, match="judges traces"):
        task.build_all_requests(limit=1)
