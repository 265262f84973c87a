"""The hash chain against the test vectors of its specification."""

from pathlib import Path

from adapters.log.chain import GENESIS, link

SPECIFICATION = Path(__file__).parents[2] / "docs" / "log-format.md"


def vector(column: int) -> dict[str, str]:
    """One column of the specification's table of test vectors."""
    section = SPECIFICATION.read_text().split("### Test vectors")[1].split("\n\n")[1]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines()]
    return {row[0].strip("*"): row[column].replace("`", "") for row in rows}


def hash_of(parts: dict[str, str], previous: bytes) -> bytes:
    position, version = parts["position, version"].split(", ")
    org, by = parts["org, by"].split(", ")
    causation = parts["causation id"]
    return link(
        previous,
        int(position),
        int(version),
        parts["stream"],
        parts["topic"],
        int(parts["at (µs)"]),
        org,
        by,
        parts["correlation id"],
        None if causation == "null" else causation,
        parts["state"].encode(),
    )


def test_the_specification_s_vectors_hold() -> None:
    first, second = vector(1), vector(2)
    first_hash = hash_of(first, GENESIS)
    assert first_hash.hex() == first["hash"]
    assert hash_of(second, first_hash).hex() == second["hash"]


def test_an_absent_causation_is_not_an_empty_one() -> None:
    parts = vector(1)
    assert hash_of(parts, GENESIS) != hash_of({**parts, "causation id": ""}, GENESIS)
