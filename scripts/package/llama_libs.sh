# shellcheck shell=bash
# Compiles llama.cpp for the package: one library for each kind of processor, chosen at start. Kept in the user's
# cache folder, so that a second package costs no compilation. Sourced, after target.sh and lib/{pip,long_build,llama_wheel}.sh.

# Where the package has the libraries: compiled in, because ggml looks there and not beside itself.
LLAMA_LIB_FOLDER=/usr/lib/distiller-llm/llama

# Prints the folder with lib/*.so and python/ of llama-cpp-python.
llama_libs_folder() {
  local arch=$1 compiler key
  compiler=$("$(compiler_of "$arch" g++)" -dumpfullversion) \
    || die "the compiler $(compiler_of "$arch" g++) is missing (Debian: apt install crossbuild-essential-$arch)."
  key=$(echo "$compiler $(cpu_variants_of "$arch") $LLAMA_LIB_FOLDER $(declare -f keep_cpu_variants configure_llama collect_llama)" | hash_of 12)
  echo "$CACHE/package/llama-$(llama_version)-$arch-$key"
}

# ensure_llama_libs ARCH
ensure_llama_libs() {
  local folder
  folder=$(llama_libs_folder "$1")
  mkdir -p "$CACHE/package"
  with_lock "$folder.lock" ensure_llama_libs_steps "$1" "$folder"
}

ensure_llama_libs_steps() {
  if [[ -d $2 ]]; then return; fi
  say "compiling llama.cpp for $1 ($(cpu_variants_of "$1")): about ten minutes on two cores, once (kept in $CACHE/package)"
  LLAMA_ARCH=$1 long_build "llama.cpp for $1" "$2" compile_llama_libs explain_llama_failure
}

compile_llama_libs() {
  local work=$1 arch=$LLAMA_ARCH source
  prepare_llama_build "$work"
  build_pip "$work" download --no-cache-dir --no-deps --no-build-isolation --no-binary :all: \
    --require-hashes -d "$work/sdist" -r "$work/llama.txt"
  mkdir "$work/source"
  tar -xzf "$work"/sdist/*.tar.gz -C "$work/source" --strip-components=1
  source=$work/source/vendor/llama.cpp
  keep_cpu_variants "$source/ggml/src/CMakeLists.txt" "$arch"
  configure_llama "$source" "$work/build" "$arch"
  nice cmake --build "$work/build" --target ggml llama --parallel "${CMAKE_BUILD_PARALLEL_LEVEL:-$(nproc)}"
  collect_llama "$work" "$arch"
}

# llama.cpp would compile 15 variants for x86 alone; it has no option to choose.
keep_cpu_variants() {
  local file=$1 variants wanted
  variants=$(cpu_variants_of "$2")
  wanted=$(tr ' ' '|' <<<"${variants//./\\.}")
  sed -i -E "/^ +ggml_add_cpu_backend_variant\(/{/\(($wanted)[ )]/!d}" "$file"
  for variant in $variants; do
    grep -qF "ggml_add_cpu_backend_variant($variant" "$file" \
      || die "llama.cpp $(llama_version) has no processor variant '$variant' any more: see cpu_variants_of."
  done
}

# shellcheck disable=SC2016 # $ORIGIN is for the linker
configure_llama() {
  local source=$1 build=$2 arch=$3
  # Paths of this machine do not end up in the libraries.
  local flags="-ffile-prefix-map=$source=llama.cpp -ffile-prefix-map=$build=build"
  # The old kind of RPATH: it goes before LD_LIBRARY_PATH, which some systems export for every user.
  local linker='-Wl,-z,relro,-z,now,--disable-new-dtags'
  cmake -G Ninja -S "$source" -B "$build" -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=ON \
    -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR="$(machine_of "$arch")" \
    -DCMAKE_C_COMPILER="$(compiler_of "$arch" gcc)" -DCMAKE_CXX_COMPILER="$(compiler_of "$arch" g++)" \
    -DCMAKE_C_FLAGS="$flags" -DCMAKE_CXX_FLAGS="$flags -DGGML_BACKEND_DIR='\"$LLAMA_LIB_FOLDER\"'" \
    -DCMAKE_SHARED_LINKER_FLAGS="$linker" -DCMAKE_MODULE_LINKER_FLAGS="$linker" \
    -DCMAKE_BUILD_WITH_INSTALL_RPATH=ON -DCMAKE_INSTALL_RPATH='$ORIGIN' \
    -DGGML_NATIVE=OFF -DGGML_BACKEND_DL=ON -DGGML_CPU_ALL_VARIANTS=ON -DGGML_OPENMP=ON -DGGML_CCACHE=OFF \
    -DLLAMA_BUILD_COMMON=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_TOOLS=OFF -DLLAMA_BUILD_EXAMPLES=OFF \
    -DLLAMA_BUILD_SERVER=OFF -DLLAMA_BUILD_APP=OFF -DLLAMA_OPENSSL=OFF
}

# The libraries under the names by which they are loaded, without symbolic links; and what is Python.
collect_llama() {
  local work=$1 arch=$2 name strip
  strip=$(machine_of "$arch")-linux-gnu-strip
  mkdir -p "$work/result/lib" "$work/result/python"
  for name in "$work"/build/bin/libggml-cpu-*.so; do cp -L "$name" "$work/result/lib/"; done
  for name in libllama.so.0 libggml.so.0 libggml-base.so.0; do cp -L "$work/build/bin/$name" "$work/result/lib/"; done
  "$strip" --strip-unneeded "$work"/result/lib/*
  cp -a "$work/source/llama_cpp" "$work/result/python/"
  rm -rf "$work/result/python/llama_cpp/"{lib,server}
  mkdir "$work/result/python/llama_cpp_python-$(llama_version).dist-info"
  cp "$work/source/PKG-INFO" "$work/result/python/llama_cpp_python-$(llama_version).dist-info/METADATA"
  cp "$work/source/vendor/llama.cpp/LICENSE" "$work/result/LICENSE.llama.cpp"
  cp "$work/source/LICENSE.md" "$work/result/LICENSE.llama-cpp-python"
}
