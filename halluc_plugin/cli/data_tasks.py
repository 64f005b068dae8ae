"""The command ``halluc data NAME`` of every task that draws problems, made from the task's declaration.

The names are read from folders and entry points; a task is imported when its command is used.
"""

import inspect
from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
import typer.main

from halluc_plugin.cli.application import Application, Command, Group
from halluc_plugin.cli.data_options import (
    NUMBER_LEVEL,
    Json,
    Out,
    Quiet,
    TemplateKwargs,
    Tokenizer,
    TrustRemoteCode,
    Workers,
    find_tokenizer,
    weights,
)
from halluc_plugin.cli.help import examples, renamed

if TYPE_CHECKING:
    from halluc_plugin.problem_sets.data_set import DataSet
    from halluc_plugin.problem_sets.options import Option
    from halluc_plugin.tasks import Task


class TaskCommands(Group):
    """The commands of tasks, followed by those of other kinds."""

    @property
    def commands(self) -> Any:
        """Every command by its name."""
        from halluc_plugin.tasks import registry

        drawn = {name: TaskCommand(name) for name in registry.names() if registry.seems_to_draw(name)}
        return drawn | self._others

    @commands.setter
    def commands(self, others: Any) -> None:
        self._others = others


class TaskCommand(Command):
    """A command whose task is imported only when it is used; name and summary are known before.

    Args:
        name: Name of the task.
    """

    def __init__(self, name: str) -> None:
        from halluc_plugin.tasks import registry

        about = registry.summary(name)
        super().__init__(name, short_help=_sentence(about or f"A task of {registry.package(name)}"))

    @cached_property
    def whole(self) -> Any:
        """Return the command with its options, importing the task.

        Raises:
            TaskError: The task cannot be used, or draws no problems.
        """
        from halluc_plugin.errors import TaskError
        from halluc_plugin.tasks import registry

        assert self.name is not None
        task = registry.load(self.name)
        if task.data is None:
            raise TaskError(
                f"The task {task.name} draws no problems: its rows come from elsewhere.",
                "Give files of verl's rows where data are asked for.",
            )
        app = Application(add_completion=False)
        lines = [f"halluc data {task.name} {each} --out DATA".replace("  ", " ") for each in task.examples]
        splits = ", ".join(task.data.splits)
        about = _sentence(registry.summary(task.name))
        told = f"{about}\n\nWrite problems ({splits}), raw traces of their answers, and a data card."
        app.command(task.name, help=told, epilog=examples(*lines))(command_of(task, task.data))
        return typer.main.get_command(app)

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Return a context of the whole command."""
        return self.whole.make_context(info_name, args, parent, **extra)


def command_of(task: "Task", data: "DataSet") -> Callable[..., None]:
    """Return the function of a task's command, whose signature declares the options.

    Args:
        task: The task.
        data: The data set to write; its values are the defaults.
    """
    from halluc_plugin.problem_sets.options import with_values
    from halluc_plugin.tasks import registry

    declared = data.options()
    by_flag = {each.flag or f"--{each.name}".replace("_", "-"): each for each in declared}
    old = {name: flag for flag, each in by_flag.items() for name in each.old} | dict(task.old_options)

    def command(**given: Any) -> None:
        for name, flag in old.items():
            new = by_flag[flag].name
            given[new] = renamed(name, given.pop(_old_parameter(name)), flag, given[new])
        for source in task.sources:
            registry.find_task(source)  # refuses one that another package claims, too
        asked = with_values(data, {each.path: _value(each, given[each.name]) for each in declared})
        _write(asked, **{name: given[name] for name in _SHARED})

    options = {each.name: (_hint(each), _shown(each)) for each in declared}
    for name, flag in old.items():
        kind = options[by_flag[flag].name][0].__origin__
        hidden = typer.Option(name, help=f"Old name of {flag}.", hidden=True)
        options[_old_parameter(name)] = (Annotated[kind | None, hidden], None)
    taken = {"out": _SHARED["out"], **options, **_SHARED}
    command.__annotations__ = {name: hint for name, (hint, _) in taken.items()} | {"return": None}
    signature = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint)
        for name, (hint, default) in taken.items()
    ]
    command.__signature__ = inspect.Signature(signature)  # type: ignore[attr-defined]
    return command


_SHARED: Mapping[str, tuple[Any, Any]] = {
    "out": (Out, inspect.Parameter.empty),
    "tokenizer": (Tokenizer, NUMBER_LEVEL),
    "workers": (Workers, 1),
    "trust_remote_code": (TrustRemoteCode, False),
    "template": (TemplateKwargs, None),
    "quiet": (Quiet, False),
    "as_json": (Json, False),
}
"""Type hint and default of the options of every task's command."""


def _sentence(text: str) -> str:
    return text if text.endswith(("?", "!", ".")) else f"{text}."


def _old_parameter(name: str) -> str:
    return f"old_{name.removeprefix('--').replace('-', '_')}"


def _hint(each: "Option") -> Any:
    """A parameter's type as typer reads it."""
    kind: Any = each.kind
    if kind is dict:
        kind = str
    elif issubclass(kind, StrEnum):
        kind = Literal[tuple(str(member) for member in kind)]
    return Annotated[kind, typer.Option(*([each.flag] if each.flag else []), help=each.help)]


def _shown(each: "Option") -> Any:
    """A default as it is typed."""
    if each.kind is dict:
        return ":".join(f"{weight:g}" for weight in each.default.values())
    return str(each.default) if issubclass(each.kind, StrEnum) else each.default


def _value(each: "Option", given: Any) -> Any:
    """What was typed, as the field wants it."""
    if each.kind is dict:
        return dict(zip(each.default, weights(given, len(each.default)), strict=True))
    return each.kind(given)


def _write(
    data: "DataSet",
    *,
    out: Any,
    tokenizer: str,
    workers: int,
    trust_remote_code: bool,
    template: str | None,
    quiet: bool,
    as_json: bool,
) -> None:
    from halluc_plugin.cli.cards import tell
    from halluc_plugin.cli.data_output import progress_unless
    from halluc_plugin.commands import export
    from halluc_plugin.data.prompts import template_kwargs

    asked = template_kwargs(template)
    known = find_tokenizer(tokenizer, data.edit, trust_remote_code=trust_remote_code)
    files = data.write(out, known, progress_unless(quiet), workers=workers, template_kwargs=asked)
    tell(files.card, f"For lm_eval: {export('HALLUC_DATA_DIR', files.root)}", as_json=as_json, quiet=quiet)
