"""The options that several commands share, each declared once with its help."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from halluc_plugin.cli import choices
from halluc_plugin.cli.help import NEW_LINE

NUMBER_LEVEL = "number-level"


def _hush(quiet: bool) -> bool:
    if quiet:
        # huggingface_hub and transformers read it as they are imported, which is later.
        os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    return quiet


Out = Annotated[Path, typer.Option(help="Folder; the files go to a folder below it, named after the task.")]
Train = Annotated[int, typer.Option(help="Number of training problems.")]
Test = Annotated[int, typer.Option(help="Number of problems of each held-out kind.")]
Seed = Annotated[int, typer.Option(help="Seed of all that is drawn at random.")]
Workers = Annotated[int, typer.Option(help="Processes that write traces; the files are the same.")]
Limit = Annotated[int | None, typer.Option(min=1, help="Most rows read, from the first.", show_default="all")]
Tokenizer = Annotated[
    str, typer.Option(help="Folder or hub name whose ids the traces are in, or number-level.")
]
Backtracking = Annotated[
    float, typer.Option(help="Backtracking traces for each clean one (D_back to D_op); 0 for none.")
]
Edits = Annotated[choices.Edits, typer.Option(help="What deletes errors: an edit for each token, or step.")]
Endings = Annotated[
    choices.Endings,
    typer.Option(help="Where backtracking traces end: with the correction, or right behind the backtrack."),
]
Delimiter = Annotated[str, typer.Option(help="Text that ends a step.", show_default=NEW_LINE)]
Model = Annotated[str, typer.Option(help="Model folder or hub name that answers.", metavar="PATH")]
Samples = Annotated[int, typer.Option("--samples", "-k", help="Answers sampled of each problem.", min=1)]
Continuations = Annotated[
    int,
    typer.Option("--continuations", help="Continuations sampled of each prefix that is given a value."),
]
OldRate = Annotated[float | None, typer.Option("--rate", help="Old name of --error-rate.", hidden=True)]
Temperature = Annotated[float, typer.Option(help="Temperature at which answers are sampled.")]
MaxTokens = Annotated[int, typer.Option(help="Most tokens of an answer.")]
Backend = Annotated[
    choices.Backends,
    typer.Option(
        help="What samples: transformers (hf) or vLLM; auto is vLLM where it is installed and its start pays."
    ),
]
RewardFunction = Annotated[
    str | None,
    typer.Option(
        help="FILE.py:FUNCTION or MODULE:FUNCTION that judges answers, called as verl's compute_score is.",
        metavar="PLACE",
        show_default="the source's verifier",
    ),
]
TrustRemoteCode = Annotated[
    bool, typer.Option("--trust-remote-code", help="Run the code that a model or tokenizer brings along.")
]
TraceFile = Annotated[Path, typer.Option(help="Trace file to write; its card goes beside it.")]
Marker = Annotated[
    str | None,
    typer.Option(
        help='Words that take back instead of edit tokens, such as " Wait, that is wrong. ".',
        show_default="edit tokens",
    ),
]
Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet",
        "-q",
        help="Print no progress and no word on files that were written; results, warnings and errors remain.",
        callback=_hush,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the data card as JSON, and nothing else.")]

TemplateKwargs = Annotated[
    str | None,
    typer.Option(
        "--template-kwargs",
        help="What the chat template reads besides the messages, as verl's key that ends so says it: "
        """'{"enable_thinking": false}', for example.""",
        metavar="JSON",
        show_default="none",
    ),
]


@dataclass(frozen=True)
class Sampling:
    """How a model's answers are sampled; the fields are options (:func:`halluc_plugin.cli.spread.spread`)."""

    temperature: Temperature = 1.0
    max_tokens: MaxTokens = 256
    step_delimiter: Delimiter = "\n"
    seed: Seed = 0
    backend: Backend = "auto"
    trust_remote_code: TrustRemoteCode = False
    template: TemplateKwargs = None

    @property
    def template_kwargs(self) -> dict[str, Any]:
        """Return ``--template-kwargs`` as a mapping.

        Raises:
            SettingsError: The text is not a JSON object.
        """
        from halluc_plugin.data.prompts import template_kwargs

        return template_kwargs(self.template)

    @property
    def described(self) -> dict[str, Any]:
        """Return the settings that a data card records."""
        from halluc_plugin.data.prompts import TEMPLATE_KWARGS

        names = ("temperature", "max_tokens", "step_delimiter", "backend")
        return {name: getattr(self, name) for name in names} | {TEMPLATE_KWARGS: self.template_kwargs}

    @property
    def space_settings(self) -> dict[str, Any]:
        """Return the arguments from which the space of a model's responses is made."""
        names = ("step_delimiter", "max_tokens", "temperature")
        return {name: getattr(self, name) for name in names}


def problems_together(backend: str, samples: int) -> int:
    """Return how many problems to sample and keep together.

    That is as many as fill the engine's batch of samples, and on a CPU as are sampled in a few minutes, after
    which an interrupted command has kept them.
    """
    import torch

    on_cpu, on_accelerator = {"hf": (32, 256), "vllm": (256, 2048)}[backend]
    together = on_accelerator if torch.accelerator.is_available() else on_cpu
    return max(1, together // samples)


def weights(text: str, count: int) -> list[float]:
    """Return the weights of ``--mix`` as numbers.

    Raises:
        SettingsError: The text does not have ``count`` numbers.
    """
    from halluc_plugin.errors import SettingsError

    try:
        found = [float(weight) for weight in text.split(":")]
    except ValueError:
        found = []
    if len(found) != count:
        example = ":".join("1" for _ in range(count))
        raise SettingsError(f"--mix is {text!r}.", f"Give {count} weights, e.g. {example}.")
    return found


def find_tokenizer(name: str, edit: str | None, *, trust_remote_code: bool = False) -> Any:
    """Load the tokenizer with which traces are written.

    Args:
        name: Folder or hub name of the tokenizer, or ``number-level``.
        edit: The edit that deletes errors: ``token``, ``step`` or ``restart``; None for no errors.
        trust_remote_code: Whether code that comes with it may run.

    Raises:
        TokenizerError: The tokenizer cannot be loaded.
    """
    from halluc_plugin.scratch.tokenizer import editing_tokenizer

    if name == NUMBER_LEVEL:
        return editing_tokenizer(edit)
    from halluc_plugin.tokens.loading import load_tokenizer

    return load_tokenizer(name, trust_remote_code=trust_remote_code)
