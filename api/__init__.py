"""Audit rows to JSON. Needs no torch."""
