"""L-BFGS on the loss over all rows."""

from typing import Any

import numpy as np
import scipy.optimize

from fastmlp.kernels import Data, Objective
from fastmlp.training.blas import one_blas_thread
from fastmlp.training.loop import UNSEEN, Outcome, Steps


class LBFGS:
    """Minimise the loss over all rows with SciPy's L-BFGS-B, in float64.

    Parameters
    ----------
    engine : Objective
    parameters : (n_parameters,) array
        Where to start; not changed. The engine takes arrays of its dtype.
    data : Data
    alpha : float
        Strength of the L2 penalty.
    max_iter, max_fun : int
        Most iterations and most evaluations of loss and gradient.
    tol : float
        The iterations end once no element of the gradient is larger.
    verbose : bool
        Have SciPy print its progress; from SciPy 1.15 on it prints nothing.

    Attributes
    ----------
    reached : scipy.optimize.OptimizeResult
        `x`, `fun` and `nit` of the last complete iteration.

    References
    ----------
    C. Zhu, R. H. Byrd, P. Lu and J. Nocedal, "Algorithm 778: L-BFGS-B", ACM
    Transactions on Mathematical Software 23(4), 1997.
    """

    def __init__(
        self,
        engine: Objective,
        parameters: np.ndarray,
        data: Data,
        *,
        alpha: float,
        max_iter: int,
        max_fun: int,
        tol: float,
        verbose: bool,
    ) -> None:
        self.engine, self.data, self.alpha = engine, data, alpha
        self.options: dict[str, Any] = {
            "maxfun": max_fun,
            "maxiter": max_iter,
            "gtol": tol,
        }
        if _scipy_prints():
            self.options["iprint"] = 1 if verbose else -1
        self._dtype = parameters.dtype
        self._start = parameters.astype(np.float64)
        self._loss = float("nan")
        self._steps = UNSEEN
        self.reached = scipy.optimize.OptimizeResult(
            x=self._start, fun=self._loss, nit=0
        )

    def run(
        self, steps: Steps = UNSEEN
    ) -> tuple[scipy.optimize.OptimizeResult, Outcome]:
        """Minimise; return SciPy's result and the `Outcome`.

        The result of an interrupted or stopped run is `reached`.
        """
        self._steps = steps
        try:
            with one_blas_thread():
                result = scipy.optimize.minimize(
                    self._loss_gradient,
                    self._start,
                    method="L-BFGS-B",
                    jac=True,
                    callback=self._iteration_ends,
                    options=self.options,
                )
        except KeyboardInterrupt:
            return self.reached, Outcome.INTERRUPTED
        except _Stopped:
            return self.reached, Outcome.STOPPED
        # SciPy steps back from a loss that is not finite; only a start may have one.
        if not (np.isfinite(result.fun) and np.isfinite(result.x).all()):
            return result, Outcome.DIVERGED
        return result, Outcome.CONVERGED if result.success else Outcome.EXHAUSTED

    def _loss_gradient(self, x):
        # Not where an iteration ends: none follows the last one. Within an iteration
        # it does nothing.
        self._steps.begin()
        # SciPy may try numbers too large for float32.
        with np.errstate(over="ignore"):
            self.engine.load(x.astype(self._dtype))
        gradient = np.empty(x.size, self._dtype)
        self._loss = self.engine.loss_gradient(self.data, self.alpha, gradient)
        return self._loss, gradient.astype(np.float64, copy=False)

    def _iteration_ends(self, x):
        # The line search ends with an evaluation at x, so the last loss is that of x.
        self.reached.update(x=x.copy(), fun=self._loss, nit=self.reached.nit + 1)
        if self._steps.end():
            raise _Stopped


class _Stopped(Exception):
    """Ends SciPy's iterations."""


def _scipy_prints() -> bool:
    """Return whether this SciPy knows the option `iprint`, deprecated in 1.15."""
    major, minor = scipy.__version__.split(".")[:2]
    return (int(major), int(minor)) < (1, 15)
