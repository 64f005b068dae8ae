"""The names of the columns that carry edit statistics with an answer through verl."""

ERASED = "backtrack_erased"
"""Column, Long[T]: 1 at text tokens that were erased."""

EVENT = "backtrack_event"
"""Column, Long[T]: number of each action's event, -1 outside events."""

BUDGET = "backtrack_budget"
"""Column, Long[1]: effective edits that could be sampled; the actor bans what the engine banned."""

EDIT_PROBS = "backtrack_edit_probs"
"""Column, Float[prompt and response]: the probability that an action is an edit, one position before the
action. It comes from the actor's pass before the update, and only from halluc's own engine."""

STATISTICS = "backtrack"
"""Extra field: counts of the agent loop by name, among them whether the answer was cut off."""

CONTINUATIONS = "backtrack_continuations"
"""Extra field: the answers sampled from states, by position (see :class:`halluc_plugin.rewards.States`)."""

TURNS = "refinement_turns"
"""Extra field: the end of the first attempt, and the beginning of the second one."""

RESET = "reset_point"
"""Extra field: how many tokens of a failed first answer its group begins with, -1 if that was right."""
