"""Paths of the API, found as the client writes them."""

from __future__ import annotations

import pytest
from mlfunc.cluster import kinds
from mlfunc.supervisor.api import resources
from mlfunc.supervisor.api.resources import Place


@pytest.mark.parametrize("kind", kinds.ALL, ids=lambda kind: kind.plural)
def test_each_kind_is_where_the_client_looks_for_it(kind: kinds.Kind) -> None:
    where = "shop" if kind.namespaced else None

    assert resources.find(kind.path()) == Place(kind)
    assert resources.find(kind.path("shop")) == Place(kind, where)
    assert resources.find(kind.path("shop", "x")) == Place(kind, where, "x")
    assert resources.group(kind.path().rpartition("/")[0]) == (kind.group, kind.version)


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("/api/v1/namespaces/shop", Place(kinds.NAMESPACE, None, "shop")),
        ("/api/v1/namespaces/shop/pods/p/log", Place(kinds.POD, "shop", "p", "log")),
        ("/api/v1/namespaces/a%20b/pods", Place(kinds.POD, "a b")),
        ("/api/v1/namespaces/shop/limitranges", Place(resources.LIMIT_RANGE, "shop")),
        ("/api/v1/pods/p", None),
        ("/api/v1/namespaces/shop/nodes", None),
        ("/apis/karpenter.sh/v1/nodepools", None),
        ("/apis/serving.knative.dev/v2/services", None),
        ("/api/v1/namespaces/shop/pods/p/log/more", None),
        ("/", None),
        ("//", None),
    ],
)
def test_other_paths(path: str, place: Place | None) -> None:
    assert resources.find(path) == place
