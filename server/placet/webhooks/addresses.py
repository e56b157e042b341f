"""Which IP addresses webhooks may be sent to.

Public addresses need TLS. Private addresses need the setting `webhook_allow_private_networks`. All others are always
refused. `attempt` checks each address that it is about to connect to, so that a webhook URL cannot reach services of
the internal network (SSRF).
"""

from __future__ import annotations

import ipaddress
from typing import Final

IPv4 = ipaddress.IPv4Address
IPv6 = ipaddress.IPv6Address

_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
"""IPv4 addresses as IPv6-only networks write them (RFC 6052)."""
_GLOBAL_UNICAST_V6: Final = ipaddress.IPv6Network("2000::/3")
"""Addresses outside are local, reserved, or embed an IPv4 address in an obsolete form."""
_PRIVATE: Final = tuple(
    ipaddress.ip_network(network)
    for network in (
        "127.0.0.0/8",
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",  # carrier-grade NAT, and internal services of some clouds
        "::1/128",
        "fc00::/7",
    )
)


def why_refused(address: str, *, allow_private: bool, encrypted: bool) -> str:
    """Return why nothing may be sent to an IP address; "" when it is permitted.

    A private address needs `allow_private`; a public one needs `encrypted`. Link-local addresses (where clouds serve
    credentials to a machine), multicast, unspecified and reserved ones are always refused.
    """
    destination = _destination(address)
    if any(destination in network for network in _PRIVATE):
        return "" if allow_private else f"{address} is a private address; webhook_allow_private_networks permits it"
    if not _is_public(destination):
        return f"{address} is neither public nor private; use another address in webhook_url"
    return "" if encrypted else f"{address} is a public address; use https:// in webhook_url"


def _destination(address: str) -> IPv4 | IPv6:
    """Return the address that packets arrive at: the embedded IPv4 address of mapped and NAT64 addresses."""
    parsed = ipaddress.ip_address(address)
    if isinstance(parsed, IPv6):
        if parsed.ipv4_mapped is not None:
            return parsed.ipv4_mapped
        if parsed in _NAT64:
            return IPv4(int(parsed) & 0xFFFF_FFFF)
    return parsed


def _is_public(destination: IPv4 | IPv6) -> bool:
    if not destination.is_global or destination.is_multicast or destination.is_reserved:
        return False
    if isinstance(destination, IPv4):
        return True
    return destination in _GLOBAL_UNICAST_V6 and destination.sixtofour is None and destination.teredo is None
