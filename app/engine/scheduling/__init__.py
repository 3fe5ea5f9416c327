"""Owns which request is decoded when: the loop, the scheduler, the end of a request."""
