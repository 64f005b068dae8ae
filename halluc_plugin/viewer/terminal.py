"""Show answers in a terminal: what was sampled, what was taken back, what is left."""

from collections.abc import Iterator

from rich.console import Console, Group
from rich.panel import Panel
from rich.text import Text

from halluc_plugin.rewards import components
from halluc_plugin.tokens.vocabulary import TOKENS
from halluc_plugin.viewer.answers import ShownAnswer
from halluc_plugin.viewer.visible import visible

SYMBOLS = {token.text: token.symbol for token in TOKENS}
"""The symbol by which each edit token is shown."""

ERASED, EDIT = "red strike", "yellow"
HEADLINE = ("acc", "acc_raw", "num_events", "num_erased", "raw_length")
"""Scores that the first line shows if a record has them."""


def show(shown: ShownAnswer, console: Console) -> None:
    """Print one answer.

    Args:
        shown: The answer.
        console: The console to print to.
    """
    name = visible(shown.answer) if shown.step is None else f"step {shown.step}, {visible(shown.answer)}"
    console.print(Panel(Group(*_lines(shown)), title=Text(name), title_align="left"))


def _lines(shown: ShownAnswer) -> Iterator[Text]:
    paid = "" if shown.reward is None else f"reward {shown.reward:g}"
    scores = "  ".join(f"{name} {shown.scores[name]:g}" for name in HEADLINE if name in shown.scores)
    yield Text("  ".join(filter(None, (paid, _advantage(shown), scores))), style="dim")
    known = components()
    parts = "  ".join(f"{name} {score:g}" for name, score in shown.scores.items() if name in known)
    if parts:
        yield _labelled("parts", Text(f"{parts}  (of the reward, unweighted)", style="dim"))
    yield _labelled("problem", Text("\n".join(map(visible, shown.prompt.rstrip("\n").split("\n")))))
    yield _labelled("sampled", sampled(shown))
    yield _labelled("answer", answer(shown))


def sampled(shown: ShownAnswer) -> Text:
    """Return every action in order: erased text struck through, edits as symbols, line ends as ``↵``.

    Each sample of a search begins a new line.
    """
    text = Text()
    lives = shown.record.live if shown.record else [True] * len(shown.tokens)
    starts = set(shown.starts or ()) - {0}
    for at, (token, live, edit) in enumerate(zip(shown.tokens, lives, shown.is_edit, strict=True)):
        if at in starts:
            text.append("\n")
        style = EDIT if edit else "" if live else ERASED
        text.append(SYMBOLS.get(token.strip(), visible(token)), style)
    return text


def answer(shown: ShownAnswer) -> Text:
    """Return the resolved text."""
    return Text(visible(shown.left))


def _labelled(label: str, text: Text) -> Text:
    return Text.assemble((f"{label:<9}", "bold"), text)


def _advantage(shown: ShownAnswer) -> str:
    """The advantages of the actions that learn: one figure where they are equal."""
    if shown.advantages is None or shown.response_mask is None:
        return ""
    paid = zip(shown.advantages, shown.response_mask, strict=True)
    learning = [advantage for advantage, learns in paid if learns]
    if not learning:
        return "no action learns"
    low, high = min(learning), max(learning)
    return f"advantage {low:+.2f}" if high - low < 5e-3 else f"advantages {low:+.2f} to {high:+.2f}"
