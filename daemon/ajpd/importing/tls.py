"""Listen and SSL* of all servers → addresses, and `[tls]`.

Source: httpd `server/listen.c` (ap_set_listener) and `modules/ssl/ssl_engine_config.c`.
"""

import re
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ajpd.client_certificate import user_field_named
from ajpd.config.addresses import ListenAddress

from .draft import Draft, Server, Setting
from .parameters import Settings
from .remarks import Remarks
from .sources import Sources

__all__ = ["Listening", "listening"]

_VERIFIES: Final = {"none": "none", "optional": "optional", "require": "require"}


@dataclass(slots=True, kw_only=True)
class Listening:
    """What the side that faces browsers is.

    Attributes:
        plain: addresses without TLS, or None where nothing is said.
        tls: keys of `[tls]`, empty where there is none.
        is_usable: the files that `[tls]` names are here.
    """

    plain: Setting | None = None
    tls: Settings = field(default_factory=dict)
    is_usable: bool = True


def listening(draft: Draft, sources: Sources, remarks: Remarks, own: Sequence[str]) -> Listening:
    """Put addresses and certificates together.

    Args:
        draft: what was gathered.
        sources: finds certificates.
        remarks: of the whole import.
        own: addresses to listen on in place of Apache's.
    """
    return _Listening(draft, sources, remarks).found(own)


class _Listening:
    def __init__(self, draft: Draft, sources: Sources, remarks: Remarks) -> None:
        self._draft = draft
        self._sources = sources
        self._remarks = remarks
        self._secure = [server for server in draft.servers if server.is_tls]

    def found(self, own: Sequence[str]) -> Listening:
        """Everything."""
        plain, secure = self._addresses()
        result = Listening()
        if own:
            plain, secure = list(own), []
            place = None
        else:
            place = self._draft.listens[0][2] if self._draft.listens else None
        if self._secure and not own:
            self._tls(result, secure)
        if plain or (result.tls and result.is_usable and secure):
            result.plain = Setting(value=plain, place=place, directive="Listen")
        elif not own:
            self._remark_on_default(result)
        return result

    def _remark_on_default(self, result: Listening) -> None:
        hosts = [host for host in self._draft.hosts if host.place is not None]
        where = hosts[0].place if hosts else None
        if where is not None and not (result.tls and result.is_usable):
            self._remarks.note(
                where,
                "<VirtualHost>",
                "no Listen was found, so ajpd listens on 127.0.0.1:8080, which other machines do "
                "not reach",
                "write addresses into listen of [server], or say --listen ADDRESS",
            )

    def _addresses(self) -> tuple[list[str], list[str]]:
        ports = {
            port
            for server in self._secure
            for address in server.addresses
            if (port := address.rpartition(":")[2]).isdecimal()
        }
        plain: list[str] = []
        secure: list[str] = []
        for text, protocol, place in self._draft.listens:
            port = text.rpartition(":")[2]
            is_secure = protocol == "https" or port in ports or self._draft.main.is_tls
            for address in _addresses_of(text):
                try:
                    ListenAddress.parse(address)
                except ValueError as exc:
                    self._remarks.error(place, "Listen", f"{exc}; it is left out", "mend it")
                    continue
                (secure if is_secure else plain).append(address)
        return list(dict.fromkeys(plain)), list(dict.fromkeys(secure))

    # --- [tls] ------------------------------------------------------------------------------------

    def _tls(self, result: Listening, secure: list[str]) -> None:
        first = self._secure[0]
        engine = first.tls["sslengine"][-1]
        addresses = secure or ["0.0.0.0:443", "[::]:443"]
        result.tls["listen"] = Setting(
            value=addresses, place=engine.place, directive=engine.directive
        )
        self._pairs(result)
        self._clients(result)
        protocol = self._last("sslprotocol")
        if protocol is not None and not _has_tls12(str(protocol.value)):
            result.tls["min_version"] = Setting(
                value="1.3", place=protocol.place, directive=protocol.directive
            )
        self._ciphers(result)
        self._user(result)
        chain = self._draft.settings.get("tls", {}).get("client_chain")
        if chain is not None:
            result.tls["client_chain"] = chain

    def _last(self, key: str) -> Setting | None:
        """What the first server with TLS says, or the main server."""
        found: list[Setting] = []
        for server in (self._draft.main, *self._secure[:1]):
            found += server.tls.get(key, [])
        values = {str(server.tls[key][-1].value) for server in self._secure if server.tls.get(key)}
        if len(values) > 1 and found and found[-1].place is not None:
            self._remarks.warn(
                found[-1].place,
                found[-1].directive,
                "virtual hosts do not agree about it, and [tls] counts for all of them; this one "
                "counts",
            )
        return found[-1] if found else None

    def _pairs(self, result: Listening) -> None:
        certificates: dict[str, str] = {}
        origin: Setting | None = None
        for server in self._secure:
            files = server.tls.get("sslcertificatefile") or self._draft.main.tls.get(
                "sslcertificatefile", []
            )
            keys = server.tls.get("sslcertificatekeyfile") or self._draft.main.tls.get(
                "sslcertificatekeyfile", []
            )
            for at, file in enumerate(files):
                origin = origin or file
                certificate = self._path(result, file)
                key = self._path(result, keys[at]) if at < len(keys) else certificate
                certificates.setdefault(certificate, key)
            self._chain(server)
        if origin is None:
            result.is_usable = False
            engine = self._secure[0].tls["sslengine"][-1]
            if engine.place is not None:
                self._remarks.error(
                    engine.place, engine.directive, "there is no SSLCertificateFile",
                    "write certificate and key into [tls]",
                )  # fmt: skip
            return
        result.tls["certificate"] = Setting(
            value=list(certificates), place=origin.place, directive=origin.directive
        )
        if any(file != key for file, key in certificates.items()):
            result.tls["key"] = Setting(value=list(certificates.values()))

    def _path(self, result: Listening, said: Setting) -> str:
        text = str(said.value)
        place = said.place
        beside = Path(place.file).parent if place is not None else None
        path = self._sources.find(text, beside)
        if path is not None and path.is_file():
            return str(path.absolute())
        result.is_usable = False
        if place is not None:
            self._remarks.error(
                place,
                said.directive,
                f"{text} is not here, so [tls] is a comment and nobody is served over TLS",
                "take the # off [tls] where the file is",
            )
        root = self._sources.root
        return text if root is None else str(root / text)

    def _chain(self, server: Server) -> None:
        files = [str(each.value) for each in server.tls.get("sslcertificatefile", [])]
        for said in server.tls.get("sslcertificatechainfile", []):
            if said.place is not None and str(said.value) not in files:
                self._remarks.warn(
                    said.place,
                    said.directive,
                    "ajpd looks for the chain behind the certificate, in the same file",
                    "put both into one file: cat certificate chain > new, and write its name",
                )

    def _clients(self, result: Listening) -> None:
        verify = self._last("sslverifyclient")
        if verify is None:
            return
        value = _VERIFIES.get(str(verify.value).lower())
        if value is None and verify.place is not None:
            self._remarks.warn(
                verify.place,
                verify.directive,
                f"{verify.value} would take certificates that nobody has verified; optional counts",
            )
            value = "optional"
        authorities = self._last("sslcacertificatefile")
        if value == "none":
            return
        if authorities is None:
            if verify.place is not None:
                self._remarks.warn(
                    verify.place, verify.directive,
                    "there is no SSLCACertificateFile, and client_ca is one file; it is left out",
                    "put all authorities into one file, see client_ca and client_verify in [tls]",
                )  # fmt: skip
            return
        result.tls["client_ca"] = Setting(
            value=self._path(result, authorities),
            place=authorities.place,
            directive=authorities.directive,
        )
        result.tls["client_verify"] = Setting(
            value=value or "optional", place=verify.place, directive=verify.directive
        )

    def _ciphers(self, result: Listening) -> None:
        said = self._last("sslciphersuite")
        if said is None or said.place is None or str(said.value).upper().startswith("TLSV1.3 "):
            return
        text = str(said.value)
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).set_ciphers(text)
        except (ssl.SSLError, ValueError):  # ValueError: a NUL in it
            what = f"OpenSSL knows no cipher of {text}; those of the library count"
            self._remarks.warn(said.place, said.directive, what)
            return
        result.tls["ciphers"] = said

    def _user(self, result: Listening) -> None:
        said = self._last("sslusername")
        if said is None or said.place is None or "client_verify" not in result.tls:
            return
        text = str(said.value).removeprefix("SSL_CLIENT_S_DN_").removeprefix("SSL_CLIENT_")
        name = {"S_DN": "DN", "Email": "emailAddress"}.get(text, text)
        name = re.sub(r"SAN_(Email|DNS|URI)_0", lambda m: f"SAN:{m[1].replace('E', 'e')}", name)
        try:
            user_field_named(name)
        except ValueError as exc:
            self._remarks.warn(said.place, said.directive, f"{exc}", "see remote_user in [tls]")
            return
        result.tls["remote_user"] = Setting(value=name, place=said.place, directive=said.directive)


def _has_tls12(text: str) -> bool:
    """TLS 1.2 is among what SSLProtocol lets through."""
    allowed = False
    for word in text.lower().split():
        name = word.lstrip("+-")
        if name in ("all", "tlsv1.2"):
            allowed = not word.startswith("-")
        elif word[:1] not in "+-":
            allowed = False
    return allowed


def _addresses_of(text: str) -> list[str]:
    """A port alone is every address of the machine, of both families, as it is for Apache."""
    host, _, port = text.rpartition(":")
    if host in ("", "*"):
        return [f"0.0.0.0:{port}", f"[::]:{port}"]
    return [text]
