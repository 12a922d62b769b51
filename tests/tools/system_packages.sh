#!/bin/sh
# Install what tests/interop needs from Debian's packages: Tomcat 10, a Java compiler, Apache httpd,
# mod_jk and Chromium. These packages start no service. Installs as root only; otherwise says in words what
# is missing. Exit code: 0 everything is there, 1 something is missing.
#
# The package prometheus would start a server, so promtool alone is taken out of it, into build/tools;
# for that nobody has to be root.
set -eu

modules=/usr/lib/apache2/modules
tools=$(dirname "$0")/../../build/tools

missing_packages() {
    [ -f /usr/share/tomcat10/bin/bootstrap.jar ] || echo tomcat10-common
    command -v javac >/dev/null 2>&1 || echo default-jdk-headless
    [ -x /usr/sbin/apache2 ] || command -v apache2 >/dev/null 2>&1 || echo apache2-bin
    [ -f "$modules/mod_jk.so" ] || echo libapache2-mod-jk
    command -v chromium >/dev/null 2>&1 || echo chromium
    command -v chromedriver >/dev/null 2>&1 || echo chromium-driver
}

words() {
    case $1 in
    tomcat10-common) echo "Tomcat 10, the container behind the daemon" ;;
    default-jdk-headless) echo "javac, which compiles the probe application" ;;
    apache2-bin) echo "Apache httpd, which the daemon is compared with" ;;
    libapache2-mod-jk) echo "mod_jk, which the daemon is compared with" ;;
    chromium) echo "Chromium, which looks at the status page" ;;
    chromium-driver) echo "chromedriver, through which tests click in it" ;;
    esac
}

say_missing() {
    for package in $1; do
        echo "missing: $(words "$package") (Debian package $package)" >&2
    done
}

has_promtool() {
    command -v promtool >/dev/null 2>&1 || [ -x "$tools/promtool" ]
}

download() {
    (cd "$1" && apt-get download -q prometheus) >/dev/null 2>&1
}

# Into a directory of its own first, so that half a file is never taken for a tool.
take_promtool() {
    command -v apt-get >/dev/null 2>&1 && command -v dpkg-deb >/dev/null 2>&1 || return 1
    folder=$(mktemp -d)
    if download "$folder" || { [ "$(id -u)" = 0 ] && apt-get update -q && download "$folder"; }; then
        dpkg-deb --fsys-tarfile "$folder"/prometheus_*.deb |
            tar -xf - -C "$folder" ./usr/bin/promtool &&
            mkdir -p "$tools" && mv "$folder/usr/bin/promtool" "$tools/promtool"
    fi
    rm -rf "$folder"
    has_promtool
}

say_promtool() {
    if ! has_promtool && ! take_promtool; then
        echo "missing: promtool, which checks metrics and alert rules (Debian package prometheus)" >&2
        return 1
    fi
}

code=0
say_promtool || code=1
packages=$(missing_packages)
if [ -z "$packages" ]; then
    [ $code = 1 ] || echo "everything that the tests need is installed"
    exit $code
fi
say_missing "$packages"
if ! command -v apt-get >/dev/null 2>&1; then
    echo "there is no apt-get here: install these by other means" >&2
    exit 1
fi
if [ "$(id -u)" != 0 ]; then
    # shellcheck disable=SC2086 # one word for each package
    echo "only root can install them: sudo apt-get install" $packages >&2
    exit 1
fi
DEBIAN_FRONTEND=noninteractive
export DEBIAN_FRONTEND
apt-get update -q
# shellcheck disable=SC2086 # one word for each package
apt-get install -q -y --no-install-recommends $packages
packages=$(missing_packages)
if [ -n "$packages" ]; then
    echo "still missing after the installation:" >&2
    say_missing "$packages"
    exit 1
fi
[ $code = 1 ] || echo "everything that the tests need is installed"
exit $code
