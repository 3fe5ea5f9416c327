"""The engine process: one model, one llama.cpp context, no HTTP."""
