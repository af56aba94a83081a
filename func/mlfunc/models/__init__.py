"""A function's models: where they come from, what pins them, how they get into the image.

    schemes     an address -> what lists and reads it: a table by scheme
    pinning     what an address stands for now, for mlfunc.lock
    fetching    the pinned files, here, verified
    delivery    how they reach the function: in its image, in one of their own, ...
    shards      the pinned files -> layers, without opening one

The libraries of the hub and of S3 are extras, and are loaded only where a model asks for them.
"""
