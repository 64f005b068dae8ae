"""Write answers as one HTML file that opens from disk and uses no network."""

import base64
import hashlib
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from halluc_plugin import __version__
from halluc_plugin.atomic_files import whole_file
from halluc_plugin.data.resumable import Progress
from halluc_plugin.progress_bar import pass_on
from halluc_plugin.tokens.vocabulary import TOKENS
from halluc_plugin.viewer.answers import Source
from halluc_plugin.viewer.pack import PART, compressed, index, parts
from halluc_plugin.viewer.visible import visible

STATIC = files("halluc_plugin.viewer") / "static"
SCRIPTS = (
    "dom",
    "data",
    "state",
    "filter",
    "list",
    "trace",
    "answer",
    "tree",
    "group",
    "run",
    "compare",
    "main",
)
"""Files of the page's program, in the order in which the page contains them."""
STYLES = ("page", "answer", "run")


def write_page(sources: Sequence[Source], out: Path, progress: Progress = pass_on) -> None:
    """Write a page.

    Args:
        sources: The sources to show.
        out: The file to write; it appears when it is complete.
        progress: How to show progress, in parts of :data:`halluc_plugin.viewer.pack.PART` answers.

    Raises:
        SettingsError: The file cannot be written.
    """
    with whole_file(out) as partial, partial.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(_template().generate(**_content(sources, progress)))


def _content(sources: Sequence[Source], progress: Progress) -> dict[str, object]:
    style = "\n".join(_static(f"{name}.css") for name in STYLES)
    program = "\n".join(_static(f"{name}.js") for name in SCRIPTS)
    script = f'(() => {{\n"use strict";\n{program}\n}})();'
    total = -(-sum(len(source.answers) for source in sources) // PART)
    known = index(sources) | {
        "symbols": {token.text: token.symbol for token in TOKENS},
        "version": __version__,
    }
    return {
        "title": visible(", ".join(source.name for source in sources)),
        "policy": _policy(style, script),
        "style": style,
        "script": script,
        "index": compressed(known),
        "parts": map(compressed, progress(parts(sources), "parts of the page", total)),
    }


def _policy(style: str, script: str) -> str:
    """Nothing may be loaded, sent or run but this style and this script."""
    return (
        f"default-src 'none'; script-src {_digest(script)}; style-src {_digest(style)}; "
        "base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}'"


def _static(name: str) -> str:
    return (STATIC / name).read_text(encoding="utf-8")


def _template() -> Any:
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    environment = Environment(autoescape=True, undefined=StrictUndefined)
    # Our own files, which are not escaped; everything else on a page is.
    environment.filters["ours"] = Markup
    return environment.from_string(_static("page.html"))
