"""Owns the device's sensors as the kernel reports them: temperature, memory, throttling."""
