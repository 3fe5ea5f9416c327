# Read by CMake after each project(): leaves out llama.cpp's command-line helpers, 57 of its 140 build steps. The Python
# package would install them and nothing loads them. A plain variable, because upstream forces the cache entry ON.
set(LLAMA_BUILD_COMMON OFF)
