"""What is kept of a selected answer beside its text."""

from halluc_plugin.sampling.states import End, Response, Sample
from halluc_plugin.search.answers import known_actions


class Words:
    """A tokenizer of three texts."""

    def decode(self, ids, **_):
        """The texts, joined."""
        return "".join("abc"[i] for i in ids)


def test_what_an_engine_tells_goes_with_the_tokens():
    """Through several samples, without the edit that ended one, and without a last step that was dropped."""
    first = Sample((0, 2), (-0.5, -1.0), End.EDIT, (0.25, 0.5), (0.0, 0.75))
    second = Sample((1, 2), (-0.25, -2.0), End.EOS, (1.0, 0.125), (0.5, 0.25))
    response = Response().extended(first).extended(second)
    assert known_actions(response, Words()) == {
        "tokens": ["a", "b", "c"],
        "log_probs": [-0.5, -0.25, -2.0],
        "entropies": [0.25, 1.0, 0.125],
        "edit_probs": [0.0, 0.5, 0.25],
    }
    assert known_actions(response.without_last_step({1}), Words())["edit_probs"] == [0.0, 0.5]


def test_what_an_engine_does_not_tell_is_blank():
    """VLLM says the log-prob of what was sampled alone; and what it tells makes no other response."""
    plain = Response().extended(Sample((0, 1), (-0.5, -1.0), End.EOS))
    known = known_actions(plain, Words())
    assert known["log_probs"] == [-0.5, -1.0]
    assert known["entropies"] is known["edit_probs"] is None
    assert plain == Response().extended(Sample((0, 1), (-0.5, -1.0), End.EOS, (0.5, 0.5), (0.0, 0.0)))
