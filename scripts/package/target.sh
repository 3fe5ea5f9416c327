# shellcheck shell=bash
# What differs between the Debian releases and processors that the package is built for. Sourced, after common.sh.

# shellcheck disable=SC2034 # used by those who source this
SUITES='bookworm trixie'
# shellcheck disable=SC2034
ARCHES='amd64 arm64'

# The Python of a release; the package is built for exactly this one.
python_of() {
  case $1 in
    bookworm) echo 3.11 ;;
    trixie) echo 3.13 ;;
  esac
}

debian_number_of() {
  case $1 in
    bookworm) echo 12 ;;
    trixie) echo 13 ;;
  esac
}

# glibc's minor version, newest first: the wheels that a release can load.
glibc_minor_of() {
  case $1 in
    bookworm) echo 36 ;;
    trixie) echo 41 ;;
  esac
}

machine_of() {
  case $1 in
    amd64) echo x86_64 ;;
    arm64) echo aarch64 ;;
  esac
}

# How llama.cpp's names for processors are met. ggml asks the processor at start and takes the best that it can run.
# amd64: any; SSE4.2 (Atom); AVX2; AVX2 with VNNI (N100); AVX-512 with VNNI.
# arm64: any, such as Raspberry Pi 4; dotprod and fp16, such as CM5 and Pi 5; SVE and i8mm. Each costs about 1 MB.
cpu_variants_of() {
  case $1 in
    amd64) echo 'x64 sse42 haswell alderlake icelake' ;;
    arm64) echo 'armv8.0_1 armv8.2_2 armv8.6_1' ;;
  esac
}

# compiler_of ARCH gcc|g++
compiler_of() {
  if [[ $1 == "$(dpkg --print-architecture)" ]]; then echo "$2"; else echo "$(machine_of "$1")-linux-gnu-$2"; fi
}
