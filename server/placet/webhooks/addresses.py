"""Which addresses deliveries may go to: public ones; private ones when a setting allows it; some never."""

from __future__ import annotations

import ipaddress
from typing import Final

IPv4 = ipaddress.IPv4Address
IPv6 = ipaddress.IPv6Address

_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
"""IPv4 addresses as networks without IPv4 write them (RFC 6052)."""
_ASSIGNED_V6: Final = ipaddress.IPv6Network("2000::/3")
"""Global unicast; what is outside is local, reserved, or carries an IPv4 address in an outdated way."""
_PRIVATE: Final = tuple(
    ipaddress.ip_network(each)
    for each in (
        "127.0.0.0/8",
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",  # carriers' (CGNAT), and some clouds' internal ones
        "::1/128",
        "fc00::/7",
    )
)


def refusal(address: str, *, allow_private: bool, encrypted: bool) -> str:
    """Why nothing is sent to an IP address; "" when something may be.

    A private address needs `allow_private`; a public one needs `encrypted`. Link-local (where clouds tell a machine
    its credentials), multicast, unspecified and reserved addresses are refused always.
    """
    meant = _meant(address)
    if any(meant in network for network in _PRIVATE):
        return "" if allow_private else f"{address} is a private address; webhook_allow_private_networks allows it"
    if not _is_public(meant):
        return f"{address} is no address that a webhook can be sent to"
    return "" if encrypted else f"{address} is public; webhooks go there by https alone"


def _meant(address: str) -> IPv4 | IPv6:
    """The address that packets end up at."""
    said = ipaddress.ip_address(address)
    if isinstance(said, IPv6):
        if said.ipv4_mapped is not None:
            return said.ipv4_mapped
        if said in _NAT64:
            return IPv4(int(said) & 0xFFFF_FFFF)
    return said


def _is_public(meant: IPv4 | IPv6) -> bool:
    if not meant.is_global or meant.is_multicast or meant.is_reserved:
        return False
    return isinstance(meant, IPv4) or (meant in _ASSIGNED_V6 and meant.sixtofour is None and meant.teredo is None)
