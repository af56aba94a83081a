"""Requests and replies of the supervisor's own pages and API. Those to functions: `gateway`."""
