"""Structured logs: a JSON object or a readable line for each record, with anything that looks like a secret taken out."""

import json
import logging
import os
import re
import sys
from datetime import UTC, datetime
from typing import Literal, TextIO

REDACTED = "[redacted]"
# Our own keys, the providers' keys, and whatever follows "Bearer". What is kept says whose it was.
KEYS = re.compile(r"(\bpk_(?:test|live)_|\bsk-(?=[\w-]{8})|\bBearer\s+)[\w.~+/=-]+", re.IGNORECASE)
URL_PASSWORDS = re.compile(r"(://[^/\s:@]*:)[^/\s@]+(?=@)")

STANDARD_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
MESSAGE_CHARACTERS_MAX = 32_768
NOISY_LOGGERS = ("asyncio", "botocore", "boto3", "httpcore", "httpx", "kafka", "urllib3")


def configure_logging(
    level: str,
    format: Literal["json", "text"],  # noqa: A002
    stream: TextIO | None = None,
    *,
    process: str | None = None,
) -> None:
    """Log to `stream` (standard error), replacing whatever was configured; calling it again is fine.

    `process` is this process's name among others that log to the same place; each line tells it, and the pid.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter(process) if format == "json" else TextFormatter(process))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(True)
    for name in NOISY_LOGGERS:
        # At debug and info they tell of every request, with its headers.
        logging.getLogger(name).setLevel(logging.WARNING)


def redact(text: str) -> str:
    return URL_PASSWORDS.sub(rf"\1{REDACTED}", KEYS.sub(rf"\1{REDACTED}", text))


class JsonFormatter(logging.Formatter):
    """Redacts here rather than in a filter, so that fields and tracebacks are covered like messages."""

    def __init__(self, process: str | None = None) -> None:
        super().__init__()
        self._process = {} if process is None else {"process": process, "pid": os.getpid()}

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            **self._process,
            "logger": record.name,
            "message": _message(record),
        }
        if exception := _exception(self, record):
            line["exception"] = exception
        # Twice: a field called "time" must neither win nor come first.
        return json.dumps(_redacted(line | _extra(record) | line), ensure_ascii=False, default=lambda value: redact(str(value)))


class TextFormatter(logging.Formatter):
    """What continues a record is indented, so that no message can pass for a record of its own."""

    def __init__(self, process: str | None = None) -> None:
        super().__init__()
        self._process = "" if process is None else f"{process}[{os.getpid()}] "

    def format(self, record: logging.LogRecord) -> str:
        fields = "".join(f" {name}={value}" for name, value in _extra(record).items())
        exception = _exception(self, record)
        line = f"{_time(record)} {record.levelname.lower():<8}{self._process}{record.name}: {_message(record)}{fields}"
        return redact(f"{line}\n{exception}" if exception else line).replace("\r", "\\r").replace("\n", "\n    ")


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _message(record: logging.LogRecord) -> str:
    return record.getMessage()[:MESSAGE_CHARACTERS_MAX]


def _extra(record: logging.LogRecord) -> dict[str, object]:
    return {name: value for name, value in vars(record).items() if name not in STANDARD_FIELDS}


def _exception(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    parts = [formatter.formatException(record.exc_info) if record.exc_info else "", record.stack_info or ""]
    return "\n".join(part for part in parts if part)


def _redacted(value: object) -> object:
    match value:
        case str():
            return redact(value)
        case dict():
            return {redact(str(name)): _redacted(part) for name, part in value.items()}
        case list() | tuple():
            return [_redacted(part) for part in value]
    return value
