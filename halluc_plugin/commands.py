"""Commands that are printed for a user to paste: they run word for word, whatever is in their paths.

Every such line is put together here, quoted for a POSIX shell, and where a host parses values of its own
(lm-eval's ``--model_args``, Hydra's overrides), quoted for that host first.
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
    """A command line.

    Args:
        *words: The program and its arguments. A path that begins like an option or a home is said to lie in
            the working directory.
        **environment: Variables that are set for it.
    """
    sets = [f"{name}={shlex.quote(_place(value))}" for name, value in environment.items()]
    return " ".join([*sets, *(shlex.quote(_place(word)) for word in words)])


def export(name: str, value: "str | PathLike[str]") -> str:
    """The line that sets an environment variable for all that follows."""
    return f"export {shell(**{name: value})}"


def model_args(model: "str | PathLike[str]", **given: Any) -> str:
    """The value of lm-eval's ``--model_args`` that names a model, and gives it more arguments.

    Its own grammar splits at commas and takes ``1e5`` or ``None`` for no text, so other names, and what is no
    word, number or truth value, go in the JSON form, which lm-eval 0.4.13 takes too.

    Args:
        model: Folder or hub name.
        **given: JSON-able.
    """
    name = _place(model)
    simple = all(isinstance(value, int) or str(value).isalpha() for value in given.values())
    if "/" in name and _PLAIN.fullmatch(name) and simple:
        return ",".join([f"pretrained={name}", *(f"{key}={value}" for key, value in given.items())])
    return json.dumps({"pretrained": name, **given}, ensure_ascii=False)


def override(key: str, value: "str | PathLike[str]") -> str:
    """A Hydra override whose value is this text, neither parsed nor interpolated."""
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
