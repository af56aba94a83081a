"""From files to layers: trees of files, deterministic tar, compression, and what is known already.

Nothing here knows what a function is, or what a registry is.
"""
