"""The HTTP process's side of the engines: starts, watches, restarts and switches them."""
