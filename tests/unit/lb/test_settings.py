"""Settings, methods and multipliers."""

import pytest

from ajp.lb import Activation, Method, Settings, activations
from ajp.lb.settings import OWN_ACTIVATION, multipliers


@pytest.mark.parametrize(
    ("factors", "expected"),
    [
        ([1], [1]),
        ([1, 1], [1, 1]),
        ([1, 2, 3], [6, 3, 2]),
        ([4, 6], [3, 2]),
        ([10, 10, 5], [1, 1, 2]),
        ([100, 33, 50], [33, 100, 66]),
    ],
)
def test_multipliers_are_the_least_that_are_whole(factors: list[int], expected: list[int]) -> None:
    assert multipliers(factors) == expected


def test_multipliers_of_unwieldy_factors_are_near_enough() -> None:
    factors = [9973, 9967, 9949, 1]
    weights = multipliers(factors)
    assert max(weights) == weights[3] == 1 << 24
    assert [round((1 << 24) / weight) for weight in weights[:3]] == pytest.approx(
        factors[:3], rel=0.01
    )
    assert multipliers([1 << 60, 3]) == [1, 1 << 24]


def test_defaults_are_those_of_mod_jk() -> None:
    settings = Settings()
    assert settings.method is Method.REQUEST
    assert (settings.sticky_session, settings.sticky_session_force) == (True, False)
    assert (settings.session_cookie, settings.session_path) == ("JSESSIONID", ";jsessionid")
    assert (settings.set_session_cookie, settings.session_cookie_path) == (False, "/")
    assert (settings.retries, settings.lb_retries, settings.retry_interval_ms) == (2, 2, 100)
    assert (settings.recover_time_s, settings.escalation_s) == (60, 30)
    assert (settings.max_reply_timeouts, settings.maintain_s) == (0, 60)


def test_escalation_time_follows_recover_time_unless_given() -> None:
    assert Settings(recover_time_s=10).escalation_s == 5
    assert Settings(recover_time_s=10, error_escalation_time_s=0).escalation_s == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"retries": 0},
        {"lb_retries": 0},
        {"retry_interval_ms": -1},
        {"recover_time_s": -1},
        {"error_escalation_time_s": -0.1},
        {"max_reply_timeouts": -1},
        {"maintain_s": float("nan")},
    ],
)
def test_numbers_that_are_too_small(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} is at least"):
        Settings(**wrong)  # type: ignore[arg-type]


def test_methods_have_the_numbers_of_mod_jk() -> None:
    names = ["Request", "Traffic", "Busyness", "Sessions", "Next", "P2C", "Latency"]
    assert [Method(name).number for name in names] == list(range(7))
    adding = {method for method in Method if method.accumulates}
    assert adding == {Method.REQUEST, Method.TRAFFIC, Method.SESSIONS, Method.NEXT}


def test_activations_of_a_rule() -> None:
    names = ["a", "b", "c"]
    made = activations(names, {"c": Activation.STOPPED, "a": Activation.ACTIVE})
    assert made == bytes([0, OWN_ACTIVATION, 2])
    with pytest.raises(ValueError, match="'d' is none of the members a, b, c"):
        activations(names, {"d": Activation.STOPPED})
