# shellcheck shell=bash
# Keeps what each test of the appliance found, and writes the report. Sourced, after common.sh.

RESULTS=()
n_results=0
n_failed=0

now_ms() { echo $(($(date +%s%N) / 1000000)); }
since_ms() { echo $(($(now_ms) - $1)); }

# result NAME ok|FAILED|missing DETAIL
result() {
  RESULTS+=("| $1 | $2 | ${3//|/\\|} |")
  n_results=$((n_results + 1))
  if [[ $2 == FAILED ]]; then n_failed=$((n_failed + 1)); fi
  printf '%-8s %s: %s\n' "$2" "$1" "$3"
}

# try NAME FUNCTION ARGUMENT…: what the function prints last is the detail; a function that fails is a failed test.
try() {
  local name=$1 detail status where
  shift
  where=$(mktemp -p /dev/shm)  # not where the tests look for what is left behind
  # Not with `|| status=$?`: within such a command nothing ends at its first failure.
  set +e
  detail=$(
    set -eE
    trap 'echo "$BASH_COMMAND" >>"$where"' ERR
    "$@" 2>&1
  )
  status=$?
  set -e
  detail=$(tail -n 1 <<<"$detail")
  ((status == 0)) || detail=${detail:-ended with $status at: $(head -n 1 "$where")}
  rm "$where"
  if [[ $detail == missing:* ]]; then
    result "$name" missing "${detail#missing: }"
  elif ((status == 0)); then
    result "$name" ok "$detail"
  else
    result "$name" FAILED "$detail"
  fi
}

# take_results FILE: what guest.sh printed in the virtual machine.
take_results() {
  local line
  grep -aE '^(ok|missing|FAILED) ' "$1" || true
  while IFS= read -r line; do
    RESULTS+=("$line")
    n_results=$((n_results + 1))
    if [[ $line == *'| FAILED |'* ]]; then n_failed=$((n_failed + 1)); fi
  done < <(sed -n 's/^row: //p' "$1")
}

# write_report FILE WHERE DEB
write_report() {
  mkdir -p "${1%/*}"
  {
    echo "Debian $2, $(nproc) processors with a load of $(cut -d" " -f1 /proc/loadavg); $(basename -- "$3"), $(($(stat -c %s "$3") / 1000000)) MB"
    echo
    echo '| test | result | seen |'
    echo '|---|---|---|'
    printf '%s\n' "${RESULTS[@]}"
  } >"$1"
}
