"""Commands that sample stay within a model's positions and a tokenizer's ids, or say so before they begin."""

import pytest
import torch
from typer.testing import CliRunner

from halluc_plugin.cli.app import app
from halluc_plugin.errors import SettingsError, TokenizerError
from halluc_plugin.jobs import samplers, search_models
from halluc_plugin.sampling.hf import HFSampler
from halluc_plugin.sampling.networks import log_probs
from halluc_plugin.scratch.model import Size, new_model
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.search import Request, Space
from halluc_plugin.search.beams import beam_search
from halluc_plugin.tasks.countdown.files import CountdownRequest, write_countdown
from halluc_plugin.tokens import BACKTRACK_TOKEN, edit_vocab
from halluc_plugin.tokens.loading import save_tokenizer


@pytest.fixture(scope="module")
def problems(tmp_path_factory):
    """Countdown problems."""
    request = CountdownRequest(train=20, test=5)
    return write_countdown(tmp_path_factory.mktemp("data"), request, None, lambda i, w, t: i).test[0]


def saved(folder, edit_tokens):
    """A folder with a random model and its number-level tokenizer."""
    tokenizer = number_tokenizer(edit_tokens=edit_tokens)
    new_model(tokenizer, Size.TINY, seed=0).save_pretrained(folder)
    save_tokenizer(tokenizer, folder)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model with the backtrack token."""
    return saved(tmp_path_factory.mktemp("model"), (BACKTRACK_TOKEN,))


COMMANDS = {
    "search": ("search", "--method", "sample", "-k", "2"),
    "search beams": ("search", "--method", "beam", "-k", "2"),
    "data align": ("data", "align"),
    "data correct": ("data", "correct"),
    "data verdicts": ("data", "verdicts"),
    "data values": ("data", "values"),
}


@pytest.mark.parametrize("backend", ["hf", "vllm"])
@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_answers_longer_than_the_model_are_refused(request, tmp_path, monkeypatch, command, backend):
    """One message, before the model is loaded and before anything is written."""
    model, problems = (request.getfixturevalue(name) for name in ("model", "problems"))
    if backend == "vllm" and "beam" in command:
        pytest.skip("beams are transformers' own")
    for module in (search_models, samplers):  # would fail if they were called
        monkeypatch.setattr(module, "open_sampler", None)
        monkeypatch.setattr(module, "load_network", None)
    where = ("--out", str(tmp_path / "out")) if command[0] == "data" else ()
    asked = ("--model", str(model), "--data", str(problems), "--max-tokens", "5000", "--backend", backend)
    done = CliRunner().invoke(app, [*command, *asked, *where])
    assert isinstance(done.exception, SettingsError)
    assert "does not fit in the model's 1024 positions" in str(done.exception)
    assert not list(tmp_path.iterdir())


def test_a_correction_in_soft_context_needs_room_for_two_answers(model, problems, tmp_path, monkeypatch):
    """It comes behind a wrong answer and what takes it back; in hard context it comes in its place."""
    monkeypatch.setattr(samplers, "open_sampler", None)
    asked = ["data", "correct", "--model", str(model), "--data", str(problems), "--max-tokens", "500"]
    soft = CliRunner().invoke(app, [*asked, "--out", str(tmp_path / "out")])
    assert "answer of up to 1500" in str(soft.exception)
    hard = CliRunner().invoke(app, [*asked, "--out", str(tmp_path / "out"), "--context", "hard"])
    assert isinstance(hard.exception, TypeError)  # it came to open_sampler


@pytest.mark.parametrize("command", [COMMANDS["search"], COMMANDS["data verdicts"]])
def test_banning_edits_that_do_not_exist_is_refused(problems, tmp_path, command):
    """A model without the token and without spare rows: there is nothing to ban."""
    plain = saved(tmp_path / "plain", ())
    asked = ("--model", str(plain), "--data", str(problems), "--max-tokens", "8", "--ban-edits")
    where = ("--out", str(tmp_path / "out")) if command[0] == "data" else ()
    done = CliRunner().invoke(app, [*command, *asked, *where])
    assert isinstance(done.exception, TokenizerError)
    assert "nothing to ban" in str(done.exception)
    free = [*command, *asked[:-1], *where]
    assert CliRunner().invoke(app, free).exit_code == 0


def test_a_model_without_the_row_of_the_token_is_refused(model, problems, tmp_path):
    """A tokenizer that was given the token by itself, beside the model as it was."""
    tight = saved(tmp_path / "tight", ())
    save_tokenizer(number_tokenizer(edit_tokens=(BACKTRACK_TOKEN,)), tight)
    asked = ["--model", str(tight), "--data", str(problems), "--max-tokens", "8"]
    done = CliRunner().invoke(app, [*COMMANDS["search"], *asked])
    assert isinstance(done.exception, TokenizerError)
    assert "halluc add-token" in str(done.exception)


@pytest.fixture(scope="module")
def padded():
    """A model with many more rows than its tokenizer has tokens, and the space of a search on it."""
    tokenizer = number_tokenizer(edit_tokens=(BACKTRACK_TOKEN,))
    model = new_model(tokenizer, Size.TINY, seed=0)
    torch.manual_seed(0)
    model.resize_token_embeddings(3 * len(tokenizer), mean_resizing=False)
    with torch.no_grad():
        model.get_output_embeddings().weight.normal_(0, 0.1)
    ends = torch.zeros(3 * len(tokenizer)).index_fill(0, torch.tensor([tokenizer.eos_token_id]), 4.0)
    model.get_output_embeddings().register_forward_hook(lambda module, args, output: output + ends)
    space = Space(edit_vocab(tokenizer), frozenset({tokenizer.eos_token_id}), frozenset(), max_tokens=20)
    return model.eval(), space, len(tokenizer)


def test_searches_sample_known_ids_alone(padded):
    """With their log-probs under what is sampled from: the known ids' sum to 1."""
    model, space, size = padded
    requests = [Request((1, 2, 3), 20, 1.0, space.stop_ids()) for _ in range(40)]
    samples = HFSampler(model, space).sample(requests)
    assert max(token for sample in samples for token in sample.ids) < size
    for sample in samples[:5]:
        own = log_probs(model, (1, 2, 3), sample.ids)
        known = log_probs(model, (1, 2, 3), sample.ids, space.vocab)
        assert sample.logprobs == pytest.approx(known, abs=1e-4)
        assert sum(own) < sum(known) - 0.1


def test_beams_are_of_known_ids_and_of_nothing_that_a_checkpoint_says(padded):
    """Whatever the model's own generation config holds; it is left as it was."""
    model, space, size = padded
    prompts = [(1, 2, 3), (4,)]
    plain = beam_search(model, prompts, space, 4)
    assert all(max(r.ids) < size for found in plain for r in found.responses)
    assert any(found.responses for found in plain)
    own = model.generation_config
    own.update(
        no_repeat_ngram_size=1, repetition_penalty=2.0, forced_eos_token_id=5, suppress_tokens=[6, 7, 8]
    )
    assert [f.responses for f in beam_search(model, prompts, space, 4)] == [f.responses for f in plain]
    assert model.generation_config is own
