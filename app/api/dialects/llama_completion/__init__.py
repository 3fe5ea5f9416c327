"""llama-server's native completion: its parameters, its answer, its stream."""
