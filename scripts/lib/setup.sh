# shellcheck shell=bash
# Makes .venv fit this checkout. Each step leaves a stamp in .venv/.stamps and is skipped while that still holds, so
# that a second run costs nothing. Sourced by the scripts that need an environment.

# shellcheck source=scripts/lib/common.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
# shellcheck source=scripts/lib/toolchain.sh
source "$ROOT/scripts/lib/toolchain.sh"
# shellcheck source=scripts/lib/pip.sh
source "$ROOT/scripts/lib/pip.sh"
# shellcheck source=scripts/lib/long_build.sh
source "$ROOT/scripts/lib/long_build.sh"
# shellcheck source=scripts/lib/llama_wheel.sh
source "$ROOT/scripts/lib/llama_wheel.sh"

# What the service needs to run.
set_up_service() { with_lock "$VENV.lock" service_steps; }

# … and what tests and checks need.
set_up_development() { with_lock "$VENV.lock" development_steps; }

service_steps() {
  make_venv
  step install "$(hash_of <"$ROOT/scripts/locks/install.txt")" "installing pip and the build backend" install_lock install
  step llama "$(llama_wheel_purpose | hash_of)" "installing llama-cpp-python $(llama_version)" install_llama
  step runtime "$(hash_of <"$ROOT/scripts/locks/runtime.txt")" "installing what the service needs" install_lock runtime
  step project "$(hash_of <"$ROOT/pyproject.toml")" "installing this checkout" install_project
}

development_steps() {
  service_steps
  step dev "$(hash_of <"$ROOT/scripts/locks/dev.txt")" "installing what tests and checks need" install_lock dev
}

# step NAME KEY TEXT COMMAND…
step() {
  local stamp=$VENV/.stamps/$1 key=$2
  if [[ -f $stamp && $(<"$stamp") == "$key" ]]; then return; fi
  say "$3"
  "${@:4}"
  echo "$key" >"$stamp"
}

# A virtual environment knows its own path and its Python's version: when either changed, it is made anew.
make_venv() {
  local stamp=$VENV/.stamps/venv python
  if [[ -f $stamp && $(<"$stamp") == "$VENV $(venv_python_version)" ]]; then return; fi
  python=$(find_python)
  compiler_version >/dev/null # before anything long begins
  say "making $VENV with $("$python" -I --version)"
  rm -rf "$VENV"
  "$python" -I -m venv "$VENV" >&2 || die "the virtual environment could not be made; the reason is above."
  mkdir "$VENV/.stamps"
  echo "$VENV $(venv_python_version)" >"$stamp"
}

venv_python_version() {
  "$VENV/bin/python" -I -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null || true
}

install_project() {
  run_pip install --no-deps --no-build-isolation --no-index -e "$ROOT"
  "$VENV/bin/python" -I -c 'import llama_cpp' \
    || die "llama-cpp-python is installed and cannot be loaded, see above: remove $CACHE/wheels and $VENV and run this again."
}
