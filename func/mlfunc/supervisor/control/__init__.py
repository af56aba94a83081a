"""Objects that say what there shall be -> what there is, and objects that say so.

    control.py         listens to objects, instances and requests, and does what comes of it
    configurations.py  a Service -> its revisions, one for each template
    routes.py          whose the requests of a Service are, and its addresses
    services.py        what a Service says of itself
    revisions.py       what a revision says of itself, and whether anybody reaches it
    autoscalers.py     its PodAutoscaler
    scaling.py         how many instances it shall have, as time goes by
    blueprints.py      how they are started
    pods.py            an instance as a pod
    eventing.py        what brokers, Triggers and PingSources say of themselves
    conditions.py      conditions, as all of these have them

Of these, `control` writes and `scaling` has a clock; the others are pure.
"""
