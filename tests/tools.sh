#!/usr/bin/env bash
# Sees to it that a check has the programs it needs: installs them with apt-get or cargo when root, else says what to install.
set -euo pipefail

# What each check needs beside the Rust toolchain: program, Debian package.
packages() {
  case "$1" in
    test) printf '%s\n' 'mount mount' 'strace strace' 'man man-db' 'setpriv util-linux' 'script bsdutils' 'perl perl-base' 'sed sed' 'faketime faketime' 'openssl openssl' 'unshare util-linux' \
      'nsenter util-linux' 'busybox busybox-static' 'dockerd docker.io' 'docker-compose docker-compose' 'tar tar' 'redis-server redis-server' 'redis-cli redis-tools' 'rabbitmq-server rabbitmq-server' 'python3 python3' ;;
    rows) printf '%s\n' 'unshare util-linux' 'cron cron' 'crontab cron' 'busybox busybox-static' ;;
    bench) printf '%s\n' 'rabbitmq-server rabbitmq-server' 'redis-server redis-server' 'redis-cli redis-tools' 'cron cron' 'busybox busybox-static' 'gcc gcc' 'unshare util-linux' 'python3 python3' ;;
    *) echo "tests/tools.sh: no such check: $1" >&2; exit 2 ;;
  esac
}

install() {
  local missing=()
  while read -r program package; do
    [ -z "$program" ] || command -v "$program" >/dev/null || [ -x "/usr/sbin/$program" ] || missing+=("$package")
  done < <(packages "$1")
  # A package without a program of its own.
  [ "$1" = rows ] || /usr/bin/python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)
  [ ${#missing[@]} -gt 0 ] || return 0
  if [ "$(id -u)" -ne 0 ]; then
    echo "tests/tools.sh: please install: ${missing[*]}" >&2
    exit 1
  fi
  # The servers are for the tests, which start their own: none is to run by itself.
  local policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then
    trap "rm -f $policy" EXIT
    printf '#!/bin/sh\nexit 101\n' > "$policy"
    chmod +x "$policy"
  fi
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
}

# cargo-deny is no Debian package: it is built once, below target/, and not optimised: it has little to do.
deny() {
  command -v cargo-deny >/dev/null || [ -x target/tools/bin/cargo-deny ] ||
    cargo install --quiet --debug --locked --root target/tools --version 0.20.2 cargo-deny
}

# What the Python service needs, a stock Celery worker and a consumer of events are no Debian packages: they have an environment of
# their own, below target/.
python() {
  local libraries=(python-crontab==3.4.0 redis==8.1.0 APScheduler==3.11.3 watchdog==7.1.0 requests==2.34.2
    celery==5.7.0 pika==1.4.4 fastjsonschema==2.22.3)
  local stamp=target/tools/python/installed
  [ "$(cat "$stamp" 2>/dev/null)" != "${libraries[*]}" ] || return 0
  rm -rf target/tools/python
  /usr/bin/python3 -m venv target/tools/python
  target/tools/python/bin/pip install --quiet --disable-pip-version-check "${libraries[@]}"
  echo "${libraries[*]}" > "$stamp"
}

case "$1" in
  deny) deny ;;
  test | bench) install "$1"; python ;;
  *) install "$1" ;;
esac
