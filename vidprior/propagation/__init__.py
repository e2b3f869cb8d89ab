"""Known pixels propagated into the hole, without a network."""
