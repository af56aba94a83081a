"""The data plane: requests from clients, and from within, to the instances of functions.

gateway.py      what the other parts of the supervisor call; routes, revisions, own pages
listening.py    connections accepted, as long as there are files.py for them
connection.py   a client's connection: requests in, one after the other, each answered in turn
parser.py       bytes to requests, by llhttp, body piece by piece; fields.py: what is refused
writer.py       replies to bytes
routing.py      host, or first segment of the path -> who gets it: pure
pages.py        the gateway's own: who may see them, and how they are answered
holding.py      a revision: its instances, their places, and the line of those who wait for one
exchange.py     a request from its arrival to the end of its reply
forwarding.py   heads as they are passed on: pure
upstream.py     a connection to an instance, kept for the next request
within.py       requests from within
replies.py      what the gateway says itself
meter.py        what there is to know of a revision's requests: load, times, statuses
"""
