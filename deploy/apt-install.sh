#!/bin/sh
# Installs packages of Debian, without starting the services that some of them bring: MLHub runs its own.
set -eu

if ! command -v apt-get >/dev/null; then
    echo "Please install these first, this system has no apt-get: $*" >&2
    exit 1
fi
if [ "$(id -u)" != 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "Please have these installed by root first, there is no sudo: apt-get install $*" >&2
        exit 1
    fi
    exec sudo -- "$0" "$@"
fi

echo "installing $* from the system's packages"
# Package scripts ask this program before they start a service; 101 is its word for no.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 130' INT TERM HUP
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
apt-get -qq install --no-install-recommends "$@" >/dev/null
for package in "$@"; do
    # Nor when the machine is started the next time.
    if [ "$package" = rabbitmq-server ] && command -v systemctl >/dev/null; then
        systemctl --quiet disable "$package" || true
    fi
done
