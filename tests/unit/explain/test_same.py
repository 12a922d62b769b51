"""What is explained is what is done: the same request is asked about, and sent."""

from collections.abc import Iterator
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ajp.lb import Activation, State
from ajp.messages import ForwardRequest
from ajpd.explain.explanation import Explanation
from ajpd.explain.question import Question, question_of
from tests.unit.explain.stage import Stage, stage

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with stage(tmp_path_factory.mktemp("explain")) as found:
        yield found


T = TypeVar("T")

#: Of what the container is told, that which belongs to the connection.
CONNECTION = {b"AJP_REMOTE_PORT", b"AJP_LOCAL_ADDR"}


def as_told(message: ForwardRequest) -> dict[str, object]:
    return {
        "method": message.method.decode(),
        "uri": message.uri.decode(),
        "query": None if message.query_string is None else message.query_string.decode(),
        "server_name": (message.server_name or b"").decode(),
        "is_ssl": message.is_ssl,
        "headers": tuple((name.decode(), value.decode()) for name, value in message.headers),
        "attributes": {
            name.decode(): value.decode()
            for name, value in message.request_attributes.items()
            if value is not None and name not in CONNECTION
        },
        "has_secret": message.secret is not None,
    }


def as_explained(found: Explanation) -> dict[str, object]:
    sent = found.forwarded
    assert sent is not None
    names = {name.decode() for name in CONNECTION}
    return {
        "method": sent.method,
        "uri": sent.uri,
        "query": sent.query,
        "server_name": sent.server_name,
        "is_ssl": sent.is_ssl,
        "headers": sent.headers,
        "attributes": {k: v for k, v in sent.attributes if k.startswith("JK_") and k not in names},
        "has_secret": sent.has_secret,
    }


def compare(served: Stage, question: Question) -> Explanation:
    """Ask, and send: the same must come of both."""
    before = [record.value for record in served.process.groups["lb"].balancer.records]
    found = served.explain(question)
    assert [record.value for record in served.process.groups["lb"].balancer.records] == before
    status, node = served.ask(question)
    if found.answer is not None:
        assert (status, node) == (found.answer.status, None), found
        return found
    assert found.forwarded is not None
    assert status == 200
    assert node is not None
    if found.forwarded.worker != node and node in _with_turns(found):
        return found  # whose turn it is only the process knows
    assert found.forwarded.worker == node, found
    if found.members:
        assert found.member == node
        assert [member.name for member in found.members if member.is_chosen] == [node]
    assert as_explained(found) == as_told(served.nodes[node].seen[-1])
    return found


def _with_turns(found: Explanation) -> set[str]:
    return {member.name for member in found.members if member.has_turn}


def fresh(served: Stage) -> None:
    for group in served.process.groups.values():
        for number, record in enumerate(group.balancer.records):
            group.balancer.reset(number)
            record.activation = Activation.ACTIVE


@pytest.mark.parametrize(
    ("url", "headers", "outcome"),
    [
        ("/app/x", [], None),
        ("/app/x?a=b&c", [], "lb"),
        ("/app/x", ["Cookie: JSESSIONID=1.b"], "b"),
        ("/app/x", ["Cookie: JSESSIONID=1.c"], "c"),
        ("/app/x", ["Cookie: JSESSIONID=1.east"], "b"),
        ("/app/x", ["Cookie: JSESSIONID=1.gone"], "lb"),
        ("/app/x", ["Cookie: JSESSIONID=1"], "lb"),
        ("/app/x;jsessionid=2.c", ["Cookie: JSESSIONID=1.b"], "c"),
        ("/app/x;jsessionid=2.c/y?z", [], "c"),
        ("/app/x", ["Cookie: a=1; JSESSIONID=1.c", "Cookie: JSESSIONID=2.b"], "c"),
        ("/app/own/x", ["Cookie: JSESSIONID=1.c; SID=2.b"], "b"),
        ("/app/own/x;sid=3.c", ["Cookie: SID=2.b"], "c"),
        ("/app/stateless/x", ["Cookie: JSESSIONID=1.c"], "c"),
        ("/app/free/x", ["Cookie: JSESSIONID=1.c"], "lb"),
        ("/app/late/x", ["Cookie: JSESSIONID=1.a"], "a"),
        ("/app/late/x", ["Cookie: JSESSIONID=1.b"], "c"),
        ("/app/late/x", [], "c"),
        ("/forced", [], "forced"),
        ("/forced/y", ["Cookie: JSESSIONID=1.b"], "b"),
        ("/forced/y", ["Cookie: JSESSIONID=1.gone"], 503),
        ("/alone/", ["X-Forwarded-Host: shop.example"], "alone"),
        ("/alone", [], 404),
        ("/ALONE/x", [], 404),
        ("/app/x.gif", [], 404),
        ("/secret/x", [], 404),
        ("/off/x", [], 404),
        ("/app/../alone/./x", [], "alone"),
        ("/app/%61%2e%2e/x", [], "lb"),
        ("/app//x;v=1/..;/y", [], "lb"),
        ("/../x", [], 400),
        ("/a%00b", [], 400),
        ("/a%2fb", [], 400),
        ("/app/sp ce/ü", [], "lb"),
        ("http://shop.example/app/x", [], "alone"),
        ("http://SHOP.example:81/no/x", [], 404),
        ("http://a.b.shop.example./x", [], "alone"),
        ("http://both.example/app/x", [], "alone"),
        ("http://both.example/forced/x", ["Cookie: JSESSIONID=9.a"], "a"),
        ("http://else.example/app/x", ["Host: shop.example"], "alone"),
        ("http://[::1]:8080/alone/x", [], "alone"),
        ("/alone/x", ["Host: a b"], 400),
        ("/alone/x", ["Transfer-Encoding: gzip"], 501),
        ("/alone/x", [f"X-Large: {'x' * 9000}"], 431),
    ],
)
def test_a_list_of_requests(
    served: Stage, url: str, headers: list[str], outcome: str | int | None
) -> None:
    fresh(served)
    question = question_of(url, headers)
    found = compare(served, question)
    if isinstance(outcome, int):
        assert found.answer is not None
        assert found.answer.status == outcome
        assert found.answer.why
    elif outcome is not None:
        assert found.worker is not None
        assert outcome in (found.worker.name, found.member)


PATHS = st.sampled_from(
    ["/app/x", "/app/stateless/x", "/app/own/x", "/app/late/x", "/app/free/x", "/forced"]
)
ROUTES = st.sampled_from(["a", "b", "c", "east", "gone", ""])


def three(each: st.SearchStrategy[T]) -> st.SearchStrategy[list[T]]:
    return st.lists(each, min_size=3, max_size=3)


@example(
    path="/app/stateless/x",
    cookie=None,
    parameter=None,
    method="GET",
    states=[State.ERROR, State.ERROR, State.ERROR],
    activations=[Activation.ACTIVE, Activation.ACTIVE, Activation.STOPPED],
    values=[2, 2, 43],
)
@given(
    path=PATHS,
    cookie=st.none() | st.tuples(st.sampled_from(["JSESSIONID", "SID"]), ROUTES),
    parameter=st.none() | st.tuples(st.sampled_from([";jsessionid", ";sid"]), ROUTES),
    method=st.sampled_from(["GET", "POST", "DELETE"]),
    states=three(st.sampled_from([State.IDLE, State.OK, State.ERROR, State.BUSY])),
    activations=three(st.sampled_from(Activation)),
    values=three(st.integers(0, 50)),
)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_state_of_the_running_daemon(
    served: Stage,
    path: str,
    cookie: tuple[str, str] | None,
    parameter: tuple[str, str] | None,
    method: str,
    states: list[State],
    activations: list[Activation],
    values: list[int],
) -> None:
    fresh(served)
    for group in served.process.groups.values():
        for record, state, activation, value in zip(
            group.balancer.records, states, activations, values, strict=False
        ):
            record.change_state(record.state, state)
            record.activation, record.value = activation, value
    url = path if parameter is None else f"{path}{parameter[0]}=7.{parameter[1]}"
    headers = [] if cookie is None else [f"Cookie: {cookie[0]}=8.{cookie[1]}"]
    compare(served, question_of(url, headers, method))
