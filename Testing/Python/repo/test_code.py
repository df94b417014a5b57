"""Files and functions are short, and public ones say what they take and give."""

import ast
import re

import pytest

FILE_LINES, FUNCTION_LINES = 400, 60
TO_UNPACK = {"alignment", "mrml", "panel", "priors"}  # rooms that still pack unrelated assignments
FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)
SHAPE_OR_UNIT = re.compile(
    r"\(\s*[\w*/ +]+,[^)]*\)|\d ?[x×] ?\d|\bmm\b|\bvoxel|\bpixel|\bscalar|\bvector|\bindex|\bper "
    r"\w+|\bunit|float32|\bbool\b",
    re.I,
)
LIMIT = re.compile(r"_?(MOST|LEAST|FEWEST|LARGEST|SMALLEST)(_[A-Z_]+)?")
MARKUP = re.compile(r"<(html|table|style|figure|h[1-6])\b[^>]*>")
ARRAY = re.compile(r"\bnp\.ndarray\b|\bTensor\b")


def long_functions(tree: ast.Module) -> list[str]:
    """Functions of more lines than allowed."""
    return [
        node.name
        for node in ast.walk(tree)
        if isinstance(node, FUNCTION) and node.end_lineno - node.lineno >= FUNCTION_LINES
    ]


def public_definitions(body: list[ast.stmt], prefix: str = ""):
    """Public functions, classes and methods (not nested functions) as (name, node)."""
    for node in body:
        if isinstance(node, (*FUNCTION, ast.ClassDef)) and not node.name.startswith("_"):
            yield prefix + node.name, node
            if isinstance(node, ast.ClassDef):
                yield from public_definitions(node.body, f"{prefix}{node.name}.")


def undocumented(tree: ast.Module) -> list[str]:
    """Public definitions without a docstring; "module" if it has none itself."""
    missing = [name for name, node in public_definitions(tree.body) if not ast.get_docstring(node)]
    return missing if ast.get_docstring(tree) or not tree.body else ["module", *missing]


def shapeless(tree: ast.Module) -> list[str]:
    """Public functions of arrays whose docstring (or their class's or module's) names neither a shape nor a
    unit.
    """
    found = []
    classes = {
        name: ast.get_docstring(node) or ""
        for name, node in public_definitions(tree.body)
        if isinstance(node, ast.ClassDef)
    }
    for name, node in public_definitions(tree.body):
        if isinstance(node, FUNCTION):
            arguments = node.args.posonlyargs + node.args.args + node.args.kwonlyargs
            annotations = [
                ast.unparse(a)
                for a in [node.returns, *(argument.annotation for argument in arguments)]
                if a is not None
            ]
            text = (
                (ast.get_docstring(node) or "")
                + classes.get(name.rpartition(".")[0], "")
                + (ast.get_docstring(tree) or "")
            )
            if any(ARRAY.search(annotation) for annotation in annotations) and not SHAPE_OR_UNIT.search(text):
                found.append(name)
    return found


def odd_limits(tree: ast.Module) -> list[str]:
    """Constants that are limits and not called MAX or MIN, as everybody calls them."""
    names = (node.id for node in ast.walk(tree) if isinstance(node, ast.Name))
    return sorted({name for name in names if LIMIT.fullmatch(name)})


def packed(tree: ast.Module) -> list[str]:
    """Assignments of things of different kinds in one line; swaps, and what is taken and cleared, may be."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Tuple):
            targets = [n for target in node.targets for n in getattr(target, "elts", [])]
            values = node.value.elts
            used = {ast.unparse(n) for value in values for n in ast.walk(value)}
            kinds = {type(value) for value in values}
            if len(targets) == len(values) and len(kinds) > 1 and not used & {*map(ast.unparse, targets)}:
                found.append(ast.unparse(node))
    return found


def begins_with_a_sentence(docstring: str) -> bool:
    """Whether the first line is a sentence by itself: it ends, and a blank line or nothing follows."""
    first, *rest = docstring.split("\n")
    return first.endswith((".", ":", "?")) and not (rest and rest[0].strip())


def unsummarised(tree: ast.Module) -> list[str]:
    """Classes whose docstring does not begin with one line that says what they are."""
    classes = (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
    texts = {node.name: ast.get_docstring(node) for node in classes}
    return [name for name, text in texts.items() if text and not begins_with_a_sentence(text)]


def unsummarised_anywhere(tree: ast.Module) -> list[str]:
    """The like, of the module and its functions as well."""
    documented = (ast.Module, ast.ClassDef, *FUNCTION)
    nodes = [node for node in ast.walk(tree) if isinstance(node, documented)]
    texts = [(getattr(node, "name", "module"), ast.get_docstring(node)) for node in nodes]
    return [name for name, text in texts if text and not begins_with_a_sentence(text)]


def require_none(sources, check) -> None:
    """Fail with a list of all that the check finds in any file."""
    found = [f"{path}: {what}" for path, tree in sources.items() for what in check(tree)]
    if found:
        pytest.fail("\n".join(found), pytrace=False)


def test_no_file_is_long(sources, repository):
    lengths = {
        str(path): len((repository / path).read_text(encoding="utf-8").splitlines()) for path in sources
    }
    long = {path: n for path, n in lengths.items() if n > FILE_LINES}
    assert long == {}


def test_no_function_is_long(sources):
    require_none(sources, long_functions)


def test_public_code_has_docstrings(library):
    documented = {name: tree for name, tree in library.items() if not name.endswith("__main__")}
    require_none(documented, undocumented)


def test_limits_are_called_max_and_min(sources):
    require_none(sources, odd_limits)


def test_docstrings_begin_with_a_summary(sources, library):
    require_none(sources, unsummarised)
    require_none(library, unsummarised_anywhere)


def test_unrelated_things_are_not_packed_into_one_assignment(library):
    require_none(
        {name: tree for name, tree in library.items() if name.split(".")[0] not in TO_UNPACK}, packed
    )


def test_functions_of_arrays_name_shapes_or_units(library):
    require_none(library, shapeless)


def markup(tree: ast.Module) -> list[str]:
    """Texts that begin tables, pages or styles: these are templates in Resources/Reports."""
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    return [text[:40] for text in texts if isinstance(text, str) and MARKUP.search(text)]


def test_reports_are_templates(library):
    small_pages = {"web.notes"}  # each of a few words, before the page
    require_none({name: tree for name, tree in library.items() if name not in small_pages}, markup)


@pytest.mark.parametrize(
    ("check", "text"),
    [
        (long_functions, "def f():\n" + "    pass\n" * FUNCTION_LINES),
        (undocumented, '"""Module."""\nclass A:\n    """A."""\n    def f(self): ...'),
        (undocumented, "import os"),
        (unsummarised, 'class A:\n    """A thing that\n    goes on."""'),
        (unsummarised_anywhere, 'def f():\n    """No end"""'),
        (packed, "name, found = words(), []"),
        (odd_limits, "_MOST_FILES = 6"),
        (markup, "a = f'<table>{rows}</table>'"),
        (shapeless, 'def f(a: np.ndarray):\n    """Turn it."""'),
    ],
)
def test_the_rules_can_be_broken(check, text):
    assert check(ast.parse(text))
    assert not check(ast.parse('"""Module."""\ndef f(a: np.ndarray):\n    """Turn (K, J, I)."""'))
