"""The pneumo command."""
