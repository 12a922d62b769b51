import pytest

from ajpd.status.question import Command, Form, Hide, QuestionError, read_question


def test_nothing_asked() -> None:
    question = read_question(None, {})
    assert (question.command, question.form) == (Command.LIST, Form.HTML)
    assert (question.worker, question.member, question.refresh_s) == (None, None, 0)


def test_everything_asked() -> None:
    question = read_question(b"cmd=update&mime=txt&w=l%62&sw=a+b&att=vwf&opt=33&re=10x&val0=3", {})
    assert (question.command, question.form) == (Command.UPDATE, Form.TXT)
    assert (question.worker, question.member, question.attribute) == ("lb", "a b", "vwf")
    assert question.hide == Hide.MEMBERS | Hide.READ_ONLY
    assert question.refresh_s == 10
    assert question.values["val0"] == "3"


def test_the_last_of_a_name_counts_and_a_form_more_than_that() -> None:
    assert read_question(b"w=a&w=b", {}).worker == "b"
    assert read_question(b"w=a&w=b", {"w": "c"}).worker == "c"


@pytest.mark.parametrize("query", [b"w", b"=w", b"&&", b"w&=lb&"])
def test_what_is_no_parameter(query: bytes) -> None:
    assert read_question(query, {}).worker is None


def test_an_empty_value_is_one() -> None:
    question = read_question(b"w=&sw=&cmd=&mime=", {})
    assert (question.worker, question.member) == ("", "")
    assert (question.command, question.form) == (Command.LIST, Form.HTML)


@pytest.mark.parametrize(
    ("query", "text", "form"),
    [
        (b"cmd=bogus&mime=xml", "Invalid command.", Form.XML),
        (b"cmd=LIST", "Invalid command.", Form.HTML),
        (b"mime=foo", "Invalid mime type.", Form.PROP),
        (b"cmd=x&mime=foo", "Invalid command.", Form.PROP),
    ],
)
def test_what_cannot_be_understood(query: bytes, text: str, form: Form) -> None:
    with pytest.raises(QuestionError, match=text) as caught:
        read_question(query, {})
    assert caught.value.form is form


@pytest.mark.parametrize("query", [b"w=%zz%", b"w=%ff", b"opt=-1&re=-5", b"opt=99999999999999"])
def test_odd_bytes_and_numbers(query: bytes) -> None:
    question = read_question(query, {})
    assert question.refresh_s == 0
    assert 0 <= question.hide <= 0x1FF
