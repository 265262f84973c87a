"""House rules that a machine can check: each test names one, and its failure lists who breaks it."""

import ast
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
FILE_LINES_MAX = 400
TEXT_BYTES_MAX = 1 << 20

# A thing that wants such a name has a better one.
BANNED_WORDS = {"util", "utils", "helper", "helpers", "common", "base", "manager", "service", "dto", "impl"}
BANNED_IN_CLASSES = {"handler", "handlers"}
BANNED_WHOLE = {"data", "info"}
PHRASES = re.compile(r"knowledge_bases?|base_urls?|base64|service_tiers?")  # other people's terms, and ours for a thing of the domain

TOPIC = re.compile(r"[a-z_]+\.[a-z_]+\.v\d+")
# Spelt so that these patterns don't find themselves.
UNFINISHED = re.compile(r"\b(?:T[O]DO|F[I]XME|X[X]X)\b")
REGISTRY_HOST = re.compile(r"p[y]pi\.org|python[h]osted\.org|npm[j]s\.(?:org|com)|(?:deb|ftp|security|snapshot)\.[d]ebian\.org")
HOME_PATH = re.compile(r"(?<![\w.}])/(?:[h]ome|[U]sers|[r]oot|[w]ork)/\w")

Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def test_files_are_short() -> None:
    _nobody(f"{path}: {lines} lines" for path in _modules() if (lines := len(_text(path).splitlines())) > FILE_LINES_MAX)


def test_modules_say_what_they_are() -> None:
    _nobody(path for path in _modules() if _text(path).strip() and not ast.get_docstring(_tree(path)))


def test_names_say_something() -> None:
    modules = (str(path) for path in _modules() for part in path.with_suffix("").parts if _banned(part))
    definitions = (_place(path, node, node.name) for path in _modules() for node in _definitions(path) if _is_banned_definition(node))
    _nobody([*modules, *definitions])


def test_only_the_command_line_prints() -> None:
    _nobody(
        _place(path, call, "print")
        for path in _modules()
        if path.parts[0] != "tests" and not str(path).startswith("entrypoints/cli")
        for call in _calls(path)
        if isinstance(call.func, ast.Name) and call.func.id == "print"
    )


def test_skipped_tests_say_why() -> None:
    _nobody(
        _place(path, node, ast.unparse(node)) for path in _modules() if path.parts[0] == "tests" for node in _skips_without_a_reason(path)
    )


def test_nothing_is_left_unfinished() -> None:
    _nobody(_found(UNFINISHED))


def test_files_name_no_registry_and_no_ones_home() -> None:
    _nobody([*_found(REGISTRY_HOST), *_found(HOME_PATH)])


def test_the_changelog_has_room_for_the_next_change() -> None:
    changelog = ROOT / "CHANGELOG.md"
    assert changelog.exists(), "CHANGELOG.md is missing"
    assert re.search(r"^#+ .*\bUnreleased\b", changelog.read_text(), re.MULTILINE), "CHANGELOG.md has no heading 'Unreleased'"


def test_topics_are_well_formed_and_unique() -> None:
    topics = [
        (_place(path, node, topic), topic)
        for path in _modules()
        if path.match("domain/*/events.py")
        for node in _definitions(path)
        if (topic := _topic(node)) is not None
    ]
    uses = Counter(topic for _, topic in topics)
    _nobody(place for place, topic in topics if not TOPIC.fullmatch(topic) or uses[topic] > 1)


def _nobody(offenders: Iterator[object] | list[str]) -> None:
    listed = sorted(map(str, offenders))
    assert not listed, "\n" + "\n".join(listed)


@cache
def _files() -> tuple[Path, ...]:
    """What is in the repository or about to be."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return tuple(sorted(Path(name) for name in listed.split("\0") if name and (ROOT / name).is_file()))


def _modules() -> list[Path]:
    return [path for path in _files() if path.suffix == ".py"]


@cache
def _text(path: Path) -> str:
    return (ROOT / path).read_text()


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(_text(path), str(path))


def _definitions(path: Path) -> Iterator[Definition]:
    return (node for node in ast.walk(_tree(path)) if isinstance(node, Definition))


def _calls(path: Path) -> Iterator[ast.Call]:
    return (node for node in ast.walk(_tree(path)) if isinstance(node, ast.Call))


def _place(path: Path, node: ast.expr | ast.stmt, what: str) -> str:
    return f"{path}:{node.lineno}: {what}"


def _found(pattern: re.Pattern[str]) -> Iterator[str]:
    for path in _files():
        if (ROOT / path).stat().st_size > TEXT_BYTES_MAX:
            continue
        try:
            lines = _text(path).splitlines()
        except UnicodeDecodeError:
            continue
        yield from (f"{path}:{number}: {match[0]}" for number, line in enumerate(lines, 1) if (match := pattern.search(line)))


def _words(name: str) -> set[str]:
    """``KnowledgeBaseManager`` and ``knowledge_base_manager`` are both {"manager"}, since a knowledge base is a thing of the domain."""
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
    return set(PHRASES.sub("", snake).split("_"))


def _banned(name: str) -> bool:
    return not BANNED_WORDS.isdisjoint(_words(name)) or name.strip("_").lower() in BANNED_WHOLE


def _is_banned_definition(node: Definition) -> bool:
    if isinstance(node, ast.ClassDef):
        return _banned(node.name) or not BANNED_IN_CLASSES.isdisjoint(_words(node.name))
    return not node.name.startswith("test_") and _banned(node.name)  # the name of a test is a sentence


def _skips_without_a_reason(path: Path) -> Iterator[ast.expr]:
    calls = {id(call.func): call for call in _calls(path)}
    for node in ast.walk(_tree(path)):
        if not isinstance(node, ast.Attribute):
            continue
        call = calls.get(id(node))
        match ast.unparse(node):
            case "pytest.mark.skip" | "pytest.mark.skipif" | "pytest.mark.xfail" | "pytest.importorskip":
                reasons = [] if call is None else [keyword.value for keyword in call.keywords if keyword.arg == "reason"]
            case "pytest.skip" | "pytest.xfail" if call is not None:
                reasons = [*call.args[:1], *(keyword.value for keyword in call.keywords if keyword.arg == "reason")]
            case _:
                continue
        if not any(not isinstance(reason, ast.Constant) or reason.value for reason in reasons):
            yield node


def _topic(node: Definition) -> str | None:
    for statement in node.body if isinstance(node, ast.ClassDef) else ():
        match statement:
            case ast.Assign(targets=[ast.Name(id="topic")], value=ast.Constant(value=str(topic))):
                return topic
            case ast.AnnAssign(target=ast.Name(id="topic"), value=ast.Constant(value=str(topic))):
                return topic
    return None
