"""A work directory from source to result."""
