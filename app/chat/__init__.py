"""Owns what a conversation looks like to a model: templates, tool formats, stream parsing.

Pure: must know nothing of HTTP, llama.cpp, the wire protocol or the clock.
"""
