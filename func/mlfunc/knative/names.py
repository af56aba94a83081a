"""Labels and annotations: those of Knative, those that func and kn read, and our own."""

from __future__ import annotations

# `func delete NAME` erases each Secret and PersistentVolumeClaim with this label: it goes on the
# Service and its pods, and on nothing that outlives them.
FUNCTION_NAME = "function.knative.dev/name"
FUNCTION_RUNTIME = "function.knative.dev/runtime"
FUNCTION_DEPLOYER = "function.knative.dev/deployer"  # an annotation; any other hides it from func
BOSON = "boson.dev/function"

# Ours, on all that belongs to a function: Triggers, claims.
OWNER = "mlfunc.dev/function"
# An annotation of both: what the function answers with, for those who see only the cluster.
REPLY_TYPE = "mlfunc.dev/reply-type"
# An annotation of the Service: the template that was applied last, as JSON.
APPLIED = "mlfunc.dev/applied"
MANAGED_BY = "app.kubernetes.io/managed-by"

# On the revision's template.
AUTOSCALING = "autoscaling.knative.dev/"
PROGRESS_DEADLINE = "serving.knative.dev/progress-deadline"
MODELS = "mlfunc.dev/models"  # JSON: what the image's label io.mlfunc.models has
ACCELERATOR = "mlfunc.dev/accelerator"
# On a revision of the local platform: how many instances its machine carries, and why.
CARRIED = "mlfunc.dev/carried"
CARRIED_BY = "mlfunc.dev/carried-by"

# Labels that Knative sets.
SERVICE = "serving.knative.dev/service"
REVISION = "serving.knative.dev/revision"
SERVICE_UID = "serving.knative.dev/serviceUID"
VISIBILITY = "networking.knative.dev/visibility"

CONTAINER = "user-container"  # the name that Knative gives, and func asks for
