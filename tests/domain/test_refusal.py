"""The rule of a report of refusals."""

from tests.examples import API_KEY_ID, admissions_refused, record_refusals
from tests.scenario import given


def test_a_report_says_who_was_refused_by_which_rule_how_often_and_where_it_began() -> None:
    given().when(record_refusals()).then(admissions_refused())


def test_a_report_is_recorded_once() -> None:
    given().when(record_refusals()).and_again().then_nothing()
    given(admissions_refused(count=1)).when(record_refusals(count=2)).then_nothing()


def test_nobody_in_particular_can_be_refused() -> None:
    reported = given().when(record_refusals(api_key_id=None, rule="unauthenticated"))
    reported.then(admissions_refused(api_key_id=None, rule="unauthenticated"))
    assert API_KEY_ID not in str(reported.said)
