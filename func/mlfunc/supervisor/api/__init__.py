"""The part of the Kubernetes API that `mlfunc.cluster` uses, on the objects of a supervisor.

serving.py      a request -> what it is for -> an answer, or a Status that refuses
resources.py    which path is which object
selecting.py    labels and fields
watches.py      a watch: what changes, as lines
applying.py     server-side apply; owning.py: whose a field is
patching.py     a merge patch
shapes.py       what objects look like
admitting.py    what Knative's webhooks would add, and refuse
builtin.py      what a cluster has that is not kept here: nodes, namespaces, settings
brokers.py      a broker for each namespace
refusals.py     Status objects
"""

from mlfunc.supervisor.api.serving import Logs, handler

__all__ = ["Logs", "handler"]
