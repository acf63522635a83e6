"""A base of callbacks of scikit-learn that act in few hooks."""


class SilentCallback:
    """Does nothing."""

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass
