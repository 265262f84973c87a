"""What can be asked of the records of usage."""

from domain.ids import Slug
from domain.kernel import Command
from domain.time import Moment


class DeleteUsage(Command):
    """Of completions that ended before a moment, as far as that has come."""

    records_id: Slug
    before: Moment
