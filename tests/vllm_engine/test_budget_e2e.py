"""A real vLLM engine obeys budgets, and its log-probs are those of the restricted policy."""

import pytest
import torch

from halluc_plugin.edits import EditVocab, resolve_row
from halluc_plugin.edits.builders import Boundary, budget_mask
from halluc_plugin.vllm_engine.request import EditRequest

pytest.importorskip("vllm")

B, S, R, DELIMITER, SIZE = 20, 21, 22, 3, 24
VOCAB = EditVocab(B, step=S, step_delimiters=frozenset({DELIMITER}), restart=R)
LIMITS = [
    (None, Boundary.NOOP),
    (0, Boundary.NOOP),
    (2, Boundary.NOOP),
    (2, Boundary.MASK),
    (None, Boundary.MASK),
]


@pytest.fixture(scope="module")
def model_path(tmp_path_factory):
    """A small random Qwen2 that likes to edit: 3 of its 24 tokens do."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    path = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=SIZE,
        hidden_size=128,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        initializer_range=0.1,
        tie_word_embeddings=False,
        eos_token_id=None,
        bos_token_id=None,
    )
    Qwen2ForCausalLM(config).save_pretrained(path)
    return path


@pytest.mark.e2e
@pytest.mark.timeout(400)
def test_budgets_are_obeyed_and_log_probs_are_exact(model_path, monkeypatch):
    """In one mixed batch every trace keeps its limits, and each log-prob equals HF's under the same ban."""
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
    from transformers import AutoModelForCausalLM
    from vllm import LLM, SamplingParams
    from vllm.exceptions import VLLMValidationError

    engine = LLM(
        model=str(model_path),
        skip_tokenizer_init=True,
        dtype="float32",
        enforce_eager=True,
        max_model_len=128,
        max_num_seqs=7,  # below the number of requests: seats change hands
        logprobs_mode="processed_logprobs",
        logits_processors=["halluc_plugin.vllm_engine.budget:EditBudget"],
        seed=0,
    )
    requests = [(budget, boundary, seed) for seed in range(4) for budget, boundary in LIMITS]
    prompts = [{"prompt_token_ids": [1 + seed, 5, 7]} for _, _, seed in requests]
    params = [
        SamplingParams(
            temperature=0.8,
            max_tokens=16 + 8 * seed,
            seed=seed,
            logprobs=0,
            detokenize=False,
            extra_args=EditRequest(VOCAB, budget, boundary).to_extra_args(),
        )
        for budget, boundary, seed in requests
    ]
    outputs = engine.generate(prompts, params, use_tqdm=False)
    with pytest.raises(VLLMValidationError, match="Did you mean halluc_budget"):
        engine.generate(
            prompts[:1],
            SamplingParams(extra_args={"halluc_backtrack": B, "halluc_budgte": 1}, detokenize=False),
        )
    engine.llm_engine.engine_core.shutdown()

    model = AutoModelForCausalLM.from_pretrained(model_path, dtype=torch.float32)
    spent = 0
    for (budget, boundary, _), output in zip(requests, outputs, strict=True):
        completion = output.outputs[0]
        ids = list(completion.token_ids)
        resolution = resolve_row(ids, VOCAB)
        banned = budget_mask(resolution, budget, boundary)[0]  # raises if an edit stands where it was banned
        spent += budget is not None and int(resolution.num_effective[0]) == budget
        whole = torch.tensor([list(output.prompt_token_ids) + ids])
        with torch.no_grad():
            logits = model(whole).logits[0, len(output.prompt_token_ids) - 1 : -1] / 0.8
        is_edit = torch.isin(torch.arange(SIZE), torch.tensor([B, S, R]))
        log_p = logits.masked_fill(banned[:, None] & is_edit, -torch.inf).log_softmax(-1)
        want = log_p.gather(-1, torch.tensor(ids)[:, None])[:, 0]
        have = torch.tensor([entry[i].logprob for i, entry in zip(ids, completion.logprobs, strict=True)])
        torch.testing.assert_close(have, want, atol=1e-4, rtol=0)
    assert spent >= 8, "the test's traces should reach their budgets"
