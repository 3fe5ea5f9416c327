"""Owns what the kernel tells of the device: temperature, memory, throttling."""
