#!/usr/bin/env bash
# Usage: scripts/uninstall.sh [--purge]
#
# Removes the service from this device. Models, cache and settings stay where they are, for the next
# installation; --purge deletes them too: /etc/distiller-llm, /var/lib/distiller-llm with all models in it,
# /var/cache/distiller-llm. Run as root.
set -euo pipefail

say() { printf '%s\n' "$*" >&2; }
die() {
  say "error: $*"
  exit 1
}

action=--remove
case ${1:-} in
  -h | --help)
    awk 'NR > 1 { if (!/^#/) exit; sub(/^# ?/, ""); print }' "${BASH_SOURCE[0]}"
    exit
    ;;
  --purge) action=--purge ;;
  '') ;;
  *) die "unknown option '$1': see scripts/uninstall.sh --help." ;;
esac

command -v dpkg >/dev/null || die "this is no Debian: dpkg is missing."
status=$(dpkg-query -W -f '${db:Status-Status}' distiller-llm 2>/dev/null || true)
case $status:$action in
  : | :* | not-installed:*)
    say "distiller-llm is not installed"
    exit
    ;;
  config-files:--remove)
    say "distiller-llm is removed already; its settings, models and cache are kept (--purge deletes them)"
    exit
    ;;
esac
if [[ $(id -u) != 0 ]]; then die "only root can remove it: sudo $0"; fi
DEBIAN_FRONTEND=noninteractive dpkg "$action" distiller-llm >&2 || die "dpkg could not remove it; its reason is above."
