"""Models of a Hugging Face Hub: hf://org/name@revision, where `$HF_ENDPOINT` says.

The hub's own client finds the model and the user's token. Bytes come through the plain HTTP that
every hub and mirror has, so that a broken transfer goes on where it was.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any, cast

from mlfunc.errors import MlfuncError, NotFound
from mlfunc.models import download
from mlfunc.models.source import Item, Listing

if TYPE_CHECKING:
    from collections.abc import Iterator

_TOKEN_HINT = "export HF_TOKEN=... (https://huggingface.co/settings/tokens), or `hf auth login`"  # noqa: S105 - how to give one


class Hub:
    """A model of the hub."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._repository, _, self._revision = uri.removeprefix("hf://").partition("@")
        self._endpoint = os.environ.get("HF_ENDPOINT") or None
        self._hub = _import()

    def listing(self) -> Listing:
        """The files of the revision, and the commit that it is now."""
        api = self._hub.HfApi(endpoint=self._endpoint, library_name="mlfunc")
        with self._told():
            info = api.model_info(
                self._repository, revision=self._revision or None, files_metadata=True
            )
        return Listing(str(info.sha), tuple(_item(each) for each in info.siblings or ()))

    def read(self, revision: str, path: str, offset: int) -> Iterator[bytes]:
        """A file's bytes from `offset` on."""
        url = self._hub.hf_hub_url(
            self._repository, path, revision=revision, endpoint=self._endpoint
        )
        token = self._hub.get_token()
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return download.read(url, headers, offset, self._refusal)

    def _refusal(self, status: int) -> MlfuncError:
        """Why the hub does not give it."""
        if status in {401, 403}:
            message = f"{self._place} refuses {self._uri}: it is private, gated or not there"
            hint = f"accept its terms at {self._place}/{self._repository}, then {_TOKEN_HINT}"
            return MlfuncError(message, hint)
        if status == 404:
            message = f"{self._place} has no {self._uri}"
            return NotFound(message, "mend its name or revision in mlfunc.yaml")
        return MlfuncError(f"{self._place} answers {status} for {self._uri}", "try again later")

    @property
    def _place(self) -> str:
        return self._endpoint or "https://huggingface.co"

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """The failures of the hub's client, as ours."""
        from huggingface_hub import errors

        # Of which library for HTTP it is depends on the client's version.
        unreachable = cast("type[Exception]", errors.HfHubHTTPError.__bases__[0])
        try:
            yield
        except errors.RevisionNotFoundError as error:
            message = f"{self._repository} has no revision {self._revision or 'main'}"
            raise NotFound(message, "name a branch, tag or commit after the @") from error
        except errors.HfHubHTTPError as error:
            raise self._refusal(error.response.status_code) from error
        except (errors.OfflineModeIsEnabled, errors.HFValidationError) as error:
            raise MlfuncError(f"{self._uri} cannot be asked for: {error}") from error
        except unreachable as error:
            message = f"{self._place} cannot be reached: {error}"
            raise MlfuncError(message, "check the network, HTTPS_PROXY and HF_ENDPOINT") from error


def _item(sibling: Any) -> Item:
    sha256 = sibling.lfs.sha256 if sibling.lfs else None
    return Item(sibling.rfilename, sibling.size or 0, sha256)


def _import() -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        message = "models by hf:// need the client of the Hugging Face Hub"
        raise MlfuncError(message, "pip install 'mlfunc[hf]'") from error
    return huggingface_hub
