"""One module a command: options, one call, report. Each is `command`; the table is in `cli`."""
