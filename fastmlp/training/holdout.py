"""Rows that a network is judged by after each epoch."""


class Holdout:
    """Rows held out of training.

    Parameters
    ----------
    sample : Sample
    rows : (n,) int64 array or None
        The rows of `sample`; None: all.
    score : callable or None
        ``score(engine, loss)`` of the network in the engine, given its loss on these
        rows. None: the loss is only recorded.

    Attributes
    ----------
    decides : bool
        Whether there is a score, which then decides when to stop and what to keep.
    """

    def __init__(self, sample, rows, score):
        self._data, self._rows, self._score = sample.data, rows, score
        self.decides = score is not None

    def evaluate(self, engine):
        """Return the loss without penalty, and the score or None."""
        loss = engine.loss(self._data, self._rows)
        return loss, self._score(engine, loss) if self.decides else None
