"""The parameters phase: `rules`, `groups`, `regularisation`, and a run's `training`."""
