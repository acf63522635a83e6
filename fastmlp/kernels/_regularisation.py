"""What restrains a network beside its loss: penalties, decay, bounds on norms, noise.

Each is a loop of its own, compiled when a network first uses it and called by address:
a network without them runs the code that it would run if they did not exist.
"""

from functools import cache
from math import sqrt
from typing import NamedTuple

from numba import carray, float64, types

from ._jit import callback, jit
from ._llvm import address, call, pointer
from ._noise import drop_loop, multiply_loop, noise_loop


class Regularisation(NamedTuple):
    """Settings beside `alpha`, which may change from epoch to epoch.

    Parameters
    ----------
    l1 : float
        Strength of the L1 penalty, scaled as `alpha` is.
    clip_norm : float
        Largest L2 norm of the mean gradient over the minibatch, penalties included;
        0: any.
    max_norm : float
        Largest L2 norm of a unit's incoming weights; 0: any.
    dropout : tuple of float
        Rates of the inputs and of each hidden layer; empty: none.
    input_noise : float
        Standard deviation of the normal numbers added to the inputs in training.
    seed : int
        Of dropout and noise, at least 0 and below 2**63.
    """

    l1: float = 0.0
    clip_norm: float = 0.0
    max_norm: float = 0.0
    dropout: tuple = ()
    input_noise: float = 0.0
    seed: int = 0

    @property
    def drops(self):
        """Whether anything is dropped."""
        return any(self.dropout)

    @property
    def is_random(self):
        """Whether training draws random numbers."""
        return self.drops or self.input_noise != 0

    @property
    def changes_inputs(self):
        """Whether the minibatch's inputs have to be a copy."""
        return any(self.dropout[:1]) or self.input_noise != 0


def prepare(plan, settings, decays, dtype):
    """Write the settings and the addresses of the loops that they need into a plan.

    Parameters
    ----------
    plan : record of PLAN
    settings : Regularisation
    decays : bool
        Whether the optimizer has a weight decay.
    dtype : scalar type
    """
    clips, bounds = settings.clip_norm != 0, settings.max_norm != 0
    for name in ("l1", "clip_norm", "max_norm", "input_noise", "seed"):
        plan[name] = getattr(settings, name)
    plan["clips"], plan["phases"] = clips, 1 + clips + bounds
    plan["noisy_inputs"] = settings.changes_inputs
    # Decay changes the weights before the update looks at them for the penalty.
    loops = {
        "penalise": (penalise_loop, settings.l1 != 0 or clips or decays),
        "shrink": (shrink_loop, decays),
        "absolute": (absolute_loop, settings.l1 != 0),
        "collect": (collect_loop, clips),
        "squares": (squares_loop, bounds),
        "bound": (bound_loop, bounds),
        "drop": (drop_loop, settings.drops),
        "multiply": (multiply_loop, settings.drops),
        "noise": (noise_loop, settings.input_noise != 0),
    }
    for name, (loop, needed) in loops.items():
        plan[name] = loop(dtype).address if needed else 0


@cache
def penalise_loop(dtype):
    """Compile ``penalise(w, g, n, alpha, l1)``: g += alpha w + l1 sign(w).

    `w` and `g` are addresses. The subgradient of |w| at 0 is 0.
    """

    def penalise(w, g, n, alpha, l1):
        weights = carray(pointer(w), (n,), dtype)
        gradient = carray(pointer(g), (n,), dtype)
        square, absolute, zero = dtype(alpha), dtype(l1), dtype(0)
        for i in range(n):
            x = weights[i]
            slope = absolute if x > zero else (-absolute if x < zero else zero)
            gradient[i] += square * x + slope

    signature = types.void(*[types.intp] * 3, types.float64, types.float64)
    return callback(penalise, signature, f"penalise-{dtype.__name__}")


@cache
def shrink_loop(dtype):
    """Compile ``shrink(w, n, decay)``: w -= decay w, decoupled from the gradient.

    References
    ----------
    I. Loshchilov and F. Hutter, "Decoupled weight decay regularization", ICLR 2019.
    """

    def shrink(w, n, decay):
        weights = carray(pointer(w), (n,), dtype)
        factor = dtype(decay)
        for i in range(n):
            weights[i] -= factor * weights[i]

    signature = types.void(types.intp, types.intp, types.float64)
    return callback(shrink, signature, f"shrink-{dtype.__name__}")


@cache
def absolute_loop(dtype):
    """Compile ``absolute(x, rows, width, out)``: column sums of abs(x) in float64.

    `x` is the address of a C-contiguous matrix, `out` that of `width` float64.
    """

    def absolute(x, rows, width, out):
        values = carray(pointer(x), (rows * width,), dtype)
        sums = carray(pointer(out), (width,), float64)
        for j in range(width):
            sums[j] = 0.0
        for i in range(rows):
            for j in range(width):
                sums[j] += abs(float64(values[i * width + j]))

    return callback(
        absolute, types.void(*[types.intp] * 4), f"absolute-{dtype.__name__}"
    )


@jit
def _add_squares(values, rows, width, sums):
    for i in range(rows):
        for j in range(width):
            x = float64(values[i * width + j])
            sums[j] += x * x


@cache
def squares_loop(dtype):
    """Compile ``squares(x, rows, width, out)``: column sums of x**2 in float64."""

    def squares(x, rows, width, out):
        sums = carray(pointer(out), (width,), float64)
        for j in range(width):
            sums[j] = 0.0
        _add_squares(carray(pointer(x), (rows * width,), dtype), rows, width, sums)

    return callback(squares, types.void(*[types.intp] * 4), f"squares-{dtype.__name__}")


@cache
def collect_loop(dtype):
    """Compile ``collect(g, to, rows, width, out)``: a copy of g for the update.

    The squares of g are added to the column sums at `out`, in float64.
    """

    def collect(g, to, rows, width, out):
        gradient = carray(pointer(g), (rows * width,), dtype)
        copy = carray(pointer(to), (rows * width,), dtype)
        for i in range(rows * width):
            copy[i] = gradient[i]
        _add_squares(gradient, rows, width, carray(pointer(out), (width,), float64))

    return callback(collect, types.void(*[types.intp] * 5), f"collect-{dtype.__name__}")


@cache
def bound_loop(dtype):
    """Compile ``bound(w, rows, width, squares, blocks, largest)``.

    Scales those columns of `w` down whose L2 norm over the whole panel, from `blocks`
    times `width` sums of squares, is above `largest`.

    References
    ----------
    N. Srivastava et al., "Dropout: a simple way to prevent neural networks from
    overfitting", JMLR 15, 2014, section 5.1.
    """

    def bound(w, rows, width, squares, blocks, largest):
        weights = carray(pointer(w), (rows * width,), dtype)
        sums = carray(pointer(squares), (blocks * width,), float64)
        for j in range(width):
            total = 0.0
            for k in range(blocks):
                total += sums[k * width + j]
            norm = sqrt(total)
            if norm > largest:
                factor = dtype(largest / norm)
                for i in range(rows):
                    weights[i * width + j] *= factor

    signature = types.void(*[types.intp] * 5, types.float64)
    return callback(bound, signature, f"bound-{dtype.__name__}")


@jit
def clipped_scale(plan, sums, scale):
    """Factor of the summed gradient, once more scaled down if its norm is too large.

    A norm that is NaN passes: it has to show in the parameters.
    """
    total, n = 0.0, sums.size // 3
    for k in range(n, 2 * n):
        total += sums[k]
    norm = scale * sqrt(total)
    return scale * (plan.clip_norm / norm) if norm > plan.clip_norm else scale


@jit
def update(plan, memory, at, n, gradient, steps, step, scale, alpha, decay):
    """Apply the optimizer to `n` parameters from `at` on, their gradient given."""
    if plan.shrink != 0 and decay != 0:
        call(plan.shrink, (address(memory, at), n, decay))
    call(
        plan.update,
        (
            address(memory, at),
            address(memory, gradient),
            address(memory, at + plan.first_moment),
            address(memory, at + plan.second_moment),
            n,
            address(steps, step * steps.shape[1]),
            scale,
            alpha,
            plan.settings,
        ),
    )


@jit
def bound_columns(plan, unit, memory, sums):
    """Scale the columns of a unit down to the plan's largest norm."""
    squares = sums.size // 3 * 2
    call(
        plan.bound,
        (
            address(memory, unit.weights), unit.rows, plan.width,
            address(sums, squares + unit.panel * plan.width), unit.blocks,
            plan.max_norm,
        ),
    )  # fmt: skip
