from __future__ import annotations

from autokd.report.quantities import ms, size, times


def test_quantities_have_three_digits_and_a_unit() -> None:
    assert [ms(value) for value in (0.8512, 12.345, 1250.4)] == ["0.851 ms", "12.3 ms", "1,250 ms"]
    assert [times(value) for value in (0.5, 5.29, 112.3)] == ["0.5×", "5.3×", "112×"]
    assert [size(value) for value in (12, 51200, 22.7e6, 1.5e9)] == ["12 bytes", "51.2 kB", "22.7 MB", "1.5 GB"]
