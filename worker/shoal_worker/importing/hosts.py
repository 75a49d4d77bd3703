"""Which hosts may be asked for an artifact, and at which addresses; used by `web`.

Invariant: a host that is not listed is not asked, whatever redirects to it. An address that is not public (loopback,
private, link-local: a cloud's metadata service among them) is connected to only if it is listed itself.
"""

import ipaddress
import socket
from dataclasses import dataclass

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import DefaultResolver
from yarl import URL

from shoal_worker.errors import SettingsInvalid

FIELD = "spec.artifact.uri"


@dataclass(frozen=True, slots=True)
class AllowedHosts:
    """The allow-list: `host`, `host:port`, `http://host:port` for one without TLS, an address or a network."""

    entries: frozenset[str]

    def check(self, url: URL) -> None:
        """Raise SettingsInvalid unless this URL may be asked."""
        listed = {each.removeprefix("http://").lower() for each in self.entries}
        plain = {each.removeprefix("http://").lower() for each in self.entries if each.startswith("http://")}
        host, place = (url.host or "").lower(), url.authority.rpartition("@")[2].lower()
        if url.user is not None or url.password is not None:
            raise _denied("it must not hold a user or a password", url, "Put them into the Secret of spec.artifact")
        if url.scheme not in ("https", "http") or not host:
            raise _denied("only https:// is asked", url, "Use https://")
        if place not in listed and not (host in listed and url.is_default_port()):
            raise _denied(f"imports from {place} are not allowed", url, _remedy(place))
        if url.scheme == "http" and place not in plain:
            raise _denied("it is not encrypted", url, f"Use https://, or allow http://{place}")
        try:
            literal = ipaddress.ip_address(host)
        except ValueError:
            return
        self.check_address(str(literal), host)

    def check_address(self, address: str, host: str) -> None:
        """Raise SettingsInvalid unless this address of a host may be connected to."""
        found = ipaddress.ip_address(address.partition("%")[0])
        mapped = getattr(found, "ipv4_mapped", None)
        found = mapped or found
        if found.is_global and not found.is_multicast:
            return
        if not any(found in network for network in self._networks()):
            raise SettingsInvalid(
                f"{host} is at {address}, which is not a public address",
                reason="ImportDenied",
                field=FIELD,
                value=host,
                remedy=f"If this is meant, add {address} to the allowed hosts",
            )

    def _networks(self) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
        networks = []
        for entry in self.entries:
            text = entry.removeprefix("http://")
            if text.startswith("["):
                text = text[1:].partition("]")[0]
            elif text.count(":") == 1:
                text = text.partition(":")[0]
            try:
                networks.append(ipaddress.ip_network(text, strict=False))
            except ValueError:
                continue
        return networks


class CheckedResolver(AbstractResolver):
    """Resolves names to the addresses that may be connected to; what is checked is what is connected to."""

    def __init__(self, allowed: AllowedHosts) -> None:
        self._allowed = allowed
        self._resolver = DefaultResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Resolve a name, or raise SettingsInvalid."""
        found = await self._resolver.resolve(host, port, family)
        for each in found:
            self._allowed.check_address(each["host"], host)
        return found

    async def close(self) -> None:
        """Let the resolver go."""
        await self._resolver.close()


def _denied(message: str, url: URL, remedy: str) -> SettingsInvalid:
    shown = url.with_user(None).with_query(None) if url.host else url
    return SettingsInvalid(message, reason="ImportDenied", field=FIELD, value=shown, remedy=remedy)


def _remedy(place: str) -> str:
    return f"Add {place} to the operator's SHOAL_OPERATOR_IMPORT_ALLOWED_HOSTS (in the chart: import.allowedHosts)"
