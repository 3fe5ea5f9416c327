#!/usr/bin/env bash
# The job of the virtual machine: guest.sh memory|processor DEB LIBRARY. Runs inside it and prints the rows of the report.
# LIBRARY is the one of llama.cpp's libraries that this processor must get.
set -euo pipefail
shopt -s inherit_errexit
cd -- "$(dirname -- "${BASH_SOURCE[0]}")"
# shellcheck source=scripts/appliance/results.sh
source results.sh
# shellcheck source=scripts/appliance/package_tests.sh
source package_tests.sh
# shellcheck source=scripts/appliance/tests.sh
source tests.sh
# shellcheck source=scripts/appliance/guest_tests.sh
source guest_tests.sh

export DEBIAN_FRONTEND=noninteractive SYSTEMD_PAGER='' HOME=/root
export PATIENCE=5 # everything takes longer here than in a container
console=/run/guest

# The tests for a container run here as they are.
inside() { bash -c "$1"; }

what=$1 deb=$2 library=$3
result "boots" ok "$(cut -d. -f1 /proc/uptime) s to here, kernel $(uname -r), systemd $(systemctl --version | awk 'NR == 1 { print $2 }')"
list_paths >"$console.before"
try "installs, and is active" installs "$deb"
if is_active; then
  run_guest_tests "$what" "$library"
  try "purging leaves nothing" purges "$deb"
else
  explain_inactive
fi
printf 'row: %s\n' "${RESULTS[@]}"
