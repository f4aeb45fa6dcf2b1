#!/usr/bin/env bash
# Installs the Debian packages that are missing: venv and database server; with `test` also a browser, a Java runtime and
# nginx (unpacked into .nginx: installing the package would start a web server on port 80).
# On another system it says in one line what to install. Does nothing, and asks for nothing, where all is there.
set -euo pipefail

for_tests="${1:-}"
python="${PYTHON:-python3}"
missing=()

has() { PATH="$PATH:/usr/sbin:/usr/local/sbin" command -v "$1" >/dev/null 2>&1; }

if ! has "$python"; then
    missing+=(python3 python3-venv)
elif ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "Python 3.11 or newer is needed; $python is $("$python" -V 2>&1). Name another one: make PYTHON=python3.12" >&2
    exit 1
elif ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    missing+=(python3-venv)
fi

# The server's programs without the system service that the package mariadb-server would start. An own server needs none.
if [ -z "${MYSQL_HOST:-}" ]; then
    if ! has mariadbd && ! has mysqld; then
        missing+=(mariadb-server-core mariadb-client-core)
    elif ! has mysqld && ! has mariadb-install-db; then
        missing+=(mariadb-client-core)
    fi
fi

if [ "$for_tests" = test ]; then
    has chromium || has google-chrome || missing+=(chromium)
    has java || missing+=(default-jre-headless)
fi

checkout="$(cd "$(dirname "$0")/../.." && pwd)"
unpack_nginx=
[ "$for_tests" != test ] || has nginx || [ -x "$checkout/.nginx/usr/sbin/nginx" ] || unpack_nginx=yes

[ ${#missing[@]} -eq 0 ] && [ -z "$unpack_nginx" ] && exit 0

if ! has apt-get; then
    wanted="Python 3.11 or newer with venv, MariaDB server 10.6 or newer (or MySQL 8.0)"
    [ "$for_tests" = test ] && wanted="$wanted, Chromium, a Java runtime 17 or newer, nginx"
    echo "This system has no apt-get. Please install: $wanted. Missing, by Debian's names: ${missing[*]}${unpack_nginx:+ nginx}" >&2
    exit 1
fi

sudo=()
if [ "$(id -u)" -ne 0 ]; then
    if ! has sudo; then
        echo "Please run as root: apt-get install ${missing[*]}${unpack_nginx:+ nginx}" >&2
        exit 1
    fi
    sudo=(sudo)
fi

"${sudo[@]}" apt-get update -qq
if [ ${#missing[@]} -gt 0 ]; then
    echo "Installing Debian packages: ${missing[*]}"
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi
if [ -n "$unpack_nginx" ]; then
    echo "Unpacking Debian's nginx into .nginx"
    folder="$(mktemp -d)"
    trap 'rm -rf "$folder"' EXIT
    chmod 755 "$folder"
    (cd "$folder" && apt-get download -qq nginx 2>/dev/null && dpkg-deb -x nginx_*.deb "$checkout/.nginx")
fi
