import numpy as np
import pytest

from scripts.models.kernel import solve_kernel


@pytest.mark.parametrize("shape", [(30,), (30, 2)])
def test_solution_is_that_of_the_penalised_system(shape):
    random = np.random.default_rng(0)
    features, y = random.normal(size=(30, 8)), random.normal(size=shape)
    kernel = features @ features.T
    np.testing.assert_allclose((kernel + 0.3 * np.eye(30)) @ solve_kernel(kernel.copy(), 0.3, y), y, atol=1e-10)
    ridge = np.linalg.solve(features.T @ features + 0.3 * np.eye(8), features.T @ y)
    np.testing.assert_allclose(features.T @ solve_kernel(kernel.copy(), 0.3, y), ridge, atol=1e-10)


def test_a_penalty_too_small_is_an_error():
    with pytest.raises(np.linalg.LinAlgError):
        solve_kernel(np.ones((4, 4)), -0.5, np.ones(4))
