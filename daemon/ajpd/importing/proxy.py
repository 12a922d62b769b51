"""mod_proxy's directives → a draft.

Source: httpd `modules/proxy/mod_proxy.c` (add_pass, add_member, set_proxy_param).
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from .draft import Balancer, Draft, Member, Parameters, Pass
from .reading import Statement, setting
from .remarks import Remarks
from .syntax import words_of
from .where import Location, location_of

__all__ = ["FLAGS", "ProxyReader", "milliseconds"]

#: Parameters of a pass that have no value.
FLAGS: Final = frozenset(("nocanon", "interpolate", "noquery"))
_HEADERS: Final = "AJP has fields of its own for address, name and port of the client"
_NO_CACHE: Final = "there is nothing of the kind here"
#: Nothing has to be done for these.
_NOTES: Final[Mapping[str, str]] = {
    "proxyrequests": "ajpd is never a forward proxy",
    "proxypreservehost": "containers always get the name that a client asked for",
    "proxyvia": "ajpd adds no Via",
    "proxystatus": "the state of members is shown by ajpd status",
    "proxyaddheaders": _HEADERS,
    "proxybadheader": "an answer with a broken header is never handed on",
    "proxymaxforwards": "it is for forward proxies",
    "proxydomain": "it is for forward proxies",
    "noproxy": "it is for forward proxies",
    "proxyblock": "it is for forward proxies",
    "proxyreceivebuffersize": "the operating system knows best; else socket_buffer of a worker",
    "proxypasspreservehost": "containers always get the name that a client asked for",
    "proxypassinterpolateenv": "there is no environment of Apache here",
    "proxyhcexpr": _NO_CACHE,
    "proxyhctpsize": "one process of ajpd probes all containers",
    "balancergrowth": "members are added by a reload",
    "balancerpersist": "see journal in [table]",
    "balancerinherit": "all virtual hosts have all balancers",
}
_REVERSE: Final = (
    "not needed: with AJP Tomcat knows the name that the client asked for, and its redirects and "
    "cookies are right"
)


def milliseconds(text: str, unit: str = "s") -> int | None:
    """A time as mod_proxy writes it: a number, maybe with ms, s, min or h; None for none.

    Source:
        httpd `server/util.c`, ap_timeout_parameter_parse.
    """
    number = text.rstrip("abcdefghijklmnopqrstuvwxyz").strip()
    tail = text[len(text.rstrip("abcdefghijklmnopqrstuvwxyz")) :] or unit
    factor = {"ms": 1, "s": 1000, "mi": 60_000, "min": 60_000, "h": 3_600_000}.get(tail)
    if factor is None or not number.isdecimal() or len(number) > 9:
        return None
    return int(number) * factor


class ProxyReader:
    """Takes statements of mod_proxy and its like.

    Args:
        draft: gets what they say.
        remarks: of the whole import.
    """

    def __init__(self, draft: Draft, remarks: Remarks) -> None:
        self._draft = draft
        self._remarks = remarks
        self._takers: dict[str, Callable[[Statement], None]] = {
            "proxypass": self._pass,
            "proxypassmatch": self._pass,
            "balancermember": self._member,
            "proxyset": self._set,
            "<proxy": self._opening,
            "<proxymatch": self._opening,
            "proxytimeout": self._timeout,
            "proxyiobuffersize": self._packet_size,
            "proxyerroroverride": self._override,
            "proxypassinherit": self._inherit,
            "proxypassreverse": self._reverse,
            "proxypassreversecookiepath": self._reverse,
            "proxypassreversecookiedomain": self._reverse,
            "proxyhctemplate": self._template,
        }
        self._templates: dict[str, Parameters] = {}

    def knows(self, key: str) -> bool:
        """There is such a directive; `key` is in lower case."""
        return key in self._takers or key in _NOTES

    def take(self, statement: Statement) -> None:
        """Understand one of them."""
        if statement.key == "proxyrequests" and "on" in map(str.lower, statement.words):
            self._remarks.warn(
                statement.place, statement.name, "ajpd is never a forward proxy",
                "keep Apache for that, if somebody needs it",
            )  # fmt: skip
        elif statement.key in _NOTES:
            self._remarks.note(statement.place, statement.name, _NOTES[statement.key])
        elif not statement.words and not statement.key.startswith("<"):
            self._broken(statement, "it has no argument")
        else:
            self._takers[statement.key](statement)

    def _broken(self, statement: Statement, why: str) -> None:
        self._remarks.error(
            statement.place,
            statement.name,
            f"{why}: Apache does not start with this line, and it is left out",
            "mend the line",
        )

    # --- where requests go ------------------------------------------------------------------------

    def _pass(self, statement: Statement) -> None:
        location = location_of(statement, self._remarks)
        if location is None:
            return
        words = list(statement.words)
        is_expression = statement.key == "proxypassmatch" or location.is_expression
        if location.path:
            path = location.path
        else:
            if words[0] == "~":
                is_expression = True
                words = words[1:]
            path, words = words[0] if words else "", words[1:]
        if not words:
            self._broken(statement, "it leads nowhere")
            return
        self._add_pass(statement, location, path, words, is_expression=is_expression)

    def _add_pass(
        self,
        statement: Statement,
        location: Location,
        path: str,
        words: list[str],
        *,
        is_expression: bool,
    ) -> None:
        url, *rest = words
        server = statement.server
        found = Pass(
            path=path,
            is_expression=is_expression,
            url=url,
            parameters=self._parameters(statement, rest),
            place=statement.place,
            directive=statement.name,
            is_of_location=bool(location.path),
            shows_own_errors=server.shows_own_errors,
        )
        if not is_expression and not path.startswith("/"):
            self._broken(statement, f"{path} does not begin with /")
            return
        server.passes.append(found)

    def take_rewritten(self, statement: Statement, expression: str, url: str) -> None:
        """A RewriteRule that hands requests to a proxy."""
        statement.server.passes.append(
            Pass(
                path=expression,
                is_expression=True,
                url=url,
                parameters={},
                place=statement.place,
                directive=statement.name,
            )
        )

    def _parameters(self, statement: Statement, words: Iterable[str]) -> Parameters:
        found: Parameters = {}
        for word in words:
            name, equals, value = word.partition("=")
            if name.lower() in FLAGS and not equals:
                found[name.lower()] = setting(statement, "on")
            elif not equals:
                # The word stays out: it may be the end of a secret.
                self._broken(statement, "one of its parameters has no value")
            else:
                found[name.lower()] = setting(statement, value)
        template = found.pop("hctemplate", None)
        if template is not None:
            found = {**self._templates.get(str(template.value), {}), **found}
        return found

    def _template(self, statement: Statement) -> None:
        name, *words = statement.words
        self._templates[name] = self._parameters(statement, words)

    # --- balancers and containers -----------------------------------------------------------------

    def _balancer(self, url: str, statement: Statement) -> Balancer:
        name = url[len("balancer://") :].partition("/")[0]
        return statement.server.balancers.setdefault(
            name.lower(), Balancer(name=name, place=statement.place)
        )

    def _target(self, statement: Statement) -> str:
        """URL of the <Proxy> around a statement, or an empty text."""
        for block in reversed(statement.blocks):
            if block.name.lower() == "proxy":
                words = words_of(block.args)
                return words[0] if words else ""
        return ""

    def _opening(self, statement: Statement) -> None:
        """`<Proxy balancer://name stickysession=…>` says parameters itself."""
        words = statement.words
        url = words[0] if words else ""
        if statement.key == "<proxymatch" or url in ("*", "~"):
            return
        parameters = self._parameters(statement, words[1:])
        if url.lower().startswith("balancer://"):
            self._balancer(url, statement).parameters.update(parameters)
        elif parameters:
            self._draft.containers.setdefault(url, {}).update(parameters)

    def _member(self, statement: Statement) -> None:
        words = list(statement.words)
        url = self._target(statement)
        if not url and words:
            url, words = words[0], words[1:]
        if not url.lower().startswith("balancer://") or not words:
            self._broken(statement, "it says no balancer, or no member of it")
            return
        member = Member(
            url=words[0], parameters=self._parameters(statement, words[1:]), place=statement.place
        )
        self._balancer(url, statement).members.append(member)

    def _set(self, statement: Statement) -> None:
        words = list(statement.words)
        url = self._target(statement)
        if not url:
            url, words = words[0], words[1:]
        parameters = self._parameters(statement, words)
        if url.lower().startswith("balancer://"):
            self._balancer(url, statement).parameters.update(parameters)
        elif "://" in url:
            self._draft.containers.setdefault(url, {}).update(parameters)
        else:
            self._broken(statement, "it says no balancer and no container")

    # --- everything else --------------------------------------------------------------------------

    def _timeout(self, statement: Statement) -> None:
        time_ms = milliseconds(statement.words[0])
        if time_ms is None:
            self._broken(statement, f"{statement.words[0]} is no time")
            return
        statement.server.timeout_ms = setting(statement, time_ms)

    def _packet_size(self, statement: Statement) -> None:
        """What mod_proxy_ajp makes of it is the size of packets, from 8192 to 65536.

        Source:
            httpd `modules/proxy/mod_proxy_ajp.c`, ap_proxy_ajp_request.
        """
        word = statement.words[0]
        if not word.isdecimal() or len(word) > 9:
            self._broken(statement, f"{word} is no number of bytes")
            return
        size = (min(max(int(word), 8192), 65536) + 1023) // 1024 * 1024
        self._draft.set("proxy", "max_packet_size", setting(statement, size))

    def _override(self, statement: Statement) -> None:
        is_on = statement.words[0].lower() == "on"
        if statement.blocks:
            self._remarks.warn(
                statement.place,
                statement.name,
                f"it counts inside {statement.blocks[-1].title} only",
                'write ";use_server_errors=400" behind the worker of these rules',
            )
            return
        server = statement.server
        server.shows_own_errors = is_on
        for each in server.passes:
            each.shows_own_errors = is_on
        if is_on and len(statement.words) > 1:
            self._remarks.warn(
                statement.place, statement.name,
                "single statuses are not known here: ajpd's own pages answer for all from 400 on",
                "change use_server_errors of the rules, or take it away",
            )  # fmt: skip

    def _inherit(self, statement: Statement) -> None:
        if statement.words[0].lower() != "off":
            self._remarks.note(statement.place, statement.name, "so it is in any case")
            return
        # Tried out with 2.4.71: Off changes nothing, in the main server neither.
        self._remarks.warn(
            statement.place,
            statement.name,
            "Apache 2.4 takes over the main server's ProxyPass with Off as well, and so it is here",
            "take the rules that are not wanted away from the [host]",
        )

    def _reverse(self, statement: Statement) -> None:
        self._remarks.note(statement.place, statement.name, _REVERSE)
