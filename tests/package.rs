//! The Debian package: installed over Debian's cron, run and removed, in a copy of this machine's root.
//!
//! The copy is an overlay: nothing of it reaches the machine. The package holds the binary at hand, whatever its profile.
#![expect(clippy::unwrap_used, reason = "a test fails where it must not go on")]
#![expect(clippy::disallowed_methods, reason = "a test waits for its programs, as any parent does")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

/// Enters a copy of the root and runs the script there, as the first process of a namespace.
const ENTER: &str = r#"
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
root=$1/root
for name in proc sys; do mount --rbind "/$name" "$root/$name"; done
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
cp "$2" "$root/tmp/cronkeep.deb"
exec chroot "$root" /bin/bash -euxc "$3"
"#;

/// What happens in the copy.
const SCRIPT: &str = r#"
export DEBIAN_FRONTEND=noninteractive LC_ALL=C
printf '#!/bin/sh\nexit 0\n' > /usr/sbin/policy-rc.d; chmod +x /usr/sbin/policy-rc.d
printf '@yearly true\n' > /tmp/table
mkdir -p /var/spool/cron/crontabs; cp /tmp/table /var/spool/cron/crontabs/root; chmod 600 /var/spool/cron/crontabs/root
mkdir -p /etc/cron.d

# Debian's cron gives way, the running one, too.
[ ! -x /usr/sbin/cron ] || /usr/sbin/cron
dpkg --install --force-confnew /tmp/cronkeep.deb
! dpkg -s cron | grep '^Status: install ok installed'
dpkg -s cronkeep | grep '^Status: install ok installed'
dpkg -s cronkeep | grep '^Provides: .*cron-daemon'
[ -z "$(dpkg --audit cronkeep)" ]
dpkg --verify cronkeep

# It was started by its script, under cron's names, and reads cron's files.
pid=$(cat /run/crond.pid)
[ "$(readlink "/proc/$pid/exe")" = /usr/bin/cronkeep ]
/etc/init.d/cronkeep status
crontab -l | cmp - /tmp/table
echo '@daily true' | crontab -
crontab -l | grep -q daily
cron -V; crond -V; cronkeep check /etc/crontab
for page in "1 crontab" "5 crontab" "8 cronkeep" "8 crond"; do man -w $page > /dev/null; done
! /usr/sbin/crond 2> /tmp/second
grep -q "otherpid may be $pid" /tmp/second
cronkeep health
/etc/init.d/cronkeep restart
[ "$(cat /run/crond.pid)" != "$pid" ]
pid=$(cat /run/crond.pid)

# Installed again it is the same; the administrator's changes stay.
echo '# mine' >> /etc/crontab
dpkg --install --force-confold /tmp/cronkeep.deb
grep -q '# mine' /etc/crontab
pid=$(cat /run/crond.pid)

# Removed it has stopped, and what it does not own stays.
dpkg --remove cronkeep
[ ! -e /run/crond.pid ] && [ ! -e "/proc/$pid/exe" ]
[ ! -e /usr/bin/cronkeep ] && [ ! -e /usr/bin/crontab ] && [ ! -e /usr/sbin/crond ]
[ -e /var/spool/cron/crontabs/root ] && grep -q '# mine' /etc/crontab
dpkg --purge cronkeep
[ ! -e /etc/default/cronkeep ] && [ ! -e /etc/init.d/cronkeep ] && [ ! -e /var/lib/cronkeep ]
[ -e /var/spool/cron/crontabs/root ]
! dpkg -s cronkeep 2>/dev/null
echo all is well
"#;

/// Enters control groups of its own and boots systemd in a copy of the root, with the unit and what tries it out.
const BOOT: &str = r#"
name=cronkeep-test-$$
for group in /sys/fs/cgroup /sys/fs/cgroup/*/; do
  mkdir "$group/$name" && echo $$ > "$group/$name/cgroup.procs"
done 2> /dev/null
timeout 150 unshare --mount --pid --fork --kill-child --uts --ipc --cgroup --net sh -c "$4" sh "$1" "$2" "$3"
echo $$ | tee /sys/fs/cgroup/cgroup.procs /sys/fs/cgroup/*/cgroup.procs > /dev/null 2>&1
find /sys/fs/cgroup/"$name" /sys/fs/cgroup/*/"$name" -depth -type d -exec rmdir {} ';' 2> /dev/null
cat "$1/out/console" "$1/out/tried"
"#;

/// The copy, and systemd as its first process.
const SYSTEMD: &str = r#"
set -e
mount --make-rprivate /
mkdir "$1/out" "$1/disk"; mount -t tmpfs tmpfs "$1/disk"
mkdir "$1/disk/upper" "$1/disk/work" "$1/disk/root"
root=$1/disk/root
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/disk/upper,workdir=$1/disk/work" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
  mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
else
  mount -t tmpfs tmpfs "$root/sys/fs/cgroup"
  mkdir "$root/sys/fs/cgroup/systemd"
  mount -t cgroup -o none,name=systemd cgroup "$root/sys/fs/cgroup/systemd"
fi
mount -t tmpfs tmpfs "$root/dev"
for name in null zero random urandom full tty; do touch "$root/dev/$name"; mount --bind "/dev/$name" "$root/dev/$name"; done
for name in run tmp; do mount -t tmpfs tmpfs "$root/$name"; done
mkdir "$root/tmp/out"; mount --bind "$1/out" "$root/tmp/out"
cp "$2" "$root/root/cronkeep.deb"; printf '%s' "$3" > "$root/root/try"
printf '#!/bin/sh\nexit 101\n' > "$root/usr/sbin/policy-rc.d"; chmod +x "$root/usr/sbin/policy-rc.d"
DEBIAN_FRONTEND=noninteractive chroot "$root" dpkg --install --force-confnew /root/cronkeep.deb > "$1/out/console" 2>&1
printf '* * * * * * root date >> /run/ran\n' > "$root/etc/crontab"
cat > "$root/etc/systemd/system/try.service" <<'U'
[Unit]
Wants=cronkeep.service
After=cronkeep.service
[Service]
Type=oneshot
ExecStart=/bin/bash -eux /root/try
ExecStopPost=/bin/systemctl --no-block exit
StandardOutput=append:/tmp/out/tried
StandardError=append:/tmp/out/tried
U
exec chroot "$root" env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin \
  /lib/systemd/systemd --unit=try.service --log-target=console >> "$1/out/console" 2>&1
"#;

/// What is tried out under systemd.
const TRIED: &str = r#"
wait_for() { for i in $(seq 300); do ! "$@" || return 0; sleep 0.2; done; echo "never: $*"; exit 1; }
main() { systemctl show cronkeep -p MainPID --value; }
is_other() { [ "$(main)" != "$1" ] && [ "$(main)" != 0 ] && systemctl is-active cronkeep; }
systemctl is-active cronkeep
wait_for [ -s /run/ran ]
cronkeep health
systemctl reload cronkeep
printf '* * * * * * root [ -e /run/long ] || { touch /run/long; echo $$ > /run/job; exec sleep 987; }\n' > /etc/crontab
wait_for [ -s /run/job ]
job=$(cat /run/job)
grep -q 'system.slice/cronkeep.service' /proc/$job/cgroup
# A daemon that was killed is started again; its jobs go on, then and when it is stopped.
old=$(main); kill -9 "$old"
wait_for is_other "$old"
kill -0 "$job"
systemctl stop cronkeep
[ "$(systemctl show cronkeep -p Result --value)" = success ]
kill -0 "$job"
systemctl start cronkeep
echo all is well
"#;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The package, built once for all tests of this process, and not compressed.
fn package() -> &'static Path {
    static PACKAGE: OnceLock<PathBuf> = OnceLock::new();
    PACKAGE.get_or_init(build)
}

fn build() -> PathBuf {
    let output = Command::new(root().join("packaging/deb/build.sh"))
        .arg(env!("CARGO_BIN_EXE_cronkeep"))
        .env("DEB_COMPRESSION", "none")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let folder = std::fs::read_dir(root().join("target/debian")).unwrap();
    let mut packages = folder.map(|item| item.unwrap().path());
    let name = format!("cronkeep_{}_", env!("CARGO_PKG_VERSION"));
    let is_ours = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with(&name);
    packages.find(is_ours).unwrap()
}

fn text(output: &Output) -> String {
    let parts = [&output.stdout[..], &output.stderr];
    parts.map(String::from_utf8_lossy).join("\n")
}

/// Row 105 and 108 as a host's scripts meet them.
#[test]
fn the_package_takes_crons_place_runs_and_goes_without_a_trace() {
    assert!(nix::unistd::geteuid().is_root(), "the package's test needs root: it mounts");
    let package = package();
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new("unshare")
        .args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-c", ENTER, "sh"])
        .arg(folder.path())
        .arg(package)
        .arg(SCRIPT)
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env_remove("NOTIFY_SOCKET")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output));
    assert!(String::from_utf8_lossy(&output.stdout).ends_with("all is well\n"));
}

#[test]
fn what_is_in_the_package_is_roots_and_every_configuration_file_is_declared() {
    let package = package();
    let list = Command::new("dpkg-deb").arg("--contents").arg(package).output().unwrap();
    let list = String::from_utf8(list.stdout).unwrap();
    for line in list.lines() {
        assert!(line.contains(" root/root "), "{line}");
    }
    for path in [
        "./usr/bin/crontab -> cronkeep",
        "./usr/sbin/crond -> ../bin/cronkeep",
        "./usr/share/man/man5/crontab.5.gz",
    ] {
        assert!(list.contains(path), "{path}: {list}");
    }
    let declared =
        Command::new("dpkg-deb").arg("--info").arg(package).arg("conffiles").output().unwrap();
    let declared = String::from_utf8(declared.stdout).unwrap();
    let files = list
        .lines()
        .filter(|line| line.starts_with('-'))
        .filter_map(|line| line.split(" .").nth(1));
    let mut count = 0;
    for path in files.filter(|path| path.starts_with("/etc/")) {
        assert!(declared.lines().any(|line| line == path), "{path}");
        count += 1;
    }
    assert_eq!(declared.lines().count(), count);
}

/// As a host would run it: ready when it says so, reloaded, started again when it is killed, and its jobs outlive it.
#[test]
fn systemd_runs_the_unit_and_leaves_the_jobs_alone() {
    if std::env::var_os("CRONKEEP_TEST_SYSTEMD").is_none() {
        return println!(
            "skipped: it makes control groups on this machine if CRONKEEP_TEST_SYSTEMD is set"
        );
    }
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new("sh")
        .args(["-c", BOOT, "sh"])
        .arg(folder.path())
        .arg(package())
        .args([TRIED, SYSTEMD])
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env_remove("NOTIFY_SOCKET")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(text(&output).contains("\nall is well\n"), "{}", text(&output));
}

#[test]
fn the_unit_tells_systemd_when_it_is_ready_and_restricts_no_job() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/systemd/cronkeep.service");
    let unit = std::fs::read_to_string(path).unwrap();
    let lines: Vec<&str> = unit.lines().filter(|line| !line.starts_with('#')).collect();
    for needed in ["Type=notify", "NotifyAccess=main", "Delegate=yes", "KillMode=process"] {
        assert!(lines.contains(&needed), "{needed}");
    }
    // Whatever confines the daemon confines the jobs of all users.
    let words = "Protect Private Restrict NoNewPrivileges Capability System ReadOnly Inaccessible User= Group= Limit Memory CPU";
    for line in lines {
        assert!(!words.split(' ').any(|word| line.starts_with(word)), "{line}");
    }
}
