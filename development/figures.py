"""Metrics of the code's size and style: `python -m development.figures [COMMIT …]`.

Reads the files of a commit, or of the work tree if none is given. With `--functions` it lists the
functions of the work tree that are too complex, the worst first.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence

from development.stack import ROOT

PRODUCT = (
    *("app.py", "config.py", "db.py", "gunicorn.conf.py", "languages.py", "logs.py"),
    *("prepared.py", "server.py"),
    *("models/", "outbox/", "quickbooks/", "processors/", "notices/", "clients/"),
    *("web/", "presenters/", "views/"),
)
LONG_MODULE, LONG_LINE, MAX_COMPLEXITY = 300, 140, 12
MANNERED = re.compile(
    r"\b(anew|mends?|mended|beside|over there|whoever|whatever|nobody|somebody|a person's matter|"
    r"of its own|of their own|stands?|told|tells?( of)?|lets?|comes to|came to|for ever|once more|"
    r"in hand|goes out|lacks?|bears?|apart|thereof)\b",
    re.IGNORECASE,
)
CONVERSION = re.compile(
    r"\b(State|Operation|LaneState|ConnectionStatus|RecordType|Kind|Reason|Condition|Region|Role|"
    r"Purpose|PaymentMethod)\([a-z_]+(\.[a-z_]+|\[\"\w+\"\])"
)
BRANCHES = (
    *(ast.If, ast.For, ast.While, ast.ExceptHandler, ast.IfExp, ast.comprehension),
    *(ast.match_case, ast.Assert),
)
Files = Mapping[str, str]
Function = ast.FunctionDef | ast.AsyncFunctionDef


def main() -> None:
    if sys.argv[1:] == ["--functions"]:
        print(*complex_functions(files_of("")), sep="\n")
        return
    columns = [figures_of(files_of(commit)) for commit in sys.argv[1:] or [""]]
    for name in columns[0]:
        print(f"{name:52}" + "".join(f"{column[name]:>12}" for column in columns))


def figures_of(files: Files) -> dict[str, str]:
    product = product_of(files)
    complexities = [n for text in product.values() for _, n in complexities_of(text)]
    lines = sorted(
        len(line)
        for path, text in files.items()
        if path.startswith("templates/")
        for line in text.splitlines()
    )
    words = [word for text in product.values() for word in words_about_code(text)]
    prose = " ".join(words)
    return {
        "product files": str(len(product)),
        "product files that name an invoice": _count(
            bool(re.search("invoice", text, re.IGNORECASE)) for text in product.values()
        ),
        f"modules over {LONG_MODULE} lines": _count(
            len(text.splitlines()) > LONG_MODULE for text in product.values()
        ),
        "mean complexity of a function": f"{sum(complexities) / len(complexities):.2f}",
        "largest complexity of a function": str(max(complexities)),
        "99th percentile of template lines, characters": str(lines[len(lines) * 99 // 100]),
        f"template lines over {LONG_LINE} characters": _count(n > LONG_LINE for n in lines),
        "mannered words per 1,000, comments and docstrings": (
            f"{1000 * len(MANNERED.findall(prose)) / len(prose.split()):.1f}"
        ),
        "conversions of stored states and types": str(
            sum(len(CONVERSION.findall(text)) for text in product.values())
        ),
    }


def complex_functions(files: Files) -> list[str]:
    functions = (
        (complexity, f"{path}:{function.lineno} {function.name}")
        for path, text in product_of(files).items()
        for function, complexity in complexities_of(text)
        if complexity > MAX_COMPLEXITY
    )
    return [f"{complexity:3} {place}" for complexity, place in sorted(functions, reverse=True)]


def product_of(files: Files) -> Files:
    return {p: t for p, t in files.items() if p.startswith(PRODUCT) and p.endswith(".py")}


def _count(facts: Iterator[bool]) -> str:
    return str(sum(facts))


def complexities_of(source: str) -> Iterator[tuple[Function, int]]:
    """Cyclomatic complexity of each function, without functions nested in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, Function):
            yield node, 1 + sum(_branches(inner) for inner in _own_nodes(node))


def _own_nodes(function: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(function):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield child
            yield from _own_nodes(child)


def _branches(node: ast.AST) -> int:
    if isinstance(node, ast.BoolOp):
        return len(node.values) - 1
    return int(isinstance(node, BRANCHES))


def words_about_code(source: str) -> Iterator[str]:
    """Comments and docstrings."""
    yield from re.findall(r"(?m)#[: ](.*)$", source)
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, documented):
            yield ast.get_docstring(node) or ""


def files_of(commit: str) -> Files:
    """Python and templates of a commit, or of the work tree."""
    if not commit:
        paths = _git("ls-files", "*.py", "templates/").splitlines()
        return {path: (ROOT / path).read_text("utf-8") for path in paths if (ROOT / path).exists()}
    listed = _git("ls-tree", "-r", "--name-only", commit).splitlines()
    wanted = [path for path in listed if path.endswith(".py") or path.startswith("templates/")]
    return dict(zip(wanted, _contents(commit, wanted), strict=True))


def _contents(commit: str, paths: Sequence[str]) -> Iterator[str]:
    for path in paths:
        yield _git("show", f"{commit}:{path}")


def _git(*command: str) -> str:
    return subprocess.check_output(["git", *command], cwd=ROOT, text=True, encoding="utf-8")


if __name__ == "__main__":
    main()
