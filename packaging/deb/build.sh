#!/usr/bin/env bash
# Builds target/debian/cronkeep_VERSION_ARCH.deb out of a binary that is there already: build.sh [BINARY].
set -euo pipefail
cd "$(dirname "$0")/../.."

binary=${1:-target/release/cronkeep}
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
arch=$(dpkg --print-architecture)
out=target/debian
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
chmod 0755 "$root"

put() { install -D -m "$1" "$2" "$root/$3"; }
put 0755 "$binary" usr/bin/cronkeep
! command -v strip >/dev/null || strip "$root/usr/bin/cronkeep"
# Shorter names of the same program: what it does follows from the name.
mkdir -p "$root/usr/sbin"
ln -s cronkeep "$root/usr/bin/crontab"
ln -s ../bin/cronkeep "$root/usr/sbin/crond"
ln -s ../bin/cronkeep "$root/usr/sbin/cron"

for page in cronkeep.8 crontab.1 crontab.5; do
  put 0644 "packaging/man/$page" "usr/share/man/man${page##*.}/$page"
  gzip -9n "$root/usr/share/man/man${page##*.}/$page"
done
for name in crond cron; do ln -s cronkeep.8.gz "$root/usr/share/man/man8/$name.8.gz"; done
put 0644 packaging/completions/cronkeep.bash usr/share/bash-completion/completions/cronkeep
put 0644 packaging/completions/_cronkeep usr/share/zsh/vendor-completions/_cronkeep
put 0644 packaging/completions/cronkeep.fish usr/share/fish/vendor_completions.d/cronkeep.fish
put 0644 packaging/systemd/cronkeep.service lib/systemd/system/cronkeep.service
put 0755 packaging/deb/init etc/init.d/cronkeep
put 0644 packaging/deb/default etc/default/cronkeep
put 0644 packaging/deb/crontab etc/crontab
put 0644 packaging/deb/placeholder etc/cron.d/.placeholder
put 0644 LICENSE usr/share/doc/cronkeep/copyright
for period in hourly daily weekly monthly; do
  put 0644 packaging/deb/placeholder "etc/cron.$period/.placeholder"
done

mkdir -p "$root/DEBIAN"
for script in postinst prerm postrm; do put 0755 "packaging/deb/$script" "DEBIAN/$script"; done
(cd "$root" && find etc -type f -printf '/%p\n' | sort) > "$root/DEBIAN/conffiles"
depends=$(ldd "$binary" | grep -q libc.so.6 && echo 'libc6 (>= 2.34)' || true)
{
  sed -e "s/@VERSION@/$version/" -e "s/@ARCH@/$arch/" \
      -e "s/@SIZE@/$(du -sk "$root" | cut -f 1)/" packaging/deb/control
  [ -z "$depends" ] || echo "Depends: $depends"
} > "$root/DEBIAN/control"
mkdir -p "$out"
dpkg-deb --root-owner-group -Z"${DEB_COMPRESSION:-xz}" --build "$root" "$out/cronkeep_${version}_$arch.deb"
