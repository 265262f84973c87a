"""Identifiers: what they may be made of, and the order of those that we mint."""

import re
from uuid import RFC_4122

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from domain.ids import UUID7_RANDOM_BYTES, BudgetId, CompletionId, CredentialId, Slug, TeamId, uuid7

UNIX_MS_MAX = (1 << 48) - 1

unix_ms = st.integers(0, UNIX_MS_MAX)
random = st.binary(min_size=UUID7_RANDOM_BYTES, max_size=UUID7_RANDOM_BYTES)


@pytest.mark.parametrize("text", ["a", "A1", "gpt-4o", "a--b", "9", "x" * 50])
def test_what_is_an_id(text: str) -> None:
    assert TypeAdapter(TeamId).validate_python(text) == text
    assert type(TypeAdapter(TeamId).validate_python(text)) is TeamId
    assert TypeAdapter(TeamId).dump_json(TeamId(text)) == f'"{text}"'.encode()


@pytest.mark.parametrize(
    "text", ["", "-a", "a-", "-", "x" * 51, "x" * 10_000, "a b", "a/b", "../a", "a.b", "a_b", "é", "١", "a\n", "\na", "a\0"]
)
def test_what_is_no_id(text: str) -> None:
    with pytest.raises(ValidationError, match="1 to 50 letters, digits and hyphens"):
        TypeAdapter(TeamId).validate_python(text)


@pytest.mark.parametrize(
    ("kind", "allowed", "refused"),
    [
        (CredentialId, ("_", "a_b", "_a", "a-b_", "x" * 50), ("", "-a", "a-", "a/b", "x" * 51, "a b", "a\n")),
        (BudgetId, ("_", "a_b", "-a", "a-", "x" * 50), ("", "a/b", "x" * 51, "a b", "a\n", "é")),
    ],
)
def test_credentials_and_budgets_take_underscores_too(kind: type[Slug], allowed: tuple[str, ...], refused: tuple[str, ...]) -> None:
    for text in allowed:
        assert TypeAdapter(kind).validate_python(text) == text
    for text in refused:
        with pytest.raises(ValidationError, match="underscores"):
            TypeAdapter(kind).validate_python(text)


def test_an_id_is_text() -> None:
    for wrong in (7, None, True, ["a"]):
        with pytest.raises(ValidationError):
            TypeAdapter(TeamId).validate_python(wrong)


@given(st.text(max_size=60))
def test_an_id_is_exactly_what_the_rule_says(text: str) -> None:
    allowed = 1 <= len(text) <= 50 and bool(re.fullmatch("[A-Za-z0-9-]+", text)) and "-" not in (text[0], text[-1])
    try:
        TeamId.parse(text)
    except ValueError:
        assert not allowed
    else:
        assert allowed


@given(unix_ms, random)
def test_a_uuid7_is_laid_out_as_rfc_9562_says(at: int, noise: bytes) -> None:
    minted = uuid7(at, noise)
    assert (minted.version, minted.variant) == (7, RFC_4122)
    assert minted.int >> 80 == at
    bits = int.from_bytes(noise, "big") & ((1 << 74) - 1)
    assert (minted.int >> 64 & 0xFFF) << 62 | minted.int & ((1 << 62) - 1) == bits, "all 74 random bits are there"
    assert CompletionId.parse(str(minted)) == str(minted)


@given(unix_ms, unix_ms, random, random)
def test_those_minted_later_sort_later(earlier: int, later: int, noise: bytes, other: bytes) -> None:
    if earlier < later:
        assert str(uuid7(earlier, noise)) < str(uuid7(later, other))


def test_the_example_of_the_rfc() -> None:
    """RFC 9562, appendix A.6."""
    random_bits = (0xCC3 << 62 | 0x18C4DC0C0C07398F).to_bytes(UUID7_RANDOM_BYTES, "big")
    assert str(uuid7(0x017F22E279B0, random_bits)) == "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"
