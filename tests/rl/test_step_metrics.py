"""Which answers of a step are looked at more closely, and what is found."""

from halluc_plugin.rl.step_metrics import drawn_groups

KEYS = [f"{prompt}_{session}_0" for prompt in "abcdef" for session in range(4)]


def prompt_of(key):
    """The prompt that an answer is to."""
    return key.split("_")[0]


def test_whole_groups_are_drawn():
    """All answers to as many prompts as there is room for, the last group cut where the room ends."""
    chosen = drawn_groups(KEYS, 10, 3, prompt_of)
    counts = [sum(key.startswith(prompt) for key in chosen) for prompt in "abcdef"]
    assert sorted(counts) == [0, 0, 0, 2, 4, 4]


def test_the_step_decides_which():
    """The same step draws the same, whatever the order of the keys; other steps draw others."""
    assert drawn_groups(KEYS, 8, 3, prompt_of) == drawn_groups(KEYS[::-1], 8, 3, prompt_of)
    assert len({tuple(drawn_groups(KEYS, 4, step, prompt_of)) for step in range(20)}) > 1


def test_no_more_than_there_are():
    """Nothing is drawn twice, and nothing of nothing."""
    assert sorted(drawn_groups(KEYS, 99, 1, prompt_of)) == sorted(KEYS)
    assert drawn_groups(KEYS, 0, 1, prompt_of) == drawn_groups([], 4, 1, prompt_of) == []
