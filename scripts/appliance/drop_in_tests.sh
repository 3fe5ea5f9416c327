# shellcheck shell=bash
# What must be true of the drop-ins that the package carries as examples. Sourced, after machine.sh and results.sh.
# shellcheck disable=SC2016 # what stands in single quotes is for the shell in the machine

EXAMPLES=/usr/share/doc/distiller-llm/drop-ins

# As its first lines say; the address does not exist at first. Afterwards all is as it was.
local_network() {
  local status=0
  local_network_steps || status=$?
  inside 'rm -r /etc/systemd/system/distiller-llm.socket.d
    ip address delete 192.168.1.10/32 dev lo 2>/dev/null'
  restart_sockets
  answers tcp >/dev/null
  return "$status"
}

restart_sockets() {
  inside 'systemctl daemon-reload && systemctl stop distiller-llm.service 2>/dev/null && systemctl restart distiller-llm.socket && systemctl start distiller-llm'
}

local_network_steps() {
  local listening
  inside "install -D -m 0644 $EXAMPLES/lan.conf /etc/systemd/system/distiller-llm.socket.d/lan.conf"
  restart_sockets || return 1
  inside 'ip address add 192.168.1.10/32 dev lo'
  listening=$(inside "ss -Hltn | awk '{ print \$4 }' | grep -F :8000 | sort | paste -sd,")
  [[ $listening == 127.0.0.1:8000,192.168.1.10:8000 ]] || {
    echo "listens on $listening"
    return 1
  }
  answers tcp >/dev/null || return 1
  answers unix >/dev/null || return 1
  inside 'curl -fs http://192.168.1.10:8000/health >/dev/null' || {
    echo "no answer at the address"
    return 1
  }
  both_confined >/dev/null || {
    echo "the processes are not confined any more"
    return 1
  }
  echo "listens on $listening, answers there, without a password; the processes have no network as before"
}

# No GPU is here: only that systemd takes it, that the service answers with it, and what it costs.
gpu() {
  local status=0
  gpu_steps || status=$?
  inside 'rm -r /etc/systemd/system/distiller-llm.service.d/gpu.conf; systemctl daemon-reload; systemctl restart distiller-llm.service'
  answers tcp >/dev/null
  return "$status"
}

gpu_steps() {
  local complaint score
  inside "install -D -m 0644 $EXAMPLES/gpu.conf /etc/systemd/system/distiller-llm.service.d/gpu.conf; systemctl daemon-reload"
  complaint=$(inside 'systemd-analyze verify --man=no distiller-llm.service 2>&1')
  [[ -z $complaint ]] || {
    echo "$complaint"
    return 1
  }
  score=$(inside 'systemd-analyze security --no-pager distiller-llm.service' | grep -o 'Overall exposure.*: [0-9.]*')
  inside 'systemctl restart distiller-llm.service' || return 1
  answers tcp >/dev/null || {
    echo "the service does not answer with it"
    return 1
  }
  echo "systemd takes it, the service answers with it (there is no GPU here), security score ${score##* }"
}
