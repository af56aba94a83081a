"""What lies in the user's cache, who uses it, and what of it can go."""
