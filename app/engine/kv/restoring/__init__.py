"""What a prompt is restored from, and how: found, read ahead from the disk, loaded."""
