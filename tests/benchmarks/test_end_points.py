"""The endpoints alone beside the integral: the measure runs on the demo's model."""

from benchmarks.end_points import compared


def test_the_order_of_the_endpoints_is_compared_with_that_of_the_integral():
    found = compared("tiny", 2)
    assert found["inputs"] == 2
    assert -1 <= found["rank_correlation_worst"] <= found["rank_correlation_median"] <= 1
    assert 0 <= found["same_strongest_token"] <= 2
    assert min(found["seconds_end_points"], found["seconds_certified_scores"]) > 0
