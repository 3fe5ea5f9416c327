"""Says what the package is made of: its parts, their licences, what is known against them."""
