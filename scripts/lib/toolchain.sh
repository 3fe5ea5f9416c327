# shellcheck shell=bash
# Finds what must be on the machine already: a Python and a C++ compiler. One sentence says what is missing.
# Sourced, after common.sh.

# Prints the first Python 3.11-3.13 that can make a virtual environment. PYTHON=… names the one to use.
find_python() {
  local candidate path version others='' without_venv=''
  for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
    path=$(command -v "$candidate") || continue
    version=$("$path" -I -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
    case $version in
      3.11 | 3.12 | 3.13) ;;
      *)
        others+=" $version"
        continue
        ;;
    esac
    if "$path" -I -c 'import ensurepip, venv' 2>/dev/null; then
      echo "$path"
      return
    fi
    without_venv=${without_venv:-$version}
  done
  if [[ -n $without_venv ]]; then
    die "Python $without_venv is here without its venv module: install python$without_venv-venv (Debian: apt install python$without_venv-venv)."
  elif [[ -n $others ]]; then
    die "Python 3.11, 3.12 or 3.13 is needed and only Python$others was found: install one of them (or name it: PYTHON=/path/to/python3.11)."
  fi
  die "Python 3.11, 3.12 or 3.13 is needed and none was found: install one (Debian: apt install python3 python3-venv)."
}

# The compiler that CMake will take, as words: find_compiler CC cc gcc clang
find_compiler() {
  local variable=$1 candidate
  shift
  if [[ -n ${!variable:-} ]]; then
    echo "${!variable}"
    return
  fi
  for candidate in "$@"; do
    if command -v "$candidate" >/dev/null; then
      echo "$candidate"
      return
    fi
  done
}

# Prints one line that names the C++ compiler and its version, once it has shown that it can compile.
compiler_version() {
  local -a cc cxx
  local version
  read -ra cc <<<"$(find_compiler CC cc gcc clang)"
  read -ra cxx <<<"$(find_compiler CXX c++ g++ clang++)"
  if ((${#cc[@]} == 0 || ${#cxx[@]} == 0)); then
    die "a C and C++ compiler is needed to build llama-cpp-python and none was found: install one (Debian: apt install g++)."
  fi
  if ! echo '#include <stdlib.h>' | "${cc[@]}" -x c -fsyntax-only - 2>/dev/null \
    || ! echo '#include <filesystem>' | "${cxx[@]}" -x c++ -std=c++17 -fsyntax-only - 2>/dev/null; then
    die "the compilers '${cc[*]}' and '${cxx[*]}' cannot compile a C++17 program: install a working pair with its headers (Debian: apt install g++)."
  fi
  read -r version < <("${cxx[@]}" --version)
  echo "${cxx[*]}: $version"
}

# What -march=native depends on.
cpu_flags() {
  local flags=''
  if [[ -r /proc/cpuinfo ]]; then
    flags=$(awk -F: '/^(flags|Features)[ \t]*:/ { print $2; exit }' /proc/cpuinfo | tr ' ' '\n' | LC_ALL=C sort -u | tr '\n' ' ')
  fi
  echo "$(uname -m) $flags"
}
