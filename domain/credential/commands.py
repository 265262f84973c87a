"""What can be asked of a credential."""

from domain.credential.events import SecretSource
from domain.ids import CredentialId
from domain.kernel import Command
from domain.provider import ProviderName
from domain.text import Address, Name


class AddCredential(Command):
    credential_id: CredentialId
    name: Name
    credential_type: ProviderName
    secret: SecretSource
    endpoint: Address | None = None
    deployment: Address | None = None
    header_value: Address | None = None
    enabled: bool = True


class ChangeCredential(Command):
    """What is None stays as it is, but for an address that is said to be None: it is cleared."""

    credential_id: CredentialId
    name: Name | None = None
    secret: SecretSource | None = None
    endpoint: Address | None = None
    deployment: Address | None = None
    header_value: Address | None = None
    enabled: bool | None = None


class DeleteCredential(Command):
    credential_id: CredentialId
