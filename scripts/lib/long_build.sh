# shellcheck shell=bash
# Runs a compilation of several minutes: shows how far it is, stops with the script, leaves nothing half made.
# Sourced, after common.sh.

# long_build WHAT FOLDER COMPILE EXPLAIN
#
# Runs `COMPILE WORK`, a function that leaves its result in WORK/result, and moves that to FOLDER.
# WORK lies beside FOLDER. All output goes into a log; `EXPLAIN LOG` says what it means when that fails.
#
# A subshell: its traps stop the compiler and remove the work folder however it ends.
long_build() (
  what=$1 folder=$2 compile=$3 explain=$4
  log=$CACHE/logs/${folder##*/}.log
  work=$(mktemp -d "${folder%/*}/.building-XXXXXX")
  builder=''
  # shellcheck disable=SC2329 # called by the traps
  clean_up() {
    if [[ -n $builder ]]; then kill -TERM -- "-$builder" 2>/dev/null || true; fi
    rm -rf "$work"
  }
  trap clean_up EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP

  mkdir -p "$CACHE/logs" "$work/tmp"
  set -m # the build gets a process group of its own, so that it can be stopped as a whole
  "$compile" "$work" </dev/null >"$log" 2>&1 &
  builder=$!
  set +m
  report_progress "$builder" "$log" "$what"
  if ! wait "$builder"; then
    builder=''
    tail -n 20 "$log" >&2
    "$explain" "$log"
    say "the whole log: $log"
    exit 1
  fi
  builder=''
  mv "$work/result" "$folder"
  say "built $what in $(duration "$SECONDS")"
)

report_progress() {
  local builder=$1 log=$2 what=$3 next=10 steps started=$SECONDS
  while kill -0 "$builder" 2>/dev/null; do
    sleep 1
    if ((SECONDS - started < next)); then continue; fi
    next=$((SECONDS - started + 10))
    steps=$(grep -oE '\[[0-9]+/[0-9]+\]' "$log" | tail -n 1 | sed 's|\[\(.*\)/\(.*\)\]|\1 of \2 steps|' || true)
    say "building $what: ${steps:-getting ready}, $(duration $((SECONDS - started)))"
  done
}

# Makes WORK/venv with the locked build tools in front of PATH, and WORK/llama.txt, the lock's lines
# for llama-cpp-python.
prepare_llama_build() {
  local work=$1
  export PATH=$work/venv/bin:$PATH TMPDIR=$work/tmp
  awk '/^[^ ]/ { keep = /^llama-cpp-python==/ } keep' "$ROOT/scripts/locks/runtime.txt" >"$work/llama.txt"
  "$VENV/bin/python" -I -m venv --without-pip "$work/venv"
  build_pip "$work" install --require-hashes --only-binary :all: -r "$ROOT/scripts/locks/build.txt"
}

# build_pip WORK ARGUMENT… runs pip for WORK/venv.
build_pip() {
  "$VENV/bin/python" -I -m pip --python "$1/venv/bin/python" "${@:2}"
}
