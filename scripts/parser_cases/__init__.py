"""Runs llama.cpp's published parser cases through the parsers and grammars of this project."""
