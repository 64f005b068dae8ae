"""Find tasks without importing any: in this package's folders, and by entry points of other packages."""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

GROUP = "halluc.tasks"
"""The group of entry points by which a package adds tasks."""
OURS = "halluc"
"""The package that provides the tasks of this folder."""
ATTRIBUTE = "TASK"


@dataclass(frozen=True, order=True)
class Place:
    """The place where a task is declared.

    Attributes:
        name: Name of the task.
        package: The package (distribution) that provides it.
        module: The module that declares it.
        attribute: Name of the declaration in the module.
    """

    name: str
    package: str
    module: str
    attribute: str = ATTRIBUTE


@cache
def places() -> Mapping[str, tuple[Place, ...]]:
    """Return the places of each name; a name has several if packages contradict each other."""
    found: dict[str, tuple[Place, ...]] = {}
    # A package that is on the path twice is one package.
    for place in dict.fromkeys((*_folders(), *sorted(_entry_points()))):
        found[place.name] = (*found.get(place.name, ()), place)
    return found


def first_line(place: Place) -> str:
    """Return the first line of a module's docstring, read from its file; empty if it cannot be read."""
    source = parsed(place.module)
    return "" if source is None else (ast.get_docstring(source) or "").partition("\n")[0]


def declared(place: Place) -> frozenset[str] | None:
    """Return the names of the arguments of a module's ``Task(...)``, None if its file does not show them."""
    source = parsed(place.module)
    for node in () if source is None else source.body:
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == [
            place.attribute
        ]:
            call = node.value
            if isinstance(call, ast.Call) and all(keyword.arg for keyword in call.keywords):
                return frozenset(str(keyword.arg) for keyword in call.keywords)
    return None


@cache
def parsed(module: str) -> ast.Module | None:
    """Return the syntax tree of a module's file, None if it cannot be read."""
    try:
        return ast.parse(_file(module).read_text(encoding="utf-8"))
    except (OSError, ValueError, SyntaxError, ImportError):
        return None


def _folders() -> Iterator[Place]:
    here = Path(__file__).parent
    for folder in sorted(here.iterdir()):
        if (folder / "__init__.py").is_file():
            yield Place(folder.name, OURS, f"{__package__}.{folder.name}")


def _entry_points() -> Iterator[Place]:
    for point in entry_points(group=GROUP):
        package = point.dist.name if point.dist is not None else "an unknown package"
        yield Place(point.name, package, point.module, point.attr or ATTRIBUTE)


def _file(module: str) -> Path:
    """The file of a module, without an import of the packages it is in."""
    top, *inner = module.split(".")
    spec = find_spec(top)
    if spec is None or spec.origin is None:
        raise FileNotFoundError(module)
    if not inner:
        return Path(spec.origin)
    for root in spec.submodule_search_locations or ():
        path = Path(root).joinpath(*inner)
        for candidate in (path / "__init__.py", path.with_name(f"{path.name}.py")):
            if candidate.is_file():
                return candidate
    raise FileNotFoundError(module)
