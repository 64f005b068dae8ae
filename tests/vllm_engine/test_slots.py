"""The logits processor follows requests through the slots of vLLM's model runner V2."""

import random
from types import SimpleNamespace as Namespace

import numpy as np
import pytest
import torch

from halluc_plugin.decoding import EditPolicy, Tabu
from halluc_plugin.edits import EditVocab
from halluc_plugin.edits.builders import Boundary
from halluc_plugin.errors import HostVersionError, SettingsError
from halluc_plugin.vllm_engine.request import EditRequest

vllm = pytest.importorskip("vllm")
from vllm import SamplingParams  # noqa: E402 (only where vLLM is installed)

from halluc_plugin.vllm_engine import compat  # noqa: E402
from halluc_plugin.vllm_engine.bans import RewindBans  # noqa: E402
from halluc_plugin.vllm_engine.budget import EditBudget  # noqa: E402

B, S, R, DELIMITER = 5, 6, 7, 1
VOCAB = EditVocab(B, step=S, step_delimiters=frozenset({DELIMITER}), restart=R)
SLOTS, POSITIONS = 6, 64


def config(*, speculative=None, sharded=False):
    """As much of a VllmConfig as is looked at."""
    return Namespace(
        speculative_config=speculative, parallel_config=Namespace(enable_batch_sharded_sampling=sharded)
    )


class Runner:
    """Model runner V2 as far as a logits processor sees it: a table of tokens, and rows in any order."""

    def __init__(self, processor=EditBudget):
        self.tokens = torch.full((SLOTS, POSITIONS), 99, dtype=torch.int32)  # what a former request left
        self.total, self.prompt = torch.zeros(SLOTS, dtype=torch.int32), np.zeros(SLOTS, dtype=np.int32)
        states = Namespace(
            device=torch.device("cpu"), all_token_ids=Namespace(gpu=self.tokens),
            total_len=Namespace(gpu=self.total), prompt_len=Namespace(np=self.prompt),
        )  # fmt: skip
        self.processor = processor(config(), states)

    def join(self, slot, params, prompt, output=()):
        """A request enters, or comes back with its output; returns whether it is limited."""
        ids = [*prompt, *output]
        self.tokens[slot, : len(ids)] = torch.tensor(ids, dtype=torch.int32)
        self.total[slot], self.prompt[slot] = len(ids), len(prompt)
        return self.processor.add_request(slot, params)

    def sampled(self, slot, token_id):
        """A token is appended."""
        self.tokens[slot, self.total[slot]] = token_id
        self.total[slot] += 1

    def banned(self, slots):
        """The ids banned for each slot, whose rows have this order."""
        batch = Namespace(idx_mapping_np=np.array(slots))
        logits = self.processor.apply(torch.zeros(len(slots), 10), batch)
        return {
            slot: frozenset((row == -torch.inf).nonzero()[:, 0].tolist())
            for slot, row in zip(slots, logits, strict=True)
        }


def params(**limits):
    """Sampling parameters of a request with limits."""
    return SamplingParams(extra_args=EditRequest(VOCAB, **limits).to_extra_args())


@pytest.mark.parametrize("seed", range(40))
def test_bans_what_the_policy_bans(seed):
    """Whatever enters, leaves, pauses, comes back or changes its row, each request keeps its own policy."""
    choose, runner = random.Random(seed), Runner()
    policies, outputs, asked = {}, {}, {}
    for _ in range(60):
        for slot in range(SLOTS):
            if slot not in policies and choose.random() < 0.4:
                limits = {
                    "budget": choose.choice([None, 0, 1, 3]), "boundary": choose.choice(list(Boundary)),
                    "tabu": choose.choice(list(Tabu)),
                }  # fmt: skip
                asked[slot] = params(**limits) if choose.random() < 0.8 else SamplingParams()
                policies[slot] = EditPolicy(VOCAB, **limits) if asked[slot].extra_args else None
                outputs[slot] = []
                runner.join(slot, asked[slot], [2] * choose.randint(1, 9))
            elif slot in policies and choose.random() < 0.05:
                del policies[slot]  # it ends; nobody tells the processor
            elif slot in policies and choose.random() < 0.05:  # preempted, and back in the same slot
                runner.join(slot, asked[slot], [2] * int(runner.prompt[slot]), outputs[slot])
        batch = choose.sample(sorted(policies), choose.randint(0, len(policies)))
        if not batch:
            continue
        for slot, found in runner.banned(batch).items():
            policy = policies[slot]
            assert found == (policy.banned() if policy else frozenset())
            token_id = choose.choice([i for i in (1, 2, 3, B, S, R) if i not in found] or [4])
            if int(runner.total[slot]) == POSITIONS:
                del policies[slot]
                continue
            runner.sampled(slot, token_id)
            outputs[slot].append(token_id)
            if policy:
                policy.push(token_id)


def test_says_which_requests_it_limits():
    """Runner V2 skips the processor where it has nothing to do."""
    runner = Runner()
    assert runner.join(0, params(budget=1), [2])
    assert not runner.join(1, params(), [2])
    assert not runner.join(2, SamplingParams(), [2])


@pytest.mark.parametrize(
    ("changed", "named"),
    [({"speculative": object()}, "speculative_config"), ({"sharded": True}, "enable_batch_sharded_sampling")],
)
def test_refuses_more_rows_than_requests(changed, named):
    """Limits are kept for one row of logits for each request."""
    states = Namespace(device=torch.device("cpu"))
    EditBudget(config(), states)
    with pytest.raises(SettingsError, match=named):
        EditBudget(config(**changed), states)


def test_refuses_an_untested_runner(monkeypatch):
    """What runner V2 gives to its processors is read only in versions that were looked at."""
    monkeypatch.setattr(vllm, "__version__", "0.99.0")
    with pytest.raises(HostVersionError, match="context=soft without limits"):
        EditBudget(config(), Namespace(device=torch.device("cpu")))


def test_hard_context_is_refused_with_the_setting_that_helps():
    """Runner V2 keeps its own count of tokens, so an engine that rewinds does not start on it."""
    one = dict.fromkeys(
        ("pipeline_parallel_size", "decode_context_parallel_size", "prefill_context_parallel_size"), 1
    )
    model = Namespace(runner_type="generate", is_encoder_decoder=False, is_diffusion=False,
                      enable_return_routed_experts=False, enable_prompt_embeds=False)  # fmt: skip
    v2 = Namespace(
        parallel_config=Namespace(**one), model_config=model, kv_transfer_config=None,
        ec_transfer_config=None,
        speculative_config=None, use_v2_model_runner=True,
        aux_output_config=Namespace(enable_return_routed_experts=False),
    )  # fmt: skip
    with pytest.raises(SettingsError, match="VLLM_USE_V2_MODEL_RUNNER=0"):
        RewindBans(v2, Namespace(device=torch.device("cpu")))


@pytest.mark.skipif(
    compat.installed_vllm() < compat.RUNNER_V2_HAS_PROCESSORS, reason="runner V2 takes no processors"
)
def test_both_runners_know_the_processors():
    """A vLLM with two interfaces takes the class of each name on either runner."""
    from vllm.v1.sample.logits_processor import LogitsProcessor
    from vllm.v1.worker.gpu.sample.logits_processor.loader import _load_v2_logitsprocs_by_fqcns

    from halluc_plugin.vllm_engine.launch import KNOWN_IDS, PROCESSOR, SOFT_PROCESSOR

    for found in _load_v2_logitsprocs_by_fqcns([SOFT_PROCESSOR, PROCESSOR, KNOWN_IDS]):
        assert issubclass(found, LogitsProcessor)
