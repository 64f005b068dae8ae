"""Write the lm-eval tasks of the generated problems from what each task declares: ``make docs``.

In ``lm_eval_tasks/NAME_backtrack/`` it writes all YAML, and the part of ``README.md`` between two marks: the
tasks and their data. The rest of a page (paper, citation, meaning of rows, changelog) is written by hand. So
are the tasks on published data, GSM8K, MATH and ProcessBench: their examples, extraction and sources are
those of lm-eval's own tasks, or of the publication, and no task here declares them.
"""

from pathlib import Path

from halluc_plugin.tasks import Task, load, names
from halluc_plugin.tasks.places import OURS
from halluc_plugin.tasks.registry import package
from lm_eval_tasks.declared import Config, configs, folder, yaml_files

ROOT = Path(__file__).resolve().parents[1]
PLACE = ROOT / "lm_eval_tasks"
PROSE = """\
The files lie below `HALLUC_DATA_DIR` or `--metadata '{{"data_dir": "..."}}'`, which may also name the folder
that holds them. No hub. The prompt is the row's training prompt, without few-shot examples, so that a
checkpoint is asked what it was trained to answer. An answer has at most {max_tokens} tokens, erased ones and
edits included."""
BEGIN, END = "<!-- Written by `make docs` from here -->\n", "<!-- to here -->\n"


def pages() -> dict[Path, str]:
    """Return the text of every file that should exist, by its path."""
    found: dict[Path, str] = {}
    for task in map(load, (name for name in names() if package(name) == OURS)):
        if task.eval is None:
            continue
        written_by = f"Written by `make docs` from halluc_plugin/tasks/{task.name}/__init__.py."
        for name, text in yaml_files(task, written_by).items():
            found[PLACE / folder(task) / name] = text
        readme = PLACE / folder(task) / "README.md"
        found[readme] = _with_part(readme.read_text(encoding="utf-8"), _part(task))
    return found


def _with_part(page: str, part: str) -> str:
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    assert begin, "the page has no mark where the written part begins"
    assert end, "the page has no mark where the written part ends"
    return f"{before}{BEGIN}{part}{END}{after}"


def _part(task: Task) -> str:
    made = configs(task)
    assert task.eval is not None
    lines = [
        "## Groups, tags and tasks",
        "",
        "| task | version | problems | file | written by |",
        "| --- | --- | --- | --- | --- |",
        *(_row(name, config) for name, config in made.items()),
        "",
        PROSE.format(max_tokens=task.eval.max_tokens),
        "",
        "```bash",
        f"lm_eval --model hf-backtrack --model_args pretrained=CHECKPOINT --tasks {','.join(list(made)[:2])}",
        "```",
    ]
    if task.judges:
        judges = " or ".join(f'`--metadata \'{{"verifier": "{name}"}}\'`' for name in task.judges)
        lines += ["", f"Other judges of the answers: {judges}."]
    return "\n".join(lines) + "\n"


def _row(name: str, config: Config) -> str:
    rows = config["metadata"]["local_rows"]
    file = f"{rows['folder']}/{config['test_split']}.parquet"
    version = config["metadata"]["version"]
    return f"| `{name}` | {version} | {rows['what']} | `{file}` | `{rows['command']}` |"


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
