#!/bin/sh
# The command distiller-llm, as the package installs it. Some systems export these for every user; they would put other
# programs' libraries and modules into ours.
unset LD_LIBRARY_PATH LD_PRELOAD LD_AUDIT PYTHONPATH PYTHONHOME GGML_BACKEND_PATH
exec /usr/lib/distiller-llm/bin/python3 -I -m app "$@"
