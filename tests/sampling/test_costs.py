"""What searches cost: a prefix that was computed is not computed again."""

from hypothesis import given
from hypothesis import strategies as st

from halluc_plugin.metrics import DecoderShape
from halluc_plugin.sampling.costs import Computed, Cost, cost_of
from halluc_plugin.sampling.rating import Spent
from halluc_plugin.sampling.states import End, Request, Sample

SEQUENCES = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=6).map(tuple), max_size=12)


@given(SEQUENCES, st.lists(st.integers(0, 2), max_size=6).map(tuple))
def test_what_is_reused_is_the_longest_shared_prefix(sequences, ids):
    """As found by comparing with every sequence."""
    computed = Computed()
    for sequence in sequences:
        computed.add(sequence)

    def shared(other):
        return next((at for at in range(len(ids)) if ids[: at + 1] != other[: at + 1]), len(ids))

    assert computed.reused(ids) == max(map(shared, sequences), default=0)


def test_costs_by_hand():
    """Of a prefix of 5 the first 3 are known: 2 slots that attend to 4 + 5 positions; then a sample of 1."""
    cost = Cost()
    cost.prefill(5, reused=3)
    assert (cost.tokens, cost.slots, cost.context) == (0, 2, 9)
    cost.add(5, 1)
    assert (cost.tokens, cost.slots, cost.context) == (1, 3, 15)
    shape = DecoderShape(hidden=1, kv=1, intermediate=1, layers=1)
    before = cost.flops(shape)
    cost.rated += Spent(scorer_tokens=4, flops=100)
    assert cost.flops(shape) == before + 100 == 7 * 3 + 15 + 100


def test_a_prefix_that_was_computed_is_not_paid_again():
    """A prompt of 2, two answers of 2 behind it, and one of 1 behind the prompt and the first: 2+2+2+1."""
    asked = [(9, 8), (9, 8), (9, 8, 5, 0)]
    drawn = [(5, 0), (6, 0), (7,)]
    samples = [
        (Request(prefix, 4, 1.0, frozenset({0})), Sample(ids, (), End.EOS))
        for prefix, ids in zip(asked, drawn, strict=True)
    ]
    cost = cost_of((9, 8), samples)
    assert (cost.tokens, cost.slots) == (5, 2 + 2 + 2 + 1)
    assert cost.context == (1 + 2) + (3 + 4) * 2 + 5
