"""How all fits of these tests take their means."""

import pytest


@pytest.fixture(autouse=True)
def by_tasks(monkeypatch):
    """Have the mean taken by tasks, as that of large networks is."""
    monkeypatch.setattr("fastmlp.cluster.tasks.DIRECT_BYTES", 0)
