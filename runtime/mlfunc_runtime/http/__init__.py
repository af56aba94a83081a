"""HTTP/1.1 between a socket and the routes. It knows nothing of functions; `Routes` says what is
answered.

    connections.py  all that are open: idle ones are closed after a while, all at the end
    connection.py   one of them: requests in, one after the other, each answered before the next
    parser.py       bytes to requests, by llhttp
    target.py       path and query
    fields.py       the names of header fields, and what is refused of them
    patience.py     how long a client is waited for
    departure.py    whether one that sends no more has left
    exchange.py     a request answered, whole or as a stream
    render.py       replies to bytes
    writer.py       bytes out, as fast as the peer reads
"""
