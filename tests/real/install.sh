#!/bin/sh
# Installs the Debian packages named as arguments, and leaves the machine otherwise as it was: no service of theirs is
# started, now or at the next boot, and PostgreSQL makes no cluster of its own. To be run as root; install.py does it.
set -eu

policy=/usr/sbin/policy-rc.d
clusters=/etc/postgresql-common/createcluster.conf
kept=$(mktemp -d)

put_back() {
    for file in "$policy" "$clusters"; do
        if [ -e "$kept/${file##*/}" ]; then
            cp --preserve "$kept/${file##*/}" "$file"
        fi
    done
    if [ -e "$kept/no-policy" ]; then
        rm -f "$policy"
    fi
    rm -rf "$kept"
}
trap put_back EXIT
trap 'exit 130' INT TERM HUP

# Maintainer scripts ask this file before they start a service; 101 forbids it.
if [ -e "$policy" ]; then
    cp --preserve "$policy" "$kept/"
else
    touch "$kept/no-policy"
fi
printf '#!/bin/sh\nexit 101\n' >"$policy"
chmod 755 "$policy"

export DEBIAN_FRONTEND=noninteractive
install() {
    apt-get install --quiet=2 --no-install-recommends --option Dpkg::Use-Pty=0 "$@"
}

apt-get update --quiet=2
case " $* " in
*" postgresql-15 "*)
    install postgresql-common
    cp --preserve "$clusters" "$kept/"
    pg_conftool "$clusters" set create_main_cluster off
    ;;
esac
install "$@"

case " $* " in
*" redis-server "*)
    if command -v systemctl >/dev/null; then
        systemctl --quiet disable redis-server
    fi
    ;;
esac
