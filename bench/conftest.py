"""Files in this folder that pytest does not collect."""

# They import their peer, which need not be installed, and hold no tests or examples.
collect_ignore_glob = ["contestants/*"]
