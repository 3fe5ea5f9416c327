# shellcheck shell=bash
# Lays out what the package installs and its debian/ folder, and has Debian's tools make the package.
# Sourced, after target.sh, llama_libs.sh and site_packages.sh.

# The files of every build get this time, so that two builds of a commit are the same.
# shellcheck disable=SC2153 # ROOT is the repository, root what is installed
source_date() {
  if [[ -n ${SOURCE_DATE_EPOCH:-} ]]; then
    echo "$SOURCE_DATE_EPOCH"
  else
    git -C "$ROOT" log -1 --format=%ct 2>/dev/null || stat -c %Y "$ROOT/CHANGELOG.md"
  fi
}

# An upgrade of Debian brings a higher version.
package_version() { echo "$(project_version)+deb$(debian_number_of "$1")"; }

# The Python that compiles bytecode must be of the version that will run it.
find_target_python() {
  local wanted path
  wanted=$(python_of "$1")
  for path in "python$wanted" python3 ${PYTHON:-} "$HOME/.pyenv/versions/$wanted".*/bin/python3; do
    path=$(command -v "$path") || continue
    if [[ $("$path" -I -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) == "$wanted" ]]; then
      echo "$path"
      return
    fi
  done
  die "Python $wanted is needed to build for $1 and was not found: name it, PYTHON=/path/to/python$wanted."
}

# Only pip is needed, not the whole environment with a llama.cpp for this machine.
installer_steps() {
  make_venv
  step install "$(hash_of <"$ROOT/scripts/locks/install.txt")" "installing pip and the build backend" install_lock install
}

# lay_out_tree SUITE ARCH TREE PYTHON LLAMA
lay_out_tree() {
  local suite=$1 arch=$2 tree=$3 python=$4 llama=$5 root site home
  root=$tree/root
  home=$root/usr/lib/distiller-llm
  site=$home/lib/python$(python_of "$suite")/site-packages
  mkdir -p "$home/bin"
  say "collecting the locked packages for Python $(python_of "$suite") on $arch"
  install_site_packages "$suite" "$arch" "$site" "$llama"
  compile_bytecode "$python" "$site" "/${site#"$root/"}"
  # A virtual environment: isolated Python (-I) finds the packages through it, in the engine process too.
  ln -s "../../../bin/python$(python_of "$suite")" "$home/bin/python3"
  printf 'home = /usr/bin\ninclude-system-site-packages = false\n' >"$home/pyvenv.cfg"
  install_llama_files "$llama" "$home/llama"
  install_other_files "$root" "$llama"
  (cd "$ROOT" && "$VENV/bin/python" -s -m scripts.supply_chain sbom --python "$(python_of "$suite")" \
    --out "$root/usr/share/doc/distiller-llm/sbom.cdx.json")
  chmod 0644 "$root/usr/share/doc/distiller-llm/sbom.cdx.json"
  write_debian_folder "$tree" "$suite" "$arch"
}

install_llama_files() {
  mkdir -p "$2"
  cp -a "$1/lib/." "$2/"
  ln -s libllama.so.0 "$2/libllama.so"
  ln -s libggml.so.0 "$2/libggml.so"
}

install_other_files() {
  local root=$1 llama=$2 doc=$1/usr/share/doc/distiller-llm
  install -D -m 0755 "$ROOT/deploy/launcher.sh" "$root/usr/bin/distiller-llm"
  install -D -m 0644 "$ROOT/deploy/config.toml" "$root/etc/distiller-llm/config.toml"
  install -D -m 0644 -t "$root/var/lib/distiller-llm/models" "$ROOT"/models/distiller-nano-*.gguf
  install -D -m 0644 -t "$doc" "$ROOT/README.md" "$ROOT"/docs/*.md "$llama"/LICENSE.*
  install -D -m 0644 -t "$doc/drop-ins" "$ROOT"/deploy/drop-ins/*.conf
}

write_debian_folder() {
  local tree=$1 suite=$2 arch=$3 python minor
  python=$(python_of "$suite")
  minor=${python#3.}
  cp -a "$ROOT/deploy/debian" "$tree/debian"
  cp "$ROOT/deploy/distiller-llm.service" "$ROOT/deploy/distiller-llm.socket" "$tree/debian/"
  sed -e "s/@ARCH@/$arch/" -e "s/@PYTHON@/python3 (>= $python), python3 (<< 3.$((minor + 1)))/" \
    -e "s/@GLIBC@/$(glibc_minor_of "$suite")/" "$tree/debian/control.in" >"$tree/debian/control"
  rm "$tree/debian/control.in"
  {
    printf 'distiller-llm (%s) %s; urgency=medium\n\n' "$(package_version "$suite")" "$suite"
    printf '  * What changed is told in CHANGELOG.md of the sources.\n\n'
    printf ' -- %s  %s\n' "$(sed -n 's/^Maintainer: //p' "$tree/debian/control")" "$(LC_ALL=C date -uR -d "@$(source_date)")"
  } >"$tree/debian/changelog"
}

# make_package TREE SUITE ARCH OUT: prints the path of the package.
make_package() {
  local tree=$1 suite=$2 arch=$3 out=$4 name log
  name=distiller-llm_$(package_version "$suite")_$arch.deb
  log=$(mktemp)
  say "packing $name"
  # Everything in it is built by now, so nothing of what a compilation would need is asked for (-d).
  if ! (cd "$tree" && SOURCE_DATE_EPOCH=$(source_date) DEB_BUILD_OPTIONS=noautodbgsym \
    dpkg-buildpackage --build=binary --no-sign --host-arch "$arch" -d >"$log" 2>&1); then
    tail -n 20 "$log" >&2
    die "dpkg-buildpackage failed; its last lines are above."
  fi
  rm -f "$log"
  mv "${tree%/*}/$name" "$out/$name"
  echo "$out/$name"
}

lint_package() {
  command -v lintian >/dev/null || die "lintian is missing (Debian: apt install lintian)."
  lintian --fail-on error,warning --info "$1" >&2
}
