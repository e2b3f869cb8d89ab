"""Masks by tracking: from painted frames to a mask for every frame."""
