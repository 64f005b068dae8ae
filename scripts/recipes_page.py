"""Write recipes/README.md from the READMEs of the recipes: ``make docs``.

Each has a line ``<!-- index: question | answer in a sentence | cost -->``, and its command in a code block.
"""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1] / "recipes"
PAGE = ROOT / "README.md"
INTRODUCTION = """\
# Recipes

Written by `make docs` from the READMEs of the recipes, which have the exact commands, the findings and \
the deviations from papers.

Two kinds. A recipe of verl is one YAML file: `python -m verl.trainer.main_ppo +recipe=NAME`, and where it \
fine-tunes `python -m verl.trainer.sft_trainer +recipe=NAME`. An experiment is a program, such as \
`python -m halluc_plugin.recipes.credit.run --out OUT`; its pages of results are in its folder `results`.

"""
TABLE = "| recipe | question | answer | cost, on 2 CPU cores |\n| --- | --- | --- | --- |\n"
CLOSING = """
Without a model of yours a recipe of verl makes the embedded one (0.9M parameters, numbers only) \
and its word problems on first use. With one: [start](../docs/start.md).
Hardware is apart from them: `halluc/scale=cpu|accelerator|node|cluster`, \
of the fine-tuning ones `halluc/sft_scale=cpu|accelerator`.
"""
INDEX = re.compile(r"^<!-- index: (.+) \| (.+) \| (.+) -->$", re.MULTILINE)
COMMAND = re.compile(r"^```bash\n(.+)$", re.MULTILINE)
KINDS = ("verl.trainer.main_ppo", "verl.trainer.sft_trainer", "halluc_plugin.recipes")


def page() -> str:
    """Return the text of the page."""
    found = {readme.parent.name: readme.read_text(encoding="utf-8") for readme in ROOT.glob("*/README.md")}
    rows = {name: _row(name, text) for name, text in found.items()}
    ordered = sorted(rows, key=lambda name: _place(name, found[name]))
    return INTRODUCTION + TABLE + "".join(rows[name] for name in ordered) + CLOSING


def _row(name: str, text: str) -> str:
    index = INDEX.search(text)
    if index is None or COMMAND.search(text) is None:
        raise SystemExit(
            f"recipes/{name}/README.md lacks its command or its line "
            "<!-- index: question | answer | cost -->."
        )
    question, answer, cost = index.groups()
    return f"| [{name}]({name}/README.md) | {question} | {answer} | {cost} |\n"


def _place(name: str, text: str) -> tuple[int, bool, str]:
    """Return the key by which recipes are ordered: by program, then halluc's before their baselines."""
    command = COMMAND.search(text)
    assert command is not None
    kind = next(number for number, program in enumerate(KINDS) if program in command[1])
    return kind, not name.startswith("halluc"), name


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
