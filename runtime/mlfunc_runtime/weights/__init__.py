"""Weights that are streamed: fetched from a hub or an object store before `load`.

    listing     which files, of which model: what the image says
    sources     where each lies: hub.py for hf://, s3.py (with credentials.py) for s3://
    http        a GET that follows redirects, in a native thread
    writing     a file that comes in parts, in any order, and its hash
    fetching    all of it, on many connections at once

Nothing here is imported unless a model is streamed.
"""
