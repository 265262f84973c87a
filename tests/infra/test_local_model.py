"""The bundled model behaves as the gateway expects of any OpenAI-compatible provider, and never outlives the gateway."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import openai
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionMessageParam

from infra import local_model
from infra.local_model import LocalModelUnavailable, RunningLocalModel, start_local_model
from infra.local_model_server import CONTEXT_TOKENS_PER_SLOT, SLOTS

ANSWER_S_MAX = 120.0
SOON_S_MAX = 20.0
HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Say hello."}]

GATEWAY_WITH_A_WORKER = """
import os, sys, time
from pathlib import Path
from infra.local_model import start_local_model

running = start_local_model(Path(sys.argv[1]))
worker = os.fork()  # it holds a copy of everything that its parent has open
if worker:
    print(running.pid, worker, flush=True)
time.sleep(60)
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLocalModel]:
    running = start_local_model(tmp_path_factory.mktemp("local-model"))
    yield running
    running.stop()


@pytest.fixture
def client(running: RunningLocalModel) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=running.base_url, api_key="unused", timeout=ANSWER_S_MAX, max_retries=0) as client:
        yield client


def test_a_plain_answer_reports_what_it_used(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="local", messages=HELLO, max_tokens=8)

    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].message.content
    assert answer.usage is not None
    assert answer.usage.prompt_tokens > 0
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_the_cap_on_output_is_kept(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="local", messages=[{"role": "user", "content": "Tell a long story about a fox."}], max_tokens=5
    )

    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 5


def test_a_stream_ends_with_its_usage(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model="local", messages=HELLO, max_tokens=6, temperature=0, stream=True, stream_options={"include_usage": True}
    )
    first, *middle, last = list(stream)

    assert first.choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in middle)
    assert middle[-1].choices[0].finish_reason == "length"
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.completion_tokens == 6


def test_a_stream_is_plain_server_sent_events(running: RunningLocalModel) -> None:
    body = {"model": "local", "messages": HELLO, "max_tokens": 4, "stream": True}
    answer = httpx.post(f"{running.base_url}/chat/completions", json=body, timeout=ANSWER_S_MAX)
    *chunks, done, rest = answer.text.split("\n\n")

    assert answer.headers["content-type"] == "text/event-stream"
    assert (done, rest) == ("data: [DONE]", "")
    assert all("usage" not in json.loads(chunk.removeprefix("data: ")) for chunk in chunks)


def test_without_temperature_the_answer_repeats(client: openai.OpenAI) -> None:
    first, second = (client.chat.completions.create(model="local", messages=HELLO, max_tokens=8, temperature=0) for _ in range(2))

    assert first.choices[0].message.content == second.choices[0].message.content


def test_more_callers_than_slots_are_all_answered(client: openai.OpenAI) -> None:
    def ask(number: int) -> ChatCompletion:
        return client.chat.completions.create(model="local", messages=[{"role": "user", "content": f"Count from {number}."}], max_tokens=8)

    with ThreadPoolExecutor(2 * SLOTS) as callers:
        answers = list(callers.map(ask, range(2 * SLOTS)))

    assert all(answer.usage and answer.usage.completion_tokens for answer in answers)


def test_a_caller_who_leaves_stops_the_generation(client: openai.OpenAI, running: RunningLocalModel) -> None:
    endless = {"ignore_eos": True}
    stream = client.chat.completions.create(model="local", messages=HELLO, max_tokens=4_000, stream=True, extra_body=endless)
    for _ in zip(range(3), stream, strict=False):
        pass
    assert _busy_slots(running) == 1

    stream.close()

    assert _soon(lambda: _busy_slots(running) == 0)


def test_a_prompt_beyond_the_context_is_refused(client: openai.OpenAI) -> None:
    too_long: list[ChatCompletionMessageParam] = [{"role": "user", "content": " fox" * (CONTEXT_TOKENS_PER_SLOT + 1)}]
    with pytest.raises(openai.BadRequestError, match="exceeds the available context size"):
        client.chat.completions.create(model="local", messages=too_long, max_tokens=1, stream=True)


def test_the_terminal_does_not_reach_it(running: RunningLocalModel) -> None:
    assert os.getsid(running.pid) == running.pid


def test_it_stops_when_asked_and_again_when_asked_again(tmp_path: Path) -> None:
    running = start_local_model(tmp_path, threads=1)
    assert running.is_running()

    running.stop()
    running.stop()

    assert not running.is_running()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{running.base_url}/models")


def test_it_ends_with_a_gateway_that_was_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", GATEWAY_WITH_A_WORKER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as gateway:
        assert gateway.stdout is not None
        model_pid, worker_pid = map(int, gateway.stdout.readline().split())
        try:
            assert _is_alive(model_pid)
            gateway.kill()
            assert _soon(lambda: not _is_alive(model_pid))
            assert _is_alive(worker_pid), "the leash alone could have told it"
        finally:
            os.kill(worker_pid, signal.SIGKILL)


def test_missing_weights_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_model, "WEIGHTS_PACKAGE", "no-such-weights")
    with pytest.raises(LocalModelUnavailable, match=r"no-such-weights.*make setup"):
        start_local_model(tmp_path)


def test_weights_lost_from_their_package_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_model, "WEIGHTS_SUFFIX", ".lost")
    with pytest.raises(LocalModelUnavailable, match=r"\.lost file is missing"):
        start_local_model(tmp_path)


def test_a_missing_runtime_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    with pytest.raises(LocalModelUnavailable, match="xllamacpp"):
        start_local_model(tmp_path)


def test_broken_weights_end_the_start_and_the_log_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF and then nothing that makes sense")
    monkeypatch.setattr(local_model, "_weights", lambda: broken)
    with pytest.raises(LocalModelUnavailable, match=r"(?s)ended while starting; the end of .*local-model\.log: .*error loading model"):
        start_local_model(tmp_path)


def _busy_slots(running: RunningLocalModel) -> int:
    slots = httpx.get(f"{running.base_url.removesuffix('/v1')}/slots").json()
    return sum(slot["is_processing"] for slot in slots)


def _is_alive(pid: int) -> bool:
    """A zombie that nobody has collected yet is not alive."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _soon(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + SOON_S_MAX
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False
