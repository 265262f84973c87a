"""`gateway replay` and `gateway verify`, as far as they are about read models."""

import re

import pytest
from rich.console import Console
from typer.testing import CliRunner

from entrypoints.commands import app
from entrypoints.replaying import NotReplayed, compared, replayed
from tests import examples as a
from tests.projections.handwritten import HandwrittenLog, connected, projected, rows


def console() -> Console:
    return Console(record=True, width=200, force_terminal=False)


def test_named_read_models_are_built_again(log: HandwrittenLog) -> None:
    log.write(("team/a", a.team_created()), ("team/b", a.team_created()))
    projected(log.url)
    with connected(log.url) as database:
        database.execute("DELETE FROM teams")
    shown = console()
    assert replayed(log.url, ["teams"], shown) == 2
    assert "Rebuilt teams from 2 events" in shown.export_text()
    assert len(rows(log.url, "teams")) == 2


def test_a_name_that_nobody_has_is_told(log: HandwrittenLog) -> None:
    with pytest.raises(NotReplayed, match=r"no read model moods; there are teams, api_keys"):
        replayed(log.url, ["moods"], console())


def test_verifying_tells_what_differs_and_how_to_mend_it(log: HandwrittenLog) -> None:
    log.write(("team/a", a.team_created()))
    shown = console()
    compared(log.url, shown)
    assert "There are no read models yet" in shown.export_text()
    projected(log.url)
    compared(log.url, shown)
    assert "verified: 8 read models equal the log" in shown.export_text()
    with connected(log.url) as database:
        database.execute("UPDATE teams SET name = 'forged'")
    compared(log.url, shown)
    told = shown.export_text()
    assert "teams: teams (main, a) is not what the log says" in told
    assert "NOT verified: teams differ from the log; `gateway replay` builds them again" in told


def test_the_commands_end_as_they_found_it(log: HandwrittenLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", log.url)
    log.write(("team/a", a.team_created()))
    runner = CliRunner()
    assert runner.invoke(app, ["replay", "--all"]).exit_code == 0
    assert runner.invoke(app, ["verify"]).exit_code == 0
    with connected(log.url) as database:
        database.execute("DELETE FROM teams")
    found = runner.invoke(app, ["verify"])
    assert (found.exit_code, "is missing" in found.output) == (1, True)
    assert runner.invoke(app, ["replay", "teams"]).exit_code == 0
    assert runner.invoke(app, ["verify"]).exit_code == 0
    for wrong in (["replay"], ["replay", "teams", "--all"]):
        assert re.search("name the read models", runner.invoke(app, wrong).output)
