"""From the queue to the result."""
