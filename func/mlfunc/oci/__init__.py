"""Images as registries and folders keep them: OCI image, distribution and layout specifications.

Nothing here knows what a function is.
"""
