"""The local platform, as commands reach it."""
