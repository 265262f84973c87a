"""Every setting: its environment variable, type, default and meaning.

A field's name in capitals is its environment variable. A TOML file named by GATEWAY_CONFIG may hold the same names; the
environment wins. An empty value counts as not set.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, FilePath, SecretStr, ValidationError

ADMIN_API_KEY_CHARACTERS_MIN = 24
ADMIN_API_KEY_ALPHABET = re.compile(r"[A-Za-z0-9_-]{1,250}", re.ASCII)  # what /v1 and /admin take for a key at all
WORKERS_DEFAULT = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
"""One for each core that we may use."""
NOT_SET = "not set"
HIDDEN = "********"
URL_PASSWORD = re.compile(r"(?<=://)([^/@]*):[^/]*@")
URL_PARAMETER_PASSWORD = re.compile(r"(password=)[^&]*", re.IGNORECASE)


class InvalidSettings(Exception):  # noqa: N818 - it reads as what is the case
    """The settings can't be used; the message names each variable, and never a value."""


def _usable_key(key: SecretStr) -> SecretStr:
    if len(key.get_secret_value()) < ADMIN_API_KEY_CHARACTERS_MIN:
        raise ValueError(f"it must have at least {ADMIN_API_KEY_CHARACTERS_MIN} characters, since whoever guesses it owns the gateway")
    if not ADMIN_API_KEY_ALPHABET.fullmatch(key.get_secret_value()):
        raise ValueError("it may hold letters, digits, - and _ only, at most 250 of them")
    return key


def _url_of(*schemes: str) -> AfterValidator:
    def check(url: str) -> str:
        if not url.startswith(tuple(f"{scheme}://" for scheme in schemes)):
            raise ValueError(f"it must be a URL that starts with {' or '.join(f'{scheme}://' for scheme in schemes)}")
        return url

    return AfterValidator(check)


def _split(brokers: object) -> object:
    return [name.strip() for name in brokers.split(",")] if isinstance(brokers, str) else brokers


def _lower(text: object) -> object:
    return text.lower() if isinstance(text, str) else text


# A URL may hold a password: it is kept out of repr() and shown without it.
PostgresUrl = Annotated[str, _url_of("postgresql", "postgres")]
RedisUrl = Annotated[str, _url_of("redis", "rediss", "unix")]
HttpUrl = Annotated[str, _url_of("http", "https")]
Broker = Annotated[str, Field(pattern=r"^[^\s:,]+:\d{1,5}$|^\[[0-9a-fA-F:]+\]:\d{1,5}$")]
Seconds = Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)]


class Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    gateway_config: FilePath | None = Field(None, description="TOML file with settings; the environment wins over it")

    gateway_host: str = Field("127.0.0.1", description="Address to listen on")
    gateway_port: int = Field(8080, ge=0, le=65_535, description="Port to listen on; 0 takes a free one")
    gateway_home: Path = Field(Path(".gateway"), description="Directory of the embedded servers, generated keys and their logs")
    gateway_workers: int = Field(WORKERS_DEFAULT, ge=1, le=256, description="Processes that serve HTTP; default: one for each core")
    gateway_projectors: int = Field(
        1, ge=1, le=8, description="Processes that feed the read models and recover what others left open: one works, the others stand by"
    )
    drain_accept_s: Seconds = Field(2.0, description="Seconds after SIGTERM in which new requests are still taken, while /ready says 503")
    drain_s: Seconds = Field(30.0, description="Seconds after that in which running streams may finish")

    dead_after_s: Annotated[float, Field(ge=3, le=3_600)] = Field(
        15.0, description="Seconds without a sign of life after which a process is taken for dead, and what it left open is settled"
    )

    database_url: PostgresUrl | None = Field(
        None, repr=False, description="PostgreSQL 17 or newer, reached directly, not through a transaction pooler; default: embedded"
    )
    log_batch_max: int = Field(256, ge=1, le=10_000, description="Commands decided in one batch of the log")
    redis_url: RedisUrl | None = Field(None, repr=False, description="Redis or Valkey, for caches; default: embedded")
    kafka_brokers: Annotated[tuple[Broker, ...], BeforeValidator(_split)] = Field(
        (), description="host:port,… of the Kafka that the log is published to; default: not published"
    )

    admin_api_key: Annotated[SecretStr, AfterValidator(_usable_key)] | None = Field(
        None, description=f"Key that may do everything, at least {ADMIN_API_KEY_CHARACTERS_MIN} characters"
    )
    admin_default_password: SecretStr | None = Field(None, description="Password of the user admin, who is created at the first start")

    openai_api_key: SecretStr | None = Field(None, description="Key for the provider OpenAI")
    openai_base_url: HttpUrl | None = Field(None, repr=False, description="Where OpenAI's API is; default: OpenAI's own")
    anthropic_api_key: SecretStr | None = Field(None, description="Key for the provider Anthropic")
    anthropic_base_url: HttpUrl | None = Field(None, repr=False, description="Where Anthropic's API is; default: Anthropic's own")
    local_model: bool = Field(True, description="Offer the bundled local model")
    local_model_url: HttpUrl | None = Field(None, repr=False, description="Where it is served; default: by a process of ours")
    upstream_ca_file: FilePath | None = Field(None, description="Certificates (PEM) to trust when calling providers, besides the usual")
    upstream_trust_env: bool = Field(False, description="Call providers through the proxies that HTTPS_PROXY and NO_PROXY name")

    log_level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)] = Field(
        "info", description="Least severity that is logged: debug, info, warning or error"
    )
    log_format: Annotated[Literal["json", "text"], BeforeValidator(_lower)] = Field("text", description="json (a line each) or text")


class Described(NamedTuple):
    name: str
    value: str
    default: str
    description: str


def load_settings(environ: Mapping[str, str]) -> Settings:
    """Raise InvalidSettings, naming every variable that is wrong."""
    known: dict[str, object] = {
        name: environ[name.upper()].strip() for name in Settings.model_fields if environ.get(name.upper(), "").strip()
    }
    if "gateway_config" in known:
        known = _from_file(Path(str(known["gateway_config"]))) | known
    try:
        return Settings.model_validate(known)
    except ValidationError as invalid:
        # Built from the messages alone, and not chained: pydantic's own text and traceback may show what was given.
        faults = {str(error["loc"][0]).upper(): error["msg"].removeprefix("Value error, ") for error in invalid.errors(include_input=False)}
    raise InvalidSettings("\n".join(f"{name}: {fault}" for name, fault in faults.items()))


def as_environment(settings: Settings) -> dict[str, str]:
    """For a process of ours, that it has the very same: what `load_settings` makes `settings` of. It holds the secrets."""
    return {name.upper(): _written(value) for name, value in settings if name != "gateway_config" and value not in (None, ())}


def describe(settings: Settings) -> list[Described]:
    """For people: secrets are masked."""
    return [
        Described(name.upper(), _shown(getattr(settings, name)), _shown(field.default), field.description or "")
        for name, field in Settings.model_fields.items()
    ]


def _from_file(file: Path) -> dict[str, object]:
    try:
        given = tomllib.loads(file.read_text())
    except (OSError, UnicodeDecodeError) as unreadable:
        raise InvalidSettings(f"GATEWAY_CONFIG: {file} can't be read ({type(unreadable).__name__})") from None
    except tomllib.TOMLDecodeError as malformed:
        raise InvalidSettings(f"GATEWAY_CONFIG: {file} is not valid TOML: {malformed}") from None
    settings = {name.lower(): value for name, value in given.items() if value != ""}
    if unknown := settings.keys() - (Settings.model_fields.keys() - {"gateway_config"}):
        raise InvalidSettings(f"GATEWAY_CONFIG: {file} sets what is no setting: {', '.join(sorted(unknown))}")
    return settings


def _shown(value: object) -> str:
    match value:
        case None | ():
            return NOT_SET
        case SecretStr():
            return HIDDEN
        case str():
            return URL_PARAMETER_PASSWORD.sub(rf"\1{HIDDEN}", URL_PASSWORD.sub(rf"\1:{HIDDEN}@", value))
    return _written(value)


def _written(value: object) -> str:
    match value:
        case SecretStr():
            return value.get_secret_value()
        case bool():
            return str(value).lower()
        case tuple():
            return ",".join(map(str, value))
    return str(value)
