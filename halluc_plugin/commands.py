"""Build commands that are printed for a user to paste, whatever characters their paths contain.

Every such line is built here. It is quoted for a POSIX shell; a value that a host parses with its own grammar
(lm-eval's ``--model_args``, Hydra's overrides) is quoted for that host first.
"""

import json
import re
import shlex
from os import PathLike
from typing import Any

# What lm-eval neither splits nor takes for a number, a truth value or a Python literal.
_PLAIN = re.compile(r"[/\w][\w./@+-]*[\w/]", re.ASCII)
_INTERPOLATION = re.compile(r"(\\*)\$\{")
_QUOTE = re.compile(r"(\\*)('|\Z)")


def shell(*words: "str | PathLike[str]", **environment: "str | PathLike[str]") -> str:
    """Return a command line, quoted for a POSIX shell.

    Args:
        *words: The program and its arguments. A path that begins with a dash or a tilde is written as lying
            in the working directory, so that it is not read as an option or a home.
        **environment: Variables that are set for this command.
    """
    sets = [f"{name}={shlex.quote(_place(value))}" for name, value in environment.items()]
    return " ".join([*sets, *(shlex.quote(_place(word)) for word in words)])


def export(name: str, value: "str | PathLike[str]") -> str:
    """Return the line that sets an environment variable for all commands that follow."""
    return f"export {shell(**{name: value})}"


def model_args(model: "str | PathLike[str]", **given: Any) -> str:
    """Return a value of lm-eval's ``--model_args`` that names a model and its further arguments.

    lm-eval's own grammar splits at commas and does not read ``1e5`` or ``None`` as text. Names and values to
    which that matters are written in the JSON form, which lm-eval 0.4.13 also accepts.

    Args:
        model: The model's folder or hub name.
        **given: Further arguments with JSON-able values.
    """
    name = _place(model)
    simple = all(isinstance(value, int) or str(value).isalpha() for value in given.values())
    if "/" in name and _PLAIN.fullmatch(name) and simple:
        return ",".join([f"pretrained={name}", *(f"{key}={value}" for key, value in given.items())])
    return json.dumps({"pretrained": name, **given}, ensure_ascii=False)


def override(key: str, value: "str | PathLike[str]") -> str:
    """Return a Hydra override whose value is this text, neither parsed nor interpolated by Hydra."""
    text = _place(value)
    if "/" in text and _PLAIN.fullmatch(text):
        return f"{key}={text}"
    literal = _INTERPOLATION.sub(lambda found: f"{found[1] * 2}\\${{", text)  # OmegaConf's way
    # Hydra reads backslashes as such, but for those before a quote.
    return f"{key}='{_QUOTE.sub(_before_a_quote, literal)}'"


def _before_a_quote(found: re.Match[str]) -> str:
    return found[1] * 2 + ("\\'" if found[2] else "")


def _place(word: "str | PathLike[str]") -> str:
    """A word; a path (not a text) that would be read as an option or as a home gets its folder."""
    if isinstance(word, PathLike):
        text = word.__fspath__()
        return f"./{text}" if text.startswith(("-", "~")) else text
    return word
