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

build_llama_wheel() {
  say "building llama-cpp-python $(llama_version) for this processor: a few minutes, once (kept in $CACHE/wheels)"
  long_build "llama-cpp-python $(llama_version)" "$1" compile_llama explain_llama_failure
}

compile_llama() {
  local work=$1
  prepare_llama_build "$work"
  export CMAKE_ARGS=$LLAMA_CMAKE_ARGS
  # pip would take a wheel from its own cache that was built with other options: keep it out of this.
  build_pip "$work" wheel --verbose --no-cache-dir --no-deps --no-build-isolation --no-binary llama-cpp-python \
    --require-hashes -w "$work/result" -r "$work/llama.txt"
}

explain_llama_failure() {
  explain_pip_failure "$1" && return
  if grep -qE 'Killed signal|out of memory|virtual memory exhausted' "$1"; then
    say "error: the compiler ran out of memory: free some, or compile one file at a time with CMAKE_BUILD_PARALLEL_LEVEL=1."
  else
    say "error: llama-cpp-python $(llama_version) could not be built; the end of the log is above."
  fi
}
