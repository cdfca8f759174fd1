"""The endpoints alone beside the integral: the measure runs on the demo's model."""

from benchmarks.end_points import compared


def test_the_order_of_the_endpoints_is_compared_with_that_of_the_integral():
    measured = compared("tiny", 2)
    assert measured["inputs"] == 2
    assert -1 <= measured["rank_correlation_worst"] <= measured["rank_correlation_median"] <= 1
    assert 0 <= measured["same_strongest_token"] <= 2
    assert min(measured["seconds_end_points"], measured["seconds_certified_scores"]) > 0
