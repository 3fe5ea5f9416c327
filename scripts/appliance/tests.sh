# shellcheck shell=bash
# What must be true of the installed appliance, in the order in which a device lives through it. Each function prints what
# it saw and fails when that is wrong. Sourced, after machine.sh, results.sh, package_tests.sh and drop_in_tests.sh;
# `console` is a file for notes beside it.
# shellcheck disable=SC2016,SC2154 # what stands in single quotes is for the shell in the machine

CLIENT='python3 -I /mnt/appliance/client.py'

# run_tests DEB FAST
run_tests() {
  local deb=$1 load_s=12
  LEAST_LOAD=200
  if [[ -n $2 ]]; then load_s=5 LEAST_LOAD=0; fi
  list_paths >"$console.before"
  try "installs, and is active" installs "$deb"
  if ! is_active; then
    explain_inactive
    return
  fi
  try "answers over TCP" answers tcp
  try "answers over the unix socket" answers unix
  try "listens where it should" listens
  try "lines in the journal" journal_lines
  try "security score at most 0.5" security_score
  try "sandbox" sandbox
  try "both processes are in the sandbox" both_confined
  try "foreign PYTHONPATH and LD_LIBRARY_PATH change nothing" foreign_environment
  try "three restarts under load" restarts_under_load "$load_s"
  try "engine killed in a stream" killed engine
  try "one request in both processes' lines" one_request
  try "service killed in a stream" killed service
  try "watchdog" watchdog
  try "wrong setting" wrong_setting
  try "missing keys file" credentials
  try "reload" reloads
  try "wrong setting at a reload" wrong_setting_at_reload
  try "idle stop, and start to ready" restart_time
  try "drop-in for a local network" local_network
  try "drop-in for a GPU" gpu
  try "upgrade from the version before, under load" upgrade_under_load "$deb" "$load_s"
  try "disabled stays disabled" stays_disabled "$deb"
  try "removing keeps models, cache and settings" removes
  try "purging leaves nothing" purges "$deb"
  rm -f "$console.before"
}

is_active() { inside 'systemctl is-active --quiet distiller-llm.service'; }

explain_inactive() {
  inside 'systemctl status --no-pager -l distiller-llm.service distiller-llm.socket; journalctl --no-pager -n 30 -u distiller-llm' >&2 || true
}

# wait_for SECONDS COMMAND: until the command succeeds in the machine. A slow machine gets PATIENCE times as long.
wait_for() {
  local until=$(($(now_ms) + $1 * 1000 * ${PATIENCE:-1}))
  until inside "$2" >/dev/null 2>&1; do
    (($(now_ms) < until)) || {
      echo "not within $(($1 * ${PATIENCE:-1})) s: $2"
      return 1
    }
    sleep 0.1
  done
}

main_pid() { inside 'systemctl show -P MainPID distiller-llm.service'; }

installs() {
  local began installed
  began=$(now_ms)
  inside "dpkg -i $1 >/tmp/dpkg.log 2>&1 || { tail -n 3 /tmp/dpkg.log; exit 1; }"
  installed=$(since_ms "$began")
  wait_for 60 'systemctl is-active --quiet distiller-llm.service && systemctl is-active --quiet distiller-llm.socket'
  inside 'systemctl is-enabled --quiet distiller-llm.service && systemctl is-enabled --quiet distiller-llm.socket' \
    || { echo "not enabled"; return 1; }
  wait_for 60 "$CLIENT ask tcp"
  echo "dpkg $installed ms, first answer after $(since_ms "$began") ms"
}

answers() {
  local answer
  answer=$(inside "$CLIENT ask $1")
  echo "$answer"
  [[ $answer == *Paris* ]]
}

listens() {
  inside 'ss -Hltnp | grep -F :8000; stat -c "%a %U:%G %n" /run/distiller-llm.sock' >/dev/null
  local mode
  mode=$(inside 'stat -c %a /run/distiller-llm.sock')
  echo "$(inside "ss -Hltn | awk '{ print \$4 }' | grep -F :8000 | paste -sd,"), /run/distiller-llm.sock $mode"
  [[ $mode == 660 ]]
}

journal_lines() {
  local n fields
  n=$(inside 'journalctl -u distiller-llm -o cat --no-pager | grep -c "listening"') || true
  ((n > 0)) || {
    echo "no line says that it listens"
    return 1
  }
  fields=$(inside 'journalctl -u distiller-llm -o json --no-pager EVENT=listening | head -n 1')
  if [[ $fields != *'"EVENT"'* ]]; then
    echo "missing: lines are there, without fields of their own"
  else
    echo "$n lines that it listens; EVENT=listening finds them"
  fi
}

security_score() {
  local line
  line=$(inside 'systemd-analyze security --no-pager distiller-llm.service' | tail -n 1)
  echo "${line#* }"
  awk '{ for (i = 1; i < NF; i++) if ($i == "is:" || $i == "distiller-llm.service:") score = $(i + 1); exit !(score + 0 <= 0.5 && score != "") }' <<<"$line"
}

# The unit once more, with the probe in place of the server: what it can do, the service can do.
sandbox() {
  local seen
  inside 'sed -e "s|^ExecStart=.*|ExecStart=/usr/lib/distiller-llm/bin/python3 -I -B /mnt/appliance/probe.py|" \
      -e "s/^Type=.*/Type=oneshot/" -e "/^Restart=/d" -e "/^WatchdogSec=/d" -e "/^ExecStopPost=/d" \
      -e "/^Requires=/d" -e "/^Sockets=/d" /lib/systemd/system/distiller-llm.service >/run/systemd/system/distiller-llm-probe.service
    systemctl daemon-reload
    systemctl start distiller-llm-probe.service' || {
    inside 'journalctl --no-pager -n 10 -o cat -u distiller-llm-probe' >&2
    return 1
  }
  seen=$(inside 'journalctl --no-pager -o cat -u distiller-llm-probe | grep -E "^(POSSIBLE|impossible|works|BROKEN): "')
  inside 'rm /run/systemd/system/distiller-llm-probe.service; systemctl daemon-reload'
  printf '%s\n' "$seen" >"$console.sandbox"
  if grep -qE '^(POSSIBLE|BROKEN)' <<<"$seen"; then
    grep -E '^(POSSIBLE|BROKEN)' <<<"$seen" | paste -sd';'
    return 1
  fi
  echo "$(grep -c ^impossible <<<"$seen") things are impossible, $(grep -c ^works <<<"$seen") that it needs work"
  ((10 <= $(grep -c ^impossible <<<"$seen")))
}

# Seen from outside: no capabilities, a filter on system calls, no route to anywhere, for each process.
both_confined() {
  inside 'n=0
    for pid in $(systemctl show -P ControlGroup distiller-llm.service | sed "s|.*|/sys/fs/cgroup&/cgroup.procs|" | xargs cat); do
      n=$((n + 1))
      grep -q "^CapBnd:.0000000000000000$" /proc/$pid/status || { echo "$pid has capabilities"; exit 1; }
      grep -q "^Seccomp:.2$" /proc/$pid/status || { echo "$pid has no filter"; exit 1; }
      grep -q "^NoNewPrivs:.1$" /proc/$pid/status || { echo "$pid may gain privileges"; exit 1; }
      [ "$(grep -c . /proc/$pid/net/route)" -le 1 ] || { echo "$pid has a route"; exit 1; }
      [ "$(stat -c %u /proc/$pid)" -ge 60000 ] || { echo "$pid has no user of its own"; exit 1; }
      nsenter -t $pid -n python3 -I -c "
import socket, sys
try:
    socket.create_connection((\"192.0.2.1\", 80), timeout=2)
except OSError as error:
    sys.exit(0 if error.errno == 101 else str(error))
sys.exit(\"connected\")" || exit 1
    done
    echo "$n processes: no capabilities, filtered, no route, user of their own"
    [ "$n" -ge 2 ]'
}

foreign_environment() {
  local status=0
  foreign_environment_steps || status=$?
  inside 'systemctl unset-environment PYTHONPATH PYTHONHOME LD_LIBRARY_PATH; rm -rf /opt/foreign; systemctl restart distiller-llm.service'
  return "$status"
}

foreign_environment_steps() {
  inside 'mkdir -p /opt/foreign && cd /opt/foreign
    echo "raise SystemExit(\"foreign module\")" | tee sanic.py app.py sitecustomize.py numpy.py >/dev/null
    for library in libllama.so.0 libggml.so.0 libggml-base.so.0; do echo foreign >$library; done
    systemctl set-environment PYTHONPATH=/opt/foreign PYTHONHOME=/opt/foreign LD_LIBRARY_PATH=/opt/foreign
    systemctl restart distiller-llm.service'
  answers tcp >/dev/null || {
    echo "the service does not answer"
    return 1
  }
  inside 'cd /opt/foreign && PYTHONPATH=/opt/foreign PYTHONHOME=/opt/foreign LD_LIBRARY_PATH=/opt/foreign distiller-llm models list' >/dev/null || {
    echo "the command does not work"
    return 1
  }
  inside 'cd /opt/foreign && LD_LIBRARY_PATH=/opt/foreign /usr/lib/distiller-llm/bin/python3 -I -c "import llama_cpp; llama_cpp.llama_backend_init()"' || {
    echo "a foreign library is loaded"
    return 1
  }
  echo "service and command work, no foreign library is loaded"
}

restarts_under_load() {
  inside "$CLIENT load $1 $LEAST_LOAD >/tmp/load.txt 2>&1 & load=\$!
    for i in 1 2 3; do sleep $(($1 / 5)); systemctl restart distiller-llm.service || exit 1; done
    wait \$load; status=\$?; cat /tmp/load.txt; exit \$status"
}

killed() {
  inside "$CLIENT broken $1" && is_socket_up
}

# The stream whose engine was killed: the line on the engine's end has its id as well as the one on the request.
one_request() {
  local events
  events=$(inside 'journalctl -u distiller-llm -o json --no-pager --output-fields=EVENT REQUEST_ID=broken-engine |
    python3 -I -c "import json, sys; print(*sorted(json.loads(line)[\"EVENT\"] for line in sys.stdin), sep=\", \")"')
  echo "REQUEST_ID=broken-engine finds $events"
  [[ $events == *engine_exited*request* ]]
}

is_socket_up() {
  inside 'systemctl is-active --quiet distiller-llm.socket' || {
    echo "the socket is down"
    return 1
  }
}

# A process that is stopped answers no watchdog.
watchdog() {
  local began
  inside 'mkdir -p /run/systemd/system/distiller-llm.service.d
    printf "[Service]\nWatchdogSec=3s\n" >/run/systemd/system/distiller-llm.service.d/test.conf
    systemctl daemon-reload; systemctl restart distiller-llm.service'
  answers tcp >/dev/null
  sleep 4
  [[ $(inside 'systemctl show -P NRestarts distiller-llm.service') == 0 ]] || {
    echo "it was restarted though it lives"
    return 1
  }
  began=$(now_ms)
  inside "kill -STOP $(main_pid)"
  wait_for 30 '[ "$(systemctl show -P NRestarts distiller-llm.service)" -ge 1 ]'
  answers tcp >/dev/null
  echo "a stopped process was replaced, answer after $(since_ms "$began") ms (WatchdogSec=3s)"
  inside 'rm -r /run/systemd/system/distiller-llm.service.d; systemctl daemon-reload; systemctl restart distiller-llm.service'
}

# The message names the setting; clients that come meanwhile do not take the socket down; once the file is right, the
# service comes back without being told.
wrong_setting() {
  local message began
  inside 'cp /etc/distiller-llm/config.toml /tmp/config.toml
    echo "temperature = \"warm\"" >>/etc/distiller-llm/config.toml
    systemctl restart distiller-llm.service 2>/dev/null; true'
  message=$(inside 'journalctl -u distiller-llm -o cat --no-pager -n 20 | grep -m 1 "temperature = "') || {
    echo "the journal does not name the setting"
    return 1
  }
  inside "timeout 12 $CLIENT ask tcp >/dev/null 2>&1; true"
  is_socket_up
  inside 'cp /tmp/config.toml /etc/distiller-llm/config.toml'
  began=$(now_ms)
  wait_for 30 "timeout 20 $CLIENT ask tcp"
  echo "\"$message\"; right again, it answered after $(since_ms "$began") ms"
}

credentials() {
  inside 'pid=$(systemctl show -P MainPID distiller-llm.service)
    ls /etc/distiller-llm/api-keys 2>/dev/null && exit 1
    tr "\0" "\n" </proc/$pid/environ | grep -q ^CREDENTIALS_DIRECTORY= || exit 1
    install -m 0600 /dev/null /etc/distiller-llm/api-keys
    systemctl restart distiller-llm.service; status=$?
    rm -f /etc/distiller-llm/api-keys
    systemctl restart distiller-llm.service
    echo "starts with and without /etc/distiller-llm/api-keys"
    exit $status'
}

# reload_with LINE EVENT: reloads with this line in the settings and waits for what the service says of it; prints that.
# The settings are right again afterwards, and the process is the same.
reload_with() {
  local before said
  before=$(main_pid)
  inside "cp /etc/distiller-llm/config.toml /tmp/config.toml
    echo '$1' >>/etc/distiller-llm/config.toml
    systemctl reload distiller-llm.service" || {
    echo "systemctl reload failed"
    return 1
  }
  wait_for 10 "journalctl -u distiller-llm -o cat --no-pager EVENT=$2 | grep -q ."
  said=$(inside "journalctl -u distiller-llm -o cat --no-pager EVENT=$2 | tail -n 1")
  answers tcp >/dev/null
  inside 'cp /tmp/config.toml /etc/distiller-llm/config.toml; systemctl reload distiller-llm.service'
  answers tcp >/dev/null
  [[ $(main_pid) == "$before" ]] || {
    echo "it is another process"
    return 1
  }
  echo "$said"
}

reloads() {
  local said
  said=$(reload_with 'max_tokens = 7' setting_changed)
  echo "the same process goes on: $said"
  [[ $said == *max_tokens* ]]
}

wrong_setting_at_reload() {
  local said
  said=$(reload_with 'temperature = "warm"' reload_failed)
  echo "the same process goes on with what it had: $said"
  [[ $said == *temperature* ]]
}

# The gap: how long someone waits who asks in the first moment of a restart.
restart_time() {
  local began stopped started
  began=$(now_ms)
  inside 'systemctl stop distiller-llm.service 2>/dev/null'
  stopped=$(since_ms "$began")
  began=$(now_ms)
  inside 'systemctl start distiller-llm.service'
  started=$(since_ms "$began")
  began=$(now_ms)
  inside "systemctl restart distiller-llm.service & sleep 0.05; $CLIENT ask tcp >/dev/null && wait"
  echo "stopped after $stopped ms, ready after $started ms; a request that comes in a restart is answered after $(since_ms "$began") ms"
}
