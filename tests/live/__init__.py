"""Tests against a running server with a real model."""
