"""What can go wrong between Airflow and Kubeflow Pipelines, each with one sentence that names the remedy.

KfpError
├── KfpServerError        the server did not do what it was asked for
│   ├── KfpUnavailable        no answer, or 429, 500, 502, 503, 504: trying again helps
│   ├── KfpUnauthorized       401 or 403, or a token file that cannot be read
│   ├── KfpNotFound           404
│   ├── KfpConflict           409
│   └── KfpRejected           the request, the connection or a parameter is wrong: no retry helps
└── KfpRunError           a run ended, but not well
    ├── KfpRunFailed
    │   └── KfpRunFailedForGood   its log says that a retry is useless
    ├── KfpRunCanceled    somebody cancelled it in Kubeflow Pipelines: not retried
    ├── KfpRunNotStarted  its pods could not start in time
    └── KfpRunTimeout     it took too long

Those that no retry can mend are AirflowFailException too, so Airflow fails the task at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from airflow.sdk.exceptions import AirflowException, AirflowFailException
from kfp_runs.errors import Conflict, NotFound, Rejected, ServerError, Unauthorized, Unavailable


class KfpError(AirflowException):
    """Anything that goes wrong with Kubeflow Pipelines."""


class KfpServerError(KfpError, ServerError):
    """The server did not do what it was asked for."""


class KfpUnavailable(KfpServerError, Unavailable):
    """The API server is away, overloaded or in trouble."""


class KfpUnauthorized(KfpServerError, Unauthorized):
    """The API server does not accept who we are."""


class KfpNotFound(KfpServerError, NotFound):
    """What was asked for does not exist."""


class KfpConflict(KfpServerError, Conflict):
    """What was to be made exists already."""


class KfpRejected(KfpServerError, Rejected, AirflowFailException):
    """The request can never succeed as it is."""


class KfpRunError(KfpError):
    """A run that did not end well."""


class KfpRunFailed(KfpRunError):
    """A run that failed."""


class KfpRunFailedForGood(KfpRunFailed, AirflowFailException):
    """A run that failed for a reason that a retry cannot change."""


class KfpRunCanceled(KfpRunError, AirflowFailException):
    """A run that somebody cancelled in Kubeflow Pipelines."""


class KfpRunNotStarted(KfpRunError):
    """A run whose pods did not start in time."""


class KfpRunTimeout(KfpRunError):
    """A run that took longer than allowed."""


_OURS: dict[type[ServerError], type[KfpServerError]] = {
    Unavailable: KfpUnavailable,
    Unauthorized: KfpUnauthorized,
    NotFound: KfpNotFound,
    Conflict: KfpConflict,
    Rejected: KfpRejected,
}


@contextmanager
def as_kfp_errors() -> Iterator[None]:
    """Raise what a server answers as the error of this provider, which Airflow's retry rules know."""
    try:
        yield
    except KfpServerError:
        raise
    except ServerError as problem:
        raise _OURS[type(problem)](str(problem)) from None
