"""What clients ask of the engine of events_on_cpu.py, as hypothesis draws it."""

from cpu_engine import hard
from hypothesis import strategies as st
from vllm import SamplingParams
from vllm.sampling_params import RequestOutputKind

from halluc_plugin.decoding.policy import Tabu
from halluc_plugin.edits.builders import Boundary
from halluc_plugin.vllm_engine.equivalence import EOS, VOCAB
from halluc_plugin.vllm_engine.request import EditRequest, Length

FAMILIES = [[(7 * i * i + 3 * i + family) % 39 for i in range(80)] for family in range(3)]
PROMPTS = st.builds(lambda family, length: family[:length], st.sampled_from(FAMILIES), st.integers(1, 80))
WORDS = st.lists(st.integers(0, 38), min_size=1, max_size=6)

_tabus = st.sampled_from([Tabu.LAST, Tabu.FIRST])
_budgets = st.integers(0, 8)
_boundaries = st.sampled_from(Boundary)
_limited = st.one_of(
    st.builds(hard, budget=_budgets, boundary=_boundaries),
    st.builds(hard, tabu=_tabus),
    st.builds(hard, tabu=_tabus, budget=_budgets, boundary=_boundaries),
)
_unlimited = st.one_of(
    st.builds(hard, boundary=_boundaries),
    st.builds(hard, length=st.just(Length.COLLAPSED), max_actions=st.integers(1, 60)),
)
_softs = st.one_of(st.none(), st.builds(EditRequest, st.just(VOCAB), budget=_budgets, boundary=_boundaries))
_biases = st.fixed_dictionaries(
    {40: st.sampled_from([0.0, 2.0, 4.0]), 41: st.sampled_from([0.0, 2.0]), 42: st.sampled_from([-4.0, 1.0]),
     EOS: st.sampled_from([-100.0, 0.0])}
)  # fmt: skip
# Where no position is left below the minimum, vLLM 0.28 leaves a request of its own without an end.
_minima = st.sampled_from([0, 0, 0, 6])
_numbers = st.sampled_from([1, 1, 2, 3])
_sampling = {
    "max_tokens": st.integers(1, 44), "logit_bias": _biases,
    "stops": st.sampled_from([(), (), (5, 6)]), "output_kind": st.sampled_from(list(RequestOutputKind)),
}  # fmt: skip
_greedy, _sampled = st.just(0.0), st.just(1.0)


def params_of(request, *, temperature, many=1, few=0, stops=(), **sampling):
    """Sampling parameters; a minimum is at most the maximum, and what is greedy has one answer."""
    return SamplingParams(
        temperature=temperature, n=many if temperature else 1, stop_token_ids=list(stops), logprobs=0,
        min_tokens=min(few, sampling["max_tokens"]), detokenize=False,
        extra_args=request.to_extra_args() if request else None, **sampling,
    )  # fmt: skip


# Without a limit a greedy request would go around in circles, and is refused.
HARD = st.one_of(
    st.builds(params_of, _limited, temperature=_greedy, few=_minima, **_sampling),
    st.builds(
        params_of, _limited | _unlimited, temperature=_sampled, many=_numbers, few=_minima, **_sampling
    ),
)
WRITERS = st.builds(
    params_of, st.builds(hard, boundary=_boundaries), temperature=_sampled, max_tokens=st.integers(30, 60),
    logit_bias=st.just({40: 1.0, 41: 3.0, 42: 2.0, EOS: -100.0}),
)  # fmt: skip
OTHER = st.builds(params_of, _softs, temperature=_greedy | _sampled, many=_numbers, **_sampling)
PART = st.builds(
    params_of, _softs, temperature=_greedy | _sampled, max_tokens=st.integers(1, 20), logit_bias=_biases,
    output_kind=st.just(RequestOutputKind.DELTA),
)  # fmt: skip
