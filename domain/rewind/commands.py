"""What can be asked of a rewind."""

from domain.ids import Slug
from domain.kernel import Command


class NoteRewind(Command):
    """The log no longer has what it had."""

    rewind_id: Slug
    lost_position: int
    lost_hash: str
