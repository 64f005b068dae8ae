"""What docs/architecture.md and the docstrings say of the house is so."""

import ast
import re
import tomllib
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
PAGES = {
    str(page.relative_to(ROOT)): page.read_text(encoding="utf-8")
    for pattern in ("*.md", "docs/*.md", "recipes/**/*.md", "lm_eval_tasks/**/README.md")
    for page in sorted(ROOT.glob(pattern))
    if page.name not in {"CHANGELOG.md", "migration.md"}  # they name what was, too
}
GLOSSARY = (ROOT / "docs" / "index.md").read_text(encoding="utf-8").split("## Words\n")[1]
TOPS = {
    "halluc_plugin": ROOT / "halluc_plugin",
    "halluc_plugin.recipes": ROOT / "recipes",
    "verl_ext": ROOT / "verl_ext",
    "lm_eval_tasks": ROOT / "lm_eval_tasks",
}


def _modules():
    """Our modules by dotted name."""
    found = {}
    for top, folder in TOPS.items():
        for path in sorted(folder.rglob("*.py")):
            inside = path.relative_to(folder).with_suffix("").parts
            if top == "halluc_plugin" and inside[0] == "recipes":
                continue
            found[".".join((top, *inside)).removesuffix(".__init__")] = path
    return found


MODULES = _modules()


@cache
def _tree(module):
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))


@cache
def _imports(module):
    """Modules that a module imports, anywhere in it."""
    found = set()
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = (f"{node.module}.{alias.name}" for alias in node.names)
            found |= {name if name in MODULES else node.module for name in names}
    return found & MODULES.keys()


def _within(module, room):
    return module == room or module.startswith(f"{room}.")


def imports_of(room):
    """Modules that a module, or any module of a package, imports."""
    return set().union(*(_imports(module) for module in MODULES if _within(module, room)))


@cache
def _members(module):
    """Names that a module has, and those of each of its classes."""
    names, classes = set(), {}
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.ClassDef):
            names.add(node.name)
            classes[node.name] = _names_in(node)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
    return names | _assigned(_tree(module)), classes


def _names_in(node):
    defined = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {part.name for part in ast.walk(node) if isinstance(part, defined)} | _assigned(node)


def _assigned(node):
    names = (part for part in ast.walk(node) if isinstance(part, ast.Name))
    return {name.id for name in names if isinstance(name.ctx, ast.Store)}


def resolves(name):
    """Whether a dotted name leads to a module of ours, or to what one defines."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        module, rest = ".".join(parts[:length]), parts[length:]
        if module not in MODULES:
            continue
        names, classes = _members(module)
        if not rest:
            return True
        return rest[0] in names and (len(rest) == 1 or rest[1] in classes.get(rest[0], rest[1:2]))
    return False


def _contract(name):
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    (found,) = [contract for contract in contracts["contracts"] if contract["name"] == name]
    return [layer.replace(" ", "").split("|") for layer in found["layers"]]


def _table(heading):
    """The names in the first column of a section's table, row by row."""
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (`[^|]+) \|", section, re.MULTILINE)
    return [re.findall(r"`(\w+)`", row) for row in rows]


def _picture():
    """The picture's boxes, each a module, and its arrows."""
    (block,) = re.findall(r"^```mermaid\n(.+?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    boxes = {name: label.split("<br>")[-1] for name, label in re.findall(r'(\w+)\["([^"]+)"\]', block)}
    return boxes, re.findall(r"^\s*(\w+) --> (\w+)$", block, re.MULTILINE), block


BOXES, ARROWS, BLOCK = _picture()


@pytest.mark.parametrize(
    ("heading", "contract"),
    [
        ("Layers of the method", "The method has layers"),
        ("Rooms of the adapters", "The verl adapter has rooms"),
    ],
)
def test_tables_are_the_contracts(heading, contract):
    """The page lists the layers that the linter enforces, in its order."""
    assert _table(heading) == _contract(contract)


def test_every_arrow_is_drawn_between_boxes_that_exist():
    """No line of the picture is passed over: each box is a module of ours, each arrow has two boxes."""
    assert len(ARROWS) == BLOCK.count("--") >= 25
    assert set(BOXES.values()) <= MODULES.keys()
    assert {end for arrow in ARROWS for end in arrow} == BOXES.keys()


@pytest.mark.parametrize(("start", "end"), ARROWS)
def test_every_arrow_is_an_import(start, end):
    """Some module of the room that an arrow leaves imports one of the room that it reaches."""
    assert any(_within(module, BOXES[end]) for module in imports_of(BOXES[start]))


def test_an_arrow_that_is_no_import_is_noticed():
    """The stations, which verl connects, do not import one another."""
    stations = [BOXES[name] for name in ("loop", "manager", "actor", "estimator", "trainer")]
    for station in stations:
        others = [other for other in stations if other != station]
        assert not any(_within(module, other) for module in imports_of(station) for other in others)


@pytest.mark.parametrize("page", PAGES)
def test_names_on_the_pages_exist(page):
    """Every dotted name of ours in the documentation leads to something, in text and in commands."""
    names = re.findall(r"(?<![\w./-])(?:halluc_plugin|verl_ext|lm_eval_tasks)(?:\.\w+)+", PAGES[page])
    assert [name for name in names if not resolves(name)] == []


def test_every_word_is_explained_once_and_has_a_place():
    """A row of the glossary has a word, a meaning and the name of something of ours; no word comes twice."""
    rows = [row for row in GLOSSARY.splitlines() if row.startswith("|")]
    entries = [re.split(r"(?<!\\)\|", row)[1:-1] for row in rows if not re.match(r"\| (word|---) ", row)]
    assert all(len(entry) == 3 and resolves(entry[2].strip(" `")) for entry in entries)
    words = [word.strip() for entry in entries for word in entry[0].split(",")]
    assert len(words) == len(set(words)) > 50


@pytest.mark.parametrize("module", MODULES)
def test_docstrings_refer_to_what_exists(module):
    """Modules, classes and functions that are named in a module's texts as references are there."""
    text = MODULES[module].read_text(encoding="utf-8")
    package = module if MODULES[module].name == "__init__.py" else module.rpartition(".")[0]
    lost = []
    for name in re.findall(r":(?:mod|func|class|data|meth|attr|exc):`~?([\w.]+)`", text):
        first = name.partition(".")[0]
        if name.startswith("."):
            places = [package + name]
        elif first != name and first not in {*TOPS, *_members(module)[0]}:
            continue  # somebody else's
        else:
            places = [name, f"{module}.{name}", *(f"{module}.{held}.{name}" for held in _members(module)[1])]
        if not any(resolves(place) for place in places):
            lost.append(name)
    assert lost == []
