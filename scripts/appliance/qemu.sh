# shellcheck shell=bash
# Boots a Debian root with a kernel of its own in qemu, for what a container cannot show: limits of memory and their
# enforcement, filters on addresses, another processor. One job runs in it, then it is powered off. Sourced, after common.sh
# and root.sh. Knows nothing about what is tested.

# why_no_qemu ARCH: prints why nothing can be booted for a processor; nothing when it can.
why_no_qemu() {
  local tool
  for tool in "$(qemu_of "$1")" mmdebstrap mke2fs cpio zstd xz; do
    command -v "$tool" >/dev/null || {
      echo "$tool is not on this machine (Debian: apt install qemu-system-x86 qemu-system-arm ipxe-qemu seabios mmdebstrap e2fsprogs cpio zstd xz-utils)"
      return
    }
  done
}

qemu_of() {
  case $1 in
    amd64) echo qemu-system-x86_64 ;;
    arm64) echo qemu-system-aarch64 ;;
  esac
}

# The processor that stands for the devices of an architecture: CM5 and Raspberry Pi 5 are Cortex-A76.
usual_cpu() {
  case $1 in
    amd64) echo max ;;
    arm64) echo cortex-a76 ;;
  esac
}

# library_of CPU: which of llama.cpp's libraries in the package this one must get; any where that is not known.
library_of() {
  case $1 in
    cortex-a53 | cortex-a72) echo libggml-cpu-armv8.0_1.so ;;
    cortex-a76 | neoverse-n1) echo libggml-cpu-armv8.2_2.so ;;
    *) echo any ;;
  esac
}

# Debian's kernel for virtual machines, a shell for its first process, and the modules that reach the disks.
# Extracted, not installed: nothing of the other processor has to run for it.
make_kernel() {
  mkdir -p "$APPLIANCE_DIR"
  with_lock "$APPLIANCE_DIR/kernel-$1-$2.lock" make_kernel_steps "$@"
}

kernel_folder() { echo "$APPLIANCE_DIR/kernel-$1-$2"; }

make_kernel_steps() {
  local suite=$1 arch=$2 folder image
  folder=$(kernel_folder "$suite" "$arch")
  if [[ -f $folder/linux ]]; then return; fi
  say "fetching Debian $suite's kernel for $arch, once (kept in $APPLIANCE_DIR)"
  rm -rf "$folder" "$folder.new"
  mkdir "$folder.new"
  nice mmdebstrap --quiet --variant=extract --architectures="$arch" --include="linux-image-cloud-$arch,busybox-static" \
    "$suite" "$folder.new/files" >"$folder.log" 2>&1 || {
    tail -n 20 "$folder.log" >&2
    die "mmdebstrap could not fetch a kernel; its last lines are above."
  }
  make_initrd "$folder.new/files" "$folder.new/initrd"
  image=$(find "$folder.new/files/boot" -name 'vmlinuz-*' -print -quit)
  cp "$image" "$folder.new/linux"
  echo "${image##*/vmlinuz-}" >"$folder.new/version"
  rm -rf "$folder.new/files"
  mv "$folder.new" "$folder"
}

# In the order in which they need each other. What a kernel has built in, or does not know, is left out.
INITRD_MODULES='virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_blk crc16 crc32c_generic
  crc32c-generic libcrc32c mbcache jbd2 ext4 overlay virtio-rng failover net_failover virtio_net'

# make_initrd FILES OUT
make_initrd() {
  local files=$1 out=$2 work name module n=10
  work=$(mktemp -d)
  mkdir -p "$work"/{bin,dev,proc,sys,lower,rw,new,modules}
  cp "$(find "$files" -path '*bin/busybox' -type f -print -quit)" "$work/bin/busybox"
  ln -s busybox "$work/bin/sh"
  for name in $INITRD_MODULES; do
    module=$(find "$files" -name "$name.ko*" -print -quit)
    case $module in
      '') continue ;;
      *.xz) xz -dc "$module" >"$work/modules/$n-$name.ko" ;;
      *.zst) zstd -qdc "$module" >"$work/modules/$n-$name.ko" ;;
      *) cp "$module" "$work/modules/$n-$name.ko" ;;
    esac
    n=$((n + 1))
  done
  install -m 0755 "$ROOT/scripts/appliance/guest_init.sh" "$work/init"
  (cd "$work" && find . | cpio -o -H newc -R 0:0 --quiet | zstd -q -3) >"$out"
  rm -rf "$work"
}

# disk_of FOLDER FILE SIZE
disk_of() {
  rm -f "$2"
  truncate -s "$3" "$2"
  mke2fs -q -t ext4 -O '^has_journal,^metadata_csum' -d "$1" "$2"
}

# run_in_qemu SUITE ARCH CPU JOB WORK LIMIT_S: boots, runs JOB/run as root with JOB at /mnt, prints what it printed. WORK is
# a folder for disks and the console. Nothing that is written in there stays, and nothing outside can be reached but an
# echo at 10.0.2.100:7.
run_in_qemu() {
  local suite=$1 arch=$2 cpu=$3 job=$4 work=$5 limit_s=$6 kernel tty=ttyS0 machine=q35 status=0
  kernel=$(kernel_folder "$suite" "$arch")
  if [[ $arch == arm64 ]]; then tty=ttyAMA0 machine=virt,gic-version=3; fi
  disk_of "$(root_folder "$suite" "$arch")" "$work/root.ext4" 1G
  disk_of "$job" "$work/job.ext4" 128M
  truncate -s 4M "$work/printed"
  timeout "$limit_s" "$(qemu_of "$arch")" -machine "$machine" -cpu "$cpu" -accel tcg,thread=multi -m 2048 -smp 2 \
    -nodefaults -no-reboot -nographic -serial "file:$work/console" -kernel "$kernel/linux" -initrd "$kernel/initrd" \
    -append "console=$tty panic=-1 loglevel=4 systemd.show_status=0 random.trust_cpu=on" \
    -drive "file=$work/root.ext4,if=none,id=root,format=raw,readonly=on,cache=unsafe" -device virtio-blk-pci,drive=root \
    -drive "file=$work/job.ext4,if=none,id=job,format=raw,readonly=on,cache=unsafe" -device virtio-blk-pci,drive=job \
    -drive "file=$work/printed,if=none,id=out,format=raw,cache=unsafe" -device virtio-blk-pci,drive=out \
    -nic 'user,model=virtio-net-pci,restrict=on,guestfwd=tcp:10.0.2.100:7-cmd:cat' -device virtio-rng-pci \
    </dev/null >&2 || status=$?
  tr -d '\0' <"$work/printed"
  return "$status"
}
