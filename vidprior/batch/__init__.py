"""Many clips: a manifest in, finished films out, on one machine or on a cluster."""
