"""Directives of Apache that have nothing to do with AJP: what to say about each.

Values only. A directive that is in none of these tables is one that this file has never heard of.
"""

import re
from collections.abc import Mapping
from typing import Final

__all__ = ["NOTES", "SPELLED", "WARNINGS", "saying"]

#: What people write by hand, as it is spelled.
SPELLED: Final = (
    *("JkWorkersFile", "JkWorkerProperty", "JkMount", "JkUnMount", "JkMountFile", "JkMountCopy"),
    *("JkMountFileReload", "JkLogFile", "JkLogLevel", "JkLogStampFormat", "JkRequestLogFormat"),
    *("JkOptions", "JkEnvVar", "JkShmFile", "JkShmSize", "JkWatchdogInterval", "JkExtractSSL"),
    *("JkStripSession", "JkAutoAlias", "ProxyPass", "ProxyPassMatch", "ProxyPassReverse"),
    *("ProxySet", "ProxyTimeout", "ProxyIOBufferSize", "ProxyErrorOverride", "BalancerMember"),
    *("ProxyPreserveHost", "ProxyRequests", "Include", "IncludeOptional", "Listen", "ServerName"),
    *("ServerAlias", "ServerRoot", "LoadModule"),
)

_MODULES: Final = "ajpd has no modules"
_SERVING: Final = "ajpd serves no files"
_PROCESSES: Final = "see processes in [server], and connection_pool_size of workers"
_LOGS: Final = "ajpd has logs of its own, see [log]"
_TLS: Final = "ajpd looks after its own TLS, see [tls]"
_HTTP2: Final = "ajpd speaks HTTP/1.1"
_SELF: Final = "it is about how Apache itself runs"

#: By lower-case name; nothing has to be done for these.
NOTES: Final[Mapping[str, str]] = {
    **dict.fromkeys(("loadmodule", "loadfile", "addmodule", "clearmodulelist"), _MODULES),
    **dict.fromkeys(
        (
            *("typesconfig", "addtype", "addencoding", "addlanguage", "addcharset", "defaulttype"),
            *("adddefaultcharset", "mimemagicfile", "removehandler", "removetype", "forcetype"),
            *("directoryindex", "indexoptions", "indexignore", "addicon", "addiconbytype"),
            *("addiconbyencoding", "defaulticon", "readmename", "headername", "adddescription"),
            *("languagepriority", "forcelanguagepriority", "accessfilename", "allowoverride"),
            *("options", "fileetag", "enablemmap", "enablesendfile", "documentroot"),
            *("directoryslash", "checkspelling", "cookietracking"),
        ),
        _SERVING,
    ),
    **dict.fromkeys(
        (
            *("startservers", "minspareservers", "maxspareservers", "minsparethreads"),
            *("maxsparethreads", "threadsperchild", "maxrequestworkers", "maxclients"),
            *("maxrequestsperchild", "maxconnectionsperchild", "serverlimit", "threadlimit"),
            *("asyncrequestworkerfactor", "threadstacksize", "maxmemfree"),
        ),
        _PROCESSES,
    ),
    **dict.fromkeys(
        ("errorlog", "loglevel", "logformat", "globallog", "errorlogformat", "forensiclog"), _LOGS
    ),
    **dict.fromkeys(
        (
            *("servertokens", "serversignature", "serveradmin", "hostnamelookups", "pidfile"),
            *("usecanonicalname", "usecanonicalphysicalport", "mutex", "lockfile", "serverpath"),
            *("scoreboardfile", "extendedstatus", "listenbacklog", "acceptfilter", "acceptmutex"),
            *("defaultruntimedir", "namevirtualhost"),
            *("keepalive", "maxkeepaliverequests", "traceenable", "coredumps"),
            *(
                "coredumpdirectory",
                "defaultruntimedir",
                "gracefulshutdowntimeout",
                "browsermatch",
                "rewriteengine",
            ),
            *("browsermatchnocase", "seerequesttail", "protocols", "protocolshonororder"),
            *("serverroot", "undefine", "define", "rewriteoptions", "rewritelog", "logiotrackttfb"),
            *("rewriteloglevel", "error", "warning", "sslsrvconfigcmd", "httpprotocoloptions"),
            *("modmimeusepathinfo", "contentdigest", "receivebuffersize", "sendbuffersize"),
            *("bufferedlogs", "chrootdir", "servicename", "passenv", "unsetenv"),
        ),
        _SELF,
    ),
}

_STATIC: Final = (
    "ajpd serves no files: what no rule maps is answered 404",
    "let Tomcat serve them, or keep a server in front for them",
)
_REDIRECT: Final = (
    "ajpd sends nobody elsewhere",
    "let the application do it, or a proxy in front",
)
_REWRITE: Final = (
    "ajpd rewrites nothing",
    "Tomcat has a RewriteValve that reads rules of this form",
)
_HEADERS: Final = (
    "ajpd adds and takes away no headers",
    "Tomcat has filters for them (HttpHeaderSecurityFilter, CorsFilter and others)",
)
_ENVIRONMENT: Final = (
    "there is no environment of Apache here",
    "see [attributes] for what containers are to be told, and the extensions of rules for the rest",
)
_ACCESS: Final = (
    "nobody is kept out or asked for a password: everybody who reaches ajpd gets there",
    "let Tomcat do it (RemoteAddrValve, or the application), or keep Apache in front",
)
_FILTERS: Final = (
    "ajpd changes nothing in answers",
    "the Connector of Tomcat cannot compress over AJP; a filter of the application can",
)
_LIMITS: Final = (
    "ajpd has limits of its own",
    "see header_timeout, max_header_bytes and their like in [server]",
)
_HANDLERS: Final = ("ajpd answers nothing itself but the pages of status workers", "")

#: By lower-case name: what is lost, and what to do about it.
WARNINGS: Final[Mapping[str, tuple[str, str]]] = {
    **dict.fromkeys(
        (
            *("alias", "aliasmatch", "scriptalias", "scriptaliasmatch", "userdir"),
            *("fallbackresource", "virtualdocumentroot", "virtualscriptalias"),
        ),
        _STATIC,
    ),
    **dict.fromkeys(
        ("redirect", "redirectmatch", "redirectpermanent", "redirecttemp", "redirecttempmatch"),
        _REDIRECT,
    ),
    **dict.fromkeys(("rewriterule", "rewritecond", "rewritebase", "rewritemap"), _REWRITE),
    **dict.fromkeys(("header", "requestheader"), _HEADERS),
    **dict.fromkeys(
        ("setenv", "setenvif", "setenvifnocase", "setenvifexpr", "serverenvironment"), _ENVIRONMENT
    ),
    **dict.fromkeys(
        ("require", "order", "allow", "deny", "satisfy", "authtype", "authname", "authuserfile"),
        _ACCESS,
    ),
    **dict.fromkeys(
        (
            *("setoutputfilter", "setinputfilter", "addoutputfilter", "addoutputfilterbytype"),
            *("addinputfilter", "filterprovider", "filterchain", "filterdeclare", "substitute"),
        ),
        _FILTERS,
    ),
    **dict.fromkeys(
        (
            *("limitrequestline", "limitrequestfields", "limitrequestfieldsize", "timeout"),
            *("requestreadtimeout", "limitxmlrequestbody", "limitinternalrecursion"),
        ),
        _LIMITS,
    ),
    **dict.fromkeys(("sethandler", "addhandler", "action"), _HANDLERS),
    "errordocument": (
        "ajpd has pages of its own for what it answers itself",
        "put 404.html and so on into a directory, see error_pages in [server]",
    ),
    **dict.fromkeys(
        ("customlog", "transferlog"),
        (
            "there is no access log unless it is asked for",
            'write access = "/path" and access_format = "combined" into [log]',
        ),
    ),
    **dict.fromkeys(
        ("user", "group"),
        (
            "ajpd stays the user that it is started as",
            "write it into [server] if root starts ajpd",
        ),
    ),
    "allowencodedslashes": (
        "a path with %2F is refused, because containers disagree about what it is",
        "",
    ),
    "undefmacro": ("macros stay defined", ""),
}

#: Families by what their names begin with: whether it is a note, what is lost, and what to do.
_FAMILIES: Final[tuple[tuple[str, bool, str, str], ...]] = (
    ("ssl", True, _TLS, ""),
    ("h2", True, _HTTP2, ""),
    ("auth", False, *_ACCESS),
    ("shib", False, *_ACCESS),
    ("oidc", False, *_ACCESS),
    ("mellon", False, *_ACCESS),
    ("krb", False, *_ACCESS),
    ("gssapi", False, *_ACCESS),
    ("cas", False, *_ACCESS),
    ("ldap", False, *_ACCESS),
    ("sec", False, "ajpd has no application firewall", "keep one in front if it is needed"),
    ("qs_", False, *_LIMITS),
    ("dos", False, *_LIMITS),
    ("deflate", False, *_FILTERS),
    ("brotli", False, *_FILTERS),
    ("expires", False, *_HEADERS),
    ("cache", False, "ajpd keeps no answers", "keep a cache in front if it is needed"),
    ("md", False, "ajpd fetches no certificates", "certbot can; [tls] notices new files"),
    ("php_", True, _SERVING, ""),
    ("wsgi", True, _SERVING, ""),
    ("passenger", True, _SERVING, ""),
    ("dav", True, _SERVING, ""),
    ("cgi", True, _SERVING, ""),
    ("script", True, _SERVING, ""),
    ("index", True, _SERVING, ""),
    ("perl", False, *_HANDLERS),
    ("proxyhtml", False, *_FILTERS),
    ("geoip", False, *_ENVIRONMENT),
    ("maxmind", False, *_ENVIRONMENT),
)

_WORD: Final = re.compile(r"[a-z][a-z0-9_.]*")


def saying(key: str) -> tuple[bool, str, str] | None:
    """What to say about a directive.

    Args:
        key: its name, in lower case.

    Returns:
        whether it is a note, what is lost, what to do; None for what nobody has heard of.
    """
    if key in NOTES:
        return True, NOTES[key], ""
    if key in WARNINGS:
        return False, *WARNINGS[key]
    if not _WORD.fullmatch(key):
        return None
    for begin, is_note, reason, advice in _FAMILIES:
        if key.startswith(begin):
            return is_note, reason, advice
    return None
