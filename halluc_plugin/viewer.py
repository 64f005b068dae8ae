"""Logged answers in a terminal: what was sampled, what was taken back, what is left."""

from collections.abc import Iterator

from rich.console import Console, Group
from rich.panel import Panel
from rich.text import Text

from halluc_plugin.rewards import components
from halluc_plugin.tokens.vocabulary import TOKENS
from halluc_plugin.trace_log import LoggedTrace

SYMBOLS = {token.text: token.symbol for token in TOKENS}
"""How edit tokens are shown."""

ERASED, EDIT = "red strike", "yellow"
HEADLINE = ("acc", "acc_raw", "num_events", "num_erased", "raw_length")
"""Scores of the first line, of those that a record has."""


def show(trace: LoggedTrace, console: Console) -> None:
    """Print one answer.

    Args:
        trace: The answer.
        console: Where to print.
    """
    console.print(
        Panel(Group(*_lines(trace)), title=f"step {trace.step}, {trace.answer}", title_align="left")
    )


def _lines(trace: LoggedTrace) -> Iterator[Text]:
    scores = "  ".join(f"{name} {trace.scores[name]:g}" for name in HEADLINE if name in trace.scores)
    yield Text(f"reward {trace.reward:g}  {_advantage(trace)}  {scores}", style="dim")
    known = components()
    parts = "  ".join(f"{name} {score:g}" for name, score in trace.scores.items() if name in known)
    if parts:
        yield _labelled("parts", Text(f"{parts}  (of the reward, unweighted)", style="dim"))
    yield _labelled("problem", Text(trace.prompt.rstrip("\n")))
    yield _labelled("sampled", sampled(trace))
    yield _labelled("answer", answer(trace))


def sampled(trace: LoggedTrace) -> Text:
    """Every action in order: erased ones struck through, edits as symbols, line ends as ``↵``."""
    text = Text()
    states = zip(trace.tokens, trace.record.live, trace.record.erased_at, strict=True)
    for token, live, erased_at in states:
        style = "" if live else EDIT if erased_at is None else ERASED
        text.append(SYMBOLS.get(token.strip(), token).replace("\n", "↵ "), style)
    return text


def answer(trace: LoggedTrace) -> Text:
    """What is left."""
    text = trace.text
    if text is None:
        live = zip(trace.tokens, trace.record.live, strict=True)
        text = "".join(token for token, is_live in live if is_live)
    return Text(text.replace("\n", "↵ "))


def _labelled(label: str, text: Text) -> Text:
    return Text.assemble((f"{label:<9}", "bold"), text)


def _advantage(trace: LoggedTrace) -> str:
    """The advantages of the actions that learn: one figure where they are equal."""
    learning = [a for a, learns in zip(trace.advantages, trace.response_mask, strict=True) if learns]
    if not learning:
        return "no action learns"
    low, high = min(learning), max(learning)
    return f"advantage {low:+.2f}" if high - low < 5e-3 else f"advantages {low:+.2f} to {high:+.2f}"
