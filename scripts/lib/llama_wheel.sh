# shellcheck shell=bash
# Builds the llama-cpp-python wheel for this processor once and keeps it in the user's cache folder.
# Sourced, after common.sh, toolchain.sh and pip.sh. Needs .venv with the pinned pip.

CACHE=${XDG_CACHE_HOME:-${HOME:+$HOME/.cache}}
CACHE=${CACHE:-$ROOT/.cache}/distiller-llm

# The multimodal library and the command-line helpers are not used. What the user asks for comes last and wins.
LLAMA_CMAKE_FILE=$ROOT/scripts/lib/llama.cmake
printf -v LLAMA_CMAKE_ARGS -- '-DLLAVA_BUILD=OFF -DCMAKE_PROJECT_INCLUDE=%q %s' "$LLAMA_CMAKE_FILE" "${CMAKE_ARGS:-}"

llama_version() {
  sed -n 's/^llama-cpp-python==\([^ ]*\).*/\1/p' "$ROOT/scripts/locks/runtime.txt"
}

# What an installed wheel must have been built for. The compiler is left out: a newer one does not make it wrong.
llama_wheel_purpose() {
  echo "$(llama_version) $(cpu_flags) LLAVA_BUILD=OFF $(hash_of <"$LLAMA_CMAKE_FILE") ${CMAKE_ARGS:-}"
}

# The folder of the cached wheel. Upstream tags it py3: it holds no Python extension, so every Python 3 shares it.
llama_wheel_folder() {
  local compiler
  compiler=$(compiler_version)
  echo "$CACHE/wheels/$(llama_version)-py3-$(uname -m)-$(echo "$compiler $(llama_wheel_purpose)" | hash_of 12)"
}

install_llama() {
  local folder
  folder=$(llama_wheel_folder)
  mkdir -p "$CACHE/wheels"
  with_lock "$folder.lock" ensure_llama_wheel "$folder"
  run_pip install --no-deps --no-index --force-reinstall "$folder"/*.whl
}

ensure_llama_wheel() {
  if [[ ! -d $1 ]]; then build_llama_wheel "$1"; fi
}

# A subshell: its traps stop the compiler and remove the work folder however it ends.
build_llama_wheel() (
  folder=$1
  log=$CACHE/logs/llama-cpp-python-${folder##*/}.log
  work=$(mktemp -d "$CACHE/wheels/.building-XXXXXX")
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
  say "building llama-cpp-python $(llama_version) for this processor: a few minutes, once (kept in $CACHE/wheels)"
  set -m # the build gets a process group of its own, so that it can be stopped as a whole
  compile_llama "$work" </dev/null >"$log" 2>&1 &
  builder=$!
  set +m
  report_progress "$builder" "$log"
  if ! wait "$builder"; then
    builder=''
    explain_build_failure "$log"
    exit 1
  fi
  builder=''
  mv "$work/wheel" "$folder"
  say "built llama-cpp-python $(llama_version) in $(duration "$SECONDS")"
)

compile_llama() {
  local work=$1
  export PATH=$work/venv/bin:$PATH TMPDIR=$work/tmp CMAKE_ARGS=$LLAMA_CMAKE_ARGS
  awk '/^[^ ]/ { keep = /^llama-cpp-python==/ } keep' "$ROOT/scripts/locks/runtime.txt" >"$work/llama.txt"
  "$VENV/bin/python" -I -m venv --without-pip "$work/venv"
  local -a pip=("$VENV/bin/python" -I -m pip --python "$work/venv/bin/python")
  "${pip[@]}" install --require-hashes --only-binary :all: -r "$ROOT/scripts/locks/build.txt"
  # pip would take a wheel from its own cache that was built with other options: keep it out of this.
  "${pip[@]}" wheel --verbose --no-cache-dir --no-deps --no-build-isolation --no-binary llama-cpp-python \
    --require-hashes -w "$work/wheel" -r "$work/llama.txt"
}

report_progress() {
  local builder=$1 log=$2 next=10 steps started=$SECONDS
  while kill -0 "$builder" 2>/dev/null; do
    sleep 1
    if ((SECONDS - started < next)); then continue; fi
    next=$((SECONDS - started + 10))
    steps=$(grep -oE '\[[0-9]+/[0-9]+\]' "$log" | tail -n 1 | sed 's|\[\(.*\)/\(.*\)\]|\1 of \2 steps|' || true)
    say "building llama-cpp-python $(llama_version): ${steps:-getting ready}, $(duration $((SECONDS - started)))"
  done
}

explain_build_failure() {
  tail -n 20 "$1" >&2
  explain_pip_failure "$1" && return
  if grep -qE 'Killed signal|out of memory|virtual memory exhausted' "$1"; then
    say "error: the compiler ran out of memory: free some, or compile one file at a time with CMAKE_BUILD_PARALLEL_LEVEL=1."
  else
    say "error: llama-cpp-python $(llama_version) could not be built; the end of the log is above."
  fi
  say "the whole log: $1"
}
