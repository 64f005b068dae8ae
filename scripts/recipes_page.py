"""Write recipes/README.md from the READMEs of the recipes: ``make docs``.

Each has a line ``<!-- index: what I want | which model it takes -->``, and its command in a code block.
"""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1] / "recipes"
PAGE = ROOT / "README.md"
INTRODUCTION = """\
# Recipes

Written by `make docs` from the READMEs of the recipes.

Two kinds: recipes of verl, one YAML file each, and experiments, which are programs. \
A README for each has the command, the numbers and the deviations from its paper.

| I want | recipe | started by | model |
| --- | --- | --- | --- |
"""
CLOSING = """
Without a model of yours a recipe of verl makes the embedded one (0.9M parameters, numbers only) \
and its word problems on first use. With one: [start](../docs/start.md).
Hardware is apart from them: `halluc/scale=cpu|accelerator|node|cluster`, \
of the fine-tuning ones `halluc/sft_scale=cpu|accelerator`.
"""
INDEX = re.compile(r"^<!-- index: (.+) \| (.+) -->$", re.MULTILINE)
COMMAND = re.compile(r"^```bash\n(.+)$", re.MULTILINE)
KINDS = ("verl.trainer.main_ppo", "verl.trainer.sft_trainer", "halluc_plugin.recipes")


def page() -> str:
    """The text of the page."""
    found = {readme.parent.name: readme.read_text(encoding="utf-8") for readme in ROOT.glob("*/README.md")}
    rows = {name: _row(name, text) for name, text in found.items()}
    return (
        INTRODUCTION
        + "".join(rows[name] for name in sorted(rows, key=lambda n: _place(n, rows[n])))
        + CLOSING
    )


def _row(name: str, text: str) -> str:
    index, command = INDEX.search(text), COMMAND.search(text)
    if index is None or command is None:
        raise SystemExit(
            f"recipes/{name}/README.md lacks its line <!-- index: want | model --> or its command."
        )
    shown = re.sub(r"--out \S+", "--out OUT", command[1])
    return f"| {index[1]} | [{name}]({name}/README.md) | `{shown}` | {index[2]} |\n"


def _place(name: str, row: str) -> tuple[int, bool, str]:
    """By program, ours before what they are compared with."""
    kind = next(number for number, program in enumerate(KINDS) if program in row)
    return kind, not name.startswith("halluc"), name


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
