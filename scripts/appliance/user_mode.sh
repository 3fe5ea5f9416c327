#!/usr/bin/env bash
# Runs the packaged service on an arm64 processor that qemu emulates for single programs: no kernel, no systemd, a fraction
# of the time. user_mode.sh ROOT DEB CPU: answers one question, prints the answer and the library of llama.cpp that was
# taken. Run by test-appliance under `unshare --mount --net`, so that mounts and port are its own.
set -euo pipefail
root=$1 deb=$2 cpu=$3
home=/usr/lib/distiller-llm

# How the kernel learns to start arm64 programs; where it has not, for as long as this runs. It is for the whole machine.
let_arm64_run() {
  local name=distiller-llm-test folder=/proc/sys/fs/binfmt_misc
  mount -t binfmt_misc binfmt_misc "$folder"
  if [[ -e $folder/qemu-aarch64 || -e $folder/$name ]]; then return; fi
  sed "s/^:qemu-aarch64:/:$name:/" /usr/lib/binfmt.d/qemu-aarch64.conf >"$folder/register"
  registered=$folder/$name
}

tidy_up() {
  umount --recursive --lazy "$work"
  rmdir "$work"
  if [[ -n $registered ]]; then echo -1 >"$registered"; fi
}

# The Debian as it is, with the package unpacked over it in memory.
lay_over() {
  mount -t tmpfs none "$work"
  mkdir "$work"/{upper,work,debian}
  mount -t overlay -o "lowerdir=$root,upperdir=$work/upper,workdir=$work/work" none "$work/debian"
  mount -t proc proc "$work/debian/proc"
  mount --bind /dev "$work/debian/dev"
  dpkg-deb --fsys-tarfile "$deb" | tar -x --keep-directory-symlink -C "$work/debian"
}

serve() {
  exec chroot "$work/debian" /usr/bin/env -i "QEMU_CPU=$cpu" HOME=/root "$home/bin/python3" -I -m app serve \
    --models-dir /var/lib/distiller-llm/models --cache-dir /tmp/cache >"$work/log" 2>&1
}

mount --make-rprivate /
work=$(mktemp -d) registered=''
trap tidy_up EXIT
let_arm64_run
ip link set lo up
lay_over
began=$SECONDS
serve &
server=$!
until curl -fs --max-time 5 http://127.0.0.1:8000/health >/dev/null; do
  if ! kill -0 "$server" 2>/dev/null || ((SECONDS - began > 120)); then
    tail -n 5 "$work/log"
    exit 1
  fi
  sleep 0.5
done
ready_s=$((SECONDS - began))
answer=$(python3 -I "${BASH_SOURCE[0]%/*}/client.py" ask tcp)
engine=$(pgrep -P "$server" -f app.engine.main)
library=$(grep -o 'libggml-cpu[^/]*\.so' "/proc/$engine/maps" | sort -u)
kill "$server"
wait "$server"
echo "$answer ($library, ready after $ready_s s)"
[[ $answer == *Paris* ]]
