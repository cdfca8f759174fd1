"""Numbers over steps as lines, by hand."""

import math

from calig_fast.monitor.curves import HEIGHT, WIDTH, monitor_plot


def test_a_curve_by_hand():
    found = monitor_plot("x", [10, 20, 30, 40], [math.nan, 0.0, 1.0, 0.5])
    assert found.lines == (f"{WIDTH / 3:.1f},{HEIGHT:.1f} {2 * WIDTH / 3:.1f},0.0 {WIDTH:.1f},{HEIGHT / 2:.1f}",)
    assert [told for _, _, told in found.dots] == ["step 20: 0", "step 30: 1", "step 40: 0.5"]
    assert (found.low, found.high, found.last) == ("0", "1", "0.5")
    gap = monitor_plot("x", [0, 1, 2, 3, 4], [1.0, 2.0, math.inf, 3.0, 4.0])
    assert len(gap.lines) == 2
    assert (gap.low, gap.high) == ("1", "4")
    assert monitor_plot("x", [5], [math.nan]).last == "-"


def test_the_axis_is_that_of_the_values():
    found = monitor_plot("probability", [0, 1], [0.993, 0.999])
    assert (float(found.low), float(found.high)) == (0.98, 1.0)  # two hundredths at least
    assert found.dots[0][1] - found.dots[1][1] > HEIGHT / 4
    assert monitor_plot("x", [0, 1], [0.0, 0.001]).low == "0"
    assert float(monitor_plot("x", [0, 1], [-0.5, 0.5]).low) == -0.5
