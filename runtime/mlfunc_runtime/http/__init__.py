"""HTTP/1.1 between a socket and the routes: a connection reads requests, has them answered, and
writes the replies. It knows nothing of functions; `Routes` says what is answered.
"""
