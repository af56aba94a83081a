"""The command line of mlfunc: projects in, running functions out."""

__version__ = "0.1.0"
