"""The parameters phase: `rules`, `regularisation`, and `training`, a run's record."""
