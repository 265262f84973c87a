"""The rules of a credential."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from domain.change import facts, said
from domain.credential.commands import AddCredential, ChangeCredential, DeleteCredential
from domain.credential.events import (
    CredentialAdded,
    CredentialDeleted,
    CredentialDisabled,
    CredentialEnabled,
    CredentialEndpointChanged,
    CredentialRenamed,
    CredentialSecretChanged,
    SecretSource,
)
from domain.errors import Conflict, Invalid, NotFound, Unreadable
from domain.kernel import Decider, Event, Recorded, UnknownEvent
from domain.state import Kind

FACTS: Final = (CredentialRenamed, CredentialSecretChanged, CredentialEndpointChanged)
"""Each says anew what its fields, which are the credential's own, are."""
ADDRESS: Final = tuple(CredentialEndpointChanged.model_fields)


class Status(StrEnum):
    ENABLED = "enabled"
    DISABLED = "disabled"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    name: str
    credential_type: str
    secret: SecretSource
    endpoint: str | None
    deployment: str | None
    header_value: str | None
    status: Status
    created_at: datetime
    updated_at: datetime
    readable: bool = True


CREDENTIALS: Final = Kind[str, Credential]("credential")

CredentialCommand = AddCredential | ChangeCredential | DeleteCredential


def decide(command: CredentialCommand, credential: Credential | None, now: datetime) -> Iterator[Event]:
    match command, credential:
        case _, Credential(readable=False):
            raise Unreadable
        case AddCredential(), None | Credential(status=Status.DELETED):
            yield from _add(command)
        case AddCredential(), _:
            raise Conflict(f"Credential {command.credential_id} already exists", param="id")
        case _, None | Credential(status=Status.DELETED):
            raise NotFound(f"There is no credential {command.credential_id}")
        case ChangeCredential(), Credential():
            yield from _change(command, credential)
        case DeleteCredential(), Credential():
            yield CredentialDeleted()


def _add(command: AddCredential) -> Iterator[Event]:
    _check(command.secret)
    yield CredentialAdded(**{name: value for name, value in command if name not in ("credential_id", "enabled")})
    if not command.enabled:
        yield CredentialDisabled()


def _change(command: ChangeCredential, credential: Credential) -> Iterator[Event]:
    changed = replace(credential, **said(command, but=("credential_id", "enabled"), clearable=ADDRESS))
    _check(changed.secret)
    yield from facts(FACTS, credential, changed)
    if command.enabled is not None and command.enabled != (credential.status is Status.ENABLED):
        yield CredentialEnabled() if command.enabled else CredentialDisabled()


def _check(secret: SecretSource) -> None:
    if secret.source == "environment" and not secret.name:
        raise Invalid("The secret's source is the environment, and no variable is named", param="secret")


def evolve(credential: Credential | None, recorded: Recorded[Any]) -> Credential | None:
    match recorded.event, credential:
        case CredentialAdded() as added, _:
            return replace(_blank(recorded.at), **dict(added), readable=credential is None or credential.readable)
        case UnknownEvent(), _:
            return replace(credential or _blank(recorded.at), readable=False, updated_at=recorded.at)
        case event, Credential(status=Status.ENABLED | Status.DISABLED) if changes := _changes(event):
            return replace(credential, updated_at=recorded.at, **changes)
    return credential


def _blank(at: datetime) -> Credential:
    return Credential(
        name="",
        credential_type="",
        secret=SecretSource(source="none"),
        endpoint=None,
        deployment=None,
        header_value=None,
        status=Status.ENABLED,
        created_at=at,
        updated_at=at,
    )


def _changes(event: Event) -> dict[str, Any]:
    match event:
        case CredentialEnabled():
            return {"status": Status.ENABLED}
        case CredentialDisabled():
            return {"status": Status.DISABLED}
        case CredentialDeleted():
            return {"status": Status.DELETED}
    return dict(event) if type(event) in FACTS else {}


decider = Decider[Credential](
    category="credential",
    identity="credential_id",
    kind=CREDENTIALS,
    commands=(AddCredential, ChangeCredential, DeleteCredential),
    events=(CredentialAdded, *FACTS, CredentialDisabled, CredentialEnabled, CredentialDeleted),
    decide=decide,
    evolve=evolve,
)
