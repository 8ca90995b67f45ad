"""Alembic's environment; the package data of every installation."""
