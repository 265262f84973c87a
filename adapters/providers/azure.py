"""Azure OpenAI: OpenAI's chat completions at a deployment's address, with what its content filter adds."""

from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import quote, urlsplit, urlunsplit

from adapters.providers.openai import PATH, OpenAI
from adapters.providers.openai_stream import OpenAIStream
from application.ports import ChatCall, Target, WireRequest

API_VERSION: Final = "2024-10-21"
"""The latest dated one that is generally available; an endpoint whose query names another is asked for that one."""
API: Final = "/openai"
V1: Final = "/openai/v1"
DEPLOYMENTS: Final = "/deployments/"


@dataclass(frozen=True, slots=True)
class AzureOpenAI(OpenAI):
    """A deployment is named by the credential, or else by the model."""

    def request(self, chat: ChatCall, target: Target) -> WireRequest:
        deployed = replace(target, provider_model=target.deployment or target.provider_model)
        # `super()` does not find its class in a dataclass with slots.
        wire = OpenAI.request(self, chat, deployed)
        headers = {"Content-Type": "application/json"}
        if target.secret:
            headers["api-key"] = target.secret
        return replace(wire, url=address(target.endpoint or "", deployed.provider_model), headers=headers)

    def stream(self, target: Target, *, include_usage: bool) -> "AzureStream":
        return AzureStream(target.model_id, include_usage=include_usage)


def address(endpoint: str, deployment: str) -> str:
    """An endpoint is the resource's address, or goes on to `/openai`, `/openai/v1`, a deployment, or the whole path."""
    at = urlsplit(endpoint)
    path = at.path.rstrip("/").removesuffix(PATH)
    if path.endswith(V1):
        return urlunsplit(at._replace(path=path + PATH))
    if DEPLOYMENTS not in path:
        path = f"{path.removesuffix(API)}{API}{DEPLOYMENTS}{quote(deployment, safe='')}"
    return urlunsplit(at._replace(path=path + PATH, query=_with_version(at.query)))


def _with_version(query: str) -> str:
    return query if "api-version=" in query else "&".join(filter(None, (query, f"api-version={API_VERSION}")))


class AzureStream(OpenAIStream):
    """As OpenAI's: what the filter says of a prompt comes in a chunk without choices, which OpenAI's clients don't expect; it waits for
    the next one. What it says of an answer later comes without a delta."""

    __slots__ = ("_prompt_filter_results",)

    def __init__(self, model_id: str, *, include_usage: bool) -> None:
        super().__init__(model_id, include_usage=include_usage)
        self._prompt_filter_results: Any = None

    def _read(self, chunk: Any) -> bytes:
        match chunk:
            case {"choices": [], "prompt_filter_results": results} if not chunk.get("usage"):
                self._prompt_filter_results = results
                return b""
            case {"choices": [_, *_] as choices}:
                for choice in choices:
                    if isinstance(choice, dict):
                        choice.setdefault("delta", {})
                if self._prompt_filter_results is not None:
                    chunk["prompt_filter_results"], self._prompt_filter_results = self._prompt_filter_results, None
        return super()._read(chunk)
