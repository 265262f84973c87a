"""Logs: what a line holds, and what never reaches it."""

import io
import json
import logging
import os
from collections.abc import Iterator
from typing import Any, Literal

import pytest

from infra.telemetry import REDACTED, configure_logging, redact

KEY = "pk_live_4fGh7TzQ9"
PROVIDER_KEY = "sk-ant-api03-Zx8_yW"


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers = []  # pytest's own must not be closed by force=True
    yield
    root.handlers, root.level = handlers, level
    logging.captureWarnings(False)


def written(log_format: Literal["json", "text"], level: str = "info", process: str | None = None) -> io.StringIO:
    stream = io.StringIO()
    configure_logging(level, log_format, stream, process=process)
    return stream


def only_line(stream: io.StringIO) -> dict[str, Any]:
    (line,) = stream.getvalue().splitlines()
    parsed: dict[str, Any] = json.loads(line)
    return parsed


def test_a_json_line_holds_the_record_and_its_fields() -> None:
    stream = written("json")
    logging.getLogger("gateway.log").info("settled %s", "c1\nc2", extra={"position": 7, "models": ("a", "b"), "time": "no"})
    line = only_line(stream)
    assert line.pop("time").endswith("Z")
    assert line == {"level": "info", "logger": "gateway.log", "message": "settled c1\nc2", "position": 7, "models": ["a", "b"]}


def test_a_json_line_holds_the_exception() -> None:
    stream = written("json")
    try:
        int(KEY)
    except ValueError:
        logging.getLogger("gateway").exception("refused")
    line = only_line(stream)
    assert "Traceback" in line["exception"]
    assert KEY not in line["exception"]


def test_a_text_line_is_readable_and_continues_indented() -> None:
    stream = written("text")
    logging.getLogger("gateway").warning("slow\n2026-01-01 forged", extra={"waited_ms": 12})
    first, second = stream.getvalue().splitlines()
    assert first.endswith("warning gateway: slow")
    assert second == "    2026-01-01 forged waited_ms=12"


def test_a_line_says_which_process_wrote_it() -> None:
    stream = written("json", process="worker-1")
    logging.getLogger("gateway").info("well")
    line = only_line(stream)
    assert (line["process"], line["pid"]) == ("worker-1", os.getpid())
    stream = written("text", process="worker-1")
    logging.getLogger("gateway").info("well")
    assert f"info    worker-1[{os.getpid()}] gateway: well" in stream.getvalue()


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_secrets_are_taken_out_wherever_they_are(log_format: Literal["json", "text"]) -> None:
    stream = written(log_format)
    logging.getLogger("gateway").info(
        "%s called with %s",
        KEY,
        {"Authorization": f"Bearer {PROVIDER_KEY}"},
        extra={"headers": {"x": [f"bearer {KEY}"]}, "url": "postgresql://gateway:hunter2@db/gateway", "odd": {PROVIDER_KEY}},
    )
    for secret in (KEY[8:], PROVIDER_KEY[4:], "hunter2"):
        assert secret not in stream.getvalue()
    assert REDACTED in stream.getvalue()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"key {KEY}, next", f"key pk_live_{REDACTED}, next"),
        (f"'{PROVIDER_KEY}'", f"'sk-{REDACTED}'"),
        ("Authorization: Bearer abc.def-ghi==", f"Authorization: Bearer {REDACTED}"),
        ("redis://:pass@host:6379/0", f"redis://:{REDACTED}@host:6379/0"),
        ("a task-force on sk-learn at http://host:80/x", "a task-force on sk-learn at http://host:80/x"),
    ],
)
def test_redaction(text: str, expected: str) -> None:
    assert redact(text) == expected


def test_the_level_is_kept_and_noisy_libraries_are_quiet() -> None:
    stream = written("text", "debug")
    logging.getLogger("gateway").debug("heard")
    logging.getLogger("httpx").info("not heard")
    assert stream.getvalue().count("\n") == 1


def test_configuring_twice_logs_once() -> None:
    written("json")
    stream = written("json")
    logging.getLogger("gateway").info("once")
    only_line(stream)
