"""`gateway verify`: the log read from its beginning, and what does not add up in it."""

from rich.console import Console, Group, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from adapters.log.auditing import Report, verify
from domain.money import usd_text

FINDINGS_SHOWN_MAX = 50


def verified(url: str, console: Console) -> Report:
    """Verify with a progress bar, and show the result."""
    columns = (TextColumn("reading the log"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=None)
        report = verify(url, lambda position, head: progress.update(task, completed=position, total=head))
    console.print(shown(report))
    return report


def shown(report: Report) -> RenderableType:
    books = report.books
    counted = Text(
        f"{report.position} events, {books.admitted} completions: {books.settled} settled ({books.recovered} by recovery), "
        f"{len(books.open)} open, {books.corrected} corrected, ${usd_text(books.settled_nanos)} in all"
    )
    parts: list[RenderableType] = [counted]
    if report.budgets:
        parts.append(_budgets(report))
    if report.position:
        parts.append(Text(f"head: position {report.position}, hash {report.hash.hex()}", style="dim"))
    parts += [Text(note, style="yellow") for note in _notes(report)]
    parts += [Text(f"position {position}: {message}", style="red") for position, message in report.findings[:FINDINGS_SHOWN_MAX]]
    if (unshown := report.findings_count - min(len(report.findings), FINDINGS_SHOWN_MAX)) > 0:
        parts.append(Text(f"and {unshown} more", style="red"))
    return Group(*parts, verdict(report))


def _budgets(report: Report) -> Table:
    table = Table("budget", "limit", "settled ever", "settled", "held", "free", box=None, header_style="dim")
    for column in table.columns[1:]:
        column.justify = "right"
    for budget in report.budgets:
        name = budget.budget.split("/", 2)[2] + (" (closed)" if budget.closed else "")
        amounts = (budget.hard_limit_nanos, budget.settled_ever_nanos, budget.settled_nanos, budget.held_nanos, budget.free_nanos)
        table.add_row(name, *(f"${usd_text(amount)}" for amount in amounts))
    return table


def _notes(report: Report) -> list[str]:
    """What is in order, and still worth knowing."""
    books = report.books
    notes = {
        f"the cost of {books.cost_unknown} completions is unknown, since their price was": books.cost_unknown,
        f"the log was rewound; noted at position {_listed(books.rewinds)}": books.rewinds,
        f"completions entered again after a rewind, exempt from limits, at position {_listed(books.readmitted)}": books.readmitted,
    }
    return [note for note, present in notes.items() if present]


def _listed(positions: list[int]) -> str:
    return ", ".join(map(str, positions[:FINDINGS_SHOWN_MAX]))


def verdict(report: Report) -> Text:
    if report.findings_count:
        return Text(f"NOT verified: {report.findings_count} {'finding' if report.findings_count == 1 else 'findings'}", style="bold red")
    return Text.assemble(("verified", "bold green"), f": the hashes of {report.position} events, every admission, every settlement")
