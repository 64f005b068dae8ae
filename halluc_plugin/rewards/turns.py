"""Read two attempts in turns as an answer with one event: the second turn."""

from dataclasses import replace

from halluc_plugin.credit.event_values import EventValue
from halluc_plugin.rewards.answer import Answer, Verdict


def second_attempt(answer: Answer, first: Verdict, length: int) -> Answer:
    """Return a second attempt whose one event is the second turn; what that left is the first attempt.

    Args:
        answer: The judged second attempt.
        first: Verdict on the first attempt.
        length: Number of raw actions of the first attempt.
    """
    trace = replace(answer.trace, raw_length=answer.trace.raw_length + length)
    return replace(answer, trace=trace, event_values=(EventValue(first.accuracy, answer.final.accuracy),))
