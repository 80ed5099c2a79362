"""Equal values have equal texts."""

import pytest

from autokd.core.canonical import canonical, digest


def test_order_of_keys_does_not_matter() -> None:
    assert canonical({"b": 1, "a": [1, 2]}) == canonical({"a": [1, 2], "b": 1}) == '{"a":[1,2],"b":1}'
    assert digest({"a": 1}) != digest({"a": 2})
    assert len(digest("x")) == 20


def test_what_json_cannot_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        canonical(float("nan"))
