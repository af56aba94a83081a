"""Objects that say what there shall be -> what there is, and objects that say so.

    control.py         listens to objects, instances and requests, and does what comes of it
    instances.py       so many of each revision; the gateway knows those that are ready
    scaling.py         how many each shall have, as time goes by

and, pure, what comes of what:

    configurations.py  a Service -> its revisions, one for each template
    routes.py          who gets the requests of a Service, and its addresses
    services.py        what a Service says of itself
    revisions.py       what a revision says of itself, and whether anybody reaches it
    autoscalers.py     its PodAutoscaler
    blueprints.py      how its instances are started
    pods.py            an instance as a pod
    conditions.py      conditions, as all of these have them
"""
