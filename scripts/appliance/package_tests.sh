# shellcheck shell=bash
# What must be true of the Debian package while it is upgraded, removed and purged. Sourced, after machine.sh and results.sh.
# shellcheck disable=SC2016,SC2154 # what stands in single quotes is for the shell in the machine

# There is no older package to be had, so this one is packed anew as one: with a lower version, and a file that goes away.
older_package() {
  inside "dpkg-deb --raw-extract $1 /tmp/older
    sed -i 's/^Version: /Version: 0~/' /tmp/older/DEBIAN/control
    echo old >/tmp/older/usr/lib/distiller-llm/old
    dpkg-deb --build -Znone /tmp/older /tmp/older.deb >/dev/null
    rm -r /tmp/older"
}

upgrade_under_load() {
  older_package "$1"
  inside 'dpkg -i /tmp/older.deb >/tmp/dpkg.log 2>&1 || { tail -n 3 /tmp/dpkg.log; exit 1; }
    rm /tmp/older.deb; test -e /usr/lib/distiller-llm/old || exit 1
    cp /etc/distiller-llm/config.toml /tmp/config.toml
    echo "max_tokens = 300 # mine" >>/etc/distiller-llm/config.toml'
  inside "$CLIENT load $2 $LEAST_LOAD >/tmp/load.txt 2>&1 & load=\$!
    sleep 1; dpkg -i $1 >/tmp/dpkg.log 2>&1 || { tail -n 3 /tmp/dpkg.log; exit 1; }
    wait \$load; status=\$?; cat /tmp/load.txt; exit \$status"
  inside 'test ! -e /usr/lib/distiller-llm/old || { echo "a file of the older version is left"; exit 1; }
    grep -q "# mine" /etc/distiller-llm/config.toml || { echo "the settings of the device are gone"; exit 1; }
    cp /tmp/config.toml /etc/distiller-llm/config.toml'
}

stays_disabled() {
  inside "systemctl disable --now distiller-llm.service distiller-llm.socket 2>/dev/null
    dpkg -i $1 >/tmp/dpkg.log 2>&1 || exit 1
    systemctl is-enabled distiller-llm.service distiller-llm.socket | sort -u; systemctl is-active distiller-llm.service distiller-llm.socket | sort -u" \
    | paste -sd' ' | tee "$console.disabled"
  [[ $(<"$console.disabled") == "disabled inactive" ]] || return 1
  rm -f "$console.disabled"
  inside 'systemctl enable --now distiller-llm.socket distiller-llm.service 2>/dev/null'
  answers tcp
  echo "disabled and inactive after an upgrade"
}

removes() {
  inside 'echo mine >/var/lib/distiller-llm/models/mine.txt
    dpkg -r distiller-llm >/tmp/dpkg.log 2>&1 || { tail -n 3 /tmp/dpkg.log; exit 1; }
    systemctl is-active --quiet distiller-llm.socket && exit 1
    [ -f /var/lib/distiller-llm/models/mine.txt ] || { echo "the models are gone"; exit 1; }
    [ -d /var/cache/private/distiller-llm ] || { echo "the cache is gone"; exit 1; }
    [ -f /etc/distiller-llm/config.toml ] || { echo "the settings are gone"; exit 1; }
    [ ! -e /usr/lib/distiller-llm ] || { echo "left: $(find /usr/lib/distiller-llm | head -n 3 | paste -sd" ")"; exit 1; }
    echo "models, cache and settings are kept, everything else is gone"'
}

purges() {
  local left
  inside "dpkg -i $1 >/dev/null 2>&1 && mkdir -p /etc/systemd/system/distiller-llm.service.d && dpkg -P distiller-llm >/tmp/dpkg.log 2>&1 || { tail -n 3 /tmp/dpkg.log; exit 1; }
    rm -f /tmp/dpkg.log /tmp/load.txt /tmp/config.toml"
  left=$(list_paths | comm -13 "$console.before" -)
  if [[ -n $left ]]; then
    echo "left: $(head -n 5 <<<"$left" | paste -sd' ')"
    return 1
  fi
  echo "the same $(grep -c . "$console.before") paths as before the installation"
}

# Everything but what the kernel, the journal, dpkg's own books and mounts of this test put there.
list_paths() {
  inside 'find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /mnt -o -path /var/log -o -path /var/lib/dpkg/info -o -path /var/lib/dpkg/triggers -o -path /run/systemd -o -path /run/udev -o -path /run/dbus -o -path /run/lock \) -prune -o -print;
    find /var/lib/dpkg/info /run /var/lib/systemd /etc /tmp -name "*distiller*"' 2>/dev/null \
    | grep -vE '^/(tmp|var/tmp)/systemd-private|^/var/lib/dpkg/[a-z-]+(-old)?$|^/var/cache/ldconfig' | LC_ALL=C sort -u
}
