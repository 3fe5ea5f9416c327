"""Random trials of the prompt cache: what it restores is compared with what a cold run computes."""
