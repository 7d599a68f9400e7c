"""The address of the client that sends a request."""

import ipaddress
from collections.abc import Sequence

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def address_of(client: str, forwarded: Sequence[str], proxies: Sequence[Network]) -> str:
    """The address that a request comes from.

    Args:
        client: The other end of the connection, address and port.
        forwarded: The ``x-forwarded-for`` headers in their order. A proxy adds what it sees at the end; anybody may
            have written what stands before that.
        proxies: Networks of proxies that are believed.

    Returns:
        The last address of the headers where the connection comes from a proxy, else the connection's.
    """
    address = client.rpartition(":")[0].strip("[]")
    if proxies and forwarded:
        last, came_by = _address(forwarded[-1].rpartition(",")[2].strip()), _address(address)
        if last is not None and came_by is not None and any(came_by in network for network in proxies):
            return str(last)
    return address


def network_of(address: str) -> str:
    """The network of an address, /24 or /48; the log may hold no more, since a whole address can be a person's."""
    parsed = _address(address)
    if parsed is None:
        return ""
    return str(ipaddress.ip_network((parsed, 24 if parsed.version == 4 else 48), strict=False))


def _address(text: str) -> _Address | None:
    try:
        parsed = ipaddress.ip_address(text)
    except ValueError:
        return None
    return parsed.ipv4_mapped or parsed if isinstance(parsed, ipaddress.IPv6Address) else parsed
