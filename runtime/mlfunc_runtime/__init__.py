"""What runs in the container of an mlfunc function."""

__version__ = "0.1.0"
