"""Decoding equals recomputation from the context that each action is defined to see."""

import pytest
import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from halluc_plugin.decoding import Context, Decoding, EditPolicy, Tabu, decode
from halluc_plugin.edits import EditVocab, collapse
from halluc_plugin.edits.builders import Boundary
from halluc_plugin.errors import SettingsError, TraceError

VOCAB = EditVocab(backtrack=60, step=61, step_delimiters=frozenset({7, 8}), restart=62)
EOS = 63
PROMPTS = [[1, 2, 3], [4], [5, 60, 6, 9, 10, 11, 12], [13, 14], [1, 2, 3]]


@pytest.fixture(scope="module")
def model():
    """A small random model that often edits."""
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=256, tie_word_embeddings=False,
        attn_implementation="sdpa",
    )  # fmt: skip
    model = Qwen2ForCausalLM(config).eval()
    with torch.no_grad():  # sharpen, and make edits common enough to be tested
        model.lm_head.weight.mul_(8.0)
        model.lm_head.weight[VOCAB.backtrack] += 1.0 * model.model.norm.weight
    return model


def recomputed(model, prompt, ids, decoding):
    """Log-probs of every action by a forward pass without cache over exactly the context it sees."""
    policy = EditPolicy(VOCAB, budget=decoding.budget, boundary=decoding.boundary, tabu=decoding.tabu)
    logprobs, best = [], []
    for t, token in enumerate(ids):
        seen = collapse(ids[:t], VOCAB) if decoding.context is Context.HARD else ids[:t]
        with torch.no_grad():
            logits = model(torch.tensor([prompt + list(seen)])).logits[0, -1]
        logits[list(policy.banned())] = -torch.inf
        distribution = torch.log_softmax(logits / (decoding.temperature or 1.0), -1)
        logprobs.append(distribution[token].item())
        best.append(distribution.argmax().item())
        policy.push(token)
    return logprobs, best


@pytest.mark.parametrize("context", list(Context))
@pytest.mark.parametrize("boundary", list(Boundary))
@pytest.mark.parametrize("budget", [None, 3])
def test_sampled_logprobs_equal_recomputation(model, context, boundary, budget):
    """Every sampled action's log-prob, erased and edit tokens included, equals a cacheless recomputation."""
    decoding = Decoding(
        VOCAB, 60, context, temperature=1.0, budget=budget, boundary=boundary, eos_ids=frozenset({EOS})
    )
    traces = decode(model, PROMPTS, decoding, generator=torch.Generator().manual_seed(1))
    assert sum(VOCAB.backtrack in trace.ids for trace in traces) >= 3
    for prompt, trace in zip(PROMPTS, traces, strict=True):
        expected, _ = recomputed(model, prompt, trace.ids, decoding)
        assert trace.logprobs == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("context", list(Context))
def test_states_are_read_while_they_are_sampled(model, context):
    """Before each action and behind the last one, what a head reads of a pass over the text that is seen."""
    decoding = Decoding(VOCAB, 40, context, eos_ids=frozenset({EOS}))
    generator = torch.Generator().manual_seed(2)
    limits = [5, 40, 12, 30, 40]  # some end before others
    traces = decode(
        model, PROMPTS, decoding, limits=limits, generator=generator, read=lambda hidden: hidden.sum(-1)
    )
    assert len({len(trace.ids) for trace in traces}) > 1
    for prompt, trace in zip(PROMPTS, traces, strict=True):
        assert len(trace.values) == len(trace.ids) + 1
        for t, value in enumerate(trace.values):
            seen = collapse(trace.ids[:t], VOCAB) if context is Context.HARD else trace.ids[:t]
            with torch.no_grad():
                hidden = model.model(torch.tensor([prompt + list(seen)])).last_hidden_state
            assert value == pytest.approx(hidden[0, -1].sum().item(), abs=1e-4)


def test_nothing_is_read_where_nothing_reads(model):
    """Values are for those who ask."""
    (trace,) = decode(model, PROMPTS[:1], Decoding(VOCAB, 5))
    assert trace.values == []


@pytest.mark.parametrize("tabu", [True, Tabu.FIRST])
@pytest.mark.parametrize("context", list(Context))
def test_greedy_tabu_follows_the_argmax(model, context, tabu):
    """Greedy decoding with tabu takes the best action that is not banned at every step."""
    decoding = Decoding(VOCAB, 50, context, temperature=0.0, tabu=tabu, eos_ids=frozenset({EOS}))
    for prompt, trace in zip(PROMPTS, decode(model, PROMPTS, decoding), strict=True):
        _, best = recomputed(model, prompt, trace.ids, decoding)
        assert trace.ids == best


def test_rows_do_not_depend_on_their_batch(model):
    """A prompt decoded alone gives the greedy trace it gives among others."""
    decoding = Decoding(VOCAB, 40, Context.HARD, temperature=0.0, tabu=True, eos_ids=frozenset({EOS}))
    together = decode(model, PROMPTS, decoding)
    alone = [decode(model, [prompt], decoding)[0] for prompt in PROMPTS]
    assert [trace.ids for trace in together] == [trace.ids for trace in alone]


def test_responses_end_at_eos_or_at_the_limit(model):
    """A trace ends with its first EOS or has exactly the allowed number of raw actions."""
    decoding = Decoding(VOCAB, 30, Context.SOFT, temperature=2.0, eos_ids=frozenset({EOS, 5}))
    for trace in decode(model, PROMPTS * 4, decoding, generator=torch.Generator().manual_seed(2)):
        ends = [token in decoding.eos_ids for token in trace.ids]
        assert not any(ends[:-1])
        assert ends[-1] if trace.finish == "eos" else len(trace.ids) == 30


def test_budget_counts_effective_edits():
    """Edits at the prompt boundary cost nothing; the edit that erases spends the budget."""
    policy = EditPolicy(VOCAB, budget=1)
    policy.push(60)
    assert not policy.banned()
    policy.push(1)
    policy.push(60)
    assert policy.banned() == VOCAB.edit_ids


def test_masked_boundary_bans_edits_on_an_empty_response():
    """With boundary=mask an empty response cannot be edited, a non-empty one can."""
    policy = EditPolicy(VOCAB, boundary=Boundary.MASK)
    assert policy.banned() == VOCAB.edit_ids
    policy.push(1)
    assert not policy.banned()


def test_tabu_bans_the_rejected_state_only():
    """A backtrack bans its token at that prefix; a restart bans the last token of what it erased."""
    policy = EditPolicy(VOCAB, tabu=True)
    for token in [1, 2, 60]:
        policy.push(token)
    assert policy.banned() == {2}
    for token in [3, 62]:
        policy.push(token)
    assert policy.banned() == frozenset()
    policy.push(1)
    assert policy.banned() == {2, 3}


def test_tabu_first_bans_how_the_erased_span_began():
    """A restart bans the first token of the response, and nothing behind a prefix that it erased."""
    policy = EditPolicy(VOCAB, tabu=Tabu.FIRST)
    for token in [1, 3, 62]:
        policy.push(token)
    assert policy.banned() == {1}
    policy.push(2)
    assert policy.banned() == frozenset()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tabu": "frist"}, "tabu is 'frist'"),
        ({"max_actions": 0}, "max_actions is 0"),
        ({"temperature": -1.0}, "temperature is -1"),
        ({"temperature": 0.0, "context": Context.HARD}, "Set tabu=True, a budget, or a temperature above 0"),
    ],
)
def test_impossible_settings_are_refused(arguments, message):
    """Settings that are out of range or loop for ever raise one error with its fix."""
    with pytest.raises(SettingsError, match=message):
        Decoding(**({"vocab": VOCAB, "max_actions": 4} | arguments))


def test_empty_prompt_is_refused(model):
    """A prompt without tokens has no last position to read logits from."""
    with pytest.raises(TraceError, match="prompt is empty"):
        decode(model, [[1], []], Decoding(VOCAB, 4))


def test_sliding_window_models_are_refused(model):
    """A model whose layers forget old positions cannot be rewound."""
    config = Qwen2Config(
        vocab_size=64, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        use_sliding_window=True, sliding_window=8, max_window_layers=1,
    )  # fmt: skip
    with pytest.raises(SettingsError, match="sliding_attention"):
        decode(Qwen2ForCausalLM(config), [[1, 2]], Decoding(VOCAB, 4))


def test_a_response_may_be_kept_from_beginning_so(model):
    """Of each row its own ids are banned at the first action, and at no later one."""
    decoding = Decoding(VOCAB, 6, temperature=0.0, eos_ids=frozenset({EOS}))
    free = [trace.ids for trace in decode(model, PROMPTS, decoding)]
    banned = [frozenset(ids[:1]) if row % 2 else frozenset() for row, ids in enumerate(free)]
    kept = [trace.ids for trace in decode(model, PROMPTS, decoding, banned_first=banned)]
    for row, (before, after) in enumerate(zip(free, kept, strict=True)):
        assert (after == before) is not bool(row % 2)
        assert after[0] not in banned[row]


@pytest.mark.parametrize("temperature", [0.0, 0.7])
@pytest.mark.parametrize("context", Context)
def test_what_is_known_of_each_action(model, temperature, context):
    """Log-prob, entropy and P(edit) are those of a softmax over the model's logits, banned edits left out."""
    decoding = Decoding(
        VOCAB, 12, context=context, temperature=temperature, budget=2, eos_ids=frozenset({EOS})
    )
    torch.manual_seed(0)
    for prompt, trace in zip(PROMPTS, decode(model, PROMPTS, decoding), strict=True):
        policy = EditPolicy(VOCAB, budget=2)
        for t, action in enumerate(trace.ids):
            seen = policy.state.live_ids if context is Context.HARD else trace.ids[:t]
            with torch.no_grad():
                logits = model(torch.tensor([[*prompt, *seen]])).logits[0, -1] / (temperature or 1.0)
            edits = sorted(VOCAB.edit_ids)
            logits[sorted(policy.banned())] = -torch.inf
            log_p = logits.log_softmax(-1)
            assert trace.logprobs[t] == pytest.approx(float(log_p[action]), abs=1e-4)
            assert trace.edit_probs[t] == pytest.approx(float(log_p[edits].exp().sum()), abs=1e-5)
            entropy = -float((log_p.exp() * log_p.clamp(min=-1e9)).sum())
            assert trace.entropies[t] == pytest.approx(entropy, abs=1e-4)
            policy.push(action)


@pytest.mark.parametrize("context", list(Context))
def test_a_teacher_takes_the_place_of_the_model(model, context):
    """Its actions are written with probability 1 whatever is banned, the model's as if it had written all."""
    asked = []

    def steer(response, live):
        asked.append((response, list(live)))
        return (VOCAB.backtrack if len(live) == 2 else 20) if response == 1 else None

    decoding = Decoding(VOCAB, 6, context, budget=0, eos_ids=frozenset({EOS}))
    generator = torch.Generator().manual_seed(3)
    traces = decode(model, PROMPTS[:3], decoding, generator=generator, steer=steer)
    b = VOCAB.backtrack
    assert traces[1].ids == [20, 20, b, 20, b, 20]
    assert traces[1].logprobs == [0.0] * 6
    assert [live for response, live in asked if response == 1] == [[], [20], [20, 20], [20], [20, 20], [20]]
    for number in (0, 2):
        expected, _ = recomputed(model, PROMPTS[number], traces[number].ids, decoding)
        assert traces[number].logprobs == pytest.approx(expected, abs=1e-4)
