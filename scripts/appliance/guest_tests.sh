# shellcheck shell=bash
# What must be true of the appliance where the kernel enforces its limits, and on another processor. Runs in the virtual
# machine; sourced, after tests.sh and results.sh.

# run_guest_tests memory|processor LIBRARY
run_guest_tests() {
  try "answers over TCP" answers tcp
  try "answers over the unix socket" answers unix
  try "llama.cpp's library for this processor" library_of_processor "$2"
  try "memory at idle" memory_at_idle
  if [[ $1 == memory ]]; then
    try "limits of memory are the kernel's" limits_hold
    try "no connection leaves it" no_connection_leaves
    try "memory gets short" memory_pressure
    try "memory ends" memory_ends
  fi
  try "idle stop, and start to ready" restart_time
  try "no illegal instruction" no_illegal_instruction
}

cgroup() { echo "/sys/fs/cgroup$(systemctl show -P ControlGroup distiller-llm.service)"; }

engine_pid() { pgrep -P "$(main_pid)" -f app.engine.main; }

library_of_processor() {
  local loaded
  loaded=$(grep -o 'libggml-cpu[^/]*\.so' "/proc/$(engine_pid)/maps" | sort -u | paste -sd,)
  echo "$loaded"
  [[ $loaded == libggml-cpu-*.so && ($1 == any || $loaded == "$1") ]]
}

# What the kernel counts for the service, and each process's own share of it.
memory_at_idle() {
  local name pid shares=''
  for name in main engine; do
    pid=$("${name}_pid")
    shares+=", $name $(awk '/^Pss:/ { print int($2 / 1024) }' "/proc/$pid/smaps_rollup") MiB (Pss)"
  done
  echo "$(($(<"$(cgroup)/memory.current") >> 20)) MiB in its control group, of which $(awk '/^anon / { print int($2 / 1048576) }' "$(cgroup)/memory.stat") MiB are no files$shares"
}

limits_hold() {
  local name file wanted is
  for name in MemoryHigh=memory.high MemoryMax=memory.max; do
    file=$(cgroup)/${name#*=}
    wanted=$(sed -n "s/^${name%=*}=//p" /etc/systemd/system/distiller-llm.service.d/50-memory.conf)
    is=$(<"$file")
    echo "${name%=*} $((wanted >> 20)) MiB of $(awk '/^MemTotal/ { print int($2 / 1024) }' /proc/meminfo)"
    [[ $is != max ]] && ((is <= wanted && wanted - is < 4096))
  done | paste -sd' '
}

# There is a network, and something that answers. In the sandbox there is neither; and the filter on addresses alone, with
# the device's network, lets nothing out either.
no_connection_leaves() {
  local card pid out='import socket; print(socket.create_connection(("10.0.2.100", 7), timeout=5).getpeername()[0])'
  card=$(basename -- "$(find /sys/class/net -name 'e*' | head -n 1)")
  ip link set "$card" up
  ip address add 10.0.2.15/24 dev "$card" 2>/dev/null || true
  python3 -I -c "$out" >/dev/null || {
    echo "there is no network to try it with"
    return 1
  }
  for pid in $(<"$(cgroup)/cgroup.procs"); do
    if nsenter -t "$pid" -n python3 -I -c "$out" 2>/dev/null; then
      echo "process $pid has a network"
      return 1
    fi
  done
  if (echo "$BASHPID" >"$(cgroup)/cgroup.procs" && exec python3 -I -c "$out") 2>/run/guest.denied; then
    echo "the filter on addresses lets a connection out"
    return 1
  fi
  echo "not from the network of $(wc -l <"$(cgroup)/cgroup.procs") processes; and with the device's network: $(tail -n 1 /run/guest.denied)"
}

# hog UNTIL: a process in the service's control group takes memory, a MiB at a time, until the kernel's count of UNTIL rises.
# The kernel may not end it, so what it takes is missing to the service.
hog() {
  (
    echo -1000 >/proc/self/oom_score_adj
    echo "$BASHPID" >"$(cgroup)/cgroup.procs"
    exec python3 -I /mnt/appliance/hog.py "$(cgroup)" "$1"
  )
}

# with_room HIGH_MIB MAX_MIB: limits so far above what the service has now.
with_room() {
  local now
  now=$(<"$(cgroup)/memory.current")
  systemctl set-property --runtime distiller-llm.service "MemoryHigh=$((now + ($1 << 20)))" "MemoryMax=$((now + ($2 << 20)))"
}

# Back to those that the package wrote.
without_limits() {
  rm -rf /run/systemd/system.control/distiller-llm.service.d
  systemctl daemon-reload
}

# Above MemoryHigh whoever needs memory has to wait, which the service notices.
memory_pressure() {
  local told
  answers tcp >/dev/null
  wait_for 20 "curl -fs http://127.0.0.1:8000/cache | python3 -c 'import json, sys; sys.exit(not json.load(sys.stdin)[\"tiers\"][\"memory\"][\"bytes\"])'"
  with_room 16 400
  hog memory_pressure || {
    without_limits
    return 1
  }
  without_limits
  wait_for 20 'journalctl -u distiller-llm -o cat --no-pager EVENT=memory_pressure | grep -q .'
  told='it looks at its control group'
  if tr '\0' '\n' <"/proc/$(main_pid)/environ" | grep -q ^MEMORY_PRESSURE_WATCH=/sys; then told='systemd tells it where'; fi
  echo "$told: $(journalctl -u distiller-llm -o cat --no-pager EVENT=memory_pressure | head -n 1)"
}

# At MemoryMax the kernel ends the engine, the service goes on, says so, and answers again.
memory_ends() {
  local before began back line
  before=$(main_pid)
  with_room 60 64
  $CLIENT alive 30 >/run/guest.alive 2>&1 &
  hog oom_kill || {
    echo "what takes memory ended with $?; $(systemctl show -p Result -p NRestarts -p MainPID distiller-llm.service | paste -sd' '), before $before; $(journalctl -u distiller-llm -p warning -o cat --no-pager -n 3 | paste -sd' ')"
    without_limits
    return 1
  }
  began=$(now_ms)
  without_limits
  wait_for 60 "$CLIENT ask tcp" || return 1
  back=$(since_ms "$began")
  wait "$!" || {
    echo "meanwhile: $(</run/guest.alive)"
    return 1
  }
  [[ $(main_pid) == "$before" ]] || {
    echo "the kernel ended the service's main process"
    return 1
  }
  line=$(journalctl -u distiller-llm -o cat --no-pager EVENT=engine_exited | tail -n 1)
  [[ $line == *"OOM killer"* ]] || {
    echo "the journal does not say why: $line"
    return 1
  }
  curl -fs http://127.0.0.1:8000/health | grep -q 'OOM killer has ended the engine ' || {
    echo "/health does not say it"
    return 1
  }
  echo "\"$line\"; good answers again after $back ms; meanwhile $(</run/guest.alive)"
}

no_illegal_instruction() {
  local seen
  seen=$(journalctl --no-pager -o cat | grep -iE 'SIGILL|illegal instruction|invalid opcode|undefined instruction|status=4/ILL' || true)
  echo "${seen:-none in the journal of this boot, for $(awk -F': ' '/^(model name|CPU part)/ { print $1 $2; exit }' /proc/cpuinfo | tr -s '\t' ' ')}"
  [[ -z $seen ]]
}
