# Read by CMake after each project(): leaves out llama.cpp's command-line helpers, 57 of its 140 build steps. The Python
# package would install them and nothing loads them. A plain variable, because upstream forces the cache entry ON.
set(LLAMA_BUILD_COMMON OFF)

# AMX needs tile registers that the hypervisor and the kernel save with every thread. Virtual machines report the feature
# and lose the registers: the first prefill ends with SIGILL. Small devices have no AMX, so nothing there gets slower.
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  add_compile_options(-mno-amx-tile -mno-amx-int8 -mno-amx-bf16)
endif()
