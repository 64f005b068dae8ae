"""What a model has rows and positions for is sampled, nothing else, and on whatever devices it lies."""

import pytest
import torch
from transformers import BloomConfig, GPT2Config, GPT2LMHeadModel, Qwen2Config, Qwen2ForCausalLM

from halluc_plugin.decoding import Context, Decoding, decode
from halluc_plugin.decoding.limits import max_positions, require_room
from halluc_plugin.decoding.slots import SlotCache
from halluc_plugin.edits import EditVocab, collapse
from halluc_plugin.errors import SettingsError, TokenizerError, TraceError

BACK, EOS, SIZE, ROWS = 20, 21, 22, 40
VOCAB = EditVocab(backtrack=BACK, size=SIZE, gaps=frozenset({7, 9}))


def qwen(positions=32, rows=ROWS, **options):
    """A small random model with more rows than there are tokens."""
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=rows, hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=positions, tie_word_embeddings=False, **options,
    )  # fmt: skip
    return Qwen2ForCausalLM(config).eval()


def gpt2():
    """A model with learned positions, which has no row beyond them."""
    torch.manual_seed(0)
    return GPT2LMHeadModel(GPT2Config(vocab_size=ROWS, n_positions=32, n_embd=16, n_layer=1, n_head=2)).eval()


ROPE = {"rope_theta": 1e4}
LINEAR = {"rope_type": "linear", "factor": 4.0}


@pytest.mark.parametrize(
    ("config", "positions"),
    [
        (GPT2Config(n_positions=77), 77),
        (Qwen2Config(max_position_embeddings=99), 99),
        (BloomConfig(), None),  # positions by distance: no end
        (Qwen2Config(max_position_embeddings=100, rope_parameters={**ROPE, **LINEAR}), 400),
        (
            Qwen2Config(
                max_position_embeddings=400,
                rope_parameters={
                    **ROPE, "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 100
                },
            ),
            400,
        ),
        (
            Qwen2Config(
                max_position_embeddings=800,
                rope_parameters={
                    **ROPE, "rope_type": "llama3", "factor": 8.0, "original_max_position_embeddings": 100,
                    "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                },
            ),
            800,
        ),
    ],
    ids=["learned", "rotary", "none", "linear", "yarn", "llama3"],
)  # fmt: skip
def test_positions_are_those_that_a_model_was_made_for(config, positions):
    """Learned or rotary, with the scaling of rotary ones; without end where a config names none."""
    assert max_positions(config) == positions


@pytest.mark.parametrize("model", [qwen, gpt2])
def test_soft_answers_that_do_not_fit_are_refused_before_sampling(model):
    """One message, with the numbers: 24 tokens and an answer of 9 are more than 32."""
    model, calls = model(), []
    model.register_forward_hook(lambda *_: calls.append(1))
    prompts = [[1] * 8, [2] * 24]
    with pytest.raises(SettingsError, match=r"24 tokens with an answer of up to 9 .*32 positions"):
        decode(model, prompts, Decoding(VOCAB, 9))
    assert not calls
    (_, full) = decode(model, prompts, Decoding(VOCAB, 8))
    assert len(full.ids) == 8


def test_each_answer_has_a_limit_of_its_own():
    """What is short may stand beside what is long, as long as each fits."""
    traces = decode(qwen(), [[1] * 30, [2]], Decoding(VOCAB, 31), limits=[2, 31])
    assert [len(trace.ids) for trace in traces] == [2, 31]
    require_room(qwen().config, [[1] * 30, [2]], [2, 31])
    with pytest.raises(SettingsError, match="30 tokens with an answer of up to 3"):
        require_room(qwen().config, [[1] * 30, [2]], [3, 31])


@pytest.mark.parametrize("model", [qwen, gpt2])
def test_in_hard_context_live_tokens_fill_the_model(model):
    """An answer may have more actions than there are positions; it ends where live tokens fill them."""
    model = model()
    with torch.no_grad():
        model.lm_head.weight *= 0.1  # edits come as often as other tokens, and then they do not
    decoding = Decoding(VOCAB, 400, Context.HARD, eos_ids=frozenset({EOS}))
    with pytest.raises(SettingsError, match="32 tokens"):
        decode(model, [[1] * 32], decoding)
    generator = torch.Generator().manual_seed(0)
    lengths = set()
    for trace in decode(model, [[1] * 28] * 64, decoding, generator=generator):
        live = [len(collapse(trace.ids[:at], VOCAB)) for at in range(len(trace.ids) + 1)]
        assert max(live) <= 4
        assert trace.finish == ("eos" if trace.ids[-1] == EOS else "length")
        assert trace.ids[-1] == EOS or live[-1] == 4
        lengths.add(len(trace.ids))
    assert max(lengths) > 4


@pytest.mark.parametrize("context", list(Context))
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_ids_that_are_no_token_have_no_probability(context, temperature):
    """Rows beyond the tokenizer and gaps in it are never sampled; the others' log-probs sum to 1."""
    model, unknown = qwen(positions=256), [7, 9, *range(SIZE, ROWS)]
    decoding = Decoding(VOCAB, 40, context, temperature=temperature, budget=5, eos_ids=frozenset({EOS}))
    traces = decode(model, [[1], [2, 3]] * 16, decoding, generator=torch.Generator().manual_seed(0))
    assert not set(unknown) & {token for trace in traces for token in trace.ids}
    for prompt, trace in zip([[1], [2, 3]], traces, strict=False):
        seen = [*prompt, *(collapse(trace.ids[:-1], VOCAB) if context is Context.HARD else trace.ids[:-1])]
        with torch.no_grad():
            logits = model(torch.tensor([seen])).logits[0, -1]
        banned = [*unknown, BACK] if trace.ids[:-1].count(BACK) >= 5 else unknown
        logits[banned] = -torch.inf
        assert trace.logprobs[-1] == pytest.approx(logits.log_softmax(-1)[trace.ids[-1]].item(), abs=1e-4)


def test_a_model_without_the_row_of_an_edit_token_is_refused():
    """It could never write the token; without a budget it would go on as if nothing was wrong."""
    with pytest.raises(TokenizerError, match=r"id 20.*model has 20 rows.*halluc add-token"):
        decode(qwen(rows=20), [[1]], Decoding(VOCAB, 4))
    # A tokenizer without edit tokens: the id stands for none, and may be banned.
    none = EditVocab(backtrack=20, size=20)
    (trace,) = decode(qwen(rows=20), [[1]], Decoding(none, 4, budget=0))
    assert len(trace.ids) == 4


def test_nothing_left_to_sample_is_an_error():
    """Not the first id, nor an error of torch's."""
    every = EditVocab(backtrack=0, size=1)
    with pytest.raises(TraceError, match="Every token is banned"):
        decode(qwen(rows=2), [[1]], Decoding(every, 4, budget=0, tabu=True))


class Elsewhere:
    """An index on another device, which torch would refuse: it can only be moved."""

    def __init__(self, index):
        self._index, self.asked = index, []

    def to(self, device):
        """Where it is wanted."""
        self.asked.append(device)
        return self._index


def test_indices_are_moved_to_where_a_layer_s_keys_are():
    """With ``parallelize=True`` each layer's keys lie on its own device, the positions on the first one."""
    cache = SlotCache(qwen().config, 16)
    written = torch.arange(4.0).reshape(2, 1, 2, 1)
    positions = Elsewhere(torch.tensor([[3, 0], [1, 2]]))
    cache.place(positions, 4)
    keys, _ = cache.update(written, written, 1)
    assert keys[:, 0, :, 0].tolist() == [[1, 0, 0, 0], [0, 2, 3, 0]]
    rows = Elsewhere(torch.tensor([1]))
    cache.select(rows)
    assert cache.layers[1].keys[0, 0, :4, 0].tolist() == [0, 2, 3, 0]
    assert positions.asked == rows.asked == [torch.device("cpu")]


def test_a_model_whose_weights_wait_elsewhere_is_decoded():
    """Offloaded by accelerate, as ``parallelize=True`` does where memory is short: the same answers."""
    from accelerate import cpu_offload

    plain, offloaded = qwen(positions=64), qwen(positions=64)
    cpu_offload(offloaded, execution_device=torch.device("cpu"))
    assert next(offloaded.parameters()).device.type == "meta"
    decoding = Decoding(VOCAB, 20, temperature=0.0)
    prompts = [[1, 2, 3], [4]]
    assert decode(offloaded, prompts, decoding) == decode(plain, prompts, decoding)
