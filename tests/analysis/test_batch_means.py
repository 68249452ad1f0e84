"""Standard errors of time averages: against series whose long-run variance is known."""

import math

import numpy as np
import pytest

from gradflow.analysis.shared.batch_means import MAX_BATCHES, MIN_BATCHES, BatchMeans, geyer, standard_errors

REPLICAS = 2000  # s² of n values is good to √(2/n), the mean of 2000 to √(2/n)/√2000: under 0.6 %


def batched(sums, length):
    """The batch means of sums (parts, k), each over ``length`` steps."""
    batches = BatchMeans()
    for part in sums:
        batches.add(length, part)
    return batches


def autoregressive(phi, steps, replicas, seed=0):
    """x' = φ x + e from its stationary law: variances 1/(1 − φ²), in the long run 1/(1 − φ)²."""
    generator = np.random.default_rng(seed)
    noise = generator.standard_normal((steps, replicas))
    noise[0] /= math.sqrt(1 - phi**2)
    for step in range(1, steps):
        noise[step] += phi * noise[step - 1]
    return noise


def true_variance(phi, steps):
    """Of the mean of that many steps, exactly: Σ_k (T − |k|) φ^|k| / (T² (1 − φ²))."""
    lags = np.arange(1, steps)
    return (steps + 2 * ((steps - lags) * phi**lags).sum()) / (steps**2 * (1 - phi**2))


@pytest.mark.parametrize("count", [32, 64, 128, 200])
def test_squared_errors_of_independent_batches_are_right_on_average(count):
    # Too small by no more than the replicas' scatter; too large because noise that adds up is taken for
    # correlation: ρ ~ N(0, 1/n), pairs N(0, 2/n), the j-th of which counts if those before it were positive,
    # so that 2 E[ρ⁺] + 2 Σ 2^(1−j) E[pair⁺] = 2(1 + 2√2)/√(2πn) is the most.
    draws = np.random.default_rng(0).standard_normal((count, REPLICAS))
    found = (batched(draws, 1).standard_errors() ** 2).mean() * count
    assert 0.98 < found < 1.02 + 2 * (1 + 2 * math.sqrt(2)) / math.sqrt(2 * math.pi * count)


@pytest.mark.parametrize("phi", [0.5, 0.9, -0.5])
@pytest.mark.parametrize("length", [1, 10])
def test_squared_errors_of_a_correlated_series_are_right_on_average(phi, length):
    steps = 250 * MAX_BATCHES  # in the end of 128 to 255 batches, whatever was added
    series = autoregressive(phi, steps, 200)
    sums = series.reshape(-1, length, 200).sum(axis=1)
    batches = batched(sums, length)
    assert MAX_BATCHES <= len(batches.steps) < 2 * MAX_BATCHES
    found = (batches.standard_errors() ** 2).mean()
    # 200 replicas, each good to √(2/128) or twice that, are 2 % of the mean; for 0.15 see independent batches
    assert found == pytest.approx(true_variance(phi, steps), rel=0.15)


def test_errors_of_batches_that_know_of_their_neighbours_are_not_those_of_independent_ones():
    # φ = 0.9 in single steps, unmerged: 1 + 2Σρ = 19, of which 200 values give the better part
    series = autoregressive(0.9, 200, REPLICAS)
    found = (standard_errors(series)[0] ** 2).mean()
    naive = (series.var(axis=0) / 199).mean()
    truth = true_variance(0.9, 200)
    assert naive < 0.1 * truth
    # of ten values' worth the error is rough, and stated rather too large
    assert 0.6 * truth < found < 2.0 * truth


def test_errors_are_never_under_those_of_independent_values():
    series = autoregressive(-0.9, 300, 50)
    floor = series.std(axis=0) / math.sqrt(299)
    np.testing.assert_allclose(standard_errors(series)[0], floor, rtol=1e-12)


def test_errors_do_not_depend_on_where_the_mean_lies_and_go_with_the_scale():
    series = autoregressive(0.7, 200, 5)
    plain, independent = standard_errors(series)
    np.testing.assert_allclose(standard_errors(100 + series)[0], plain, rtol=1e-10)
    np.testing.assert_allclose(standard_errors(3 * series)[0], 3 * plain, rtol=1e-12)
    np.testing.assert_allclose(standard_errors(3 * series)[1], independent, rtol=1e-10)


def initial_monotone(series):
    """Geyer's estimate by the letter: pairs of autocovariances, while positive, made to fall."""
    count, mean = len(series), sum(series) / len(series)
    covariance = [
        sum((series[t] - mean) * (series[t + lag] - mean) for t in range(count - lag)) / count
        for lag in range(count)
    ]
    pairs = []
    for lag in range(0, count - 1, 2):
        pair = covariance[lag] + covariance[lag + 1]
        if pair <= 0:
            break
        pairs.append(min([pair, *pairs]))
    return 2 * sum(pairs) - covariance[0]


@pytest.mark.parametrize("phi", [0.0, 0.8, 0.97, -0.6])
def test_errors_are_geyers_by_the_letter(phi):
    series = autoregressive(phi, 61, 4, seed=5)
    expected = [initial_monotone(column.tolist()) for column in series.T]
    deviations = series - series.mean(axis=0)
    np.testing.assert_allclose(geyer(deviations, (deviations**2).mean(axis=0)), expected, rtol=1e-9)


@pytest.mark.parametrize(("phi", "steps"), [(0.9, 300), (0.99, 1000), (0.999, 10_000)])
def test_a_run_of_few_memories_does_not_call_itself_long_nor_its_error_small(phi, steps):
    # steps (1 − φ)/(1 + φ) independent values in it: 16, 5 and 5
    series = autoregressive(phi, steps, 200)
    long, scaled = 0, []
    for column in series.T:
        batches = batched(np.add.reduceat(column, np.arange(0, steps, steps // 32))[:32, None], steps // 32)
        error, independent = batches.standard_errors()[0], batches.independent()[0]
        long += independent >= 10
        scaled.append(batches.means()[0] / error)
    # an error is right if the true mean, 0, is as often so many errors away as Student's t has it
    assert np.sqrt(np.mean(np.square(scaled))) < 1.4
    assert long < 0.1 * 200 or phi == 0.9


def test_a_constant_with_rounding_on_it_is_known_at_once():
    values = 0.7 + 1e-17 * np.arange(32.0)[:, None]
    error, independent = standard_errors(values)
    assert error[0] < 1e-15
    assert independent[0] == 32


@pytest.mark.parametrize(
    "count", [1, MAX_BATCHES, 2 * MAX_BATCHES - 1, 2 * MAX_BATCHES, 4 * MAX_BATCHES + 3, 1000]
)
def test_merging_keeps_every_total(count):
    generator = np.random.default_rng(count)
    lengths, sums = generator.integers(1, 9, count), generator.standard_normal((count, 3))
    batches = BatchMeans()
    for length, part in zip(lengths, sums, strict=True):
        batches.add(int(length), part)
        assert len(batches.steps) < 2 * MAX_BATCHES
    np.testing.assert_allclose(batches.means(), sums.sum(axis=0) / lengths.sum(), rtol=1e-12, atol=1e-15)
    ends, totals = batches.totals()
    assert len(ends) >= min(count, MAX_BATCHES)
    assert np.isin(ends, np.cumsum(lengths)).all()
    places = np.searchsorted(np.cumsum(lengths), ends)
    np.testing.assert_allclose(totals, np.cumsum(sums, axis=0)[places], atol=1e-12)
    assert np.cumsum(lengths)[-1] - ends[-1] < lengths.sum() / min(count, MAX_BATCHES) * 3


@pytest.mark.parametrize("count", [MIN_BATCHES, 300])
def test_a_constant_series_has_no_error(count):
    batches = batched(np.full((count, 2), 0.25), 1)
    assert batches.standard_errors().tolist() == [0.0, 0.0]
    assert batches.means().tolist() == [0.25, 0.25]


@pytest.mark.parametrize("count", range(1, MIN_BATCHES))
def test_of_fewer_than_eight_batches_no_error_is_known(count):
    batches = batched(np.random.default_rng(0).standard_normal((count, 2)), 5)
    assert np.isnan(batches.standard_errors()).all()
    assert np.isfinite(batches.means()).all()


@pytest.mark.parametrize("count", [3, MIN_BATCHES, 300])
def test_minus_infinity_is_certain_and_does_not_spoil_its_neighbours(count):
    series = np.random.default_rng(1).standard_normal((count, 3))
    spoiled = series.copy()
    spoiled[count // 2 :, 1] = -np.inf
    found, plain = batched(spoiled, 4), batched(series, 4)
    assert found.means()[1] == -np.inf
    assert found.standard_errors()[1] == 0
    for place in (0, 2):
        np.testing.assert_array_equal(found.means()[place], plain.means()[place])
        np.testing.assert_array_equal(found.standard_errors()[place], plain.standard_errors()[place])
