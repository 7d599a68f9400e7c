"""Where a request comes from."""

import ipaddress
from collections.abc import Sequence

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def address_of(client: str, forwarded: Sequence[str], proxies: Sequence[Network]) -> str:
    """The address that a request comes from.

    Args:
        client: The other end of the connection, address and port.
        forwarded: The ``x-forwarded-for`` headers in their order. A proxy adds what it sees at the end; what stands
            before that anybody may have written.
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
    """The network of an address, /24 or /48: as much of it as may be logged, since the whole can be a person's."""
    found = _address(address)
    if found is None:
        return ""
    return str(ipaddress.ip_network((found, 24 if found.version == 4 else 48), strict=False))


def _address(text: str) -> _Address | None:
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    return found.ipv4_mapped or found if isinstance(found, ipaddress.IPv6Address) else found
