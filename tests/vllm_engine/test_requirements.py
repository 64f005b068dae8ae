"""What a rewinding engine cannot do is refused by name."""

import functools
from types import SimpleNamespace as Namespace

import pytest

from halluc_plugin.edits import Context, EditVocab
from halluc_plugin.errors import HostVersionError, SettingsError
from halluc_plugin.vllm_engine.request import EditRequest

vllm = pytest.importorskip("vllm")
from vllm import SamplingParams  # noqa: E402 (only where vLLM is installed)
from vllm.exceptions import VLLMValidationError  # noqa: E402
from vllm.sampling_params import StructuredOutputsParams  # noqa: E402
from vllm.v1.kv_cache_interface import FullAttentionSpec, MambaSpec, SlidingWindowSpec  # noqa: E402

from halluc_plugin.vllm_engine import compat, requirements  # noqa: E402
from halluc_plugin.vllm_engine.bans import RewindBans  # noqa: E402
from halluc_plugin.vllm_engine.budget import EditBudget  # noqa: E402

V2_HAS_PROCESSORS = compat.installed_vllm() >= compat.RUNNER_V2_HAS_PROCESSORS
ROUTED = {f"{'aux_output' if V2_HAS_PROCESSORS else 'model'}_config__enable_return_routed_experts": True}
ATTENTION = {"block_size": 16, "num_kv_heads": 1, "head_size": 32, "dtype": None}


def config(**changes):
    """As much of a VllmConfig as is looked at; ``a__b=c`` sets ``config.a.b``."""
    ok = Namespace(
        parallel_config=Namespace(
            pipeline_parallel_size=1, decode_context_parallel_size=1, prefill_context_parallel_size=1
        ),
        model_config=Namespace(
            enable_return_routed_experts=False, enable_prompt_embeds=False, runner_type="generate",
            is_encoder_decoder=False, is_diffusion=False, is_hybrid=False, logits_processors=None,
            hf_text_config=Namespace(layer_types=["full_attention"]),
        ),
        aux_output_config=Namespace(enable_return_routed_experts=False),
        kv_transfer_config=None, ec_transfer_config=None, speculative_config=None, use_v2_model_runner=False,
    )  # fmt: skip
    for path, value in changes.items():
        *parents, name = path.split("__")
        target = ok
        for parent in parents:
            target = getattr(target, parent)
        assert hasattr(target, name)
        setattr(target, name, value)
    return ok


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"parallel_config__pipeline_parallel_size": 2}, "pipeline parallelism"),
        ({"parallel_config__decode_context_parallel_size": 2}, "context parallelism"),
        ({"kv_transfer_config": object()}, "connector"),
        ({"ec_transfer_config": object()}, "connector"),
        ({"speculative_config": object()}, "speculative decoding"),
        ({"use_v2_model_runner": True}, "VLLM_USE_V2_MODEL_RUNNER=0"),
        (ROUTED, "enable_return_routed_experts"),
        ({"model_config__enable_prompt_embeds": True}, "prompt embeddings"),
        ({"model_config__runner_type": "pooling"}, "Use a causal language model"),
        ({"model_config__is_encoder_decoder": True}, "Use a causal language model"),
        ({"model_config__is_hybrid": True}, "recurrent: only full attention"),
        (
            {"model_config__hf_text_config__layer_types": ["full_attention", "sliding_attention"]},
            "layers of kind sliding_attention",
        ),
    ],
)
def test_refuses_configurations(change, named):
    """Each feature that cannot be rewound is refused with what to do; without it nothing is."""
    requirements.check_config(config())
    with pytest.raises(SettingsError, match=named):
        requirements.check_config(config(**change))


@pytest.mark.parametrize(
    ("specs", "named"),
    [
        ([SlidingWindowSpec(**ATTENTION, sliding_window=64)], "SlidingWindowSpec"),
        ([FullAttentionSpec(**ATTENTION, sliding_window=64)], "FullAttentionSpec"),
        ([MambaSpec(block_size=16, shapes=((1,),), dtypes=(None,))], "MambaSpec"),
        ([FullAttentionSpec(**ATTENTION)] * 2, "2 groups"),
    ],
)
def test_refuses_caches_that_forget(specs, named):
    """The KV cache itself is asked, whatever the model's configuration says."""
    groups = [Namespace(kv_cache_spec=spec) for spec in specs]
    requirements.check_kv_cache(
        Namespace(kv_cache_groups=[Namespace(kv_cache_spec=FullAttentionSpec(**ATTENTION))])
    )
    with pytest.raises(SettingsError, match=named):
        requirements.check_kv_cache(Namespace(kv_cache_groups=groups))


def test_accepts_the_processor_as_class_or_subclass():
    """Whoever passes the class, or one of their own made from it, has it."""
    requirements.check_processors(config(model_config__logits_processors=[type("Mine", (RewindBans,), {})]))
    with pytest.raises(SettingsError, match="Add logits_processors"):
        requirements.check_processors(config(model_config__logits_processors=[EditBudget]))


@pytest.mark.parametrize("version", ["0.23.0", "0.33.0", "1.0.0+cpu"])
def test_refuses_untested_versions(monkeypatch, version):
    """Outside the window the engine does not start; inside, local parts of the version do not matter."""
    monkeypatch.setattr(vllm, "__version__", "0.24.0+cu129")
    compat.require_tested_vllm()
    monkeypatch.setattr(vllm, "__version__", version)
    with pytest.raises(HostVersionError, match=r"pip install 'vllm>=0\.24\.0,<0\.33'"):
        compat.require_tested_vllm()


HARD = EditRequest(EditVocab(5), context=Context.HARD)
TABU = EditRequest(EditVocab(5), context=Context.HARD, tabu=True)


@pytest.mark.parametrize(
    ("request_", "sampling", "named"),
    [
        (TABU, {"structured_outputs": StructuredOutputsParams(regex="a")}, "structured output"),
        (TABU, {"stop": ["\n"]}, "Use stop_token_ids"),
        (TABU, {"thinking_token_budget": 9}, "thinking_token_budget"),
        (TABU, {"stop_token_ids": [3, 5]}, "Edit token 5 is a stop token too"),
        (HARD, {"temperature": 0.0}, "Set halluc_tabu, halluc_budget, or a temperature above 0"),
    ],
)
def test_refuses_requests(request_, sampling, named):
    """In hard context these would go wrong; in soft context none of them does."""
    soft = EditRequest(request_.vocab)
    RewindBans.validate_params(SamplingParams(extra_args=soft.to_extra_args(), **sampling))
    with pytest.raises(ValueError, match=named):
        RewindBans.validate_params(SamplingParams(extra_args=request_.to_extra_args(), **sampling))


def test_an_engine_that_does_not_rewind_refuses_hard_requests():
    """The processor of soft context says how to start the engine instead of ignoring the wish."""
    EditBudget.validate_params(SamplingParams(extra_args=EditRequest(EditVocab(5)).to_extra_args()))
    with pytest.raises(ValueError, match="ENGINE_ARGS"):
        EditBudget.validate_params(SamplingParams(extra_args=HARD.to_extra_args()))


REFUSED = (ValueError, VLLMValidationError)  # newer versions of vLLM turn one into the other
FRONT_END = Namespace(
    get_vocab_size=lambda: 48, hf_text_config=Namespace(eos_token_id=[47, 46]), max_logprobs=20,
    is_diffusion=False, logits_processors=None, return_sampling_mask=False, enable_trace_replay=False,
)  # fmt: skip
STEPS = {"halluc_backtrack": 5, "halluc_step": 6, "halluc_step_delimiters": [3]}


def check(extra_args, processor=RewindBans, tokenizer=None, **sampling):
    """What vLLM's front end does with a request before it is queued."""
    model = Namespace(**vars(FRONT_END) | {"logits_processors": [processor]})
    params = SamplingParams(extra_args=extra_args, **sampling)
    if not V2_HAS_PROCESSORS:
        params.verify(model, None, None, tokenizer)
        return
    from vllm.v1.engine.input_processor import InputProcessor

    class FrontEnd(InputProcessor):
        tokenizer = None

        def __init__(self):
            self.vllm_config = Namespace(use_v2_model_runner=False, reasoning_config=None)
            self.model_config = model
            self.speculative_config = self.structured_outputs_config = None
            self.validate_logits_processors_params = self._build_logits_processors_params_validator()

        def resolve_watermarking(self, params):
            """Nothing is marked here."""

    FrontEnd.tokenizer = tokenizer
    FrontEnd()._validate_params(params, ("generate",))


@pytest.mark.parametrize("processor", [EditBudget, RewindBans])
@pytest.mark.parametrize(
    ("extra_args", "sampling", "named"),
    [
        ({"halluc_backtrack": 48}, {}, "halluc_backtrack names id 48, but the ids of the model end at 47"),
        ({"halluc_backtrack": 100_000}, {}, "names id 100000"),
        (STEPS | {"halluc_step": 48}, {}, "halluc_step names id 48"),
        (STEPS | {"halluc_step_delimiters": [1, 48]}, {}, "halluc_step_delimiters names id 48"),
        (STEPS | {"halluc_restart": 2**31 - 1}, {}, "halluc_restart names id 2147483647"),
        # From 0.31 on vLLM asks before us.
        (STEPS | {"halluc_backtrack": 2**64}, {}, "an integer of 65 bits|integers must be between -2..63"),
        (STEPS | {"halluc_restart": 46}, {}, "Edit token 46 is the model's end of a text"),
        (STEPS, {"stop_token_ids": [48], "min_tokens": 2}, "stop_token_ids"),
        (STEPS, {"stop_token_ids": [-1], "min_tokens": 2}, "stop_token_ids"),
        (STEPS, {"allowed_token_ids": [3, 48]}, "allowed_token_ids"),
        (STEPS | {"halluc_budget": 0}, {"allowed_token_ids": [5, 6]}, "leaves nothing to sample"),
        (STEPS | {"halluc_boundary": "mask"}, {"allowed_token_ids": [5]}, "leaves nothing to sample"),
        (
            STEPS | {"halluc_budget": 2, "halluc_tabu": True},
            {"allowed_token_ids": [1, 2, 5]},
            "leaves nothing to sample",
        ),
        ({"HALLUC_BACKTRACK": 5}, {}, "Did you mean halluc_backtrack"),
    ],
)
def test_the_front_end_refuses_what_would_end_the_engine(processor, extra_args, sampling, named):
    """Ids that the model does not have, or that leave it nothing to sample, are refused before queueing."""
    check(STEPS, processor)
    with pytest.raises(REFUSED, match=named):
        check(extra_args, processor, **sampling)


def test_the_front_end_accepts_what_only_looks_odd():
    """The last id, an edit in allowed_token_ids beside text enough, and an end of text known to nobody."""
    check(STEPS | {"halluc_restart": 45})
    check(STEPS | {"halluc_budget": 2, "halluc_tabu": True}, allowed_token_ids=[1, 2, 3, 5])
    check(STEPS, allowed_token_ids=[5])
    check(None, stop_token_ids=[3], min_tokens=2)
    with pytest.raises(REFUSED, match="Edit token 5 is the model's end"):
        check(STEPS, tokenizer=Namespace(eos_token_id=5))


def test_a_wrapped_front_end_is_known_too(monkeypatch):
    """Whoever traces vLLM by wrapping its check does not switch ours off."""
    owner, name = SamplingParams, "verify"
    if V2_HAS_PROCESSORS:
        from vllm.v1.engine.input_processor import InputProcessor

        owner, name = InputProcessor, "_validate_params"
    verify = getattr(owner, name)

    @functools.wraps(verify)
    def traced(*args, **kwargs):
        return verify(*args, **kwargs)

    monkeypatch.setattr(owner, name, traced)
    with pytest.raises(REFUSED, match="names id 100000"):
        check({"halluc_backtrack": 100_000})


def test_outside_of_the_front_end_nothing_is_known_of_the_model():
    """A check called by hand compares ids with no vocabulary."""
    assert compat.model_of_checked_request() is None
    RewindBans.validate_params(SamplingParams(extra_args={"halluc_backtrack": 100_000}))
