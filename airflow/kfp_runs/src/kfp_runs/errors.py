"""What a server answers instead of what was asked, each in one sentence with its own words.

ServerError
├── Unavailable    no answer, or 429, 500, 502, 503, 504: trying again helps
├── Unauthorized   401, 403, a sign-in page, or a token file that cannot be read
├── NotFound       404
├── Conflict       409
└── Rejected       the request, the address or a parameter is wrong: no retry helps
"""


class ServerError(Exception):
    """The server did not do what it was asked for."""


class Unavailable(ServerError):
    """The server is away, overloaded or in trouble."""


class Unauthorized(ServerError):
    """The server does not accept who we are."""


class NotFound(ServerError):
    """What was asked for does not exist."""


class Conflict(ServerError):
    """What was to be made exists already."""


class Rejected(ServerError):
    """The request can never succeed as it is."""
