"""What every process shares. Imports nothing else of ours."""
