"""Docstrings are complete, plain sentences, as far as a rule can tell."""

import ast
import re
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("halluc_plugin", "verl_ext", "lm_eval_tasks", "hydra_plugins", "recipes", "scripts")
MODULES = {
    str(path.relative_to(ROOT)): path
    for folder in FOLDERS
    for path in sorted((ROOT / folder).rglob("*.py"))
    if (ROOT / "halluc_plugin" / "recipes") not in path.parents  # a link to recipes
}
Defined = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef

FRAGMENT = re.compile(r"(Of|As|In|By|From|For|With|Without|At|On|Before|Behind|Beside) ")
"""What a summary of anything must not begin with: a preposition, before which words were left out."""

NOUN = re.compile(
    r"(The|A|An|All|Each|Every|Some|Any|No|One|Both|Its|Our|Their|This|These|It|Whether|What|Which|Who|Whose"
    r"|How|Why|When|Where|Number|Ids|Names?|Values?|Rows|Mean|Share|Float|Bool|Long|Int)\b|[`:(]"
)
"""What a summary of a function must not begin with: a noun or a clause. A verb says what it does: "Return the
ids", not "The ids". Other nouns than these get through: the list names those that were written most."""

DANGLING = re.compile(
    r"(Of|As above|As before|As there|See above|Likewise|Where to)\b"
    r"|(How|Which|It is|It cannot be|One is)[.;]"
)
"""What the text of an argument, result or error must not begin with: it says nothing by itself."""

PHRASES = re.compile(
    r"next to never|\bof ours\b|(?<!there) (is|are) no (?!longer)|\bbeside (it|them)\b", re.IGNORECASE
)
"""Mannered phrases: write "rarely", the name of the package, "is not a", "next to it"."""


def documented(path):
    """Yield name and node of a module, and of each public class and function in it."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    yield "module", tree
    yield from _inside(tree, ())


def _inside(node, names):
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, Defined):
            yield from _inside(child, names)
        elif not child.name.startswith("_"):
            yield ".".join((*names, child.name)), child
            if isinstance(child, ast.ClassDef):
                yield from _inside(child, (*names, child.name))


def constants(path):
    """Yield the texts that follow assignments of a file: they say what a name of a module or class is."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for holder in (node for node in ast.walk(tree) if isinstance(node, ast.Module | ast.ClassDef)):
        for before, after in pairwise(holder.body):
            if isinstance(before, ast.Assign | ast.AnnAssign) and isinstance(after, ast.Expr):
                text = getattr(after.value, "value", None)
                if isinstance(text, str):
                    yield text


def _decorators(node):
    return " ".join(ast.unparse(decorator) for decorator in getattr(node, "decorator_list", ()))


def _in_one_line(text):
    return " ".join(text.split())


def entries(text):
    """Yield the texts of arguments, attributes and errors of a docstring, and of what is returned."""
    for section in re.split(r"^(?=Args:|Attributes:|Returns:|Yields:|Raises:)", text, flags=re.MULTILINE)[1:]:
        title, _, body = section.partition("\n")
        if title in {"Returns:", "Yields:"}:
            yield body.strip()
        else:
            yield from re.findall(r"^    [*\w.]+: (.*)$", body, re.MULTILINE)


def faults(name, node):
    """Yield what is wrong with the docstring of a module, class or function."""
    text = ast.get_docstring(node)
    if text is None:
        if ".setter" not in _decorators(node):
            yield f"{name} has none."
        return
    summary = text.partition("\n")[0]
    if FRAGMENT.match(summary):
        yield f"{name} begins with a preposition: {summary}"
    function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    if function and "property" not in _decorators(node) and NOUN.match(summary):
        yield f"{name} does not say what it does: {summary}"
    for entry in entries(text):
        if DANGLING.match(entry):
            yield f"{name} leaves something out: {entry}"


@pytest.mark.parametrize("module", MODULES)
def test_public_docstrings_are_complete(module):
    """Whatever is public has a docstring that begins with a sentence, and explains arguments and results."""
    found = documented(MODULES[module])
    assert [fault for name, node in found for fault in faults(name, node)] == []


@pytest.mark.parametrize("module", MODULES)
def test_texts_of_constants_are_complete(module):
    """The text below a constant or a member of an enum does not begin with a preposition without a noun."""
    assert [text for text in constants(MODULES[module]) if re.match("(Of|As|In|By|At) ", text)] == []


@pytest.mark.parametrize("module", MODULES)
def test_docstrings_are_plain(module):
    """No docstring or text of a constant, of private code either, has one of the phrases to avoid."""
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Module | Defined)]
    texts = [*(ast.get_docstring(node) or "" for node in nodes), *constants(MODULES[module])]
    found = [(text, match) for text in map(_in_one_line, texts) for match in PHRASES.finditer(text)]
    assert [text[max(0, match.start() - 30) : match.end() + 30] for text, match in found] == []


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("def ids(): pass", "ids has none."),
        ('def ids():\n    """Of the answers."""', "ids begins with a preposition: Of the answers."),
        (
            'def ids():\n    """The ids of an answer."""',
            "ids does not say what it does: The ids of an answer.",
        ),
        ('def ids():\n    """Float[T], the ids."""', "ids does not say what it does: Float[T], the ids."),
        (
            'def ids(row):\n    """Return the ids.\n\n    Args:\n        row: Of the batch.\n    """',
            "ids leaves something out: Of the batch.",
        ),
        (
            'def ids():\n    """Return the ids.\n\n    Raises:\n        ValueError: It cannot be.\n    """',
            "ids leaves something out: It cannot be.",
        ),
        (
            'class Ids:\n    """Some ids."""\n\n    def read(self):\n        """As above."""',
            "Ids.read begins with a preposition: As above.",
        ),
    ],
)
def test_a_fragment_is_noticed(source, fault, tmp_path):
    """A docstring that is missing, a fragment, or a reference to nothing is reported by its name."""
    path = tmp_path / "module.py"
    path.write_text(f'"""A module."""\n\n{source}\n', encoding="utf-8")
    assert [found for name, node in documented(path) for found in faults(name, node)] == [fault]


@pytest.mark.parametrize(
    "source",
    [
        'def ids():\n    """Return the ids of an answer.\n\n    Returns:\n        The ids, Int[T].\n    """',
        'class Ids:\n    """The ids."""\n\n    @property\n    def first(self):\n        """The first id."""',
        'def _ids():\n    """Of the answers."""',
        'def ids():\n    """Yield ids."""\n\n    def key(): pass',
    ],
)
def test_a_sentence_is_not(source, tmp_path):
    """Sentences, names of things in place of classes and properties, and private code are left alone."""
    path = tmp_path / "module.py"
    path.write_text(f'"""A module."""\n\n{source}\n', encoding="utf-8")
    assert [found for name, node in documented(path) for found in faults(name, node)] == []
