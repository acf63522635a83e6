"""Learning rate per epoch.

A schedule says what the rate is after each epoch, and what happens when training has
not improved for longer than the user's patience. It holds settings only; the current
rate lives in the optimizer and is handed in.
"""

ADAPTIVE_DIVISOR = 5.0
ADAPTIVE_MINIMUM = 1e-6


class Constant:
    """The initial learning rate throughout; training ends on a plateau.

    Parameters
    ----------
    learning_rate_init : float
    power_t : float
        Ignored here: all schedules are built from the same two settings.
    """

    def __init__(self, learning_rate_init, power_t):
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t

    def after_epoch(self, rate, t):
        """Return the rate of the next epoch.

        Parameters
        ----------
        rate : float
            The rate of the epoch that ended.
        t : int
            Rows trained on so far, counted with repetition.
        """
        return rate

    def on_plateau(self, rate):
        """Return the next rate, or None to stop, and the message that says so."""
        return None, "Stopping."


class InvScaling(Constant):
    """learning_rate_init / (t + 1) ** power_t from the second epoch on."""

    def after_epoch(self, rate, t):
        """Return the rate after t rows."""
        return self.learning_rate_init / (t + 1) ** self.power_t


class Adaptive(Constant):
    """Divide the rate by 5 on each plateau; stop once it is 1e-6 or less."""

    def on_plateau(self, rate):
        """Return the next rate, or None to stop, and the message that says so."""
        if rate <= ADAPTIVE_MINIMUM:
            return None, "Learning rate too small. Stopping."
        rate /= ADAPTIVE_DIVISOR
        return rate, f"Setting learning rate to {rate:f}"


SCHEDULES = {"constant": Constant, "invscaling": InvScaling, "adaptive": Adaptive}
