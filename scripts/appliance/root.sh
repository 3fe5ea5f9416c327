# shellcheck shell=bash
# Makes and keeps the minimal Debian root that the appliance is tested in. Sourced, after common.sh.
# Owns nothing that boots; see machine.sh.

APPLIANCE_DIR=${APPLIANCE_DIR:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/distiller-llm/appliance}

# What a device has anyway, what the package depends on, and what the tests call.
ROOT_PACKAGES=systemd,systemd-sysv,dbus,udev,python3,libgomp1,libstdc++6,curl,iproute2,procps

# root_folder SUITE ARCH
root_folder() { echo "$APPLIANCE_DIR/root-$1-$2"; }

has_root() {
  local folder
  folder=$(root_folder "$1" "$2")
  [[ -f $folder.made && $(<"$folder.made") == "$ROOT_PACKAGES" ]]
}

# make_root SUITE ARCH: prints nothing when it is there already.
make_root() {
  mkdir -p "$APPLIANCE_DIR"
  with_lock "$APPLIANCE_DIR/root-$1-$2.lock" make_root_steps "$@"
}

make_root_steps() {
  local suite=$1 arch=$2 folder
  folder=$(root_folder "$suite" "$arch")
  if has_root "$suite" "$arch"; then return; fi
  say "making a Debian $suite root for $arch: one to three minutes, once (kept in $APPLIANCE_DIR)"
  rm -rf "$folder" "$folder.made" "$folder.new"
  nice mmdebstrap --quiet --architectures="$arch" --variant=minbase --include="$ROOT_PACKAGES" \
    "$suite" "$folder.new" >"$folder.log" 2>&1 || {
    tail -n 20 "$folder.log" >&2
    die "mmdebstrap could not make a Debian $suite root for $arch; its last lines are above."
  }
  quieten_root "$folder.new"
  mv "$folder.new" "$folder"
  echo "$ROOT_PACKAGES" >"$folder.made"
}

# A journal that survives within a boot, no password prompt, no package timers that use the two cores.
quieten_root() {
  mkdir -p "$1/var/log/journal"
  rm -f "$1/etc/machine-id"
  : >"$1/etc/machine-id"
  systemctl --root="$1" mask systemd-firstboot.service getty@tty1.service console-getty.service \
    serial-getty@ttyS0.service serial-getty@ttyAMA0.service apt-daily.timer apt-daily-upgrade.timer \
    dpkg-db-backup.timer e2scrub_all.timer fstrim.timer >/dev/null 2>&1
}
