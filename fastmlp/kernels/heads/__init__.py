"""The end of a network: `losses`, `outputs` (activations), `head`, which calls them."""
