# shellcheck shell=bash
# Runs pip quietly and turns its failures into one sentence. Sourced, after common.sh.

VENV=$ROOT/.venv

export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore

run_pip() {
  local log status=0
  log=$(mktemp)
  "$VENV/bin/python" -I -m pip "$@" >"$log" 2>&1 || status=$?
  if ((status != 0)); then
    explain_pip_failure "$log" || {
      tail -n 20 "$log" >&2
      say "error: 'pip $1' failed; its last lines are above."
    }
  fi
  rm -f "$log"
  return "$status"
}

# Says what went wrong when the log shows a known cause; false when it does not.
explain_pip_failure() {
  if grep -q 'DO NOT MATCH THE HASHES' "$1"; then
    say "error: a downloaded package is not the file that scripts/locks names, so it was not installed: look at pip's index settings."
  elif grep -qi 'no space left on device' "$1"; then
    say "error: the disk is full."
  elif grep -qE 'NewConnectionError|NameResolutionError|ConnectTimeout|ReadTimeout|ConnectionError|ConnectionReset|ProxyError|SSLError|Max retries exceeded|name resolution|Network is unreachable|connection broken by' "$1"; then
    say "error: pip cannot reach its package index: check the network (or pip's proxy and index settings) and run this again."
  else
    return 1
  fi
}

# install_lock NAME: exactly what scripts/locks/NAME.txt names, from ready-made wheels. llama-cpp-python has none: see
# llama_wheel.sh.
install_lock() {
  local requirements status=0
  requirements=$(mktemp)
  awk '/^[^ ]/ { skip = /^llama-cpp-python==/ } !skip' "$ROOT/scripts/locks/$1.txt" >"$requirements"
  run_pip install --require-hashes --only-binary :all: -r "$requirements" || status=$?
  rm -f "$requirements"
  return "$status"
}
