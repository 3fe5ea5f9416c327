"""What should not harm the server, done to it and counted; `scripts/faults` is the command."""
