"""What can be asked of an API key."""

from pydantic import Field

from domain.api_key.events import Permissions, RateLimits
from domain.ids import ApiKeyId, TeamId
from domain.kernel import Command
from domain.text import Description, Name, Tags
from domain.time import Moment


class IssueApiKey(Command):
    api_key_id: ApiKeyId
    name: Name
    team_id: TeamId
    key_prefix: Name
    secret_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    permissions: Permissions
    rate_limits: RateLimits = RateLimits()
    description: Description | None = None
    expires_at: Moment | None = None
    tags: Tags = {}


class ChangeApiKey(Command):
    """What is None stays as it is, but for an expiry that is said to be None: the key expires no more."""

    api_key_id: ApiKeyId
    permissions: Permissions | None = None
    rate_limits: RateLimits | None = None
    expires_at: Moment | None = None
    name: Name | None = None
    description: Description | None = None
    tags: Tags | None = None


class SuspendApiKey(Command):
    api_key_id: ApiKeyId


class ActivateApiKey(Command):
    api_key_id: ApiKeyId


class RevokeApiKey(Command):
    """For ever."""

    api_key_id: ApiKeyId


class DeleteApiKey(Command):
    api_key_id: ApiKeyId
