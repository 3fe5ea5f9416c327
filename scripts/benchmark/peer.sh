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

compile_peer_with_progress() {
  say "building llama-bench and llama-server of llama-cpp-python $(llama_version): about 10 minutes on 2 cores, once"
  long_build "llama-bench and llama-server" "$1" compile_peer explain_peer_failure
}

explain_peer_failure() {
  explain_pip_failure "$1" || say "error: llama-bench could not be built; the end of the log is above."
}

compile_peer() {
  local work=$1 source
  local -a options
  prepare_llama_build "$work"
  fetch_llama_source "$work"
  for source in "$work"/source/*/vendor/llama.cpp; do :; done
  read -r -d '' -a options <<<"$PEER_CMAKE_ARGS ${CMAKE_ARGS:-}" || true
  if [[ $(uname -m) == x86_64 ]]; then # no AMX, as in our wheel: scripts/lib/llama.cmake says why
    export CFLAGS='-mno-amx-tile -mno-amx-int8 -mno-amx-bf16' CXXFLAGS='-mno-amx-tile -mno-amx-int8 -mno-amx-bf16'
  fi
  cmake -S "$source" -B "$work/build" -G Ninja "${options[@]}"
  cmake --build "$work/build" --target llama-bench llama-server
  mkdir "$work/result"
  mv "$work/build/bin" "$work/result/bin"
}

# The source archive with the hash that the lock names.
fetch_llama_source() {
  local work=$1
  build_pip "$work" download --no-deps --no-build-isolation --no-binary llama-cpp-python \
    --require-hashes -d "$work/archive" -r "$work/llama.txt"
  mkdir "$work/source"
  tar -xzf "$work"/archive/*.tar.gz -C "$work/source"
}
