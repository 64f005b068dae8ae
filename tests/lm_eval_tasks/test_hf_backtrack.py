"""hf-backtrack: exact traces from sampled ids, and the stock model's numbers where it does the same."""

import pickle

import pytest
import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from halluc_plugin.edits import collapse
from halluc_plugin.errors import SettingsError, TokenizerError
from halluc_plugin.tokens import add_edit_tokens
from halluc_plugin.tokens.loading import load_model, load_tokenizer, save_tokenizer
from lm_eval_tasks.hf_backtrack import HFBacktrack
from lm_eval_tasks.trace import TracedAnswer, TraceReader

CONTEXTS = ["1 2 3", "What is 40+2?\n", "abc", "1 2 3 4 5 6 7"]


def requests(contexts=CONTEXTS, **options):
    """Generation requests as a task makes them."""
    options = {"until": [], "max_gen_toks": 24, "do_sample": False, **options}
    return [Instance("generate_until", {}, (context, dict(options)), 0) for context in contexts]


@pytest.fixture(scope="module")
def soft(tiny_model):
    """The model in soft context."""
    return HFBacktrack(str(tiny_model), batch_size=3, device="cpu")


def test_soft_greedy_answers_are_the_stock_answers_collapsed_exactly(tiny_model, soft):
    """In soft context the raw text equals hf's; the answer is the reference collapse of the sampled ids."""
    stock = HFLM(str(tiny_model), batch_size=3, device="cpu").generate_until(requests(), disable_tqdm=True)
    answers = soft.generate_until(requests(), disable_tqdm=True)
    assert [answer.trace.raw for answer in answers] == stock
    assert sum(answer.trace.backtracks for answer in answers) > 0
    for answer in answers:
        ids = answer.trace.record["ids"]
        left = collapse(ids, soft._reader.vocab)
        assert answer == soft.tokenizer.decode(left, skip_special_tokens=True)
        assert answer.trace.exact
        assert (answer.trace.raw_tokens, answer.trace.resolved_tokens) == (len(ids), len(left))


def test_answers_do_not_depend_on_their_batch(tiny_model, soft):
    """Order and batch size change nothing."""
    one = HFBacktrack(str(tiny_model), batch_size=1, device="cpu")
    backwards = one.generate_until(requests(CONTEXTS[::-1]), disable_tqdm=True)
    assert backwards[::-1] == soft.generate_until(requests(), disable_tqdm=True)


def test_stop_strings_end_the_text_after_collapsing(soft):
    """A stop string cuts what is left, never the trace."""
    (whole,) = soft.generate_until(requests(["1 2 3"]), disable_tqdm=True)
    stop = whole[3:5]
    (cut,) = soft.generate_until(requests(["1 2 3"], until=[stop]), disable_tqdm=True)
    assert cut == whole.split(stop)[0]
    assert cut.trace == whole.trace


def test_a_budget_limits_effective_edits(tiny_model):
    """max_backtracks=1 leaves every answer with at most one, 0 with none."""
    for budget in (0, 1):
        model = HFBacktrack(str(tiny_model), max_backtracks=budget, batch_size=4, device="cpu")
        answers = model.generate_until(requests(), disable_tqdm=True)
        assert max(answer.trace.backtracks for answer in answers) == budget


def test_hard_context_needs_a_way_out_of_greedy_loops(tiny_model):
    """Greedy hard decoding is refused without tabu or a budget, and differs from soft with tabu."""
    hard = HFBacktrack(str(tiny_model), context="hard", batch_size=4, device="cpu")
    with pytest.raises(SettingsError, match="tabu"):
        hard.generate_until(requests(), disable_tqdm=True)
    tabu = HFBacktrack(str(tiny_model), context="hard", tabu=True, batch_size=4, device="cpu")
    assert all(answer.trace.exact for answer in tabu.generate_until(requests(), disable_tqdm=True))


def test_sampling_follows_the_global_seed(soft):
    """do_sample draws from torch's generator, which lm_eval seeds."""
    drawn = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        drawn.append(soft.generate_until(requests(do_sample=True, temperature=1.0), disable_tqdm=True))
    assert drawn[0] == drawn[1] != drawn[2]


def test_tasks_of_ours_read_the_trace_of_the_model(run_pipelines, load_task, gsm8k_folder, soft):
    """The answers of hf-backtrack are exact in our rows, with the trace's own counts."""
    task = load_task("gsm8k_backtrack", data_dir=gsm8k_folder)
    answers = soft.generate_until(requests(), disable_tqdm=True)
    docs = [{"question": "q", "answer": "#### 42"}] * len(answers)
    rows = run_pipelines(task, docs, answers)["trace"]
    assert [row["backtracks"] for row in rows] == [answer.trace.backtracks for answer in answers]
    assert all(row["collapse_exact"] == 1 for row in rows)


def test_answers_survive_a_cache(soft):
    """lm_eval pickles answers into its cache; text and trace come back."""
    (answer,) = soft.generate_until(requests(["abc"]), disable_tqdm=True)
    back = pickle.loads(pickle.dumps(answer))
    assert (type(back), back, back.trace) == (TracedAnswer, answer, answer.trace)


def test_wrong_arguments_are_refused(tiny_model, soft, byte_tokenizer, tmp_path):
    """Unknown context or generation argument, no room, and a model without the token are one line each."""
    with pytest.raises(SettingsError, match=r"context is 'firm'.*soft, hard"):
        HFBacktrack(str(tiny_model), context="firm")
    with pytest.raises(SettingsError, match="no generation argument top_q"):
        soft.generate_until(requests(top_q=0.9), disable_tqdm=True)
    with pytest.raises(SettingsError, match="max_gen_toks is 4096, the model's length 512"):
        soft.generate_until(requests(max_gen_toks=4096), disable_tqdm=True)
    soft.model.save_pretrained(tmp_path)
    byte_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(TokenizerError, match=r"no backtrack token.*--model hf"):
        HFBacktrack(str(tmp_path), device="cpu")


def test_text_read_again_agrees_where_tokens_are_bytes(soft):
    """For a tokenizer with one way to write a text, the text fallback gives the exact answer, unproven."""
    reader = TraceReader(soft.tokenizer)
    for answer in soft.generate_until(requests(), disable_tqdm=True):
        again = reader.read(answer.trace.raw)
        if "�" in answer.trace.raw:  # bytes that are no text do not survive as text
            continue
        assert again.resolved == answer
        assert again.exact == (answer.trace.raw_tokens == answer.trace.resolved_tokens)


def test_what_is_known_of_each_action_is_kept(soft):
    """For each sampled token its text, log-prob, entropy and P(edit); texts alone know the texts only."""
    (answer,) = soft.generate_until(requests(["1 2 3"]), disable_tqdm=True)
    trace = answer.trace
    assert "".join(trace.tokens) == soft.tokenizer.decode(trace.record["ids"])
    for values in (trace.log_probs, trace.entropies, trace.edit_probs):
        assert len(values) == trace.raw_tokens
    assert all(value <= 0 for value in trace.log_probs)
    assert all(0 <= value <= 1 for value in trace.edit_probs)
    begun = trace.begun(2)
    assert (begun.tokens, begun.log_probs) == (trace.tokens[:2], trace.log_probs[:2])
    plain = TraceReader(soft.tokenizer).read(trace.raw)
    assert plain.tokens is not None
    assert plain.log_probs is plain.begun(1).entropies is None


def test_log_likelihoods_leave_padding_out(tiny_model, tmp_path):
    """Rows that stand for no token are not counted: log-likelihoods are those of the unpadded model."""
    network, tokenizer = load_model(str(tiny_model)), load_tokenizer(str(tiny_model))
    with torch.no_grad():
        network.get_output_embeddings().weight.mul_(0.01)  # all ids are about as likely, padding too
    for name, rows in (("plain", 1), ("padded", 1000)):
        assert (add_edit_tokens(network, tokenizer, pad_to=rows).padding > 100) == (rows > 1)
        network.save_pretrained(tmp_path / name)
        save_tokenizer(tokenizer, tmp_path / name)
    plain, padded = (str(tmp_path / name) for name in ("plain", "padded"))
    models = ((HFBacktrack, plain), (HFBacktrack, padded), (HFLM, padded))
    asked = [Instance("loglikelihood", {}, pair, 0) for pair in (("1 2", " 3"), ("1", " 4 5"))]
    found = [
        model.loglikelihood(asked, disable_tqdm=True)
        for model in (kind(path, device="cpu") for kind, path in models)
    ]
    ours, theirs, stock = ([value for value, _ in each] for each in found)
    assert theirs == pytest.approx(ours, abs=1e-4)
    assert all(one < other - 1 for one, other in zip(stock, ours, strict=True))
