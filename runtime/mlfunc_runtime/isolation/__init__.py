"""`serve.isolation: process`: a predictor's load, predict and unload in a process for each slot.

    child.py       the child's main module: no hub, no HTTP; it answers one call at a time
    bonds.py       it ends with its parent, and leaves signals to it
    coroutines.py  its `async def load` and `unload`
    process.py     a child as its parent sees it: started, called, ended, and why it ended
    supervised.py  a slot's child: batches go to it, and when it ends another one takes its place
    items.py       the items of a stream
    group.py       the children of all slots: start, warm-up, metrics, end
    watch.py       the thread that sees children end, and ends those that use too much memory
    wire.py        messages between the two: small ones through a socket, large parts through memory
    crossing.py    what changes its form on the way: requests, tensors, exceptions

Nothing of it is imported by a function whose predictor runs in threads.
"""
