"""The processes of all revisions.

processes.py    so many of each revision: `parts.Fleet`
member.py       one of them: a process, then the next one, until it is told to end
allocation.py   which of them has which accelerators
variables.py    what its process is told
memory.py       how much one takes, and whether it may
process.py      a process on the event loop: what it writes, and how it ends
group.py        whether anything that it has started still runs
output.py       bytes -> lines, and what of them is said to us: pure
patience.py     when what has failed is started again, how fast output is read: pure
journal.py      the lines of one process, each with its time, in a file that stays small
reading.py      what of a journal is asked for, and on while it grows
logs.py         the journals of all
"""
