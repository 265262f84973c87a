"""`gateway replay`, and the part of `gateway verify` that is about read models."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from rich.console import Console, Group
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from adapters.projecting.advancing import ReadModel, Rewound
from adapters.projecting.comparing import Comparison, compare
from adapters.projecting.replaying import NotSwitched, ReplayUnderWay, replay
from entrypoints.problems import Problem
from projections import READ_MODELS

DIFFERENCES_SHOWN_MAX: Final = 50


class NotReplayed(Problem):
    """The read models that are asked are the old ones."""


def replayed(url: str, names: Sequence[str], console: Console) -> int:
    """Rebuild with a progress bar; all of them where none is named. Answers the position that they have come to."""
    chosen = [_named(name) for name in names] or READ_MODELS
    try:
        with _bar(console, "reading the log") as on_progress:
            position = replay(url, chosen, on_progress)
    except ReplayUnderWay:
        raise NotReplayed("Another replay is under way") from None
    except NotSwitched:
        raise NotReplayed("The old read models were in use all the time; try again when less is asked of them") from None
    except Rewound:
        raise NotReplayed("The log was rewound meanwhile; try again") from None
    console.print(f"Rebuilt {', '.join(model.NAME for model in chosen)} from {position} events.", highlight=False)
    return position


def compared(url: str, console: Console) -> Comparison:
    """Build each read model again and compare, with a progress bar, and show the result."""
    with _bar(console, "rebuilding the read models") as on_progress:
        comparison = compare(url, READ_MODELS, on_progress)
    console.print(shown(comparison))
    return comparison


def shown(comparison: Comparison) -> Group:
    found = comparison.differences
    lines = [Text(f"{name}: {message}", style="red") for name, message in found[:DIFFERENCES_SHOWN_MAX]]
    if len(found) > DIFFERENCES_SHOWN_MAX:
        lines.append(Text(f"and {len(found) - DIFFERENCES_SHOWN_MAX} more", style="red"))
    return Group(*lines, verdict(comparison))


def verdict(comparison: Comparison) -> Text:
    if comparison.differences:
        names = sorted({difference.read_model for difference in comparison.differences})
        return Text(f"NOT verified: {', '.join(names)} differ from the log; `gateway replay` builds them again", style="bold red")
    if not comparison.positions:
        return Text("There are no read models yet", style="dim")
    return Text.assemble(("verified", "bold green"), f": {len(comparison.positions)} read models equal the log")


def _named(name: str) -> ReadModel:
    for model in READ_MODELS:
        if name == model.NAME:
            return model
    raise NotReplayed(f"There is no read model {name}; there are {', '.join(model.NAME for model in READ_MODELS)}")


@contextmanager
def _bar(console: Console, words: str) -> Iterator[Callable[[int, int], None]]:
    columns = (TextColumn(words), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=None)
        yield lambda position, head: progress.update(task, completed=position, total=head)
