#!/usr/bin/env bash
# Usage: scripts/install.sh [--yes] [--dry-run] [--build] [FILE.deb]
#
# Installs Distiller LLM as a service on this device: checks the device, then installs the package
# with dpkg. Nothing is downloaded. Run as root, from a release folder or a checkout; the package is
# FILE.deb, or the newest that fits this device beside this script, above it, or in dist/. The
# same again changes nothing, a newer package upgrades.
#
#   --yes       do not ask
#   --dry-run   only check, and say what would be done
#   --build     make the package first, with scripts/build-deb (needs a checkout, a compiler and the network)
#
# To remove it again: scripts/uninstall.sh
set -euo pipefail
HERE=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" >/dev/null && pwd -P)

NEEDED_DISK_MB=400
NEEDED_MEMORY_MB=512

say() { printf '%s\n' "$*" >&2; }
die() {
  say "error: $*"
  exit 1
}
print_help() { awk 'NR > 1 { if (!/^#/) exit; sub(/^# ?/, ""); print }' "${BASH_SOURCE[0]}"; }

problems=()
problem() { problems+=("$*"); }

# Sets arch, debian and python, which choose the package.
look_at_device() {
  command -v dpkg >/dev/null || die "this is no Debian: dpkg is missing. From a checkout, scripts/run works without it."
  arch=$(dpkg --print-architecture)
  case $arch in
    amd64 | arm64) ;;
    *) problem "the processor is $arch; there are packages for amd64 and arm64" ;;
  esac
  # shellcheck disable=SC1091 # there on every Debian
  debian=$(. /etc/os-release && echo "${VERSION_ID:-}")
  case $debian in
    12 | 13) ;;
    *) problem "this is Debian ${debian:-of unknown version}; there are packages for Debian 12 and 13" ;;
  esac
  python=$(/usr/bin/python3 -I -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || true)
  case $debian:$python in
    12:3.11 | 13:3.13) ;;
    *:) problem "Python is missing: apt install python3" ;;
    *) problem "/usr/bin/python3 is $python; Debian 12 has 3.11 and Debian 13 has 3.13" ;;
  esac
  [[ -d /run/systemd/system ]] || say "note: systemd is not running here, so nothing will be started"
}

look_at_room() {
  local disk_mb memory_mb
  disk_mb=$(($(df --output=avail -k /usr | tail -n 1) / 1024))
  memory_mb=$(awk '/^MemTotal:/ { print int($2 / 1024) }' /proc/meminfo)
  if ((disk_mb < NEEDED_DISK_MB)); then problem "$disk_mb MB are free on the disk; $NEEDED_DISK_MB are needed, and room for models"; fi
  if ((memory_mb < NEEDED_MEMORY_MB)); then problem "the device has $memory_mb MB of memory; $NEEDED_MEMORY_MB are needed, and room for models"; fi
  say "device: Debian $debian on $arch, Python ${python:-none}, $memory_mb MB of memory, $disk_mb MB free"
}

# The newest package that fits, from the folders where one may lie; not each of them is there.
find_package() {
  { find "$HERE" "$HERE/.." "$HERE/../dist" -maxdepth 1 -name "distiller-llm_*+deb${debian}_$arch.deb" 2>/dev/null || true; } \
    | awk -F/ '{ print $NF "\t" $0 }' | sort -V | tail -n 1 | cut -f2
}

check_package() {
  local found
  [[ -f $package ]] || die "there is no file $package."
  found=$(dpkg-deb -f "$package" Package Version Architecture 2>/dev/null) || die "$package is no Debian package."
  grep -qx 'Package: distiller-llm' <<<"$found" || die "$package is another package."
  grep -qx "Architecture: $arch" <<<"$found" || problem "$package is for $(sed -n 's/^Architecture: //p' <<<"$found") and this is $arch"
  version=$(sed -n 's/^Version: //p' <<<"$found")
  [[ $version == *"+deb$debian" ]] || problem "$package is for Debian ${version##*+deb} and this is Debian $debian"
}

look_at_dependencies() {
  local missing
  missing=$(dpkg-deb -f "$package" Depends | tr ',' '\n' | sed 's/^ *//; s/ .*//; s/:any//; s/|.*//' | sort -u | while IFS= read -r name; do
    dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null | grep -qx installed || echo "$name"
  done | paste -sd' ')
  if [[ -n $missing ]]; then problem "missing on this device: apt install $missing"; fi
}

tell_how_to_look() {
  say ''
  say 'How to look at it:'
  say '  systemctl status distiller-llm'
  say '  journalctl -u distiller-llm -o json'
  say "  curl http://127.0.0.1:8000/v1/chat/completions -H 'Content-Type: application/json' \\"
  say "    -d '{\"messages\": [{\"role\": \"user\", \"content\": \"What is the capital of France?\"}]}'"
  say 'Settings are in /etc/distiller-llm/config.toml, models in /var/lib/distiller-llm/models.'
}

yes='' dry_run='' build='' package=''
while (($#)); do
  case $1 in
    -h | --help)
      print_help
      exit
      ;;
    --yes) yes=yes ;;
    --dry-run) dry_run=yes ;;
    --build) build=yes ;;
    -*) die "unknown option '$1': see scripts/install.sh --help." ;;
    *)
      if [[ -n $package ]]; then die "one package is expected: see scripts/install.sh --help."; fi
      package=$1
      ;;
  esac
  shift
done

look_at_device
look_at_room
if [[ -n $build && ${#problems[@]} == 0 ]]; then
  case $debian in 12) suite=bookworm ;; *) suite=trixie ;; esac
  package=$("$HERE/build-deb" --suite "$suite" | tail -n 1)
fi
if [[ -z $package && ${#problems[@]} == 0 ]]; then
  package=$(find_package)
  if [[ -z $package ]]; then die "no package for Debian $debian on $arch lies here: name it, or make it with scripts/build-deb."; fi
fi
if [[ -n $package ]]; then
  check_package
  look_at_dependencies
fi
if ((${#problems[@]})); then
  for text in "${problems[@]}"; do say "problem: $text"; done
  die "not installed."
fi

installed=$(dpkg-query -W -f '${db:Status-Status} ${Version}' distiller-llm 2>/dev/null || true)
if [[ $installed == "installed $version" ]]; then
  say "distiller-llm $version is installed already; its files are written anew"
fi
say "package: $package, version $version"
if [[ -n $dry_run ]]; then
  say "would run: dpkg -i $package"
  exit
fi
if [[ $(id -u) != 0 ]]; then die "only root can install it: sudo $0"; fi
if [[ -z $yes ]]; then
  if [[ ! -t 0 ]]; then die "nobody is here to ask: say --yes."; fi
  read -rp 'Install it? [y/N] ' answer
  if [[ ${answer,,} != y* ]]; then die "not installed."; fi
fi
DEBIAN_FRONTEND=noninteractive dpkg -i "$package" >&2 || die "dpkg could not install it; its reason is above."
if [[ -d /run/systemd/system ]] && ! systemctl is-active --quiet distiller-llm.service; then
  if systemctl is-enabled --quiet distiller-llm.service 2>/dev/null; then
    systemctl --no-pager --lines=5 status distiller-llm.service >&2 || true
    die "installed, but the service does not run; see above."
  fi
  if [[ $(systemctl is-enabled distiller-llm.service 2>/dev/null) != disabled ]]; then die "installed, but the service is not known to systemd."; fi
  say "installed; the service is disabled and stays so: systemctl enable --now distiller-llm.socket distiller-llm.service"
elif [[ -d /run/systemd/system ]]; then
  say "installed: the service runs"
else
  say "installed"
fi
tell_how_to_look
