#!/usr/bin/env bash
# Installs the Debian packages that are missing: venv and database server; with `test` also a browser and a Java runtime.
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

[ ${#missing[@]} -eq 0 ] && exit 0

if ! has apt-get; then
    wanted="Python 3.11 or newer with venv, MariaDB server 10.6 or newer (or MySQL 8.0)"
    [ "$for_tests" = test ] && wanted="$wanted, Chromium, a Java runtime 17 or newer"
    echo "This system has no apt-get. Please install: $wanted. Missing, by Debian's names: ${missing[*]}" >&2
    exit 1
fi

sudo=()
if [ "$(id -u)" -ne 0 ]; then
    if ! has sudo; then
        echo "Please run as root: apt-get install ${missing[*]}" >&2
        exit 1
    fi
    sudo=(sudo)
fi

echo "Installing Debian packages: ${missing[*]}"
"${sudo[@]}" apt-get update -qq
"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
