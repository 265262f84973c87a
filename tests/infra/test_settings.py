"""Settings: the environment over the file over the defaults, and no message that shows a secret."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from infra.settings import HIDDEN, InvalidSettings, as_environment, describe, load_settings

SECRET = "s3cret-that-must-never-be-shown"


def shown(**environ: str) -> dict[str, str]:
    return {setting.name: setting.value for setting in describe(load_settings(environ))}


def refusal(**environ: str) -> str:
    with pytest.raises(InvalidSettings) as refused:
        load_settings(environ)
    assert refused.value.__cause__ is None
    assert refused.value.__context__ is None or refused.value.__suppress_context__
    return str(refused.value)


def test_nothing_configured_is_enough() -> None:
    settings = load_settings({})
    assert (settings.gateway_host, settings.gateway_port, settings.gateway_home) == ("127.0.0.1", 8080, Path(".gateway"))
    assert settings.database_url is None
    assert settings.kafka_brokers == ()
    assert settings.local_model is True
    assert settings.drain_accept_s == 2.0


def test_the_environment_is_typed() -> None:
    settings = load_settings(
        {
            "GATEWAY_PORT": " 9000\n",
            "LOCAL_MODEL": "no",
            "LOG_LEVEL": "DEBUG",
            "KAFKA_BROKERS": "a:9092, b:9093",
            "DRAIN_S": "1.5",
            "PATH": "/bin",
        }
    )
    assert (settings.gateway_port, settings.local_model, settings.log_level) == (9000, False, "debug")
    assert settings.kafka_brokers == ("a:9092", "b:9093")
    assert settings.drain_s == 1.5


def test_an_empty_value_counts_as_not_set() -> None:
    assert load_settings({"DATABASE_URL": "", "GATEWAY_PORT": " "}) == load_settings({})


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError):
        load_settings({}).gateway_port = 1  # type: ignore[misc]


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text('GATEWAY_PORT = 1234\ndrain_s = 5\nKAFKA_BROKERS = ["a:1"]\nlocal_model = false\ndatabase_url = ""\n')
    settings = load_settings({"GATEWAY_CONFIG": str(file), "GATEWAY_PORT": "4321"})
    assert (settings.gateway_port, settings.drain_s, settings.kafka_brokers, settings.local_model) == (4321, 5.0, ("a:1",), False)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("gateway_prot = 1", "sets what is no setting: gateway_prot"),
        ("gateway_config = 'x'", "sets what is no setting: gateway_config"),
        ("gateway_port =", "not valid TOML"),
        ("gateway_port = 'x'", "GATEWAY_PORT: "),
    ],
)
def test_a_faulty_file_is_refused(tmp_path: Path, content: str, fault: str) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text(content)
    assert fault in refusal(GATEWAY_CONFIG=str(file))


def test_a_missing_file_is_refused() -> None:
    assert refusal(GATEWAY_CONFIG="/does/not/exist").startswith("GATEWAY_CONFIG: /does/not/exist can't be read")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GATEWAY_PORT", "tcp://10.0.0.1:80"),  # what Kubernetes sets for a service that is called "gateway"
        ("GATEWAY_PORT", "70000"),
        ("GATEWAY_WORKERS", "0"),
        ("DRAIN_S", "inf"),
        ("DRAIN_ACCEPT_S", "-1"),
        ("LOG_FORMAT", "xml"),
        ("LOG_BATCH_MAX", "0"),
        ("LOCAL_MODEL", "perhaps"),
        ("KAFKA_BROKERS", "kafka"),
        ("UPSTREAM_CA_FILE", "/does/not/exist"),
        ("DATABASE_URL", f"mysql://root:{SECRET}@db/x"),
        ("REDIS_URL", f"http://:{SECRET}@redis"),
        ("OPENAI_BASE_URL", f"ftp://{SECRET}"),
        ("ADMIN_API_KEY", "short-" + SECRET[:10]),
        ("ADMIN_API_KEY", SECRET + "!"),
        ("ADMIN_API_KEY", "k" * 251),
    ],
)
def test_a_wrong_value_is_named_and_not_repeated(name: str, value: str) -> None:
    message = refusal(**{name: value})
    assert message.startswith(f"{name}: ")
    assert value not in message
    assert SECRET[:10] not in message


def test_all_faults_are_told_at_once() -> None:
    assert {line.split(":")[0] for line in refusal(GATEWAY_PORT="x", ADMIN_API_KEY="short").splitlines()} == {
        "GATEWAY_PORT",
        "ADMIN_API_KEY",
    }


def test_an_admin_key_of_24_characters_is_taken() -> None:
    key = load_settings({"ADMIN_API_KEY": "k" * 24}).admin_api_key
    assert key is not None
    assert key.get_secret_value() == "k" * 24


def test_no_secret_is_shown() -> None:
    environ = {
        "ADMIN_API_KEY": SECRET,
        "ADMIN_DEFAULT_PASSWORD": SECRET,
        "OPENAI_API_KEY": SECRET,
        "ANTHROPIC_API_KEY": SECRET,
        "OPENAI_BASE_URL": f"https://user:{SECRET}@proxy/v1",
        "DATABASE_URL": f"postgresql://gateway:{SECRET}@db:5432/gateway?sslmode=require&password={SECRET}",
        "REDIS_URL": f"rediss://:{SECRET}@cache:6379/0",
    }
    assert SECRET not in repr(load_settings(environ))
    values = shown(**environ)
    assert SECRET not in str(values)
    assert values["ADMIN_API_KEY"] == HIDDEN
    assert values["DATABASE_URL"] == f"postgresql://gateway:{HIDDEN}@db:5432/gateway?sslmode=require&password={HIDDEN}"
    assert values["REDIS_URL"] == f"rediss://:{HIDDEN}@cache:6379/0"


def test_a_process_of_ours_has_the_very_same_settings(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text(f'openai_api_key = "{SECRET}"\nlocal_model = false\nkafka_brokers = ["a:1", "b:2"]\ndrain_s = 1.5\n')
    settings = load_settings({"GATEWAY_CONFIG": str(file), "GATEWAY_PORT": "0", "UPSTREAM_CA_FILE": str(file), "LOG_LEVEL": "DEBUG"})
    file.write_text("drain_s = 99\n")
    handed_down = load_settings(as_environment(settings))
    assert handed_down == settings.model_copy(update={"gateway_config": None})


def test_each_setting_is_described() -> None:
    described = {setting.name: setting for setting in describe(load_settings({"GATEWAY_PORT": "81", "KAFKA_BROKERS": "a:1,b:2"}))}
    assert described["GATEWAY_PORT"][1:3] == ("81", "8080")
    assert described["KAFKA_BROKERS"].value == "a:1,b:2"
    assert described["DATABASE_URL"].value == "not set"
    assert described["LOCAL_MODEL"].value == "true"
    assert all(setting.description for setting in described.values())
