# shellcheck shell=bash
# What all scripts share: where the repository is, how they speak, how they give up, how they take turns.
# Sourced, never run. Knows nothing about what is being set up.

shopt -s inherit_errexit # a failure inside $(…) is a failure

# shellcheck disable=SC2034 # used by those who source this
ROOT=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." >/dev/null && pwd -P)

# Some systems export these for every user; they would put foreign modules into our environment.
unset PYTHONPATH PYTHONHOME

say() { printf '%s\n' "$*" >&2; }

die() {
  say "error: $*"
  exit 1
}

# The comment block at the top of a script is its help.
print_help() {
  awk 'NR > 1 { if (!/^#/) exit; sub(/^# ?/, ""); print }' "$1"
}

hash_of() {
  if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi | cut -c "1-${1:-64}"
}

duration() {
  if (($1 < 60)); then echo "$1 s"; else echo "$(($1 / 60)) min $(($1 % 60)) s"; fi
}

# with_lock FILE COMMAND…: only one process at a time runs a command under this file. The command runs in a subshell.
with_lock() {
  local lock=$1
  shift
  if command -v flock >/dev/null; then
    (
      flock --nonblock 9 || {
        say "waiting for another script that holds $lock"
        flock 9
      }
      "$@"
    ) 9>"$lock"
  else
    (
      until mkdir "$lock.d" 2>/dev/null; do
        owner=$(cat "$lock.d/pid" 2>/dev/null || true)
        if [[ -n $owner ]] && ! kill -0 "$owner" 2>/dev/null; then rm -rf "$lock.d"; else sleep 1; fi
      done
      echo "$BASHPID" >"$lock.d/pid"
      trap 'rm -rf "$lock.d"' EXIT
      "$@"
    )
  fi
}
