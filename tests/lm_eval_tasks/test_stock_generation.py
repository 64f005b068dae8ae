"""hf-backtrack generates as ``hf`` does, whatever the model's generation config and the arguments say."""

import logging

import pytest
import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from transformers import GenerationConfig

from halluc_plugin.errors import SettingsError
from lm_eval_tasks.hf_backtrack import HFBacktrack

CONTEXTS = ["1 2 3", "What is 40+2?\n", "abc", "1 2 3 4 5 6 7", "z", "11 12 11 12 11"]


def requests(contexts=CONTEXTS, **options):
    """Generation requests as a task makes them."""
    options = {"until": [], "max_gen_toks": 24, "do_sample": False, **options}
    return [Instance("generate_until", {}, (context, dict(options)), 0) for context in contexts]


@pytest.fixture(scope="module")
def pair(tiny_model):
    """The stock model and ours, three prompts a batch."""
    return tuple(kind(str(tiny_model), batch_size=3, device="cpu") for kind in (HFLM, HFBacktrack))


@pytest.fixture
def raw_answers(pair):
    """What both sample of the same requests under a generation config: (stock, ours as sampled)."""
    own = pair[0].model.generation_config

    def answer(config, **options):
        for model in pair:
            model.model.generation_config = GenerationConfig(
                eos_token_id=own.eos_token_id, pad_token_id=own.pad_token_id
            )
            model.model.generation_config.update(**config)
        answers = []
        for model in pair:
            torch.manual_seed(3)
            answers.append(model.generate_until(requests(**options), disable_tqdm=True))
        return answers[0], [answer.trace.raw for answer in answers[1]]

    yield answer
    for model in pair:
        model.model.generation_config = own


GREEDY = {
    "repetition_penalty": {"repetition_penalty": 1.3},
    "repetition_reward": {"repetition_penalty": 0.7},
    "no_repeat_ngram_size": {"no_repeat_ngram_size": 1},
    "bad_words_ids": {"bad_words_ids": [[61], [66, 67], [256 + 2]]},
    "suppress_tokens": {"suppress_tokens": list(range(60, 200))},
    "begin_suppress_tokens": {"begin_suppress_tokens": list(range(128))},
    "forced_eos_token_id": {"forced_eos_token_id": 33},
    "forced_bos_token_id": {"forced_bos_token_id": 34},
    "min_new_tokens": {"min_new_tokens": 20, "eos_token_id": list(range(0, 250, 3))},
    "min_length": {"min_length": 12, "eos_token_id": list(range(0, 250, 3))},
    "exponential_decay_length_penalty": {"exponential_decay_length_penalty": (2, 1.6)},
    "sequence_bias": {"sequence_bias": [[[61], -50.0], [[67], 90.0]]},
    "eos_token_id": {"eos_token_id": list(range(0, 250, 5))},
    "max_new_tokens": {"max_new_tokens": 7},
    "max_length": {"max_length": 11},
    "renormalize_logits": {"renormalize_logits": True},
    "remove_invalid_values": {"remove_invalid_values": True},
    "of sampling only": {"do_sample": True, "temperature": 0.3, "top_p": 0.5, "top_k": 2, "min_p": 0.4},
    "several": {"repetition_penalty": 1.2, "no_repeat_ngram_size": 2, "suppress_tokens": [61, 62, 63]},
}
"""Generation configs of a model; the tiny one often backtracks, so its edits are penalised like the rest."""


@pytest.mark.parametrize("config", GREEDY.values(), ids=GREEDY)
def test_greedy_answers_are_the_stock_answers_token_by_token(raw_answers, config):
    """In soft context what is sampled is what ``hf`` samples, under each setting of a generation config."""
    stock, ours = raw_answers(config)
    assert ours == stock


def test_a_generation_config_changes_what_is_compared(raw_answers):
    """The settings above are not without effect on this model."""
    (plain, _), *others = (raw_answers(config) for config in ({}, *GREEDY.values()))
    changed = {name for name, (stock, _) in zip(GREEDY, others, strict=True) if stock != plain}
    assert changed == GREEDY.keys() - {
        "forced_bos_token_id", "max_length", "renormalize_logits", "remove_invalid_values", "of sampling only"
    }  # fmt: skip


def test_a_forced_first_token_is_forced_behind_a_prompt_of_one(pair, raw_answers):
    """``forced_bos_token_id`` acts where transformers lets it: on a context of a single token."""
    stock, ours = raw_answers({"forced_bos_token_id": 34}, contexts=["z"])
    assert ours == stock
    assert stock[0][0] == pair[0].tokenizer.decode([34])


SAMPLED = {
    "transformers' own top_k": {},
    "top_k": {"top_k": 3},
    "top_p": {"top_p": 0.6, "top_k": 0},
    "min_p": {"min_p": 0.3, "top_k": 0},
    "typical_p": {"typical_p": 0.5, "top_k": 0},
    "epsilon_cutoff": {"epsilon_cutoff": 0.1, "top_k": 0},
    "eta_cutoff": {"eta_cutoff": 0.2, "top_k": 0},
    "top_h": {"top_h": 0.5, "top_k": 0},
    "with a penalty": {"repetition_penalty": 1.5, "top_p": 0.9},
}


@pytest.mark.parametrize("by", ["config", "arguments"])
@pytest.mark.parametrize("setting", SAMPLED.values(), ids=SAMPLED)
def test_samples_are_the_stock_samples_of_a_seed(raw_answers, setting, by):
    """The same seed draws the same tokens, whether a model's config or the arguments say from what."""
    config, arguments = (setting, {}) if by == "config" else ({}, setting)
    stock, ours = raw_answers(config, do_sample=True, temperature=2.0, **arguments)
    assert ours == stock


def test_arguments_of_a_task_do_what_they_do_for_hf(raw_answers):
    """Whatever a GenerationConfig knows is passed on, in one of its names for lengths too."""
    for options in (
        {"repetition_penalty": 1.4}, {"max_length": 30}, {"max_new_tokens": 5, "max_gen_toks": None},
        {"eos_token_id": [40, 41, 42]}, {"suppress_tokens": [61, 62]},
    ):  # fmt: skip
        stock, ours = raw_answers({}, **options)
        assert ours == stock


def test_a_sampled_temperature_may_be_the_model_s_own(pair, raw_answers):
    """do_sample without a temperature, which ``hf`` cannot do, samples at the generation config's."""
    _, ours = pair
    with pytest.raises(ValueError, match="temperature"):
        raw_answers({"temperature": 1e-3}, do_sample=True)
    (cold, greedy) = (
        ours.generate_until(requests(do_sample=sampled), disable_tqdm=True) for sampled in (True, False)
    )
    assert [a.trace.raw for a in cold] == [a.trace.raw for a in greedy]


REFUSED = {
    "num_beams": {"num_beams": 2},
    "num_return_sequences": {"num_return_sequences": 2},
    "guidance_scale": {"guidance_scale": 1.5},
    "watermarking_config": {"watermarking_config": {"bias": 2.0}},
    "encoder_repetition_penalty": {"encoder_repetition_penalty": 1.2},
    "encoder_no_repeat_ngram_size": {"encoder_no_repeat_ngram_size": 2},
    "prompt_lookup_num_tokens": {"prompt_lookup_num_tokens": 2},
    "penalty_alpha": {"penalty_alpha": 0.6, "top_k": 4},
    "max_time": {"max_time": 1.0},
    "return_dict_in_generate": {"return_dict_in_generate": True},
    "stop_strings": {"stop_strings": ["x"]},
}


@pytest.mark.parametrize("by", ["config", "arguments"])
@pytest.mark.parametrize(("name", "setting"), REFUSED.items(), ids=REFUSED)
def test_what_cannot_be_followed_beside_edits_is_refused_by_name(pair, raw_answers, name, setting, by):
    """Before anything is sampled, also where only the last of the requests asks for it."""
    _, ours = pair
    raw_answers({})
    last = {} if by == "config" else setting
    if by == "config":
        for key, value in setting.items():  # one by one: not all of these are valid together
            read = getattr(GenerationConfig(**{key: value}), key) if isinstance(value, dict) else value
            setattr(ours.model.generation_config, key, read)
    ours.cache_hook.add_partial, sampled = lambda *args: sampled.append(args), []
    with pytest.raises(SettingsError, match=name.replace("_", ".")):
        ours.generate_until(requests() + requests(**last), disable_tqdm=True)
    assert not sampled


def test_values_that_transformers_refuses_are_one_error(pair):
    """A wrong value is named in transformers' words."""
    _, ours = pair
    for options in ({"repetition_penalty": -1.0}, {"no_repeat_ngram_size": "two"}, {"bad_words_ids": []}):
        with pytest.raises(SettingsError, match="transformers refuses to generate"):
            ours.generate_until(requests(**options), disable_tqdm=True)


def test_a_prompt_that_is_cut_on_the_left_says_so(tiny_model, caplog):
    """As in ``hf``: the last tokens are kept, and lm_eval's warning comes with it."""
    kept = []
    for kind in (HFLM, HFBacktrack):
        model = kind(str(tiny_model), batch_size=2, device="cpu", max_length=40)
        with caplog.at_level(logging.WARNING):
            answers = model.generate_until(requests(["x" * 60 + "1 2 3", "abc"]), disable_tqdm=True)
        assert (
            "Left truncation applied. Original sequence length was 65, truncating to last 16" in caplog.text
        )
        caplog.clear()
        kept.append([answer.trace.raw if kind is HFBacktrack else answer for answer in answers])
    assert kept[0] == kept[1]


@pytest.mark.parametrize("end", ["</think>", "id"])
def test_thinking_is_cut_from_what_is_left(tiny_model, end):
    """``think_end_token``, text or id: the answer begins behind the last that is left, not an erased one."""
    from transformers import AutoTokenizer

    from lm_eval_tasks.answers import traced_answer
    from lm_eval_tasks.trace import TraceReader

    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    tokenizer.add_tokens(["</think>"])
    end = tokenizer.convert_tokens_to_ids("</think>") if end == "id" else end
    reader = TraceReader(tokenizer, think_end_token=end)
    back = "<|BACKTRACK|>"
    for raw, left, shown in (
        ("so</think>\n 41" + back + "2", "42", "41" + back + "2"),
        ("so</think>" + back + "</think> 42 stop", "42 ", "42 stop"),
        ("42</think>" + back, "42", back),  # it went on thinking, and had no answer before
        (" 42" + back + "3", "43", "42" + back + "3"),
    ):
        answer = traced_answer(reader, tokenizer.encode(raw), ["stop"])
        assert (answer, answer.trace.raw) == (left, shown)


def test_thinking_is_cut_as_hf_cuts_it(tiny_model):
    """Both models, on whatever they sample: the same text behind a token that comes often."""
    plain = HFBacktrack(str(tiny_model), batch_size=3, device="cpu")
    (whole, *_) = (answer.trace for answer in plain.generate_until(requests(), disable_tqdm=True))
    for end in (whole.record["ids"][7], whole.raw[-3:-1]):
        answers = []
        for kind in (HFLM, HFBacktrack):
            model = kind(str(tiny_model), batch_size=3, device="cpu", think_end_token=end)
            answers.append(model.generate_until(requests(), disable_tqdm=True))
        assert [answer.trace.raw for answer in answers[1]] == answers[0]
        assert answers[0][0] != whole.raw


def test_mixed_precision_samples_in_it(tiny_model):
    """``mixed_precision_dtype`` runs the forward passes in that type, as for ``hf``."""
    answers = []
    for kind in (HFLM, HFBacktrack):
        model = kind(str(tiny_model), batch_size=1, device="cpu", mixed_precision_dtype="bfloat16")
        head, seen = model.model.lm_head, []
        head.register_forward_hook(lambda module, args, output, seen=seen: seen.append(output.dtype))
        answers.append(model.generate_until(requests(["abc"], max_gen_toks=4), disable_tqdm=True))
        assert set(seen) == {torch.bfloat16}
    assert answers[1][0].trace.raw == answers[0][0]


def test_a_model_with_an_encoder_is_refused(tmp_path, byte_tokenizer):
    """Its decoder cannot be rewound; ``hf`` runs it."""
    from tokenizers import AddedToken
    from transformers import T5Config, T5ForConditionalGeneration

    tokenizer = byte_tokenizer(AddedToken("<|BACKTRACK|>", special=False, normalized=False))
    config = T5Config(
        vocab_size=len(tokenizer), d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2,
        decoder_start_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    T5ForConditionalGeneration(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(SettingsError, match="encoder"):
        HFBacktrack(str(tmp_path), device="cpu")
