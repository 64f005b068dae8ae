"""Run by test_rewind_e2e.py in a process of its own: real vLLM engines that rewind, on a CPU.

Each scenario returns what its requests asked for and what the engine answered; nothing is judged here.
"""

import json
import shutil
import sys
from pathlib import Path

from cpu_engine import (
    BLOCK,
    Engine,
    PoisonedScheduler,
    ask,
    hard,
    parameters,
    prompt,
    record,
    schedule_asynchronously,
)
from tabu_searches import GREEDY, SEARCHED_PROMPTS, samples_of, searches
from vllm.v1.worker.cpu_model_runner import CPUModelRunner

from halluc_plugin.decoding.triggers import Scope, TextSignal, Trigger
from halluc_plugin.doctor.engine import observe
from halluc_plugin.edits.builders import Boundary
from halluc_plugin.errors import SettingsError, TraceError
from halluc_plugin.search import Request, Space, run
from halluc_plugin.vllm_engine.bans import RewindBans
from halluc_plugin.vllm_engine.equivalence import EOS, VOCAB, VOCAB_SIZE
from halluc_plugin.vllm_engine.request import EditRequest, Length
from halluc_plugin.vllm_engine.sampler import VLLMSampler
from halluc_plugin.vllm_engine.trial import ask_with_readers

EDIT_BUDGET = "halluc_plugin.vllm_engine.budget:EditBudget"
LIKES_EDITS = {40: 2.0, 41: 1.0}
DODGES_EOS = {EOS: -100.0}


def greedy(engine):
    """Tabu or a budget, with prompts long enough to be prefilled in chunks."""
    mask = {"boundary": Boundary.MASK}
    settings = [
        {"tabu": True},
        {"tabu": "first"} | mask,
        {"budget": 5} | mask,
        {"tabu": "first", "budget": 9} | mask,
    ]
    bias = [DODGES_EOS | {40: i / 6, 41: i / 6, 42: i / 8} for i in range(16)]
    return engine.run(
        [
            ask(
                prompt(i, 3 + 8 * i),
                hard(**settings[i % 4]),
                temperature=0.0,
                max_tokens=96,
                logit_bias=bias[i],
            )
            for i in range(16)
        ]
    )


def sampled(engine):
    """Temperature above zero, with edits at the boundary, budgets and masks."""
    settings = [{}, {"budget": 0}, {"budget": 3}, {"boundary": Boundary.MASK}]
    settings += [{"budget": 2, "boundary": Boundary.MASK}, {"tabu": True}]
    return engine.run(
        [
            ask(prompt(20 + i, 5 + 4 * i), hard(**settings[i % 6]), temperature=0.8 + 0.1 * (i % 4),
                max_tokens=64, logit_bias=DODGES_EOS | LIKES_EDITS)
            for i in range(24)
        ]
    )  # fmt: skip


def mixed(engine):
    """Hard, soft and stock requests in one batch."""
    kinds = [hard(), EditRequest(VOCAB, budget=2), None, hard(budget=4)]
    return engine.run(
        [
            ask(prompt(50 + i, 20), kinds[i % 4], max_tokens=40, logit_bias=DODGES_EOS | LIKES_EDITS)
            for i in range(16)
        ]
    )


def ends(engine):
    """EOS and stop ids, some of them only after a minimum of live tokens."""
    return engine.run(
        [
            ask(prompt(70 + i, 9), hard(), max_tokens=120, min_tokens=12 * (i % 2), stop_token_ids=[5, 6],
                logit_bias=LIKES_EDITS | {EOS: 1.0})
            for i in range(16)
        ]
    )  # fmt: skip


def collapsed(engine):
    """max_tokens counts live tokens; some run into the bound on actions first."""
    return engine.run(
        [
            ask(prompt(90 + i, 9), hard(length=Length.COLLAPSED, max_actions=60), max_tokens=20,
                logit_bias=DODGES_EOS | {40: (i % 4) * 1.2})
            for i in range(12)
        ]
    )  # fmt: skip


def group(engine):
    """Several answers to one prompt, with their own budgets; they share its blocks."""
    shared = {"max_tokens": 48, "logit_bias": DODGES_EOS | LIKES_EDITS}
    return engine.run([ask(prompt(110, 40), hard(budget=3), n=8, **shared)])


def seeded(engine):
    """The same seeds twice."""
    asks = [
        ask(prompt(120 + i, 6), hard(), seed=i, max_tokens=64, logit_bias=DODGES_EOS | {40: 3.0})
        for i in range(8)
    ]
    once = engine.run(asks)
    return {"answers": once["answers"], "again": engine.run(asks)["answers"]}


def erased(engine):
    """A signal takes text back: by step or by tokens, by entropy or margin, with a gate, tabu, a minimum."""
    step = Trigger(TextSignal.ENTROPY, (2.6, 2.2), VOCAB.step, budget=3)
    tokens = Trigger(TextSignal.MARGIN, (-0.1,), VOCAB.backtrack, Scope.TOKEN, tokens=3, budget=5, gate=2.0)
    settings = [{"trigger": step}, {"trigger": tokens}, {"trigger": tokens, "tabu": True}, {}]
    return engine.run(
        [
            ask(prompt(310 + i, 5 + 6 * i), hard(**settings[i % 4]), max_tokens=64, min_tokens=3 * (i % 3),
                logit_bias=DODGES_EOS | {3: 1.0, 4: 1.0})
            for i in range(16)
        ]
    )  # fmt: skip


def adopted(engine):
    """Requests whose prompt is another's live text, while it is live and again after the end."""
    bias = DODGES_EOS | {40: 2.5, 41: 1.5, 42: -1.0}
    asks = [ask(prompt(140 + i, 8), hard(), max_tokens=90, logit_bias=bias) for i in range(6)]
    engine.counts.clear()
    questions = [(asked["prompt"], parameters(asked)) for asked in asks]
    answers = [record(answer) for answer in ask_with_readers(engine.llm, questions, BLOCK)]
    return {"answers": answers, "counts": dict(engine.counts)}


def penalised(engine):
    """A penalty for tokens that are in the answer already."""
    return engine.run(
        [
            ask(prompt(210 + i, 5), hard(), max_tokens=48, frequency_penalty=1.5, ignore_eos=True)
            for i in range(8)
        ]
    )


def narrow(engine):
    """A model of 64 positions, prompts of one token or nearly as long: traces are longer than that."""
    prompts = [[1 + i] if i % 2 else prompt(240 + i, 56) for i in range(12)]
    bias = DODGES_EOS | {40: 2.5}
    return engine.run([ask(each, hard(), max_tokens=80, logit_bias=bias) for each in prompts])


def interrupted(engine):
    """The cache is emptied under running requests, twice, and one request is given up."""
    bias = DODGES_EOS | LIKES_EDITS
    settings = [{}, {"budget": 6}, {"tabu": True}]
    asks = {
        f"i{i}": ask(prompt(260 + i, 20), hard(**settings[i % 3]), max_tokens=48, logit_bias=bias)
        for i in range(9)
    }
    return engine.run_by_steps(
        asks,
        {
            12: lambda: engine.engine.reset_prefix_cache(reset_running_requests=True),
            20: lambda: engine.engine.abort_request(["i0"]),
            31: lambda: engine.engine.reset_prefix_cache(reset_running_requests=True),
        },
    )


def crowded(engine):
    """More requests than the KV cache holds, with states that must outlive a preemption."""
    settings = [{}, {"budget": 3}, {"tabu": True}, {"boundary": Boundary.MASK}]
    bias = DODGES_EOS | {40: 1.5, 41: -1.0, 42: -4.0}
    return engine.run(
        [ask(prompt(160 + i, 30), hard(**settings[i % 4]), max_tokens=90, logit_bias=bias) for i in range(16)]
    )


def unchecked(engine):
    """What a front end that does not ask us would let pass, beside a request as it should be."""
    plain = hard().to_extra_args()
    sent = [
        (hard(tabu=True).to_extra_args(), {"temperature": 0.0}),
        (plain | {"halluc_backtrack": 100_000}, {}),
        (plain | {"halluc_backtrack": "5"}, {}),
        (plain, {"temperature": 0.0}),
        (plain | {"halluc_backtrack": EOS}, {}),
        (plain, {"stop_token_ids": [100_000], "min_tokens": 3}),
        (plain, {}),  # the prompt of this one is said to come in parts
    ]
    asks = {
        f"u{i}": {
            "prompt": prompt(400 + i, 9), "extra_args": extra_args, "sampling": {"max_tokens": 24} | sampling,
        }
        for i, (extra_args, sampling) in enumerate(sent)
    }  # fmt: skip
    check, add = RewindBans.validate_params, engine.scheduler.add_request

    def adding(request):
        request.resumable = request.request_id.startswith("u6")
        add(request)

    RewindBans.validate_params, engine.scheduler.add_request = classmethod(lambda *_: None), adding
    result = engine.run_by_steps(asks, {})
    RewindBans.validate_params, engine.scheduler.add_request = check, add
    return result | {"refused": len(engine.scheduler._refused)}


def soft(engine):
    """The processor of soft context on vLLM's own scheduler."""
    limits = [(None, Boundary.NOOP), (0, Boundary.NOOP), (2, Boundary.NOOP), (2, Boundary.MASK)]
    limits.append((None, Boundary.MASK))
    asks = [
        ask(prompt(190 + seed, 3), EditRequest(VOCAB, *limit), temperature=0.8, max_tokens=16 + 8 * seed,
            seed=seed, logit_bias=DODGES_EOS | LIKES_EDITS)
        for seed in range(4)
        for limit in limits
    ]  # fmt: skip
    return engine.run(asks)


def searched(engine):
    """What the sampler of searches draws in one call: greedy and not, whole and by steps, some alike."""
    space = Space(VOCAB, frozenset({EOS}), frozenset(VOCAB.step_delimiters), max_tokens=40)
    requests = [
        Request(
            tuple(prompt(300 + i // 2, 9)),
            10 + 5 * (i % 3),
            0.0 if i % 4 == 3 else 0.9,
            space.stop_ids(steps=i % 2 == 0),
        )
        for i in range(24)
    ]
    samples = VLLMSampler(engine.llm, space).sample(requests)
    return [
        {
            "prefix": request.prefix, "max_tokens": request.max_tokens, "temperature": request.temperature,
            "stop_ids": sorted(request.stop_ids), "ids": sample.ids, "logprobs": sample.logprobs,
            "end": sample.end,
        }
        for request, sample in zip(requests, samples, strict=True)
    ]  # fmt: skip


def with_tabu(engine):
    """Searches without chance that ban what samples begin with, and what is said where nothing is left."""
    sampler = VLLMSampler(engine.llm, GREEDY)
    found = run(searches(), SEARCHED_PROMPTS, sampler)
    all_ids = frozenset(range(VOCAB_SIZE))
    nothing = Request((5, 6), 4, 0.0, GREEDY.stop_ids(), banned_first=all_ids)
    try:
        said = str(sampler.sample([nothing]))
    except TraceError as error:
        said = str(error)
    return {"samples": [samples_of(search) for search in found], "nothing left": said}


def refusals(path):
    """What engines say that must not start, and whether they had loaded the weights."""
    sliding = Path(path).with_name("sliding")
    shutil.copytree(path, sliding)
    config = json.loads((sliding / "config.json").read_text())
    config |= {"use_sliding_window": True, "sliding_window": 64, "max_window_layers": 1}
    config["layer_types"] = ["full_attention", "sliding_attention"]
    (sliding / "config.json").write_text(json.dumps(config))
    said, loaded = {}, {}
    load = CPUModelRunner.load_model
    for name, folder, overrides in (
        ("no processor", path, {"logits_processors": None}),
        ("no scheduler", path, {"scheduler_cls": None}),
        ("sliding window", str(sliding), {}),
    ):
        loaded[name] = False

        def loading(*args, name=name, **kwargs):
            loaded[name] = True
            return load(*args, **kwargs)

        CPUModelRunner.load_model = loading
        try:
            Engine(folder, **overrides)
        except SettingsError as error:
            said[name] = str(error)
    CPUModelRunner.load_model = load
    return said | {"loaded": loaded}


def main(path, results_path):
    """Run all scenarios and write what they return."""
    engine = Engine(path)
    scenarios = (greedy, sampled, mixed, ends, collapsed, group, seeded, adopted, penalised, interrupted)
    results = {scenario.__name__: scenario(engine) for scenario in scenarios}
    results["erased"] = erased(engine)
    results["unchecked"] = unchecked(engine)
    results["crowded"] = crowded(Engine(path, num_gpu_blocks_override=34))
    results["erased_crowded"] = erased(Engine(path, num_gpu_blocks_override=20))
    results["narrow"] = narrow(Engine(path, max_model_len=64))
    results["uncached"] = sampled(Engine(path, enable_prefix_caching=False))
    results["poisoned"] = adopted(Engine(path, scheduler_cls=PoisonedScheduler))
    results["runner_v2_lacks"] = engine.engine.vllm_config._get_v2_model_runner_unsupported_features()
    engine_in_soft_context = Engine(path, scheduler_cls=None, logits_processors=[EDIT_BUDGET])
    results["soft"] = soft(engine_in_soft_context)
    results["searched"] = searched(engine_in_soft_context)
    results["with_tabu"] = with_tabu(engine_in_soft_context)
    results["refusals"] = refusals(path)
    results["doctor"] = observe()
    results["doctor_poisoned"] = observe(scheduler_cls=PoisonedScheduler)
    schedule_asynchronously()
    engine = Engine(path)
    assert engine.engine.engine_core.engine_core.batch_queue_size == 2
    results |= {
        f"async_{scenario.__name__}": scenario(engine) for scenario in (mixed, ends, adopted, interrupted)
    }
    results["async_crowded"] = crowded(Engine(path, num_gpu_blocks_override=34))
    Path(results_path).write_text(json.dumps(results))


if __name__ == "__main__":
    main(*sys.argv[1:])
