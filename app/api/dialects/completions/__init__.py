"""OpenAI's legacy completions: prompts that no chat template writes."""
