"""Metrics, protocols, composed clips, tables and figures."""
