"""Whether the books still say what the events said when it was written, one module per book."""
