# shellcheck shell=bash
# Puts together what the package carries of Python, for a processor and a Python that need not be this machine's:
# the locked wheels, llama-cpp-python's own files, the service. Sourced, after target.sh and lib/pip.sh.

# install_site_packages SUITE ARCH FOLDER LLAMA: LLAMA is what ensure_llama_libs left.
install_site_packages() {
  local suite=$1 arch=$2 folder=$3 llama=$4
  mkdir -p "$folder"
  install_wheels "$suite" "$arch" "$folder"
  cp -a "$llama/python/." "$folder/"
  ln -s ../../../../llama "$folder/llama_cpp/lib"
  (cd "$ROOT" && find app -name '*.py' -print0 | sort -z | xargs -0 cp --parents -t "$folder")
  write_metadata "$folder/distiller_llm-$(project_version).dist-info"
  remove_unused "$folder"
}

project_version() { sed -n 's/^version = "\(.*\)"/\1/p' "$ROOT/pyproject.toml"; }

# Exactly what scripts/locks/runtime.txt names. pip judges conditions such as "python_full_version < '3.12'" by the Python
# that runs it, so they are decided here for the one that the package is for.
install_wheels() {
  local suite=$1 arch=$2 folder=$3 python requirements minor
  python=$(python_of "$suite")
  local -a platforms=()
  for ((minor = $(glibc_minor_of "$suite"); minor >= 17; minor--)); do
    platforms+=(--platform "manylinux_2_${minor}_$(machine_of "$arch")")
  done
  platforms+=(--platform "manylinux2014_$(machine_of "$arch")")
  requirements=$(mktemp)
  requirements_for "$python" <"$ROOT/scripts/locks/runtime.txt" >"$requirements"
  run_pip install --target "$folder" --no-compile --no-deps --require-hashes --only-binary :all: \
    --implementation cp --python-version "$python" --abi "cp${python/./}" --abi abi3 --abi none \
    "${platforms[@]}" -r "$requirements"
  rm -f "$requirements"
}

requirements_for() {
  awk -v minor="${1#3.}" '
    /^[^ ]/ {
      keep = !/^llama-cpp-python==/
      if (match($0, /python_full_version (<|>=) \x273\.[0-9]+\x27/)) {
        split(substr($0, RSTART, RLENGTH), words, " ")
        split(words[3], parts, /[.\x27]/)
        if (words[2] == "<" && minor + 0 >= parts[3] + 0) keep = 0
        if (words[2] == ">=" && minor + 0 < parts[3] + 0) keep = 0
        sub(/ ; .*\\$/, " \\")
      } else if (/ ; /) {
        if (!/ ; implementation_name == \x27cpython\x27 and sys_platform != \x27win32\x27 \\$/) {
          print "no rule for the condition of: " $0 >"/dev/stderr"; exit 1
        }
        sub(/ ; .*\\$/, " \\")
      }
    }
    keep'
}

# `distiller-llm --version` reads it.
write_metadata() {
  mkdir "$1"
  printf 'Metadata-Version: 2.1\nName: distiller-llm\nVersion: %s\n' "$(project_version)" >"$1/METADATA"
}

# Nothing of this is loaded by the service: commands, C headers and static libraries, stubs, other packages' tests, and
# what would differ between two builds.
remove_unused() {
  local folder=$1
  rm -rf "${folder:?}/bin" "$folder/share" "$folder/include"
  find "$folder" -depth \( -name __pycache__ -o -name tests -o -name test -o -name include \) -type d -exec rm -rf {} +
  find "$folder" -type f \( -name '*.pyi' -o -name '*.pyx' -o -name '*.pxd' -o -name '*.c' -o -name '*.h' -o -name '*.a' \
    -o -name '*.exe' -o -name '*.pc' -o -name '*.f90' -o -name RECORD -o -name REQUESTED -o -name INSTALLER \
    -o -name direct_url.json \) -delete
  rm -rf "$folder/numpy/"{f2py,distutils} "$folder"/numpy/_core/*_tests.*.so
  find "$folder" -type f -name '*.py' -perm /111 -exec chmod a-x {} +
}

# compile_bytecode PYTHON FOLDER SHOWN: .pyc files that name the source as SHOWN and are taken without looking at it:
# the service may not write beside its own files, and without them every start would compile 2,000 modules.
compile_bytecode() {
  PYTHONHASHSEED=0 "$1" -I -m compileall -q -j 1 --invalidation-mode unchecked-hash -s "$2" -p "$3" "$2"
}
