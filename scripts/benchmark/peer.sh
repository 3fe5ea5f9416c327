# shellcheck shell=bash
# Usage: scripts/bench build-peer
#
# Compiles llama-bench and llama-server from the source of the llama-cpp-python version that
# scripts/locks/runtime.txt pins, with the compilers and options of our own wheel, so that a
# comparison shows our code and not another build. Takes about 10 minutes on 2 cores and is done
# once for each version, processor and compiler; the result is kept in the user's cache folder.
#
# CMAKE_ARGS="-D…"               more options, the same as were given to scripts/run
# CMAKE_BUILD_PARALLEL_LEVEL=N   files to compile at once (default: one for each processor)

# Owns building the programs that we are compared with. Sourced by scripts/bench, after setup.sh.

# The same mathematics as our wheel; what the two programs do not need is left out. They look for
# their libraries beside themselves, so that the finished folder can be moved.
# shellcheck disable=SC2016 # $ORIGIN is for the dynamic linker
PEER_CMAKE_ARGS='-DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=ON -DLLAMA_BUILD_TESTS=OFF
  -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_APP=OFF -DLLAMA_BUILD_UI=OFF -DLLAMA_USE_PREBUILT_UI=OFF
  -DLLAMA_OPENSSL=OFF -DCMAKE_BUILD_WITH_INSTALL_RPATH=ON -DCMAKE_INSTALL_RPATH=$ORIGIN'

peer_purpose() {
  compiler_version
  echo "$(llama_version) $(cpu_flags) $PEER_CMAKE_ARGS ${CMAKE_ARGS:-}"
}

peer_folder() {
  local purpose
  purpose=$(peer_purpose)
  echo "$CACHE/bench-peers/$(llama_version)-$(uname -m)-$(hash_of 12 <<<"$purpose")"
}

build_peer() {
  local folder
  folder=$(peer_folder)
  mkdir -p "$CACHE/bench-peers"
  with_lock "$folder.lock" ensure_peer "$folder"
  say "llama-bench and llama-server are in $folder/bin"
}

ensure_peer() {
  if [[ ! -d $1 ]]; then compile_peer_with_progress "$1"; fi
}

# A subshell: its traps stop the compiler and remove the work folder however it ends.
compile_peer_with_progress() (
  folder=$1
  log=$CACHE/logs/bench-peer-${folder##*/}.log
  work=$(mktemp -d "$CACHE/bench-peers/.building-XXXXXX")
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
  say "building llama-bench and llama-server of llama-cpp-python $(llama_version): about 10 minutes on 2 cores, once"
  set -m # the build gets a process group of its own, so that it can be stopped as a whole
  compile_peer "$work" </dev/null >"$log" 2>&1 &
  builder=$!
  set +m
  report_peer_progress "$builder" "$log"
  if ! wait "$builder"; then
    builder=''
    tail -n 20 "$log" >&2
    explain_pip_failure "$log" || say "error: llama-bench could not be built; the end of the log is above."
    say "the whole log: $log"
    exit 1
  fi
  builder=''
  mv "$work/peer" "$folder"
  say "built llama-bench and llama-server in $(duration "$SECONDS")"
)

compile_peer() {
  local work=$1 source
  local -a options
  export PATH=$work/venv/bin:$PATH TMPDIR=$work/tmp
  fetch_llama_source "$work"
  for source in "$work"/source/*/vendor/llama.cpp; do :; done
  read -r -d '' -a options <<<"$PEER_CMAKE_ARGS ${CMAKE_ARGS:-}" || true
  cmake -S "$source" -B "$work/build" -G Ninja "${options[@]}"
  cmake --build "$work/build" --target llama-bench llama-server
  mkdir "$work/peer"
  mv "$work/build/bin" "$work/peer/bin"
}

# The source archive with the hash that the lock names, and the build tools of the lock.
fetch_llama_source() {
  local work=$1
  awk '/^[^ ]/ { keep = /^llama-cpp-python==/ } keep' "$ROOT/scripts/locks/runtime.txt" >"$work/llama.txt"
  "$VENV/bin/python" -I -m venv --without-pip "$work/venv"
  local -a pip=("$VENV/bin/python" -I -m pip --python "$work/venv/bin/python")
  "${pip[@]}" install --require-hashes --only-binary :all: -r "$ROOT/scripts/locks/build.txt"
  "${pip[@]}" download --no-deps --no-build-isolation --no-binary llama-cpp-python \
    --require-hashes -d "$work/archive" -r "$work/llama.txt"
  mkdir "$work/source"
  tar -xzf "$work"/archive/*.tar.gz -C "$work/source"
}

report_peer_progress() {
  local builder=$1 log=$2 next=10 steps started=$SECONDS
  while kill -0 "$builder" 2>/dev/null; do
    sleep 1
    if ((SECONDS - started < next)); then continue; fi
    next=$((SECONDS - started + 10))
    steps=$(grep -oE '^\[[0-9]+/[0-9]+\]' "$log" | tail -n 1 | sed 's|\[\(.*\)/\(.*\)\]|\1 of \2 steps|' || true)
    say "building llama-bench and llama-server: ${steps:-getting ready}, $(duration $((SECONDS - started)))"
  done
}
