"""One file per training recipe."""
