"""What can happen to a credential. Stored: add fields with defaults, never rename or remove."""

from typing import ClassVar, Literal

from domain.kernel import Event, Value


class SecretSource(Value):
    """Where the secret is read from when it is needed. `environment`: `name` is the variable. `none`: the provider asks for none.

    `aws`: wherever AWS's own tools would look (its variables and files, the machine's role).
    """

    source: Literal["environment", "none", "aws"]
    name: str = ""


class CredentialAdded(Event):
    topic: ClassVar[str] = "credential.added.v1"

    name: str
    credential_type: str
    secret: SecretSource
    endpoint: str | None = None
    deployment: str | None = None
    header_value: str | None = None


class CredentialRenamed(Event):
    topic: ClassVar[str] = "credential.renamed.v1"

    name: str


class CredentialSecretChanged(Event):
    topic: ClassVar[str] = "credential.secret_changed.v1"

    secret: SecretSource


class CredentialEndpointChanged(Event):
    topic: ClassVar[str] = "credential.endpoint_changed.v1"

    endpoint: str | None
    deployment: str | None = None
    header_value: str | None = None


class CredentialDisabled(Event):
    topic: ClassVar[str] = "credential.disabled.v1"


class CredentialEnabled(Event):
    topic: ClassVar[str] = "credential.enabled.v1"


class CredentialDeleted(Event):
    topic: ClassVar[str] = "credential.deleted.v1"
