# shellcheck shell=bash
# What must be true of the drop-ins that the package carries as examples. Sourced, after machine.sh and results.sh.
# shellcheck disable=SC2016 # what stands in single quotes is for the shell in the machine

EXAMPLES=/usr/share/doc/distiller-llm/drop-ins
LAN_KEY=0123456789abcdef-of-the-test

# As its first lines say; the address does not exist at first. Afterwards all is as it was.
local_network() {
  local status=0
  local_network_steps || status=$?
  inside 'rm -rf /etc/systemd/system/distiller-llm.socket.d /etc/distiller-llm/api-keys
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
  if restart_sockets 2>/dev/null; then
    echo "starts without a key"
    return 1
  fi
  inside "install -m 0600 /dev/null /etc/distiller-llm/api-keys; echo test:$LAN_KEY >>/etc/distiller-llm/api-keys"
  inside 'systemctl reset-failed distiller-llm.service'
  restart_sockets || return 1
  inside 'ip address add 192.168.1.10/32 dev lo'
  listening=$(inside "ss -Hltn | awk '{ print \$4 }' | grep -F :8000 | sort | paste -sd,")
  [[ $listening == 127.0.0.1:8000,192.168.1.10:8000 ]] || {
    echo "listens on $listening"
    return 1
  }
  for address in 127.0.0.1 192.168.1.10; do
    [[ $(lan_status "$address") == 401 && $(lan_status "$address" "$LAN_KEY") == 200 ]] || {
      echo "at $address not 401 without the key and 200 with it"
      return 1
    }
  done
  both_confined >/dev/null || {
    echo "the processes are not confined any more"
    return 1
  }
  echo "does not start without a key; listens on $listening: 401 without, 200 with it; the processes have no network as before"
}

# lan_status ADDRESS [KEY]
lan_status() {
  inside "curl -s -o /dev/null -w '%{http_code}' ${2:+-H 'Authorization: Bearer $2'} http://$1:8000/v1/models"
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
