# shellcheck shell=bash
# Boots a Debian root in a container with a systemd of its own (systemd-nspawn) and runs commands in it. What is changed
# in there is gone with it. Sourced, after common.sh and root.sh. Knows nothing about what is tested.

MACHINE_PID='' # of systemd-nspawn
MACHINE_LEADER='' # of the systemd inside

# Prints why no machine can be booted here; nothing when one can.
why_no_machine() {
  local tool
  if [[ $(id -u) != 0 ]]; then
    echo "systemd-nspawn needs root"
    return
  fi
  for tool in systemd-nspawn nsenter mmdebstrap; do
    command -v "$tool" >/dev/null || {
      echo "$tool is not on this machine (Debian: apt install systemd-container util-linux mmdebstrap)"
      return
    }
  done
  [[ -d /sys/fs/cgroup ]] || echo "there are no control groups here"
}

# boot_machine ROOT LOG [NSPAWN OPTION…]: returns when systemd inside has started everything, and fails when
# there can be no container here.
boot_machine() {
  local root=$1 log=$2 state=''
  shift 2
  # Two containers at a time would share control groups. The lock ends with this script.
  exec 8>"$APPLIANCE_DIR/machine.lock"
  flock 8
  SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 systemd-nspawn --quiet --boot --directory="$root" --volatile=overlay \
    --register=no --keep-unit --private-network --machine="distiller-$$" --hostname=distiller \
    --kill-signal=SIGRTMIN+3 --console=pipe --link-journal=no --resolv-conf=off --timezone=off \
    "$@" >"$log" 2>&1 </dev/null &
  MACHINE_PID=$!
  for ((tries = 0; tries < 600; tries++)); do
    kill -0 "$MACHINE_PID" 2>/dev/null || return 1
    MACHINE_LEADER=$(pgrep -P "$MACHINE_PID" | head -n 1 || true)
    if [[ -n $MACHINE_LEADER ]]; then
      state=$(nsenter -t "$MACHINE_LEADER" -a systemctl is-system-running 2>/dev/null || true)
      if [[ $state == running || $state == degraded ]]; then return; fi
    fi
    sleep 0.1
  done
  die "systemd in the container is not up after a minute (state: ${state:-unknown}); its console is in $log."
}

# inside COMMAND: a shell command, as root, in the machine.
inside() {
  nsenter -t "$MACHINE_LEADER" -a env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 \
    SYSTEMD_PAGER= DEBIAN_FRONTEND=noninteractive /bin/bash -c "$1"
}

power_off() {
  if [[ -z $MACHINE_PID ]]; then return; fi
  kill -TERM "$MACHINE_PID" 2>/dev/null || true
  for ((tries = 0; tries < 150; tries++)); do
    kill -0 "$MACHINE_PID" 2>/dev/null || break
    sleep 0.1
  done
  kill -KILL "$MACHINE_PID" 2>/dev/null || true
  wait "$MACHINE_PID" 2>/dev/null || true
  MACHINE_PID=''
}
